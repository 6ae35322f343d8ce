"""`linksim advise`: which format a trace's messages should go in, on a box or a link."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linksim.cli.output import console, print_json, print_table
from linksim.prefill import box as resolved_box
from linksim.replay.scenario import load_scenario
from linksim.studies.advice import Advice, advise
from linksim.studies.advice_scenario import advise_scenario
from linksim.studies.ttft import SIZES, Options, methods
from linksim.studies.ttft_lossless import coded_share
from linksim.traces.store import Trace
from linksim.units import format_bytes_binary

LARGEST = 64 << 20
"""Swept sizes of a box end here by default: what matters is seen, and it takes seconds."""
SINGLE_SIZES = tuple(1 << exponent for exponent in range(10, 27))
"""1 KiB to 64 MiB: single messages of a scenario, whose values are coded."""
LARGEST_SINGLE = 1 << 20
"""They end here by default."""


def advise_command(
    trace: Annotated[Path, typer.Argument(help="Trace folder.")] = Path("traces/bundled"),
    box: Annotated[str, typer.Option(help="Box card: a name or a TOML file.")] = "l40-4-host",
    snr_floor: Annotated[
        float, typer.Option(help="Least SNR in dB of a sum; what is lossless is always allowed.")
    ] = 20.0,
    phase: Annotated[str, typer.Option(help="Phase of the trace.")] = "prefill",
    from_batch: Annotated[
        int,
        typer.Option(
            "--from", help="Judge this batch and later ones; books are made before.", min=1
        ),
    ] = 2,
    group: Annotated[int, typer.Option(help="Values that share a scale.")] = Options.group,
    largest: Annotated[
        int | None,
        typer.Option(
            help="Largest size in bytes that is swept. Default: 64 MiB; 1 MiB with --scenario."
        ),
    ] = None,
    scenario: Annotated[
        Path | None,
        typer.Option(
            help="Scenario whose link, selection and runs are judged, instead of a box's formats."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which format every message class of a trace should go in, and from which size on.

    By default all-reduces on a box of GPUs, library against quantized and lossless; with a scenario
    its runs on its link. Errors are measured on the trace's own tensors, times are modelled.
    """
    opened = Trace.open(trace)
    if scenario is not None:
        sizes = _sizes(SINGLE_SIZES, largest or LARGEST_SINGLE)
        read = load_scenario(scenario)
        found = advise_scenario(read, opened, snr_floor_db=snr_floor, sizes=sizes)
        where, names = f"scenario {read.name}, {read.link}", tuple(run.name for run in read.run)
        remark = "faster: whole events in the replay; pays from: single messages, alone on one link"
    else:
        sizes = _sizes(SIZES, largest or LARGEST)
        options = Options(boxes=(box,), sizes=sizes, group=group)
        card = resolved_box(box)
        known = methods(card, options, coded_share(opened, phase=phase, from_batch=from_batch))
        found = advise(
            opened,
            card,
            known,
            snr_floor_db=snr_floor,
            sizes=sizes,
            phase=phase,
            from_batch=from_batch,
        )
        where, names = card.name, tuple(known)
        remark = f"Times are modelled for {card.card.gpus} GPUs, nothing was measured on one."
    if as_json:
        document = {"judged_on": where, "snr_floor_db": snr_floor, "sizes": sizes}
        print_json({**document, "classes": [one.document() for one in found]})
        return
    _print(opened, found, where, names, snr_floor)
    console.print(remark, markup=False, soft_wrap=True)


def _sizes(known: tuple[int, ...], largest: int) -> tuple[int, ...]:
    return tuple(size for size in known if size <= largest)


def _print(
    trace: Trace, found: tuple[Advice, ...], where: str, names: tuple[str, ...], floor: float
) -> None:
    title = f"SNR in dB on trace {trace.manifest.name}, times as fast as {names[0]} on {where}"
    print_table(title, ("message", *names[1:]), [_figures(one, names[1:]) for one in found])
    columns = ("message", "events", "best", "faster", "best when large", "pays from")
    verdict = f"Fastest of {floor:g} dB and more"
    print_table(verdict, columns, [_verdict(one) for one in found])


def _named(one: Advice) -> str:
    return f"{one.kind}, {format_bytes_binary(one.nbytes)}, {one.ranks} ranks"


def _figures(one: Advice, names: tuple[str, ...]) -> tuple[str, ...]:
    cells = []
    for name in names:
        candidate = one.candidate(name)
        quality = "lossless" if candidate.snr_db is None else f"{candidate.snr_db:.1f}"
        cells.append(f"{quality}, {candidate.speedup:.2f}x")
    return (_named(one), *cells)


def _verdict(one: Advice) -> tuple[str, ...]:
    best, large = one.candidate(one.best), one.candidate(one.best_when_large)
    start = "" if large.pays_from is None else format_bytes_binary(large.pays_from)
    return (
        _named(one),
        str(one.events),
        one.best,
        f"{best.speedup:.2f}x",
        one.best_when_large,
        start,
    )
