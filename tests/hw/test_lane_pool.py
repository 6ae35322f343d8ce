"""The lane pool says of every flit what the software says, at any pace."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from hw.huffman.decoder_lane import DecoderLane
from hw.huffman.lane_pool import LanePoolDecoder
from hw.huffman.run_feeder import RunFeeder, WindowCutter
from hw.huffman.run_parser import RunParser
from hw.huffman.run_plan import RunPlan
from hw.huffman.run_reader import RunReader
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook, CodebookSet, HuffmanFixed
from linksim.codecs.chunk import ChunkShape, encode_chunk
from linksim.codecs.prefix_code import PrefixCode, identity_code
from linksim.traces import Trace
from tests.conftest import gaussian, gaussian_book
from tests.hw.streams import Pattern, StreamSimulation, Transfers, always, seldom

SEEDS = range(8 if os.environ.get("LINKSIM_COCOTB") else 1)
"""More of them in the long regression."""
SMALL = {"values_per_cycle": 4, "payload_nbytes": 64, "run_symbols": 16, "words_per_flit": 2}


def steep(dtype: str = "bf16", view: str = "exponent", spare: bool = False) -> Codebook:
    """Code words of 1, 2, 3 and 4 bits, all others of 12; with *spare*, some bits begin none."""
    lengths = [12] * 256
    for bits in range(1, 4 if spare else 5):
        lengths[100 + bits] = bits
    return Codebook("steep", dtype, view, "any", tuple(lengths), 12)


BOOKS = {
    "gauss": (gaussian_book(max_length=12),),
    "steep": (steep(),),
    "spare": (steep(spare=True),),
    "pooled": (steep("int8", "pooled"),),
    "three": tuple(gaussian_book(max_length=12, scale=scale) for scale in (0.02, 1.0, 50.0)),
}
Verdict = tuple[list[int], list[int], bool] | None
"""Symbols, rest bytes and whether the message ends; or refused."""


class Pool:
    """A decoder in the simulator beside the codec."""

    def __init__(self, books: tuple[Codebook, ...], **parameters: int):
        self.books = books
        self.dut = LanePoolDecoder(codebooks=books, **parameters)
        self.shape = self.dut.shape
        self.simulation = StreamSimulation(self.dut)
        self.codec = HuffmanFixed(
            list(books),
            "link",
            payload_nbytes=self.shape.payload_nbytes,
            run_symbols=self.shape.run_symbols,
            exponent_bias=True,
        )

    def run(
        self, flits: list[bytes], offer: Pattern = always, take: Pattern = always
    ) -> tuple[list[Verdict], Transfers]:
        """What the decoder says of *flits*, the last of which ends the message."""
        size, words = self.shape.word_nbytes, []
        for index, flit in enumerate(flits):
            ends = {"first": index == 0, "last": index == len(flits) - 1}
            for start in range(0, self.shape.payload_nbytes, size):
                number = int.from_bytes(flit[start : start + size], "little")
                end = start + size >= self.shape.payload_nbytes
                words.append({"data": number, "end": end, **ends})
        transfers = self.simulation.run(words, offer, take, idle=300)
        return self.verdicts(transfers), transfers

    def verdicts(self, transfers: Transfers) -> list[Verdict]:
        found: list[Verdict] = []
        symbols: list[int] = []
        rest: list[int] = []
        for _, row in transfers.given:
            assert row.flit_end or not (row.error or row.last), "a verdict before the flit's end"
            assert row.flit_end or row.count, "an empty row that ends nothing"
            symbols += list(row.symbols)[: row.count]
            rest += list(row.rest)[: row.count] if self.shape.rest_bits else []
            if row.flit_end:
                found.append(None if row.error else (symbols, rest, bool(row.last)))
                symbols, rest = [], []
        assert not symbols, "a flit without end"
        return found

    def software(self, flits: list[bytes]) -> list[Verdict]:
        """What the codec says of each of *flits*."""
        found: list[Verdict] = []
        for index, flit in enumerate(flits):
            try:
                values = self.codec.decode(flit)
            except Exception:
                found.append(None)
                continue
            symbols, rest = self.books[0].symbol_view.split(values)
            found.append((symbols.tolist(), rest.tolist(), index == len(flits) - 1))
        return found

    def agrees(
        self, flits: list[bytes], offer: Pattern = always, take: Pattern = always
    ) -> Transfers:
        """Both say the same of every flit."""
        found, transfers = self.run(flits, offer, take)
        wanted = self.software(flits)
        assert len(found) == len(flits)
        for index, (hardware, software) in enumerate(zip(found, wanted, strict=True)):
            assert hardware == software, f"flit {index}"
        return transfers


@cache
def pool(name: str, width: int = 4, payload: int = 64, run: int = 16, words: int = 2) -> Pool:
    return Pool(
        BOOKS[name],
        values_per_cycle=width,
        payload_nbytes=payload,
        run_symbols=run,
        words_per_flit=words,
    )


class Drawing:
    """Flits of any contents, also such as no encoder writes."""

    def __init__(self, unit: Pool, seed: int):
        self.unit = unit
        self.rng = np.random.default_rng(seed)
        view = unit.books[0].symbol_view
        self.chunks = ChunkShape(view.symbol_bits, view.rest_bits, unit.shape.run_symbols)
        self.codes: list[PrefixCode] = [identity_code(view.symbol_bits)]
        self.codes += [book.code for book in unit.books]

    def flit(self, kind: str, slot: int = 1, bias: int = 0, share: float = 1.0) -> bytes:
        """As many values of *kind* as fit, or a *share* of them."""
        code, most = self.codes[slot], self.unit.shape.payload_bits
        lengths = code.length_table
        order = np.argsort(lengths, kind="stable")
        chances = {
            "shortest": (order == order[0]) * 1.0,
            "longest": (lengths == lengths.max()) * 1.0,
            "typical": 2.0**-lengths,
            "any": np.ones(len(lengths)),
        }[kind]
        if kind == "shortest":
            chances = (np.arange(len(lengths)) == order[0]) * 1.0
        coded = self.rng.choice(len(lengths), most, p=chances / chances.sum())
        rest = self.rng.integers(0, 256, most if self.chunks.rest_bits else 0).astype(np.uint8)
        ends = np.cumsum(lengths[coded])
        fitting = max(
            values
            for values in range(1, most)
            if values <= 8192
            and self.chunks.nbytes(values, int(ends[values - 1]), code, slot) * 8 <= most
        )
        values = max(1, round(fitting * share))
        symbols = ((coded[:values] + bias) % len(lengths)).astype(np.uint8)
        return encode_chunk(
            self.chunks,
            symbols,
            rest[: values if self.chunks.rest_bits else 0],
            slot=slot,
            code=code,
            bias=bias,
            nbytes=self.unit.shape.payload_nbytes,
        )

    def mixture(self, count: int) -> list[bytes]:
        """Flits of every kind, full and not."""
        flits = []
        for _ in range(count):
            slot = int(self.rng.integers(0, len(self.codes)))
            kind = str(self.rng.choice(["shortest", "longest", "typical", "any"]))
            share = float(self.rng.choice([1.0, 1.0, self.rng.random()]))
            bias = int(self.rng.integers(-32, 32)) if slot else 0
            flits.append(self.flit(kind, slot, bias, share))
        return flits

    def damaged(self, flit: bytes, bits: int) -> bytes:
        """*flit* with some bits the other way round, most of them where it matters."""
        spots = [
            self.rng.integers(0, 24),
            self.rng.integers(24, len(flit) * 8),
            len(flit) * 8 - 1 - self.rng.integers(0, 32),
        ]
        number = int.from_bytes(flit, "little")
        for spot in self.rng.choice(spots, bits):
            number ^= 1 << int(spot)
        return number.to_bytes(len(flit), "little")


SHAPES = [
    ("gauss", 4, 64, 16, 2),
    ("steep", 8, 100, 32, 1),
    ("three", 4, 120, 32, 4),
    ("pooled", 4, 64, 64, 1),
]
if len(SEEDS) > 1:
    SHAPES += [("steep", 16, 240, 16, 3), ("spare", 4, 240, 64, 5), ("gauss", 32, 240, 64, 4)]


@pytest.mark.parametrize(("name", "width", "payload", "run", "words"), SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_values_of_sound_flits(name, width, payload, run, words, seed):
    unit = pool(name, width, payload, run, words)
    flits = Drawing(unit, seed).mixture(12)
    assert None not in unit.software(flits)
    unit.agrees(flits)


@pytest.mark.parametrize("kind", ["shortest", "longest", "typical", "any"])
def test_flits_of_one_kind(kind):
    unit = pool("spare", 4, 240, 64, 5)
    unit.agrees([Drawing(unit, seed).flit(kind) for seed in range(3)])


@settings(max_examples=3 * len(SEEDS))
@given(seed=st.integers(0, 999), offered=st.integers(1, 5), taken=st.integers(1, 5))
def test_any_pace(seed, offered, taken):
    unit = pool("steep")
    flits = Drawing(unit, seed).mixture(10)
    unit.agrees(flits, seldom(offered, 5, seed), seldom(taken, 5, seed + 1))


def test_a_long_halt_loses_nothing():
    """Nothing is taken until every store is full."""
    unit = pool("gauss")
    flits = Drawing(unit, 5).mixture(50)
    unit.agrees(flits, take=lambda cycle: cycle > 400)


@pytest.mark.parametrize("name", ["gauss", "spare", "three"])
@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_flits(name, seed):
    """Refused where the software refuses, and the flits between are as ever."""
    unit = pool(name, 4, 120, 32, 4) if name == "three" else pool(name)
    drawing = Drawing(unit, seed)
    flits = drawing.mixture(40)
    flits = [drawing.damaged(flit, 1 + k % 3) if k % 4 else flit for k, flit in enumerate(flits)]
    refused = unit.software(flits).count(None)
    assert 5 < refused < 30
    unit.agrees(flits, seldom(3, 4, seed), seldom(3, 4, seed + 7))


def test_noise():
    unit = pool("steep")
    rng = np.random.default_rng(8)
    flits = [rng.bytes(64) for _ in range(40)]
    small = [bytes([k, 0x20]) + rng.bytes(62) for k in range(20)]
    unit.agrees(flits + small + [Drawing(unit, 1).flit("typical")])


def broken_flits(unit: Pool) -> dict[str, bytes]:
    """For every rule of the format a flit that breaks it, and hardly anything else."""
    drawing = Drawing(unit, 3)
    full, half = drawing.flit("typical"), drawing.flit("typical", share=0.6)
    raw = drawing.flit("any", 0)
    bits = unit.shape.payload_bits
    runs = (int.from_bytes(full[:2], "little") & 0x1FFF) // unit.shape.run_symbols
    table_bits = 8 * unit.shape.table_nbytes(runs)
    half_values = (int.from_bytes(half[:2], "little") & 0x1FFF) + 1
    half_table = unit.shape.table_nbytes((half_values - 1) // unit.shape.run_symbols)
    gap_top = bits - 8 * (half_table + half_values) - 1

    def changed(flit: bytes, bit: int) -> bytes:
        return (int.from_bytes(flit, "little") ^ 1 << bit).to_bytes(len(flit), "little")

    def headed(flit: bytes, values: int, slot: int, bias: int = 0) -> bytes:
        return (values - 1 | slot << 13 | bias << 18).to_bytes(3, "little") + flit[3:]

    return {
        "no such book": headed(full, 20, 9),
        "raw with a bias": headed(raw, 20, 0, 5),
        "does not fit": headed(full, 8000, 1),
        "one value too many": headed(full, bits, 1),
        "entry moved": changed(full, bits - table_bits),
        "entry far behind": changed(full, bits - table_bits + unit.shape.entry_bits - 1),
        "a bit in the gap": changed(half, gap_top),
        "the lowest bit of the gap": changed(half, gap_top - 40),
        "into the rest bytes": headed(raw, unit.shape.raw_values + 1, 0),
    }


@pytest.mark.parametrize("rule", broken_flits(pool("gauss")))
def test_every_rule(rule):
    unit = pool("gauss")
    broken = broken_flits(unit)[rule]
    sound = Drawing(unit, 4).flit("typical")
    assert unit.software([sound, broken, sound])[1] is None
    unit.agrees([sound, broken, sound, broken, broken, sound])


def test_bits_behind_the_last_table_entry():
    """The table has whole bytes."""
    unit = pool("spare", 4, 240, 64, 5)
    flit = Drawing(unit, 2).flit("typical", share=0.7)
    broken = flit[:-1] + bytes([flit[-1] ^ 0x80])
    assert unit.software([broken]) == [None]
    unit.agrees([flit, broken, flit])


def test_a_long_gap_is_looked_through():
    """Longer than any run may be, with one bit set at its far end."""
    unit = pool("three", 4, 120, 32, 4)
    drawing = Drawing(unit, 6)
    flit = drawing.flit("typical", share=0.0)
    broken = flit[:-2] + bytes([1]) + flit[-1:]
    assert unit.software([flit, broken])[1] is None
    unit.agrees([flit, broken, flit, flit, broken])


def test_a_run_takes_a_cycle_a_value():
    """In a pool of four, one run keeps one lane; four runs end at about the same time."""
    unit = pool("spare", 4, 240, 64, 5)
    flits = [Drawing(unit, seed).flit("typical") for seed in range(10)]
    transfers = unit.agrees(flits)
    ends = [cycle for cycle, row in transfers.given if row.flit_end]
    values = [len(verdict[0]) for verdict in unit.software(flits) if verdict]
    rate = sum(values[4:]) / (ends[-1] - ends[3])
    assert rate > 3.75


def test_latency():
    """Of a run that fits one window; the feeder's turn comes every four cycles."""
    unit = pool("gauss")
    flit = Drawing(unit, 1).flit("typical")
    found = set()
    for start in range(5, 9):
        _, transfers = unit.run([flit], offer=lambda cycle, start=start: cycle >= start)
        found.add(transfers.given[0][0] - transfers.taken[-1] - unit.shape.run_symbols)
    assert found == set(range(unit.dut.least_latency, unit.dut.latency + 1))


