"""The quantizer in hardware against the definition, bit by bit and cycle by cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from amaranth import Module
from amaranth.hdl import Const
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hw.quantizer import Quantizer, codes_as_planes, lanes, planes_as_codes, scale
from linksim.codecs.quantize import GroupQuantizer
from tests.hw.quantizer_stimuli import hostile_groups, rows_of, shared_of
from tests.hw.streams import Pattern, StreamSimulation, Transfers, always, seldom

GROUPS_PER_MESSAGE = 3


class Unit:
    """A quantizer in the simulator and what goes through it."""

    def __init__(self, width: int, repeats: int = 1, **definition: Any):
        self.definition = GroupQuantizer(**definition)
        self.core = Quantizer(definition=self.definition, values_per_cycle=width)
        self.patterns = hostile_groups(self.definition.group, seed=width, repeats=repeats)
        self.inputs = rows_of(self.patterns, width, GROUPS_PER_MESSAGE)
        self.wanted = self.definition.quantize(self.patterns.reshape(-1))
        self.simulation = StreamSimulation(self.core)

    def run(self, offer: Pattern = always, take: Pattern = always) -> Transfers:
        return self.simulation.run(self.inputs, offer, take)

    def agrees(self, transfers: Transfers) -> bool:
        """Whether the groups that came out are the right ones."""
        assert len(transfers.given) == len(self.patterns)
        ending = GROUPS_PER_MESSAGE - 1
        for number, (_, group) in enumerate(transfers.given):
            fields = shared_of(self.wanted, number)
            fields["last"] = int(number % GROUPS_PER_MESSAGE == ending)
            if any(getattr(group, name) != wanted for name, wanted in fields.items()):
                return False
            codes = [group.codes[place] for place in range(self.definition.group)]
            if codes != self.wanted.codes[number].tolist():
                return False
        return True


@pytest.mark.parametrize("zero", ["point", "min"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_of_code(bits, zero):
    unit = Unit(8, bits=bits, zero=zero)
    assert unit.agrees(unit.run(seldom(7, 8, 1), seldom(7, 8, 2)))


@pytest.mark.parametrize(
    ("width", "definition"),
    [
        (16, {"bits": 5, "group": 64}),
        (32, {"bits": 7, "group": 128}),
        (16, {"bits": 3, "zero": "min"}),
        (32, {"bits": 8, "group": 64, "zero": "min"}),
        (32, {"bits": 2, "spikes": True}),
        (16, {"bits": 4, "group": 128, "spikes": True}),
        (8, {"bits": 6, "group": 64, "zero": "min", "spikes": True}),
    ],
)
def test_every_shape(width, definition):
    unit = Unit(width, **definition)
    assert unit.agrees(unit.run(seldom(3, 4, 3), seldom(3, 4, 4)))


@pytest.mark.parametrize(
    ("width", "definition"),
    [(32, {"bits": 4}), (16, {"bits": 2, "group": 64, "zero": "min"}), (8, {"bits": 2})],
)
def test_time(width, definition):
    """A row every cycle; each group as many cycles after its last row as the core says."""
    unit = Unit(width, **definition)
    core, groups = unit.core, len(unit.patterns)
    transfers = unit.run()
    assert transfers.stalls == 0
    given = [cycle for cycle, _ in transfers.given]
    first = transfers.taken[0]
    assert given[0] - first == core.first_value_latency <= 26
    assert np.diff(given).tolist() == [core.rows_per_group] * (groups - 1)
    assert given[-1] - first == core.cycles(groups)

    gaps = unit.run(offer=seldom(1, 2, 5))
    last_rows = gaps.taken[core.rows_per_group - 1 :: core.rows_per_group]
    waits = [cycle - row for (cycle, _), row in zip(gaps.given, last_rows, strict=True)]
    assert waits == [core.latency] * groups


@pytest.mark.parametrize("width", [8, 32])
def test_blocked_output(width):
    """The queue takes what is on its way, and all of it comes out in order."""
    unit = Unit(width, bits=4)
    transfers = unit.run(take=lambda cycle: cycle > 60)
    assert unit.agrees(transfers)
    begun = [cycle for cycle in transfers.taken if cycle <= 60]
    assert len(begun) == unit.core.queue_groups * unit.core.rows_per_group


@pytest.mark.parametrize("bits", [3, 4, 7])
def test_planes_are_the_body_of_a_record(bits):
    """Wires only: from the codes of one group to the bytes of the wire format and back."""
    definition = GroupQuantizer(bits=bits, group=64, zero="min")
    groups = definition.quantize(hostile_groups(64, seed=3)[7])
    flat = sum(int(code) << bits * place for place, code in enumerate(groups.codes[0]))

    class Wires(wiring.Component):
        def __init__(self):
            size = bits * definition.group
            super().__init__({name: wiring.Out(size) for name in ("planes", "codes")})

        def elaborate(self, platform):
            m = Module()
            codes = Const(flat, bits * definition.group)
            m.d.comb += [
                self.planes.eq(codes_as_planes(definition, codes)),
                self.codes.eq(planes_as_codes(definition, self.planes)),
            ]
            return m

    wires = Wires()
    simulator = Simulator(wires)

    async def check(ctx):
        body = definition.pack(groups)[-definition.group * bits // 8 :]
        assert ctx.get(wires.planes) == int.from_bytes(body, "little")
        assert ctx.get(wires.codes) == flat

    simulator.add_testbench(check)
    simulator.run()


def wrong_entry(sound: Callable) -> Callable:
    """The lowest bit of one entry of the table: the fraction for a range of 0."""

    def bins(definition):
        low, (first, *others) = sound(definition)
        step = replace(first.below, fraction=first.below.fraction ^ 1)
        return low, (replace(first, below=step), *others)

    return bins


def stuck_reciprocal(sound: Callable) -> Callable:
    """The second lowest bit of every reciprocal is 0."""

    def step(definition, reach):
        found = sound(definition, reach)
        return replace(found, reciprocal=found.reciprocal & ~2)

    return step


def no_rounding(sound: Callable) -> Callable:
    return lambda left, right, carry, width: sound(left, right, Const(0, 1), width)


def no_clamp(sound: Callable) -> Callable:
    return lambda value, width: value[:width]


MUTANTS = [
    (scale, "scale_bins", wrong_entry),
    (scale, "scale_step", stuck_reciprocal),
    (lanes, "sum_with_carry", no_rounding),
    (lanes, "limited", no_clamp),
]


@pytest.mark.parametrize("zero", ["point", "min"])
@pytest.mark.parametrize(("module", "name", "change"), MUTANTS)
def test_broken_quantizers_are_noticed(monkeypatch, module, name, change, zero):
    monkeypatch.setattr(module, name, change(getattr(module, name)))
    unit = Unit(8, repeats=2, bits=4, zero=zero)
    assert not unit.agrees(unit.run())


@pytest.mark.parametrize("width", [0, 4, 64])
def test_other_widths_are_refused(width):
    with pytest.raises(ValueError, match=f"values_per_cycle is {width}: expected 8, 16, 32"):
        Quantizer(definition=GroupQuantizer(bits=4), values_per_cycle=width)
