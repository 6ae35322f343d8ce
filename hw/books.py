"""Codebooks with shorter code words, which take less hardware."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linksim.codecs import Codebook


def limited(book: Codebook, max_length: int) -> Codebook:
    """The Huffman code for the same frequencies with words of at most *max_length* bits.

    Raises LinksimError where the book holds no frequencies.
    """
    return book.of_family("huffman", max_length)


@dataclass(frozen=True)
class LimitCost:
    """Mean bits per symbol of a book and of its limited form, over the book's own frequencies."""

    entropy: float
    unlimited: float
    limited: float

    @property
    def relative(self) -> float:
        """How much longer code words get."""
        return self.limited / self.unlimited - 1


def limit_cost(book: Codebook, max_length: int) -> LimitCost:
    """What *max_length* costs *book*."""
    shares = np.array(book.frequencies) / sum(book.frequencies)

    def mean(code: Codebook) -> float:
        return float(shares @ np.array(code.lengths))

    return LimitCost(
        entropy=float(-shares @ np.log2(shares)),
        unlimited=mean(book),
        limited=mean(limited(book, max_length)),
    )
