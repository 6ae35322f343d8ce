"""How fixed codebooks age: over training steps, from layer to layer and from shard to shard.

All figures are of coded symbols alone, without framing and, in the exponent view, without the
mantissa byte that travels as it is. So they are what the *code* loses; a message loses less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, build_codebook
from linksim.codecs.prefix_code import package_merge
from linksim.tensors.histograms import Histogram, entropy_bits
from linksim.traces.histograms import ALPHABET, HistogramArchive, RecordCard

Matrix = NDArray[np.float64]

CLAIM_PERCENT = 0.5
"""How far above a tensor's own Huffman code arXiv 2601.10673 finds fixed codebooks."""

CLOSEST_AGES = 1.3
"""Least ratio of neighbouring ages in a curve."""


@dataclass(frozen=True)
class StepAging:
    """One kind: the books of every recorded step on that step and all later ones.

    There is one book per layer, and bits are summed over layers.
    """

    kind: str
    steps: tuple[int, ...]
    over_huffman_percent: Matrix
    """Code length above the own Huffman code of step t, float64 [book's step, t]; NaN where t is
    earlier than the book."""
    over_entropy_percent: Matrix
    """Like it, above the Shannon entropy of step t."""

    def curve(self, built_at: int) -> tuple[NDArray[np.int64], Matrix]:
        """The book of step *built_at* by its age: ages in steps, int64 [n], from 0 on, and what it
        then costs over the own Huffman code in percent, float64 [n].

        Ages less than `CLOSEST_AGES` apart are left out: where steps after a later book were
        recorded, they lie on top of each other on a logarithmic axis.
        """
        row = self.steps.index(built_at)
        kept = [row]
        for column in range(row + 1, len(self.steps)):
            if self.steps[column] - built_at >= CLOSEST_AGES * (self.steps[kept[-1]] - built_at):
                kept.append(column)
        ages = np.array(self.steps, np.int64)[kept] - built_at
        return ages, self.over_huffman_percent[row, kept]


@dataclass(frozen=True)
class LayerAging:
    """One kind at one step: the book of every layer on every layer."""

    kind: str
    step: int
    over_huffman_percent: Matrix
    """Code length above the layer's own Huffman code, float64 [book's layer, coded layer]."""
    average_percent: Matrix
    """Like it, for the book of the average over all layers; float64 [coded layer]."""

    @property
    def foreign_percent(self) -> Matrix:
        """The costs of books of other layers, flat; float64 [layers x (layers - 1)]."""
        cost = self.over_huffman_percent
        return np.asarray(cost[~np.eye(len(cost), dtype=bool)])


@dataclass(frozen=True)
class ShardAging:
    """One kind at one step: every shard against the average over layers x shards."""

    kind: str
    step: int
    divergence_bits: Matrix
    """KL divergence D(shard || average) in bits per symbol, float64 [layers, shards]."""
    sampling_bits: float
    """What of it the finite size of a shard alone would make, were its symbols independent
    draws from the average: (symbols seen - 1) / (2 n ln 2) for n draws."""
    over_huffman_percent: Matrix
    """Cost of the one book of the average over the shard's own Huffman code, [layers, shards]."""
    layer_book_percent: Matrix
    """Like it, with one book per layer, of the average over its shards."""


@dataclass(frozen=True)
class ViewAging:
    """Everything about one symbol view; lists have one entry per kind, in the card's order."""

    view: str
    over_steps: tuple[StepAging, ...]
    over_layers: tuple[LayerAging, ...]
    """At the first and at the last recorded step."""
    over_shards: tuple[ShardAging, ...]
    """At every step recorded shard by shard."""


@dataclass(frozen=True)
class RunAging:
    """One archive: how codebooks age in its training run."""

    card: RecordCard
    views: tuple[ViewAging, ...]

    def view(self, name: str) -> ViewAging:
        """What was found in symbol view *name*."""
        return next(view for view in self.views if view.view == name)

    def document(self) -> dict[str, Any]:
        """All figures, JSON-able: percent and bits per symbol; null where a book is from later."""
        return {
            "card": self.card.model_dump(mode="json"),
            "views": {view.view: _view_document(view) for view in self.views},
        }


def aging(archive: HistogramArchive) -> RunAging:
    """How the codebooks of every symbol view and kind of *archive* age."""
    return RunAging(archive.card, tuple(_view(archive, view) for view in archive.card.views))


def _view(archive: HistogramArchive, view: str) -> ViewAging:
    card = archive.card
    layer_steps = dict.fromkeys((card.steps[0], card.steps[-1]))
    return ViewAging(
        view,
        tuple(step_aging(archive, view, kind) for kind in card.kinds),
        tuple(layer_aging(archive, view, k, step) for step in layer_steps for k in card.kinds),
        tuple(shard_aging(archive, view, k, step) for step in card.shard_steps for k in card.kinds),
    )


def step_aging(archive: HistogramArchive, view: str, kind: str) -> StepAging:
    """Books of every recorded step of one *kind*, one per layer, on the steps after it."""
    steps = archive.card.steps
    counts = np.stack([archive.layer_counts(view, step, kind) for step in steps])
    lengths = np.array([[_lengths(archive, view, [layer]) for layer in step] for step in counts])
    coded = np.einsum("sla,tla->st", lengths, counts).astype(np.float64)
    coded[np.tril_indices(len(steps), -1)] = np.nan
    return StepAging(
        kind,
        steps,
        _above(coded, own_huffman_bits(counts).sum(axis=1)),
        _above(coded, entropy_total_bits(counts).sum(axis=1)),
    )


