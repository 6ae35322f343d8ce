from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linksim.codecs.book_building import build_books
from linksim.codecs.codebook import Codebook, CodebookSet, average_distribution, build_codebook
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.views import symbol_view
from tests.conftest import gaussian, gaussian_book


def test_books_are_values() -> None:
    book = gaussian_book()
    assert book == gaussian_book()
    assert hash(book) == hash(gaussian_book())
    with pytest.raises(AttributeError):
        book.kind = "other"  # type: ignore[misc]


def test_every_symbol_is_codable_whatever_was_seen() -> None:
    view = symbol_view("exponent", number_format("bf16"))
    counts = np.zeros(256, np.int64)
    counts[120] = 1_000_000
    book = build_codebook("b", view, "k", [counts])
    assert min(book.lengths) == 1
    assert all(book.lengths)
    assert max(book.lengths) <= 16


def test_average_weighs_tensors_not_values() -> None:
    # arXiv 2601.10673: the average of distributions, not the distribution of everything.
    short, long = np.array([1, 0]), np.array([0, 1000])
    assert average_distribution([short, long]).tolist() == [0.5, 0.5]
    with pytest.raises(LinksimError, match="at least one tensor"):
        average_distribution([np.zeros(2, np.int64)])


def test_file_round_trip_and_selection(tmp_path: Path) -> None:
    tensors = [("a", None, gaussian(500)), ("b", None, gaussian(500, scale=3.0))]
    books = build_books(tensors, ["exponent", "pooled"], "test")
    books.save(tmp_path / "books.json")
    loaded = CodebookSet.load(tmp_path / "books.json")
    assert loaded == books
    assert [b.kind for b in loaded.select("bf16", "exponent", "a")] == ["a"]
    assert [b.kind for b in loaded.select("bf16", "exponent", "unheard")] == ["a", "b"]
    with pytest.raises(LinksimError, match="view 'byte-planes' of bf16"):
        loaded.select("bf16", "byte-planes", "a")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"version": 1', '"version": 2', "version"),
        ('"max_length": 16', '"max_length": 40', "max_length is 40"),
        ('"view": "exponent"', '"view": "nibbles"', "unknown view 'nibbles'"),
        ('"dtype": "bf16"', '"dtype": "fp7"', "unknown dtype 'fp7'"),
        ('"lengths": [', '"lengths": [1, ', "257 entries"),
        ('"kind"', '"sort"', "kind: Field required"),
        ("linksim-codebooks", "codebooks", "format"),
        ("}", "", "JSON"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "books.json"
    CodebookSet((gaussian_book(),)).save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(LinksimError, match=rf"books\.json: .*{problem}"):
        CodebookSet.load(path)


def test_lengths_that_make_no_code_are_refused() -> None:
    book = gaussian_book()
    with pytest.raises(LinksimError, match="codebook 'gauss.exponent': .*Kraft"):
        replace(book, lengths=(1,) * 256)
    with pytest.raises(LinksimError, match="2 entries"):
        Codebook("x", "bf16", "pooled", "k", (1, 1))
