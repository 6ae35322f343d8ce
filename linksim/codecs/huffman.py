"""Single-stage (fixed-codebook) and three-stage Huffman coding, the NumPy reference.

`huffman-fixed` is the encoder of arXiv 2601.10673: codebooks made from earlier batches are known to
both ends, so coding is one table look-up. `huffman-three-stage` is what it replaces: count the
symbols, build a codebook, send it with the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.base import Segments, finish
from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS, MAX_SLOTS
from linksim.codecs.chunked import HAS_CODEBOOK, HEADER, ChunkedCodec
from linksim.codecs.codebook import Codebook
from linksim.codecs.planning import ChunkPlan
from linksim.codecs.prefix_code import PrefixCode, package_merge
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor
from linksim.tensors.histograms import histogram
from linksim.units import ceil_div


class HuffmanFixed(ChunkedCodec):
    """Single-stage Huffman: every chunk takes the best of the given codebooks, or goes raw.

    *codebooks* (1 to 31, one view and dtype; dicts are accepted, as a config holds) are numbered
    from slot 1. *exponent_bias* lets every bulk chunk shift its symbols by -32 to 31, which makes a
    book serve tensors of another scale; the link profile, which has no time to look, never does.
    """

    codec_id = "huffman-fixed"

    def __init__(
        self,
        codebooks: Sequence[Codebook | dict[str, Any]],
        profile: str = "bulk",
        chunk_symbols: int = MAX_CHUNK_SYMBOLS,
        payload_nbytes: int = 240,
        exponent_bias: bool = False,
    ):
        books = tuple(_codebook(book) for book in codebooks)
        if not 1 <= len(books) <= MAX_SLOTS:
            raise LinksimError(
                f"codec huffman-fixed: {len(books)} codebooks: expected 1 to {MAX_SLOTS}"
            )
        if len({(book.dtype, book.view) for book in books}) != 1:
            raise LinksimError("codec huffman-fixed: codebooks of different dtypes or views")
        super().__init__(books[0].dtype, books[0].view, profile, chunk_symbols, payload_nbytes)
        self.codebooks = books
        self.use_bias = exponent_bias
        self._all_codes = self._codes([book.code for book in books])

    def get_config(self) -> dict[str, Any]:
        """The configuration, codebooks and all."""
        shared = super().get_config()
        books = [{**asdict(book), "lengths": list(book.lengths)} for book in self.codebooks]
        keep = ("id", "profile", "chunk_symbols", "payload_nbytes")
        return {
            **{key: shared[key] for key in keep},
            "codebooks": books,
            "exponent_bias": self.use_bias,
        }

    def encode(self, buf: Any) -> bytes:
        """The message of an array of the codebooks' dtype."""
        return self._message(self.values(buf), self._all_codes)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a message that was encoded with the same codebooks and profile."""
        data = bytes(buf)
        if self.profile == "link":
            return finish(self._decode_chunks(self._link_parts(data), self._all_codes, None), out)
        symbol_count = self._read_header(data, 0)
        parts = self._bulk_parts(data, HEADER.size, symbol_count)
        return finish(self._decode_chunks(parts, self._all_codes, symbol_count), out)

    def segments(self, values: Tensor) -> Segments:
        """One part per chunk, then the header and index of a bulk message."""
        plan, index_nbytes = self._planned(values)
        return self._segments(plan, 0, index_nbytes)

    def framing_nbytes(self, values: Tensor) -> int:
        """Header, chunk index, chunk headers and entry points."""
        plan, index_nbytes = self._planned(values)
        return self._framing_nbytes(plan, self._all_codes, index_nbytes)

    def _planned(self, values: Tensor) -> tuple[ChunkPlan, int]:
        symbols = self.symbol_view.split(self.values(values))[0]
        return self._plan(symbols, self._all_codes), self._index_nbytes(len(symbols))


class HuffmanThreeStage(ChunkedCodec):
    """Three-stage Huffman: count, build a codebook for this message, send it in front of the data.

    The codebook travels as one 4-bit length per symbol, so codes have at most 15 bits.
    """

    codec_id = "huffman-three-stage"
    max_length = 15

    def __init__(
        self,
        dtype: str = "bf16",
        view: str = "exponent",
        profile: str = "bulk",
        chunk_symbols: int = MAX_CHUNK_SYMBOLS,
        payload_nbytes: int = 240,
    ):
        super().__init__(dtype, view, profile, chunk_symbols, payload_nbytes)

    @property
    def _codebook_nbytes(self) -> int:
        """Bytes the codebook takes: whole flit payloads in the link profile."""
        exact = ceil_div(self.symbol_view.alphabet, 2)
        if self.profile == "link":
            return ceil_div(exact, self.payload_nbytes) * self.payload_nbytes
        return exact

    def _built_codes(self, symbols: NDArray[np.uint8]) -> list[PrefixCode]:
        counts = histogram(symbols, self.symbol_view.alphabet)
        lengths = tuple(package_merge(counts, self.max_length))
        return self._codes([PrefixCode(lengths, self.max_length)])

    def encode(self, buf: Any) -> bytes:
        """The message of an array of the codec's dtype, codebook included."""
        values = self.values(buf)
        codes = self._built_codes(self.symbol_view.split(values)[0])
        nibbles = np.array(codes[1].lengths, np.uint8)
        book = (nibbles[0::2] | nibbles[1::2] << 4).tobytes().ljust(self._codebook_nbytes, b"\0")
        return self._message(values, codes, HAS_CODEBOOK, book)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a message; the codebook is validated before use."""
        data = bytes(buf)
        if self.profile == "link":
            if not data:
                return finish(np.empty(0, self.number_format.numpy), out)
            self._link_parts(data)
            codes = self._read_codebook(data)
            parts = self._link_parts(data[self._codebook_nbytes :])
            return finish(self._decode_chunks(parts, codes, None), out)
        symbol_count = self._read_header(data, HAS_CODEBOOK)
        codes = self._read_codebook(data[HEADER.size :])
        parts = self._bulk_parts(data, HEADER.size + self._codebook_nbytes, symbol_count)
        return finish(self._decode_chunks(parts, codes, symbol_count), out)

    def _read_codebook(self, data: bytes) -> list[PrefixCode]:
        exact = ceil_div(self.symbol_view.alphabet, 2)
        if len(data) < self._codebook_nbytes:
            raise LinksimError(f"codec {self.codec_id}: the message ends inside its codebook")
        if any(data[exact : self._codebook_nbytes]):
            raise LinksimError(f"codec {self.codec_id}: bits are set behind the codebook")
        packed = np.frombuffer(data, np.uint8, exact)
        lengths = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)
        try:
            return self._codes([PrefixCode(tuple(lengths.tolist()), self.max_length)])
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: codebook: {error}") from None

    def segments(self, values: Tensor) -> Segments:
        """The codebook, one part per chunk, then the header and index of a bulk message."""
        plan, _, codebook_nbytes, index_nbytes = self._planned(values)
        return self._segments(plan, codebook_nbytes, index_nbytes)

    def framing_nbytes(self, values: Tensor) -> int:
        """Header, codebook, chunk index, chunk headers and entry points."""
        plan, codes, codebook_nbytes, index_nbytes = self._planned(values)
        return self._framing_nbytes(plan, codes, codebook_nbytes + index_nbytes)

    def _planned(self, values: Tensor) -> tuple[ChunkPlan, list[PrefixCode], int, int]:
        """Plan, codes, bytes of the codebook and of the header with index."""
        symbols = self.symbol_view.split(self.values(values))[0]
        codes = self._built_codes(symbols)
        empty = self.profile == "link" and not len(symbols)
        codebook_nbytes = 0 if empty else self._codebook_nbytes
        return self._plan(symbols, codes), codes, codebook_nbytes, self._index_nbytes(len(symbols))


def _codebook(book: Codebook | dict[str, Any]) -> Codebook:
    if isinstance(book, Codebook):
        return book
    return Codebook(**{**book, "lengths": tuple(book["lengths"])})
