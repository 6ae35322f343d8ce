"""Index and escape: every position in a chunk is known at once, so that decoding takes no walk.

The chunks of the wire format (`linksim.codecs.chunk`) with other contents between header and rest
bytes: not one word per symbol, but

    bits 24-     the indices of symbols 0 .. v-1, k bits each, low bit first
    ...          the escaped symbols in order, S bits each, low bit first, without padding
    ...          zero bits
    last v R/8 bytes   the rest byte of every symbol, in order

An index of all ones, the escape, stands for a symbol that follows behind the indices; which one of
them is the number of escapes before it, a population count. There is no entry-point table, for
there are no runs. Raw chunks are those of every codec. `docs/format.md` has the whole format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.chunk import (
    HEADER_BITS,
    MAX_BIAS,
    MAX_CHUNK_SYMBOLS,
    RAW_SLOT,
    ChunkPlan,
    ChunkShape,
)
from linksim.codecs.chunked import ChunkCoder
from linksim.codecs.code_families import IndexEscapeCode
from linksim.codecs.codebook import Codebook
from linksim.codecs.fixed import FixedCodec
from linksim.codecs.prefix_code import PrefixCode
from linksim.errors import LinksimError

Bytes = NDArray[np.uint8]


class IndexEscapeCoder:
    """Realises the chunks of `index-escape`, chunk by chunk."""

    def encode(
        self,
        shape: ChunkShape,
        symbols: Bytes,
        rest: Bytes,
        codes: Sequence[PrefixCode],
        plan: ChunkPlan,
    ) -> Bytes:
        """The chunks of *plan*, one behind the other, uint8 [sum of plan.nbytes]."""
        chunks = np.zeros(int(plan.nbytes.sum()), np.uint8)
        stop = end = 0
        for count, slot, bias, nbytes in zip(
            plan.counts, plan.slots, plan.biases, plan.nbytes, strict=True
        ):
            start, stop = stop, stop + int(count)
            begin, end = end, end + int(nbytes)
            header = int(count) - 1 | int(slot) << 13 | (int(bias) & 0x3F) << 18
            front = np.frombuffer(header.to_bytes(HEADER_BITS // 8, "little"), np.uint8)
            biased = (symbols[start:stop].astype(np.int64) - bias) % len(codes[0].lengths)
            body = np.packbits(_coded_bits(codes[slot], biased.astype(np.uint8)), bitorder="little")
            tail = rest[start:stop]
            chunks[begin : begin + len(front) + len(body)] = np.concatenate([front, body])
            chunks[end - len(tail) : end] = tail
        return chunks

    def decode(
        self,
        shape: ChunkShape,
        data: Bytes,
        ends: NDArray[np.int64],
        codes: Sequence[PrefixCode],
        counts: NDArray[np.int64] | None,
    ) -> tuple[Bytes, Bytes]:
        """Symbols uint8 [n] and rest bytes uint8 [n] or [0] of the chunks that end at *ends*.

        *counts* are the symbols that each chunk of a bulk message must hold; none given means
        padded chunks of a link message. LinksimError names the chunk and the rule it breaks.
        """
        symbols, rest = [np.empty(0, np.uint8)], [np.empty(0, np.uint8)]
        start = 0
        for index, end in enumerate(ends):
            expected = None if counts is None else int(counts[index])
            try:
                part = _decode_chunk(shape, data[start:end], codes, expected)
            except LinksimError as error:
                raise LinksimError(f"chunk {index}: {error}") from None
            symbols.append(part[0])
            rest.append(part[1])
            start = int(end)
        return np.concatenate(symbols), np.concatenate(rest)


def _coded_bits(code: PrefixCode, coded: Bytes) -> Bytes:
    """Indices and escaped symbols of *coded*, one bit per entry; raw symbols in a raw slot."""
    if not isinstance(code, IndexEscapeCode):
        return _bits_of(coded, code.max_length)
    indices = code.indices[coded]
    escaped = coded[indices == _escape(code)]
    return np.concatenate([_bits_of(indices, code.index_bits), _bits_of(escaped, code.symbol_bits)])


def _decode_chunk(
    shape: ChunkShape, chunk: Bytes, codes: Sequence[PrefixCode], expected: int | None
) -> tuple[Bytes, Bytes]:
    """Symbols and rest bytes of one chunk, of *expected* symbols in its exact size if given."""
    if len(chunk) < HEADER_BITS // 8:
        raise LinksimError(f"{len(chunk)} bytes are shorter than a header")
    header = int.from_bytes(chunk[: HEADER_BITS // 8].tobytes(), "little")
    count, slot, bias = (header & 0x1FFF) + 1, header >> 13 & 0x1F, header >> 18
    if slot >= len(codes):
        raise LinksimError(f"codebook slot {slot} is unknown: there are {len(codes) - 1} books")
    if slot == RAW_SLOT and bias:
        raise LinksimError("a raw chunk has an exponent bias")
    if expected is not None and count != expected:
        raise LinksimError(f"it holds {count} symbols: expected {expected}")
    body_nbytes = len(chunk) - count * shape.rest_bits // 8
    if body_nbytes * 8 < HEADER_BITS + count * min(codes[slot].lengths):
        raise LinksimError(f"{count} symbols do not fit {len(chunk)} bytes")
    bits = np.unpackbits(chunk[HEADER_BITS // 8 : body_nbytes], bitorder="little")
    coded, used = _read_symbols(codes[slot], bits, count)
    if expected is not None and len(bits) - used >= 8:
        raise LinksimError("it is longer than its contents")
    if bits[used:].any():
        raise LinksimError("bits are set in the gap after the escaped symbols")
    signed = bias - 64 if bias > MAX_BIAS else bias
    symbols = (coded.astype(np.int64) + signed) % len(codes[0].lengths)
    return symbols.astype(np.uint8), chunk[body_nbytes:]


def _read_symbols(code: PrefixCode, bits: Bytes, count: int) -> tuple[Bytes, int]:
    """*count* coded symbols, still biased, at the start of *bits*, and the bits they take."""
    if not isinstance(code, IndexEscapeCode):
        used = count * code.max_length
        return _numbers_of(bits[:used], code.max_length), used
    width, escape = code.index_bits, _escape(code)
    indices = _numbers_of(bits[: count * width], width)
    escapes = indices == escape
    used = count * width + int(escapes.sum()) * code.symbol_bits
    if used > len(bits):
        raise LinksimError("the escaped symbols run into the rest bytes")
    escaped = _numbers_of(bits[count * width : used], code.symbol_bits)
    indexed = escaped[code.indices[escaped] != escape]
    if len(indexed):
        raise LinksimError(f"symbol {indexed[0]} is escaped although it has an index")
    # Indices are given in symbol order; the last entry is a place holder for escapes.
    symbols = np.append(np.flatnonzero(code.indices != escape), 0).astype(np.uint8)[indices]
    symbols[escapes] = escaped
    return symbols, used


def _escape(code: IndexEscapeCode) -> int:
    return (1 << code.index_bits) - 1


def _bits_of(numbers: Bytes, width: int) -> Bytes:
    """The low *width* bits of every number, low bit first, uint8 [n * width]."""
    return np.unpackbits(numbers[:, None], axis=1, count=width, bitorder="little").reshape(-1)


def _numbers_of(bits: Bytes, width: int) -> Bytes:
    """The numbers whose `_bits_of` is *bits*."""
    return np.packbits(bits.reshape(-1, width), axis=1, bitorder="little").reshape(-1)


class IndexEscape(FixedCodec):
    """A short index per symbol, rare symbols in full behind all indices: the latency-best rival.

    Single-stage like `huffman-fixed` and in the same messages. It spends more bits than a Huffman
    code so that a decoder can read all symbols of a chunk at the same time.
    """

    codec_id = "index-escape"
    family = "index-escape"
    coder: ChunkCoder = IndexEscapeCoder()

    def __init__(
        self,
        codebooks: Sequence[Codebook | dict[str, Any]],
        profile: str = "bulk",
        chunk_symbols: int = MAX_CHUNK_SYMBOLS,
        payload_nbytes: int = 240,
        exponent_bias: bool = False,
        checksum: bool = False,
    ):
        # A run as long as the longest chunk: no chunk has entry points.
        super().__init__(
            codebooks,
            profile,
            chunk_symbols,
            payload_nbytes,
            exponent_bias,
            MAX_CHUNK_SYMBOLS,
            checksum,
        )

    def get_config(self) -> dict[str, Any]:
        """The configuration, codebooks and all."""
        config = super().get_config()
        del config["run_symbols"]
        return config
