"""`linksim bench fuzz`: hostile messages for the compiled coder."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from linksim.benchmarks.fuzz import FuzzReport, run_fuzz
from linksim.cli.output import console, messages, print_json, print_table


def fuzz_command(
    cases: Annotated[int, typer.Option(help="Hostile messages to decode.", min=1)] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.", min=0)] = 0,
    first: Annotated[
        int, typer.Option(help="Number of the first case, to see a finding again.", min=0)
    ] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Processes; default: one per processor core.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decode hostile messages between pages that may not be touched; needs Linux.

    Valid messages of many chunk shapes are damaged and given to the compiled decoder. One case in
    500 is compared with the NumPy reference; as many whole messages go through the codecs, and as
    many inputs through the encoder. The first finding ends it, with exit code 1.
    """
    progress = Progress(
        TextColumn("fuzzing"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=cases)
        report = run_fuzz(
            cases, seed, first, workers, lambda done: progress.update(task, completed=done)
        )
    if as_json:
        print_json(report.document())
    else:
        _print_report(report)
    if report.findings:
        raise typer.Exit(1)


def _print_report(report: FuzzReport) -> None:
    found = report.document()
    rows = [
        (one["target"], f"{one['cases']:,}", f"{one['accepted']:,}", f"{one['refused']:,}")
        for one in found["targets"]
    ]
    print_table(
        f"Hostile messages, seed {report.seed}", ("target", "cases", "accepted", "refused"), rows
    )
    console.print(
        f"{report.cases:,} cases in {report.seconds:.1f} s (processes: {report.workers}), "
        f"{found['cases_per_second']:,} a second; {report.sampled:,} compared with the reference, "
        f"as many encoder inputs and whole messages ({report.messages_accepted:,} accepted)",
        markup=False,
        soft_wrap=True,
    )
    for finding in report.findings:
        console.print(
            f"finding in the {finding['kind']}, target {finding['target']!r}, seed "
            f"{finding['seed']}, case {finding['case']}: {finding['what']}\n{json.dumps(finding)}",
            markup=False,
            soft_wrap=True,
        )
    if not report.findings:
        console.print("nothing found")
