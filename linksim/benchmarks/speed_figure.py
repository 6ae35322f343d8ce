"""The figure of the speed benchmark, readable at README size and by colour-blind eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from linksim.benchmarks.codec_speed import OPERATIONS, SpeedResults, SpeedRow
from linksim.benchmarks.contenders import Kernel
from linksim.units import format_bytes_binary
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

SIZE_COLOURS = (("#0077BB", "white"), ("#EE7733", "black"), ("#BBBBBB", "black"))
"""Of bars and what is written on them, by size (Paul Tol's vibrant set, safe for the
colour-blind)."""
TARGET_COLOUR = "#CC3311"
WIDTH_INCHES = 8.2
BAR_INCHES, GAP_INCHES, TITLE_INCHES = 0.15, 0.1, 0.24


def speed_figure(results: SpeedResults, footer: str, path: Path) -> None:
    """Draw the ratios of *results* as PNG, a panel per operation; *footer* says where they hold."""
    rows = [row for row in results.rows if row.operation == OPERATIONS[0]]
    forms = list(dict.fromkeys(row.form for row in rows))
    sizes = list(dict.fromkeys(row.nbytes for row in rows))
    groups = list(dict.fromkeys((row.form, row.source) for row in rows))
    groups.sort(key=lambda group: forms.index(group[0]))
    step = BAR_INCHES * len(sizes) + GAP_INCHES
    height = 1.3 + step * len(groups) + TITLE_INCHES * len(forms)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH_INCHES, height), sharey=True)
    places = _places(groups, step)
    for axis, operation in zip(axes, OPERATIONS, strict=True):
        chosen = [row for row in results.rows if row.operation == operation]
        _panel(axis, chosen, places, sizes)
        peer = "huff0" if results.peer.startswith("huff0") else results.peer
        axis.set_title(f"{operation}, {peer} = 1", fontsize=10, loc="left")
    _name_groups(axes[0], places, step)
    axes[0].set_ylim(max(places.values()) + step * 0.7, -TITLE_INCHES * 1.1)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=4, frameon=False, fontsize=8.5)
    figure.text(0.012, 1 - 0.24 / height, "Speed of the kernel in ratios", fontsize=11)
    figure.tight_layout(rect=(0, 0.25 / height, 1, 1 - 0.3 / height), w_pad=0.6)
    figure.text(0.008, 0.06 / height, footer, fontsize=7, color="#555555")
    write_png(figure, path)
    plt.close(figure)


def _places(groups: list[tuple[str, str]], step: float) -> dict[tuple[str, str], float]:
    """How far below the top, in inches, the middle of every group lies."""
    places, at, form = {}, 0.0, ""
    for group in groups:
        if group[0] != form:
            at += TITLE_INCHES if form else 0.0
            form = group[0]
        places[group] = at + step / 2
        at += step
    return places


def _panel(
    axis: Any, rows: list[SpeedRow], places: dict[tuple[str, str], float], sizes: list[int]
) -> None:
    for index, size in enumerate(sizes):
        chosen = [row for row in rows if row.nbytes == size]
        offset = (index - (len(sizes) - 1) / 2) * BAR_INCHES
        at = [places[row.form, row.source] + offset for row in chosen]
        ratios = [row.ratio_best for row in chosen]
        colour, text_colour = SIZE_COLOURS[index % len(SIZE_COLOURS)]
        label = format_bytes_binary(size)
        axis.barh(at, ratios, BAR_INCHES * 0.9, color=colour, label=label)
        medians = [row.ratio_median for row in chosen]
        axis.plot(medians, at, "|", color="black", markersize=6, label=None if index else "median")
        for row, place in zip(chosen, at, strict=True):
            rate = f" {row.gbytes_per_s(Kernel.name):.2f} GB/s"
            axis.text(0, place, rate, va="center", fontsize=7, color=text_colour)
    half = BAR_INCHES * (len(sizes) + 0.5) / 2
    for row in rows:
        if row.target is not None and row.nbytes == sizes[0]:
            middle = places[row.form, row.source]
            axis.plot([row.target] * 2, [middle - half, middle + half], color=TARGET_COLOUR, lw=1.8)
    axis.plot([], [], color=TARGET_COLOUR, lw=1.8, label="target")
    axis.axvline(1, color="black", lw=0.9)
    largest = max([1.0, *(max(row.ratio_best, row.ratio_median, row.target or 0) for row in rows)])
    axis.set_xlim(0, largest * 1.06)
    axis.set_xlabel("times as fast", fontsize=9)
    axis.tick_params(labelsize=8.5)
    axis.grid(axis="x", alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _name_groups(axis: Any, places: dict[tuple[str, str], float], step: float) -> None:
    axis.set_yticks(list(places.values()), [source for _, source in places])
    named: set[str] = set()
    for (form, _), middle in places.items():
        if form not in named:
            named.add(form)
            where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            text = {"fontsize": 9, "fontweight": "bold", "ha": "right", "va": "bottom"}
            axis.annotate(form, (0, middle - step / 2), (-4, 1), **where, **text)
