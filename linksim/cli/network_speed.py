"""`linksim bench network`: how fast both engines are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from linksim.benchmarks.network_report import (
    network_document,
    network_facts,
    network_facts_line,
    network_markdown,
    network_remarks,
    network_tables,
)
from linksim.benchmarks.network_speed import NetworkSpeedOptions, NetworkSpeedResults, measure
from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.writing import written_whole

QUICK = NetworkSpeedOptions(
    stream_flits=50_000,
    collective_nbytes=200_000,
    sizes=(10**4, 10**5, 10**6, 10**7),
    ring_nbytes=1 << 26,
)


def network_command(
    quick: Annotated[bool, typer.Option("--quick", help="Up to 10^7 flits only.")] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for network.json, network.md and network.png.")
    ] = Path("results/bench"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the fast engine against the reference on the same work, and on streams of all sizes.

    A stream short of credits, a ring and a contended all-to-all by both engines; streams of 10^4 to
    10^9 flits with the peak of memory, and a ring all-reduce of 1 GiB, by the fast engine. Exit
    code 2 where the engines do not agree.
    """
    check_folder(out)
    results = _measure(QUICK if quick else NetworkSpeedOptions())
    facts = network_facts()
    made = network_document(results, facts)
    _write(json.dumps(made, indent=1) + "\n", results, facts, out)
    if as_json:
        print_json(made)
        return
    for title, columns, rows in network_tables(results):
        print_table(title, columns, rows)
    for line in (
        *network_remarks(results),
        network_facts_line(facts),
        f"Tables, figure and all times are in {out}",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _measure(options: NetworkSpeedOptions) -> NetworkSpeedResults:
    progress = Progress(
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=None)
        return measure(options, lambda what: progress.update(task, description=what))


def _write(text: str, results: NetworkSpeedResults, facts: dict[str, str], out: Path) -> None:
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.benchmarks.network_figure import network_figure

    out.mkdir(parents=True, exist_ok=True)
    for name, written in (("network.json", text), ("network.md", network_markdown(results, facts))):
        with written_whole(out / name) as part:
            part.write_text(written, encoding="utf-8")
    network_figure(results, network_facts_line(facts), out / "network.png")
