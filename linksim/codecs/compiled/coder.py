"""The compiled realisation of the chunk format, as codecs use it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.chunk import HEADER_BITS, ChunkPlan, ChunkShape, encode_chunk
from linksim.codecs.chunk_decoding import decode_chunks as decode_reference
from linksim.codecs.compiled.decoding import chunk_counts, decode_chunks
from linksim.codecs.compiled.encoding import STORE_SLACK, encode_chunks
from linksim.codecs.compiled.runs import LANES
from linksim.codecs.compiled.tables import CodeTables, code_tables
from linksim.codecs.prefix_code import MAX_LENGTH_LIMIT, PrefixCode
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor
from linksim.tensors.views import SymbolView
from linksim.units import ceil_div

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Part = TypeVar("Part")
Source = Callable[[int, int], tuple[Bytes, Bytes]]
"""Symbols and rest bytes of the symbols from one index to another."""
UNKNOWN = -1
LEAST_BLOCK, MOST_BLOCK = 1 << 16, 1 << 20
"""Symbols that a thread codes at a time: enough to be worth handing over, and few enough that
symbols, rest bytes and code words stay in a cache between one step and the next."""
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
        symbols, rest = np.ascontiguousarray(symbols), np.ascontiguousarray(rest)
        parts, _ = self._encode(shape, lambda a, b: (symbols[a:b], rest[a:b]), codes, plan)
        return parts[0] if len(parts) == 1 else np.concatenate([_NOTHING, *parts])

    def encode_values(
        self,
        shape: ChunkShape,
        view: SymbolView,
        values: Tensor,
        codes: Sequence[PrefixCode],
        chunk_symbols: int,
    ) -> tuple[list[Bytes], Integers]:
        """Bulk chunks of *values* [n] with slot 1 or raw, whichever is smaller, and their sizes.

        The chunks come in parts that follow each other. Nothing is counted first: a chunk is coded,
        and made raw where that is no larger.
        """
        plan = unsized_plan(len(values) * view.symbols_per_value, chunk_symbols)
        if view.rest_bits:
            return self._encode(shape, lambda a, b: view.split(values[a:b]), codes, plan)
        symbols, rest = view.split(values)
        return self._encode(shape, lambda a, b: (symbols[a:b], rest), codes, plan)

    def _encode(
        self, shape: ChunkShape, source: Source, codes: Sequence[PrefixCode], plan: ChunkPlan
    ) -> tuple[list[Bytes], Integers]:
        sized = replace(plan, nbytes=plan.nbytes.copy())
        firsts = _sums(plan.counts)
        encode_block = block_encoder(shape, codes, sized)

        def encode(a: int, b: int) -> Bytes:
            out = np.empty(capacity(shape, sized, a, b), np.uint8)
            return out[: encode_block(a, b, *source(firsts[a], firsts[b]), out)]

        return self._in_blocks(encode, firsts), sized.nbytes

    def decode(
        self,
        shape: ChunkShape,
        data: Bytes,
        ends: Integers,
        codes: Sequence[PrefixCode],
        counts: Integers | None,
    ) -> tuple[Bytes, Bytes]:
        """See `ChunkCoder.decode`."""
        data = np.ascontiguousarray(data)
        bounds = np.concatenate([[0], ends]).astype(np.int64)
        held = np.zeros(len(ends), np.int64) if counts is None else counts
        bad = chunk_counts(data, bounds, held) if counts is None else -1
        if bad >= 0:
            _refuse(shape, data, bounds, codes, counts, bad)
        _refuse_short(shape, data, bounds, codes, counts, held)
        firsts = _sums(held)
        symbols = np.empty(firsts[-1], np.uint8)
        rest = np.empty(firsts[-1] if shape.rest_bits else 0, np.uint8)
        decode_block = block_decoder(shape, data, bounds, firsts, codes, counts is not None)

        def decode(a: int, b: int) -> int:
            span = slice(firsts[a], firsts[b])
            return decode_block(a, b, symbols[span], rest[span])

        for bad in self._in_blocks(decode, firsts):
            if bad >= 0:
                _refuse(shape, data, bounds, codes, counts, bad)
        return symbols, rest

    def decode_values(
        self,
        shape: ChunkShape,
        view: SymbolView,
        data: Bytes,
        ends: Integers,
        codes: Sequence[PrefixCode],
        counts: Integers,
    ) -> Tensor:
        """Values of bulk chunks: what *view* joins of `decode`, in one go.

        All chunks together must hold whole values.
        """
        data = np.ascontiguousarray(data)
        bounds = np.concatenate([[0], ends]).astype(np.int64)
        _refuse_short(shape, data, bounds, codes, counts, counts)
        firsts = _sums(counts)
        values = np.empty(firsts[-1] // view.symbols_per_value, view.fmt.numpy)
        decode_block = block_decoder(shape, data, bounds, firsts, codes, True)

        def decode(a: int, b: int) -> int:
            if not view.rest_bits:
                return decode_block(a, b, values.view(np.uint8)[firsts[a] : firsts[b]], _NOTHING)
            symbols, rest = np.empty((2, firsts[b] - firsts[a]), np.uint8)
            bad = decode_block(a, b, symbols, rest)
            if bad < 0:
                view.join(symbols, rest, values[firsts[a] : firsts[b]])
            return bad

        for bad in self._in_blocks(decode, firsts):
            if bad >= 0:
                _refuse(shape, data, bounds, codes, counts, bad)
        return values

    def _in_blocks(self, work: Callable[[int, int], Part], firsts: Integers) -> list[Part]:
        """What *work* gives for one range of chunks after the other, from all threads."""
        chunks, symbols = len(firsts) - 1, int(firsts[-1])
        if not chunks:
            return []
        wanted = min(max(symbols // self.threads, LEAST_BLOCK), MOST_BLOCK)
        # Four chunks at a time are decoded side by side.
        step = LANES * max(1, ceil_div(wanted * chunks, max(1, symbols) * LANES))
        starts = list(range(0, chunks, step))
        stops = [*starts[1:], chunks]
        if self.threads == 1 or len(starts) == 1:
            return list(map(work, starts, stops))
        return list(_pool(self.threads).map(work, starts, stops))


@lru_cache(maxsize=8)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that are kept: to start them takes as long as coding a message of 256 KiB."""
    return ThreadPoolExecutor(threads, "linksim-coder")