def layer_aging(archive: HistogramArchive, view: str, kind: str, step: int) -> LayerAging:
    """Books of every layer of one *kind* at one *step*, on every layer."""
    counts = archive.layer_counts(view, step, kind)
    own = own_huffman_bits(counts)
    lengths = np.array([_lengths(archive, view, [layer]) for layer in counts])
    average = _lengths(archive, view, list(counts))
    return LayerAging(kind, step, _above(lengths @ counts.T, own), _above(counts @ average, own))


def shard_aging(archive: HistogramArchive, view: str, kind: str, step: int) -> ShardAging:
    """Every shard of one *kind* at one *step* against the average over layers x shards."""
    counts = archive.shard_counts(view, step, kind)
    own = own_huffman_bits(counts)
    of_all = _lengths(archive, view, list(counts.reshape(-1, ALPHABET)))
    of_layer = np.array([_lengths(archive, view, list(layer)) for layer in counts])
    return ShardAging(
        kind,
        step,
        divergence_from_average(counts),
        _sampling_bits(counts),
        _above(counts @ of_all, own),
        _above(np.einsum("lsa,la->ls", counts, of_layer), own),
    )


def divergence_from_average(counts: Histogram) -> Matrix:
    """KL divergence of every distribution from the mean of all, in bits per symbol.

    *counts* [layers, shards, alphabet] gives float64 [layers, shards]. Every shard counts the
    same. The mean has every symbol that a shard has, so nothing is smoothed.
    """
    shares = counts / counts.sum(axis=-1, keepdims=True)
    mean = shares.mean(axis=(0, 1))
    seen = shares > 0
    ratio = np.divide(shares, mean, out=np.ones_like(shares), where=seen)
    return np.asarray(np.maximum(0.0, (shares * np.log2(ratio)).sum(axis=-1)), np.float64)


def own_huffman_bits(counts: Histogram) -> NDArray[np.int64]:
    """Bits that every histogram's own Huffman code takes, its codebook not counted.

    *counts* [..., alphabet] gives int64 [...]; the code is `codec eval`'s, of at most 16 bits.
    """
    rows = counts.reshape(-1, counts.shape[-1])
    bits = [int(row @ np.array(package_merge(row, DEFAULT_MAX_LENGTH))) for row in rows]
    return np.array(bits, np.int64).reshape(counts.shape[:-1])


def entropy_total_bits(counts: Histogram) -> Matrix:
    """Shannon entropy times symbols: *counts* [..., alphabet] gives float64 bits [...]."""
    rows = counts.reshape(-1, counts.shape[-1])
    bits = [int(row.sum()) * entropy_bits(row) for row in rows]
    return np.array(bits, np.float64).reshape(counts.shape[:-1])


def _lengths(
    archive: HistogramArchive, view: str, histograms: Sequence[Histogram]
) -> NDArray[np.int64]:
    symbols = archive.card.symbol_view(view)
    book = build_codebook("aging", symbols, "aging", list(histograms))
    return np.array(book.lengths, np.int64)


def _above(coded: NDArray[Any], bound: NDArray[Any]) -> Matrix:
    """How far *coded* bits lie above *bound* bits, in percent; 0 where there is nothing to code.

    A tensor whose symbols are all equal has entropy 0, which no share can be taken of.
    """
    ratio = np.divide(coded, bound, out=np.ones(np.shape(coded)), where=bound > 0)
    return np.asarray(100 * (ratio - 1), np.float64)


def _sampling_bits(counts: Histogram) -> float:
    seen = np.count_nonzero(counts.sum(axis=(0, 1)))
    drawn = counts.sum(axis=-1).mean()
    return float((seen - 1) / (2 * drawn * math.log(2)))


def _view_document(view: ViewAging) -> dict[str, Any]:
    return {
        "over_steps": {
            aged.kind: {
                "steps": list(aged.steps),
                "over_huffman_percent": _listed(aged.over_huffman_percent),
                "over_entropy_percent": _listed(aged.over_entropy_percent),
            }
            for aged in view.over_steps
        },
        "over_layers": [
            {
                "kind": aged.kind,
                "step": aged.step,
                "over_huffman_percent": _listed(aged.over_huffman_percent),
                "average_percent": _listed(aged.average_percent),
            }
            for aged in view.over_layers
        ],
        "over_shards": [
            {
                "kind": aged.kind,
                "step": aged.step,
                "divergence_bits": _listed(aged.divergence_bits),
                "divergence_mean_bits": round(float(aged.divergence_bits.mean()), 6),
                "divergence_max_bits": round(float(aged.divergence_bits.max()), 6),
                "sampling_bits": round(aged.sampling_bits, 6),
                "over_huffman_mean_percent": round(float(aged.over_huffman_percent.mean()), 4),
                "over_huffman_max_percent": round(float(aged.over_huffman_percent.max()), 4),
                "layer_book_mean_percent": round(float(aged.layer_book_percent.mean()), 4),
                "layer_book_max_percent": round(float(aged.layer_book_percent.max()), 4),
            }
            for aged in view.over_shards
        ],
    }


def _listed(matrix: Matrix) -> list[Any]:
    """The rows of *matrix* as lists, rounded; NaN, which JSON lacks, becomes None."""
    if matrix.ndim > 1:
        return [_listed(row) for row in matrix]
    return [None if math.isnan(value) else round(float(value), 5) for value in matrix]
