"""`linksim codebook`: books from earlier batches, and a look at them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linksim.codecs import CodebookSet, HuffmanFixed, build_codebook
from linksim.codecs.book_fitting import fit_books
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import VIEW_NAMES, symbol_view
from tests.conftest import gaussian
from tests.replay.command import files_under, linksim
from tests.replay.synthetic import LAYERS, RANKS, partial, residual, write_trace

KINDS = ["ffn2_output_partial", "kv_key", "kv_value", "residual"]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Batch 2 has another scale than the batches before it."""
    return write_trace(tmp_path / "trace", scales=(0.02, 0.02, 2e6)).path


def test_a_book_per_view_and_kind(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "books [1].json"
    finished = linksim("codebook", "build", trace, "-o", out)
    assert (finished.code, finished.err) == (0, "")
    assert finished.out == (
        f"{out}: 4 books for pooled of bf16, 4 books for byte-planes of bf16, "
        "4 books for exponent of bf16\n"
    )
    books = CodebookSet.load(out).books
    assert [(book.view, book.kind) for book in books] == [(v, k) for v in VIEW_NAMES for k in KINDS]
    assert {book.layer for book in books} == {None}
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name]
    linksim("codebook", "build", trace, "-o", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == out.read_bytes()


def test_books_are_built_on_the_batches_before_the_one_named(trace: Path, tmp_path: Path) -> None:
    view = symbol_view("exponent", number_format("bf16"))
    for before, batches in ((1, [0]), (2, [0, 1]), (None, [0, 1, 2])):
        out = tmp_path / "books.json"
        limit = [] if before is None else ["--before", before]
        assert (
            linksim("codebook", "build", trace, "-o", out, "--view", "exponent", *limit).code == 0
        )
        (book,) = CodebookSet.load(out).select("bf16", "exponent", "residual")
        values = [residual(batch, 2e6 if batch == 2 else 0.02) for batch in batches]
        counts = [histogram(view.split(v)[0]) for v in values]
        assert book.lengths == build_codebook("", view, "", counts).lengths
        assert book.source.endswith(f": {len(batches)} tensors")
        assert (f"batches before {before}" in book.source) == (before is not None)
        size = HuffmanFixed([book]).encoded_nbytes(residual(2, 2e6))
        assert (size < 0.9 * residual(2).nbytes) == (before is None)


def test_a_book_per_layer(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "books.json"
    arguments = ("--per-layer", "--view", "exponent", "--before", 2)
    assert linksim("codebook", "build", trace, "-o", out, *arguments).code == 0
    books = CodebookSet.load(out)
    view = symbol_view("exponent", number_format("bf16"))
    for layer in range(LAYERS):
        (book,) = books.select("bf16", "exponent", "ffn2_output_partial", layer)
        counts = [
            histogram(view.split(partial(batch, layer, rank))[0])
            for batch in range(2)
            for rank in range(len(RANKS))
        ]
        assert book.lengths == build_codebook("", view, "", counts).lengths
        assert book.layer == layer
    # A tensor without a layer keeps a book for all.
    assert [book.layer for book in books.select("bf16", "exponent", "residual")] == [None]


def test_show_and_its_json(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "books.json"
    options = ("--view", "exponent", "--per-layer", "--max-length", 12)
    linksim("codebook", "build", trace, "-o", out, *options)
    document = linksim("codebook", "show", out, "--json").json()
    assert document == json.loads(out.read_text())
    assert (document["format"], document["version"]) == ("linksim-codebooks", 1)
    finished = linksim("codebook", "show", out)
    assert (finished.code, finished.err) == (0, "")
    rows = [line.split("│") for line in finished.out.splitlines() if "exponent" in line]
    assert len(rows) == len(document["books"]) == 5
    for row, book in zip(rows, document["books"], strict=True):
        kind, layer, dtype, view, shortest, longest, shape, _ = (c.strip() for c in row[1:-1])
        assert (kind, dtype, view) == (book["kind"], "bf16", "exponent")
        assert layer == ("all" if book["layer"] is None else str(book["layer"]))
        used = [length for length in book["lengths"] if length]
        assert (int(shortest), int(longest)) == (min(used), max(used))
        assert int(longest) <= 12
        counted = dict(map(int, part.split(":")) for part in shape.split())
        assert sum(counted.values()) == len(used) == 256


def test_tensor_files_and_small_formats(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", gaussian(4000).astype(np.float32))
    out = tmp_path / "books.json"
    arguments = ("codebook", "build", tmp_path / "wide.npy", "-o", out)
    linksim(*arguments).refused(
        "wide.npy", "float32: expected --dtype, the format to cast it to: one of bf16"
    )
    # Formats of 8 bits have the pooled view alone.
    finished = linksim(*arguments, "--dtype", "e4m3")
    assert finished.out == f"{out}: 1 books for pooled of e4m3\n"
    linksim(*arguments, "--dtype", "e4m3", "--view", "exponent").refused("no tensors to build")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--view", "nibbles"), ["unknown view 'nibbles'", "pooled, byte-planes, exponent"]),
        (("--dtype", "fp17"), ["unknown dtype 'fp17'", "bf16"]),
    ],
)
def test_unknown_words_are_refused_and_nothing_is_written(
    trace: Path, tmp_path: Path, arguments: tuple[str, ...], parts: list[str]
) -> None:
    before = files_under(tmp_path)
    linksim("codebook", "build", trace, "-o", tmp_path / "b.json", *arguments).refused(*parts)
    assert files_under(tmp_path) == before


def test_bad_places_are_refused_and_nothing_is_written(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    before = files_under(tmp_path)
    build = ("codebook", "build", trace, "-o")
    linksim(*build, tmp_path / "folder").refused("folder: a folder")
    linksim(*build, tmp_path / "thesis.txt" / "books.json").refused("thesis.txt")
    linksim("codebook", "build", tmp_path / "no.npy", "-o", tmp_path / "b.json").refused("no.npy")
    assert files_under(tmp_path) == before
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ('{"format": "linksim-codebooks", "version": 2, "books": []}', "version"),
        ('{"format": "linksim-codebooks", "version": 1, "books": []}', "books"),
    ],
)
def test_what_is_no_codebook_file_is_named(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "books.json").write_text(content)
    linksim("codebook", "show", tmp_path / "books.json").refused("books.json: ", part)


def test_a_changed_codebook_file_is_named(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "books.json"
    linksim("codebook", "build", trace, "-o", out, "--view", "exponent")
    document = json.loads(out.read_text())
    document["books"][0]["lengths"][3] = 1
    out.write_text(json.dumps(document))
    linksim("codebook", "show", out).refused("books.json: codebook 'ffn2_output_partial.bf16")
    linksim("codebook", "show", tmp_path / "none.json").refused("none.json: cannot be read")


def test_fit_makes_scale_free_books(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "books [1].json"
    finished = linksim("codebook", "fit", trace, "-o", out, "--books", 2)
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.startswith(f"{out}: 2 scale-free books for exponent of bf16 from ")
    books = CodebookSet.load(out)
    assert [(b.name, b.kind) for b in books.books] == [
        (f"any.bf16.exponent.{number}", "any") for number in (1, 2)
    ]
    # Batch 2 has another scale, which one book with a bias serves as well.
    linksim("codebook", "fit", trace, "-o", out, "--kind", "residual")
    (book,) = CodebookSet.load(out).books
    assert (book.name, book.kind) == ("residual.bf16.exponent", "residual")
    codec = HuffmanFixed([book], exponent_bias=True)
    sizes = [codec.encoded_nbytes(residual(batch, s)) for batch, s in ((0, 0.02), (2, 2e6))]
    assert max(sizes) < 0.75 * residual(0).nbytes
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name]


def test_fit_and_its_json(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "books.json"
    np.save(tmp_path / "wide.npy", gaussian(4000).astype(np.float32))
    sources = (trace, tmp_path / "wide.npy")
    linksim("codebook", "fit", *sources, "-o", out).refused("wide.npy", "expected --dtype")
    for dtype, view in (("e4m3", "pooled"), ("int8", "pooled"), ("fp16", "exponent")):
        document = linksim(
            "codebook", "fit", *sources, "-o", out, "--dtype", dtype, "--json"
        ).json()
        assert document["path"] == str(out)
        (fit,) = document["fits"]
        assert (fit["dtype"], fit["view"], fit["books"]) == (dtype, view, 1)
        assert fit["bits_per_symbol"] > fit["own_huffman_bits_per_symbol"] > 0
        (book,) = CodebookSet.load(out).books
        assert book.source == f"trace, wide.npy: {fit['tensors']} tensors"


def test_fit_in_a_file_is_what_the_function_fits(tmp_path: Path) -> None:
    out = tmp_path / "books.json"
    view = symbol_view("byte-planes", number_format("bf16"))
    values = [gaussian(4000, seed, 0.02 * 3**seed) for seed in range(3)]
    for index, one in enumerate(values):
        np.save(tmp_path / f"{index}.npy", one.astype(np.float32))
    files = [tmp_path / f"{index}.npy" for index in range(3)]
    options = ("--view", "byte-planes", "--dtype", "bf16")
    assert linksim("codebook", "fit", *files, "-o", out, *options).code == 0
    (book,) = CodebookSet.load(out).books
    counted = [histogram(view.split(one)[0]) for one in values]
    assert book.frequencies == fit_books("", view, counted).books[0].frequencies


def test_fit_refuses_and_writes_nothing(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    before = files_under(tmp_path)
    fit = ("codebook", "fit", trace, "-o")
    linksim(*fit, tmp_path / "folder").refused("folder: a folder")
    linksim(*fit, tmp_path / "b.json", "--view", "nibbles").refused("unknown view 'nibbles'")
    linksim(*fit, tmp_path / "b.json", "--dtype", "fp17").refused("unknown dtype 'fp17'")
    linksim(*fit, tmp_path / "b.json", "--dtype", "bf16", "--books", 31).refused("31 books to fit")
    np.save(tmp_path.parent / "empty.npy", gaussian(4)[:0].astype(np.float32))
    empty = ("codebook", "fit", tmp_path.parent / "empty.npy", "--dtype", "bf16", "-o")
    linksim(*empty, tmp_path / "b.json").refused("empty.npy: no tensors to fit")
    assert files_under(tmp_path) == before


def test_list_and_shipped_books_wherever_a_file_may_stand(tmp_path: Path) -> None:
    listed = linksim("codebook", "list", "--json").json()
    assert [entry["name"] for entry in listed] == [
        f"shipped:{name}" for name in CodebookSet.shipped_names()
    ]
    finished = linksim("codebook", "list")
    assert (finished.code, finished.err) == (0, "")
    for entry in listed:
        assert entry["name"] in finished.out
        document = linksim("codebook", "show", entry["name"], "--json").json()
        assert len(document["books"]) == entry["books"]
        assert {book["kind"] for book in document["books"]} == set(entry["kinds"])
    np.save(tmp_path / "x.npy", gaussian(20_000).astype(np.float32))
    evaluate = ("codec", "eval", tmp_path / "x.npy", "--dtype", "bf16", "--codec", "huffman-fixed")
    biased = ("--codebooks", "shipped:universal", "--exponent-bias", "--json")
    document = linksim(*evaluate, *biased).json()
    assert document["codebooks"] == "shipped:universal"
    assert 25 < document["total"]["saved_percent"] < 34
    linksim(*evaluate, "--codebooks", "shipped:none").refused("no codebooks 'none' are shipped")
    linksim("codebook", "show", "shipped:none").refused("expected one of bundled-trace, gemma")