def test_values_of_the_bundled_trace(bundled_trace: Path):
    trace = Trace.open(bundled_trace)
    book = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
    unit = Pool((book.of_family("huffman", 12),), values_per_cycle=4, words_per_flit=4)
    names = [name for name, entry in trace.manifest.tensors.items() if entry.dtype == "bf16"]
    for name in names[: 2 * len(SEEDS)]:
        message = unit.codec.encode(trace.tensor(name).reshape(-1)[:500])
        unit.agrees([message[start : start + 240] for start in range(0, len(message), 240)])


def test_a_message_of_the_codec():
    unit = pool("three", 4, 120, 32, 4)
    for scale in (0.02, 3.0):
        message = unit.codec.encode(gaussian(700, scale=scale))
        unit.agrees([message[start : start + 120] for start in range(0, len(message), 120)])


def forgets_the_gap(m, lane) -> None:
    m.d.sync += lane.broken[0].eq(0)


def stuck_window_bit(m, cutter) -> None:
    m.d.comb += cutter.words[3][5].eq(1)


def a_unit_too_many(m, feeder) -> None:
    m.d.comb += feeder.word.single.eq(0)


def skips_a_byte(m, parser) -> None:
    m.d.comb += parser.order.rest[0].eq(0)


def wrong_bias_sign(m, reader) -> None:
    m.d.comb += reader.o.payload.symbols[1][7].eq(0)


