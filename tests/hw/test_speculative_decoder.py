"""The speculative decoder gives the codec's values, and refuses what the codec refuses."""

from __future__ import annotations

import gc
import os
from functools import cache

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from amaranth.hdl import Const

from hw.huffman.canonical import CanonicalCode
from hw.huffman.flit_checks import FlitChecks
from hw.huffman.flit_plan import FlitPlanner
from hw.huffman.speculative_decoder import SpeculativeDecoder
from hw.huffman.speculative_model import decoding_timeline
from linksim.codecs import Codebook, CodebookSet
from tests.conftest import gaussian_book
from tests.hw.decoding import (
    DecodedFlit,
    SoftwareDecoder,
    cut,
    flipped,
    flits_from,
    noisy,
    timed,
    words_of,
)
from tests.hw.messages import drawn, steep_book
from tests.hw.streams import StreamSimulation, Transfers, always, seldom

# A core that is refused is never elaborated.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

LONG = "LINKSIM_COCOTB" in os.environ

# Four of its 16 symbols have words of 1 to 4 bits; some bits begin no word.
NIBBLES = Codebook(
    "nibbles", "e2m1", "pooled", "any", (1, 2, 3, 4, 6, 6, 7, 7, *[10] * 8), max_length=10
)
UNIVERSAL = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
BOOKS = {
    "nibbles": (NIBBLES,),
    "universal": (UNIVERSAL,),
    "limit12": (UNIVERSAL.of_family("huffman", 12),),
    "two": (steep_book(), gaussian_book()),
    "bytes": (steep_book("int8", "pooled"),),
}
PARTS = [("well", 150), ("badly", 60), ("anyhow", 40), ("shortest", 70), ("badly", 7)]


class Bench:
    """One decoder beside the codec with the same parameters."""

    def __init__(self, name: str, width: int, payload: int, run: int, words: int, bits: int):
        self.books = BOOKS[name]
        self.decoder = SpeculativeDecoder(
            codebooks=self.books,
            values_per_cycle=width,
            payload_nbytes=payload,
            run_symbols=run,
            words_per_flit=words,
            bits_per_cycle=bits,
        )
        self.shape = self.decoder.shape
        self.software = SoftwareDecoder(self.books, self.shape)
        self.simulation = StreamSimulation(self.decoder)

    def message(self, book: int = 0, parts=PARTS, shift: int = 0, seed: int = 0) -> bytes:
        """Symbols that suit a book, moved by *shift* so that a bias serves them."""
        sent = drawn(self.books[book], parts, seed)
        symbols = (sent.symbols.astype(np.int64) + shift) % (1 << self.shape.symbol_bits)
        view = self.books[0].symbol_view
        return self.software.codec.encode(view.join(symbols.astype(np.uint8), sent.rest))

    def flits(self, **options) -> list[bytes]:
        """The flits of a message."""
        return cut(self.message(**options), self.shape.payload_nbytes)

    def run(self, flits: list[bytes], offer=always, take=always) -> Transfers:
        """What crosses the streams for *flits* in one message."""
        blocks = 8 * self.shape.payload_nbytes // self.decoder.bits_per_cycle
        words = words_of(self.shape, b"".join(flits))
        return self.simulation.run(words, offer, take, idle=2 * blocks + 40)

    def decode(self, flits: list[bytes], **pace) -> list[DecodedFlit]:
        """The decoder's verdicts and values."""
        return flits_from(self.shape, self.run(flits, **pace))

    def agrees(self, flits: list[bytes], **pace) -> bool:
        """Whether decoder and codec say the same of every flit."""
        got = self.decode(flits, **pace)
        wanted = [self.software.flit(flit) for flit in flits]
        return len(got) == len(wanted) and all(
            one.agrees(other) for one, other in zip(got, wanted, strict=True)
        )


@cache
def bench(name: str, width: int, payload: int, run: int, words: int, bits: int) -> Bench:
    return Bench(name, width, payload, run, words, bits)


SMALL = ("nibbles", 8, 64, 16, 1, 8)
SHAPES = [
    SMALL,
    ("two", 8, 64, 16, 3, 8),
    ("universal", 4, 72, 32, 2, 8),
    ("limit12", 8, 64, 16, 3, 16),
    ("bytes", 16, 65, 16, 4, 16),
]
LARGE = [("universal", 16, 132, 16, 2, 24), ("universal", 32, 240, 64, 3, 64)]


@pytest.mark.parametrize("shape", SHAPES + LARGE * LONG)
def test_values(shape):
    unit = bench(*shape)
    flits = [
        flit
        for book in range(len(unit.books))
        for shift in (0, 5)
        for flit in unit.flits(book=book, shift=shift)
    ]
    slots = {flit[1] >> 5 | (flit[2] & 3) << 3 for flit in flits}
    assert slots == set(range(len(unit.books) + 1)), "not every slot was used"
    assert any(flit[2] >> 2 for flit in flits), "no flit has a bias"
    got = unit.decode(flits)
    wanted = [unit.software.flit(flit) for flit in flits]
    assert [(one.symbols, one.rest) for one in got] == [(one.symbols, one.rest) for one in wanted]
    assert not any(one.error for one in got)
    assert [one.last for one in got] == [False] * (len(flits) - 1) + [True]


