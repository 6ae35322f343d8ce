"""Messages of chunks: what both Huffman codecs share.

A bulk message is: u32 symbol count, u8 version, u8 flags (bit 0: a codebook follows), u16 zero,
the codebook if any (4 bits a code length), u32 end offset of every chunk from the first chunk's
start, the chunks. A link message is nothing but chunks of one flit payload each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.base import Segments, TensorCodec
from linksim.codecs.chunk import HEADER_BITS, MAX_CHUNK_SYMBOLS, ChunkShape, encode_chunk
from linksim.codecs.chunk_decoding import decode_chunks
from linksim.codecs.planning import ChunkPlan, plan_bulk, plan_link
from linksim.codecs.prefix_code import PrefixCode, identity_code
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, number_format
from linksim.tensors.views import SymbolView, symbol_view
from linksim.units import ceil_div

VERSION = 0
HEADER = struct.Struct("<IBBH")
HAS_CODEBOOK = 1
RUN_SYMBOLS = {"bulk": 1024, "link": 64}
"""Symbols between entry points, by profile. In bulk 1024 cost 0.1 % of a bf16 tensor and let eight
decoders work on a chunk; 256, for the 32 lanes of a GPU warp, would cost 0.5 %."""
PROFILES = tuple(RUN_SYMBOLS)


class ChunkedCodec(TensorCodec):
    """Messages of chunks; subclasses say which codes a message uses."""

    def __init__(
        self, dtype: str, view: str, profile: str, chunk_symbols: int, payload_nbytes: int
    ):
        super().__init__(dtype)
        self.view = view
        self.symbol_view: SymbolView = symbol_view(view, number_format(dtype))
        if profile not in PROFILES:
            raise LinksimError(
                f"codec {self.codec_id}: unknown profile {profile!r}: expected bulk or link"
            )
        if not 1 <= chunk_symbols <= MAX_CHUNK_SYMBOLS:
            raise LinksimError(
                f"codec {self.codec_id}: chunk_symbols is {chunk_symbols}: "
                f"expected 1 to {MAX_CHUNK_SYMBOLS}"
            )
        if not 16 <= payload_nbytes <= 4096:
            raise LinksimError(
                f"codec {self.codec_id}: payload_nbytes is {payload_nbytes}: expected 16 to 4096"
            )
        self.profile = profile
        self.chunk_symbols = chunk_symbols
        self.payload_nbytes = payload_nbytes
        self.shape = ChunkShape(
            self.symbol_view.symbol_bits, self.symbol_view.rest_bits, RUN_SYMBOLS[profile]
        )
        self.use_bias = False

    def get_config(self) -> dict[str, Any]:
        """The configuration that both codecs share."""
        return {
            "id": self.codec_id,
            "dtype": self.dtype,
            "view": self.view,
            "profile": self.profile,
            "chunk_symbols": self.chunk_symbols,
            "payload_nbytes": self.payload_nbytes,
        }

    def _codes(self, books: Sequence[PrefixCode]) -> list[PrefixCode]:
        return [identity_code(self.symbol_view.symbol_bits), *books]

    def _plan(self, symbols: NDArray[np.uint8], codes: Sequence[PrefixCode]) -> ChunkPlan:
        if self.profile == "link":
            return plan_link(self.shape, symbols, codes, self.payload_nbytes)
        return plan_bulk(self.shape, symbols, codes, self.chunk_symbols, self.use_bias)

    def _segments(self, plan: ChunkPlan, codebook_nbytes: int, index_nbytes: int) -> Segments:
        """Sizes of a message of *plan*: codebook, chunks, header with index.

        The index stands first in a bulk message, but its bytes are known last: a sender that does
        not hold the whole message back has to send it behind the chunks.
        """
        view = self.symbol_view
        raw = plan.counts * (view.fmt.bits // view.symbols_per_value) // 8
        if view.fmt.bits < 8:
            # Uncompressed bytes of the values up to each chunk's end, so that the parts add up.
            ends = -(-np.cumsum(plan.counts) * view.fmt.bits // 8)
            raw = np.diff(ends, prepend=0)
        first = np.array([codebook_nbytes] if codebook_nbytes else [], np.int64)
        last = np.array([index_nbytes] if index_nbytes else [], np.int64)
        return Segments(
            np.concatenate([np.zeros_like(first), raw, np.zeros_like(last)]),
            np.concatenate([first, plan.nbytes, last]),
        )

    def _framing_nbytes(self, plan: ChunkPlan, codes: Sequence[PrefixCode], head: int) -> int:
        header = HEADER_BITS // 8
        return head + sum(
            header + self.shape.table_nbytes(int(count), codes[slot], int(slot))
            for count, slot in zip(plan.counts, plan.slots, strict=True)
        )

    def _chunks(
        self,
        symbols: NDArray[np.uint8],
        rest: NDArray[np.uint8],
        plan: ChunkPlan,
        codes: Sequence[PrefixCode],
    ) -> bytes:
        padded = self.payload_nbytes if self.profile == "link" else None
        stops = np.cumsum(plan.counts)
        return b"".join(
            encode_chunk(
                self.shape,
                symbols[stop - count : stop],
                rest[stop - count : stop],
                slot=int(slot),
                code=codes[slot],
                bias=int(bias),
                nbytes=padded,
            )
            for stop, count, slot, bias in zip(
                stops, plan.counts, plan.slots, plan.biases, strict=True
            )
        )

    def _message(
        self,
        values: Tensor,
        codes: Sequence[PrefixCode],
        flags: int = 0,
        book: bytes = b"",
    ) -> bytes:
        """The message of *values*: *book* and chunks, in bulk behind header and with index."""
        symbols, rest = self.symbol_view.split(values)
        plan = self._plan(symbols, codes)
        chunks = self._chunks(symbols, rest, plan, codes)
        if self.profile == "link":
            return book + chunks if len(symbols) else b""
        index = np.cumsum(plan.nbytes).astype("<u4").tobytes()
        return HEADER.pack(len(symbols), VERSION, flags, 0) + book + index + chunks

    def _decode_chunks(
        self, parts: Sequence[bytes], codes: Sequence[PrefixCode], symbol_count: int | None
    ) -> Tensor:
        try:
            symbols, rest = decode_chunks(self.shape, parts, codes, padded=self.profile == "link")
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None
        if symbol_count is not None and len(symbols) != symbol_count:
            raise LinksimError(
                f"codec {self.codec_id}: the chunks hold {len(symbols)} symbols: the header "
                f"says {symbol_count}"
            )
        if len(symbols) % self.symbol_view.symbols_per_value:
            raise LinksimError(f"codec {self.codec_id}: {len(symbols)} symbols are no whole values")
        return self.symbol_view.join(symbols, rest)

    def _index_nbytes(self, symbol_count: int) -> int:
        """Bytes of a bulk message's header and index; a link message has neither."""
        if self.profile == "link":
            return 0
        return HEADER.size + 4 * ceil_div(symbol_count, self.chunk_symbols)

    def _read_header(self, data: bytes, flags: int) -> int:
        if len(data) < HEADER.size:
            raise LinksimError(f"codec {self.codec_id}: {len(data)} bytes are no message header")
        symbol_count, version, have, reserved = HEADER.unpack_from(data)
        if (version, have, reserved) != (VERSION, flags, 0):
            raise LinksimError(
                f"codec {self.codec_id}: header says version {version}, flags {have}, reserved "
                f"{reserved}: expected {VERSION}, {flags}, 0"
            )
        return int(symbol_count)

    def _bulk_parts(self, data: bytes, start: int, symbol_count: int) -> list[bytes]:
        chunk_count = ceil_div(symbol_count, self.chunk_symbols)
        first = start + 4 * chunk_count
        if first > len(data):
            raise LinksimError(f"codec {self.codec_id}: the message ends inside its chunk index")
        ends = np.frombuffer(data, "<u4", chunk_count, start).astype(np.int64)
        bounds = np.concatenate([[0], ends])
        if (np.diff(bounds) <= 0).any() or bounds[-1] != len(data) - first:
            raise LinksimError(
                f"codec {self.codec_id}: the chunk index does not describe the "
                f"{len(data) - first} bytes that follow it"
            )
        return [data[first + a : first + b] for a, b in pairwise(bounds)]

    def _link_parts(self, data: bytes) -> list[bytes]:
        size = self.payload_nbytes
        if len(data) % size:
            raise LinksimError(
                f"codec {self.codec_id}: {len(data)} bytes are no whole chunks of {size} bytes"
            )
        return [data[at : at + size] for at in range(0, len(data), size)]
