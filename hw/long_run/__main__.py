"""All bf16 tensors of a trace through compiled cores: `python -m hw.long_run`, or `make long-run`.

Every tensor is one message: alone through an idle core, then all of them without a gap. What comes
out is compared bit for bit with the software codec; exit code 1 if any of it differs. What was
found is written to --results, from where hw.characterize takes it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hw.cores import Configuration, selected
from hw.long_run.measure import Findings, measured
from hw.long_run.results import RESULTS, kept, read
from hw.long_run.subjects import SUBJECTS
from linksim.errors import LinksimError
from linksim.traces import Trace

TRACE = Path("traces/bundled")


def bf16_tensors(trace: Trace, every: int = 1) -> list[tuple[str, Any]]:
    """Names and values of the bf16 tensors that have any, or of every *every*-th of them.

    LinksimError where there are none.
    """
    if every < 1:
        raise LinksimError(f"--every {every}: expected 1 or more")
    entries = trace.manifest.tensors.items()
    known = [name for name, entry in entries if entry.dtype == "bf16"][::every]
    named = ((name, trace.tensor(name)) for name in known)
    tensors = [(name, values) for name, values in named if values.size]
    if not tensors:
        raise LinksimError("the trace has no bf16 tensor with values")
    return tensors


def runnable(names: list[str]) -> list[Configuration]:
    """The configurations called *names* of a kind that a tensor can be sent through.

    All such where none is named. ValueError for one that is not known, or of another kind.
    """
    chosen = selected(names)
    able = [configuration for configuration in chosen if configuration.kind in SUBJECTS]
    if names and len(able) < len(chosen):
        other = next(one for one in chosen if one not in able)
        raise ValueError(
            f"core {other.name!r} is of kind {other.kind!r}: expected one of {', '.join(SUBJECTS)}"
        )
    return able


def run_over(
    configuration: Configuration, tensors: list[tuple[str, Any]], console: Console
) -> Findings:
    """*configuration* over *tensors*, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(f"{configuration.name}: compiling", total=2 * len(tensors))

        def advance() -> None:
            progress.update(task, advance=1, description=configuration.name)

        try:
            return measured(SUBJECTS[configuration.kind](configuration.build()), tensors, advance)
        except RuntimeError as error:
            raise RuntimeError(f"{configuration.name}: {error}") from error


def lines(name: str, found: Findings) -> str:
    """What was *found* of the core called *name*, in words."""
    spreads = [
        f"{one.low} / {one.mean:.1f} / {one.high}" if one else "none"
        for one in (found.latency, found.flush)
    ]
    model = (
        f"the model is off by {found.model_difference} at most on {found.modelled:,}"
        if found.modelled
        else "there is no model"
    )
    return (
        f"{name}: {found.messages:,} messages, {len(found.wrong):,} wrong\n"
        f"  {found.values:,} values in {found.cycles:,} cycles, {found.values_per_cycle:.3f} a "
        f"cycle; {found.stalls:,} stalls\n"
        f"  cycles to the first output (min / mean / max) {spreads[0]}, flush {spreads[1]}; "
        f"{model}\n"
        f"  built in {found.build_seconds:.0f} s, {found.simulated_cycles:,} cycles simulated in "
        f"{found.run_seconds:.0f} s"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; exit code 1 if a core is wrong, 2 for bad input."""
    description = (__doc__ or "").partition("\n\n")[2]
    parser = argparse.ArgumentParser(prog="python -m hw.long_run", description=description)
    parser.add_argument("--cores", nargs="*", default=[], help="names; without it, all")
    parser.add_argument("--trace", type=Path, default=TRACE, help=f"default {TRACE}")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="only every Nth tensor; nothing is kept"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default {RESULTS}")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    findings: dict[str, Findings] = {}
    try:
        chosen = runnable(options.cores)
        read(options.results)
        tensors = bf16_tensors(Trace.open(options.trace), options.every)
        for configuration in chosen:
            found = run_over(configuration, tensors, console)
            findings[configuration.name] = found
            if options.every == 1:
                kept(options.results, configuration, found, options.trace)
            for name in found.wrong[:5]:
                console.print(f"{configuration.name}: {name} differs", markup=False)
    except (LinksimError, ValueError, OSError, RuntimeError) as error:
        console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1 if isinstance(error, RuntimeError) else 2
    if options.json:
        print(json.dumps({name: found.as_dict() for name, found in findings.items()}, indent=1))
    else:
        for name, found in findings.items():
            print(lines(name, found))
    return int(any(found.wrong or found.model_difference for found in findings.values()))


if __name__ == "__main__":
    sys.exit(main())
