"""`linksim study huffman`: files and figures of a small trace, and bad input in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linksim.codecs import HuffmanFixed, build_codebook
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import symbol_view
from tests.replay.command import files_under, linksim
from tests.replay.synthetic import residual, write_trace

SHORT = ("--dtype", "bf16", "--view", "exponent", "--codec", "huffman-fixed")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("study") / "trace").path


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def test_json_is_the_file_and_sizes_are_the_codecs(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    document = linksim("study", "huffman", trace, *SHORT, "--out", out, "--json").json()
    assert json.loads((out / "huffman.json").read_text()) == document
    assert files_under(out) == ["huffman.json", "huffman.md", "huffman.png"]
    assert (document["from_batch"], document["message_nbytes"]) == (2, 65536)
    assert {figure["grade"] for figure in document["published"]} == {
        "read in the source",
        "second-hand",
    }
    found = {(row["kind"], row["books"]): row for row in rows(document["codecs"])}
    assert {kind for kind, _ in found} == {
        "ffn2_output_partial",
        "residual",
        "kv_key",
        "kv_value",
        "all",
    }
    view = symbol_view("exponent", number_format("bf16"))
    counts = [histogram(view.split(residual(batch))[0]) for batch in (0, 1)]
    codec = HuffmanFixed([build_codebook("r", view, "residual", counts)])
    expected = len(codec.encode(residual(2)))
    assert found["residual", "layer"]["encoded_nbytes"] == expected


def test_two_runs_write_the_same_bytes(trace: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        options = ("--kind", "residual", "--codec", "zstd", "--out", tmp_path / name)
        finished = linksim("study", "huffman", trace, *SHORT, *options)
        assert (finished.code, finished.err) == (0, "")
        assert "residual" in finished.out
        assert str(tmp_path / name) in finished.out
    for file in files_under(tmp_path / "a"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_options_choose_what_is_studied(trace: Path, tmp_path: Path) -> None:
    options = ("--dtype", "e2m1", "--dtype", "e4m3", "--kind", "kv_key", "--kind", "residual")
    more = ("--codec", "dual-length", "--from", 1, "--out", tmp_path / "out", "--json")
    document = linksim("study", "huffman", trace, *options, *more).json()
    found = rows(document["codecs"])
    assert {row["kind"] for row in found} == {"kv_key", "residual", "all"}
    assert {(row["dtype"], row["scaling"]) for row in found} == {
        ("e2m1", "tensor"),
        ("e2m1", "block"),
        ("e4m3", "tensor"),
    }
    assert {row["codec"] for row in found} == {"dual-length"}
    (of_two_batches,) = [
        row for row in rows(document["bounds"]) if (row["kind"], row["dtype"]) == ("kv_key", "e4m3")
    ]
    assert of_two_batches["tensors"] == 2


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--codec", "lzma"), ["unknown codec 'lzma'", "huffman-fixed"]),
        (("--view", "nibbles"), ["unknown view 'nibbles'", "exponent"]),
        (("--dtype", "fp17"), ["unknown dtype 'fp17'", "e2m1"]),
        (("--dtype", "int8"), ["int8", "float format"]),
        (("--kind", "logits"), ["trace: no tensor of kind 'logits'", "residual"]),
        (("--from", "9"), ["trace: no tensor to judge from batch 9 on"]),
    ],
)
def test_bad_options_are_one_sentence(
    trace: Path, tmp_path: Path, arguments: tuple[str, ...], parts: list[str]
) -> None:
    out = tmp_path / "out"
    for shape in ([], ["--json"]):
        linksim("study", "huffman", trace, *arguments, "--out", out, *shape).refused(*parts)
    assert not out.exists()


def test_bad_traces_and_folders_are_one_sentence(trace: Path, tmp_path: Path) -> None:
    linksim("study", "huffman", tmp_path / "none").refused("manifest.json: cannot be read")
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "deep"):
        linksim("study", "huffman", trace, "--out", out).refused(
            f"{tmp_path / 'file'}: not a folder"
        )
