"""Scale-free codebooks: a few books, each fitted to many tensors up to a shift of their symbols.

A power-of-two scale moves every exponent of a tensor by the same number of symbols, and a chunk's
exponent bias moves it back. So tensors of different scale are first shifted onto one another and
then averaged: K-means (Lloyd 1982) in code-length space.

1. Start from the books of K of the tensors, chosen greedily for least total code length.
2. Assign every tensor to the book and bias that code it in fewest bits.
3. Shift each tensor by its bias and average the distributions of every book's tensors, each tensor
   counting the same; smooth; make the code (package-merge).
4. Repeat 2 and 3 until no assignment changes; the cheapest books seen are the result.

Nothing is random. With K = 1 the result is a *universal* book.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.chunk import MAX_BIAS, MAX_SLOTS, MIN_BIAS
from linksim.codecs.code_families import family_lengths
from linksim.codecs.codebook import ANY_KIND, DEFAULT_MAX_LENGTH, Codebook
from linksim.codecs.planning import bias_candidates, biased_bits, rolled
from linksim.errors import LinksimError
from linksim.tensors.histograms import Histogram
from linksim.tensors.views import SymbolView

Shares = NDArray[np.float64]
"""Distributions, float64 [tensors, alphabet]; every row sums to 1."""

MAX_ROUNDS = 50
MAX_SEEDS = 256
"""Most tensors that are tried as a start; of more, evenly spaced ones."""
TOTAL_COUNT = 1 << 20
"""Sum of a fitted book's frequencies, about."""

_MANTISSA_BITS = {"bf16": 7, "fp16": 10, "e4m3": 3, "e5m2": 2, "e3m2": 2, "e2m3": 3, "e2m1": 1}
_LOWEST_BIT = {"exponent": 7, "byte-planes": 8}
"""Bit of a 16-bit value that is bit 0 of its symbol."""


def scale_step(view: SymbolView) -> int:
    """By how many symbols a scale moves the symbols of *view*: an octave, or 0 where none does.

    bf16 `exponent` 1, fp16 `exponent` and e4m3 8, e5m2 4. A bf16 `byte-planes` symbol lacks the
    lowest exponent bit: there 1 symbol is two octaves. `pooled` of 16 bits mixes mantissa bytes in,
    and int8 has no exponent: 0.
    """
    if view.fmt.name not in _MANTISSA_BITS or (view.name == "pooled" and view.fmt.bits == 16):
        return 0
    return int(max(1, 1 << max(0, _MANTISSA_BITS[view.fmt.name] - _LOWEST_BIT.get(view.name, 0))))


@dataclass(frozen=True)
class Smoothing:
    """What is mixed into an average distribution before its code is made.

    A tail keeps exponents just outside those seen cheap; a floor keeps all symbols codable. The
    defaults are the best for the bf16 `exponent` view when real Gemma tensors and the bundled trace
    are coded with a book of other models. The choice matters little: with no tail or one of 15 %
    the mean loss is 0.01 to 0.04 % of the value higher, the worst real tensor 1 % to either side.
    """

    tail: float = 0.05
    """Share of the distribution spread to both sides; where symbols have no scale, nothing."""
    ratio: float = 0.7
    """By which the tail falls from octave to octave."""
    floor: float = 1e-4
    """Share spread evenly over the alphabet."""

    def describe(self, step: int) -> str:
        """One sentence for the `smoothing` field of a book."""
        floor = f"{100 * self.floor:g} % uniform"
        if not step or not self.tail:
            return floor
        return (
            f"{100 * self.tail:g} % spread to both sides by {self.ratio:g} per {step} "
            f"symbol{'s' * (step > 1)}, {floor}"
        )

    def counts(self, shares: Shares, step: int) -> Histogram:
        """Smoothed frequencies of one distribution, float64 [alphabet]; int64, at least 1 each."""
        tail = self.tail if step else 0.0
        mixed = (1 - tail - self.floor) * shares + self.floor / len(shares)
        if tail:
            reach = len(shares) // (4 * step)
            octaves = np.arange(-reach, reach + 1)
            weights = self.ratio ** np.abs(octaves)
            # Summed in a fixed order, not by a dot product, so that books are the same everywhere.
            spread = (rolled(shares, octaves * step) * weights).sum(axis=1)
            mixed = mixed + tail * spread / weights.sum()
        return np.maximum(1, np.rint(mixed * TOTAL_COUNT)).astype(np.int64)


