"""Who races in the speed benchmark: every coder with its buffers at hand, all on equal bytes.

A contender has seen the histogram that its codebook is made of, holds the symbols to code, and
codes them as often as it is asked to. It allocates what it can beforehand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import numcodecs
import numpy as np
from numpy.typing import NDArray

from linksim.benchmarks.huff0 import Huff0Book, Huff0Library
from linksim.codecs import HuffmanFixed
from linksim.codecs.chunked import ChunkCoder
from linksim.codecs.compiled import CompiledCoder
from linksim.codecs.compiled.coder import (
    UNKNOWN,
    block_decoder,
    block_encoder,
    capacity,
    unsized_plan,
)
from linksim.codecs.prefix_code import identity_code
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor

Bytes = NDArray[np.uint8]
Histogram = NDArray[np.int64]


class Contender(ABC):
    """A coder with something to code. `decode` decodes what `encode` made last."""

    name: str

    @abstractmethod
    def encode(self) -> None:
        """Code it."""

    @abstractmethod
    def decode(self) -> None:
        """Decode what was coded."""

    @property
    @abstractmethod
    def coded_nbytes(self) -> int:
        """Bytes that the last `encode` made."""

    @abstractmethod
    def decoded(self) -> bytes:
        """What the last `decode` gave."""


def verify(contender: Contender, original: Tensor) -> None:
    """Code and decode once; LinksimError where that does not give *original* back, bit for bit."""
    contender.encode()
    contender.decode()
    if contender.decoded() != original.tobytes():
        raise LinksimError(f"{contender.name} does not give back the bytes it was given")


class Kernel(Contender):
    """linksim's compiled loops over the chunks of *symbols*, with a one-book *codec*."""

    name = "linksim kernel"

    def __init__(self, codec: HuffmanFixed, symbols: Bytes):
        self._shape, self._rest = codec.shape, np.empty(0, np.uint8)
        codes = [identity_code(self._shape.symbol_bits), codec.codebooks[0].code]
        self._plan = unsized_plan(symbols.size, codec.chunk_symbols)
        chunks = len(self._plan.counts)
        self._symbols, self._chunks = symbols, chunks
        self._coded = np.zeros(capacity(self._shape, self._plan, 0, chunks), np.uint8)
        self._decoded, self._nbytes = np.zeros_like(symbols), 0
        self._encode = block_encoder(self._shape, codes, self._plan)
        self._bounds = np.zeros(chunks + 1, np.int64)
        firsts = np.concatenate([[0], np.cumsum(self._plan.counts)])
        self._decode = block_decoder(self._shape, self._coded, self._bounds, firsts, codes, True)

    def encode(self) -> None:
        """Into the same bytes every time."""
        self._plan.nbytes[:] = UNKNOWN
        self._nbytes = self._encode(0, self._chunks, self._symbols, self._rest, self._coded)
        np.cumsum(self._plan.nbytes, out=self._bounds[1:])

    def decode(self) -> None:
        """Into the same bytes every time."""
        bad = self._decode(0, self._chunks, self._decoded, self._rest)
        if bad >= 0:
            raise LinksimError(f"{self.name}: chunk {bad} cannot be decoded")

    @property
    def coded_nbytes(self) -> int:
        """Of all chunks."""
        return self._nbytes

    def decoded(self) -> bytes:
        """The symbols."""
        return self._decoded.tobytes()


class Codec(Contender):
    """A whole linksim *codec* on *values*: `encode` and `decode` as a user calls them."""

    def __init__(self, codec: HuffmanFixed, values: Tensor, threads: int = 1):
        self.name = self.label(threads)
        self._codec = HuffmanFixed(codec.codebooks)
        self._codec.coder = CompiledCoder(threads)
        self._values = values
        self._message, self._decoded = b"", values

    @staticmethod
    def label(threads: int) -> str:
        """What the codec with *threads* threads is called."""
        return "linksim codec" if threads == 1 else f"linksim codec, {threads} threads"

    def use(self, coder: ChunkCoder) -> None:
        """Code with another realisation of the chunk format."""
        self._codec.coder = coder

    def encode(self) -> None:
        """One message."""
        self._message = self._codec.encode(self._values)

    def decode(self) -> None:
        """A new array every time."""
        self._decoded = self._codec.decode(self._message)

    @property
    def coded_nbytes(self) -> int:
        """Of the message."""
        return len(self._message)

    def decoded(self) -> bytes:
        """The values."""
        return self._decoded.tobytes()


class Huff0(Contender):
    """huff0 with a codebook made of *counts*, from one thread or several."""

    def __init__(
        self,
        library: Huff0Library,
        counts: Histogram,
        symbols: Bytes,
        *,
        table_bits: int,
        symbol_pairs: bool,
        threads: int = 1,
    ):
        self.name = f"huff0 {table_bits} bits {'X2' if symbol_pairs else 'X1'}"
        if threads > 1:
            self.name += f", {threads} threads"
        book = Huff0Book(library, counts, table_bits, symbol_pairs)
        self._book, self._pool = book, ThreadPoolExecutor(threads)
        parts = np.array_split(symbols, threads)
        self._decoded = np.zeros_like(symbols)
        self._parts = [
            (part, np.zeros(2 * part.size + 1024, np.uint8), book.sizes_of(part.size), out)
            for part, out in zip(parts, np.array_split(self._decoded, threads), strict=True)
        ]

    def encode(self) -> None:
        """Into the same bytes every time."""
        if len(self._parts) == 1:
            self._encode(0)
        else:
            list(self._pool.map(self._encode, range(len(self._parts))))

    def _encode(self, index: int) -> None:
        symbols, coded, sizes, _ = self._parts[index]
        self._book.encode(symbols, coded, sizes)

    def decode(self) -> None:
        """Into the same bytes every time."""
        if len(self._parts) == 1:
            self._decode(0)
        else:
            list(self._pool.map(self._decode, range(len(self._parts))))

    def _decode(self, index: int) -> None:
        _, coded, sizes, out = self._parts[index]
        self._book.decode(coded, sizes, out)

    @property
    def coded_nbytes(self) -> int:
        """Of all blocks; zstd would add a header to each."""
        return int(sum(sizes.sum() for _, _, sizes, _ in self._parts))

    def decoded(self) -> bytes:
        """The symbols."""
        return self._decoded.tobytes()


class Zstd(Contender):
    """zstd at its fastest positive level, without a codebook; the peer where huff0 is absent."""

    name = "zstd level 1"

    def __init__(self, symbols: Bytes):
        self._codec = numcodecs.Zstd(level=1)
        self._symbols, self._coded = symbols, b""
        self._decoded = np.zeros_like(symbols)

    def encode(self) -> None:
        """One frame."""
        self._coded = self._codec.encode(self._symbols)

    def decode(self) -> None:
        """Into the same bytes every time."""
        self._codec.decode(self._coded, self._decoded)

    @property
    def coded_nbytes(self) -> int:
        """Of the frame."""
        return len(self._coded)

    def decoded(self) -> bytes:
        """The symbols."""
        return self._decoded.tobytes()
