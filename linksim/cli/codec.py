"""`linksim codec`: what a codec makes of real tensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from linksim.cli.output import messages, print_json, print_table
from linksim.codecs import CODECS, CodebookSet, codec_class
from linksim.codecs.evaluation import Evaluation, evaluate, total
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.tensors.views import VIEW_NAMES
from linksim.traces.sources import SourceTensor, tensors_of

app = typer.Typer(no_args_is_help=True, help="Evaluate codecs on real tensors.")

COLUMNS = (
    "tensor",
    "values",
    "raw bytes",
    "encoded bytes",
    "saved %",
    "bits/value",
    "Shannon",
    "own Huffman",
    "above own Huffman %",
    "above Shannon %",
    "of it framing %",
)


@app.command("eval")
def eval_command(
    sources: Annotated[
        list[Path], typer.Argument(help="Traces, .safetensors, .npy or .npz files.")
    ],
    codec: Annotated[str, typer.Option(help=f"One of {', '.join(CODECS)}.")],
    codebooks: Annotated[
        str | None,
        typer.Option(
            help="Codebook file, or 'others': for every tensor a book from all other tensors."
        ),
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Cast floats to this format first.")] = None,
    view: Annotated[str, typer.Option(help=f"One of {', '.join(VIEW_NAMES)}.")] = "exponent",
    profile: Annotated[str, typer.Option(help="bulk (chunks) or link (flit payloads).")] = "bulk",
    exponent_bias: Annotated[
        bool, typer.Option(help="Let every bulk chunk shift its symbols to fit the book's scale.")
    ] = False,
    first_batch: Annotated[
        int, typer.Option("--from", help="Judge only this batch and later ones.", min=0)
    ] = 0,
    by_kind: Annotated[bool, typer.Option(help="One line per tensor kind.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Encode, decode and compare every tensor; print sizes beside Shannon and own Huffman.

    Bits per value are given for the message as sent, framing included; Shannon is the entropy of
    the view's symbols and rest bytes; own Huffman is the same message format with the tensor's own
    code (its codebook not counted); framing is headers, chunk index and entry points.
    """
    codec_class(codec)
    tensors = [t for t in tensors_of(sources, dtype) if t.batch >= first_batch and t.values.size]
    if not tensors:
        raise LinksimError(f"{sources[0]}: no tensor to evaluate from batch {first_batch} on")
    books = None if codebooks in (None, "others") else CodebookSet.load(Path(codebooks or ""))
    chooser = CodecChooser(codec, view, profile, exponent_bias, books)
    if codebooks == "others":
        chooser.leave_one_out([(t.name, t.values) for t in tensors])
    results = _evaluate_all(tensors, chooser)
    kinds = dict.fromkeys(result.kind for result in results)
    grouped = [total(kind, kind, (r for r in results if r.kind == kind)) for kind in kinds]
    everything = total("all tensors", "", results)
    if as_json:
        print_json(
            {
                "codec": codec,
                "view": view,
                "profile": profile,
                "codebooks": codebooks,
                "tensors": [result.document() for result in results],
                "kinds": [result.document() for result in grouped],
                "total": everything.document(),
            }
        )
        return
    rows = [_row(result) for result in [*(grouped if by_kind else results), everything]]
    print_table(f"{codec}, view {view}, profile {profile}", COLUMNS, rows)


def _evaluate_all(tensors: list[SourceTensor], chooser: CodecChooser) -> list[Evaluation]:
    walked: Iterable[SourceTensor] = track(
        tensors, "encoding", console=messages, transient=True, disable=not messages.is_terminal
    )
    results = []
    for tensor in walked:
        codec, view = chooser.codec_for(tensor.name, tensor.kind, tensor.layer, tensor.values)
        results.append(evaluate(tensor.name, tensor.kind, tensor.values, codec, view))
    return results


def _row(result: Evaluation) -> tuple[object, ...]:
    document = result.document()
    return (
        result.name,
        result.values,
        result.raw_nbytes,
        result.encoded_nbytes,
        f"{result.saved_percent:.2f}",
        f"{result.bits_per_value:.3f}",
        f"{document['shannon_bits_per_value']:.3f}",
        f"{document['huffman_bits_per_value']:.3f}",
        f"{result.gap_to_huffman_percent:+.2f}",
        f"{result.gap_to_shannon_percent:+.2f}",
        f"{result.framing_percent:.2f}",
    )