@pytest.mark.parametrize("shape", [SMALL, ("limit12", 8, 64, 16, 3, 16)])
@pytest.mark.parametrize(("offered", "taken"), [(1, 5), (5, 1), (3, 2)])
def test_any_pace(shape, offered, taken):
    unit = bench(*shape)
    flits = unit.flits(parts=[("well", 60), ("badly", 30), ("shortest", 60)], seed=3)
    assert unit.agrees(flits, offer=seldom(offered, 5, 1), take=seldom(taken, 5, 2))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33])
def test_short_messages(count):
    """One flit that is nearly empty, or ends at a row or run."""
    unit = bench(*SMALL)
    assert unit.agrees(unit.flits(parts=[("shortest", count)]))


def every_part(flit: bytes) -> list[bytes]:
    """*flit* with one bit flipped: all of header and table, and every few of the others."""
    bits = 8 * len(flit)
    return [
        flipped(flit, bit)
        for bit in range(bits)
        if LONG or not 24 < bit < bits - 40 or bit % 13 == 0
    ]


@pytest.mark.parametrize("shape", [SMALL, ("limit12", 8, 64, 16, 3, 16)])
def test_flipped_bits(shape):
    """The codec's verdict on each, and its values where it accepts."""
    unit = bench(*shape)
    middle = unit.flits(seed=5)[1]
    changed = every_part(middle)
    wanted = [unit.software.flit(flit) for flit in changed]
    assert any(flit.error for flit in wanted)
    assert unit.agrees(changed)


def test_broken_flits_leave_no_trace():
    unit = bench("two", 8, 64, 16, 3, 8)
    rng = np.random.default_rng(8)
    sound = [flit for book in (0, 1) for flit in unit.flits(book=book, shift=book)]
    flits = []
    for flit in sound:
        flits += [noisy(flit, rng), rng.integers(0, 256, 64).astype(np.uint8).tobytes(), flit]
    assert unit.agrees(flits)
    assert not any(one.error for one in unit.decode(flits)[2::3])


@pytest.mark.parametrize("shape", [*SHAPES, *LARGE * LONG])
def test_time_is_as_modelled(shape):
    """Every word and every row in the very cycle."""
    unit = bench(*shape)
    flits = unit.flits(seed=11) + unit.flits(parts=[("shortest", 3)])
    transfers = unit.run(flits)
    timeline = decoding_timeline(
        unit.shape,
        unit.decoder.bits_per_cycle,
        [timed(unit.books, unit.shape, flit) for flit in flits],
    )
    assert transfers.taken == timeline.taken
    assert [cycle for cycle, _ in transfers.given] == timeline.given


def test_latency_is_as_stated():
    """A block with a code word in it, and the words of the flit one behind the other."""
    unit = bench("limit12", 8, 64, 16, 3, 16)
    transfers = unit.run(unit.flits(parts=[("badly", 9)]))
    assert transfers.given[0][0] - transfers.taken[0] == unit.decoder.latency


def wrong_symbol(sound):
    """One entry of the look-up: the symbol of the shortest word."""

    def broken(self, window, hits, width):
        shortest = Const(self.lengths[0].symbols[0], width)
        found = sound(self, window, hits, width)
        return found ^ (found == shortest)

    return broken


def without(name: str):
    """A rule that is never broken."""

    def change(sound):
        def broken(self, m, *rest):
            return [] if name == "_runs" else [Const(0)]

        return broken

    return change


def careless_plan(sound):
    """A header that is never refused."""

    def broken(self, platform):
        m = sound(self, platform)
        m.d.comb += self.plan.refused.eq(0)
        return m

    return broken


def no_bias(sound):
    def broken(self, platform):
        m = sound(self, platform)
        m.d.comb += self.plan.bias.eq(0)
        return m

    return broken


MUTANTS = [
    (CanonicalCode, "symbol", wrong_symbol),
    (FlitChecks, "_runs", without("_runs")),
    (FlitChecks, "_end", without("_end")),
    (FlitPlanner, "elaborate", careless_plan),
    (FlitPlanner, "elaborate", no_bias),
]


def mixed(unit: Bench) -> list[bytes]:
    """Sound and broken flits that reach every rule."""
    sound = unit.flits(parts=[("well", 130), ("badly", 30)], shift=3)
    coded = next(flit for flit in sound if flit[1] >> 5)
    bits = 8 * len(coded)
    broken = [flipped(coded, bit) for bit in (1, 4, 12, 14, 17, 30, 90, bits - 1, bits - 9)]
    return [*sound, *broken]


def test_the_sound_one_agrees():
    unit = bench(*SMALL)
    assert unit.agrees(mixed(unit))


@pytest.mark.parametrize(("cls", "name", "change"), MUTANTS)
def test_a_broken_one_is_caught(cls, name, change, monkeypatch):
    monkeypatch.setattr(cls, name, change(getattr(cls, name)))
    unit = Bench(*SMALL)
    try:
        agrees = unit.agrees(mixed(unit))
    except AssertionError:
        agrees = False
    assert not agrees


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bits_per_cycle": 12}, "multiple of 8"),
        ({"bits_per_cycle": 0}, "multiple of 8"),
        ({"bits_per_cycle": 24}, "up to 16"),
        ({"values_per_cycle": 5}, "values_per_cycle is 5"),
        ({"words_per_flit": 0}, "words_per_flit is 0"),
    ],
)
def test_what_cannot_be_built(changed, message):
    with pytest.raises(ValueError, match=message):
        SpeculativeDecoder(codebooks=[UNIVERSAL], **{"values_per_cycle": 8, **changed})
    # Here the warning is expected, and at the end of all tests it is not.
    gc.collect()