if hasattr(os, "register_at_fork"):
    # Threads do not live on in a forked process.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _sums(counts: Integers) -> Integers:
    """Where every chunk's symbols begin, and at last where they end, int64 [chunks + 1]."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def unsized_plan(symbol_count: int, chunk_symbols: int) -> ChunkPlan:
    """Bulk chunks with slot 1 or raw, whichever the encoder finds to be smaller."""
    counts = np.full(ceil_div(symbol_count, chunk_symbols), chunk_symbols, np.int64)
    counts[-1:] -= counts.sum() - symbol_count
    unknown = np.full_like(counts, UNKNOWN)
    return ChunkPlan(counts, np.ones_like(counts), np.zeros_like(counts), unknown)


def block_encoder(
    shape: ChunkShape, codes: Sequence[PrefixCode], plan: ChunkPlan
) -> Callable[[int, int, Bytes, Bytes, Bytes], int]:
    """Encodes chunks i to j of *plan*, given their symbols and rest bytes, to a given output.

    Says how many bytes they took; the output holds at least `capacity` bytes. Sizes of chunks that
    *plan* does not know are put there.
    """
    words, lengths, pair_words, pair_lengths, _, _, _, wide = _stacked(tuple(codes))
    entry_bits = np.array([shape.entry_bits(code) for code in codes], np.int64)

    def encode_block(i: int, j: int, symbols: Bytes, rest: Bytes, out: Bytes) -> int:
        nbytes: int = encode_chunks(
            symbols,
            rest,
            0,
            plan.counts[i:j],
            plan.slots[i:j],
            plan.biases[i:j],
            plan.nbytes[i:j],
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
        if nbytes < 0:
            bad = i - 1 - nbytes
            start = int(plan.counts[i:bad].sum())
            _refuse_symbols(symbols[start : start + plan.counts[bad]], codes, plan, bad)
        return nbytes

    return encode_block


def block_decoder(
    shape: ChunkShape,
    data: Bytes,
    bounds: Integers,
    firsts: Integers,
    codes: Sequence[PrefixCode],
    exact: bool,
) -> Callable[[int, int, Bytes, Bytes], int]:
    """Decodes chunks i to j to given symbols and rest bytes; says the first bad chunk, or -1.

    Chunk k lies in data[bounds[k]:bounds[k + 1]] and holds firsts[k + 1] - firsts[k] symbols; where
    *exact* it must have its exact size.
    """
    _, lengths, _, _, lookups, longs, most, _ = _stacked(tuple(codes))
    entry_bits = np.array([shape.entry_bits(code) for code in codes], np.int64)

    def decode_block(i: int, j: int, symbols: Bytes, rest: Bytes) -> int:
        bad = decode_chunks(
            data,
            bounds[i : j + 1],
            firsts[i : j + 1] - firsts[i],
            exact,
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
        return -1 if bad < 0 else i + int(bad)

    return decode_block


def capacity(shape: ChunkShape, plan: ChunkPlan, i: int, j: int) -> int:
    """Bytes that encoding chunks *i* to *j* of *plan* may touch."""
    counts, nbytes = plan.counts[i:j], plan.nbytes[i:j]
    if (nbytes != UNKNOWN).all():
        return int(nbytes.sum()) + STORE_SLACK
    raw = HEADER_BITS // 8 + 1 + counts * (shape.symbol_bits + shape.rest_bits) // 8
    longest = int(counts.max()) * MAX_LENGTH_LIMIT // 8
    return int(raw.sum()) + 2 * longest + 64 + STORE_SLACK


@lru_cache(maxsize=16)
def _stacked(codes: tuple[PrefixCode, ...]) -> tuple[NDArray[np.generic], ...]:
    """The tables of all codes by slot, in the order of CodeTables' fields."""
    tables = [code_tables(code) for code in codes]
    return tuple(
        np.stack([getattr(table, field) for table in tables])
        for field in CodeTables.__dataclass_fields__
    )


def _refuse_symbols(
    symbols: Bytes, codes: Sequence[PrefixCode], plan: ChunkPlan, chunk: int
) -> None:
    """Raise what the reference says of *symbols* of *chunk*, one of which has no code."""
    slot, bias = int(plan.slots[chunk]), int(plan.biases[chunk])
    shape = ChunkShape(8, 0, len(symbols))
    encode_chunk(shape, symbols, _NOTHING, slot=slot, code=codes[slot], bias=bias)
    raise AssertionError("the compiled encoder refuses symbols that the reference takes")


def _refuse_short(
    shape: ChunkShape,
    data: Bytes,
    bounds: Integers,
    codes: Sequence[PrefixCode],
    counts: Integers | None,
    held: Integers,
) -> None:
    """Refuse a chunk of too few bytes for its *held* symbols before room is made for them.

    So what a message claims to hold cannot take more memory than a few times its size.
    """
    short = np.diff(bounds) * 8 < HEADER_BITS + held * (1 + shape.rest_bits)
    if short.any():
        _refuse(shape, data, bounds, codes, counts, int(short.argmax()))


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
