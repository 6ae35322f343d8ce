"""`linksim study`: what the codecs make of many tensors, as tables and figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from linksim.cli.aging import aging_command
from linksim.cli.faults import faults_command
from linksim.cli.output import console, messages, print_table
from linksim.cli.quantize_study import quantize_command
from linksim.cli.travel import travel_command
from linksim.cli.ttft import ttft_command
from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS
from linksim.codecs.chunked import RUN_SYMBOLS
from linksim.errors import LinksimError
from linksim.studies.huffman import (
    STUDIED_CODECS,
    STUDIED_DTYPES,
    HuffmanStudy,
    Options,
    PartialRows,
)
from linksim.studies.huffman_rows import (
    ALL_KINDS,
    Coded,
    Results,
    results_document,
    results_json,
    with_totals,
)
from linksim.studies.huffman_tables import claim_table, codec_table, study_markdown
from linksim.studies.published import PUBLISHED
from linksim.tensors.views import VIEW_NAMES
from linksim.traces.sources import tensors_of
from linksim.traces.store import Trace
from linksim.writing import written_whole

app = typer.Typer(no_args_is_help=True, help="Study what codecs make of many tensors.")


@app.command("huffman")
def huffman_command(
    trace: Annotated[Path, typer.Argument(help="Trace folder.")] = Path("traces/bundled"),
    first_batch: Annotated[
        int,
        typer.Option(
            "--from", help="Judge this batch and later ones; books are made before.", min=1
        ),
    ] = 2,
    kind: Annotated[
        list[str] | None, typer.Option(help="Tensor kind; give it again for more. Default: all.")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help=f"Number format; again for more. Default: {', '.join(STUDIED_DTYPES)}."),
    ] = None,
    view: Annotated[
        list[str] | None, typer.Option(help="View of 16-bit formats; again for more. Default: all.")
    ] = None,
    codec: Annotated[
        list[str] | None, typer.Option(help="Codec; give it again for more. Default: all but raw.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for huffman.json, huffman.md and huffman.png.")
    ] = Path("results/study"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge fixed codebooks of earlier batches against own Huffman, Shannon and other codecs.

    Tensors of one kind are joined to messages of at least 64 KiB. Every encoding is decoded and
    compared. A study that was interrupted goes on where it was.
    """
    options = Options(
        first_batch,
        _unique(kind, ()),
        _unique(dtype, STUDIED_DTYPES),
        _unique(view, VIEW_NAMES),
        _unique(codec, STUDIED_CODECS),
    )
    _check_folder(out)
    manifest = Trace.open(trace).manifest
    origin = f"Trace {manifest.name}: {manifest.model.what_it_is}"
    partial = PartialRows.load(out / "huffman.partial.json")
    results = Results(with_totals(_judge(trace, options, partial)))
    document = results_document(results.rows, _about(origin, options))
    _write(document, results, origin, options, out)
    partial.remove()
    if as_json:
        print(results_json(document), end="")
        return
    _print(results, origin, out)


def _unique(given: list[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given or default))


def _check_folder(out: Path) -> None:
    """Refuse an output that can be no folder before any time is spent."""
    there = next(path for path in (out, *out.parents) if path.exists())
    if not there.is_dir():
        raise LinksimError(f"{there}: not a folder, so no results can go to {out}")


def _judge(trace: Path, options: Options, partial: PartialRows) -> list[Coded]:
    try:
        study = HuffmanStudy(list(tensors_of([trace])), options, partial)
        parts = track(
            study.parts,
            "encoding",
            console=messages,
            transient=True,
            disable=not messages.is_terminal,
        )
        return [row for kind, form in parts for row in study.run(kind, form)]
    except LinksimError as error:
        where = "" if str(error).startswith(str(trace)) else f"{trace}: "
        raise LinksimError(f"{where}{error}") from None


def _about(origin: str, options: Options) -> dict[str, Any]:
    return {
        "origin": origin,
        "from_batch": options.from_batch,
        "message_nbytes": options.message_nbytes,
        "profile": "bulk",
        "chunk_symbols": MAX_CHUNK_SYMBOLS,
        "run_symbols": RUN_SYMBOLS["bulk"],
        "published": [asdict(figure) for figure in PUBLISHED],
    }


def _write(
    document: dict[str, Any], results: Results, origin: str, options: Options, out: Path
) -> None:
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.studies.huffman_figures import huffman_figure

    page = study_markdown(results, origin, options.from_batch)
    for name, text in (("huffman.json", results_json(document)), ("huffman.md", page)):
        with written_whole(out / name) as part:
            part.write_text(text, encoding="utf-8")
    huffman_figure(results, origin, out / "huffman.png")


def _print(results: Results, origin: str, out: Path) -> None:
    console.print(origin, markup=False, soft_wrap=True)
    title = "Fixed books, bytes with framing: % above own Huffman / above Shannon"
    print_table(title, *claim_table(results))
    print_table("Saved, all tensor kinds", *codec_table(results, ALL_KINDS))
    console.print(f"Tables, figure and all rows are in {out}", markup=False, soft_wrap=True)


app.command("aging")(aging_command)
app.command("faults")(faults_command)
app.command("quantize")(quantize_command)
app.command("travel")(travel_command)
app.command("ttft")(ttft_command)
