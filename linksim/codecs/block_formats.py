"""Blocks of narrow numbers with a scale of their own: what MXFP8, MXFP4, NVFP4 and the like send.

All that are defined on float32 share one message. Numbers are little-endian:

    u32    n, the number of values
    u8     version, 0
    u8     the form, as the codec numbers it
    u16    values of a block
    ...    what all blocks share: 0 or 4 bytes
    then block by block, the last one with as many values as are left
    ...    its scale, and zero if there is one
    ...    its codes of b bits each, low bit first, and zero bits to a whole byte
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.base import Segments, finish
from linksim.codecs.quantized import LossyCodec
from linksim.errors import LinksimError
from linksim.tensors.dtypes import NumberFormat, Tensor, number_format
from linksim.units import ceil_div

VERSION = 0
HEADER = struct.Struct("<IBBH")
SEGMENT_VALUES = 4096
MOST_BLOCK = (1 << 16) - 1
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

LARGEST_BF16 = np.array(0x7F7F, np.uint16).view(number_format("bf16").numpy).astype(np.float32)


@dataclass(frozen=True)
class Blocks:
    """A tensor as codes: what all blocks share, what one has, uint8 [blocks, m], and its codes."""

    shared: bytes
    sides: Bytes
    codes: Bytes
    """uint8 [blocks, values of a block]."""


class BlockCodec(LossyCodec):
    """Base of codecs of blocks that are defined on float32; subclasses say how blocks are coded.

    A block with a NaN or an infinity decodes to NaN. Decoded values are rounded to bf16, ties to
    even, and saturate.
    """

    shared_nbytes = 0
    """Bytes that all blocks share, which a sender knows when it has seen all values."""

    def __init__(self, dtype: str, block: int, bits: int, side_nbytes: int, form: int):
        super().__init__(dtype)
        if not 1 <= block <= MOST_BLOCK:
            raise LinksimError(
                f"codec {self.codec_id}: {block} values of a block: expected 1 to {MOST_BLOCK}"
            )
        self._block, self._bits, self._side_nbytes, self._form = block, bits, side_nbytes, form

    @abstractmethod
    def _code(self, blocks: Floats, finite: NDArray[np.bool_]) -> Blocks:
        """The codes of *blocks* [k, block]; rows that are not *finite* are given as zeros."""

    @abstractmethod
    def _values(self, coded: Blocks) -> Floats:
        """The values of codes, [k, block]; LinksimError for what `_code` does not make."""

    def encode(self, buf: Any) -> bytes:
        """The message of bf16 values of any shape."""
        flat = self.values(buf)
        head = HEADER.pack(flat.size, VERSION, self._form, self._block)
        coded = self._coded(flat)
        whole = flat.size // self._block
        parts = [coded.sides[:whole], _packed(coded.codes[:whole], self._bits)]
        body = np.concatenate(parts, axis=1).tobytes()
        if left := flat.size % self._block:
            body += coded.sides[whole:].tobytes()
            body += _packed(coded.codes[whole:, :left], self._bits).tobytes()
        return head + coded.shared + body

    def _coded(self, flat: Tensor) -> Blocks:
        count = ceil_div(flat.size, self._block)
        wide = flat.astype(np.float32)
        if missing := count * self._block - flat.size:
            # Copies of the last value, which leave a short block's extremes as they are.
            wide = np.concatenate([wide, np.repeat(wide[-1:], missing)])
        blocks = wide.reshape(count, self._block)
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(blocks).all(axis=1))
        with np.errstate(over="ignore", under="ignore"):
            return self._code(np.where(finite[:, None], blocks, np.float32(0)), finite)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a message, flat; LinksimError for what no encoder writes."""
        try:
            return finish(self._decode(bytes(buf)), out)
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None

    def _decode(self, data: bytes) -> Tensor:
        start = HEADER.size + self.shared_nbytes
        if len(data) < start:
            raise LinksimError(f"{len(data)} bytes are no message header")
        count, *said = HEADER.unpack_from(data)
        expected = [VERSION, self._form, self._block]
        if said != expected:
            raise LinksimError(f"header says version, form and block {said}: expected {expected}")
        if len(data) != start + self._body_nbytes(count):
            raise LinksimError(
                f"{len(data)} bytes: expected {start + self._body_nbytes(count)} for {count} values"
            )
        sides, codes = self._unpacked(np.frombuffer(data, np.uint8)[start:], count)
        with np.errstate(over="ignore", invalid="ignore"):
            wide = self._values(Blocks(data[HEADER.size : start], sides, codes))
        return self._narrow(wide.reshape(-1)[:count])

    def round_trip(self, values: Tensor) -> Tensor:
        """What arrives of *values*, in their shape; nothing is packed for it."""
        flat = self.values(values)
        with np.errstate(over="ignore", invalid="ignore"):
            wide = self._values(self._coded(flat))
        return self._narrow(wide.reshape(-1)[: flat.size]).reshape(np.asarray(values).shape)

    def _unpacked(self, body: Bytes, count: int) -> tuple[Bytes, Bytes]:
        whole, left = divmod(count, self._block)
        row_nbytes = self._side_nbytes + ceil_div(self._block * self._bits, 8)
        rows = body[: whole * row_nbytes].reshape(whole, row_nbytes)
        sides, codes = rows[:, : self._side_nbytes], rows[:, self._side_nbytes :]
        unpacked = _unpacked(codes, self._block, self._bits)
        if not left:
            return sides, unpacked
        tail = body[whole * row_nbytes :][None]
        last = np.zeros((1, self._block), np.uint8)
        last[:, :left] = _unpacked(tail[:, self._side_nbytes :], left, self._bits)
        last[:, left:] = last[:, left - 1 : left]
        side = tail[:, : self._side_nbytes]
        return np.concatenate([sides, side]), np.concatenate([unpacked, last])

    def _narrow(self, wide: Floats) -> Tensor:
        kept = np.clip(wide, -LARGEST_BF16, LARGEST_BF16)
        return kept.astype(self.number_format.numpy)

    def _body_nbytes(self, count: int) -> int:
        whole, left = divmod(count, self._block)
        blocks = ceil_div(count, self._block)
        codes = whole * ceil_div(self._block * self._bits, 8) + ceil_div(left * self._bits, 8)
        return blocks * self._side_nbytes + codes

    def encoded_nbytes(self, values: Tensor) -> int:
        """Exact size: it depends on the number of values alone."""
        count = np.asarray(values).size
        return HEADER.size + self.shared_nbytes + self._body_nbytes(count)

    def segments(self, values: Tensor) -> Segments:
        """The header and 4096 values or one block at a time; all at once where blocks share."""
        count = np.asarray(values).size
        if self.shared_nbytes:
            nbytes = self.encoded_nbytes(values)
            return Segments(np.array([2 * count], np.int64), np.array([nbytes], np.int64))
        step = max(1, SEGMENT_VALUES // self._block) * self._block
        held = [min(step, count - start) for start in range(0, count, step)]
        wire = [self._body_nbytes(part) for part in held]
        return Segments(
            np.array([0, *(2 * part for part in held)], np.int64),
            np.array([HEADER.size, *wire], np.int64),
        )

    def framing_nbytes(self, values: Tensor) -> int:
        """All but the codes: header, scales and zeros."""
        return self.encoded_nbytes(values) - ceil_div(np.asarray(values).size * self._bits, 8)


def _packed(codes: Bytes, bits: int) -> Bytes:
    """Rows of codes of *bits* bits each, low bit first, in whole bytes."""
    rows, block = codes.shape
    each = np.unpackbits(codes.reshape(-1, 1), axis=1, count=bits, bitorder="little")
    return np.packbits(each.reshape(rows, block * bits), axis=1, bitorder="little")


def _unpacked(packed: Bytes, block: int, bits: int) -> Bytes:
    """The inverse of `_packed`; LinksimError for bits that are set behind the last code."""
    each = np.unpackbits(np.ascontiguousarray(packed), axis=1, bitorder="little")
    if each[:, block * bits :].any():
        raise LinksimError("bits are set behind the last code of a block")
    rows = each[:, : block * bits].reshape(-1, bits)
    return np.packbits(rows, axis=1, bitorder="little").reshape(len(packed), block)


@dataclass(frozen=True)
class BlockForm:
    """One format of `BlockFloat`."""

    element: str
    """Number format of an element."""
    block: int
    scale: str
    """e8m0, e4m3 or fp32."""


FORMS = {
    "mxfp8-e4m3": BlockForm("e4m3", 32, "e8m0"),
    "mxfp8-e5m2": BlockForm("e5m2", 32, "e8m0"),
    "mxfp6-e2m3": BlockForm("e2m3", 32, "e8m0"),
    "mxfp6-e3m2": BlockForm("e3m2", 32, "e8m0"),
    "mxfp4": BlockForm("e2m1", 32, "e8m0"),
    "nvfp4": BlockForm("e2m1", 16, "e4m3"),
    "fp8-block128": BlockForm("e4m3", 128, "fp32"),
}
"""mx...: OCP Microscaling Formats (MX) specification 1.0. nvfp4: a second scale, fp32, for all."""
SCALE_NBYTES = {"e8m0": 1, "e4m3": 1, "fp32": 4}
LARGEST = {"e4m3": 448.0, "e5m2": 57344.0, "e2m3": 7.5, "e3m2": 28.0, "e2m1": 6.0}
"""Largest finite element."""
E8M0_BIAS, E8M0_NAN, E4M3_NAN = 127, 255, 0x7F


class BlockFloat(BlockCodec):
    """Elements of 8, 6 or 4 bits with a scale per block; bf16 in, bf16 out, lossy.

    *format* is one of `FORMS`. Elements are x / scale, rounded to nearest even and clamped to the
    largest finite element, in float32; scales are

    - e8m0: the power of two that takes the block's largest exponent to the element's, as section
      6.3 of the MX specification has it;
    - fp32: the largest magnitude over the largest element;
    - e4m3: the same over the tensor's scale, rounded, where the tensor's scale is its largest
      magnitude over 448 and the largest element.
    """

    codec_id = "block-float"

    def __init__(self, dtype: str = "bf16", format: str = "mxfp4"):  # noqa: A002
        if format not in FORMS:
            raise LinksimError(
                f"codec {self.codec_id}: format is {format!r}: expected {', '.join(FORMS)}"
            )
        self.format, self._what = format, FORMS[format]
        self._element: NumberFormat = number_format(self._what.element)
        self.shared_nbytes = 4 if self._what.scale == "e4m3" else 0
        number = list(FORMS).index(format)
        side = SCALE_NBYTES[self._what.scale]
        super().__init__(dtype, self._what.block, self._element.bits, side, number)

    def get_config(self) -> dict[str, Any]:
        """The configuration."""
        return {**super().get_config(), "format": self.format}

    def _code(self, blocks: Floats, finite: NDArray[np.bool_]) -> Blocks:
        largest = np.abs(blocks).max(axis=1, initial=0)
        limit = np.float32(LARGEST[self._what.element])
        shared, sides, scales = self._scales(largest, limit)
        sides[~finite] = _nan_of(self._what.scale)
        usable = np.where(scales > 0, scales, np.float32(1))[:, None]
        scaled = np.where(scales[:, None] > 0, blocks / usable, np.float32(0))
        elements = np.clip(scaled, -limit, limit).astype(self._element.numpy)
        codes = self._element.patterns(elements).reshape(blocks.shape)
        return Blocks(shared, sides, codes)

    def _scales(self, largest: Floats, limit: np.float32) -> tuple[bytes, Bytes, Floats]:
        """What all blocks share, the bytes of every block's scale, and the scales in float32."""
        if self._what.scale == "e8m0":
            exponents = np.frexp(largest)[1] - np.frexp(limit)[1]
            held = np.where(largest > 0, exponents, -E8M0_BIAS).clip(-E8M0_BIAS, E8M0_BIAS)
            sides = (held + E8M0_BIAS).astype(np.uint8)[:, None]
            return b"", sides, np.ldexp(np.float32(1), held).astype(np.float32)
        if self._what.scale == "fp32":
            scales = (largest / limit).astype("<f4")
            return b"", scales.view(np.uint8).reshape(-1, 4), scales
        top = np.float32(LARGEST["e4m3"])
        whole = np.float32(largest.max(initial=0) / (top * limit))
        ratios = largest / (limit * whole) if whole > 0 else np.zeros_like(largest)
        narrow = np.minimum(ratios, top).astype(number_format("e4m3").numpy)
        sides = narrow.view(np.uint8)[:, None]
        return whole.astype("<f4").tobytes(), sides, narrow.astype(np.float32) * whole

    def _values(self, coded: Blocks) -> Floats:
        elements = coded.codes.reshape(-1).view(self._element.numpy).astype(np.float32)
        scales = self._read_scales(coded)
        values: Floats = elements.reshape(coded.codes.shape) * scales[:, None]
        if np.isnan(elements).any() or np.isinf(elements).any():
            raise LinksimError("an element is NaN or infinite: expected finite ones")
        return values

    def _read_scales(self, coded: Blocks) -> Floats:
        sides = np.ascontiguousarray(coded.sides)
        if self._what.scale == "e8m0":
            held = sides[:, 0].astype(np.int32)
            scales = np.ldexp(np.float32(1), held - E8M0_BIAS).astype(np.float32)
            return np.where(held == E8M0_NAN, np.float32(np.nan), scales)
        if self._what.scale == "fp32":
            return _scales_from(sides.reshape(-1).view("<f4"))
        (whole,) = _scales_from(np.frombuffer(coded.shared, "<f4"))
        if np.isnan(whole):
            raise LinksimError("the tensor's scale is NaN: expected a finite one")
        narrow = sides.reshape(-1).view(number_format("e4m3").numpy).astype(np.float32)
        return np.asarray(_scales_from(narrow) * whole, np.float32)


def _nan_of(scale: str) -> NDArray[np.uint8]:
    """The bytes of a scale that makes a block NaN."""
    if scale == "fp32":
        return np.array([np.nan], "<f4").view(np.uint8)
    return np.array([E8M0_NAN if scale == "e8m0" else E4M3_NAN], np.uint8)


def _scales_from(scales: NDArray[np.floating[Any]]) -> Floats:
    """*scales* as float32; LinksimError for a sign or an infinity."""
    if np.signbit(scales).any() or np.isinf(scales).any():
        raise LinksimError("a scale is negative or infinite: expected a finite one, or NaN")
    return scales.astype(np.float32)
