"""The group quantizer as a codec: a small header, then the records of `docs/quantizer.md`.

Numbers are little-endian:

    u32    n, the number of values
    u8     version, 0
    u8     the quantizer: bits - 2 (bits 0-2), log2(group / 32) (bits 3-4), zero "min" (bit 5),
           spikes (bit 6), 0 (bit 7)
    u16    flags: bit 0 set where the codes are coded (`linksim.codecs.composed`), bit 1 where a
           checksum ends the message
    ...    the records of n values
    u32    CRC-32C of all before it, if flagged
"""

from __future__ import annotations

import struct
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from linksim.codecs.base import Segments, TensorCodec, finish
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantize.definition import GROUPS
from linksim.codecs.quantize.realisations import COMPILED, QuantizerRealisation
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor
from linksim.units import ceil_div

VERSION = 0
HEADER = struct.Struct("<IBBH")
HAS_CODED_CODES = 1
HAS_CHECKSUM = 2
CHECKSUM_NBYTES = 4
MOST_VALUES = (1 << 32) - 1
SEGMENT_VALUES = 512
"""Values after which a sender may let a part of a message go: a whole number of any records."""


def form_byte(quantizer: GroupQuantizer) -> int:
    """The byte of a header that says which quantizer made a message."""
    group = GROUPS.index(quantizer.group)
    return (
        quantizer.bits - 2
        | group << 3
        | (not quantizer.has_zero_point) << 5
        | quantizer.spikes << 6
    )


class LossyCodec(TensorCodec):
    """Base of codecs that keep only most of a tensor of bf16 values."""

    lossless = False

    def __init__(self, dtype: str):
        super().__init__(dtype)
        if dtype != "bf16":
            raise LinksimError(f"codec {self.codec_id}: dtype is {dtype!r}: expected 'bf16'")

    def round_trip(self, values: Tensor) -> Tensor:
        """What arrives of *values*, in their shape."""
        decoded: Tensor = self.decode(self.encode(values))
        return decoded.reshape(np.asarray(values).shape)


