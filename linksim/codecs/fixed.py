"""Single-stage codecs: codebooks made from earlier batches are known to both ends.

`huffman-fixed` is the encoder of arXiv 2601.10673: coding is one table look-up. The others trade
ratio for simpler hardware, in the same chunks and messages, with codes made from the same
codebooks: `dual-length` and `quad-length` (arXiv 2602.17849) and `index-escape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from linksim.codecs.base import Segments, finish
from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS, MAX_SLOTS, ChunkPlan
from linksim.codecs.chunked import HEADER, ChunkedCodec
from linksim.codecs.codebook import Codebook
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor


class FixedCodec(ChunkedCodec):
    """Single-stage coding: every chunk takes the best of the given codebooks, or goes raw.

    *codebooks* (1 to 31, one view and dtype; dicts are accepted, as a config holds) are numbered
    from slot 1; those of another code family are made into this codec's. *exponent_bias* lets every
    chunk shift its symbols by -32 to 31, which makes a book serve tensors of another scale: the
    best shift in bulk chunks, in link chunks the one that was best for the flit before.
    *run_symbols* is the distance of entry points (none given: that of the profile); *checksum* puts
    a CRC-32C behind a bulk message.
    """

    takes_codebooks = True
    family: str

    def __init__(
        self,
        codebooks: Sequence[Codebook | dict[str, Any]],
        profile: str = "bulk",
        chunk_symbols: int = MAX_CHUNK_SYMBOLS,
        payload_nbytes: int = 240,
        exponent_bias: bool = False,
        run_symbols: int | None = None,
        checksum: bool = False,
    ):
        books = tuple(self._book(book) for book in codebooks)
        if not 1 <= len(books) <= MAX_SLOTS:
            raise LinksimError(
                f"codec {self.codec_id}: {len(books)} codebooks: expected 1 to {MAX_SLOTS}"
            )
        if len({(book.dtype, book.view) for book in books}) != 1:
            raise LinksimError(f"codec {self.codec_id}: codebooks of different dtypes or views")
        super().__init__(
            books[0].dtype,
            books[0].view,
            profile,
            chunk_symbols,
            payload_nbytes,
            run_symbols,
            checksum,
        )
        self.codebooks = books
        self.use_bias = exponent_bias
        self._all_codes = self._codes([book.code for book in books])

    @classmethod
    def _book(cls, book: Codebook | dict[str, Any]) -> Codebook:
        if isinstance(book, Codebook):
            return book if book.family == cls.family else book.of_family(cls.family)
        made = Codebook(**{**book, "lengths": tuple(book["lengths"])})
        if made.family != cls.family:
            raise LinksimError(
                f"codec {cls.codec_id}: codebook {made.name!r} holds a {made.family} code"
            )
        return made

    def get_config(self) -> dict[str, Any]:
        """The configuration, codebooks and all; what they were made from is left out."""
        shared = super().get_config()
        del shared["dtype"], shared["view"]
        books = [{**asdict(book), "lengths": list(book.lengths)} for book in self.codebooks]
        for book in books:
            del book["frequencies"]
        return {**shared, "codebooks": books, "exponent_bias": self.use_bias}

    def encode(self, buf: Any) -> bytes:
        """The message of an array of the codebooks' dtype."""
        return self._message(self.values(buf), self._all_codes)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a message that was encoded with the same codebooks and profile."""
        data = np.frombuffer(buf, np.uint8)
        if self.profile == "link":
            return finish(self._decode_link(data, 0, self._all_codes), out)
        body, symbol_count = self._read_header(data, 0)
        return finish(self._decode_bulk(body, HEADER.size, symbol_count, self._all_codes), out)

    def segments(self, values: Tensor) -> Segments:
        """One part per chunk, then the header and index of a bulk message."""
        plan, index_nbytes = self._planned(values)
        return self._segments(plan, 0, index_nbytes)

    def framing_nbytes(self, values: Tensor) -> int:
        """Header, chunk index, checksum, chunk headers and entry points."""
        plan, index_nbytes = self._planned(values)
        return self._framing_nbytes(plan, self._all_codes, index_nbytes)

    def _planned(self, values: Tensor) -> tuple[ChunkPlan, int]:
        symbols = self.symbol_view.split(self.values(values))[0]
        return self._plan(symbols, self._all_codes), self._index_nbytes(len(symbols))


class HuffmanFixed(FixedCodec):
    """Single-stage Huffman coding (arXiv 2601.10673)."""

    codec_id = "huffman-fixed"
    family = "huffman"


class DualLength(FixedCodec):
    """Dual Length Codes (arXiv 2602.17849v1): the decoder looks at one bit to know the length."""

    codec_id = "dual-length"
    family = "dual-length"


class QuadLength(FixedCodec):
    """Quad Length Codes (arXiv 2602.17849v2): three bits tell the length."""

    codec_id = "quad-length"
    family = "quad-length"
