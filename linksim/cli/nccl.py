"""`linksim validate nccl`: endpoint protocols fitted to measured collectives, and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.errors import LinksimError
from linksim.network import ENGINES, EngineName
from linksim.network.protocols import EndpointRecord
from linksim.validation.nccl import NcclReport, records_by_gpu, validate_nccl
from linksim.validation.nccl_report import document, document_json, remarks, tables
from linksim.validation.ring_steps import step_time
from linksim.validation.table import MeasuredRow, read_table
from linksim.writing import written_whole


def nccl_command(
    table: Annotated[
        Path,
        typer.Option(help="CSV: gpu, n_gpus, collective, total_bytes, time_us; others ignored."),
    ],
    fit: Annotated[
        str, typer.Option(metavar="ROWS", help="Rows to fit on; none: judge the records as is.")
    ] = "sizes=even",
    hold_out: Annotated[
        str, typer.Option(metavar="ROWS", help="Rows to judge on, none of them fitted.")
    ] = "sizes=odd",
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="Endpoint record (TOML file) for a GPU; again for more."),
    ] = None,
    engine: Annotated[str, typer.Option(help="Simulation engine: fast or reference.")] = "fast",
    carry_over: Annotated[
        bool, typer.Option(help="Fit on other parts of the table, too, and judge on the rest.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder for nccl.json and nccl.png; default: none written.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit endpoint protocols to measured GPU collectives and judge the simulator on other rows.

    One set of figures per GPU model serves every collective and number of GPUs; the link is taken
    from its preset and never fitted. ROWS are terms that all must hold, such as "sizes=even n=4,8":
    sizes=even, odd, 64KiB or 1MiB..; n=; collective=; gpu=; or all.
    """
    if out is not None:
        check_folder(out)
    if engine not in ENGINES:
        raise LinksimError(f"unknown engine {engine!r}: expected one of {', '.join(ENGINES)}")
    rows = read_table(table)
    report = _judge(
        rows,
        records_by_gpu(endpoint or ()),
        fit_rows=fit,
        hold_out_rows=hold_out,
        engine=engine,
        carry_over=carry_over,
    )
    _finish(report, rows, out, as_json)


def _judge(
    rows: list[MeasuredRow],
    records: dict[str, EndpointRecord],
    *,
    fit_rows: str,
    hold_out_rows: str,
    engine: EngineName,
    carry_over: bool,
) -> NcclReport:
    """`validate_nccl` behind a progress bar."""
    with _progress() as bar:
        task = bar.add_task("fitting", total=None)

        def show(row: MeasuredRow) -> None:
            c = row.collective
            described = f"simulating {row.gpu}: {c.op}, n = {c.n_gpus}, {c.nbytes} B"
            bar.update(task, advance=1, description=described)

        return validate_nccl(
            rows,
            records,
            fit_rows=fit_rows,
            hold_out_rows=hold_out_rows,
            engine=engine,
            carry_over=carry_over,
            progress=show,
        )


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal)


def _finish(report: NcclReport, rows: list[MeasuredRow], out: Path | None, as_json: bool) -> None:
    steps = {gpu.gpu: step_time([row for row in rows if row.gpu == gpu.gpu]) for gpu in report.gpus}
    made = document(report, steps)
    if out is not None:
        # Imported here: drawing takes a second to load and most commands never draw.
        from linksim.validation.nccl_figure import nccl_figure

        out.mkdir(parents=True, exist_ok=True)
        with written_whole(out / "nccl.json") as part:
            part.write_text(document_json(made), encoding="utf-8")
        nccl_figure(report, out / "nccl.png")
    if as_json:
        print_json(made)
        return
    for title, columns, shown in tables(report):
        print_table(title, columns, shown)
    for line in remarks(report, steps):
        console.print(line, markup=False, soft_wrap=True)
    if out is not None:
        console.print(f"All rows and the figure are in {out}", markup=False, soft_wrap=True)