MUTANTS = [
    (DecoderLane, forgets_the_gap),
    (WindowCutter, stuck_window_bit),
    (RunFeeder, a_unit_too_many),
    (RunParser, skips_a_byte),
    (RunReader, wrong_bias_sign),
]


@pytest.mark.parametrize(("cls", "add"), MUTANTS)
def test_a_broken_part_is_caught(cls, add, monkeypatch):
    sound = cls.elaborate

    def broken(self, platform):
        m = sound(self, platform)
        add(m, self)
        return m

    monkeypatch.setattr(cls, "elaborate", broken)
    unit = Pool(BOOKS["gauss"], **SMALL)
    drawing = Drawing(unit, 11)
    flits = drawing.mixture(8)
    flits += [drawing.damaged(flit, 1) for flit in flits]
    found, _ = unit.run(flits)
    assert found != unit.software(flits)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"codebooks": [gaussian_book()]}, "max_length 16: expected at most 12"),
        ({"run_symbols": 8192}, "take a head of 19 bits: expected at most 16"),
        (
            {"payload_nbytes": 240, "words_per_flit": 120},
            "table of .* bytes: expected at most the 2",
        ),
    ],
)
def test_refuses(changes, reason):
    parameters = {"codebooks": BOOKS["gauss"], **SMALL, **changes}
    shape = LinkShape.of(**parameters)
    with pytest.raises(ValueError, match=reason):
        RunPlan(shape, len(parameters["codebooks"]))


def test_rows_are_as_wide_as_the_plan_says():
    shape = pool("gauss").shape
    assert RunPlan(shape, 1).row_values == 8
    assert RunPlan(replace(shape, run_symbols=16, values_per_cycle=16), 1).row_values == 16
