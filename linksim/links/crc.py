"""Cyclic redundancy checks, each defined once by its parameters; hardware is built from the same.

Software here goes byte by byte through one table; `hw.link_port` makes parities of the definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from linksim.errors import LinksimError

BLOCK_NBYTES = 128
"""UCIe computes its checksum over so many bytes; shorter ones are followed by zeros."""


@dataclass(frozen=True, kw_only=True)
class Crc:
    """One cyclic redundancy check.

    Raises LinksimError for a width outside 8 to 32 bits, or a value that does not fit it.
    """

    width: int
    """Bits of the checksum."""
    polynomial: int
    """Generator without its highest term: 0x8005 is x^16 + x^15 + x^2 + 1."""
    initial: int = 0
    """What the register holds before the first byte, highest bit first."""
    reflected: bool = True
    """True: bit 0 of a byte goes first, and bit 0 of the checksum is that of the highest power."""
    final_xor: int = 0

    def __post_init__(self) -> None:
        if not 8 <= self.width <= 32:
            raise LinksimError(f"crc: width: {self.width} bits: expected 8 to 32")
        for field in ("polynomial", "initial", "final_xor"):
            value = getattr(self, field)
            if not 0 <= value < 1 << self.width:
                raise LinksimError(f"crc: {field}: {value:#x}: expected {self.width} bits")

    def checksum(self, message: bytes) -> int:
        """The checksum of *message*."""
        row = np.frombuffer(message, np.uint8).reshape(1, -1)
        return int(self.checksums(row)[0])

    def checksums(self, messages: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """The checksum of every row: uint8 [n, nbytes] gives uint32 [n]."""
        initial = _mirrored(self.initial, self.width) if self.reflected else self.initial
        found = np.empty(len(messages), np.uint32)
        rows = np.ascontiguousarray(messages, np.uint8)
        _checksums(rows, _table(self), self.width, self.reflected, initial, self.final_xor, found)
        return found


UCIE_CRC = Crc(width=16, polynomial=0x8005)
"""(x + 1)(x^15 + x + 1) = x^16 + x^15 + x^2 + 1 from 0, bit 0 of byte 0 first (UCIe Specification
3.0, chapter 3). The first factor finds every odd number of wrong bits; the second is primitive and
finds every two that are less than 32767 bits apart."""


def block_checksum(message: bytes, crc: Crc = UCIE_CRC) -> bytes:
    """Checksum of up to 128 bytes as UCIe sends it: zeros are appended, the low byte goes first.

    LinksimError for a longer message.
    """
    if len(message) > BLOCK_NBYTES:
        raise LinksimError(f"a block of {len(message)} bytes: expected at most {BLOCK_NBYTES}")
    checksum = crc.checksum(message.ljust(BLOCK_NBYTES, b"\0"))
    return checksum.to_bytes((crc.width + 7) // 8, "little")


def _mirrored(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


@cache
def _table(crc: Crc) -> NDArray[np.uint32]:
    """What every byte, alone in the register, becomes in eight steps: uint32 [256]."""
    polynomial = _mirrored(crc.polynomial, crc.width) if crc.reflected else crc.polynomial
    top = 1 << (crc.width - 1)
    table = np.empty(256, np.uint32)
    for byte in range(256):
        register = byte if crc.reflected else byte << (crc.width - 8)
        for _ in range(8):
            if crc.reflected:
                register = register >> 1 ^ (polynomial if register & 1 else 0)
            else:
                register = (register << 1) ^ (polynomial if register & top else 0)
        table[byte] = register & (2 * top - 1)
    table.setflags(write=False)
    return table


@njit(cache=True, nogil=True)
def _checksums(
    rows: Any,
    table: Any,
    width: Any,
    reflected: Any,
    initial: Any,
    final_xor: Any,
    found: Any,
) -> None:
    mask = (1 << width) - 1
    for row in range(len(rows)):
        register = initial
        for byte in rows[row]:
            if reflected:
                register = register >> 8 ^ np.int64(table[(register ^ byte) & 0xFF])
            else:
                register = (register << 8) & mask ^ np.int64(
                    table[(register >> (width - 8) ^ byte) & 0xFF]
                )
        found[row] = register ^ final_xor
