"""`linksim codec`: what a codec makes of real tensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from linksim.cli.output import console, messages, print_json, print_table
from linksim.codecs import CODECS, CodebookSet, is_lossless, takes_codebooks
from linksim.codecs.chunked import PROFILES
from linksim.codecs.evaluation import Evaluation, evaluate, total
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.tensors.dtypes import format_of
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
LOSSY_COLUMNS = (*COLUMNS[:7], "SNR dB", "largest error", "values lost")


@app.command("eval")
def eval_command(
    sources: Annotated[
        list[Path], typer.Argument(help="Traces, .safetensors, .npy or .npz files.")
    ],
    codec: Annotated[
        str,
        typer.Option(help=f"One of {', '.join(CODECS)}; options follow as in ID:NAME=VALUE,..."),
    ],
    codebooks: Annotated[
        str | None,
        typer.Option(
            help="Codebook file, 'shipped:NAME' (linksim codebook list), or 'others': for every "
            "tensor a book from all other tensors."
        ),
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Cast floats to this format first.")] = None,
    view: Annotated[str, typer.Option(help=f"One of {', '.join(VIEW_NAMES)}.")] = "exponent",
    profile: Annotated[str, typer.Option(help="bulk (chunks) or link (flit payloads).")] = "bulk",
    payload: Annotated[int, typer.Option(help="Flit payload in bytes, for profile link.")] = 240,
    exponent_bias: Annotated[
        bool, typer.Option(help="Let every chunk shift its symbols to fit the book's scale.")
    ] = False,
    first_batch: Annotated[
        int, typer.Option("--from", help="Judge only this batch and later ones.", min=0)
    ] = 0,
    by_kind: Annotated[bool, typer.Option(help="One line per tensor kind.")] = False,
    by_file: Annotated[bool, typer.Option(help="One line per file or trace.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Encode, decode and compare every tensor; print sizes beside Shannon and own Huffman.

    Bits per value are given for the message as sent, framing included; Shannon is the entropy of
    the view's symbols and rest bytes; own Huffman is the same message format with the tensor's own
    code (its codebook not counted); framing is headers, chunk index and entry points. What a lossy
    codec changes is given as signal to noise ratio and largest error.
    """
    with_books = takes_codebooks(codec)
    if profile not in PROFILES:
        raise LinksimError(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")
    if codebooks is not None and not with_books:
        fixed = ", ".join(name for name in CODECS if takes_codebooks(name))
        raise LinksimError(f"--codebooks is for {fixed}: codec {codec} takes none")
    tensors = [t for t in tensors_of(sources, dtype) if t.batch >= first_batch and t.values.size]
    if not tensors:
        raise LinksimError(f"{sources[0]}: no tensor to evaluate from batch {first_batch} on")
    books = None if codebooks in (None, "others") else CodebookSet.find(codebooks or "")
    chooser = CodecChooser(codec, view, profile, exponent_bias, books, payload)
    if codebooks == "others":
        chooser.leave_one_out([(t.name, t.values) for t in tensors])
    results = _evaluate_all(tensors, chooser)
    grouped = _sums(results, [result.kind for result in results])
    per_file = _sums(results, [tensor.file for tensor in tensors])
    everything = total("all tensors", "", results)
    origins = dict.fromkeys(tensor.origin for tensor in tensors if tensor.origin)
    if as_json:
        print_json(
            {
                "codec": codec,
                "view": view,
                "profile": profile,
                "codebooks": codebooks,
                "tensors": [result.document() for result in results],
                "kinds": [result.document() for result in grouped],
                "files": [result.document() for result in per_file],
                "total": everything.document(),
            }
        )
        return
    for origin in origins:
        console.print(origin, markup=False, soft_wrap=True)
    shown = grouped if by_kind else per_file if by_file else results
    rows = [_row(result) for result in [*shown, everything]]
    views = dict.fromkeys(chooser.view_of(format_of(t.values)).name for t in tensors)
    columns = COLUMNS if is_lossless(codec) else LOSSY_COLUMNS
    print_table(f"{codec}, view {', '.join(views)}, profile {profile}", columns, rows)


def _evaluate_all(tensors: list[SourceTensor], chooser: CodecChooser) -> list[Evaluation]:
    walked: Iterable[SourceTensor] = track(
        tensors, "encoding", console=messages, transient=True, disable=not messages.is_terminal
    )
    results = []
    for tensor in walked:
        codec, view = chooser.codec_for(tensor.name, tensor.kind, tensor.layer, tensor.values)
        results.append(evaluate(tensor.name, tensor.kind, tensor.values, codec, view))
    return results


def _sums(results: list[Evaluation], groups: list[str]) -> list[Evaluation]:
    """One sum per group, in order of first appearance; *groups* names the group of each result."""
    return [
        total(group, "", (r for r, of in zip(results, groups, strict=True) if of == group))
        for group in dict.fromkeys(groups)
    ]


def _row(result: Evaluation) -> tuple[object, ...]:
    document = result.document()
    cells = (
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
    changed = result.distortion
    if changed is None:
        return cells
    ratio = "none" if changed.snr_db is None else f"{changed.snr_db:.2f}"
    return (*cells[:7], ratio, f"{changed.largest_error:.4g}", changed.values_lost)
