"""What is fuzzed: chunk shapes and codes, each with valid messages to begin from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from linksim.benchmarks.fuzz_cases import (
    MAX_CHUNKS,
    MAX_NBYTES,
    MAX_SYMBOLS,
    Bytes,
    Corpus,
    Kernel,
    Room,
)
from linksim.benchmarks.guarded import GuardedBuffer
from linksim.codecs.chunk import ChunkPlan, ChunkShape
from linksim.codecs.compiled import CompiledCoder
from linksim.codecs.compiled.tables import code_tables
from linksim.codecs.planning import plan_bulk, plan_link
from linksim.codecs.prefix_code import PrefixCode, identity_code, package_merge


@dataclass(frozen=True)
class Target:
    """One shape of messages with its books: chunks of `chunk_symbols`, or flits of `payload`."""

    name: str
    shape: ChunkShape
    books: tuple[PrefixCode, ...]
    chunk_symbols: int = 0
    payload_nbytes: int = 0
    use_bias: bool = False
    weight: int = 1
    """Share of all cases; large messages take long, so they get few."""

    @property
    def codes(self) -> tuple[PrefixCode, ...]:
        """Codes by slot, raw first."""
        return (identity_code(self.shape.symbol_bits), *self.books)

    def plan(self, symbols: Bytes) -> ChunkPlan:
        """How a codec would cut *symbols* into chunks."""
        if self.payload_nbytes:
            return plan_link(self.shape, symbols, self.codes, self.payload_nbytes, self.use_bias)
        return plan_bulk(self.shape, symbols, self.codes, self.chunk_symbols, self.use_bias)


def peaked_code(symbol_bits: int, max_length: int = 16, steepness: float = 0.8) -> PrefixCode:
    """A complete code for symbols that crowd round the middle of the alphabet."""
    distance = np.abs(np.arange(1 << symbol_bits) - (1 << symbol_bits) * 15 // 32)
    counts = (1e6 * np.exp(-steepness * distance)).astype(np.int64) + 1
    return PrefixCode(tuple(package_merge(counts, max_length)), max_length)


def listed_code(symbol_bits: int, lengths: Sequence[int], max_length: int = 16) -> PrefixCode:
    """A code of the *lengths* for the first symbols and none for all others."""
    listed = [*lengths, *[0] * (1 << symbol_bits)][: 1 << symbol_bits]
    return PrefixCode(tuple(listed), max_length)


@cache
def targets() -> tuple[Target, ...]:
    """All targets; together they take every way through the kernels."""
    exponent, pooled = [(8, rest) for rest in (8, 0)]
    steep, flat = peaked_code(8), peaked_code(8, 12, 0.05)
    long = listed_code(8, (*range(1, 16), 16, 16))
    incomplete = listed_code(8, (3, 3, 3, 4, 9, 14))
    # Look-ups of these give two symbols at most, and some words are longer than a look-up.
    wide, wide_incomplete = peaked_code(8, 16, 0.05), listed_code(8, [6] * 40 + [15] * 90)
    lone, none = listed_code(8, (1,)), listed_code(8, (), 15)
    tiny = tuple(peaked_code(bits, 8) for bits in (4, 6))
    bits4 = (tiny[0], listed_code(4, (1, 1)), listed_code(4, (2, 2, 3)))

    def bulk(name: str, kind: tuple[int, int], q: int, c: int, *books: PrefixCode, weight: int = 1,
             use_bias: bool = False) -> Target:  # fmt: skip
        shape = ChunkShape(*kind, q)
        return Target(name, shape, books, c, use_bias=use_bias, weight=weight)

    def link(name: str, kind: tuple[int, int], q: int, p: int, *books: PrefixCode,
             use_bias: bool = False) -> Target:  # fmt: skip
        shape = ChunkShape(*kind, q)
        return Target(name, shape, books, payload_nbytes=p, use_bias=use_bias, weight=3)

    return (
        bulk("exponent, runs of 16, one book", exponent, 16, 100, steep, weight=4),
        bulk("exponent, runs of 16, three books", exponent, 16, 64, steep, incomplete, long,
             weight=4, use_bias=True),
        bulk("pooled, runs of 16, chunks of 7", pooled, 16, 7, flat, weight=3),
        bulk("pooled, runs of 64, three books", pooled, 64, 256, flat, lone, none, weight=3),
        bulk("pooled, runs of 64, long words", pooled, 64, 300, long, weight=3),
        bulk("e2m1, runs of 16, one book", (4, 0), 16, 128, tiny[0], weight=3),
        bulk("e2m1, runs of 256, three books", (4, 0), 256, 1024, *bits4, weight=2),
        bulk("e3m2, runs of 64, one book", (6, 0), 64, 320, tiny[1], weight=2),
        bulk("exponent, runs of 256, three books", exponent, 256, 1024, steep, flat, long),
        bulk("exponent, runs of 1024, one book", exponent, 1024, 4096, steep),
        bulk("exponent, runs of 2048, chunks of 2048", exponent, 2048, 2048, steep),
        bulk("pooled, runs of 2048, incomplete book", pooled, 2048, 8192, incomplete),
        link("exponent, flits of 16 bytes, three books", exponent, 64, 16, steep, lone, long),
        link("exponent, flits of 64 bytes, one book", exponent, 16, 64, steep, use_bias=True),
        link("pooled, flits of 240 bytes, three books", pooled, 64, 240, incomplete, flat, long),
        link("e2m1, flits of 240 bytes, one book", (4, 0), 64, 240, bits4[1]),
        bulk("pooled, runs of 64, wide book", pooled, 64, 256, wide, weight=3),
        bulk("exponent, runs of 256, wide books", exponent, 256, 1024, wide, wide_incomplete,
             use_bias=True),
    )  # fmt: skip


def schedule(of: Sequence[Target]) -> list[int]:
    """Indices of *of*, each as often as its weight, spread out: what the blocks of cases test."""
    rounds = max(target.weight for target in of)
    return [i for r in range(rounds) for i, target in enumerate(of) if target.weight > r]


def drawn(target: Target, count: int, random: np.random.Generator, how: int) -> Bytes:
    """*count* symbols: as one of the books would have them (*how* from 0), uniform or constant."""
    alphabet = 1 << target.shape.symbol_bits
    if how < len(target.books) and any(target.books[how].lengths):
        lengths = target.books[how].length_table
        weights = np.where(lengths > 0, 0.5 ** np.minimum(lengths, 10), 0)
        return random.choice(alphabet, count, p=weights / weights.sum()).astype(np.uint8)
    if how == len(target.books):
        return np.full(count, random.integers(alphabet), np.uint8)
    return random.integers(0, alphabet, count).astype(np.uint8)


def rest_bytes(target: Target, count: int, random: np.random.Generator) -> Bytes:
    """Rest bytes of *count* symbols."""
    return random.integers(0, 256, count if target.shape.rest_bits else 0).astype(np.uint8)


def _messages(target: Target) -> Iterator[tuple[Bytes, ChunkPlan]]:
    """Valid messages of *target*, of sizes around every boundary, with their plans."""
    random = np.random.default_rng(1)
    q, c = target.shape.run_symbols, target.chunk_symbols or 400
    sizes = {1, 3, q - 1, q, q + 1, 4 * q, 4 * q + 9, c - 1, c, c + 1, 2 * c + 5, 4 * c, 5 * c + 1}
    for size in sorted(sizes):
        for how in range(len(target.books) + 2):
            symbols = drawn(target, size, random, how)
            rest = rest_bytes(target, size, random)
            plan = target.plan(symbols)
            plan = ChunkPlan(*(part[:MAX_CHUNKS] for part in vars(plan).values()))
            if size > 0 and plan.nbytes.sum() <= MAX_NBYTES - 64:
                codes = target.codes
                yield CompiledCoder().encode(target.shape, symbols, rest, codes, plan), plan


def corpus(target: Target) -> Corpus:
    """The valid messages of *target*."""
    made = list(_messages(target))
    data, plans = [data for data, _ in made], [plan for _, plan in made]

    def sums(sizes: Sequence[int]) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    return Corpus(
        np.concatenate(data),
        sums([len(message) for message in data]),
        np.concatenate([np.cumsum(plan.nbytes) for plan in plans]).astype(np.int64),
        np.concatenate([plan.counts for plan in plans]),
        sums([len(plan.counts) for plan in plans]),
    )


def kernel(target: Target) -> Kernel:
    """What the compiled decoder takes beside a message of *target*."""
    tables = [code_tables(code) for code in target.codes]
    return Kernel(
        int(not target.payload_nbytes),
        target.shape.symbol_bits,
        target.shape.rest_bits,
        target.shape.run_symbols,
        np.array([target.shape.entry_bits(code) for code in target.codes], np.int64),
        np.stack([table.lookup for table in tables]),
        np.stack([table.long for table in tables]),
        np.stack([table.lengths for table in tables]),
        np.array([int(table.most) for table in tables], np.int64),
    )


def guarded_room(now: NDArray[np.int64]) -> Room:
    """Room for any case; the number of the case at work is written to int64 *now* [1]."""
    message, symbols, rest = (
        GuardedBuffer(size).bytes for size in (MAX_NBYTES, MAX_SYMBOLS, MAX_SYMBOLS)
    )
    return Room(
        message,
        symbols,
        rest,
        np.zeros(MAX_NBYTES, np.uint8),
        np.zeros(MAX_CHUNKS + 1, np.int64),
        np.zeros(MAX_CHUNKS, np.int64),
        np.zeros(MAX_CHUNKS + 1, np.int64),
        np.zeros(1, np.uint64),
        now,
        np.zeros(5, np.int64),
    )
