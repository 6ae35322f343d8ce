"""How fast the codec is, as ratios to huff0 timed in turns in the same process.

Ratios are the peer's time over linksim's: above 1 linksim is faster. The peer has codebooks of the
same histograms; its ratio is that of its better decoder. Every round trip is compared bit for bit
before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numba import njit
from numpy.typing import NDArray

from linksim.benchmarks.contenders import Codec, Contender, Huff0, Kernel, Zstd, verify
from linksim.benchmarks.huff0 import DEFAULT_TABLE_BITS, MOST_TABLE_BITS, Huff0Library
from linksim.benchmarks.speed_data import FORMS, Source, bytes_of
from linksim.benchmarks.timing import ROUNDS, Timing, take_turns
from linksim.codecs import HuffmanFixed, build_codebook
from linksim.codecs.chunked import REFERENCE
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import Histogram, histogram
from linksim.tensors.views import VIEW_NAMES, symbol_view

Bytes = NDArray[np.uint8]

OPERATIONS = ("encode", "decode")
TARGETS = {
    ("bf16 high byte", "encode"): 1.5,
    ("bf16 high byte", "decode"): 1.3,
    ("e4m3", "encode"): 1.2,
    ("e4m3", "decode"): 0.9,
    ("int8 group 128", "encode"): 1.2,
    ("int8 group 128", "decode"): 0.9,
}
"""Ratios of the kernel to huff0 with its 11-bit table that linksim aims at, by form."""
STRETCH_TARGETS = {("bf16 high byte", "encode"): 2.0, ("bf16 high byte", "decode"): 1.8}
THREADS = 2
THREADS_TARGET = 1.8
"""Speed of two threads over one."""
REFERENCE_SYMBOLS = 1 << 16


@dataclass(frozen=True)
class SpeedOptions:
    """How much is timed."""

    sizes: tuple[int, ...] = (1 << 20, 16 << 20)
    """Symbols coded at a time: the first fits a cache, the last does not."""
    rounds: int = ROUNDS
    """Turns on the largest size; smaller ones, which cost less, get up to four times as many."""
    forms: tuple[str, ...] = FORMS

    def rounds_of(self, size: int) -> int:
        """Turns on *size* symbols."""
        return self.rounds * min(4, max(1, self.sizes[-1] // size))


@dataclass(frozen=True)
class SpeedRow:
    """One operation on one kind of bytes by all contenders."""

    source: str
    what_it_is: str
    form: str
    nbytes: int
    """Symbols, and so bytes before coding."""
    operation: str
    timings: Mapping[str, Timing]
    coded_nbytes: Mapping[str, int]

    @property
    def target(self) -> float | None:
        """What `ratio_best` should reach; None where nothing is aimed at."""
        return TARGETS.get((self.form, self.operation))

    @property
    def ratio_best(self) -> float:
        """Best time of the peer over the kernel's."""
        best = min(timing.best_s for timing in self.peers().values())
        return best / self.timings[Kernel.name].best_s

    @property
    def ratio_median(self) -> float:
        """Median time of the peer over the kernel's."""
        middle = min(timing.median_s for timing in self.peers().values())
        return middle / self.timings[Kernel.name].median_s

    @property
    def ratio_12_bits(self) -> float | None:
        """As `ratio_best`, to huff0 with its largest table; None without huff0."""
        peers = self.peers(MOST_TABLE_BITS)
        if not peers:
            return None
        return min(t.best_s for t in peers.values()) / self.timings[Kernel.name].best_s

    def peers(self, table_bits: int = DEFAULT_TABLE_BITS) -> dict[str, Timing]:
        """Times of huff0's decoders for a table of *table_bits*; of zstd where huff0 is absent."""
        huff0 = any(name.startswith("huff0") for name in self.timings)
        wanted = f"huff0 {table_bits} bits"
        if not huff0 and table_bits == DEFAULT_TABLE_BITS:
            wanted = Zstd.name
        return {name: t for name, t in self.timings.items() if name.startswith(wanted)}

    def gbytes_per_s(self, name: str) -> float:
        """Uncompressed GB/s of the contender *name*, of its best time."""
        return self.nbytes / self.timings[name].best_s / 1e9


