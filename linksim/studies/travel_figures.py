"""The figure of the study of how far codebooks travel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from linksim.studies.travel_results import (
    ACROSS_MODELS_PERCENT,
    BIAS,
    MODELS,
    NO_BIAS,
    SETS,
    TABLE,
    SiteTravel,
)
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

SHOWN = (
    (NO_BIAS, "average book, no bias", "s", "#BBBBBB"),
    (BIAS, "average book, bias per chunk", "D", "#EE7733"),
    (SETS[1], "one scale-free book", "o", "#0077BB"),
    (SETS[4], "four scale-free books", "^", "#009988"),
    (TABLE, "channel table and one book", "*", "#CC3311"),
)
"""Schemes with their markers and colours (Paul Tol's vibrant set, safe for the colour-blind)."""
WIDEST_PERCENT = 10.0
"""Losses beyond it are drawn at the right edge with their number."""


def travel_figure(sites: Sequence[SiteTravel], path: Path, note: str = "") -> None:
    """One line per site: what books from other models lose against the own Huffman code.

    *note* stands below the axes and says what the tensors are. Equal sites give equal files.
    """
    shown = [site for site in sites if site.losses[MODELS]]
    figure, axis = plt.subplots(figsize=(8.2, 1.6 + 0.2 * len(shown)))
    lowest = min((loss for s in shown for loss in s.losses[MODELS].values()), default=0.0)
    for row, site in enumerate(shown):
        beyond = []
        for scheme, _, marker, colour in SHOWN:
            loss = site.losses[MODELS].get(scheme)
            if loss is None:
                continue
            if loss > WIDEST_PERCENT:
                beyond.append((loss, colour))
            size = 64 if marker == "*" else 24
            at = min(loss, WIDEST_PERCENT)
            axis.scatter([at], [row], s=size, c=colour, marker=marker, zorder=3, clip_on=False)
        for place, (loss, colour) in enumerate(beyond):
            axis.annotate(
                f"{loss:.0f}",
                (WIDEST_PERCENT, row),
                (8 + 17 * place, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color="#666666" if colour == "#BBBBBB" else colour,
            )
    axis.axvline(0, color="black", lw=0.8)
    axis.axvline(ACROSS_MODELS_PERCENT, color="black", lw=1, ls="--")
    axis.text(ACROSS_MODELS_PERCENT, -0.9, " 2 %", fontsize=8, va="bottom")
    axis.set_yticks(range(len(shown)), [_label(site) for site in shown], fontsize=7.5)
    axis.set_ylim(len(shown) - 0.4, -1)
    axis.set_xlim(min(-1.0, lowest * 1.05), WIDEST_PERCENT)
    axis.set_xlabel(
        "bits above the tensor's own Huffman code, % of the 16 bits of a value\n"
        "(books from other models only; at the right edge: larger, with the number)",
        fontsize=8.5,
    )
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="y", alpha=0.2)
    axis.spines[["top", "right"]].set_visible(False)
    for _, label, marker, colour in SHOWN:
        axis.scatter([], [], s=40, c=colour, marker=marker, label=label)
    figure.legend(loc="upper center", ncols=3, frameon=False, fontsize=8.5)
    height = figure.get_figheight()
    figure.tight_layout(rect=(0.01, 0.2 / height, 0.96, 1 - 0.5 / height))
    figure.text(0.008, 0.03 / height, note, fontsize=7.5, color="#555555")
    write_png(figure, path)
    plt.close(figure)


def _label(site: SiteTravel) -> str:
    model = "-".join(site.model.split("-")[:2])
    kib = site.raw_nbytes / site.messages / 1024
    size = f"{kib / 1024:.1f} MiB" if kib >= 1024 else f"{kib:.{int(kib < 10)}f} KiB"
    return f"{model}: {site.site} ({size})"
