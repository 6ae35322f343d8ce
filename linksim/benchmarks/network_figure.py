"""The figure of the network benchmark: time and memory against flits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from linksim.benchmarks.network_speed import RATE_TARGET, NetworkSpeedResults
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

# Paul Tol's vibrant set, safe for the colour-blind.
FAST_COLOUR, REFERENCE_COLOUR, TARGET_COLOUR = "#0077BB", "#EE7733", "#CC3311"
OTHER_MARKERS = "s^D"


def network_figure(results: NetworkSpeedResults, footer: str, path: Path) -> None:
    """Draw *results* as PNG; *footer* says where they hold."""
    figure, (times, memory) = plt.subplots(
        1, 2, figsize=(8.2, 3.7), width_ratios=(1.7, 1), squeeze=True
    )
    _times(times, results)
    _memory(memory, results)
    figure.tight_layout(rect=(0, 0.05, 1, 1), w_pad=1.2)
    figure.text(0.008, 0.012, footer, fontsize=7, color="#555555")
    write_png(figure, path)
    plt.close(figure)


def _times(axis: Any, results: NetworkSpeedResults) -> None:
    flits = [row.flits for row in results.sizes]
    seconds = [row.seconds for row in results.sizes]
    axis.plot(flits, seconds, "o-", color=FAST_COLOUR, markersize=4.5, lw=1.6, label="fast, stream")
    linear = [seconds[-1] / flits[-1] * n for n in flits]
    axis.plot(flits, linear, ":", color="black", lw=1.1, label="linear in flits")
    target = [n / RATE_TARGET for n in flits]
    axis.plot(flits, target, "--", color=TARGET_COLOUR, lw=1.1, label="target, 30 million/s")
    for row, marker in zip(results.engines, OTHER_MARKERS, strict=False):
        name = row.workload.split(",")[0]
        style: dict[str, Any] = {"markersize": 5, "linestyle": "none"}
        axis.plot(
            row.flits,
            row.reference_s,
            marker,
            color=REFERENCE_COLOUR,
            label=f"reference, {name}",
            **style,
        )
        axis.plot(row.flits, row.fast.best_s, marker, color=FAST_COLOUR, fillstyle="none", **style)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("flits", fontsize=9)
    axis.set_ylabel("processor time, seconds", fontsize=9)
    axis.set_title("Time (hollow: fast engine, same work)", fontsize=10, loc="left")
    axis.legend(frameon=False, fontsize=7.5, loc="lower right")
    _finish(axis)


def _memory(axis: Any, results: NetworkSpeedResults) -> None:
    flits = [row.flits for row in results.sizes]
    megabytes = [row.peak_nbytes / 1e6 for row in results.sizes]
    axis.plot(flits, megabytes, "o-", color=FAST_COLOUR, markersize=4.5, lw=1.6)
    axis.set_xscale("log")
    axis.set_ylim(0, max(megabytes) * 1.25)
    axis.set_xlabel("flits", fontsize=9)
    axis.set_ylabel("peak memory of the process, MB", fontsize=9)
    axis.set_title("Memory of the stream", fontsize=10, loc="left")
    _finish(axis)


def _finish(axis: Any) -> None:
    axis.tick_params(labelsize=8.5)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
