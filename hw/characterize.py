"""Cores measured over a trace, as engine records, tables and a figure: `make characterize`.

Takes cycles from results/hardware/long-run.json (hw.long_run) and area and paths from
results/hardware/synthesis.json (hw.synthesis); runs over the trace whatever is missing there or
was built otherwise since. Writes the records that linksim.engines loads, their rows in
docs/reference/links-and-engines.md, the table of cores in docs/hardware.md between its marks, and
results/hardware/cores.md and cores.png.

The clock of a record is its longest path before layout, times two for wires, rounded down to 100
MHz; encoder and decoder share the slower one's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from hw.characterization.drawing import draw
from hw.characterization.figures import Characterized, characterized
from hw.characterization.records import RECORDS, write_records
from hw.characterization.tables import between_marks, markdown, rewrite, with_records
from hw.cores import CONFIGURATIONS, Configuration, selected
from hw.long_run.__main__ import TRACE, bf16_tensors, run_over
from hw.long_run.results import kept
from hw.long_run.results import read as read_runs
from hw.long_run.subjects import SUBJECTS
from hw.synthesis.results import read as read_synthesis
from hw.verilog import digest
from linksim.errors import LinksimError
from linksim.traces import Trace

RESULTS = Path("results/hardware")
HARDWARE_PAGE = Path("docs/hardware.md")
RECORDS_PAGE = Path("docs/reference/links-and-engines.md")


def run_missing(chosen: tuple[Configuration, ...], trace: Path, console: Console) -> None:
    """Run over *trace* what was not run yet as it is now."""
    path = RESULTS / "long-run.json"
    tensors = None
    for configuration in chosen:
        known = read_runs(path).get(configuration.name, {})
        if configuration.kind not in SUBJECTS:
            continue
        if known.get("digest") == digest(configuration.build()):
            continue
        tensors = tensors or bf16_tensors(Trace.open(trace))
        found = run_over(configuration, tensors, console)
        kept(path, configuration, found, trace)
        for name in found.wrong[:3]:
            console.print(f"{configuration.name}: {name} differs", markup=False)


def stale(cores: list[Characterized]) -> list[str]:
    """Names of cores whose area is missing or that of another version."""
    return [core.name for core in cores if core.synthesis.get("digest") != core.run.get("digest")]


def main(arguments: list[str] | None = None) -> int:
    """Characterise what is asked for; exit code 1 if a core is wrong, 2 for bad input."""
    description = (__doc__ or "").partition("\n\n")[2]
    parser = argparse.ArgumentParser(prog="python -m hw.characterize", description=description)
    parser.add_argument("--cores", nargs="*", default=[], help="run these; without it, all")
    parser.add_argument("--trace", type=Path, default=TRACE, help=f"default {TRACE}")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        chosen = selected(options.cores)
        run_missing(chosen, options.trace, console)
    except (LinksimError, ValueError, RuntimeError) as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2
    runs = read_runs(RESULTS / "long-run.json")
    synthesis = read_synthesis(RESULTS / "synthesis.json")["cores"]
    cores = characterized(CONFIGURATIONS, runs, synthesis)
    for name in stale(cores):
        console.print(f"{name}: no area of this version, run make synth with LIBERTY")
    table = markdown(cores)
    rewrite(RESULTS / "cores.md", table)
    draw(cores, RESULTS / "cores.png")
    names = write_records(cores, RECORDS)
    page = HARDWARE_PAGE.read_text(encoding="utf-8")
    rewrite(HARDWARE_PAGE, between_marks(page, table))
    rewrite(RECORDS_PAGE, with_records(RECORDS_PAGE.read_text(encoding="utf-8"), names))
    print(table, end="")
    print(f"{len(names)} records: {', '.join(names)}")
    return int(any(found["wrong"] for found in runs.values()))


if __name__ == "__main__":
    sys.exit(main())
