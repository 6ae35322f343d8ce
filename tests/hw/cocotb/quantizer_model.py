"""Golden models of the quantizer and the dequantizer: `GroupQuantizer`, group by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize import GroupQuantizer, QuantizedGroups, Spikes
from tests.hw.cocotb.packing import Packing
from tests.hw.cocotb.scoreboard import Model
from tests.hw.quantizer_stimuli import shared_of

Patterns = NDArray[np.uint16]


class QuantizerModel(Model):
    """Rows of bf16 patterns in, quantized groups out; a group is a message of its own."""

    def __init__(self, core: Any):
        self.definition: GroupQuantizer = core.definition
        self.width: int = core.values_per_cycle
        self.rows_per_group = self.definition.group // self.width
        self.rows = Packing(core.i.payload.shape())
        self.groups = Packing(core.o.payload.shape())

    def inputs(self, messages: Iterable[Patterns]) -> list[int]:
        """The rows of *messages*, each uint16 [groups, group]."""
        payloads = []
        for message in messages:
            rows = message.reshape(-1, self.width).tolist()
            payloads += [
                self.rows.pack({"values": row, "last": int(number == len(rows) - 1)})
                for number, row in enumerate(rows)
            ]
        return payloads

    def patterns(self, payloads: Sequence[int]) -> Patterns:
        """The values that rows hold."""
        return np.array([self.rows.unpack(one)["values"] for one in payloads], np.uint16)

    def completes(self, payloads: Sequence[int]) -> bool:
        return len(payloads) == self.rows_per_group

    def quantized(self, payloads: Sequence[int]) -> QuantizedGroups:
        """What the definition makes of one group."""
        return self.definition.quantize(self.patterns(payloads).reshape(-1))

    def expected(self, message: Sequence[int]) -> list[int]:
        groups = self.quantized(message)
        fields = shared_of(groups, 0) | {"codes": groups.codes[0].tolist()}
        return [self.groups.pack(fields | {"last": self.rows.unpack(message[-1])["last"]})]

    def describe(self, output: int) -> str:
        return str(self.groups.unpack(output))


class DequantizerModel(Model):
    """Rows of codes in, rows of bf16 patterns out; a group is a message of its own."""

    def __init__(self, core: Any):
        self.definition: GroupQuantizer = core.definition
        self.width: int = core.values_per_cycle
        self.rows_per_group = self.definition.group // self.width
        self.codes = Packing(core.i.payload.shape())
        self.rows = Packing(core.o.payload.shape())

    def inputs(self, messages: Iterable[QuantizedGroups]) -> list[int]:
        """The rows of *messages*."""
        payloads = []
        for groups in messages:
            for number in range(len(groups)):
                shared = shared_of(groups, number)
                rows = groups.codes[number].reshape(-1, self.width).tolist()
                for place, row in enumerate(rows):
                    last = number == len(groups) - 1 and place == len(rows) - 1
                    payloads.append(self.codes.pack(shared | {"codes": row, "last": int(last)}))
        return payloads

    def completes(self, payloads: Sequence[int]) -> bool:
        return len(payloads) == self.rows_per_group

    def group(self, payloads: Sequence[int]) -> QuantizedGroups:
        """The group that rows hold."""
        rows = [self.codes.unpack(one) for one in payloads]
        shared, spikes = rows[0], None
        if self.definition.spikes:
            spikes = Spikes(
                low=np.array([shared["low"]], np.uint16),
                high=np.array([shared["high"]], np.uint16),
                low_index=np.array([shared["low_index"]], np.uint8),
                high_index=np.array([shared["high_index"]], np.uint8),
            )
        return QuantizedGroups(
            scale=np.array([shared["scale"]], np.uint16),
            zero=np.array([shared["zero"]], np.uint16),
            codes=np.array([[code for row in rows for code in row["codes"]]], np.uint8),
            spikes=spikes,
        )

    def expected(self, message: Sequence[int]) -> list[int]:
        values = self.definition.dequantize(self.group(message)).reshape(-1, self.width).tolist()
        lasts = [self.codes.unpack(one)["last"] for one in message]
        return [
            self.rows.pack({"values": row, "last": last})
            for row, last in zip(values, lasts, strict=True)
        ]

    def describe(self, output: int) -> str:
        return str(self.rows.unpack(output))
