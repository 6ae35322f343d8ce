"""Codebooks re-limited for smaller hardware."""

from __future__ import annotations

import pytest

from hw.books import limit_cost
from linksim.codecs import CodebookSet

BOOK = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]


@pytest.mark.parametrize("max_length", [11, 12, 14])
def test_a_limited_book_is_a_code_of_the_same_symbols(max_length):
    book = BOOK.of_family("huffman", max_length)
    assert (book.max_length, max(book.lengths), min(book.lengths)) == (max_length, max_length, 2)
    assert 0 not in book.lengths
    assert sum(2.0**-length for length in book.lengths) <= 1
    assert book.frequencies == BOOK.frequencies


def test_what_the_limit_costs():
    cost = limit_cost(BOOK, 12)
    assert cost.entropy == pytest.approx(3.177, abs=0.001)
    assert cost.unlimited == pytest.approx(3.211, abs=0.001)
    assert cost.limited == pytest.approx(3.291, abs=0.001)
    assert cost.relative == pytest.approx(0.025, abs=0.001)
    assert limit_cost(BOOK, 16).relative == 0