@dataclass(frozen=True)
class WholeRow:
    """A whole bf16 tensor through `encode` and `decode`: cut, coded and joined with rest bytes."""

    source: str
    view: str
    nbytes: int
    coded_nbytes: int
    timings: Mapping[str, Mapping[str, Timing]]
    """By operation and contender."""


@dataclass(frozen=True)
class ThreadsRow:
    """Two threads over one, for linksim and for huff0."""

    form: str
    nbytes: int
    operation: str
    timings: Mapping[str, Timing]

    @property
    def scaling(self) -> dict[str, float]:
        """Best time of one thread over that of two, by coder."""
        suffix = f", {THREADS} threads"
        return {
            name: timing.best_s / self.timings[name + suffix].best_s
            for name, timing in self.timings.items()
            if name + suffix in self.timings
        }


@dataclass(frozen=True)
class ReferenceSpeed:
    """The NumPy reference on a few symbols, once: GB/s."""

    form: str
    nbytes: int
    encode_gbytes_per_s: float
    decode_gbytes_per_s: float


@dataclass
class SpeedResults:
    """All that the benchmark measures."""

    peer: str
    first_calls_s: float
    """Time that the first calls took more than the later ones: to compile, or load what was."""
    core_scaling: float
    """Arithmetic that fills a core, two threads over one: 2.0 on two cores, near 1 on one core's
    hyperthreads."""
    rows: list[SpeedRow] = field(default_factory=list)
    whole: list[WholeRow] = field(default_factory=list)
    threads: list[ThreadsRow] = field(default_factory=list)
    reference: list[ReferenceSpeed] = field(default_factory=list)


def start(library: Huff0Library | None, options: SpeedOptions) -> SpeedResults:
    """Compile what is timed, and look at the machine; results without rows."""
    symbols = np.resize(np.arange(7, dtype=np.uint8), 1 << 16)
    first = Kernel(one_book_codec(histogram(symbols), "pooled", "int8"), symbols)
    begin = perf_counter()
    verify(first, symbols)
    middle = perf_counter()
    verify(first, symbols)
    compiling_s = max(0.0, 2 * middle - begin - perf_counter())
    peer = f"huff0 of zstd {library.version}" if library else Zstd.name
    return SpeedResults(peer, compiling_s, core_scaling(options.rounds))


def race(
    source: Source, form: str, library: Huff0Library | None, options: SpeedOptions
) -> Iterator[SpeedRow]:
    """Rows of *form* of *source*, of every size."""
    values, earlier = bytes_of(source, form)
    counts = histogram(earlier)
    codec = one_book_codec(counts, "pooled", "int8")
    for size in options.sizes:
        symbols = np.resize(values, size)
        contenders: list[Contender] = [
            Kernel(codec, symbols),
            Codec(codec, symbols.view(np.int8)),
            *peers(library, counts, symbols),
        ]
        for contender in contenders:
            verify(contender, symbols)
        coded = {contender.name: contender.coded_nbytes for contender in contenders}
        # Both decoders of huff0 share one encoder.
        encoders = [c for c in contenders if not c.name.endswith("X1")]
        rounds = options.rounds_of(size)
        encoded = take_turns({c.name: c.encode for c in encoders}, rounds)
        decoded = take_turns({c.name: c.decode for c in contenders}, rounds)
        for operation, timings in zip(OPERATIONS, (encoded, decoded), strict=True):
            about = (source.name, source.what_it_is, form, size, operation)
            yield SpeedRow(*about, timings, coded)


def one_book_codec(counts: Histogram, view: str, dtype: str) -> HuffmanFixed:
    """huffman-fixed with one codebook, made of *counts*."""
    chosen = symbol_view(view, number_format(dtype))
    return HuffmanFixed([build_codebook("benchmark", chosen, "benchmark", [counts])])


