"""How quantized groups lie in bytes: records of whole 32-bit words, one or two groups each.

A record holds what its groups share (the *metadata*, group by group), then for every 32 values the
planes of their codes. A code of 7 bits is cut into planes of 4, 2 and 1 bits and so on, the most
significant bits in the widest; in a plane of w-bit units value i has bits i*w to i*w + w - 1. So 32
values of b bits are exactly b words. `docs/quantizer.md` has the whole layout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize import bf16
from linksim.codecs.quantize.groups import Bytes, QuantizedGroups, Spikes
from linksim.errors import LinksimError
from linksim.units import ceil_div

WORD_BITS = 32
BLOCK = 32
"""Values whose planes lie together."""


def planes_of(bits: int) -> tuple[int, ...]:
    """Widths of the planes of a code of *bits* bits, most significant first."""
    return tuple(1 << place for place in range(3, -1, -1) if bits >> place & 1)


@dataclass(frozen=True, kw_only=True)
class RecordLayout:
    """Where everything lies in the records of one quantizer; made by `GroupQuantizer.records`."""

    bits: int
    group: int
    zero_bits: int
    scale_fraction_bits: int
    scale_exponents: range
    zero_point: bool
    spikes: bool

    @property
    def planes(self) -> tuple[int, ...]:
        """Widths of the planes, in the order in which they lie."""
        return planes_of(self.bits)

    @property
    def scale_shift(self) -> int:
        """Low bits of a scale's pattern that are 0 and do not travel."""
        return bf16.FRACTION_BITS - self.scale_fraction_bits

    @property
    def metadata(self) -> tuple[tuple[str, int], ...]:
        """Name and bits of every field that a group's metadata has, from bit 0 up."""
        scale = ("scale", 16 - self.zero_bits if self.scale_shift else 16)
        if not self.zero_point:
            shared = [scale, ("zero", 16)]
        elif self.bits <= 4:
            shared = [("zero", self.bits), scale]
        else:
            shared = [("zero", 8), ("reserved", 8), scale]
        if self.spikes:
            spikes = [("low", 16), ("high", 16)]
            return (*spikes, *shared, ("low_index", 8), ("high_index", 8))
        return tuple(shared)

    @property
    def metadata_bits(self) -> int:
        """Bits of a group's metadata: whole bytes."""
        return sum(width for _, width in self.metadata)

    @property
    def groups(self) -> int:
        """Groups of a record: two where the metadata of one is no whole number of words."""
        return 1 if self.metadata_bits % WORD_BITS == 0 else 2

    @property
    def values(self) -> int:
        """Values of a record."""
        return self.groups * self.group

    @property
    def nbytes(self) -> int:
        """Bytes of a record, a multiple of four."""
        return self.groups * (self.metadata_bits + self.group * self.bits) // 8

    def packed_nbytes(self, count: int) -> int:
        """Exact bytes of *count* values."""
        if count < 0:
            raise LinksimError(f"{count} values: expected 0 or more")
        return ceil_div(count, self.values) * self.nbytes

    def pack(self, groups: QuantizedGroups, padding: QuantizedGroups) -> bytes:
        """The records of *groups* and, behind them, of *padding*, which fills the last one."""
        fields = {
            name: np.concatenate([values, more]).astype(np.int32)
            for (name, values), more in zip(
                _fields(groups).items(), _fields(padding).values(), strict=True
            )
        }
        codes = np.concatenate([groups.codes, padding.codes])
        self._check(fields, codes)
        fields["scale"] = fields["scale"] >> self.scale_shift
        fields["reserved"] = np.zeros(len(codes), np.int32)
        columns = [_bits(fields[name], width) for name, width in self.metadata]
        metadata = _bytes(np.concatenate(columns, axis=1))
        records = len(codes) // self.groups
        parts = [metadata.reshape(records, self.groups * self.metadata_bits // 8)]
        blocks = codes.reshape(records, self.values // BLOCK, BLOCK)
        for block in range(blocks.shape[1]):
            left = self.bits
            for width in self.planes:
                left -= width
                units = (blocks[:, block] >> left) & ((1 << width) - 1)
                bits = _bits(units.reshape(-1), width).reshape(records, BLOCK * width)
                parts.append(_bytes(bits))
        return np.concatenate(parts, axis=1).tobytes()

    def unpack(self, data: bytes, count: int, padding: QuantizedGroups) -> QuantizedGroups:
        """The groups of *count* values; a group behind the last value must be *padding*."""
        if len(data) != self.packed_nbytes(count):
            raise LinksimError(
                f"{len(data)} bytes: expected {self.packed_nbytes(count)} for {count} values"
            )
        rows = np.frombuffer(data, np.uint8).reshape(-1, self.nbytes)
        head = self.groups * self.metadata_bits // 8
        fields = self._fields_of(rows[:, :head].reshape(-1, self.metadata_bits // 8))
        codes = self._codes_of(rows[:, head:])
        self._check(fields, codes)
        used = ceil_div(count, self.group)
        self._check_padding(fields, codes, used, padding)
        return self._groups_of({name: held[:used] for name, held in fields.items()}, codes[:used])

    def pack_metadata(self, groups: QuantizedGroups) -> bytes:
        """The metadata alone of *groups*, group by group."""
        fields = {name: values.astype(np.int32) for name, values in _fields(groups).items()}
        self._check(fields, groups.codes)
        fields["scale"] = fields["scale"] >> self.scale_shift
        fields["reserved"] = np.zeros(len(groups), np.int32)
        columns = [_bits(fields[name], width) for name, width in self.metadata]
        return _bytes(np.concatenate(columns, axis=1)).tobytes()

    def metadata_fields(self, data: bytes) -> dict[str, NDArray[np.int32]]:
        """Every field of the groups whose metadata *data* is, a whole number of groups."""
        return self._fields_of(np.frombuffer(data, np.uint8).reshape(-1, self.metadata_bits // 8))

    def groups_of(self, fields: dict[str, NDArray[np.int32]], codes: Bytes) -> QuantizedGroups:
        """The groups of *fields* and *codes* [groups, group]; LinksimError as for `unpack`."""
        self._check(fields, codes)
        return self._groups_of(fields, codes)

    def _groups_of(self, fields: dict[str, NDArray[np.int32]], codes: Bytes) -> QuantizedGroups:
        spikes = None
        if self.spikes:
            spikes = Spikes(
                low=fields["low"].astype(np.uint16),
                high=fields["high"].astype(np.uint16),
                low_index=fields["low_index"].astype(np.uint8),
                high_index=fields["high_index"].astype(np.uint8),
            )
        return QuantizedGroups(
            scale=fields["scale"].astype(np.uint16),
            zero=fields["zero"].astype(np.uint16),
            codes=codes,
            spikes=spikes,
        )

    def _fields_of(self, metadata: Bytes) -> dict[str, NDArray[np.int32]]:
        """Every field of all groups, from their metadata, uint8 [groups, bytes]."""
        bits = np.unpackbits(metadata, axis=1, bitorder="little")
        fields, start = {}, 0
        for name, width in self.metadata:
            fields[name] = _integers(bits[:, start : start + width])
            start += width
        fields["scale"] = fields["scale"] << self.scale_shift
        return fields

    def _codes_of(self, body: Bytes) -> Bytes:
        """The codes of all groups, from the planes of their records, uint8 [records, bytes]."""
        records, blocks = len(body), self.values // BLOCK
        codes, start = np.zeros((records, blocks, BLOCK), np.uint8), 0
        for block in range(blocks):
            left = self.bits
            for width in self.planes:
                left -= width
                plane = np.ascontiguousarray(body[:, start : start + BLOCK * width // 8])
                bits = np.unpackbits(plane, axis=1, bitorder="little")
                units = _integers(bits.reshape(-1, width)).reshape(records, BLOCK)
                codes[:, block] |= (units << left).astype(np.uint8)
                start += BLOCK * width // 8
        return codes.reshape(-1, self.group)

    def _check(self, fields: dict[str, NDArray[np.int32]], codes: Bytes) -> None:
        """Refuses groups that no quantizer makes; the rules of `docs/quantizer.md`, in order."""
        scale, zero = fields["scale"], fields["zero"]
        if "reserved" in fields:
            _refuse("reserved byte", fields["reserved"] != 0, "0")
        poisoned = scale == bf16.NAN
        exponents = scale >> bf16.FRACTION_BITS
        allowed = (exponents >= self.scale_exponents[0]) & (exponents <= self.scale_exponents[-1])
        span = f"{self.scale_exponents[0]} to {self.scale_exponents[-1]}"
        _refuse("scale", ~(allowed | poisoned), f"a positive one of exponent {span}, or 0x7FC0")
        narrow = scale & ((1 << self.scale_shift) - 1) == 0
        _refuse("scale", ~narrow, f"{self.scale_fraction_bits} fraction bits")
        if self.zero_point:
            _refuse("zero", zero >> self.bits != 0, f"at most {(1 << self.bits) - 1}")
        else:
            nonfinite = bf16.exponents(zero) == bf16.NONFINITE_EXPONENT
            _refuse("zero", nonfinite & ~poisoned, "a finite minimum")
        largest = codes.max(axis=1).astype(np.int32)
        _refuse("codes", largest >> self.bits != 0, f"at most {(1 << self.bits) - 1}")
        blank = (zero == (0 if self.zero_point else bf16.NAN)) & (largest == 0)
        _refuse("scale", poisoned & ~blank, "0x7FC0 only with the zero and codes of such a group")
        if self.spikes:
            self._check_spikes(fields, poisoned)

    def _check_spikes(
        self, fields: dict[str, NDArray[np.int32]], poisoned: NDArray[np.bool_]
    ) -> None:
        low, high = fields["low"], fields["high"]
        for name in ("low_index", "high_index"):
            _refuse(name, fields[name] >= self.group, f"less than {self.group}")
        same = fields["low_index"] == fields["high_index"]
        _refuse("high_index", same, "another index than the minimum's")
        _refuse("low", bf16.order_keys(low) > bf16.order_keys(high), "no more than its high")
        finite = (bf16.exponents(low) < 255) & (bf16.exponents(high) < 255)
        _refuse("spikes", finite & poisoned, "one that is not finite, or a finite scale")
        _refuse("spikes", ~finite & ~poisoned, "finite ones, or the scale 0x7FC0")

    def _check_padding(
        self,
        fields: dict[str, NDArray[np.int32]],
        codes: Bytes,
        used: int,
        padding: QuantizedGroups,
    ) -> None:
        """Refuses groups behind the last value that are not those of zeros."""
        other = (codes[used:] != padding.codes[0]).any(axis=1)
        for name, values in _fields(padding).items():
            other |= fields[name][used:] != values[0]
        if other.any():
            raise LinksimError(f"group {used} is behind the last value: expected a group of zeros")


def _fields(groups: QuantizedGroups) -> dict[str, NDArray[np.uint16]]:
    """What the groups share, by the names in `RecordLayout.metadata`."""
    fields: dict[str, NDArray[np.uint16]] = {"scale": groups.scale, "zero": groups.zero}
    if groups.spikes is not None:
        for name in ("low", "high", "low_index", "high_index"):
            fields[name] = getattr(groups.spikes, name).astype(np.uint16)
    return fields


def _refuse(name: str, wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        raise LinksimError(f"group {int(np.argmax(wrong))}, {name}: expected {expected}")


def _bits(values: NDArray[np.integer], width: int) -> Bytes:
    """Bits of every value, lowest first, uint8 [values, width]."""
    return ((values[:, None] >> np.arange(width)) & 1).astype(np.uint8)


def _bytes(bits: Bytes) -> Bytes:
    return np.packbits(bits, axis=1, bitorder="little")


def _integers(bits: Bytes) -> NDArray[np.int32]:
    """The inverse of `_bits`."""
    return bits.astype(np.int32) @ (1 << np.arange(bits.shape[1], dtype=np.int32))
