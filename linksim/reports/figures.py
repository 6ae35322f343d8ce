"""The figures of a replay, readable at README size and by colour-blind eyes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from linksim.replay.metrics import RunMetrics, event_latencies_ps
from linksim.replay.run import ScenarioResult
from linksim.units import format_bytes_binary
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

SHARES = (
    ("queueing_ps", "queueing", "#BBBBBB"),
    ("encode_ps", "encode", "#EE7733"),
    ("wire_ps", "wire", "#0077BB"),
    ("decode_ps", "decode", "#CC3311"),
)
"""Stages of a transfer and their colours (Paul Tol's vibrant set, safe for the colour-blind)."""

ORIGIN_INCHES = 0.2
"""Free below the axes, for the line that says what the trace is."""

RUN_COLOURS = ("#BBBBBB", "#0077BB", "#EE7733", "#009988", "#CC3311")


def save_figure(figure: Any, path: Path, results: Sequence[ScenarioResult], top: float = 0) -> None:
    """Write *figure* as PNG, saying below it what produced the tensors of *results*.

    *top* inches stay free above the axes. Written through a temporary name and without a date, so
    equal runs give equal files.
    """
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, ORIGIN_INCHES / height, 1, 1 - top / height))
    origins = dict.fromkeys(f"trace {r.trace_name}: {r.what_it_is}" for r in results)
    figure.text(0.008, 0.03 / height, "; ".join(origins), fontsize=7.5, color="#555555")
    write_png(figure, path)
    plt.close(figure)


def latency_figure(results: Sequence[ScenarioResult], path: Path) -> None:
    """Mean latency of a transfer by stage: one panel per scenario, one bar per run."""
    columns = 2 if len(results) > 1 else 1
    rows = math.ceil(len(results) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.2 * columns, 0.7 + 1.75 * rows), squeeze=False
    )
    for axis, result in zip(axes.flat, results, strict=False):
        _latency_panel(axis, result)
    for axis in list(axes.flat)[len(results) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(SHARES), frameon=False)
    save_figure(figure, path, results, top=0.35)


def _latency_panel(axis: Any, result: ScenarioResult) -> None:
    scale, unit = _time_unit(max(_latency(m) for m in result.metrics))
    names = [m.run for m in result.metrics]
    left = [0.0] * len(names)
    for field, label, colour in SHARES:
        widths = [getattr(m, field) / scale for m in result.metrics]
        axis.barh(names, widths, left=left, color=colour, label=label, height=0.62)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    baseline = _latency(result.metrics[0])
    for row, metrics in enumerate(result.metrics):
        change = "" if row == 0 else f" {100 * (_latency(metrics) / baseline - 1):+.0f} %"
        axis.text(left[row], row, change, va="center", fontsize=9)
    axis.set_xlim(0, max(left) * 1.18)
    axis.invert_yaxis()
    axis.set_title(result.scenario.title, fontsize=10, loc="left")
    axis.set_xlabel(f"mean latency of one transfer, {unit}", fontsize=9)
    axis.tick_params(labelsize=9)
    axis.spines[["top", "right"]].set_visible(False)


def _latency(metrics: RunMetrics) -> float:
    return metrics.queueing_ps + metrics.encode_ps + metrics.wire_ps + metrics.decode_ps


def _time_unit(largest_ps: float) -> tuple[float, str]:
    for scale, unit in ((1e9, "ms"), (1e6, "us"), (1e3, "ns")):
        if largest_ps >= scale:
            return scale, unit
    return 1.0, "ps"


def sweep_figure(results: Sequence[ScenarioResult], path: Path) -> None:
    """Latency against message size, relative to codec off: one panel per scenario."""
    figure, axes = plt.subplots(
        1, len(results), figsize=(4.6 * len(results), 3.4), squeeze=False, sharey=True
    )
    for axis, result in zip(axes.flat, results, strict=True):
        _sweep_panel(axis, result)
    axes.flat[0].set_ylabel("latency, codec off = 1", fontsize=9)
    axes.flat[0].legend(frameon=False, fontsize=9)
    save_figure(figure, path, results)


def _sweep_panel(axis: Any, result: ScenarioResult) -> None:
    runs = list(result.results)
    latencies = {run: event_latencies_ps(result.results[run].transfers) for run in runs}
    sizes = [int(event) for event in latencies[runs[0]]]
    for index, run in enumerate(runs):
        ratios = [latencies[run][str(n)] / latencies[runs[0]][str(n)] for n in sizes]
        style = {"color": RUN_COLOURS[index % 5] if index else "black", "lw": 1.6}
        marker = "" if index == 0 else "osv^"[index % 4]
        axis.plot(sizes, ratios, label=run, marker=marker, markersize=4, **style)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.set_xticks(sizes[::2], [format_bytes_binary(n) for n in sizes[::2]], fontsize=8)
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.tick_params(labelsize=8)
    axis.set_xlabel("uncompressed message size", fontsize=9)
    axis.set_title(result.scenario.title, fontsize=10, loc="left")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def bytes_figure(results: Sequence[ScenarioResult], path: Path) -> None:
    """Bytes on the wire per uncompressed byte: what the codec makes, and what flits add."""
    runs = list(dict.fromkeys(m.run for result in results for m in result.metrics))
    figure, axis = plt.subplots(figsize=(8.6, 0.9 + 0.62 * len(results)))
    height = 0.8 / len(runs)
    named: set[str] = set()
    for index, run in enumerate(runs):
        for row, result in enumerate(results):
            found = [m for m in result.metrics if m.run == run]
            if not found:
                continue
            at = row + (index - (len(runs) - 1) / 2) * height
            coded, wire = (
                n / found[0].raw_nbytes for n in (found[0].encoded_nbytes, found[0].wire_nbytes)
            )
            label = None if run in named else run
            named.add(run)
            axis.barh(at, coded, height * 0.9, color=RUN_COLOURS[index % 5], label=label)
            axis.barh(at, wire - coded, height * 0.9, left=coded, fill=False, hatch="////", lw=0.5)
            axis.text(wire + 0.005, at, f"{coded:.3f}", va="center", fontsize=7)
    axis.axvline(1, color="black", lw=0.8)
    axis.set_yticks(range(len(results)), [r.scenario.title for r in results], fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.22)
    axis.set_xlabel(
        "bytes per uncompressed byte (hatched: flit headers, CRC and padding)", fontsize=9
    )
    axis.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)
    axis.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path, results)
