"""One self-contained chunk of the wire format, the NumPy reference.

Bit i of a chunk is bit i mod 8 of byte i // 8. A chunk of v symbols holds, from the front, a 24-bit
header and the code words without padding; from the back, the entry-point table and the rest bytes:

    bits 0-12    v - 1
    bits 13-17   codebook slot; 0 = raw: every symbol as itself, no table
    bits 18-23   exponent bias, signed: added to every decoded symbol, modulo the alphabet
    bits 24-     code words of symbols 0 .. v-1
    ...          zero bits
    last T + v R/8 bytes but T   the rest byte of every symbol, in order
    last T bytes                 table: the code bits of run k = 0 .. K-1, e bits each

with R rest bits per symbol, runs of q symbols, K = ceil(v/q) - 1 and e = bit_length(q x longest
code). The table lets decoders enter the stream at every run; `docs/format.md` has the whole format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.prefix_code import PrefixCode
from linksim.errors import LinksimError
from linksim.units import ceil_div

HEADER_BITS = 24
MAX_CHUNK_SYMBOLS = 8192
RAW_SLOT = 0
MAX_SLOTS = 31
MIN_BIAS, MAX_BIAS = -32, 31


@dataclass(frozen=True)
class ChunkPlan:
    """How a message is cut: per chunk, int64 [chunks], its symbols, slot, bias and bytes."""

    counts: NDArray[np.int64]
    slots: NDArray[np.int64]
    biases: NDArray[np.int64]
    nbytes: NDArray[np.int64]


@dataclass(frozen=True)
class ChunkShape:
    """What both ends agree on beside the books."""

    symbol_bits: int
    rest_bits: int
    run_symbols: int
    """q, the symbols between two entry points."""

    def entry_bits(self, code: PrefixCode) -> int:
        """Width e of a table entry: wide enough for a run of longest codes."""
        return (self.run_symbols * code.max_length).bit_length()

    def table_nbytes(self, symbol_count: int, code: PrefixCode, slot: int) -> int:
        """Bytes T of the table of a chunk of *symbol_count* symbols."""
        if slot == RAW_SLOT or symbol_count == 0:
            return 0
        return ceil_div((ceil_div(symbol_count, self.run_symbols) - 1) * self.entry_bits(code), 8)

    def nbytes(self, symbol_count: int, code_bits: int, code: PrefixCode, slot: int) -> int:
        """Size of a chunk without slack: header, *code_bits* of code words, rest bytes, table."""
        rest_nbytes = symbol_count * self.rest_bits // 8
        table_nbytes = self.table_nbytes(symbol_count, code, slot)
        return ceil_div(HEADER_BITS + code_bits, 8) + rest_nbytes + table_nbytes


def encode_chunks(
    shape: ChunkShape,
    symbols: NDArray[np.uint8],
    rest: NDArray[np.uint8],
    codes: Sequence[PrefixCode],
    plan: ChunkPlan,
) -> NDArray[np.uint8]:
    """The chunks of *plan* one behind the other, uint8 [sum of plan.nbytes]."""
    stops = np.cumsum(plan.counts)
    parts = (
        encode_chunk(
            shape,
            symbols[stop - count : stop],
            rest[stop - count : stop],
            slot=int(slot),
            code=codes[slot],
            bias=int(bias),
            nbytes=int(nbytes),
        )
        for stop, count, slot, bias, nbytes in zip(
            stops, plan.counts, plan.slots, plan.biases, plan.nbytes, strict=True
        )
    )
    return np.frombuffer(b"".join(parts), np.uint8)


def encode_chunk(
    shape: ChunkShape,
    symbols: NDArray[np.uint8],
    rest: NDArray[np.uint8],
    *,
    slot: int,
    code: PrefixCode,
    bias: int = 0,
    nbytes: int | None = None,
) -> bytes:
    """The chunk of *symbols* uint8 [v] and *rest* uint8 [v] or [0]; padded to *nbytes* if given."""
    biased = ((symbols.astype(np.int64) - bias) % len(code.lengths)).astype(np.uint8)
    lengths = code.length_table[biased]
    if (lengths == 0).any():
        raise LinksimError(f"symbol {int(biased[lengths == 0][0])} has no code in slot {slot}")
    exact = shape.nbytes(len(symbols), int(lengths.sum()), code, slot)
    size = exact if nbytes is None else nbytes
    header = len(symbols) - 1 | slot << 13 | (bias & 0x3F) << 18
    bits = np.zeros(size * 8, np.uint8)
    bits[:HEADER_BITS] = _bits_of(header, HEADER_BITS)
    starts = HEADER_BITS + np.cumsum(lengths) - lengths
    words = code.words[biased]
    for position in range(int(lengths.max())):
        reaching = lengths > position
        bits[starts[reaching] + position] = words[reaching] >> np.uint32(position) & np.uint32(1)
    table = _entry_table(shape, lengths, code) if slot != RAW_SLOT else b""
    data = np.packbits(bits, bitorder="little").tobytes()
    tail = rest.tobytes() + table
    return data[: size - len(tail)] + tail


def _entry_table(shape: ChunkShape, lengths: NDArray[np.int64], code: PrefixCode) -> bytes:
    run_bits = np.add.reduceat(lengths, np.arange(0, len(lengths), shape.run_symbols))[:-1]
    width = shape.entry_bits(code)
    joined = sum(int(bits) << (width * k) for k, bits in enumerate(run_bits))
    return joined.to_bytes(ceil_div(len(run_bits) * width, 8), "little")


def _bits_of(number: int, width: int) -> NDArray[np.uint8]:
    return np.array([number >> i & 1 for i in range(width)], np.uint8)
