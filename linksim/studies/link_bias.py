"""How a link chunk may choose its exponent bias: five policies, in code bits per flit.

A sketch of the link profile: blocks of equally many values stand for flits, and only the code bits
of the exponents are counted. What differs is what the encoder must know before it codes a flit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.chunk import MAX_BIAS, MIN_BIAS
from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, Codebook
from linksim.codecs.planning import biased_bits
from linksim.codecs.prefix_code import package_merge
from linksim.errors import LinksimError
from linksim.tensors.histograms import chunk_histograms

FLIT_VALUES = 171
"""bf16 values in a coded flit of 240 bytes, about: 3 bits of exponent and 8 rest bits each."""

BIASES = np.arange(MIN_BIAS, MAX_BIAS + 1)
POLICIES = {
    "none": "no bias",
    "message": "best bias of the whole message (needs two passes)",
    "flit": "best bias of every flit (needs all code lengths of the flit for every bias)",
    "previous": "best bias of the flit before (known when the flit starts)",
    "climb": "bias of the flit before, moved by at most 1 to what would have suited it better",
}


@dataclass(frozen=True)
class LinkBias:
    """Code bits per symbol of one tensor under every policy of `POLICIES`, and its own Huffman's.

    Policies `previous` and `climb` start the first flit at the bias of the whole message before, or
    0 where there is none.
    """

    name: str
    flits: int
    flit_values: int
    own_bits_per_symbol: float
    plain_bits_per_symbol: float
    """A book of the same tensors, averaged without shifting them, at no bias."""
    bits_per_symbol: dict[str, float]

    def above_own_percent(self, policy: str) -> float:
        """Bits of *policy* above the own Huffman code, in percent of the 16 bits of a value."""
        return 100 * (self.bits_per_symbol[policy] - self.own_bits_per_symbol) / 16

    def document(self) -> dict[str, Any]:
        """All fields and the losses, JSON-able."""
        above = {policy: round(self.above_own_percent(policy), 4) for policy in POLICIES}
        return asdict(self) | {"above_own_percent_of_value": above}


def link_bias(
    name: str, messages: Sequence[NDArray[np.uint8]], book: Codebook, plain: Codebook
) -> LinkBias:
    """The policies on exponents of *messages*, uint8 [n] each, coded with *book*.

    *plain* is the book without alignment, to compare with. A last flit that is not full is left
    out; LinksimError where no message fills a flit.
    """
    flits = [_flits(exponents) for exponents in messages if len(exponents) >= FLIT_VALUES]
    if not flits:
        raise LinksimError(f"{name}: no message fills a flit of {FLIT_VALUES} values")
    counts = np.concatenate(flits)
    own = np.array(package_merge(counts.sum(axis=0), DEFAULT_MAX_LENGTH))
    totals = dict.fromkeys(POLICIES, 0)
    start = 0
    for flit_counts in flits:
        bits = biased_bits(flit_counts, book.code.length_table, BIASES)
        for policy, total in policy_bits(bits, start).items():
            totals[policy] += total
        start = int(BIASES[bits.sum(axis=0).argmin()])
    symbols = int(counts.sum())
    return LinkBias(
        name,
        len(counts),
        FLIT_VALUES,
        float((counts @ own).sum() / symbols),
        float((counts @ plain.code.length_table).sum() / symbols),
        {policy: total / symbols for policy, total in totals.items()},
    )


def policy_bits(bits: NDArray[np.int64], start: int = 0) -> dict[str, int]:
    """Code bits of a message under every policy.

    *bits* int64 [flits, biases -32 to 31] is the code length of every flit under every bias;
    *start* is the bias of the first flit where a policy looks back.
    """
    flits = np.arange(len(bits))
    first = start - MIN_BIAS
    before = np.concatenate([[first], bits.argmin(axis=1)[:-1]])
    climbed, at = 0, first
    for row in bits:
        climbed += int(row[at])
        near = [place for place in (at, at - 1, at + 1) if 0 <= place < len(row)]
        at = min(near, key=lambda place: int(row[place]))
    return {
        "none": int(bits[:, -MIN_BIAS].sum()),
        "message": int(bits.sum(axis=0).min()),
        "flit": int(bits.min(axis=1).sum()),
        "previous": int(bits[flits, before].sum()),
        "climb": climbed,
    }


def _flits(exponents: NDArray[np.uint8]) -> NDArray[np.int64]:
    whole = len(exponents) // FLIT_VALUES * FLIT_VALUES
    return chunk_histograms(exponents[:whole], FLIT_VALUES)
