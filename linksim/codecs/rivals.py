"""General-purpose compressors as rivals: what a library makes of the same symbols.

The library codes the view's symbols, all of a message at once; rest bytes follow as they are.
Numbers are little-endian:

    u32    n, the number of symbols
    u8     version, 0
    u8     flags: bit 0 set where the symbols are not coded, because coding would not shorten them
    u8     number of the codebook, from 1; 0 where none is used
    u8     zero
    u32    m, the bytes of the symbols
    m      the symbols: coded by the library, from one byte per symbol; or S bits each, low bit
           first, and zero bits to a whole byte
    n R/8  the rest byte of every symbol

with S bits per symbol and R rest bits. Number format, view and codebooks are agreed beforehand.
There are no chunks and no link profile: nothing can be decoded before all of a message is there.
`ans`, in `linksim.codecs.ans`, has the same message.
"""

from __future__ import annotations

import struct
import zlib
from abc import abstractmethod
from typing import Any

import numpy as np
from numcodecs import zstd
from numpy.typing import NDArray

from linksim.codecs.base import Segments, TensorCodec, finish
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, number_format
from linksim.tensors.views import SymbolView, symbol_view
from linksim.units import ceil_div

VERSION = 0
HEADER = struct.Struct("<IBBBBI")
NOT_CODED = 1
Bytes = NDArray[np.uint8]


