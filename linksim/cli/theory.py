"""`linksim validate theory`: closed forms beside what both engines make of them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from linksim.cli.output import console, messages, print_json, print_table
from linksim.validation.theory import TheoryRow, theory_rows

_COLUMNS = ("case", "expected", "fast", "reference", "error", "allowed")


def theory_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold both engines against closed forms: rings of LogGOPSim and ASTRA-sim, hops, credits.

    Exit code 1 where one does not hold.
    """
    rows = _rows()
    missed = sum(not row.holds for row in rows)
    if as_json:
        print_json({"rows": [row.document() for row in rows], "missed": missed})
    else:
        _print(rows, missed)
    if missed:
        raise typer.Exit(1)


def _rows() -> list[TheoryRow]:
    progress = Progress(
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    rows = []
    with progress:
        task = progress.add_task("simulating", total=None)
        for row in theory_rows():
            rows.append(row)
            progress.update(task, description=f"{row.family}, {row.what}")
    return rows


def _print(rows: list[TheoryRow], missed: int) -> None:
    for family in dict.fromkeys(row.family for row in rows):
        chosen = [row for row in rows if row.family == family]
        units = ", ".join(dict.fromkeys(row.unit for row in chosen))
        print_table(f"{family}, {units}", _COLUMNS, [_cells(row) for row in chosen])
        for source in dict.fromkeys(row.source for row in chosen):
            console.print(source, markup=False, soft_wrap=True)
    said = "all hold" if not missed else f"{missed} do not hold"
    console.print(
        f"{len(rows)} rows, {said}. No reference: too many flits for it.",
        markup=False,
        soft_wrap=True,
    )


def _cells(row: TheoryRow) -> tuple[str, ...]:
    allowed = "exact" if not row.tolerance else f"{100 * row.tolerance:g} %"
    return (
        row.what,
        _figure(row.expected),
        _figure(row.fast),
        "" if row.reference is None else _figure(row.reference),
        "0" if row.error == 0 else f"{100 * row.error:+.4f} %",
        allowed if row.holds else f"{allowed}: missed",
    )


def _figure(value: float) -> str:
    return f"{value:.10g}"
