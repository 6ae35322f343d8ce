"""Codebooks that between them have code words of every length, in several slots."""

from __future__ import annotations

import numpy as np

from linksim.codecs import Codebook, CodebookSet, build_codebook


def with_lengths(name: str, few: list[int], longest: int, first: int = 100) -> Codebook:
    """A book with one symbol of each length in *few*, from symbol *first* on; all others *longest*.

    The shortest words go to neighbouring symbols, as exponents of real tensors have them.
    """
    lengths = [longest] * 256
    lengths[first : first + len(few)] = few
    return Codebook(name, "bf16", "exponent", "any", tuple(lengths), max_length=longest)


def every_length(shortest: int = 1, longest: int = 16) -> list[Codebook]:
    """Three books: the first has all lengths but 8, the second 8 among others, the third is real.

    All lengths in one book would leave no room for 256 words of at most 16 bits. The first two
    codes are incomplete: there are bits that begin none of their words.
    """
    without_8 = [*range(shortest, 8), *range(9, longest)]
    real = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
    return [
        with_lengths("all-but-8", without_8, longest),
        with_lengths("with-8", [2, 2, 2, 4, 5, 6, 8], longest, first=40),
        real if longest == real.max_length else rebuilt(real, longest),
    ]


def rebuilt(book: Codebook, longest: int) -> Codebook:
    """A book for the same symbols with words of at most *longest* bits."""
    counts = np.maximum(1, np.exp2(24.0 - np.array(book.lengths))).astype(np.int64)
    return build_codebook(book.name, book.symbol_view, book.kind, [counts], max_length=longest)
