"""The figure of the quantizer study: decibels against bits on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

from linksim.studies.quantize import Row, decibels, hardest_kind
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

LINES = (
    ("int, g = 32", "#0077BB", "o"),
    ("int, g = 128, spikes", "#EE7733", "s"),
    ("int, g = 128, spikes, Huffman", "#CC3311", "D"),
    ("symmetric, bf16 scale, g = 32", "#009988", "^"),
    ("symmetric, e8m0 scale, g = 32", "#BBBBBB", "v"),
)
"""Families drawn as lines, with colours of Paul Tol's vibrant set."""
POINTS = (
    ("mxfp8-e4m3", "X"),
    ("mxfp6-e2m3", "P"),
    ("mxfp4", "*"),
    ("nvfp4", "p"),
    ("fp8-block128", "h"),
)


def quantize_figure(rows: Sequence[Row], origin: str, path: Path) -> None:
    """Two panels: the median over tensor kinds, and the kind that 4 bits change most."""
    hard = hardest_kind(rows)
    kinds = len({row.kind for row in rows})
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.3), sharey=True)
    _panel(axes[0], rows, f"median of {kinds} tensor kinds")
    _panel(axes[1], [row for row in rows if row.kind == hard], f"hardest kind: {hard}")
    axes[0].set_ylabel("signal to noise, dB", fontsize=9)
    axes[0].legend(frameon=False, fontsize=7.5, loc="upper left")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.text(0.008, 0.012, origin, fontsize=7.5, color="#555555")
    write_png(figure, path)
    plt.close(figure)


def _panel(axis: Any, rows: Sequence[Row], title: str) -> None:
    for family, colour, marker in LINES:
        places = _places(rows, family)
        axis.plot(
            *zip(*places, strict=True), color=colour, marker=marker, ms=4, lw=1.4, label=family
        )
    for family, marker in POINTS:
        places = _places(rows, family)
        axis.scatter(*zip(*places, strict=True), color="black", marker=marker, s=44, label=family)
    axis.set_xlabel("bits per value on the wire", fontsize=9)
    axis.set_title(title, fontsize=10, loc="left")
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _places(rows: Sequence[Row], family: str) -> list[tuple[float, float]]:
    """Mean bits and median decibels of every codec of *family*."""
    of: dict[str, list[Row]] = {}
    for row in rows:
        if row.family == family:
            of.setdefault(row.codec, []).append(row)
    return [
        (
            sum(row.bits_per_value for row in group) / len(group),
            median(decibels(row) for row in group),
        )
        for group in of.values()
    ]
