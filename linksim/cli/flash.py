"""`linksim flash`: quantized all-reduces, their errors, their bytes and what they cost a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from linksim.cli.flash_accuracy import accuracy_command
from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.codecs.quantize import GroupQuantizer
from linksim.flash.addends import addends_of, regrouped
from linksim.flash.comparison import ALL_KINDS, Finding, Grid, compare, document
from linksim.flash.processes import Outcome, RankVerdict, judge, run_processes, simulated
from linksim.traces.store import Trace, write_json

app = typer.Typer(no_args_is_help=True, help="Quantized all-reduces (Flash Communication).")

TraceArgument = Annotated[Path, typer.Argument(help="Trace folder.")]
BatchOption = Annotated[
    list[int] | None, typer.Option(help="Batch; give it again for more. Default: all.")
]


@app.command("compare")
def compare_command(
    trace: TraceArgument = Path("traces/bundled"),
    batch: BatchOption = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(help="two-step, ring or hierarchical; again for more. Default: all."),
    ] = None,
    bits: Annotated[
        list[int] | None, typer.Option(help="Bits of a code; again for more. Default: 2 to 8.")
    ] = None,
    group: Annotated[
        list[int] | None, typer.Option(help="Values of a group; again for more. Default: 32, 128.")
    ] = None,
    zero: Annotated[
        list[str] | None, typer.Option(help="point or min; again for more. Default: both.")
    ] = None,
    spikes: Annotated[
        bool | None,
        typer.Option("--spikes/--no-spikes", help="Only with or without. Default: both."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for flash-error.json and flash-error.png.")
    ] = Path("results/study"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold two-step, ring and hierarchical all-reduce against the exact sums, at equal bits."""
    check_folder(out)
    given = {
        "algorithms": tuple(dict.fromkeys(algorithm or ())),
        "bits": tuple(dict.fromkeys(bits or ())),
        "groups": tuple(dict.fromkeys(group or ())),
        "zeros": tuple(dict.fromkeys(zero or ())),
        "spikes": () if spikes is None else (spikes,),
    }
    grid = Grid(**{name: value for name, value in given.items() if value})  # type: ignore[arg-type]
    opened = Trace.open(trace)
    found = addends_of(opened, batch)
    findings = [
        finding
        for findings in track(
            compare(found, grid),
            "adding",
            total=len(grid.algorithms) * (1 + len(grid.quantizers())),
            console=messages,
            transient=True,
            disable=not messages.is_terminal,
        )
        for finding in findings
    ]
    origin = f"Trace {opened.manifest.name}: {opened.manifest.model.what_it_is}"
    ranks = sorted({len(one.tensors) for one in found})
    made = document(findings, origin=origin, all_reduces=len(found), ranks=ranks)
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.flash.figures import error_figure

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "flash-error.json", made)
    error_figure(findings, out / "flash-error.png", f"{origin}; {ranks[0]} ranks")
    if as_json:
        print_json(made)
        return
    console.print(origin, markup=False, soft_wrap=True)
    _print_findings(findings, grid)
    console.print(f"Rows of every tensor kind and the figure are in {out}", markup=False)


def _print_findings(findings: list[Finding], grid: Grid) -> None:
    """One row a quantizer: all tensors together."""
    rows: dict[tuple[object, ...], list[Finding]] = {}
    for one in findings:
        if one.kind == ALL_KINDS:
            rows.setdefault((one.bits, one.group, one.zero, one.spikes), []).append(one)
    columns = (
        "bits, group, zero",
        "bits on the wire",
        *(f"{name}, dB" for name in grid.algorithms),
        *(f"{name}, largest" for name in grid.algorithms),
        "passes",
    )
    print_table(
        "Signal to noise of the sums; largest error in root mean squares of the sums",
        columns,
        [
            (
                _quantizer(*key),
                f"{row[0].bits_per_value:.3f}",
                *(f"{one.snr_db:.2f}" for one in row),
                *(f"{one.max_error_in_rms:.3g}" for one in row),
                ", ".join(str(one.passes) for one in row),
            )
            for key, row in rows.items()
        ],
    )


def _quantizer(bits: object, group: object, zero: object, spikes: object) -> str:
    if not group:
        return "bf16"
    return f"{bits}, {group}, {zero}{', spikes' if spikes else ''}"


@app.command("run")
def run_command(
    trace: TraceArgument = Path("traces/bundled"),
    ranks: Annotated[int, typer.Option(help="Processes.", min=2, max=64)] = 4,
    bits: Annotated[int, typer.Option(help="Bits of a code, 2 to 8.")] = 5,
    group: Annotated[int, typer.Option(help="Values that share a scale: 32, 64 or 128.")] = 32,
    zero: Annotated[str, typer.Option(help="point or min.")] = "point",
    spikes: Annotated[bool, typer.Option("--spikes", help="Keep each group's extremes.")] = False,
    batch: BatchOption = None,
    count: Annotated[
        int | None, typer.Option(help="All-reduces, from the first on. Default: all.", min=1)
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds after which processes that hang are ended.", min=1)
    ] = 180.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the two-step all-reduce across processes, and hold it against the simulator.

    Real bytes through torch.distributed (gloo, this machine alone). Exit code 1 if a byte count or
    a bit of a result is not the simulator's.
    """
    quantizer = GroupQuantizer(bits=bits, group=group, zero=zero, spikes=spikes)
    work = regrouped(addends_of(Trace.open(trace), batch), ranks)[:count]
    outcome = run_processes(work, quantizer, timeout_s=timeout)
    verdicts = judge(simulated(work, quantizer), outcome)
    if as_json:
        print_json(_run_document(quantizer, len(work), outcome, verdicts))
    else:
        _print_verdicts(quantizer, len(work), outcome, verdicts)
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(1)


def _run_document(
    quantizer: GroupQuantizer, count: int, outcome: Outcome, verdicts: list[RankVerdict]
) -> dict[str, Any]:
    return {
        "quantizer": asdict(quantizer),
        "all_reduces": count,
        "elapsed_s": round(outcome.elapsed_s, 3),
        "ranks": [{**asdict(verdict), "holds": verdict.holds} for verdict in verdicts],
        "holds": all(verdict.holds for verdict in verdicts),
    }


def _print_verdicts(
    quantizer: GroupQuantizer, count: int, outcome: Outcome, verdicts: list[RankVerdict]
) -> None:
    title = f"{count} two-step all-reduces across {len(verdicts)} processes, " + _quantizer(
        f"{quantizer.bits} bits", f"groups of {quantizer.group}", quantizer.zero, quantizer.spikes
    )
    columns = ("rank", "bytes sent", "simulator's", "values", "with other bits", "same")
    rows = [
        (
            verdict.rank,
            f"{verdict.sent_nbytes:,}",
            f"{verdict.expected_nbytes:,}",
            f"{verdict.values:,}",
            verdict.differing_values,
            "yes" if verdict.holds else "NO",
        )
        for verdict in verdicts
    ]
    print_table(title, columns, rows)
    console.print(f"{outcome.elapsed_s:.1f} s, the start of the processes included")


app.command("accuracy")(accuracy_command)