DEFAULT_SMOOTHING = Smoothing()


@dataclass(frozen=True)
class BookFit:
    """Fitted books, and how they code the tensors they were fitted to."""

    books: tuple[Codebook, ...]
    book_of: tuple[int, ...]
    """Index of every tensor's book."""
    bias_of: tuple[int, ...]
    """Exponent bias of every tensor: symbol - bias is what the book codes."""
    bits_per_symbol: tuple[float, ...]
    """Mean over the tensors, round by round, the start first; the books are of the least."""


_Code = tuple[Histogram, NDArray[np.int64]]
"""Frequencies of a book's symbols and the lengths of their code words."""


@dataclass(frozen=True)
class _Assignment:
    book_of: NDArray[np.int64]
    bias_of: NDArray[np.int64]
    bits_per_symbol: float

    def same(self, other: _Assignment) -> bool:
        return np.array_equal(self.book_of, other.book_of) and np.array_equal(
            self.bias_of, other.bias_of
        )


def fit_books(
    name: str,
    view: SymbolView,
    histograms: Sequence[Histogram],
    count: int = 1,
    *,
    kind: str = ANY_KIND,
    aligned: bool = True,
    max_length: int = DEFAULT_MAX_LENGTH,
    smoothing: Smoothing = DEFAULT_SMOOTHING,
    source: str = "",
) -> BookFit:
    """*count* codebooks for *histograms*, each int64 [alphabet], up to a shift of the symbols.

    Without *aligned* nothing is shifted: the plain average. Every book's bias 0 is the median bias
    of its tensors, so far as all of them stay within reach. Books of most tensors come first.
    Raises LinksimError for an empty histogram and for fewer tensors than books.
    """
    stacked = _stacked(histograms, view, count)
    step = scale_step(view)
    biases = bias_candidates(step if aligned else 0)
    shares = stacked / stacked.sum(axis=1, keepdims=True)
    smoothed = [smoothing.counts(own, step) for own in shares]
    counts = [smoothed[i] for i in _seeds(shares, smoothed, biases, count)]
    history: list[float] = []
    best: tuple[_Assignment, list[_Code]] | None = None
    previous: _Assignment | None = None
    for _ in range(MAX_ROUNDS):
        lengths = [np.array(family_lengths("huffman", c, max_length)) for c in counts]
        assigned = _assign(stacked, lengths, biases)
        history.append(assigned.bits_per_symbol)
        if best is None or assigned.bits_per_symbol < best[0].bits_per_symbol:
            best = assigned, list(zip(counts, lengths, strict=True))
        if previous is not None and assigned.same(previous):
            break
        previous = assigned
        counts = _averages(shares, assigned, counts, step, smoothing)
    assert best is not None  # noqa: S101  there is at least one round
    assigned, codes = _anchored(*best)
    books = [
        Codebook(
            name,
            view.fmt.name,
            view.name,
            kind,
            lengths=tuple(own.tolist()),
            max_length=max_length,
            source=source,
            smoothing=smoothing.describe(step),
            frequencies=tuple(frequencies.tolist()),
        )
        for frequencies, own in codes
    ]
    if count > 1:
        books = [replace(b, name=f"{name}.{number}") for number, b in enumerate(books, 1)]
    return BookFit(
        tuple(books),
        tuple(assigned.book_of.tolist()),
        tuple(assigned.bias_of.tolist()),
        tuple(history),
    )


