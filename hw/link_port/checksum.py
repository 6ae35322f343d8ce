"""The flit checksum of a whole word at once."""

from __future__ import annotations

from functools import cache

from amaranth import Cat, Value

from hw.link_port.flit_format import WORD_NBYTES
from linksim.links.crc import UCIE_CRC


def word_checksum(word: Value) -> Value:
    """The checksum of 64 bytes, as parities of some of their bits each.

    To go on from the checksum of bytes before them, exclusive-or it into the lowest 16 bits of
    *word* first: a reflected CRC does nothing else with its state.
    """
    return Cat(*((word & mask).xor() for mask in _parity_masks()))


@cache
def _parity_masks() -> tuple[int, ...]:
    """For every bit of the checksum the bits of a word it is the parity of."""
    masks = [0] * UCIE_CRC.width
    for bit in range(8 * WORD_NBYTES):
        checksum = UCIE_CRC.checksum((1 << bit).to_bytes(WORD_NBYTES, "little"))
        for place in range(len(masks)):
            masks[place] |= (checksum >> place & 1) << bit
    return tuple(masks)
