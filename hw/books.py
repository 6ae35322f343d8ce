"""What codebooks with shorter code words, which take less hardware, cost in bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linksim.codecs import Codebook


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
    """What code words of at most *max_length* bits cost *book*.

    LinksimError where the book holds no frequencies.
    """
    shares = np.array(book.frequencies) / sum(book.frequencies)

    def mean(code: Codebook) -> float:
        return float(shares @ np.array(code.lengths))

    return LimitCost(
        entropy=float(-shares @ np.log2(shares)),
        unlimited=mean(book),
        limited=mean(book.of_family("huffman", max_length)),
    )