def _stacked(histograms: Sequence[Histogram], view: SymbolView, count: int) -> Histogram:
    """The histograms as int64 [tensors, alphabet], checked."""
    if not 1 <= count <= MAX_SLOTS:
        raise LinksimError(f"{count} books to fit: expected 1 to {MAX_SLOTS}")
    if len(histograms) < count:
        raise LinksimError(f"{count} books to fit, but {len(histograms)} tensors: expected more")
    if any(h.shape != (view.alphabet,) or not h.sum() for h in histograms):
        raise LinksimError(f"a book is fitted to histograms of {view.alphabet} symbols, none empty")
    return np.stack(histograms).astype(np.int64)


def _seeds(
    shares: Shares, smoothed: list[Histogram], biases: NDArray[np.int64], count: int
) -> list[int]:
    """Tensors whose books, taken together, code all tensors shortest; chosen one by one."""
    tried = np.unique(np.linspace(0, len(shares) - 1, MAX_SEEDS).astype(np.int64))
    bits = np.empty((len(shares), len(tried)))
    for column, seed in enumerate(tried):
        # Ideal lengths serve here: whole ones only matter for the books that are kept.
        ideal = np.log2(smoothed[seed].sum() / smoothed[seed])
        bits[:, column] = biased_bits(shares, ideal, biases).min(axis=1)
    chosen: list[int] = []
    reached = np.full(len(shares), np.inf)
    for _ in range(count):
        totals = np.minimum(reached[:, None], bits).sum(axis=0)
        totals[chosen] = np.inf
        chosen.append(int(totals.argmin()))
        reached = np.minimum(reached, bits[:, chosen[-1]])
    return [int(tried[column]) for column in chosen]


def _assign(
    histograms: Histogram, lengths: list[NDArray[np.int64]], biases: NDArray[np.int64]
) -> _Assignment:
    """Book and bias of fewest bits for every tensor; ties to the lower book, then nearest 0."""
    bits = np.concatenate([biased_bits(histograms, own, biases) for own in lengths], axis=1)
    cheapest = bits.argmin(axis=1)
    mean = float((bits.min(axis=1) / histograms.sum(axis=1)).mean())
    return _Assignment(cheapest // len(biases), biases[cheapest % len(biases)], mean)


def _averages(
    shares: Shares,
    assigned: _Assignment,
    counts: list[Histogram],
    step: int,
    smoothing: Smoothing,
) -> list[Histogram]:
    """Smoothed average of every book's tensors, shifted; a book without tensors stays."""
    places = (np.arange(shares.shape[1]) + assigned.bias_of[:, None]) % shares.shape[1]
    shifted = np.take_along_axis(shares, places, axis=1)
    members = [assigned.book_of == book for book in range(len(counts))]
    return [
        smoothing.counts(shifted[own].mean(axis=0), step) if own.any() else kept
        for own, kept in zip(members, counts, strict=True)
    ]


def _anchored(assigned: _Assignment, codes: list[_Code]) -> tuple[_Assignment, list[_Code]]:
    """The same books with bias 0 at the median of their tensors, most tensors first.

    Code lengths move with their frequencies: made anew, symbols equally frequent could swap
    lengths, and the books would cost the tensors something else than was measured.
    """
    biases = assigned.bias_of.copy()
    moved = []
    for book, (frequencies, lengths) in enumerate(codes):
        own = assigned.book_of == book
        anchor = 0
        if own.any():
            ranked = np.sort(biases[own])
            median = ranked[(len(ranked) - 1) // 2]
            anchor = int(np.clip(median, ranked[-1] - MAX_BIAS, ranked[0] - MIN_BIAS))
        biases[own] -= anchor
        moved.append((np.roll(frequencies, anchor), np.roll(lengths, anchor)))
    sizes = np.bincount(assigned.book_of, minlength=len(codes))
    order = np.argsort(-sizes, kind="stable")
    place = np.argsort(order, kind="stable")
    return (
        replace(assigned, book_of=place[assigned.book_of], bias_of=biases),
        [moved[book] for book in order],
    )