class LibraryCodec(TensorCodec):
    """Message of a codec that hands its symbols to a library; subclasses say to which."""

    bit_exact = False

    def __init__(self, dtype: str, view: str):
        super().__init__(dtype)
        self.view = view
        self.symbol_view: SymbolView = symbol_view(view, number_format(dtype))

    @abstractmethod
    def _code(self, symbols: Bytes) -> tuple[bytes, int]:
        """*symbols* coded, and the number of the codebook or 0; *symbols* are not empty."""

    @abstractmethod
    def _read(self, coded: Bytes, count: int, book: int) -> Bytes:
        """The *count* symbols that all of *coded* holds, uint8; LinksimError if it does not."""

    def encode(self, buf: Any) -> bytes:
        """The message of an array of the codec's dtype."""
        symbols, rest = self.symbol_view.split(self.values(buf))
        flags, (coded, book) = NOT_CODED, (self._packed(symbols), 0)
        if len(symbols):
            shorter = self._code(symbols)
            if len(shorter[0]) < len(coded):
                flags, (coded, book) = 0, shorter
        header = HEADER.pack(len(symbols), VERSION, flags, book, 0, len(coded))
        return header + coded + rest.tobytes()

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a message; what it claims is held against its length beforehand."""
        try:
            return finish(self._decode(np.frombuffer(buf, np.uint8)), out)
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None

    def _decode(self, data: Bytes) -> Tensor:
        if len(data) < HEADER.size:
            raise LinksimError(f"{len(data)} bytes are no message header")
        count, version, flags, book, zero, size = HEADER.unpack_from(data[: HEADER.size].tobytes())
        if version != VERSION or flags & ~NOT_CODED or zero:
            raise LinksimError(
                f"header says version {version}, flags {flags}, reserved {zero}: expected "
                f"{VERSION}, 0 or {NOT_CODED}, 0"
            )
        view, end = self.symbol_view, HEADER.size + size
        if count % view.symbols_per_value:
            raise LinksimError(f"{count} symbols are no whole values")
        if end + count * view.rest_bits // 8 != len(data):
            raise LinksimError(
                f"{len(data)} bytes do not hold {size} bytes of symbols and the rest of {count}"
            )
        coded, uncoded_nbytes = data[HEADER.size : end], ceil_div(count * view.symbol_bits, 8)
        if flags & NOT_CODED:
            if size != uncoded_nbytes or book:
                raise LinksimError(
                    f"{count} symbols that are not coded take {size} bytes and codebook {book}: "
                    f"expected {uncoded_nbytes} bytes and codebook 0"
                )
            symbols = self._unpacked(coded, count)
        elif size >= uncoded_nbytes:
            raise LinksimError(f"{count} symbols are coded in {size} bytes, which saves nothing")
        else:
            symbols = self._read(coded, count, book)
        if symbols.max(initial=0) >= view.alphabet:
            raise LinksimError(f"a symbol is {symbols.max()}: expected less than {view.alphabet}")
        return view.join(symbols, data[end:])

    def _packed(self, symbols: Bytes) -> bytes:
        """Symbols of S bits each, low bit first."""
        width = self.symbol_view.symbol_bits
        bits = np.unpackbits(symbols[:, None], axis=1, count=width, bitorder="little")
        return np.packbits(bits, bitorder="little").tobytes()

    def _unpacked(self, packed: Bytes, count: int) -> Bytes:
        width = self.symbol_view.symbol_bits
        bits = np.unpackbits(packed, bitorder="little")
        if bits[count * width :].any():
            raise LinksimError("bits are set behind the last symbol")
        rows = bits[: count * width].reshape(count, width)
        return np.packbits(rows, axis=1, bitorder="little").reshape(-1)

    def segments(self, values: Tensor) -> Segments:
        """One part, found by encoding: nothing leaves before the last symbol is coded."""
        flat = self.values(values)
        raw = np.array([self.number_format.nbytes(flat.size)], np.int64)
        return Segments(raw, np.array([len(self.encode(flat))], np.int64))

    def framing_nbytes(self, values: Tensor) -> int:
        """The message header; what a library frames its own stream with counts as coded."""
        return HEADER.size

    def get_config(self) -> dict[str, Any]:
        """The configuration that all of them share."""
        return {**super().get_config(), "view": self.view}


class ZlibHuffman(LibraryCodec):
    """Deflate without matches: Huffman codes that zlib builds anew every few ten thousand symbols.

    Raw deflate (RFC 1951) of strategy Z_HUFFMAN_ONLY.
    """

    codec_id = "zlib-huffman"

    def __init__(self, dtype: str = "bf16", view: str = "exponent"):
        super().__init__(dtype, view)

    def _code(self, symbols: Bytes) -> tuple[bytes, int]:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
        return deflate.compress(symbols.tobytes()) + deflate.flush(), 0

    def _read(self, coded: Bytes, count: int, book: int) -> Bytes:
        _no_book(book)
        if count > 8 * len(coded):
            raise LinksimError(f"{count} symbols do not fit {len(coded)} bytes")
        inflate = zlib.decompressobj(-15)
        try:
            # One byte more than there may be: a stream that is too long shows, and goes no further.
            symbols = inflate.decompress(coded.tobytes(), count + 1)
        except zlib.error as error:
            raise LinksimError(f"the symbols are no deflate stream: {error}") from None
        if len(symbols) != count or not inflate.eof or inflate.unused_data:
            raise LinksimError(f"the deflate stream does not hold exactly {count} symbols")
        return np.frombuffer(symbols, np.uint8)


class Zstd(LibraryCodec):
    """Zstandard (RFC 8878) at *level* (-131072 to 22), one frame of known content size."""

    codec_id = "zstd"
    registered_as = "linksim-zstd"

    def __init__(self, dtype: str = "bf16", view: str = "exponent", level: int = 1):
        super().__init__(dtype, view)
        if not -131072 <= level <= 22:
            raise LinksimError(f"codec {self.codec_id}: level is {level}: expected -131072 to 22")
        self.level = level

    def get_config(self) -> dict[str, Any]:
        """The configuration; its id is not that of the codec numcodecs itself calls zstd."""
        return {**super().get_config(), "id": self.registered_as, "level": self.level}

    def _code(self, symbols: Bytes) -> tuple[bytes, int]:
        return bytes(zstd.compress(symbols.tobytes(), self.level)), 0

    def _read(self, coded: Bytes, count: int, book: int) -> Bytes:
        _no_book(book)
        frame = coded.tobytes()
        _check_frame(frame, count)
        symbols = np.empty(count, np.uint8)
        try:
            zstd.decompress(frame, symbols)
        except (RuntimeError, ValueError) as error:
            raise LinksimError(f"the symbols are no Zstandard frame: {error}") from None
        return symbols


def _no_book(book: int) -> None:
    if book:
        raise LinksimError(f"codebook {book} is unknown: there are none")


ZSTD_MAGIC = bytes.fromhex("28b52ffd")
ZSTD_BLOCK_LIMIT = 1 << 17
"""Most bytes that a block of a frame may decode to."""


def _check_frame(frame: bytes, count: int) -> None:
    """Refuse all but one whole Zstandard frame that says it holds *count* bytes, and can.

    The layout is that of RFC 8878, section 3.1.1. Nothing is decoded, so nothing is allocated for a
    frame that merely claims to be large.
    """
    if frame[:4] != ZSTD_MAGIC or len(frame) < 5:
        raise LinksimError("the symbols are no Zstandard frame")
    descriptor = frame[4]
    single_segment = descriptor >> 5 & 1
    size_nbytes = (single_segment, 2, 4, 8)[descriptor >> 6]
    start = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    at = start + size_nbytes
    declared = int.from_bytes(frame[start:at], "little") + (256 if size_nbytes == 2 else 0)
    if size_nbytes == 0 or declared != count:
        raise LinksimError(f"the Zstandard frame does not say that it holds {count} symbols")
    capacity, last = 0, False
    while not last and at + 3 <= len(frame):
        block = int.from_bytes(frame[at : at + 3], "little")
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        # A block of kind 1 holds one byte to repeat.
        capacity += ZSTD_BLOCK_LIMIT
        at += 3 + (1 if kind == 1 else size)
    checksum_nbytes = 4 * (descriptor >> 2 & 1)
    if not last or at + checksum_nbytes != len(frame):
        raise LinksimError("the symbols are not exactly one Zstandard frame")
    if count > capacity:
        raise LinksimError(f"{count} symbols do not fit the blocks of the Zstandard frame")
