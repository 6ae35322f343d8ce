"""Three-stage Huffman coding: count the symbols, build a codebook, send it with the data.

It is what the single-stage encoder of arXiv 2601.10673 (`linksim.codecs.fixed`) replaces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.base import Segments, finish
from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS, ChunkPlan
from linksim.codecs.chunked import HAS_CODEBOOK, HEADER, ChunkedCodec
from linksim.codecs.prefix_code import PrefixCode, package_merge
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor
from linksim.tensors.histograms import histogram
from linksim.units import ceil_div


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
        run_symbols: int | None = None,
        checksum: bool = False,
    ):
        super().__init__(dtype, view, profile, chunk_symbols, payload_nbytes, run_symbols, checksum)

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
        data, start = np.frombuffer(buf, np.uint8), self._codebook_nbytes
        if self.profile == "link":
            if not len(data):
                return finish(np.empty(0, self.number_format.numpy), out)
            self._check_whole_payloads(data)
            codes = self._read_codebook(data)
            if len(data) == start:
                raise LinksimError(f"codec {self.codec_id}: no chunk follows the codebook")
            return finish(self._decode_link(data, start, codes), out)
        data, symbol_count = self._read_header(data, HAS_CODEBOOK)
        codes = self._read_codebook(data[HEADER.size :])
        return finish(self._decode_bulk(data, HEADER.size + start, symbol_count, codes), out)

    def _read_codebook(self, data: NDArray[np.uint8]) -> list[PrefixCode]:
        exact = ceil_div(self.symbol_view.alphabet, 2)
        if len(data) < self._codebook_nbytes:
            raise LinksimError(f"codec {self.codec_id}: the message ends inside its codebook")
        if data[exact : self._codebook_nbytes].any():
            raise LinksimError(f"codec {self.codec_id}: bits are set behind the codebook")
        packed = data[:exact]
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