def peers(library: Huff0Library | None, counts: Histogram, symbols: Bytes) -> list[Contender]:
    """huff0 with both table sizes and both decoders; zstd where there is no *library*."""
    if library is None:
        return [Zstd(symbols)]
    return [
        # One count more of every symbol, as linksim's codebooks are made, too.
        Huff0(library, counts + 1, symbols, table_bits=bits, symbol_pairs=pairs)
        for bits in (DEFAULT_TABLE_BITS, MOST_TABLE_BITS)
        for pairs in (True, False)
    ]


def race_whole(source: Source, options: SpeedOptions) -> Iterator[WholeRow]:
    """bf16 tensors of *source* as large as the largest size, in every view."""
    values = np.resize(source.values, options.sizes[-1] // 2)
    for view in VIEW_NAMES:
        counts = histogram(symbol_view(view, number_format("bf16")).split(source.earlier)[0])
        codec = one_book_codec(counts, view, "bf16")
        contenders = [Codec(codec, values, threads) for threads in (1, THREADS)]
        for contender in contenders:
            verify(contender, values)
        timings = {
            "encode": take_turns({c.name: c.encode for c in contenders}, options.rounds),
            "decode": take_turns({c.name: c.decode for c in contenders}, options.rounds),
        }
        coded_nbytes = contenders[0].coded_nbytes
        yield WholeRow(source.name, view, values.nbytes, coded_nbytes, timings)


def race_threads(
    source: Source, form: str, library: Huff0Library | None, options: SpeedOptions
) -> Iterator[ThreadsRow]:
    """Two threads against one on the largest size of *form* of *source*."""
    values, earlier = bytes_of(source, form)
    symbols, counts = np.resize(values, options.sizes[-1]), histogram(earlier)
    codec = one_book_codec(counts, "pooled", "int8")
    contenders: list[Contender] = []
    for threads in (1, THREADS):
        contenders.append(Codec(codec, symbols.view(np.int8), threads))
        if library is not None:
            contenders.append(
                Huff0(
                    library,
                    counts + 1,
                    symbols,
                    table_bits=DEFAULT_TABLE_BITS,
                    symbol_pairs=form.startswith("bf16"),
                    threads=threads,
                )
            )
    for contender in contenders:
        verify(contender, symbols)
    tasks: dict[str, dict[str, Callable[[], object]]] = {
        "encode": {c.name: c.encode for c in contenders},
        "decode": {c.name: c.decode for c in contenders},
    }
    for operation, named in tasks.items():
        yield ThreadsRow(form, symbols.size, operation, take_turns(named, options.rounds))


def reference_speed(source: Source, form: str) -> ReferenceSpeed:
    """The NumPy reference on the first symbols of *form* of *source*."""
    values, earlier = bytes_of(source, form)
    symbols = np.resize(values, REFERENCE_SYMBOLS)
    contender = Codec(one_book_codec(histogram(earlier), "pooled", "int8"), symbols.view(np.int8))
    contender.use(REFERENCE)
    verify(contender, symbols)
    rates = [
        symbols.size / take_turns({"once": task}, 1)["once"].best_s / 1e9
        for task in (contender.encode, contender.decode)
    ]
    return ReferenceSpeed(form, symbols.size, *rates)


def core_scaling(rounds: int = ROUNDS) -> float:
    """Throughput of two threads over one, of arithmetic that keeps a whole core busy."""
    _multiply(1)
    with ThreadPoolExecutor(THREADS) as pool:
        tasks: dict[str, Callable[[], object]] = {
            "one": lambda: _multiply(5_000_000),
            "two": lambda: list(pool.map(_multiply, [5_000_000] * THREADS)),
        }
        timings = take_turns(tasks, rounds)
    return THREADS * timings["one"].best_s / timings["two"].best_s


@njit(cache=True, nogil=True)
def _multiply(count: int) -> int:
    """Eight sums that do not wait for each other, so that no unit of a core has time to spare."""
    a = b = c = d = e = f = g = h = 1
    for i in range(count):
        a, b, c, d = a * 3 + i, b * 5 + i, c * 7 + i, d * 9 + i
        e, f, g, h = e * 11 + i, f * 13 + i, g * 15 + i, h * 17 + i
    return a ^ b ^ c ^ d ^ e ^ f ^ g ^ h
