"""The two figures of the study of the time to first token, for README size and any eyes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl

from linksim.studies.ttft import LOSSLESS, PLAIN, SIDES, TtftStudy
from linksim.units import format_bytes_binary
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

COMPUTE, COMMUNICATION = "#BBBBBB", "#0077BB"
LINES = {
    LOSSLESS: ("#EE3377", "D"),
    "INT8": ("#33BBEE", "o"),
    "INT4": ("#0077BB", "s"),
    "INT2+SR": ("#009988", "^"),
    "INT4" + SIDES: ("#EE7733", "v"),
}
"""Formats that are drawn against size, with colour and marker (Paul Tol's vibrant set)."""
FOOTER_INCHES = 0.32


def first_token_figure(study: TtftStudy, path: Path) -> None:
    """Bars of computing and communication: a panel per box, a bar per format, the first model."""
    boxes, model = study.options.boxes, study.options.models[0]
    columns = min(3, len(boxes))
    rows = math.ceil(len(boxes) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.5 * columns, 0.7 + 2.5 * rows), squeeze=False
    )
    for axis, name in zip(axes.flat, boxes, strict=False):
        _bars(axis, study, name, model)
    for axis in list(axes.flat)[len(boxes) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=2, frameon=False, fontsize=9)
    options = study.options
    hidden = (
        f"{100 * options.overlap:g} % of communication hidden"
        if options.overlap
        else ("nothing hidden behind computing")
    )
    note = (
        f"{model}, {options.prompts.batch} prompts of {options.prompts.tokens} tokens, {hidden}; "
        "modelled, not measured.\nBeside the bars: communication's share in bf16, times as fast as "
        "bf16"
    )
    _save(figure, path, note, top=0.3)


def _bars(axis: Any, study: TtftStudy, name: str, model: str) -> None:
    found = [
        row
        for row in study.first_tokens
        if (row.box, row.model) == (name, model) and not row.format.endswith(SIDES)
    ]
    labels = [row.format for row in found]
    computing = [row.found.compute_ps / 1e9 for row in found]
    moving = [(row.found.total_ps - row.found.compute_ps) / 1e9 for row in found]
    axis.barh(labels, computing, color=COMPUTE, height=0.7, label="computing")
    axis.barh(
        labels, moving, left=computing, color=COMMUNICATION, height=0.7, label="communication"
    )
    for at, row in enumerate(found):
        text = f" {row.speedup:.2f}x" if row.format != PLAIN else ""
        share = f"{100 * row.found.communication_share:.0f} %" if row.format == PLAIN else ""
        axis.text(row.found.total_ps / 1e9, at, text or f" {share}", va="center", fontsize=8)
    axis.set_xlim(0, 1.2 * max(row.found.total_ps for row in found) / 1e9)
    axis.invert_yaxis()
    axis.set_title(name, fontsize=10, loc="left")
    axis.set_xlabel("time to first token, ms", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def sizes_figure(study: TtftStudy, path: Path) -> None:
    """All-reduce against size, times as fast as the library in bf16: a panel per box."""
    boxes = study.options.boxes
    columns = min(3, len(boxes))
    rows = math.ceil(len(boxes) / columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(3.5 * columns, 0.7 + 2.5 * rows),
        squeeze=False,
        sharey=True,
        sharex=True,
    )
    for axis, name in zip(axes.flat, boxes, strict=False):
        _sweep(axis, study, name)
    for axis in list(axes.flat)[len(boxes) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel("times as fast as bf16", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("bf16 tensor of a GPU", fontsize=9)
    known: dict[str, Any] = {}
    for axis in axes.flat:
        known |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    names = [fmt for fmt in LINES if fmt in known]
    figure.legend(
        [known[fmt] for fmt in names],
        ["INT4 in sides and across" if fmt.endswith(SIDES) else fmt for fmt in names],
        loc="upper center",
        ncols=len(names),
        frameon=False,
        fontsize=9,
    )
    note = "below 1 (black line) a format is slower than the library; modelled, not measured"
    _save(figure, path, note, top=0.3)


def _sweep(axis: Any, study: TtftStudy, name: str) -> None:
    for fmt, (colour, marker) in LINES.items():
        swept = [t for t in study.timings if (t.box, t.format) == (name, fmt)]
        if swept:
            sizes = [t.nbytes for t in swept]
            ratios = [t.speedup for t in swept]
            axis.plot(sizes, ratios, color=colour, marker=marker, markersize=3, lw=1.4, label=fmt)
    axis.axhline(1, color="black", lw=0.8)
    sizes = list(study.options.sizes)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.set_xticks(sizes[::4], [format_bytes_binary(n) for n in sizes[::4]])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.tick_params(labelsize=8)
    axis.set_title(name, fontsize=10, loc="left")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, path: Path, note: str, *, top: float) -> None:
    """Write *figure* as PNG with *note* below; *top* inches stay free above."""
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, FOOTER_INCHES / height, 1, 1 - top / height))
    figure.text(0.008, 0.06 / height, note, fontsize=7.5, color="#555555")
    write_png(figure, path)
    plt.close(figure)
