"""Code families: what they may be made of, and that they are the best of their kind."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs.code_families import FAMILY_NAMES, family_code, family_lengths
from linksim.errors import LinksimError
from tests.conftest import gaussian_book

COUNTS = st.integers(4, 8).flatmap(
    lambda bits: st.lists(st.integers(1, 1 << 40), min_size=1 << bits, max_size=1 << bits)
)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@given(counts=COUNTS)
def test_every_word_decodes_to_its_symbol(family: str, counts: list[int]) -> None:
    lengths = family_lengths(family, np.array(counts), 16)
    code = family_code(family, lengths, max(lengths))
    symbols, found = code.decode_table
    for symbol, length in enumerate(lengths):
        entry = int(code.words[symbol])
        assert entry < 1 << length
        assert (symbols[entry], found[entry]) == (symbol, length)


@given(counts=COUNTS)
def test_huffman_is_shortest_and_quad_length_beats_dual_length(counts: list[int]) -> None:
    cost = {
        family: sum(
            c * n for c, n in zip(counts, family_lengths(family, np.array(counts), 16), strict=True)
        )
        for family in FAMILY_NAMES
    }
    assert cost["huffman"] == min(cost.values())
    if len(counts) == 256:
        assert cost["quad-length"] <= 8 * sum(counts)


def test_dual_length_words_are_those_of_the_paper() -> None:
    """Prefix 0 and a 3-bit index, prefix 1 and the symbol itself (arXiv 2602.17849v1)."""
    code = gaussian_book("pooled").of_family("dual-length").code
    short = [symbol for symbol, length in enumerate(code.lengths) if length == 4]
    assert short == [58, 59, 60, 61, 186, 187, 188, 189]
    assert [int(code.words[symbol]) for symbol in short] == [index << 1 for index in range(8)]
    assert all(code.words[s] == s << 1 | 1 for s in range(256) if s not in short)


def test_dual_length_matches_the_published_compressibility() -> None:
    """Normal values of deviation 1, both bytes pooled: 18.9 %, the paper's tensor 18.6 %."""
    book = gaussian_book("pooled", scale=1.0).of_family("dual-length")
    p = np.array(book.frequencies) / sum(book.frequencies)
    assert 100 * (1 - p @ np.array(book.lengths) / 8) == pytest.approx(18.9, abs=0.2)
    assert [s for s, n in enumerate(book.lengths) if n == 4] == [61, 62, 63, 64, 189, 190, 191, 192]


@given(counts=st.lists(st.integers(1, 1000), min_size=16, max_size=16))
def test_quad_length_is_the_best_choice_of_areas(counts: list[int]) -> None:
    """Against every choice, found another way: how many areas of each of at most four sizes."""
    descending = sorted(counts, reverse=True)
    best = min(
        sum(c * n for c, n in zip(descending, sorted(words)[:16], strict=False))
        for sizes in (s for k in range(1, 5) for s in combinations(range(5), k))
        for words in area_words(sizes)
    )
    lengths = family_lengths("quad-length", np.array(counts), 16)
    assert sum(c * n for c, n in zip(counts, lengths, strict=True)) == best


def area_words(sizes: tuple[int, ...]) -> list[list[int]]:
    """Word lengths of eight areas of 2**k words, k of *sizes*, that hold 16 symbols."""
    found = []

    def extend(areas: list[int]) -> None:
        if len(areas) == 8:
            words = [3 + k for k in areas for _ in range(1 << k)]
            if len(words) >= 16:
                found.append(words)
            return
        for k in sizes:
            if not areas or k >= areas[-1]:
                extend([*areas, k])

    extend([])
    return found


@pytest.mark.parametrize(
    ("family", "lengths", "problem"),
    [
        ("quad-length", (3, 4, 5, 6, 7, *(9,) * 251), "at most 4 different"),
        ("quad-length", (2, *(9,) * 255), "none below 3"),
        ("dual-length", (4,) * 7 + (9,) * 249, "expected 8 symbols of 4 bits"),
        ("index-escape", (3,) * 6 + (11,) * 250, "expected 7 symbols of 3 bits"),
        ("index-escape", (8,) * 256, "expected 1 to 7"),
        ("tunstall", (8,) * 256, "unknown code family"),
        ("huffman", (1, 1, 1) + (16,) * 253, "Kraft"),
    ],
)
def test_lengths_that_make_no_code_are_refused(
    family: str, lengths: tuple[int, ...], problem: str
) -> None:
    with pytest.raises(LinksimError, match=problem):
        family_code(family, lengths, 16)


def test_a_book_without_frequencies_cannot_change_its_family() -> None:
    book = gaussian_book()
    assert book.of_family("quad-length").of_family("huffman").lengths == book.lengths
    bare = type(book)(book.name, book.dtype, book.view, book.kind, book.lengths)
    with pytest.raises(LinksimError, match="no frequencies to make a dual-length code"):
        bare.of_family("dual-length")
