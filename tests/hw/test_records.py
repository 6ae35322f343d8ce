"""Record packer and unpacker against `GroupQuantizer.pack` and `unpack`, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.formal.mutants import with_statement
from hw.huffman.layouts import decoded_layout, row_layout
from hw.huffman.shape import LinkShape
from hw.quantizer.dequantizer import Dequantizer
from hw.quantizer.layouts import group_layout
from hw.quantizer.layouts import row_layout as bf16_row_layout
from hw.quantizer.quantizer import Quantizer
from hw.quantizer.record_packer import RecordPacker, byte_row_layout
from hw.quantizer.record_unpacker import RecordUnpacker, decoded_bytes_layout
from linksim.codecs.quantize import GroupQuantizer, QuantizedGroups
from tests.conftest import gaussian, gaussian_book
from tests.hw.streams import Pattern, StreamSimulation, Transfers, always, seldom

POINT = GroupQuantizer(bits=4)
SPIKED = GroupQuantizer(bits=5, spikes=True)
SHAPES = [
    (POINT, 32),
    (GroupQuantizer(bits=3), 16),
    (GroupQuantizer(bits=2, group=64), 8),
    (GroupQuantizer(bits=4, group=128), 32),
    (GroupQuantizer(bits=8), 64),
    (GroupQuantizer(bits=7, group=64, zero="min"), 32),
    (SPIKED, 16),
    (GroupQuantizer(bits=6, group=128, zero="min", spikes=True), 4),
    (GroupQuantizer(bits=4, spikes=True), 32),
]
EVERY_SHAPE = pytest.mark.parametrize(
    ("definition", "width"),
    SHAPES,
    ids=[f"{d.zero}-b{d.bits}-g{d.group}{'-spikes' * d.spikes}-w{w}" for d, w in SHAPES],
)
GROUP_COUNTS = (5, 2, 1, 1, 4, 3)
TRAFFIC = [
    (always, always),
    (seldom(1, 2, 1), always),
    (always, seldom(1, 3, 2)),
    (seldom(2, 3, 3), seldom(2, 3, 4)),
]


def messages(definition: GroupQuantizer, group_counts: Sequence[int]) -> list[QuantizedGroups]:
    """Random bf16 values, of all signs and scales, one poisoned group."""
    made = []
    for seed, count in enumerate(group_counts):
        draw = np.random.default_rng(seed)
        patterns = gaussian(count * definition.group, seed=seed).view(np.uint16).copy()
        patterns ^= (draw.integers(0, 16, len(patterns)) << 7).astype(np.uint16)
        if seed == 1:
            patterns[3] = 0x7F80
        made.append(definition.quantize(patterns))
    return made


def fields(definition: GroupQuantizer, groups: QuantizedGroups, row: int) -> dict[str, Any]:
    shared = {"scale": int(groups.scale[row]), "zero": int(groups.zero[row])}
    if groups.spikes is not None:
        for name in ("low", "high", "low_index", "high_index"):
            shared[name] = int(getattr(groups.spikes, name)[row])
    return shared


def payloads(definition: GroupQuantizer, made: Sequence[QuantizedGroups]) -> list[Any]:
    layout = group_layout(definition)
    return [
        layout.const(
            {
                **fields(definition, groups, row),
                "codes": groups.codes[row].tolist(),
                "last": row == len(groups) - 1,
            }
        )
        for groups in made
        for row in range(len(groups))
    ]


def bytes_of(width: int, given: Sequence[tuple[int, Any]]) -> list[bytes]:
    """The messages in rows of bytes; all rows but the last are full."""
    found, current = [], b""
    for _, row in given:
        count = row.count
        assert 0 < count <= width
        assert row.last or count == width
        assert row.slot == 1
        current += bytes(row.symbols[place] for place in range(count))
        if row.last:
            found.append(current)
            current = b""
    assert not current
    return found


def packer(definition: GroupQuantizer, width: int) -> StreamSimulation:
    simulation = StreamSimulation(RecordPacker(definition=definition, bytes_per_cycle=width))

    async def choose_slot(ctx) -> None:
        ctx.set(simulation.dut.slot, 1)

    simulation.simulator.add_testbench(choose_slot)
    return simulation


def pack(
    simulation: StreamSimulation, made: Sequence[QuantizedGroups], offer: Pattern, take: Pattern
) -> list[bytes]:
    dut = simulation.dut
    transfers = simulation.run(payloads(dut.definition, made), offer, take, idle=40)
    return bytes_of(dut.bytes_per_cycle, transfers.given)


@EVERY_SHAPE
def test_records_are_the_models(definition: GroupQuantizer, width: int) -> None:
    made = messages(definition, GROUP_COUNTS if definition.group < 128 else (3, 1, 2))
    simulation = packer(definition, width)
    for offer, take in TRAFFIC:
        assert pack(simulation, made, offer, take) == [definition.pack(groups) for groups in made]


@pytest.mark.parametrize(
    ("definition", "width", "every"),
    [(POINT, 32, 1), (GroupQuantizer(bits=4, group=128), 32, 4), (GroupQuantizer(bits=8), 64, 1)],
)
def test_packer_keeps_pace_with_32_values_a_cycle(
    definition: GroupQuantizer, width: int, every: int
) -> None:
    groups = messages(definition, (24,))
    simulation = packer(definition, width)
    transfers = simulation.run(payloads(definition, groups), lambda cycle: cycle % every == 0)
    assert transfers.stalls == 0
    assert transfers.given[-1][0] - transfers.taken[-1] in (
        simulation.dut.latency,
        simulation.dut.latency + 1,
    )


def test_rows_are_those_of_encoder_and_decoder() -> None:
    shape = LinkShape.of(
        [gaussian_book("pooled")], values_per_cycle=32, payload_nbytes=240, run_symbols=64
    )
    assert byte_row_layout(32, 1) == row_layout(shape, 1)
    assert decoded_bytes_layout(32) == decoded_layout(shape)


# The way back.


def byte_rows(
    width: int, message: bytes, seed: int = 0, *, error: bool = False, late: bool = False
) -> list[Any]:
    """*message* in rows, from a *seed* on of any length; *late*: an empty row ends it."""
    layout, draw = decoded_bytes_layout(width), np.random.default_rng(seed)
    rows, start = [], 0
    while start < len(message):
        count = min(int(draw.integers(0, width + 1)) if seed else width, len(message) - start)
        part = message[start : start + count]
        start += count
        rows.append({"symbols": [*part, *[0xA5] * (width - count)], "count": count})
    if late or not rows:
        rows.append({"symbols": [0] * width, "count": 0})
    rows[-1] |= {"last": 1, "error": error}
    return [layout.const(row) for row in rows]


def unpacker(
    definition: GroupQuantizer, width: int, values: int = 16, ring_rows: int | None = None
) -> StreamSimulation:
    return StreamSimulation(
        RecordUnpacker(
            definition=definition,
            bytes_per_cycle=width,
            values_per_cycle=values,
            ring_rows=ring_rows,
        )
    )


def given_messages(definition: GroupQuantizer, transfers: Transfers) -> list[list[Any]]:
    found: list[list[Any]] = [[]]
    for _, row in transfers.given:
        found[-1].append(row)
        if row.last:
            found.append([])
    assert not found.pop()
    return found


def check_rows(definition: GroupQuantizer, rows: Sequence[Any], groups: QuantizedGroups) -> None:
    """*rows* are those of *groups*, and of a group of zeros where it fills up a record."""
    padding = -len(groups) % definition.records.groups
    zeros = definition.quantize(np.zeros(definition.group, np.uint16))
    per_group = len(rows) // (len(groups) + padding)
    assert per_group
    for number, row in enumerate(rows):
        group, part = divmod(number, per_group)
        source, at = (groups, group) if group < len(groups) else (zeros, 0)
        codes = source.codes[at].reshape(per_group, -1)[part]
        assert list(row.codes) == codes.tolist()
        for name, value in fields(definition, source, at).items():
            assert row[name] == value
        assert not row.error
    assert per_group * (len(groups) + padding) == len(rows)


@EVERY_SHAPE
def test_fields_are_the_models(definition: GroupQuantizer, width: int) -> None:
    made = messages(definition, GROUP_COUNTS if definition.group < 128 else (3, 1, 2))
    simulation = unpacker(definition, width, values=[8, 16, 32][definition.bits % 3])
    for seed, (offer, take) in enumerate(TRAFFIC):
        rows = [
            row
            for number, groups in enumerate(made)
            for row in byte_rows(width, definition.pack(groups), seed, late=number % 2 == seed % 2)
        ]
        transfers = simulation.run(rows, offer, take, idle=60)
        found = given_messages(definition, transfers)
        assert len(found) == len(made)
        for given, groups in zip(found, made, strict=True):
            check_rows(definition, given, groups)


@pytest.mark.parametrize(("ring_rows", "lost"), [(2, 3), (4, 0)])
def test_unpacker_keeps_pace_with_32_values_a_cycle(ring_rows: int, lost: int) -> None:
    (groups,) = messages(POINT, (64,))
    simulation = unpacker(POINT, 32, values=32, ring_rows=ring_rows)
    transfers = simulation.run(byte_rows(32, POINT.pack(groups)))
    cycles = [cycle for cycle, _ in transfers.given]
    assert len(cycles) == 64
    assert cycles[-1] - cycles[0] == 63 + lost
    assert cycles[0] == transfers.taken[0] + simulation.dut.latency


@pytest.mark.parametrize("definition", [POINT, SPIKED], ids=["point", "spiked"])
def test_damage_is_seen_and_the_next_message_is_whole(definition: GroupQuantizer) -> None:
    (groups,) = messages(definition, (4,))
    good = definition.pack(groups)
    lengths = [0, 1, 3, 19, definition.records.nbytes + 5, len(good) - 1, len(good) - 4]
    simulation = unpacker(definition, 16)
    rows = []
    for length in lengths:
        rows += byte_rows(16, good[:length]) + byte_rows(16, good)
    rows += byte_rows(16, good, error=True) + byte_rows(16, good)
    found = given_messages(definition, simulation.run(rows, always, seldom(2, 3, 4), idle=60))
    assert len(found) == 2 * (len(lengths) + 1)
    for damaged, whole in zip(found[::2], found[1::2], strict=True):
        assert damaged[-1].error
        check_rows(definition, whole, groups)


RULES = [
    (GroupQuantizer(bits=5), {1: 1}),
    (GroupQuantizer(bits=5), {0: 32}),
    (GroupQuantizer(bits=5), {3: 0xBC}),
    (GroupQuantizer(bits=5), {2: 0x80, 3: 0x7F}),
    (GroupQuantizer(bits=5), {2: 0x00, 3: 0x0D}),
    (GroupQuantizer(bits=4, zero="min"), {2: 0x80, 3: 0x7F}),
    (GroupQuantizer(bits=4, spikes=True), {6: 32}),
    (GroupQuantizer(bits=4, spikes=True), {7: 255}),
    (GroupQuantizer(bits=4, spikes=True), {6: 3, 7: 3}),
    (POINT, {2: 0xFF, 3: 0xFF}),
]


@pytest.mark.parametrize(("definition", "changes"), RULES)
def test_metadata_that_breaks_a_rule_is_an_error(
    definition: GroupQuantizer, changes: dict[int, int]
) -> None:
    (groups,) = messages(definition, (4,))
    good = definition.pack(groups)
    for record in (0, len(good) - definition.records.nbytes):
        damaged = bytearray(good)
        for index, value in changes.items():
            damaged[record + index] = value
        rows = byte_rows(32, bytes(damaged)) + byte_rows(32, good)
        found = given_messages(definition, unpacker(definition, 32).run(rows, idle=40))
        assert [message[-1].error for message in found] == [1, 0]


# The whole way.


class ThereAndBack(wiring.Component):
    """bf16 to records to bf16: all four cores in a row."""

    def __init__(self, definition: GroupQuantizer):
        self.definition = definition
        super().__init__(
            {
                "i": In(stream.Signature(bf16_row_layout(8))),
                "o": Out(stream.Signature(bf16_row_layout(8))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        widths = {"definition": self.definition, "values_per_cycle": 8}
        m.submodules.quantizer = quantizer = Quantizer(**widths)
        m.submodules.packer = packer = RecordPacker(definition=self.definition, bytes_per_cycle=8)
        m.submodules.unpacker = unpacker = RecordUnpacker(**widths, bytes_per_cycle=8)
        m.submodules.dequantizer = dequantizer = Dequantizer(**widths)
        wiring.connect(m, wiring.flipped(self.i), quantizer.i)
        wiring.connect(m, quantizer.o, packer.i)
        wiring.connect(m, dequantizer.o, wiring.flipped(self.o))
        for giver, taker in ((packer.o, unpacker.i), (unpacker.o, dequantizer.i)):
            m.d.comb += [taker.valid.eq(giver.valid), giver.ready.eq(taker.ready)]
            m.d.comb += [
                taker.payload[name].eq(giver.payload[name])
                for name, _ in taker.payload.shape()
                if name in dict(giver.payload.shape())
            ]
        return m


@pytest.mark.parametrize("definition", [POINT, SPIKED], ids=["point", "spiked"])
def test_values_come_back_as_the_models(definition: GroupQuantizer) -> None:
    counts = (4, 2, 6)
    inputs, expected = [], []
    for seed, count in enumerate(counts):
        patterns = gaussian(count * 32, seed=seed).view(np.uint16)
        expected += definition.dequantize(definition.quantize(patterns)).tolist()
        rows = patterns.reshape(-1, 8).tolist()
        inputs += [
            bf16_row_layout(8).const({"values": row, "last": number == len(rows) - 1})
            for number, row in enumerate(rows)
        ]
    simulation = StreamSimulation(ThereAndBack(definition))
    transfers = simulation.run(inputs, seldom(3, 4, 1), seldom(3, 4, 2), idle=120)
    assert [value for _, row in transfers.given for value in row.values] == expected
    ends = [number for number, (_, row) in enumerate(transfers.given) if row.last]
    assert ends == [4 * end - 1 for end in np.cumsum(counts)]


# Broken on purpose.


def flip_a_bit(m, core) -> None:
    m.d.comb += core.o.p.symbols[core.bytes_per_cycle - 1][7].eq(0)


def forget_the_last(m, core) -> None:
    m.d.comb += core.o.p.last.eq(0)


def shorten(m, core) -> None:
    with m.If(core.o.p.last):
        m.d.comb += core.o.p.count.eq(core.bytes_per_cycle)


@pytest.mark.parametrize("add", [flip_a_bit, forget_the_last, shorten])
def test_a_broken_packer_is_seen(monkeypatch, add: Callable[[Any, Any], None]) -> None:
    monkeypatch.setattr(RecordPacker, "elaborate", with_statement(RecordPacker, add))
    with pytest.raises(AssertionError):
        test_records_are_the_models(POINT, 32)


def flip_a_code(m, core) -> None:
    m.d.comb += core.o.p.codes[7][0].eq(0)


def lose_the_carry(m, core) -> None:
    m.d.sync += core.fill[0].eq(0)


def forgive(m, core) -> None:
    m.d.sync += core.suspect.eq(0)


@pytest.mark.parametrize("add", [flip_a_code, lose_the_carry])
def test_a_broken_unpacker_is_seen(monkeypatch, add: Callable[[Any, Any], None]) -> None:
    monkeypatch.setattr(RecordUnpacker, "elaborate", with_statement(RecordUnpacker, add))
    with pytest.raises(AssertionError):
        test_fields_are_the_models(POINT, 32)


def test_an_unpacker_that_forgives_is_seen(monkeypatch) -> None:
    monkeypatch.setattr(RecordUnpacker, "elaborate", with_statement(RecordUnpacker, forgive))
    with pytest.raises(AssertionError):
        test_damage_is_seen_and_the_next_message_is_whole(POINT)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: RecordPacker(definition=POINT, bytes_per_cycle=12), "bytes_per_cycle is 12"),
        (lambda: RecordPacker(definition=POINT, bytes_per_cycle=8, slot_bits=0), "slot_bits is 0"),
        (
            lambda: RecordUnpacker(definition=POINT, bytes_per_cycle=2, values_per_cycle=8),
            "bytes_per_cycle is 2: expected 4, 8, 16, 32, 64",
        ),
        (
            lambda: RecordUnpacker(definition=POINT, bytes_per_cycle=8, values_per_cycle=4),
            "values_per_cycle is 4: expected 8, 16, 32",
        ),
        (
            lambda: unpacker(POINT, 32, ring_rows=1),
            "ring_rows is 1: expected a power of two from 2",
        ),
    ],
)
def test_parameters_that_make_no_core(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
