"""The codebooks that ship: whole, small, and made again by the committed script."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from linksim.codecs import CodebookSet, HuffmanFixed
from linksim.codecs.codebook import ANY_KIND
from linksim.codecs.evaluation import own_huffman
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.scaling import scaled_cast
from linksim.tensors.views import symbol_view
from tests.conftest import ROOT, gaussian, gaussian_book

FOLDER = ROOT / "linksim" / "codecs" / "books"
NAMES = ("bundled-trace", "gemma", "universal", "universal-4")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship", ROOT / "traces" / "ship_codebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_names() -> None:
    assert CodebookSet.shipped_names() == NAMES
    with pytest.raises(LinksimError, match="no codebooks 'gemma5' are shipped: expected one of"):
        CodebookSet.shipped("gemma5")
    with pytest.raises(LinksimError, match="no codebooks '../gemma' are shipped"):
        CodebookSet.find("shipped:../gemma")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_set_is_small_and_says_where_it_is_from(name: str, tmp_path: Path) -> None:
    path = FOLDER / f"{name}.json"
    assert path.stat().st_size < 150_000
    books = CodebookSet.shipped(name)
    assert books == CodebookSet.load(path) == CodebookSet.find(f"shipped:{name}")
    assert books.file == f"shipped:{name}"
    books.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    for book in books.books:
        assert min(book.lengths) > 0
        assert book.frequencies
        assert book.source
        assert book.smoothing
    assert len({book.name for book in books.books}) == len(books.books)


def test_what_came_from_elsewhere_names_its_licence() -> None:
    licences = {
        book.source.split("licence ")[1].split(",")[0]
        for book in CodebookSet.shipped("gemma").books
    }
    assert licences == {"MIT", "Apache-2.0"}


def test_universal_books_are_for_any_kind_and_every_common_format() -> None:
    for name, count in (("universal", 1), ("universal-4", 4)):
        books = CodebookSet.shipped(name)
        assert {book.kind for book in books.books} == {ANY_KIND}
        for dtype in ("bf16", "fp16", "e4m3", "e5m2", "int8"):
            view = "exponent" if number_format(dtype).bits == 16 else "pooled"
            assert len(books.select(dtype, view, "anything", 3)) == count
        with pytest.raises(LinksimError, match=f"shipped:{name}: no codebook is for view 'pooled'"):
            books.select("bf16", "pooled", "residual")


def test_books_for_any_kind_come_before_those_of_other_kinds() -> None:
    both = (*CodebookSet.shipped("gemma").books, *CodebookSet.shipped("universal").books)
    books = CodebookSet(both)
    (chosen,) = books.select("bf16", "exponent", "no_such_kind")
    assert chosen.kind == ANY_KIND
    assert {book.kind for book in books.select("bf16", "exponent", "residual")} == {"residual"}
    assert len(CodebookSet.shipped("gemma").select("bf16", "exponent", "no_such_kind")) > 10


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 0.02, 1.0, 3e4])
def test_the_universal_book_serves_a_gaussian_of_any_scale(scale: float) -> None:
    values = gaussian(64 * 1024, seed=7, scale=scale)
    own = own_huffman(
        values, symbol_view("exponent", number_format("bf16")), HuffmanFixed([gaussian_book()])
    )
    for name in ("universal", "universal-4"):
        books = CodebookSet.shipped(name).select("bf16", "exponent", "any")
        size = HuffmanFixed(books, exponent_bias=True).encoded_nbytes(values)
        assert size - own.encoded_nbytes(values) < 0.02 * values.nbytes


@pytest.mark.parametrize("dtype", ["fp16", "e4m3", "e5m2", "int8"])
def test_the_universal_books_save_in_other_formats(dtype: str) -> None:
    values = scaled_cast(gaussian(64 * 1024, seed=7), dtype)
    view = "exponent" if number_format(dtype).bits == 16 else "pooled"
    books = CodebookSet.shipped("universal-4").select(dtype, view, "any")
    assert HuffmanFixed(books, exponent_bias=True).encoded_nbytes(values) < 0.97 * values.nbytes


def test_the_books_of_the_bundled_trace_are_made_again(script: ModuleType, tmp_path: Path) -> None:
    script.bundled_books().save(tmp_path / "books.json")
    made = (tmp_path / "books.json").read_bytes()
    assert made == (FOLDER / "bundled-trace.json").read_bytes()


def test_all_books_are_made_again_from_the_real_tensors(
    script: ModuleType, real_gemma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ship", "--gemma", str(real_gemma), "--out", str(tmp_path)])
    script.main()
    for name in NAMES:
        made = (tmp_path / f"{name}.json").read_text()
        assert made == (FOLDER / f"{name}.json").read_text(), name
    document = json.loads((tmp_path / "universal.json").read_text())
    assert np.all([min(book["frequencies"]) >= 1 for book in document["books"]])
