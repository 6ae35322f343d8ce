"""What quantized collectives ask of a quantizer, and the two kinds that there are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import ml_dtypes
import numpy as np

from linksim.codecs.block_formats import HEADER
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantize.realisations import COMPILED
from linksim.codecs.quantized_float import SCALES, FloatQuantize
from linksim.network.collectives.expansion import Values

OWN_SCALE = "own"
"""The scale format of `GroupQuantizer`, which is defined on integers and shared with hardware."""
SCALE_FORMATS = (OWN_SCALE, *SCALES)


class MessageQuantizer(Protocol):
    """What happens to the values of one message; bits, group, zero and the like name it."""

    @property
    def bits(self) -> int:
        """Bits of a code."""

    @property
    def group(self) -> int:
        """Values that share a scale."""

    @property
    def zero(self) -> str:
        """What a group keeps beside its scale: point, min, or nothing if symmetric."""

    @property
    def spikes(self) -> bool:
        """Whether each group's extremes are kept."""

    @property
    def scale(self) -> str:
        """One of `SCALE_FORMATS`."""

    def round_trip(self, values: Values) -> Values:
        """What arrives of *values*, bf16 [k]: bf16 [k]."""

    def packed_nbytes(self, count: int) -> int:
        """Exact bytes of a message of *count* values, without a header."""


@dataclass(frozen=True)
class IntegerGroups:
    """A `GroupQuantizer` as collectives take it."""

    definition: GroupQuantizer

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.definition.bits

    @property
    def group(self) -> int:
        """Values that share a scale."""
        return self.definition.group

    @property
    def zero(self) -> str:
        """A zero point, or the group's minimum."""
        return self.definition.zero

    @property
    def spikes(self) -> bool:
        """Whether each group's extremes are kept."""
        return self.definition.spikes

    @property
    def scale(self) -> str:
        """Its own."""
        return OWN_SCALE

    def round_trip(self, values: Values) -> Values:
        """By the compiled realisation; nothing is packed for it."""
        groups = COMPILED.quantize(self.definition, values.view(np.uint16))
        decoded = COMPILED.dequantize(self.definition, groups, values.size)
        return decoded.view(ml_dtypes.bfloat16)

    def packed_nbytes(self, count: int) -> int:
        """Whole records."""
        return self.definition.packed_nbytes(count)


@dataclass(frozen=True, kw_only=True)
class FloatGroups:
    """Codec `float-quantize` without the header of its messages.

    LinksimError for parameters that the codec refuses.
    """

    bits: int
    group: int
    scale: str = "bf16"
    symmetric: bool = False

    def __post_init__(self) -> None:
        # The codec checks the parameters.
        _ = self._codec

    @cached_property
    def _codec(self) -> FloatQuantize:
        return FloatQuantize(
            bits=self.bits, group=self.group, symmetric=self.symmetric, scale=self.scale
        )

    @property
    def zero(self) -> str:
        """The group's minimum, or nothing."""
        return "" if self.symmetric else "min"

    @property
    def spikes(self) -> bool:
        """Never."""
        return False

    def round_trip(self, values: Values) -> Values:
        """What the codec's message decodes to."""
        return self._codec.round_trip(values)

    def packed_nbytes(self, count: int) -> int:
        """Codes, scales and minima; the last group is as long as it is."""
        # The size depends on the number of values alone, so that none need be there.
        nothing = np.broadcast_to(np.zeros(1, ml_dtypes.bfloat16), (count,))
        return self._codec.encoded_nbytes(nothing) - HEADER.size


AnyQuantizer = GroupQuantizer | FloatGroups
"""What callers name: parameters, which results store field by field."""


def message_quantizer(quantizer: AnyQuantizer) -> MessageQuantizer:
    """*quantizer* as collectives take it."""
    return IntegerGroups(quantizer) if isinstance(quantizer, GroupQuantizer) else quantizer
