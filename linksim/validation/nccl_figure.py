"""The figure of a judgement: measured against simulated times, and the error by size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from linksim.units import format_bytes_binary
from linksim.validation.nccl import GpuReport, NcclReport
from linksim.validation.nccl_report import summary
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

STYLES = {
    "all_reduce": ("o", "#0077BB", "all-reduce"),
    "all_gather": ("s", "#EE7733", "all-gather"),
    "reduce_scatter": ("^", "#009988", "reduce-scatter"),
    "all_to_all": ("D", "#CC3311", "all-to-all"),
}
"""Marker, colour (Paul Tol's vibrant set, safe for the colour-blind) and label."""

_ERROR_EDGE = 40.0
"""Percent at the edges of the lower panels; rows beyond are drawn there."""


def nccl_figure(report: NcclReport, path: Path) -> None:
    """One column per GPU: simulated against measured time above, error against size below."""
    columns = len(report.gpus)
    figure, axes = plt.subplots(
        2,
        columns,
        figsize=(0.6 + 4.3 * columns, 6.6),
        squeeze=False,
        height_ratios=(1.75, 1),
    )
    for column, gpu in enumerate(report.gpus):
        _times(axes[0][column], gpu)
        _errors(axes[1][column], gpu)
    axes[0][0].set_ylabel("simulated, us", fontsize=9)
    axes[1][0].set_ylabel("simulated / measured - 1, %", fontsize=9)
    handles, labels = _legend(axes[0][0])
    figure.legend(handles, labels, loc="upper center", ncols=6, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    write_png(figure, path)
    plt.close(figure)


def _legend(axis: Any) -> tuple[list[Any], list[str]]:
    handles = [
        axis.plot([], [], marker, color=colour, markersize=6)[0]
        for marker, colour, _ in STYLES.values()
    ]
    handles += [
        axis.plot([], [], "o", color="#555555", markersize=6)[0],
        axis.plot([], [], "o", color="#555555", markersize=6, fillstyle="none")[0],
    ]
    labels = [label for _, _, label in STYLES.values()]
    return handles, [*labels, "held out", "fitted"]


def _times(axis: Any, report: GpuReport) -> None:
    everything = [t for row in report.rows for t in (row.row.time_us, row.simulated_us)]
    ends = [min(everything) / 1.3, max(everything) * 1.3]
    axis.plot(ends, ends, color="black", lw=0.8)
    for row in report.rows:
        marker, colour, _ = STYLES[row.row.collective.op]
        axis.plot(row.row.time_us, row.simulated_us, marker, color=colour, **_seen(row.held_out))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_formatter(lambda value, _: f"{value:g}")
        ticks.set_minor_formatter(NullFormatter())
    axis.set_xlabel("measured, us", fontsize=9)
    axis.set_title(_title(report), fontsize=9.5, loc="left")
    _plain(axis)


def _title(report: GpuReport) -> str:
    errors = summary([row for row in report.rows if row.held_out])
    sizes = sorted({row.row.collective.n_gpus for row in report.rows})
    gpus = " and ".join(map(str, sizes))
    return (
        f"{report.gpu}, {gpus} GPUs: held out {errors.rows} rows,\n"
        f"median error {100 * errors.median:.1f} %, 90 % within {100 * errors.p90:.1f} %"
    )


def _errors(axis: Any, report: GpuReport) -> None:
    axis.axhline(0, color="black", lw=0.8)
    for row in report.rows:
        marker, colour, _ = STYLES[row.row.collective.op]
        shown = max(-_ERROR_EDGE, min(_ERROR_EDGE, 100 * row.error))
        axis.plot(row.row.collective.nbytes, shown, marker, color=colour, **_seen(row.held_out))
    axis.set_xscale("log", base=2)
    sizes = sorted({row.row.collective.nbytes for row in report.rows})
    ticks = sizes[:: max(1, -(-len(sizes) // 6))]
    axis.set_xticks(ticks, [format_bytes_binary(nbytes) for nbytes in ticks])
    axis.minorticks_off()
    axis.set_ylim(-_ERROR_EDGE * 1.08, _ERROR_EDGE * 1.08)
    axis.set_xlabel("size (errors beyond 40 % at the edge)", fontsize=9)
    _plain(axis)


def _seen(held_out: bool) -> dict[str, Any]:
    if held_out:
        return {"markersize": 4.5, "zorder": 3}
    return {"markersize": 4.5, "fillstyle": "none", "alpha": 0.55, "zorder": 2}


def _plain(axis: Any) -> None:
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
