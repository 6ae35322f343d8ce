"""`linksim validate booksim`: packets over two routers, beside BookSim2's own figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.validation.booksim import BookSimOptions, BookSimResults, compare, document
from linksim.validation.booksim_report import remarks, tables
from linksim.validation.booksim_table import BookSimRow, read_table
from linksim.writing import written_whole


def booksim_command(
    table: Annotated[Path, typer.Option(help="CSV table of BookSim2 runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for booksim.json and booksim.png.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the packets' times.", min=0)] = 1,
    packets: Annotated[
        int, typer.Option(help="Most packets per row; fewer at low load.", min=100)
    ] = BookSimOptions.most_packets,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold two routers against a table of BookSim2 runs: zero load, saturation, loaded latency.

    Packets come at random (Bernoulli), of a recorded seed, and run through the fast engine, at the
    offered load and again at the load that BookSim2's own sample carried.
    """
    if out is not None:
        check_folder(out)
    rows = read_table(table)
    options = BookSimOptions(
        seed=seed,
        most_packets=packets,
        fewest_packets=min(packets, BookSimOptions.fewest_packets),
    )
    results = _compare(rows, options)
    if out is not None:
        _write(results, out)
    if as_json:
        print_json(document(results))
        return
    for title, columns, lines in tables(results):
        print_table(title, columns, lines)
    written = [] if out is None else [f"All rows and the figure are in {out}"]
    for line in (*remarks(results), *written):
        console.print(line, markup=False, soft_wrap=True)


def _compare(rows: list[BookSimRow], options: BookSimOptions) -> BookSimResults:
    progress = Progress(
        TextColumn("rows"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=len(rows))
        return compare(rows, options, lambda done: progress.update(task, completed=done))


def _write(results: BookSimResults, out: Path) -> None:
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.validation.booksim_figure import booksim_figure

    out.mkdir(parents=True, exist_ok=True)
    with written_whole(out / "booksim.json") as part:
        part.write_text(json.dumps(document(results), indent=1) + "\n", encoding="utf-8")
    booksim_figure(results, out / "booksim.png")
