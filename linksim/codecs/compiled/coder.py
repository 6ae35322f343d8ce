"""The compiled realisation of the chunk format, as codecs use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.chunk import (
    HEADER_BITS,
    ChunkPlan,
    ChunkShape,
)
from linksim.codecs.chunk_decoding import decode_chunks as decode_reference
from linksim.codecs.compiled.decoding import chunk_counts, decode_chunks
from linksim.codecs.compiled.encoding import STORE_SLACK, encode_chunks
from linksim.codecs.compiled.tables import CodeTables, code_tables
from linksim.codecs.prefix_code import MAX_LENGTH_LIMIT, PrefixCode
from linksim.errors import LinksimError
from linksim.units import ceil_div

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Part = TypeVar("Part")
UNKNOWN = -1
_NOTHING = np.empty(0, np.uint8)


class CompiledCoder:
    """Same bytes, values and refusals as `ReferenceCoder`, from *threads* threads."""

    def __init__(self, threads: int = 1):
        if threads < 1:
            raise LinksimError(f"threads is {threads}: expected at least 1")
        self.threads = threads

    def encode(
        self,
        shape: ChunkShape,
        symbols: Bytes,
        rest: Bytes,
        codes: Sequence[PrefixCode],
        plan: ChunkPlan,
    ) -> Bytes:
        """See `ChunkCoder.encode`."""
        return self._encode(shape, symbols, rest, codes, plan)[0]

    def encode_one_book(
        self,
        shape: ChunkShape,
        symbols: Bytes,
        rest: Bytes,
        codes: Sequence[PrefixCode],
        chunk_symbols: int,
    ) -> tuple[Bytes, Integers]:
        """Bulk chunks with slot 1 or raw, whichever is smaller, and the bytes of each.

        Nothing is counted first: a chunk is coded, and made raw where that is no larger.
        """
        counts = np.full(ceil_div(len(symbols), chunk_symbols), chunk_symbols, np.int64)
        counts[-1:] -= counts.sum() - len(symbols)
        ones, zeros = np.ones_like(counts), np.zeros_like(counts)
        plan = ChunkPlan(counts, ones, zeros, np.full_like(counts, UNKNOWN))
        return self._encode(shape, symbols, rest, codes, plan)

    def _encode(
        self,
        shape: ChunkShape,
        symbols: Bytes,
        rest: Bytes,
        codes: Sequence[PrefixCode],
        plan: ChunkPlan,
    ) -> tuple[Bytes, Integers]:
        words, lengths, pair_words, pair_lengths, _, _, _, wide = _stacked(tuple(codes))
        entry_bits = np.array([shape.entry_bits(code) for code in codes], np.int64)
        symbols, rest = np.ascontiguousarray(symbols), np.ascontiguousarray(rest)
        nbytes = plan.nbytes.copy()
        firsts = np.cumsum(plan.counts) - plan.counts

        def encode(a: int, b: int) -> Bytes:
            part = ChunkPlan(plan.counts[a:b], plan.slots[a:b], plan.biases[a:b], nbytes[a:b])
            out = np.empty(_capacity(shape, part), np.uint8)
            size = encode_chunks(
                symbols,
                rest,
                firsts[a],
                part.counts,
                part.slots,
                part.biases,
                part.nbytes,
                shape.symbol_bits,
                shape.run_symbols,
                entry_bits,
                words,
                lengths,
                pair_words,
                pair_lengths,
                wide,
                out,
            )
            return out[:size]

        parts = self._in_parts(encode, len(plan.counts))
        return parts[0] if len(parts) == 1 else np.concatenate([_NOTHING, *parts]), nbytes

    def decode(
        self,
        shape: ChunkShape,
        data: Bytes,
        ends: Integers,
        codes: Sequence[PrefixCode],
        counts: Integers | None,
    ) -> tuple[Bytes, Bytes]:
        """See `ChunkCoder.decode`."""
        _, lengths, _, _, lookups, longs, most, _ = _stacked(tuple(codes))
        entry_bits = np.array([shape.entry_bits(code) for code in codes], np.int64)
        data = np.ascontiguousarray(data)
        bounds = np.concatenate([[0], ends]).astype(np.int64)
        held = np.zeros(len(ends), np.int64) if counts is None else counts
        bad = chunk_counts(data, bounds, held) if counts is None else -1
        if bad >= 0:
            _refuse(shape, data, bounds, codes, counts, bad)
        firsts = np.concatenate([[0], np.cumsum(held)]).astype(np.int64)
        symbols = np.empty(firsts[-1], np.uint8)
        rest = np.empty(firsts[-1] if shape.rest_bits else 0, np.uint8)

        def decode(a: int, b: int) -> int:
            first_bad = decode_chunks(
                data,
                bounds[a : b + 1],
                firsts[a : b + 1],
                counts is not None,
                shape.symbol_bits,
                shape.rest_bits,
                shape.run_symbols,
                entry_bits,
                lookups,
                longs,
                lengths,
                most,
                symbols,
                rest,
            )
            return -1 if first_bad < 0 else a + int(first_bad)

        for bad in self._in_parts(decode, len(ends)):
            if bad >= 0:
                _refuse(shape, data, bounds, codes, counts, bad)
        return symbols, rest

    def _in_parts(self, work: Callable[[int, int], Part], chunk_count: int) -> list[Part]:
        """*work* on equal ranges of chunks, one per thread."""
        if not chunk_count:
            return []
        parts = min(self.threads, chunk_count)
        edges = [chunk_count * part // parts for part in range(parts + 1)]
        if parts == 1:
            return [work(0, chunk_count)]
        with ThreadPoolExecutor(parts) as pool:
            return list(pool.map(work, edges[:-1], edges[1:]))


def _capacity(shape: ChunkShape, plan: ChunkPlan) -> int:
    """Bytes that encoding *plan* may touch."""
    if (plan.nbytes != UNKNOWN).all():
        return int(plan.nbytes.sum()) + STORE_SLACK
    raw = HEADER_BITS // 8 + 1 + plan.counts * (shape.symbol_bits + shape.rest_bits) // 8
    longest = int(plan.counts.max()) * MAX_LENGTH_LIMIT // 8
    return int(raw.sum()) + 2 * longest + 64 + STORE_SLACK


@lru_cache(maxsize=16)
def _stacked(codes: tuple[PrefixCode, ...]) -> tuple[NDArray[np.generic], ...]:
    """The tables of all codes by slot, in the order of CodeTables' fields."""
    tables = [code_tables(code) for code in codes]
    return tuple(
        np.stack([getattr(table, field) for table in tables])
        for field in CodeTables.__dataclass_fields__
    )


def _refuse(
    shape: ChunkShape,
    data: Bytes,
    bounds: Integers,
    codes: Sequence[PrefixCode],
    counts: Integers | None,
    bad: int,
) -> None:
    """Raise what the reference says of chunk *bad*, so that a rule has one wording."""
    part = data[bounds[bad] : bounds[bad + 1]].tobytes()
    try:
        decode_reference(shape, [part], codes, None if counts is None else counts[bad : bad + 1])
    except LinksimError as error:
        raise LinksimError(str(error).replace("chunk 0:", f"chunk {bad}:", 1)) from None
    raise AssertionError(f"chunk {bad}: the compiled decoder refuses what the reference takes")
