"""`linksim study faults`: bit errors on links with retry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from linksim.cli.output import console, messages, print_json, print_table
from linksim.errors import LinksimError
from linksim.studies.faults import FaultStudy, Finding, Options, fault_study, flits_of
from linksim.traces.store import write_json
from linksim.units import format_ps


def faults_command(
    link: Annotated[str, typer.Option(help="Link with go-back-N retry.")] = Options.link,
    packet_link: Annotated[
        str, typer.Option(help="Link with per-packet retry.")
    ] = Options.packet_link,
    flits: Annotated[int, typer.Option(help="Flits of a long run.")] = Options.flits,
    sweep_flits: Annotated[
        int, typer.Option(help="Flits of a run of the sweep.")
    ] = Options.sweep_flits,
    bit_error_rate: Annotated[
        float, typer.Option(help="Bit error rate of the long runs.")
    ] = Options.bit_error_rate,
    burst_flits: Annotated[
        int,
        typer.Option(help="Flits in a row that an error event spoils, in the runs with bursts."),
    ] = Options.burst_flits,
    seed: Annotated[int, typer.Option(help="Seed of all errors.")] = Options.seed,
    out: Annotated[Path, typer.Option(help="Folder for faults.json and faults.png.")] = Path(
        "results/study"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send flits over links that err: what is lost, how fast it goes, how a dead link ends.

    Long runs at one bit error rate, alone and in bursts, and a sweep from 1e-9 to 1e-4, each
    against the closed form of go-back-N. Exit code 1 if anything is lost, duplicated or reordered,
    or a long run lies outside the interval.
    """
    if out.exists() and not out.is_dir():
        raise LinksimError(f"{out}: a file: expected a folder to write to")
    options = Options(
        link=link,
        packet_link=packet_link,
        flits=flits,
        sweep_flits=sweep_flits,
        bit_error_rate=bit_error_rate,
        burst_flits=burst_flits,
        seed=seed,
    )
    study = _run(options)
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.studies.faults_figures import goodput_figure

    out.mkdir(parents=True, exist_ok=True)
    goodput_figure(study, out / "faults.png")
    write_json(out / "faults.json", study.document())
    if as_json:
        print_json(study.document())
    else:
        _print(study, out)
    if not study.sound:
        raise typer.Exit(1)


def _run(options: Options) -> FaultStudy:
    progress = Progress(
        TextColumn("sending flits"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=flits_of(options))
        return fault_study(options, lambda delivered: progress.advance(task, delivered))


def _print(study: FaultStudy, out: Path) -> None:
    columns = (
        "link, retry, bit error rate",
        "burst",
        "delivered",
        "lost, dup., reord.",
        "replays",
        "by timer",
        "resent",
        "time",
        "slots a flit",
        "expected",
        "inside",
        "GB/s",
    )
    for title, found in (
        (f"{study.options.flits:,} flits a run", study.long_runs),
        (f"{study.options.sweep_flits:,} flits a run", study.sweep),
    ):
        print_table(title, columns, [_row(finding) for finding in found])
    console.print("Dead links:", markup=False)
    for finding in study.dead:
        reason = finding.result.failure or "did not fail"
        where = f"  {finding.case.link_name}, {_errors(finding)}: {reason}"
        console.print(where, markup=False, soft_wrap=True)
    console.print(f"All figures are in {out}", markup=False, soft_wrap=True)


def _errors(finding: Finding) -> str:
    errors = finding.case.errors
    return (
        f"{finding.case.scheme}, flits damaged with probability {errors.event_probability:.3g} "
        f"forward and {errors.backward_probability:.3g} back"
    )


def _row(finding: Finding) -> tuple[object, ...]:
    case, result = finding.case, finding.result
    inside = {None: "", True: "yes", False: "NO"}[finding.inside]
    expected = finding.expected_slots
    bound = ">= " if inside == "" else ""
    return (
        f"{case.link_name}, {case.scheme}, {case.bit_error_rate:.2g}",
        case.errors.burst_flits,
        f"{result.delivered:,}",
        f"{result.lost}, {result.duplicated}, {result.reordered}",
        f"{result.replays:,}",
        f"{result.timeouts:,}",
        f"{result.resent:,}",
        format_ps(result.elapsed_ps),
        f"{result.slots_per_flit:.6f}",
        "" if expected is None else f"{bound}{expected:.6f}",
        inside,
        f"{finding.goodput_gbytes_per_s:.3f}",
    )
