"""Scale-free books: shifts cost nothing, planted distributions are found, no fit is worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs import HuffmanFixed, book_fitting
from linksim.codecs.book_fitting import (
    Smoothing,
    fit_books,
    scale_step,
)
from linksim.codecs.chunk import MAX_BIAS, MIN_BIAS
from linksim.codecs.planning import bias_candidates, biased_bits
from linksim.codecs.prefix_code import package_merge
from linksim.errors import LinksimError
from linksim.tensors.dtypes import FORMAT_NAMES, number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.scaling import scaled_cast
from linksim.tensors.views import SymbolView, symbol_view
from tests.conftest import gaussian

EXPONENT = symbol_view("exponent", number_format("bf16"))
SHARP = Smoothing(tail=0, floor=0)


def bell(at: int, width: float, count: int = 100_000) -> np.ndarray:
    """int64 [256]: a bell of *count* symbols around *at*."""
    places = np.arange(256) - at
    return np.rint(count * np.exp(-((places / width) ** 2))).astype(np.int64)


PLANTED = (bell(120, 1.2), bell(120, 4.0), bell(120, 12.0) + bell(100, 2.0, 60_000))


def loss_bits(counts: np.ndarray, book: np.ndarray, bias: int) -> int:
    """Bits of *counts* under *book* at *bias* above those of the best bias-0 fit to it alone."""
    (alone,) = fit_books("alone", EXPONENT, [counts], smoothing=SHARP).books
    cost = int(biased_bits(counts[None], book, np.array([bias]))[0, 0])
    return cost - int(counts @ alone.code.length_table)


def shifts_are_free() -> None:
    shifts = [-7, 0, 1, 20, 24]
    counted = [np.roll(PLANTED[1], shift) for shift in shifts]
    fit = fit_books("one", EXPONENT, counted, smoothing=SHARP)
    for counts, shift, bias in zip(counted, shifts, fit.bias_of, strict=True):
        assert bias - fit.bias_of[1] == shift
        assert loss_bits(counts, fit.books[0].code.length_table, bias) == 0
    # Bias 0 is the median tensor's, and every tensor stays within reach.
    assert sorted(fit.bias_of)[2] == 0
    assert all(MIN_BIAS <= bias <= MAX_BIAS for bias in fit.bias_of)


def shifts_change_nothing() -> None:
    """Tensors of unlike shape: the average is no tensor's own, and shifting them leaves it so."""
    counted = [bell(120, width) for width in (1.0, 2.0, 4.0, 8.0)]
    moved = [np.roll(own, shift) for own, shift in zip(counted, (9, -14, 3, 12), strict=True)]
    still, fit = (fit_books("one", EXPONENT, each).bits_per_symbol for each in (counted, moved))
    assert min(still) < still[0] - 0.01
    assert min(fit) == pytest.approx(min(still))


def test_shifted_histograms_are_one_book_without_loss() -> None:
    shifts_are_free()
    shifts_change_nothing()


def test_averaging_in_the_wrong_direction_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = book_fitting._averages

    def wrong(shares: Any, assigned: Any, *others: Any) -> Any:
        return right(shares, replace(assigned, bias_of=-assigned.bias_of), *others)

    monkeypatch.setattr(book_fitting, "_averages", wrong)
    with pytest.raises(AssertionError):
        shifts_change_nothing()


def test_anchoring_in_the_wrong_direction_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = book_fitting._anchored

    def wrong(assigned: Any, codes: Any) -> Any:
        anchored, [moved] = right(assigned, codes)
        by = int(moved[0].argmax()) - int(codes[0][0].argmax())
        return anchored, [tuple(np.roll(part, -2 * by) for part in moved)]

    monkeypatch.setattr(book_fitting, "_anchored", wrong)
    with pytest.raises(AssertionError):
        shifts_are_free()


def test_planted_distributions_are_found() -> None:
    generator = np.random.default_rng(5)
    truth = np.array([0, 1, 2] * 6)
    shifts = generator.integers(-15, 16, len(truth))
    counted = [np.roll(PLANTED[kind], s) for kind, s in zip(truth, shifts, strict=True)]
    fit = fit_books("three", EXPONENT, counted, 3, smoothing=SHARP)
    assert [book.name for book in fit.books] == ["three.1", "three.2", "three.3"]
    groups = {frozenset(np.flatnonzero(np.array(fit.book_of) == book)) for book in range(3)}
    assert groups == {frozenset(np.flatnonzero(truth == kind)) for kind in range(3)}
    for counts, book, bias in zip(counted, fit.book_of, fit.bias_of, strict=True):
        assert loss_bits(counts, fit.books[book].code.length_table, bias) == 0
    # One book for the three costs something.
    one = fit_books("one", EXPONENT, counted, 1, smoothing=SHARP)
    assert min(one.bits_per_symbol) > min(fit.bits_per_symbol) + 0.05


histograms = st.lists(
    st.lists(st.integers(0, 50), min_size=256, max_size=256).map(
        lambda counts: np.array(counts, np.int64) + (np.arange(256) == 7)
    ),
    min_size=1,
    max_size=6,
)


@given(histograms, st.integers(1, 3))
def test_a_fit_never_costs_more_than_its_start(counted: list[np.ndarray], count: int) -> None:
    count = min(count, len(counted))
    fit = fit_books("any", EXPONENT, counted, count)
    assert min(fit.bits_per_symbol) <= fit.bits_per_symbol[0]
    # What is reported is what the books cost.
    costs = [
        int(biased_bits(own[None], fit.books[book].code.length_table, np.array([bias]))[0, 0])
        for own, book, bias in zip(counted, fit.book_of, fit.bias_of, strict=True)
    ]
    mean = np.mean([cost / own.sum() for cost, own in zip(costs, counted, strict=True)])
    assert mean == pytest.approx(min(fit.bits_per_symbol))
    # Book and bias are those of least cost, among all that reach the anchor's window.
    for own, cost in zip(counted, costs, strict=True):
        every = np.arange(2 * MIN_BIAS, 2 * MAX_BIAS)
        best = min(biased_bits(own[None], b.code.length_table, every).min() for b in fit.books)
        assert best <= cost


