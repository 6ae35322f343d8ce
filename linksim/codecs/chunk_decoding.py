"""Decoding chunks, the NumPy reference: every run of every chunk is a lane, all in lockstep.

Untrusted bytes are checked against every rule of the format; what `encode_chunk` cannot have made
raises LinksimError with the index of the chunk and the rule it breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.chunk import HEADER_BITS, MAX_BIAS, RAW_SLOT, ChunkShape
from linksim.codecs.prefix_code import PrefixCode
from linksim.errors import LinksimError
from linksim.units import ceil_div


@dataclass(frozen=True)
class _Layout:
    """Where the parts of one chunk lie."""

    count: int
    slot: int
    bias: int
    body_nbytes: int
    """Header and code words, up to the rest bytes."""
    run_starts: list[int]
    """Bit position of every run in the chunk."""
    rest: bytes


def decode_chunks(
    shape: ChunkShape,
    parts: Sequence[bytes],
    codes: Sequence[PrefixCode],
    counts: NDArray[np.int64] | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Symbols uint8 [n] and rest bytes uint8 [n] or [0] of the chunks *parts*, in order.

    *codes* are the books' codes by slot, raw first. *counts*, int64 [chunks], are the symbols that
    every chunk of a bulk message must hold, in its exact size; none given means chunks of a link
    message, which hold what they say and may have zero bits before the tail.
    """
    layouts = []
    for index, part in enumerate(parts):
        try:
            layouts.append(_layout(shape, part, codes))
            if counts is not None and layouts[-1].count != counts[index]:
                raise LinksimError(
                    f"it holds {layouts[-1].count} symbols: expected {counts[index]}"
                )
        except LinksimError as error:
            raise LinksimError(f"chunk {index}: {error}") from None
    if not layouts:
        return np.empty(0, np.uint8), np.empty(0, np.uint8)
    bodies = [part[: lay.body_nbytes] for part, lay in zip(parts, layouts, strict=True)]
    # Four zero bytes behind every body: a lane that runs wild reads them, not the next chunk.
    joined = np.frombuffer(b"".join(body + bytes(4) for body in bodies), np.uint8)
    symbols, ends = _decode_lanes(shape, joined, layouts, codes)
    for index, (body, end) in enumerate(zip(bodies, ends, strict=True)):
        _check_gap(index, body, int(end), counts is None)
    rest = np.frombuffer(b"".join(lay.rest for lay in layouts), np.uint8)
    return symbols, rest


