"""`linksim codebook`: build codebooks from earlier batches and look at them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from linksim.cli.output import console, print_json, print_table
from linksim.codecs.book_building import build_books
from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, CodebookSet
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor
from linksim.tensors.views import VIEW_NAMES
from linksim.traces.sources import tensors_of

app = typer.Typer(no_args_is_help=True, help="Build fixed codebooks and look at them.")


@app.command("build")
def build_command(
    sources: Annotated[list[Path], typer.Argument(help="Traces or tensor files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Codebook file to write (JSON).")],
    view: Annotated[
        list[str], typer.Option(help="Symbol view; give it again for more. Default: all.")
    ] = list(VIEW_NAMES),  # noqa: B006
    before: Annotated[
        int | None, typer.Option(help="Use only batches before this one.", min=1)
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Cast floats to this format first.")] = None,
    per_layer: Annotated[
        bool, typer.Option(help="One book per kind and layer instead of one per kind.")
    ] = False,
    max_length: Annotated[
        int, typer.Option(help="Longest code word in bits.", min=8, max=16)
    ] = DEFAULT_MAX_LENGTH,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build one codebook per view, format and tensor kind, from average distributions."""

    def earlier() -> Iterator[tuple[str, int | None, Tensor]]:
        for tensor in tensors_of(sources, dtype):
            if before is None or tensor.batch < before:
                yield tensor.kind, tensor.layer, tensor.values

    if out.is_dir():
        raise LinksimError(f"{out}: a folder: expected the name of a file to write")
    named = ", ".join(path.name for path in sources)
    limit = "" if before is None else f", batches before {before}"
    books = build_books(
        earlier(), view, f"{named}{limit}", max_length=max_length, per_layer=per_layer
    )
    books.save(out)
    counted = Counter(f"{book.view} of {book.dtype}" for book in books.books)
    if as_json:
        print_json({"path": str(out), "books": counted})
        return
    listed = ", ".join(f"{n} books for {name}" for name, n in counted.items())
    console.print(f"{out}: {listed}", markup=False, soft_wrap=True)


@app.command("show")
def show_command(
    path: Annotated[Path, typer.Argument(help="Codebook file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every codebook: what it codes, its code lengths, where it came from."""
    books = CodebookSet.load(path)
    if as_json:
        print_json(books.document())
        return
    rows = []
    for book in books.books:
        used = [n for n in book.lengths if n]
        lengths = Counter(used)
        shape = " ".join(f"{bits}:{lengths[bits]}" for bits in sorted(lengths))
        layer = "all" if book.layer is None else book.layer
        rows.append(
            (book.kind, layer, book.dtype, book.view, min(used), max(used), shape, book.source)
        )
    columns = (
        "kind",
        "layer",
        "dtype",
        "view",
        "shortest",
        "longest",
        "codes per length",
        "source",
    )
    print_table(f"Codebooks in {path}", columns, rows)
