"""The dequantizer in hardware against the definition, bit by bit and cycle by cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from amaranth.hdl import Const

from hw.quantizer import Dequantizer, dequantizer
from linksim.codecs.quantize import GroupQuantizer, QuantizedGroups
from tests.hw.quantizer_stimuli import any_groups, hostile_groups, shared_of
from tests.hw.streams import Pattern, StreamSimulation, Transfers, always, seldom

GROUPS_PER_MESSAGE = 3


class Unit:
    """A dequantizer in the simulator and what goes through it."""

    def __init__(self, width: int, groups: QuantizedGroups, definition: GroupQuantizer):
        self.definition, self.width = definition, width
        self.core = Dequantizer(definition=definition, values_per_cycle=width)
        self.inputs = list(self._rows(groups))
        self.wanted = definition.dequantize(groups).reshape(-1, width)
        self.simulation = StreamSimulation(self.core)

    def _rows(self, groups: QuantizedGroups) -> Any:
        for number in range(len(groups)):
            shared = shared_of(groups, number)
            rows = groups.codes[number].reshape(-1, self.width).tolist()
            ending = number % GROUPS_PER_MESSAGE == GROUPS_PER_MESSAGE - 1
            for place, codes in enumerate(rows):
                yield shared | {"codes": codes, "last": int(ending and place == len(rows) - 1)}

    def run(self, offer: Pattern = always, take: Pattern = always) -> Transfers:
        return self.simulation.run(self.inputs, offer, take)

    def agrees(self, transfers: Transfers) -> bool:
        """Whether the rows that came out are the right ones."""
        assert len(transfers.given) == len(self.inputs)
        for number, (_, row) in enumerate(transfers.given):
            values = [row["values"][place] for place in range(self.width)]
            if values != self.wanted[number].tolist():
                return False
            if row.last != self.inputs[number]["last"]:
                return False
        return True


def quantized(definition: GroupQuantizer, repeats: int = 1) -> QuantizedGroups:
    return definition.quantize(hostile_groups(definition.group, 5, repeats).reshape(-1))


@pytest.mark.parametrize("zero", ["point", "min"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_of_code(bits, zero):
    definition = GroupQuantizer(bits=bits, zero=zero)
    unit = Unit(8, quantized(definition), definition)
    assert unit.agrees(unit.run(seldom(7, 8, 1), seldom(7, 8, 2)))


SHAPES = [
    (32, {"bits": 4}),
    (16, {"bits": 8, "group": 64}),
    (8, {"bits": 5, "group": 128}),
    (32, {"bits": 4, "group": 128, "zero": "min"}),
    (32, {"bits": 4, "spikes": True}),
    (16, {"bits": 3, "group": 128, "zero": "min", "spikes": True}),
]


@pytest.mark.parametrize(("width", "parameters"), SHAPES)
def test_every_shape(width, parameters):
    definition = GroupQuantizer(**parameters)
    unit = Unit(width, quantized(definition), definition)
    assert unit.agrees(unit.run(seldom(3, 4, 3), seldom(3, 4, 4)))


@pytest.mark.parametrize("zero", ["point", "min"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_groups_that_no_quantizer_makes(bits, zero):
    definition = GroupQuantizer(bits=bits, zero=zero, spikes=True)
    unit = Unit(8, any_groups(definition, seed=bits, count=60), definition)
    assert unit.agrees(unit.run())


@pytest.mark.parametrize("zero", ["point", "min"])
def test_time(zero):
    """A row every cycle, each as many cycles later as the core says; with gaps too."""
    definition = GroupQuantizer(bits=4, zero=zero)
    unit = Unit(16, quantized(definition), definition)
    for offer in (always, seldom(1, 2, 5)):
        transfers = unit.run(offer)
        assert transfers.stalls == 0
        waits = [
            cycle - taken
            for (cycle, _), taken in zip(transfers.given, transfers.taken, strict=True)
        ]
        assert waits == [unit.core.latency] * len(unit.inputs)
    assert unit.core.latency <= 11


def test_blocked_output():
    """What is on its way stays, one row is parked, and all of it comes out in order."""
    definition = GroupQuantizer(bits=4)
    unit = Unit(8, quantized(definition), definition)
    transfers = unit.run(take=lambda cycle: cycle > 40)
    assert unit.agrees(transfers)
    early = np.count_nonzero(np.array(transfers.taken) <= 40)
    assert early == unit.core.latency + 1


def never_up(sound):
    def rounded(pipe, normal, biased, negative):
        return sound(pipe, normal[-8:], biased, negative)

    return rounded


def low_bit_lost(sound):
    return lambda pattern: sound(pattern & Const(0xFFF7, 16))


def late_minimum(sound):
    return lambda value, places, width: sound(value, places | 1, width)


@pytest.mark.parametrize(
    ("name", "change", "zero"),
    [
        ("_rounded", never_up, "point"),
        ("_rounded", never_up, "min"),
        ("significand", low_bit_lost, "point"),
        ("shifted_down", late_minimum, "min"),
    ],
)
def test_broken_dequantizers_are_noticed(monkeypatch, name, change, zero):
    monkeypatch.setattr(dequantizer, name, change(getattr(dequantizer, name)))
    definition = GroupQuantizer(bits=4, zero=zero)
    unit = Unit(8, quantized(definition), definition)
    assert not unit.agrees(unit.run())


@pytest.mark.parametrize("width", [0, 4, 64])
def test_other_widths_are_refused(width):
    with pytest.raises(ValueError, match=f"values_per_cycle is {width}: expected 8, 16, 32"):
        Dequantizer(definition=GroupQuantizer(bits=4), values_per_cycle=width)