class QuantizedMessages(LossyCodec):
    """What the messages of a group quantizer share: header and checksum."""

    realisation: QuantizerRealisation = COMPILED
    """Which realisation of the quantizer is used; all give the same messages."""

    def __init__(
        self,
        dtype: str,
        bits: int,
        group: int,
        zero: str,
        spikes: bool,
        checksum: bool,
    ):
        super().__init__(dtype)
        try:
            self.quantizer = GroupQuantizer(bits=bits, group=group, zero=zero, spikes=spikes)
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None
        self.checksum = checksum

    def get_config(self) -> dict[str, Any]:
        """The configuration that all of them share."""
        return {
            **super().get_config(),
            "id": self.registered_as or self.codec_id,
            "bits": self.quantizer.bits,
            "group": self.quantizer.group,
            "zero": self.quantizer.zero,
            "spikes": self.quantizer.spikes,
            "checksum": self.checksum,
        }

    def patterns(self, buffer: Any) -> NDArray[np.uint16]:
        """*buffer* as flat bf16 bit patterns."""
        patterns = self.values(buffer).view(np.uint16)
        if len(patterns) > MOST_VALUES:
            raise LinksimError(
                f"codec {self.codec_id}: {len(patterns)} values: expected at most {MOST_VALUES}"
            )
        return patterns

    def round_trip(self, values: Tensor) -> Tensor:
        """What arrives of *values*, in their shape; nothing is packed for it."""
        patterns = self.patterns(values)
        groups = self.realisation.quantize(self.quantizer, patterns)
        decoded = self.realisation.dequantize(self.quantizer, groups, len(patterns))
        return decoded.view(self.number_format.numpy).reshape(np.asarray(values).shape)

    def _plain_segments(self, count: int) -> Segments:
        """Parts of a message of records: header, 512 values each, checksum."""
        parts = ceil_div(count, SEGMENT_VALUES)
        held = np.full(parts, SEGMENT_VALUES, np.int64)
        held[-1:] -= parts * SEGMENT_VALUES - count
        wire = [self.quantizer.packed_nbytes(int(values)) for values in held]
        tail = [CHECKSUM_NBYTES] if self.checksum else []
        return Segments(
            np.array([0, *(2 * held).tolist(), *(0 for _ in tail)], np.int64),
            np.array([HEADER.size, *wire, *tail], np.int64),
        )

    @property
    def head_nbytes(self) -> int:
        """Bytes of header and checksum."""
        return HEADER.size + (CHECKSUM_NBYTES if self.checksum else 0)

    def _message(self, count: int, flags: int, body: bytes) -> bytes:
        """*body* behind a header that says *count* values, with its checksum if there is one."""
        flags |= HAS_CHECKSUM if self.checksum else 0
        message = HEADER.pack(count, VERSION, form_byte(self.quantizer), flags) + body
        return message + _crc32c(message) if self.checksum else message

    def _read(self, data: bytes, allowed: int = 0) -> tuple[int, int, bytes]:
        """Count, flags and body of a message; of *allowed* flags any may be set."""
        if len(data) < self.head_nbytes:
            raise LinksimError(f"{len(data)} bytes are no message header")
        count, version, form, flags = HEADER.unpack_from(data)
        expected = HAS_CHECKSUM if self.checksum else 0
        made = form_byte(self.quantizer)
        if (version, form, flags & ~allowed) != (VERSION, made, expected):
            raise LinksimError(
                f"header says version {version}, quantizer 0x{form:02X}, flags {flags}: expected "
                f"{VERSION}, 0x{made:02X}, {expected}"
            )
        if not self.checksum:
            return count, flags, data[HEADER.size :]
        if _crc32c(data[:-CHECKSUM_NBYTES]) != data[-CHECKSUM_NBYTES:]:
            raise LinksimError("the checksum does not fit the message")
        return count, flags, data[HEADER.size : -CHECKSUM_NBYTES]

    def _finished(self, patterns: NDArray[np.uint16], out: Any) -> Any:
        return finish(patterns.view(self.number_format.numpy), out)


class Quantize(QuantizedMessages):
    """Codes of 2 to 8 bits with a scale per group; bf16 in, bf16 out, lossy.

    *bits*, *group*, *zero* and *spikes* are those of `GroupQuantizer`; *checksum* puts a CRC-32C
    behind a message, without which most damaged codes go unseen.
    """

    codec_id = "quantize"
    registered_as = "linksim-quantize"

    def __init__(
        self,
        dtype: str = "bf16",
        bits: int = 4,
        group: int = 128,
        zero: str = "point",
        spikes: bool = False,
        checksum: bool = False,
    ):
        super().__init__(dtype, bits, group, zero, spikes, checksum)

    def encode(self, buf: Any) -> bytes:
        """The message of bf16 values of any shape."""
        patterns = self.patterns(buf)
        return self._message(len(patterns), 0, self.realisation.encode(self.quantizer, patterns))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a message, flat; see `docs/quantizer.md` for what is refused."""
        try:
            count, _, body = self._read(bytes(buf))
            patterns = self.realisation.decode(self.quantizer, body, count)
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None
        return self._finished(patterns, out)

    def encoded_nbytes(self, values: Tensor) -> int:
        """Exact size: it depends on the number of values alone."""
        return self.head_nbytes + self.quantizer.packed_nbytes(np.asarray(values).size)

    def segments(self, values: Tensor) -> Segments:
        """The header, one part per 512 values, and the checksum."""
        return self._plain_segments(np.asarray(values).size)

    def framing_nbytes(self, values: Tensor) -> int:
        """All but the codes of the values: header, checksum, metadata and padding."""
        codes = ceil_div(np.asarray(values).size * self.quantizer.bits, 8)
        return self.encoded_nbytes(values) - codes


def _crc32c(message: bytes) -> bytes:
    return int(google_crc32c.value(message)).to_bytes(CHECKSUM_NBYTES, "little")
