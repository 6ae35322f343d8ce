"""Builds and runs one case: `python -m tests.hw.cocotb.run encoder-w4 --out FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

from hw.verilog import convert
from tests.hw.cocotb import simulators
from tests.hw.cocotb.cases import CASES, Case
from tests.hw.cocotb.coverage import table
from tests.hw.cocotb.faults import Breakable

FORMS = ("short", "full")


def verilog_of(case: Case) -> str:
    """The core, or the core with its faults, as Verilog."""
    if not case.faults:
        return convert(case.core(), case.top)
    breakable = Breakable(case.core(), case.faults)
    with breakable.installed():
        return convert(breakable, case.top)


def failures(results: Path, log: Path) -> list[str]:
    """What went wrong in a simulation, test by test."""
    if not results.is_file():
        return ["the simulator gave no results:", *log.read_text().splitlines()[-20:]]
    found = []
    for test in ElementTree.parse(results).getroot().iter("testcase"):  # noqa: S314
        for failure in [*test.iter("failure"), *test.iter("error")]:
            found.append(f"{test.get('name')}: {failure.get('error_msg') or failure.text}")
    return found


def run(case: Case, simulator: str, form: str, folder: Path, runtime: Path | None) -> list[str]:
    """Build and simulate in *folder*; what went wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    verilog, build = folder / f"{case.top}.v", folder / "build"
    verilog.write_text(verilog_of(case), encoding="utf-8")
    if simulator == "verilator":
        runtime = runtime or simulators.compile_runtime(folder)
        optimised = form == "full"
        simulators.build_with_verilator(verilog, case.top, build, runtime, optimised=optimised)
    else:
        simulators.build_with_icarus(verilog, case.top, build)
    variables = {
        "LINKSIM_CASE": case.name,
        "LINKSIM_FORM": form,
        "LINKSIM_REPORT": str(folder / "coverage.json"),
    }
    results = folder / "results.xml"
    simulators.simulate(simulator, case, build, results, variables)
    return failures(results, build.with_suffix(".run.log"))


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; print failures and the coverage."""
    parser = argparse.ArgumentParser(prog="python -m tests.hw.cocotb.run", description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--simulator", choices=simulators.SIMULATORS, default="verilator")
    parser.add_argument("--form", choices=FORMS, default="short")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--runtime", type=Path, help="Verilator's run-time library, if compiled")
    options = parser.parse_args(arguments)
    if reason := simulators.available()[options.simulator]:
        print(reason, file=sys.stderr)
        return 2
    case, out = CASES[options.case], options.out.resolve()
    wrong = run(case, options.simulator, options.form, out, options.runtime)
    report = out / "coverage.json"
    if report.is_file():
        print(table(json.loads(report.read_text())))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
