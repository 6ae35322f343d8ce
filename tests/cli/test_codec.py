"""`linksim codec eval`: sizes are the codec's own, and bad input is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from linksim.codecs import (
    CODECS,
    CodebookSet,
    HuffmanFixed,
    HuffmanThreeStage,
    build_codebook,
    is_lossless,
    takes_codebooks,
)
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import VIEW_NAMES, symbol_view
from linksim.traces import Trace
from tests.conftest import gaussian
from tests.replay.command import linksim
from tests.replay.synthetic import KV_VALUES, residual, write_trace

BF16 = number_format("bf16")
TENSORS = {"Act.0": gaussian(5000), "Act.1": gaussian(3000, seed=1), "other": gaussian(10, seed=2)}

EVALUATION_FIELDS = {
    "name",
    "kind",
    "tensors",
    "values",
    "raw_nbytes",
    "encoded_nbytes",
    "huffman_nbytes",
    "shannon_nbytes",
    "framing_nbytes",
    "bits_per_value",
    "shannon_bits_per_value",
    "huffman_bits_per_value",
    "saved_percent",
    "gap_to_huffman_percent",
    "gap_to_shannon_percent",
    "framing_percent",
}


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "dump.safetensors")
    return tmp_path / "dump.safetensors"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return write_trace(tmp_path / "trace").path


@pytest.fixture
def books(trace: Path, tmp_path: Path) -> Path:
    path = tmp_path / "books.json"
    assert linksim("codebook", "build", trace, "-o", path, "--before", 2).code == 0
    return path


def evaluation(*arguments: object) -> dict[str, Any]:
    document: dict[str, Any] = linksim("codec", "eval", *arguments, "--json").json()
    return document


def test_json_schema_and_figures_of_a_file(dump: Path) -> None:
    document = evaluation(dump, "--codec", "huffman-three-stage")
    assert {key: document[key] for key in ("codec", "view", "profile", "codebooks")} == {
        "codec": "huffman-three-stage",
        "view": "exponent",
        "profile": "bulk",
        "codebooks": None,
    }
    codec = HuffmanThreeStage("bf16", "exponent")
    assert [tensor["name"] for tensor in document["tensors"]] == [f"dump/{key}" for key in TENSORS]
    assert [tensor["kind"] for tensor in document["tensors"]] == ["act_0", "act_1", "other"]
    for tensor, values in zip(document["tensors"], TENSORS.values(), strict=True):
        assert set(tensor) == EVALUATION_FIELDS
        size = len(codec.encode(values))
        assert (tensor["values"], tensor["raw_nbytes"]) == (values.size, values.nbytes)
        assert (tensor["encoded_nbytes"], tensor["tensors"]) == (size, 1)
        assert tensor["framing_nbytes"] == codec.framing_nbytes(values)
        assert tensor["bits_per_value"] == pytest.approx(8 * size / values.size, abs=1e-5)
        assert tensor["saved_percent"] == pytest.approx(100 - 100 * size / values.nbytes, abs=1e-4)
        assert tensor["gap_to_huffman_percent"] == pytest.approx(
            100 * (size / tensor["huffman_nbytes"] - 1), abs=1e-4
        )
    total = document["total"]
    assert set(total) == EVALUATION_FIELDS
    for field in ("values", "raw_nbytes", "encoded_nbytes", "huffman_nbytes", "framing_nbytes"):
        assert total[field] == sum(tensor[field] for tensor in document["tensors"])
        assert total[field] == sum(kind[field] for kind in document["kinds"])


@pytest.mark.parametrize("view", VIEW_NAMES)
@pytest.mark.parametrize("profile", ["bulk", "link"])
def test_fixed_books_from_earlier_batches(
    trace: Path, books: Path, view: str, profile: str
) -> None:
    options = ("--codec", "huffman-fixed", "--codebooks", books, "--view", view)
    document = evaluation(trace, *options, "--profile", profile, "--from", 2)
    assert document["codebooks"] == str(books)
    assert {tensor["name"][:2] for tensor in document["tensors"]} == {"b2"}
    assert len(document["tensors"]) == 9
    found = {tensor["name"]: tensor["encoded_nbytes"] for tensor in document["tensors"]}
    book = CodebookSet.load(books).select("bf16", view, "residual")
    assert found["b2.residual"] == len(HuffmanFixed(book, profile).encode(residual(2)))
    kinds = {kind["kind"] or kind["name"]: kind for kind in document["kinds"]}
    assert kinds["kv_key"]["values"] == KV_VALUES["key"]
    assert kinds["ffn2_output_partial"]["tensors"] == 6


def test_every_tensor_gets_a_book_from_the_others(dump: Path) -> None:
    document = evaluation(dump, "--codec", "huffman-fixed", "--codebooks", "others")
    view = symbol_view("exponent", BF16)
    for tensor, (name, values) in zip(document["tensors"], TENSORS.items(), strict=True):
        counts = [histogram(view.split(v)[0]) for other, v in TENSORS.items() if other != name]
        codec = HuffmanFixed([build_codebook("others", view, "others", counts)])
        assert tensor["encoded_nbytes"] == len(codec.encode(values))


def test_an_exponent_bias_is_passed_on(tmp_path: Path) -> None:
    save_file(
        {"near": gaussian(4096), "far": gaussian(4096, 1, 0.02 * 256)}, tmp_path / "a.safetensors"
    )
    common = (tmp_path / "a.safetensors", "--codec", "huffman-fixed", "--codebooks", "others")
    without, biased = evaluation(*common), evaluation(*common, "--exponent-bias")
    assert biased["total"]["encoded_nbytes"] < 0.8 * without["total"]["encoded_nbytes"]


def rows(out: str) -> list[list[str]]:
    return [[c.strip() for c in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]


def test_the_table_and_its_sums(trace: Path, books: Path) -> None:
    options = (trace, "--codec", "huffman-fixed", "--codebooks", books, "--from", 2)
    document = evaluation(*options)
    finished = linksim("codec", "eval", *options)
    assert (finished.code, finished.err) == (0, "")
    origin, title = (line.strip() for line in finished.out.splitlines()[:2])
    assert origin.startswith("Trace ")
    assert origin.endswith(Trace.open(trace).manifest.model.what_it_is)
    assert title == "huffman-fixed, view exponent, profile bulk"
    shown = rows(finished.out)
    assert [row[0] for row in shown] == [t["name"] for t in document["tensors"]] + ["all tensors"]
    assert [int(row[3]) for row in shown[:-1]] == [t["encoded_nbytes"] for t in document["tensors"]]
    by_kind = rows(linksim("codec", "eval", *options, "--by-kind").out)
    assert [row[0] for row in by_kind] == [
        "ffn2_output_partial",
        "residual",
        "kv_key",
        "kv_value",
        "all tensors",
    ]
    assert by_kind[-1] == shown[-1]
    assert [int(row[3]) for row in by_kind[:-1]] == [k["encoded_nbytes"] for k in document["kinds"]]


@pytest.mark.parametrize("codec", [c for c in CODECS if is_lossless(c) and not takes_codebooks(c)])
def test_formats_below_16_bits_are_pooled(codec: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", gaussian(1000).astype(np.float32))
    document = evaluation(tmp_path / "x.npy", "--codec", codec, "--dtype", "e3m2")
    assert document["total"]["raw_nbytes"] == 750


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--codec", "lzma"), ["unknown codec 'lzma'", "raw, huffman-fixed, huffman-three-stage"]),
        (("--codec", "raw", "--view", "nibbles"), ["unknown view 'nibbles'", "exponent"]),
        (("--codec", "raw", "--profile", "jumbo"), ["unknown profile 'jumbo'", "bulk, link"]),
        (
            ("--codec", "huffman-three-stage", "--profile", "jumbo"),
            ["unknown profile 'jumbo'", "bulk, link"],
        ),
        (("--codec", "huffman-fixed"), ["huffman-fixed needs codebooks", "--codebooks FILE"]),
        (("--codec", "huffman-fixed", "--codebooks", "none.json"), ["none.json: cannot be read"]),
        (("--codec", "raw", "--codebooks", "others"), ["--codebooks", "codec raw takes none"]),
        (("--codec", "raw", "--dtype", "fp17"), ["unknown dtype 'fp17'", "e2m1"]),
        (("--codec", "raw", "--dtype", "int8"), ["a cast from bfloat16 to int8 is not defined"]),
        (("--codec", "raw", "--from", 1), ["dump.safetensors: no tensor", "batch 1"]),
    ],
)
def test_bad_arguments_are_one_sentence(
    dump: Path, arguments: tuple[object, ...], parts: list[str]
) -> None:
    for shape in ([], ["--json"]):
        linksim("codec", "eval", dump, *arguments, *shape).refused(*parts)


def test_books_for_another_view_or_format_are_refused(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "books.json"
    linksim("codebook", "build", dump, "-o", path, "--view", "pooled")
    common = ("codec", "eval", dump, "--codec", "huffman-fixed", "--codebooks", path)
    assert linksim(*common, "--view", "pooled").code == 0
    linksim(*common).refused("no codebook is for view 'exponent' of bf16", "pooled of bf16")
    linksim(*common, "--view", "pooled", "--dtype", "fp16").refused("view 'pooled' of fp16")
    path.write_text(json.dumps({"format": "other"}))
    linksim(*common).refused("books.json: format")


def test_float32_needs_a_dtype(tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x=gaussian(500).astype(np.float32))
    common = ("codec", "eval", tmp_path / "wide.npz", "--codec", "raw")
    linksim(*common).refused(
        "wide.npz: tensor 'x'", "float32: expected --dtype, the format to cast it to: one of bf16"
    )
    assert evaluation(*common[2:], "--dtype", "bf16")["total"]["raw_nbytes"] == 1000


def test_missing_and_truncated_files_are_named(dump: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "dump.npz", x=np.zeros(500, np.float16))
    np.save(tmp_path / "dump.npy", np.zeros(500, np.float16))
    for file in (dump, tmp_path / "dump.npz", tmp_path / "dump.npy"):
        common = ("codec", "eval", file, "--codec", "raw", "--json")
        assert linksim(*common).code == 0
        whole = file.read_bytes()
        for length in (0, 5, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:length])
            linksim(*common).refused(f"{file}: not a whole")
        file.unlink()
        linksim(*common).refused(f"{file}: no such file")
    (tmp_path / "empty").mkdir()
    linksim("codec", "eval", tmp_path / "empty", "--codec", "raw").refused("manifest.json: cannot")
    (tmp_path / "x.bin").write_bytes(b"x")
    linksim("codec", "eval", tmp_path / "x.bin", "--codec", "raw").refused(
        "x.bin: file type '.bin'"
    )


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], object), allow_pickle=True)
    linksim("codec", "eval", tmp_path / "o.npy", "--codec", "raw").refused("o.npy: not a whole")
