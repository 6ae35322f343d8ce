"""Cores that can be broken on purpose while they run, to see that the regression notices.

The fault is chosen by an input port, so that one build holds the sound core and all broken ones;
with the port at 0 nothing differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hw.huffman.code_rom import CodeRom
from hw.huffman.decoder_lane import DecoderLane
from hw.huffman.flit_checks import FlitChecks
from hw.huffman.symbol_finder import SymbolFinder
from hw.quantizer.dequantizer import DequantizerPipeline
from hw.quantizer.quantizer import QuantizerPipeline
from linksim.codecs import Codebook


@dataclass(frozen=True)
class Fault:
    """One bit that goes wrong.

    add: statements for the module of one instance of *cls*, active while the given value is 1; None
    for a fault of the output stream.
    """

    name: str
    cls: type | None = None
    add: Callable[[Module, Any, Value], None] | None = None


def flipped_code_word(book: Codebook) -> Fault:
    """The lowest bit of one code word in the ROM of one place: that of the shortest word."""
    symbol = book.lengths.index(min(book.lengths))

    def add(m: Module, rom: CodeRom, active: Value) -> None:
        with m.If(active & (rom.slot == 1) & (rom.symbol == symbol)):
            m.d.comb += rom.word.eq(int(book.code.words[symbol]) ^ 1)

    return Fault("one bit of one code word is flipped", CodeRom, add)


def wrong_symbol(book: Codebook) -> Fault:
    """The lowest bit of one symbol that a speculative decoder looks up: the most frequent one."""
    length = min(book.lengths)
    symbol = book.lengths.index(length)
    word = int(book.code.words[symbol])

    def add(m: Module, finder: SymbolFinder, active: Value) -> None:
        found = finder.starts[0] & (finder.window[:length] == word)
        with m.If(active & found & (finder.book == 1)):
            m.d.sync += finder.symbols[0].eq(symbol ^ 1)

    return Fault("one bit of one symbol is wrong", SymbolFinder, add)


def _missed_rule(m: Module, checks: FlitChecks, active: Value) -> None:
    with m.If(active):
        m.d.sync += checks.refused.eq(0)


MISSED_RULE = Fault("a flit that breaks a rule is not refused", FlitChecks, _missed_rule)


def _stuck_symbol(m: Module, lane: DecoderLane, active: Value) -> None:
    with m.If(active):
        m.d.sync += lane.o.symbol[0].eq(0)


def _stuck_code(m: Module, pipeline: QuantizerPipeline, active: Value) -> None:
    with m.If(active):
        m.d.comb += Value.cast(pipeline.group.codes[-1])[0].eq(0)


def _stuck_scale(m: Module, pipeline: QuantizerPipeline, active: Value) -> None:
    lowest = 7 - pipeline.definition.scale_fraction_bits
    with m.If(active):
        m.d.comb += pipeline.group.scale[lowest].eq(0)


def _stuck_value(m: Module, pipeline: DequantizerPipeline, active: Value) -> None:
    with m.If(active):
        m.d.comb += pipeline.row.values[0][0].eq(0)


STUCK_SYMBOL = Fault("the lowest bit of a lane's symbols is stuck", DecoderLane, _stuck_symbol)
STUCK_CODE = Fault("the lowest bit of the last code is stuck", QuantizerPipeline, _stuck_code)
STUCK_SCALE = Fault("the lowest bit of the scale is stuck", QuantizerPipeline, _stuck_scale)
STUCK_VALUE = Fault("the lowest bit of the first value is stuck", DequantizerPipeline, _stuck_value)

STREAM_FAULTS = (
    Fault("a waiting payload changes"),
    Fault("a waiting offer is withdrawn"),
    Fault("an offer waits for ready"),
    Fault("an output is lost"),
    Fault("an output comes twice"),
)
"""Faults of any core, put in front of its output."""


def faults_of(faults: Sequence[Fault]) -> list[Fault]:
    """All faults of a core, in the order of the port's values from 1 on."""
    return [*STREAM_FAULTS, *faults]


class Breakable(wiring.Component):
    """A core with stream `i` and `o`, and a port `fault` that breaks it."""

    def __init__(self, core: wiring.Component, faults: Sequence[Fault]):
        self.core = core
        self.faults = faults_of(faults)
        members = dict(core.signature.members)
        members["fault"] = In(range(len(self.faults) + 1))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        connect(m, flipped(self.i), core.i)
        given, out = core.o, self.o
        m.d.comb += [
            out.valid.eq(given.valid),
            out.payload.eq(given.payload),
            given.ready.eq(out.ready),
        ]
        waited, odd = Signal(), Signal()
        m.d.sync += waited.eq(given.valid & ~out.ready)
        with m.If(given.valid & out.ready):
            m.d.sync += odd.eq(~odd)
        flat = Value.cast(out.payload)
        changed, withdrawn, waits, lost, twice = range(1, 1 + len(STREAM_FAULTS))
        with m.Switch(self.fault):
            with m.Case(changed):
                m.d.comb += flat.eq(Value.cast(given.payload) ^ waited)
            with m.Case(withdrawn):
                m.d.comb += out.valid.eq(given.valid & ~waited)
                m.d.comb += given.ready.eq(out.ready & ~waited)
            with m.Case(waits):
                m.d.comb += out.valid.eq(given.valid & out.ready)
            with m.Case(lost):
                m.d.comb += out.valid.eq(given.valid & odd)
                m.d.comb += given.ready.eq(out.ready | ~odd)
            with m.Case(twice):
                m.d.comb += given.ready.eq(out.ready & odd)
        return m

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While the core is elaborated: the faults inside, in the first instance of each class."""
        sound = {}
        for number, fault in enumerate(self.faults, start=1):
            if fault.cls is None:
                continue
            sound.setdefault(fault.cls, fault.cls.elaborate)
            fault.cls.elaborate = _with_fault(fault, self.fault == number)
        try:
            yield
        finally:
            for cls, elaborate in sound.items():
                cls.elaborate = elaborate


def _with_fault(fault: Fault, active: Value) -> Callable[[Any, Any], Module]:
    """*elaborate* of the fault's class, broken in the first instance that is elaborated."""
    sound = fault.cls.elaborate
    left = [fault]

    def elaborate(self: Any, platform: Any) -> Module:
        m = sound(self, platform)
        if left:
            left.pop().add(m, self, active)
        return m

    return elaborate
