"""Writes the codebooks that ship with linksim again, byte for byte.

    bundled-trace   one book per tensor kind of the bundled trace, all batches; bf16, views
                    `exponent` and `pooled`; as `linksim codebook build` makes them
    gemma           books of real Gemma tensors, one per tensor of at least 1024 values; bf16, views
                    `exponent` and `pooled`. Kinds are the entries' names without `layer0.`
    universal       one scale-free book per number format and view, fitted to the tensors of both
    universal-4     four of them each, of which every chunk takes the best

    python traces/ship_codebooks.py --gemma FOLDER [--out FOLDER]

FOLDER holds real Gemma tensors as .safetensors; what is shipped of them are statistics. Tensors are
rounded to bf16; for the other formats each is then scaled by the power of two that brings its
maximum to the format's range (int8: symmetric, the maximum becomes 127). The universal books know
no bf16 `pooled` view: a scale moves its exponent bytes but not its mantissa bytes, so that no bias
helps. Those of int8 are fitted without a bias, which would not be a scale.
"""

from __future__ import annotations

import argparse
import re
import struct
from collections.abc import Sequence
from json import loads
from pathlib import Path

import numpy as np

from linksim.cli.output import messages as remarks
from linksim.codecs.book_building import build_books
from linksim.codecs.book_fitting import Smoothing, fit_books
from linksim.codecs.codebook import CodebookSet
from linksim.studies.travel_messages import Message, messages_of
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import Histogram, histogram
from linksim.tensors.scaling import scaled_cast
from linksim.tensors.views import SymbolView, symbol_view
from linksim.traces.sources import kind_of_key, tensors_of

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "traces" / "bundled"
SHIPPED = ROOT / "linksim" / "codecs" / "books"
LEAST_VALUES = 1024
"""Tensors of fewer values get no book of their own: it would mostly be noise."""
SMALL_SAMPLE = Smoothing(floor=0.01)
"""Some 2000 values leave pooled bytes unseen that the next 2000 will hold."""
UNIVERSAL = (
    ("bf16", "exponent"),
    ("bf16", "byte-planes"),
    ("fp16", "exponent"),
    ("e4m3", "pooled"),
    ("e5m2", "pooled"),
    ("int8", "pooled"),
)


def bundled_books() -> CodebookSet:
    """One book per view and kind of the bundled trace."""
    tensors = ((t.kind, t.layer, t.values) for t in tensors_of([BUNDLED]))
    source = "the bundled trace (a model of Gemma's architecture trained by this project)"
    return build_books(tensors, ("exponent", "pooled"), source)


def counts_of(messages: Sequence[Message], view: SymbolView) -> Histogram:
    """Symbols of all *messages* of a site, each cast by itself; int64 [alphabet]."""
    cast = (view.split(scaled_cast(m.values, view.fmt.name))[0] for m in messages)
    return np.sum([histogram(symbols, view.alphabet) for symbols in cast], axis=0)


def by_site(messages: Sequence[Message]) -> dict[tuple[str, str], list[Message]]:
    sites: dict[tuple[str, str], list[Message]] = {}
    for message in messages:
        sites.setdefault(message.key, []).append(message)
    return sites


def origin(path: Path) -> str:
    """Model, licence and origin of a tensor file, as its metadata gives them."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        card = loads(file.read(size)).get("__metadata__", {})
    return ", ".join(
        card[field] if field != "licence" else f"licence {card[field]}"
        for field in ("model", "licence", "source")
        if field in card
    )


def gemma_books(files: Sequence[Path]) -> CodebookSet:
    """One book per view and site of real Gemma tensors, not shifted."""
    origins = {path.stem: origin(path) for path in files}
    books = []
    for view in (symbol_view(name, number_format("bf16")) for name in ("exponent", "pooled")):
        for (model, site), found in by_site(messages_of(files)).items():
            values = sum(m.values.size for m in found)
            if values < LEAST_VALUES:
                continue
            # The site of a file of prompts alone is named by the file.
            named = "residual" if "residual" in model and site == "prompts" else site
            kind = kind_of_key(re.sub(r"\.\d+$", "", named.removeprefix("layer0.")))
            label = "-".join(model.split("-")[:2])
            name = f"{label}.{named.removeprefix('layer0.')}.{view.name}"
            source = f"{origins[model]}: {site}, {values} values"
            counted = [counts_of(found, view)]
            books += fit_books(
                name,
                view,
                counted,
                kind=kind,
                aligned=False,
                source=source,
                smoothing=SMALL_SAMPLE if view.name == "pooled" else Smoothing(),
            ).books
    return CodebookSet(tuple(books))


def universal_books(sources: Sequence[Path], count: int) -> CodebookSet:
    """*count* scale-free books per number format and view; every site counts the same."""
    sites = by_site(messages_of(sources))
    models = dict.fromkeys(model for model, _ in sites)
    books = []
    for dtype, name in UNIVERSAL:
        view = symbol_view(name, number_format(dtype))
        counted = [counts_of(found, view) for found in sites.values()]
        source = f"{', '.join(models)} (codebooks gemma and bundled-trace): {len(sites)} tensors"
        books += fit_books(f"universal.{dtype}.{name}", view, counted, count, source=source).books
    return CodebookSet(tuple(books))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gemma", type=Path, help="folder of real Gemma tensors")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder to write to")
    arguments = parser.parse_args()
    bundled_books().save(arguments.out / "bundled-trace.json")
    if arguments.gemma is None:
        remarks.print("no --gemma FOLDER: wrote bundled-trace.json alone")
        return
    files = sorted(arguments.gemma.glob("*.safetensors"))
    gemma_books(files).save(arguments.out / "gemma.json")
    universal_books([*files, BUNDLED], 1).save(arguments.out / "universal.json")
    universal_books([*files, BUNDLED], 4).save(arguments.out / "universal-4.json")


if __name__ == "__main__":
    main()
