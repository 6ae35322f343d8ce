import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs.prefix_code import PrefixCode, identity_code, package_merge
from linksim.errors import LinksimError

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=64).filter(lambda c: any(c))


def unlimited_huffman_bits(counts: list[int]) -> int:
    """Total bits of the optimal code without a length limit: the sum of all merged weights."""
    heap = [c for c in counts if c]
    heapq.heapify(heap)
    if len(heap) == 1:
        return heap[0]
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


@given(COUNTS)
def test_package_merge_equals_huffman_where_the_limit_does_not_bind(counts: list[int]) -> None:
    lengths = package_merge(counts, 64)
    assert sum(n * c for n, c in zip(lengths, counts, strict=True)) == unlimited_huffman_bits(
        counts
    )


@given(COUNTS, st.integers(6, 16))
def test_package_merge_keeps_the_limit_and_fills_the_code(counts: list[int], limit: int) -> None:
    lengths = package_merge(counts, limit)
    used = [n for n in lengths if n]
    assert all((n > 0) == (c > 0) for n, c in zip(lengths, counts, strict=True))
    assert max(used) <= limit
    if len(used) > 1:
        assert sum(2.0**-n for n in used) == 1.0


def test_package_merge_is_optimal_under_a_binding_limit() -> None:
    # By hand: Fibonacci counts want lengths 1 2 3 4 5 5; a limit of 3 leaves 2 2 3 3 3 3.
    assert package_merge([13, 8, 5, 3, 2, 1], 64) == [1, 2, 3, 4, 5, 5]
    assert sorted(package_merge([13, 8, 5, 3, 2, 1], 3)) == [2, 2, 3, 3, 3, 3]
    with pytest.raises(LinksimError, match="do not fit"):
        package_merge([1] * 9, 3)


def test_canonical_words_are_lsb_first() -> None:
    code = PrefixCode((1, 2, 3, 3), 3)
    assert [int(w) for w in code.words] == [0b0, 0b01, 0b011, 0b111]
    symbols, lengths = code.decode_table
    assert (symbols[0b101], lengths[0b101]) == (1, 2)


@given(COUNTS, st.integers(6, 12))
def test_decode_table_inverts_the_words(counts: list[int], limit: int) -> None:
    code = PrefixCode(tuple(package_merge(counts, limit)), limit)
    symbols, lengths = code.decode_table
    for symbol, length in enumerate(code.lengths):
        if length:
            word = int(code.words[symbol])
            assert (symbols[word], lengths[word]) == (symbol, length)


def test_bad_lengths_are_refused() -> None:
    with pytest.raises(LinksimError, match="Kraft"):
        PrefixCode((1, 1, 1), 4)
    with pytest.raises(LinksimError, match="0 to 4 bits"):
        PrefixCode((5,), 4)
    with pytest.raises(LinksimError, match="max_length is 17"):
        PrefixCode((1,), 17)


def test_identity_code_is_the_symbol_itself() -> None:
    code = identity_code(8)
    assert np.array_equal(code.words, np.arange(256))
    assert np.array_equal(code.decode_table[0], np.arange(256))
