"""`linksim study quantize`: bits on the wire against signal to noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.studies.quantize import COLUMNS, FAMILIES, Row, markdown, study, summaries, table
from linksim.tensors.dtypes import format_of
from linksim.traces.sources import SourceTensor, tensors_of
from linksim.writing import written_whole


def quantize_command(
    sources: Annotated[
        list[Path], typer.Argument(help="Traces, .safetensors, .npy or .npz files.")
    ],
    first_batch: Annotated[
        int, typer.Option("--from", help="Judge only this batch and later ones.", min=0)
    ] = 0,
    kind: Annotated[
        list[str] | None, typer.Option(help="Tensor kind; give it again for more. Default: all.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Cast floats to this format first.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for quantize.json, quantize.md and quantize.png.")
    ] = Path("results/study"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Quantize every bf16 tensor in many ways: bits per value on the wire against decibels.

    The group quantizer of 2 to 8 bits, with spikes and with Huffman coded codes (every tensor with
    a book from all others), symmetric codes with four scale formats, MX formats, NVFP4 and fp8.
    """
    check_folder(out)
    tensors = [
        tensor
        for tensor in tensors_of(sources, dtype)
        if tensor.batch >= first_batch
        and tensor.values.size
        and format_of(tensor.values).name == "bf16"
        and (not kind or tensor.kind in kind)
    ]
    rows = _rows(tensors)
    named = ", ".join(path.name for path in sources)
    origin = "; ".join(dict.fromkeys(t.origin or named for t in tensors))
    document = {"rows": [row.document() for row in rows]}
    _write(document, rows, origin, out)
    if as_json:
        print_json(document)
        return
    console.print(origin, markup=False, soft_wrap=True)
    print_table("Bits on the wire against signal to noise", COLUMNS, table(summaries(rows)))
    console.print(f"Tables, figure and all rows are in {out}", markup=False, soft_wrap=True)


def _rows(tensors: Sequence[SourceTensor]) -> list[Row]:
    families = track(
        FAMILIES, "quantizing", console=messages, transient=True, disable=not messages.is_terminal
    )
    return [row for family in families for row in study(tensors, [family])]


def _write(document: dict[str, Any], rows: Sequence[Row], origin: str, out: Path) -> None:
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.studies.quantize_figures import quantize_figure

    out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in document["rows"])
    text = f'{{"rows": [\n{lines}\n]}}\n'
    for name, written in (("quantize.json", text), ("quantize.md", markdown(rows, origin))):
        with written_whole(out / name) as part:
            part.write_text(written, encoding="utf-8")
    quantize_figure(rows, origin, out / "quantize.png")