@given(histograms)
def test_one_tensor_gets_its_own_code(counted: list[np.ndarray]) -> None:
    (book,) = fit_books("own", EXPONENT, counted[:1], smoothing=SHARP).books
    own = np.array(package_merge(np.maximum(1, counted[0]), 16))
    # Frequencies are rounded to one part in a million, so lengths are the best but for that.
    lengths = book.code.length_table
    assert counted[0] @ lengths <= counted[0] @ own + 0.01 * counted[0].sum()


def test_it_is_what_the_codec_does() -> None:
    """A tensor at eight scales, coded with the one book, takes the same bytes at each."""
    values = [
        np.ldexp(gaussian(8192).astype(np.float32), k).astype(ml_dtypes.bfloat16)
        for k in range(-12, 12, 3)
    ]
    counted = [histogram(EXPONENT.split(v)[0]) for v in values]
    (book,) = fit_books("one", EXPONENT, counted).books
    codec = HuffmanFixed([book], exponent_bias=True)
    assert len({codec.encoded_nbytes(v) for v in values}) == 1
    assert all(codec.decode(codec.encode(v)).tobytes() == v.tobytes() for v in values)
    without = HuffmanFixed([book])
    assert len({without.encoded_nbytes(v) for v in values}) > 4


@pytest.mark.parametrize(
    ("dtype", "view", "step"),
    [
        ("bf16", "exponent", 1),
        ("bf16", "byte-planes", 1),
        ("bf16", "pooled", 0),
        ("fp16", "exponent", 8),
        ("fp16", "byte-planes", 4),
        ("fp16", "pooled", 0),
        ("e4m3", "pooled", 8),
        ("e5m2", "pooled", 4),
        ("e3m2", "pooled", 4),
        ("e2m3", "pooled", 8),
        ("e2m1", "pooled", 2),
        ("int8", "pooled", 0),
    ],
)
def test_a_step_is_an_octave(dtype: str, view: str, step: int) -> None:
    of = symbol_view(view, number_format(dtype))
    assert scale_step(of) == step
    if step and dtype != "bf16":
        # Doubling a value in the middle of the range moves its symbol by one step.
        values = np.array([-1.0, 1.0]).astype(of.fmt.numpy)
        twice = (values.astype(np.float32) * 2).astype(of.fmt.numpy)
        assert (of.split(twice)[0].astype(int) - of.split(values)[0]).tolist() == [step, step]
    assert all(bias % step == 0 if step else bias == 0 for bias in bias_candidates(step))


def test_byte_planes_of_bf16_move_by_two_octaves() -> None:
    of = symbol_view("byte-planes", number_format("bf16"))
    values = np.array([-1.5, 1.5]).astype(ml_dtypes.bfloat16)
    four = (values.astype(np.float32) * 4).astype(ml_dtypes.bfloat16)
    assert (of.split(four)[0].astype(int) - of.split(values)[0]).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", FORMAT_NAMES)
def test_every_symbol_stays_codable_in_every_format(dtype: str) -> None:
    fmt = number_format(dtype)
    of = symbol_view("exponent" if fmt.bits == 16 else "pooled", fmt)
    counts = histogram(of.split(scaled_cast(gaussian(3000), dtype))[0], of.alphabet)
    (book,) = fit_books("small", of, [counts], source="a draw").books
    assert min(book.lengths) > 0
    assert len(book.frequencies) == of.alphabet
    assert (book.kind, book.source) == ("any", "a draw")
    assert "0.01 % uniform" in book.smoothing
    assert ("spread" in book.smoothing) == (scale_step(of) > 0)


def test_the_tail_is_around_what_was_seen() -> None:
    lone = (np.arange(256) == 120).astype(float)
    counts = Smoothing(tail=0.1, ratio=0.5, floor=0).counts(lone, 1)
    assert counts[121] == counts[119] == pytest.approx(counts[122] * 2, rel=1e-3)
    assert counts[121] / counts.sum() == pytest.approx(0.1 * 0.5 / 3, rel=1e-3)
    strided = Smoothing(tail=0.1, ratio=0.5, floor=0).counts(lone, 8)
    assert strided[128] > 1000
    assert strided[121] == 1


def test_without_alignment_it_is_the_plain_average() -> None:
    counted = [np.roll(PLANTED[0], shift) for shift in (0, 20)]
    fit = fit_books("plain", EXPONENT, counted, aligned=False)
    assert set(fit.bias_of) == {0}
    lengths = fit.books[0].code.length_table
    assert lengths[120] == lengths[140] == 2


def bad(count: int, *counted: np.ndarray, view: SymbolView = EXPONENT) -> str:
    with pytest.raises(LinksimError) as caught:
        fit_books("bad", view, counted, count)
    return str(caught.value)


def test_what_cannot_be_fitted_is_refused() -> None:
    assert "0 books to fit: expected 1 to 31" in bad(0, PLANTED[0])
    assert "2 books to fit, but 1 tensors" in bad(2, PLANTED[0])
    assert "none empty" in bad(1, np.zeros(256, np.int64))
    assert "of 256 symbols" in bad(1, np.ones(16, np.int64))
