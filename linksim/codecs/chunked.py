"""Messages of chunks: what all codecs of the wire format share.

A bulk message is: u32 symbol count, u8 version, u8 flags (bit 0: a codebook follows, bit 1: a
checksum ends the message), u16 zero, the codebook if any (4 bits a code length), u32 end offset of
every chunk from the first chunk's start, the chunks, u32 CRC-32C of all before it if flagged. A
link message is nothing but chunks of one flit payload each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Protocol

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from linksim.codecs.base import Segments, TensorCodec
from linksim.codecs.chunk import (
    HEADER_BITS,
    MAX_CHUNK_SYMBOLS,
    ChunkPlan,
    ChunkShape,
    encode_chunks,
)
from linksim.codecs.chunk_decoding import decode_chunks
from linksim.codecs.compiled import CompiledCoder
from linksim.codecs.planning import plan_bulk, plan_link
from linksim.codecs.prefix_code import PrefixCode, identity_code
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, coded_format
from linksim.tensors.views import SymbolView, symbol_view
from linksim.units import ceil_div

VERSION = 0
HEADER = struct.Struct("<IBBH")
HAS_CODEBOOK = 1
HAS_CHECKSUM = 2
CHECKSUM_NBYTES = 4
RUN_SYMBOLS = {"bulk": 2048, "link": 64}
"""Symbols between entry points unless a codec says otherwise, by profile. In bulk 2048 let four
decoders work on a chunk and cost 0.06 % of a coded bf16 tensor; 256, for the 32 lanes of a GPU
warp, cost 0.5 %."""
PROFILES = tuple(RUN_SYMBOLS)
Bytes = NDArray[np.uint8]


class ChunkCoder(Protocol):
    """One realisation of the chunk format; all give the same bytes, values and refusals."""

    def encode(
        self,
        shape: ChunkShape,
        symbols: Bytes,
        rest: Bytes,
        codes: Sequence[PrefixCode],
        plan: ChunkPlan,
    ) -> Bytes:
        """The chunks of *plan*, one behind the other."""

    def decode(
        self,
        shape: ChunkShape,
        data: Bytes,
        ends: NDArray[np.int64],
        codes: Sequence[PrefixCode],
        counts: NDArray[np.int64] | None,
    ) -> tuple[Bytes, Bytes]:
        """Symbols and rest bytes of the chunks in *data* that end at *ends*.

        *counts* are the symbols that each chunk of a bulk message must hold; none given means
        padded chunks of a link message, which may hold any number.
        """


class ReferenceCoder:
    """The readable one, in NumPy."""

    def encode(
        self,
        shape: ChunkShape,
        symbols: Bytes,
        rest: Bytes,
        codes: Sequence[PrefixCode],
        plan: ChunkPlan,
    ) -> Bytes:
        """See ChunkCoder."""
        return encode_chunks(shape, symbols, rest, codes, plan)

    def decode(
        self,
        shape: ChunkShape,
        data: Bytes,
        ends: NDArray[np.int64],
        codes: Sequence[PrefixCode],
        counts: NDArray[np.int64] | None,
    ) -> tuple[Bytes, Bytes]:
        """See ChunkCoder."""
        starts = np.concatenate([[0], ends])[:-1]
        parts = [data[a:b].tobytes() for a, b in zip(starts, ends, strict=True)]
        return decode_chunks(shape, parts, codes, counts)


REFERENCE = ReferenceCoder()


class ChunkedCodec(TensorCodec):
    """Messages of chunks; subclasses say which codes a message uses.

    `coder` is the realisation of the chunk format that the codec uses.
    """

    coder: ChunkCoder = CompiledCoder()

    def __init__(
        self,
        dtype: str,
        view: str,
        profile: str,
        chunk_symbols: int,
        payload_nbytes: int,
        run_symbols: int | None = None,
        checksum: bool = False,
    ):
        super().__init__(dtype)
        self.view = view
        self.symbol_view: SymbolView = symbol_view(view, coded_format(dtype))
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
        run_symbols = run_symbols or RUN_SYMBOLS[profile]
        if not 16 <= run_symbols <= MAX_CHUNK_SYMBOLS or run_symbols & (run_symbols - 1):
            raise LinksimError(
                f"codec {self.codec_id}: run_symbols is {run_symbols}: expected a power of two "
                f"from 16 to {MAX_CHUNK_SYMBOLS}"
            )
        if checksum and profile == "link":
            raise LinksimError(
                f"codec {self.codec_id}: a link message has no checksum: every flit has the link's"
            )
        self.profile = profile
        self.chunk_symbols = chunk_symbols
        self.payload_nbytes = payload_nbytes
        self.run_symbols = run_symbols
        self.checksum = checksum
        self.shape = ChunkShape(
            self.symbol_view.symbol_bits, self.symbol_view.rest_bits, run_symbols
        )
        self.use_bias = False

    def get_config(self) -> dict[str, Any]:
        """The configuration that all of them share."""
        return {
            "id": self.codec_id,
            "dtype": self.dtype,
            "view": self.view,
            "profile": self.profile,
            "chunk_symbols": self.chunk_symbols,
            "payload_nbytes": self.payload_nbytes,
            "run_symbols": self.run_symbols,
            "checksum": self.checksum,
        }

    def _codes(self, books: Sequence[PrefixCode]) -> list[PrefixCode]:
        return [identity_code(self.symbol_view.symbol_bits), *books]

    def _plan(self, symbols: NDArray[np.uint8], codes: Sequence[PrefixCode]) -> ChunkPlan:
        if self.profile == "link":
            return plan_link(self.shape, symbols, codes, self.payload_nbytes, self.use_bias)
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

    def _message(
        self, values: Tensor, codes: Sequence[PrefixCode], flags: int = 0, book: bytes = b""
    ) -> bytes:
        """The message of *values*: *book* and chunks, in bulk behind header and with index."""
        one_book = len(codes) == 2 and not self.use_bias
        if isinstance(self.coder, CompiledCoder) and self.profile == "bulk" and one_book:
            # With one book there is nothing to choose that needs a count of the symbols first.
            parts, nbytes = self.coder.encode_values(
                self.shape, self.symbol_view, values, codes, self.chunk_symbols
            )
        else:
            symbols, rest = self.symbol_view.split(values)
            plan = self._plan(symbols, codes)
            parts = [self.coder.encode(self.shape, symbols, rest, codes, plan)]
            nbytes = plan.nbytes
        if self.profile == "link":
            return b"".join([book, *(part.data for part in parts)]) if values.size else b""
        symbol_count = values.size * self.symbol_view.symbols_per_value
        header = HEADER.pack(symbol_count, VERSION, flags | self.checksum * HAS_CHECKSUM, 0)
        index = np.cumsum(nbytes).astype("<u4").tobytes()
        pieces: list[Any] = [header, book, index, *parts]
        return b"".join([*pieces, _crc32c(*pieces)] if self.checksum else pieces)

    def _decode_link(self, data: Bytes, start: int, codes: Sequence[PrefixCode]) -> Tensor:
        """Values of the link message *data*, whose chunks begin at *start*."""
        self._check_whole_payloads(data)
        body = data[start:]
        ends = np.arange(1, len(body) // self.payload_nbytes + 1) * self.payload_nbytes
        return self._decode_chunks(body, ends, codes, None)

    def _decode_bulk(
        self, data: Bytes, start: int, symbol_count: int, codes: Sequence[PrefixCode]
    ) -> Tensor:
        """Values of the bulk message *data*, whose index begins at *start*."""
        chunk_count = ceil_div(symbol_count, self.chunk_symbols)
        first = start + 4 * chunk_count
        if first > len(data):
            raise LinksimError(f"codec {self.codec_id}: the message ends inside its chunk index")
        ends = data[start:first].view("<u4").astype(np.int64)
        if (np.diff(ends, prepend=0) <= 0).any() or ends[-1:].sum() != len(data) - first:
            raise LinksimError(
                f"codec {self.codec_id}: the chunk index does not describe the "
                f"{len(data) - first} bytes that follow it"
            )
        counts = np.full(chunk_count, self.chunk_symbols, np.int64)
        counts[-1:] -= chunk_count * self.chunk_symbols - symbol_count
        whole_values = symbol_count % self.symbol_view.symbols_per_value == 0
        if not isinstance(self.coder, CompiledCoder) or not whole_values:
            return self._decode_chunks(data[first:], ends, codes, counts)
        try:
            return self.coder.decode_values(
                self.shape, self.symbol_view, data[first:], ends, codes, counts
            )
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None

    def _decode_chunks(
        self,
        data: Bytes,
        ends: NDArray[np.int64],
        codes: Sequence[PrefixCode],
        counts: NDArray[np.int64] | None,
    ) -> Tensor:
        try:
            symbols, rest = self.coder.decode(self.shape, data, ends, codes, counts)
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None
        if len(symbols) % self.symbol_view.symbols_per_value:
            raise LinksimError(f"codec {self.codec_id}: {len(symbols)} symbols are no whole values")
        return self.symbol_view.join(symbols, rest)

    def _index_nbytes(self, symbol_count: int) -> int:
        """Bytes of a bulk message's header, index and checksum; a link message has none."""
        if self.profile == "link":
            return 0
        checksum = CHECKSUM_NBYTES if self.checksum else 0
        return HEADER.size + 4 * ceil_div(symbol_count, self.chunk_symbols) + checksum

    def _read_header(self, data: Bytes, flags: int) -> tuple[Bytes, int]:
        """A bulk message without its checksum, which is verified, and its symbol count."""
        if len(data) < HEADER.size:
            raise LinksimError(f"codec {self.codec_id}: {len(data)} bytes are no message header")
        flags |= self.checksum * HAS_CHECKSUM
        symbol_count, version, have, reserved = HEADER.unpack_from(data[: HEADER.size].tobytes())
        if (version, have, reserved) != (VERSION, flags, 0):
            raise LinksimError(
                f"codec {self.codec_id}: header says version {version}, flags {have}, reserved "
                f"{reserved}: expected {VERSION}, {flags}, 0"
            )
        if self.checksum:
            body, checksum = data[:-CHECKSUM_NBYTES], data[-CHECKSUM_NBYTES:].tobytes()
            if _crc32c(body) != checksum:
                raise LinksimError(f"codec {self.codec_id}: the checksum does not fit the message")
            data = body
        return data, int(symbol_count)

    def _check_whole_payloads(self, data: Bytes) -> None:
        size = self.payload_nbytes
        if len(data) % size:
            raise LinksimError(
                f"codec {self.codec_id}: {len(data)} bytes are no whole chunks of {size} bytes"
            )


def _crc32c(*pieces: Any) -> bytes:
    checksum = 0
    for piece in pieces:
        checksum = google_crc32c.extend(checksum, piece)
    return int(checksum).to_bytes(CHECKSUM_NBYTES, "little")