def _layout(shape: ChunkShape, data: bytes, codes: Sequence[PrefixCode]) -> _Layout:
    """Read header and entry-point table of one chunk."""
    if len(data) < HEADER_BITS // 8:
        raise LinksimError(f"{len(data)} bytes are shorter than a header")
    header = int.from_bytes(data[: HEADER_BITS // 8], "little")
    count, slot, bias = (header & 0x1FFF) + 1, header >> 13 & 0x1F, header >> 18
    if slot >= len(codes):
        raise LinksimError(f"codebook slot {slot} is unknown: there are {len(codes) - 1} books")
    if slot == RAW_SLOT and bias:
        raise LinksimError("a raw chunk has an exponent bias")
    code = codes[slot]
    rest_nbytes = count * shape.rest_bits // 8
    body = len(data) - rest_nbytes - shape.table_nbytes(count, code, slot)
    if body * 8 < HEADER_BITS + count:
        raise LinksimError(f"{count} symbols do not fit {len(data)} bytes")
    starts = _run_starts(shape, count, slot, code, data[body + rest_nbytes :])
    if starts[-1] > body * 8:
        raise LinksimError("the entry-point table points past the code words")
    signed = bias - 64 if bias > MAX_BIAS else bias
    return _Layout(count, slot, signed, body, starts, data[body : body + rest_nbytes])


def _run_starts(
    shape: ChunkShape, count: int, slot: int, code: PrefixCode, table: bytes
) -> list[int]:
    runs = ceil_div(count, shape.run_symbols)
    if slot == RAW_SLOT:
        return [HEADER_BITS + run * shape.run_symbols * code.max_length for run in range(runs)]
    width, joined = shape.entry_bits(code), int.from_bytes(table, "little")
    starts = [HEADER_BITS]
    for _ in range(runs - 1):
        starts.append(starts[-1] + (joined & ((1 << width) - 1)))
        joined >>= width
    if joined:
        raise LinksimError("the entry-point table has bits set beyond its last entry")
    return starts


def _decode_lanes(
    shape: ChunkShape,
    joined: NDArray[np.uint8],
    layouts: Sequence[_Layout],
    codes: Sequence[PrefixCode],
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All symbols in order, and for every chunk the bit of its body where its code words end."""
    window_bits = max(code.max_length for code in codes)
    table_symbols, table_lengths = _tables(codes, window_bits)
    runs = np.array([len(lay.run_starts) for lay in layouts])
    chunk_of = np.repeat(np.arange(len(layouts)), runs)
    origins = np.cumsum([0] + [(lay.body_nbytes + 4) * 8 for lay in layouts])
    starts = np.concatenate([lay.run_starts for lay in layouts]) + origins[chunk_of]
    limits = origins[1:][chunk_of] - 32
    slots = np.array([lay.slot for lay in layouts])[chunk_of]
    sizes = np.full(len(starts), shape.run_symbols)
    last = np.cumsum(runs) - 1
    counts = np.array([lay.count for lay in layouts])
    sizes[last] = counts - (runs - 1) * shape.run_symbols
    words = joined.astype(np.uint32)
    symbols = np.zeros((len(starts), int(sizes.max())), np.uint8)
    positions = starts.copy()
    for step in range(symbols.shape[1]):
        lanes = np.flatnonzero(sizes > step)
        at = np.minimum(positions[lanes], limits[lanes])
        byte = at >> 3
        window = words[byte] | words[byte + 1] << 8 | words[byte + 2] << 16
        window = window >> (at & 7).astype(np.uint32) & np.uint32((1 << window_bits) - 1)
        entry = slots[lanes], window
        length = table_lengths[entry]
        if (length == 0).any():
            bad = chunk_of[lanes[length == 0][0]]
            raise LinksimError(f"chunk {bad}: bits that begin no code word")
        symbols[lanes, step] = table_symbols[entry]
        positions[lanes] += length
    inner = np.setdiff1d(np.arange(len(starts)), last)
    missed = inner[positions[inner] != starts[inner + 1]]
    if missed.size:
        bad = chunk_of[missed[0]]
        raise LinksimError(f"chunk {bad}: a run does not end at its entry point")
    taken = symbols[np.arange(symbols.shape[1]) < sizes[:, None]]
    biases = np.repeat(np.array([lay.bias for lay in layouts]), counts)
    unbiased = (taken.astype(np.int64) + biases) % len(codes[0].lengths)
    return unbiased.astype(np.uint8), positions[last] - origins[:-1]


def _tables(
    codes: Sequence[PrefixCode], window_bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Decode tables [slot, 2**window_bits] of all codes, each widened to *window_bits*."""
    tables = [code.decode_table for code in codes]
    repeats = [1 << (window_bits - code.max_length) for code in codes]
    symbols = np.stack([np.tile(t[0], n) for t, n in zip(tables, repeats, strict=True)])
    lengths = np.stack([np.tile(t[1], n) for t, n in zip(tables, repeats, strict=True)])
    return symbols, lengths


def _check_gap(index: int, body: bytes, end: int, padded: bool) -> None:
    if end > len(body) * 8:
        raise LinksimError(f"chunk {index}: the code words run into the rest bytes")
    if not padded and len(body) * 8 - end >= 8:
        raise LinksimError(f"chunk {index}: it is longer than its contents")
    if int.from_bytes(body[end // 8 :], "little") >> (end % 8):
        raise LinksimError(f"chunk {index}: bits are set in the gap after the code words")
