"""Two realisations of the group quantizer: the readable one and the compiled one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize import kernels, planes
from linksim.codecs.quantize.bf16 import Patterns
from linksim.codecs.quantize.definition import GroupQuantizer
from linksim.codecs.quantize.groups import Bytes, QuantizedGroups, Spikes
from linksim.errors import LinksimError
from linksim.units import ceil_div


class QuantizerRealisation(Protocol):
    """One realisation of the quantizer; all give the same bits and refuse in the same words."""

    def quantize(self, quantizer: GroupQuantizer, patterns: Patterns) -> QuantizedGroups:
        """See `GroupQuantizer.quantize`."""

    def dequantize(
        self, quantizer: GroupQuantizer, groups: QuantizedGroups, count: int
    ) -> Patterns:
        """See `GroupQuantizer.dequantize`."""

    def encode(self, quantizer: GroupQuantizer, patterns: Patterns) -> bytes:
        """The records of the bf16 bit patterns *patterns*, uint16 [n]."""

    def decode(self, quantizer: GroupQuantizer, data: bytes, count: int) -> Patterns:
        """The *count* patterns that records decode to; LinksimError for bytes that are none."""


class ReferenceRealisation:
    """The readable one, in NumPy: the definition itself."""

    def quantize(self, quantizer: GroupQuantizer, patterns: Patterns) -> QuantizedGroups:
        """See `QuantizerRealisation.quantize`."""
        return quantizer.quantize(patterns)

    def dequantize(
        self, quantizer: GroupQuantizer, groups: QuantizedGroups, count: int
    ) -> Patterns:
        """See `QuantizerRealisation.dequantize`."""
        return quantizer.dequantize(groups, count)

    def encode(self, quantizer: GroupQuantizer, patterns: Patterns) -> bytes:
        """See `QuantizerRealisation.encode`."""
        return quantizer.pack(quantizer.quantize(patterns))

    def decode(self, quantizer: GroupQuantizer, data: bytes, count: int) -> Patterns:
        """See `QuantizerRealisation.decode`."""
        return quantizer.dequantize(quantizer.unpack(data, count), count)


REFERENCE = ReferenceRealisation()


class CompiledRealisation:
    """Compiled by numba, one thread."""

    def quantize(self, quantizer: GroupQuantizer, patterns: Patterns) -> QuantizedGroups:
        """See `QuantizerRealisation.quantize`."""
        rows = ceil_div(len(patterns), quantizer.group)
        scale, zero, codes, spikes = self._quantize(quantizer, patterns, rows)
        return QuantizedGroups(
            scale, zero, codes.reshape(rows, quantizer.group), _spikes_of(quantizer, spikes)
        )

    def dequantize(
        self, quantizer: GroupQuantizer, groups: QuantizedGroups, count: int
    ) -> Patterns:
        """See `QuantizerRealisation.dequantize`."""
        spikes = np.empty((0, 4), np.uint16)
        if groups.spikes is not None:
            kept = groups.spikes
            columns = (kept.low, kept.high, kept.low_index, kept.high_index)
            spikes = np.stack(columns, axis=1).astype(np.uint16)
        codes = np.ascontiguousarray(groups.codes).reshape(-1)
        return self._dequantize(quantizer, groups.scale, groups.zero, codes, spikes)[:count]

    def encode(self, quantizer: GroupQuantizer, patterns: Patterns) -> bytes:
        """See `QuantizerRealisation.encode`."""
        layout = quantizer.records
        records = ceil_div(len(patterns), layout.values)
        scale, zero, codes, spikes = self._quantize(quantizer, patterns, records * layout.groups)
        out = np.empty(records * layout.nbytes, np.uint8)
        widths, masks = _planes(quantizer.bits)
        address = codes.ctypes.data
        form = _form(quantizer)
        planes.write_records(form, widths, masks, scale, zero, address, spikes, out.ctypes.data)
        return out.tobytes()

    def decode(self, quantizer: GroupQuantizer, data: bytes, count: int) -> Patterns:
        """See `QuantizerRealisation.decode`."""
        layout = quantizer.records
        if len(data) != layout.packed_nbytes(count):
            return REFERENCE.decode(quantizer, data, count)
        held = np.frombuffer(data, np.uint8)
        rows = ceil_div(count, layout.values) * layout.groups
        scale, zero, codes, spikes = _room(quantizer, rows)
        widths, masks = _planes(quantizer.bits)
        exponents = (quantizer.scale_exponents[0], quantizer.scale_exponents[-1])
        bad = planes.read_records(
            _form(quantizer), exponents, widths, masks, held.ctypes.data, scale, zero, codes,
            codes.ctypes.data, spikes,
        )  # fmt: skip
        used = ceil_div(count, quantizer.group)
        if bad >= 0 or not _is_padding(quantizer, used, scale, zero, codes, spikes):
            REFERENCE.decode(quantizer, data, count)
            raise AssertionError("the compiled quantizer refuses records that the reference takes")
        return self._dequantize(quantizer, scale, zero, codes, spikes)[:count]

    def _quantize(
        self, quantizer: GroupQuantizer, patterns: Patterns, rows: int
    ) -> tuple[Patterns, Patterns, Bytes, Patterns]:
        """Scales, zeros, codes (flat) and spikes of *rows* groups, zeros behind *patterns*."""
        if patterns.dtype != np.uint16:
            raise LinksimError(f"got {patterns.dtype}: expected bf16 bit patterns as uint16")
        words = np.ascontiguousarray(patterns).reshape(-1)
        if len(words) != rows * quantizer.group:
            words = np.concatenate(
                [words, np.zeros(rows * quantizer.group - len(words), np.uint16)]
            )
        scale, zero, codes, spikes = _room(quantizer, rows)
        constants = (
            quantizer.range_factor, quantizer.most_leading_zeros, quantizer.scale_fraction_bits,
        )  # fmt: skip
        kernels.quantize(
            words, quantizer.group, quantizer.bits, quantizer.has_zero_point, quantizer.spikes,
            constants, _reciprocals(quantizer), scale, zero, codes, spikes,
        )  # fmt: skip
        return scale, zero, codes, spikes

    def _dequantize(
        self,
        quantizer: GroupQuantizer,
        scale: Patterns,
        zero: Patterns,
        codes: Bytes,
        spikes: Patterns,
    ) -> Patterns:
        out = np.empty(len(codes), np.uint16)
        group, bits, zero_point = quantizer.group, quantizer.bits, quantizer.has_zero_point
        kernels.dequantize(scale, zero, codes, group, bits, zero_point, spikes, out)
        return out


COMPILED = CompiledRealisation()


def _room(quantizer: GroupQuantizer, rows: int) -> tuple[Patterns, Patterns, Bytes, Patterns]:
    """Room for scales, zeros, codes and spikes of *rows* groups."""
    return (
        np.empty(rows, np.uint16),
        np.empty(rows, np.uint16),
        np.empty(rows * quantizer.group, np.uint8),
        np.empty((rows if quantizer.spikes else 0, 4), np.uint16),
    )


def _spikes_of(quantizer: GroupQuantizer, spikes: Patterns) -> Spikes | None:
    if not quantizer.spikes:
        return None
    low, high, low_index, high_index = (np.ascontiguousarray(spikes[:, i]) for i in range(4))
    return Spikes(low, high, low_index.astype(np.uint8), high_index.astype(np.uint8))


def _form(quantizer: GroupQuantizer) -> tuple[int, int, bool, int, int]:
    return (
        quantizer.bits,
        quantizer.group,
        quantizer.has_zero_point,
        quantizer.scale_fraction_bits,
        quantizer.records.groups,
    )


@lru_cache(maxsize=8)
def _planes(bits: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Widths int64 [planes] and masks uint64 [planes, 4] of the planes of a code."""
    widths = GroupQuantizer(bits=bits).records.planes
    masks = [planes.plane_masks(width) for width in widths]
    return np.array(widths, np.int64), np.array(masks, np.uint64)


@lru_cache(maxsize=64)
def _reciprocals(quantizer: GroupQuantizer) -> NDArray[np.int64]:
    return np.array(quantizer.reciprocals, np.int64)


@lru_cache(maxsize=64)
def _zeros(quantizer: GroupQuantizer) -> QuantizedGroups:
    """The group that fills up an open record."""
    return quantizer.quantize(np.zeros(quantizer.group, np.uint16))


def _is_padding(quantizer: GroupQuantizer, used: int, *arrays: NDArray[Any]) -> bool:
    """Whether the groups from *used* on are those of zeros; at most one is there."""
    scale, zero, codes, spikes = arrays
    if used == len(scale):
        return True
    expected = _zeros(quantizer)
    same = scale[used] == expected.scale[0] and zero[used] == expected.zero[0]
    same = same and np.array_equal(codes[used * quantizer.group :], expected.codes[0])
    kept = expected.spikes
    if kept is not None:
        fields = (kept.low[0], kept.high[0], kept.low_index[0], kept.high_index[0])
        same = same and spikes[used].tolist() == [int(field) for field in fields]
    return bool(same)
