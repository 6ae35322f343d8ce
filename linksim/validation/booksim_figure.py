"""Latency against offered load: the simulated line and BookSim2's points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from linksim.validation.booksim import BookSimResults, LoadedResult
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

SERIES = (("#0077BB", "o"), ("#EE7733", "s"), ("#009988", "^"), ("#CC3311", "D"), ("#555555", "v"))
"""Colour and marker by buffers (Paul Tol's vibrant set, safe for the colour-blind)."""
COLUMNS = 3
HIGHEST = 12
"""Panels end at so many times their lowest latency."""


def booksim_figure(results: BookSimResults, path: Path) -> None:
    """Draw *results* as PNG: a panel per link latency and packet size, a line per buffers."""
    panels: dict[tuple[int, int], list[LoadedResult]] = {}
    for one in results.rows:
        c = one.row.configuration
        panels.setdefault((c.link_latency_cycles, c.packet_flits), []).append(one)
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    size = (max(5.2, 3.0 * columns), 0.75 + 2.35 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    kinds = dict.fromkeys(_kind(one) for one in results.rows)
    styles = {kind: SERIES[i % len(SERIES)] for i, kind in enumerate(kinds)}
    for axis, ((latency, flits), chosen) in zip(axes.flat, panels.items(), strict=False):
        _panel(axis, chosen, styles)
        title = f"link of {_count(latency, 'cycle')}, packets of {_count(flits, 'flit')}"
        axis.set_title(title, fontsize=9, loc="left")
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel("packet latency, cycles", fontsize=8.5)
    for axis in axes[-1]:
        axis.set_xlabel("offered, flits per cycle", fontsize=8.5)
    _legend(figure, styles)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.5 / size[1]), w_pad=0.5)
    write_png(figure, path)
    plt.close(figure)


def _panel(
    axis: Any, rows: Sequence[LoadedResult], styles: dict[tuple[int, int], tuple[str, str]]
) -> None:
    lowest = min(one.latency_cycles for one in rows)
    for kind, (colour, marker) in styles.items():
        chosen = [one for one in rows if _kind(one) == kind]
        measured = [one for one in chosen if one.row.packet_latency_cycles is not None]
        axis.plot(
            [one.row.offered_flits_per_cycle for one in measured],
            [one.row.packet_latency_cycles for one in measured],
            marker,
            color=colour,
            markersize=4.5,
            fillstyle="none",
        )
        drawn = [one for one in chosen if not one.unstable]
        line = [one.latency_cycles for one in drawn]
        axis.plot([one.row.offered_flits_per_cycle for one in drawn], line, color=colour, lw=1.3)
        for saturation in {one.row.configuration.saturation_flits_per_cycle for one in chosen}:
            if saturation < 1:
                axis.axvline(saturation, color=colour, lw=0.8, ls=":")
    axis.set_yscale("log")
    axis.set_ylim(lowest * 0.85, lowest * HIGHEST)
    axis.set_xlim(0, 1)
    axis.minorticks_off()
    ticks = [
        step * 10**decade
        for decade in range(8)
        for step in (1, 2, 5)
        if lowest * 0.85 <= step * 10**decade <= lowest * HIGHEST
    ]
    axis.set_yticks(ticks, [f"{tick}" for tick in ticks])
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _kind(one: LoadedResult) -> tuple[int, int]:
    """Virtual channels and their buffers."""
    return one.row.configuration.num_vcs, one.row.configuration.vc_buffer_flits


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _legend(figure: Any, styles: dict[tuple[int, int], tuple[str, str]]) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, fillstyle="none", lw=1.3, markersize=4.5)
        for colour, marker in styles.values()
    ]
    labels = [f"{vcs} VC{'s' if vcs > 1 else ''} of {buffer}" for vcs, buffer in styles]
    title = "markers: BookSim2, lines: linksim, dotted: saturation in closed form; VC buffers in "
    figure.legend(
        handles,
        labels,
        title=title + "flits",
        title_fontsize=8.5,
        loc="upper center",
        ncols=5,
        frameon=False,
        fontsize=8.5,
    )
