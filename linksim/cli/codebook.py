"""`linksim codebook`: build codebooks, fit scale-free ones, and look at them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from linksim.cli.output import console, print_json, print_table
from linksim.codecs.book_building import build_books
from linksim.codecs.book_fitting import BookFit, fit_books
from linksim.codecs.chunk import MAX_SLOTS
from linksim.codecs.codebook import ANY_KIND, DEFAULT_MAX_LENGTH, SHIPPED, CodebookSet
from linksim.codecs.prefix_code import package_merge
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, format_of, number_format
from linksim.tensors.histograms import Histogram, histogram
from linksim.tensors.scaling import scaled_cast
from linksim.tensors.views import VIEW_NAMES, symbol_view
from linksim.traces.sources import tensors_of

app = typer.Typer(no_args_is_help=True, help="Build fixed codebooks and look at them.")


@app.command("build")
def build_command(
    sources: Annotated[list[Path], typer.Argument(help="Traces or tensor files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Codebook file to write (JSON).")],
    view: Annotated[
        list[str], typer.Option(help="Symbol view; give it again for more. Default: all.")
    ] = list(VIEW_NAMES),  # noqa: B006
    codec: Annotated[
        str | None,
        typer.Option(
            help="A codec that quantizes first, as in quantize+huffman-fixed:bits=4: books for its "
            "codes, not for a view."
        ),
    ] = None,
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

    _refuse_folder(out)
    named = ", ".join(path.name for path in sources)
    limit = "" if before is None else f", batches before {before}"
    quantizers = [] if codec is None else [_quantizer(codec)]
    views = view if codec is None else []
    books = build_books(
        earlier(),
        views,
        f"{named}{limit}",
        max_length=max_length,
        per_layer=per_layer,
        quantizers=quantizers,
    )
    books.save(out)
    counted = Counter(f"{book.view} of {book.dtype}" for book in books.books)
    if as_json:
        print_json({"path": str(out), "books": counted})
        return
    listed = ", ".join(f"{n} books for {name}" for name, n in counted.items())
    console.print(f"{out}: {listed}", markup=False, soft_wrap=True)


def _quantizer(codec: str) -> GroupQuantizer:
    quantizer = CodecChooser(codec).quantizer
    if quantizer is None:
        raise LinksimError(f"--codec {codec}: expected one that quantizes and has codebooks")
    return quantizer


@app.command("fit")
def fit_command(
    sources: Annotated[list[Path], typer.Argument(help="Traces or tensor files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Codebook file to write (JSON).")],
    books: Annotated[
        int,
        typer.Option(help="Books per format; every chunk takes the best.", min=1, max=MAX_SLOTS),
    ] = 1,
    view: Annotated[
        str, typer.Option(help=f"One of {', '.join(VIEW_NAMES)}; formats of 8 bits have pooled.")
    ] = "exponent",
    dtype: Annotated[
        str | None,
        typer.Option(help="Cast floats to this format first, every tensor scaled to its range."),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="Tensor kind the books are for; any: for all kinds.")
    ] = ANY_KIND,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit scale-free codebooks, for use with an exponent bias.

    Tensors are shifted onto one another by powers of two before their distributions are averaged.
    With more than one book, tensors of like distribution share one (K-means in code length).
    """
    _refuse_folder(out)
    named = ", ".join(path.name for path in sources)
    fits: list[BookFit] = []
    documents = []
    for name, counted in _histograms(sources, dtype, view).items():
        of = symbol_view(view if number_format(name).bits == 16 else "pooled", number_format(name))
        label = f"{kind}.{name}.{of.name}"
        source = f"{named}: {len(counted)} tensors"
        fits.append(fit_books(label, of, counted, books, kind=kind, source=source))
        own = [int(c @ np.array(package_merge(c, DEFAULT_MAX_LENGTH))) / c.sum() for c in counted]
        documents.append(
            {
                "dtype": name,
                "view": of.name,
                "tensors": len(counted),
                "books": books,
                "bits_per_symbol": round(min(fits[-1].bits_per_symbol), 5),
                "own_huffman_bits_per_symbol": round(float(np.mean(own)), 5),
            }
        )
    if not fits:
        raise LinksimError(f"{named}: no tensors to fit codebooks to")
    CodebookSet(tuple(book for fit in fits for book in fit.books)).save(out)
    if as_json:
        print_json({"path": str(out), "fits": documents})
        return
    for made in documents:
        console.print(
            f"{out}: {books} scale-free books for {made['view']} of {made['dtype']} from "
            f"{made['tensors']} tensors, which they code in {made['bits_per_symbol']:.3f} bits a "
            f"symbol (own Huffman codes: {made['own_huffman_bits_per_symbol']:.3f})",
            markup=False,
            soft_wrap=True,
        )


def _histograms(sources: list[Path], dtype: str | None, view: str) -> dict[str, list[Histogram]]:
    """The symbol counts of every non-empty tensor, by number format."""
    counted: dict[str, list[Histogram]] = {}
    # A format of narrow range is reached through bf16, which holds what any scale asks for.
    for tensor in tensors_of(sources, dtype and "bf16"):
        values = tensor.values if dtype is None else scaled_cast(tensor.values, dtype)
        fmt = format_of(values)
        read = symbol_view(view if fmt.bits == 16 else "pooled", fmt)
        if values.size:
            counts = histogram(read.split(values)[0], read.alphabet)
            counted.setdefault(fmt.name, []).append(counts)
    return counted


def _refuse_folder(out: Path) -> None:
    if out.is_dir():
        raise LinksimError(f"{out}: a folder: expected the name of a file to write")


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the codebooks that ship with linksim, for --codebooks shipped:NAME."""
    documents: list[dict[str, Any]] = []
    for name in CodebookSet.shipped_names():
        books = CodebookSet.shipped(name).books
        documents.append(
            {
                "name": f"{SHIPPED}{name}",
                "books": len(books),
                "codes": list(dict.fromkeys(f"{book.view} of {book.dtype}" for book in books)),
                "kinds": list(dict.fromkeys(book.kind for book in books)),
                "sources": list(dict.fromkeys(book.source for book in books)),
            }
        )
    if as_json:
        print_json(documents)
        return
    rows = [
        (d["name"], d["books"], ", ".join(d["codes"]), ", ".join(d["kinds"])) for d in documents
    ]
    print_table("Codebooks that ship with linksim", ("name", "books", "codes", "kinds"), rows)


@app.command("show")
def show_command(
    path: Annotated[str, typer.Argument(help="Codebook file, or shipped:NAME.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every codebook: what it codes, its code lengths, where it came from."""
    books = CodebookSet.find(path)
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
