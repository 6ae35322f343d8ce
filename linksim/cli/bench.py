"""`linksim bench`: how fast codec and engines are, and whether random bytes break the codec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from linksim.benchmarks.codec_speed import (
    SpeedOptions,
    SpeedResults,
    race,
    race_threads,
    race_whole,
    reference_speed,
    start,
)
from linksim.benchmarks.huff0 import Huff0Library, find_archive
from linksim.benchmarks.speed_data import (
    FORMS,
    SEEDED_VALUES,
    Source,
    real_sources,
    seeded_sources,
    trace_sources,
)
from linksim.benchmarks.speed_report import document, facts_line, machine_facts, markdown, remarks
from linksim.benchmarks.speed_report import tables as tables_of
from linksim.cli.fuzz import fuzz_command
from linksim.cli.network_speed import network_command
from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.cli.quantize_speed import quantize_command
from linksim.errors import LinksimError
from linksim.writing import written_whole

app = typer.Typer(
    no_args_is_help=True, help="Measure the speed of codec and engines, and try to break the codec."
)

QUICK = SpeedOptions(sizes=(1 << 20,), rounds=9)
THREADED_FORMS = ("bf16 high byte", "e4m3")


@app.command("codec")
def codec_command(
    gemma: Annotated[
        Path | None, typer.Option(help="Folder of .safetensors files with real tensors, too.")
    ] = None,
    libzstd: Annotated[
        Path | None,
        typer.Option(help="zstd's static library, libzstd.a; default: in the usual places."),
    ] = None,
    trace: Annotated[Path, typer.Option(help="Trace folder.")] = Path("traces/bundled"),
    quick: Annotated[bool, typer.Option("--quick", help="1 MiB and few rounds only.")] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for codec.json, codec.md and codec.png.")
    ] = Path("results/bench"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the codec against huff0, the Huffman coder inside zstd, in turns in one process.

    huff0 is linked out of libzstd.a with the C compiler at hand; where one of them is missing the
    peer is zstd. Every round trip is compared before it is timed.
    """
    check_folder(out)
    options = QUICK if quick else SpeedOptions()
    sources = _sources(trace, gemma, quick)
    library = _library(libzstd)
    results = _run(sources, library, options)
    facts = machine_facts(library.version if library else None)
    made = document(results, facts)
    _write(made, results, facts, out)
    if as_json:
        print_json(made)
        return
    for title, columns, rows in tables_of(results):
        print_table(title, columns, rows)
    for line in (
        *remarks(results),
        facts_line(facts),
        f"Tables, figure and all times are in {out}",
    ):
        console.print(line, markup=False, soft_wrap=True)


def _sources(trace: Path, gemma: Path | None, quick: bool) -> list[Source]:
    from_trace = list(trace_sources(trace))
    if not from_trace:
        raise LinksimError(f"{trace}: holds no FFN tensors of two batches to time the codec on")
    seeded = seeded_sources(SEEDED_VALUES // 4 if quick else SEEDED_VALUES)
    return [*from_trace, *seeded, *(real_sources(gemma) if gemma is not None else ())]


def _library(given: Path | None) -> Huff0Library | None:
    """huff0 of *given*, or of the usual places; without, a remark says why."""
    if given is not None:
        return Huff0Library(given)
    try:
        return Huff0Library(find_archive())
    except LinksimError as error:
        said = f"huff0 is not at hand, so the peer is zstd: {error}"
        messages.print(said, markup=False, soft_wrap=True)
        return None


def _run(
    sources: list[Source], library: Huff0Library | None, options: SpeedOptions
) -> SpeedResults:
    results = start(library, options)
    jobs = track(
        [(source, form) for source in sources for form in (*options.forms, "")],
        "timing",
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    for source, form in jobs:
        if form:
            results.rows += race(source, form, library, options)
        else:
            results.whole += race_whole(source, options)
    seeded = next(source for source in sources if source.name == "Gaussian weights")
    for form in THREADED_FORMS:
        results.threads += race_threads(seeded, form, library, options)
    results.reference.append(reference_speed(seeded, FORMS[0]))
    return results


def _write(made: dict[str, Any], results: SpeedResults, facts: dict[str, str], out: Path) -> None:
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.benchmarks.speed_figure import speed_figure

    out.mkdir(parents=True, exist_ok=True)
    page = markdown(results, facts)
    for name, text in (("codec.json", json.dumps(made, indent=1) + "\n"), ("codec.md", page)):
        with written_whole(out / name) as part:
            part.write_text(text, encoding="utf-8")
    speed_figure(results, facts_line(facts), out / "codec.png")


app.command("network")(network_command)
app.command("quantize")(quantize_command)
app.command("fuzz")(fuzz_command)
