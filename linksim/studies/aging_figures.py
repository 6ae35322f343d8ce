"""The figures of how codebooks age, readable at README size and by colour-blind eyes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from linksim.studies.aging import CLAIM_PERCENT, LayerAging, RunAging, ShardAging, StepAging
from linksim.traces.histograms import RecordCard
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

COLOUR_MAP = "viridis"
"""Perceptually uniform, and readable to colour-blind eyes and in grey."""

QUANTITIES = {
    "weight": "#0077BB",
    "activation": "#EE7733",
    "weight_gradient": "#009988",
    "activation_gradient": "#CC3311",
}
"""Colours of what is recorded of a matrix (Paul Tol's vibrant set)."""
OTHER_COLOUR = "#777777"

SMALLEST_PERCENT = 0.001
"""Smaller costs are drawn as this one, on a logarithmic axis."""
MOST_NUMBERED_LAYERS = 10
"""Matrices of more layers have cells too small for numbers."""

FOOTER_INCHES = 0.22
LINE_INCHES = 0.13


def kind_title(kind: str) -> str:
    """`ffn1_weight_gradient` as `FFN1 weight gradient`."""
    words = kind.replace("_", " ")
    return words.replace("ffn", "FFN", 1)


def run_title(card: RecordCard) -> str:
    """What training run an archive is from, in a few words."""
    start = "fine-tuning" if card.start == "checkpoint" else "from random weights"
    return f"{start}, learning rate {card.learning_rate:g}"


def shown_books(card: RecordCard) -> tuple[int, ...]:
    """Steps whose books get curves: the first and, where it was recorded, the middle one."""
    middle = card.steps[-1] // 2
    later = middle in card.steps[1:-1]
    return (card.steps[0], middle) if later else (card.steps[0],)


def kl_figure(card: RecordCard, found: Sequence[ShardAging], view: str, path: Path) -> None:
    """Heat maps layers x shards of the KL divergence from the average, one panel per kind.

    All panels share one logarithmic colour scale. *found* is of one step.
    """
    rows = -(-len(found) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(9.2, 1.2 + 1.3 * rows), squeeze=False, sharex=True, layout="constrained"
    )
    largest = max(float(shown.divergence_bits.max()) for shown in found)
    smallest = min(float(shown.divergence_bits.min()) for shown in found)
    norm = LogNorm(max(smallest, largest / 1000, 1e-6), max(largest, 2e-6))
    for axis, shown in zip(axes.flat, found, strict=False):
        image = axis.imshow(
            shown.divergence_bits,
            aspect="auto",
            cmap=COLOUR_MAP,
            norm=norm,
            interpolation="nearest",
        )
        bits = shown.divergence_bits
        copies = " (copies)" if shown.kind in card.replicated_kinds else ""
        axis.set_title(
            f"{kind_title(shown.kind)}{copies}: mean {bits.mean():.3f}, max {bits.max():.3f}",
            fontsize=9,
            loc="left",
        )
        axis.set_yticks(range(0, card.layers, max(1, card.layers // 6)))
        axis.tick_params(labelsize=8)
    for axis in list(axes.flat)[len(found) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("layer", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("shard", fontsize=9)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01)
    bar.set_label(f"KL divergence from the average, bits per symbol, {view}", fontsize=9)
    _plain_ticks(bar.ax.yaxis)
    bar.ax.tick_params(labelsize=8)
    _save(figure, path, [card], f"step {found[0].step}; ")


def aging_figure(runs: Sequence[RunAging], path: Path) -> None:
    """What a book costs over the own Huffman code against its age: a row per view, a column per
    run and book, a line per kind."""
    columns = [(run, built) for run in runs for built in shown_books(run.card)]
    views = [view.view for view in runs[0].views]
    figure, axes = plt.subplots(
        len(views),
        len(columns),
        figsize=(max(5.0, 0.6 + 3.0 * len(columns)), 1.1 + 2.5 * len(views)),
        squeeze=False,
        sharex="col",
        sharey="row",
        layout="constrained",
    )
    for row, view in zip(axes, views, strict=True):
        for axis, (run, built) in zip(row, columns, strict=True):
            _aging_panel(axis, run.view(view).over_steps, built)
        row[0].set_ylim(_lowest(axis.dataLim.y0 for axis in row), None)
        row[0].set_ylabel(f"extra code length, % ({view})", fontsize=9)
    for axis, (run, built) in zip(axes[0], columns, strict=True):
        axis.set_title(f"{run_title(run.card)}\nbook made at step {built}", fontsize=9, loc="left")
    for axis in axes[:, -1]:
        axis.annotate(
            f"{CLAIM_PERCENT:g} %",
            (1.01, CLAIM_PERCENT),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
        )
    for axis in axes[-1]:
        axis.set_xlabel("training steps since the book was made", fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8.5)
    _save(figure, path, [run.card for run in runs])


def _aging_panel(axis: Any, found: Sequence[StepAging], built: int) -> None:
    for aged in found:
        matrix, _, quantity = aged.kind.partition("_")
        ages, percent = aged.curve(built)
        second = matrix == "ffn2"
        axis.plot(
            ages[1:],
            np.maximum(percent[1:], SMALLEST_PERCENT),
            color=QUANTITIES.get(quantity, OTHER_COLOUR),
            linestyle="--" if second else "-",
            marker="s" if second else "o",
            markersize=3.5,
            markerfacecolor="white" if second else None,
            lw=1.4,
            label=kind_title(aged.kind),
        )
    axis.axhline(CLAIM_PERCENT, color="black", lw=0.9)
    axis.set_xscale("log", base=4)
    axis.set_yscale("log")
    _plain_ticks(axis.xaxis)
    _plain_ticks(axis.yaxis)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _lowest(smallest: Iterable[float]) -> float:
    """Lower end of a logarithmic axis for the *smallest* costs of its panels."""
    return 0.7 * max(SMALLEST_PERCENT, min([CLAIM_PERCENT, *smallest]))


def layers_figure(card: RecordCard, found: Sequence[LayerAging], view: str, path: Path) -> None:
    """Matrices of what the book of one layer costs on another, one panel per kind.

    The last row is the book of the average over all layers. *found* is of one step.
    """
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(0.9 + 2.3 * columns, 0.6 + 2.5 * rows),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    matrices = [np.vstack([f.over_huffman_percent, f.average_percent]) for f in found]
    norm = LogNorm(0.01, max(0.02, *(float(matrix.max()) for matrix in matrices)), clip=True)
    for axis, shown, matrix in zip(axes.flat, found, matrices, strict=False):
        image = axis.imshow(matrix, cmap=COLOUR_MAP, norm=norm, interpolation="nearest")
        axis.set_title(kind_title(shown.kind), fontsize=9, loc="left")
        axis.axhline(card.layers - 0.5, color="white", lw=2)
        names = [str(layer) for layer in range(card.layers)]
        every = max(1, card.layers // 6)
        axis.set_xticks(range(0, card.layers, every), names[::every])
        axis.set_yticks([*range(0, card.layers, every), card.layers], [*names[::every], "all"])
        axis.tick_params(labelsize=8)
        if card.layers <= MOST_NUMBERED_LAYERS:
            _number_cells(axis, matrix, norm)
    for axis in list(axes.flat)[len(found) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("book of layer", fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("coded layer", fontsize=9)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01)
    bar.set_label(f"above the layer's own Huffman code, % ({view})", fontsize=9)
    _plain_ticks(bar.ax.yaxis)
    bar.ax.tick_params(labelsize=8)
    _save(figure, path, [card], f"step {found[0].step}; ")


def _number_cells(axis: Any, matrix: Any, norm: Any) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.05 else "0"
        colour = "white" if norm(value) < 0.6 else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _plain_ticks(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: "")


def _save(figure: Any, path: Path, cards: Sequence[RecordCard], when: str = "") -> None:
    """Write *figure* as PNG, saying below it what was trained.

    Without a date and through a temporary name, so equal studies give equal files.
    """
    lines = [
        f"{card.model}: {card.what_it_is}; {when}{card.tokens} tokens a step" for card in cards
    ]
    height, below = figure.get_figheight(), FOOTER_INCHES + LINE_INCHES * (len(lines) - 1)
    figure.get_layout_engine().set(rect=(0, below / height, 1, 1 - below / height))
    figure.text(0.008, 0.05 / height, "\n".join(lines), fontsize=7.5, color="#555555")
    write_png(figure, path)
    plt.close(figure)
