"""The Huffman study: closed forms, books of earlier batches alone, and nothing left uncounted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from linksim.codecs import CODECS, HuffmanFixed, build_codebook, is_lossless, takes_codebooks
from linksim.codecs.chunked import RUN_SYMBOLS
from linksim.codecs.evaluation import evaluate
from linksim.errors import LinksimError
from linksim.studies import huffman
from linksim.studies.huffman import (
    STUDIED_CODECS,
    STUDIED_DTYPES,
    HuffmanStudy,
    Options,
    PartialRows,
    convert,
)
from linksim.studies.huffman_figures import huffman_figure
from linksim.studies.huffman_rows import (
    Coded,
    Form,
    Results,
    results_document,
    results_json,
    with_totals,
)
from linksim.studies.huffman_tables import study_markdown
from linksim.studies.published import PUBLISHED
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import symbol_view
from linksim.traces.sources import SourceTensor
from tests.conftest import gaussian

POOLED, EXPONENT = Form("bf16", "none", "pooled"), Form("bf16", "none", "exponent")
FIXED_ONLY = Options(dtypes=("bf16",), codecs=("huffman-fixed",))

CODEC_COLUMNS = {
    "kind",
    "dtype",
    "scaling",
    "view",
    "codec",
    "books",
    "encoded_nbytes",
    "framing_nbytes",
    "saved_percent",
    "compressibility_percent",
    "above_huffman_percent",
    "above_tensor_huffman_percent",
    "above_shannon_percent",
    "above_tensor_shannon_percent",
    "gap_framing_percent",
    "gap_huffman_redundancy_percent",
    "gap_mismatch_percent",
    "gap_rest_percent",
}
BOUNDS_COLUMNS = {
    "kind",
    "dtype",
    "scaling",
    "view",
    "tensors",
    "messages",
    "smallest_message_nbytes",
    "values",
    "raw_nbytes",
    "scale_nbytes",
    "symbol_bits",
    "symbols",
    "rest_nbytes",
    "entropy_nbytes",
    "rest_entropy_nbytes",
    "huffman_nbytes",
    "huffman_code_nbytes",
    "tensor_shannon_nbytes",
    "tensor_code_nbytes",
    "shannon_nbytes",
    "tensor_huffman_nbytes",
    "ideal_compressibility_percent",
    "huffman_compressibility_percent",
}


def source(
    values: np.ndarray, batch: int, layer: int | None = 0, kind: str = "residual", name: str = ""
) -> SourceTensor:
    return SourceTensor(name or f"b{batch}.l{layer}", "trace", kind, batch, layer, values)


def three_batches(values: Sequence[np.ndarray]) -> list[SourceTensor]:
    """One tensor per batch."""
    return [source(of_batch, batch) for batch, of_batch in enumerate(values)]


def dyadic(seed: int) -> np.ndarray:
    """bf16 [65536] whose bytes have the probabilities 1/128, 1/256 and 1/512, exactly."""
    counts = np.repeat([1024, 512, 256], [64, 64, 128])
    drawn = np.random.default_rng(seed).permutation(np.repeat(np.arange(256), counts))
    return drawn.astype(np.uint8).view(ml_dtypes.bfloat16)


def run(
    tensors: Sequence[SourceTensor], form: Form, options: Options = FIXED_ONLY
) -> dict[str, Coded]:
    """Rows of the only kind by codec, or by choice of books behind the first."""
    rows = HuffmanStudy(tensors, options).run(tensors[0].kind, form)
    first = {row.codec: row for row in reversed(rows)}
    return first | {f"{row.codec} {row.books}": row for row in rows}


def test_a_known_distribution_has_its_entropy_and_its_own_book_is_its_huffman_code() -> None:
    row = run(three_batches([dyadic(0), dyadic(1), dyadic(2)]), POOLED)["huffman-fixed"]
    of = row.bounds
    assert (of.values, of.symbols, of.raw_nbytes) == (65536, 131072, 131072)
    assert 8 * of.entropy_nbytes / of.symbols == pytest.approx(7.75)
    assert of.huffman_code_nbytes == pytest.approx(of.entropy_nbytes)
    # The books of the first two batches have the same code as the third batch itself.
    assert row.encoded_nbytes == of.huffman_nbytes
    assert row.above_huffman_percent == 0
    assert row.compressibility_percent == pytest.approx(100 * (8 - 7.75) / 8, abs=0.01)
    parts = row.gap_parts_percent
    assert parts is not None
    assert parts["huffman_redundancy"] == pytest.approx(0)
    assert parts["rest"] == 0
    assert 0 <= parts["mismatch"] < 0.01, "nothing but padding to bytes"
    assert parts["framing"] == pytest.approx(100 * row.framing_nbytes / of.entropy_nbytes)


def test_rest_bytes_count_with_their_entropy() -> None:
    # 1, 2, 4 and 8 with probabilities 1/2, 1/4, 1/8, 1/8: 1.75 bits of exponent, nothing else.
    powers = np.repeat([1.0, 2.0, 4.0, 8.0], [32768, 16384, 8192, 8192]).astype(ml_dtypes.bfloat16)
    row = run(three_batches([powers] * 3), EXPONENT)["huffman-fixed"]
    of = row.bounds
    assert 8 * of.shannon_nbytes / of.values == pytest.approx(1.75 + 0)
    assert of.rest_nbytes == of.values
    assert row.encoded_nbytes == row.framing_nbytes + row.code_nbytes + of.values
    parts = row.gap_parts_percent
    assert parts is not None
    assert parts["rest"] == pytest.approx(100 * 8 / 1.75)
    uniform = np.random.default_rng(3).integers(0, 65536, 65536).astype(np.uint16)
    of = run(three_batches([uniform.view(ml_dtypes.bfloat16)] * 3), EXPONENT)[
        "huffman-fixed"
    ].bounds
    assert 8 * of.rest_entropy_nbytes / of.values == pytest.approx(8, abs=0.01)
    assert of.shannon_nbytes == pytest.approx(of.entropy_nbytes + of.rest_entropy_nbytes)


@pytest.mark.parametrize("form", [POOLED, EXPONENT])
def test_books_are_made_of_earlier_batches_alone(form: Form) -> None:
    tensors = three_batches([gaussian(40_000, b, scale) for b, scale in enumerate((1, 1, 30))])
    row = run(tensors, form)["huffman-fixed"]
    view = symbol_view(form.view, number_format("bf16"))
    earlier = [histogram(view.split(t.values)[0]) for t in tensors[:2]]
    codec = HuffmanFixed([build_codebook("b", view, "residual", earlier)])
    assert row.encoded_nbytes == len(codec.encode(tensors[2].values))
    # The judged batch has another scale: a book that had seen it would be far better.
    every = [*earlier, histogram(view.split(tensors[2].values)[0])]
    leaked = HuffmanFixed([build_codebook("b", view, "residual", every)])
    assert row.encoded_nbytes > 1.01 * leaked.encoded_nbytes(tensors[2].values)
    assert row.above_huffman_percent > 3


@pytest.mark.parametrize("form", [POOLED, EXPONENT, Form("e4m3", "tensor", "pooled")])
def test_figures_are_those_of_evaluate_and_parts_add_up(form: Form) -> None:
    tensors = three_batches([gaussian(70_000, seed) for seed in range(3)])
    codecs = tuple(codec for codec in CODECS if codec != "raw" and is_lossless(codec))
    options = Options(dtypes=(form.dtype,), views=(form.view,), codecs=codecs)
    rows = run(tensors, form, options)
    values = convert(tensors[2], form)[0]
    view = symbol_view(form.view, number_format(form.dtype))
    codec = HuffmanFixed([build_codebook("b", view, "k", [histogram(view.split(values)[0])])])
    expected = evaluate("t", "residual", values, codec, view)
    for row in rows.values():
        assert row.bounds.huffman_nbytes == expected.huffman_nbytes
        assert row.bounds.shannon_nbytes == pytest.approx(expected.shannon_nbytes)
        assert row.bounds.raw_nbytes == expected.raw_nbytes
        assert row.above_tensor_huffman_percent == pytest.approx(row.above_huffman_percent)
        assert row.above_tensor_shannon_percent == pytest.approx(row.above_shannon_percent)
        if row.gap_parts_percent is not None:
            assert sum(row.gap_parts_percent.values()) == pytest.approx(row.above_shannon_percent)
    for codec_id in codecs:
        separable = rows[codec_id].compressibility_percent is not None
        assert separable == (codec_id not in ("zstd", "zlib-huffman"))
    assert rows["huffman-three-stage"].framing_nbytes > rows["huffman-fixed"].framing_nbytes


def test_one_book_per_kind_pays_for_layers_of_different_scale() -> None:
    tensors = [
        source(gaussian(40_000, 10 * batch + layer, 4.0**layer), batch, layer)
        for batch in range(3)
        for layer in range(2)
    ]
    rows = run(tensors, EXPONENT)
    per_layer, per_kind = rows["huffman-fixed layer"], rows["huffman-fixed kind"]
    assert rows["huffman-fixed"] is per_layer
    assert abs(per_layer.above_huffman_percent) < 0.2
    assert per_kind.above_huffman_percent > 2
    assert rows["huffman-fixed biased"].encoded_nbytes <= per_layer.encoded_nbytes
    assert (per_layer.bounds.tensors, per_layer.bounds.messages) == (2, 2)


def test_layers_that_share_a_message_keep_their_books() -> None:
    tensors = [
        source(gaussian(8192, 10 * batch + layer, 16.0**layer), batch, layer)
        for batch in range(3)
        for layer in range(4)
    ]
    row = run(tensors, EXPONENT)["huffman-fixed"]
    assert (row.bounds.messages, row.bounds.smallest_message_nbytes) == (1, 65536)
    # One code for all four layers is far longer than theirs; one per tensor is as long.
    assert row.above_huffman_percent < -5
    assert row.bounds.tensor_huffman_nbytes < 0.95 * row.bounds.huffman_nbytes
    assert 0 < row.above_tensor_huffman_percent < 1
    assert 0 < row.above_tensor_shannon_percent < 2


def test_scales_are_counted_apart() -> None:
    tensors = three_batches([gaussian(40_000, seed) for seed in range(3)])
    for form, scales in (
        (Form("e2m1", "tensor", "pooled"), 1),
        (Form("e2m1", "block", "pooled"), 1250),
    ):
        of = run(tensors, form, replace(FIXED_ONLY, dtypes=("e2m1",)))["huffman-fixed"].bounds
        assert (of.scale_nbytes, of.raw_nbytes, of.symbol_bits) == (scales, 20_000, 4)


def test_every_form_and_codec_is_studied() -> None:
    options = Options()
    assert [form.label for form in options.forms] == [
        "bf16 pooled",
        "bf16 byte-planes",
        "bf16 exponent",
        "e4m3",
        "e3m2",
        "e3m2 in blocks",
        "e2m3",
        "e2m3 in blocks",
        "e2m1",
        "e2m1 in blocks",
    ]
    assert set(STUDIED_CODECS) == {c for c in CODECS if c != "raw" and is_lossless(c)}
    assert [books for codec, books in options.variants if codec == "huffman-fixed"] == [
        "layer",
        "kind",
        "biased",
    ]
    assert {b for c, b in options.variants if not takes_codebooks(c)} == {"none"}


class _EncodedError(Exception):
    pass


def test_a_study_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out" / "part.json"
    tensors = three_batches([gaussian(3000, seed) for seed in range(3)])
    first = HuffmanStudy(tensors, FIXED_ONLY, PartialRows.load(path)).run("residual", POOLED)

    def refuse(*_: Any) -> None:
        raise _EncodedError

    monkeypatch.setattr(huffman, "evaluate", refuse)
    again = HuffmanStudy(tensors, FIXED_ONLY, PartialRows.load(path))
    assert again.run("residual", POOLED) == first
    # Another form, tensor, batch, codec or message size is another row.
    with pytest.raises(_EncodedError):
        again.run("residual", EXPONENT)
    for changed, options in (
        ([*tensors[:2], replace(tensors[2], values=gaussian(3000, 9))], FIXED_ONLY),
        ([replace(tensors[0], values=gaussian(3000, 9)), *tensors[1:]], FIXED_ONLY),
        (tensors, replace(FIXED_ONLY, from_batch=1)),
        (tensors, replace(FIXED_ONLY, codecs=("dual-length",))),
        (tensors, replace(FIXED_ONLY, message_nbytes=100)),
    ):
        with pytest.raises(_EncodedError):
            HuffmanStudy(changed, options, PartialRows.load(path)).run("residual", POOLED)
    # So is what a codec puts around its chunks.
    with monkeypatch.context() as other:
        other.setitem(RUN_SYMBOLS, "bulk", 64)
        with pytest.raises(_EncodedError):
            HuffmanStudy(tensors, FIXED_ONLY, PartialRows.load(path)).run("residual", POOLED)
    path.write_text("{")
    assert PartialRows.load(path).rows == {}
    PartialRows.load(path).remove()
    assert not path.exists()


def small_study() -> Results:
    tensors = [
        source(gaussian(4000, 10 * batch + place), batch, 0, kind, f"b{batch}.{kind}")
        for batch in range(3)
        for place, kind in enumerate(("residual", "ffn1_activation"))
    ]
    options = Options(dtypes=("bf16", "e4m3"), codecs=("huffman-fixed", "dual-length", "zstd"))
    study = HuffmanStudy(tensors, options)
    return Results(with_totals(row for part in study.parts for row in study.run(*part)))


def test_documents_have_all_columns_and_sums() -> None:
    results = small_study()
    document = json.loads(results_json(results_document(results.rows, {"origin": "x"})))
    assert document["origin"] == "x"
    assert set(document["codecs"]["columns"]) == CODEC_COLUMNS
    assert set(document["bounds"]["columns"]) == BOUNDS_COLUMNS
    rows = [
        dict(zip(document["codecs"]["columns"], r, strict=True)) for r in document["codecs"]["rows"]
    ]
    assert len(rows) == 3 * 4 * 5
    for row in rows:
        if row["kind"] == "all":
            same = ("dtype", "scaling", "view", "codec", "books")
            parts = [r for r in rows if all(r[k] == row[k] for k in same) and r is not row]
            assert row["encoded_nbytes"] == sum(part["encoded_nbytes"] for part in parts)
            assert len(parts) == 2


def test_page_and_figure_say_what_is_there_and_are_the_same_again(tmp_path: Path) -> None:
    results = small_study()
    page = study_markdown(results, "Trace x: y", 2)
    for text in ("Trace x: y", "ffn1_activation", "### e4m3", "dual-length", "read in the source"):
        assert text in page
    assert not [line for line in page.splitlines() if line != line.rstrip()]
    assert f"{PUBLISHED[1].compressibility_percent} %" in page
    drawn = []
    for _ in range(2):
        huffman_figure(results, "Trace x: y", tmp_path / "f.png")
        drawn.append((tmp_path / "f.png").read_bytes())
    assert drawn[0] == drawn[1]
    assert study_markdown(small_study(), "Trace x: y", 2) == page


def test_a_study_without_fixed_books_still_has_a_page(tmp_path: Path) -> None:
    tensors = three_batches([gaussian(500, seed) for seed in range(3)])
    study = HuffmanStudy(tensors, Options(dtypes=("e2m1",), codecs=("zstd",)))
    results = Results(with_totals(row for part in study.parts for row in study.run(*part)))
    assert "e2m1" in study_markdown(results, "", 2)
    huffman_figure(results, "", tmp_path / "f.png")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dtypes": ("int8",)}, "float format"),
        ({"dtypes": ("fp17",)}, "unknown dtype 'fp17'"),
        ({"views": ("nibbles",)}, "unknown view 'nibbles'"),
        ({"codecs": ("lzma",)}, "unknown codec 'lzma'"),
    ],
)
def test_unknown_names_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        Options(**options)


def test_tensors_that_cannot_be_judged_are_named() -> None:
    tensors = three_batches([gaussian(100)] * 3)
    with pytest.raises(LinksimError, match="no tensor to judge from batch 3 on"):
        HuffmanStudy(tensors, replace(FIXED_ONLY, from_batch=3))
    with pytest.raises(LinksimError, match="no tensor of kind 'x': expected residual"):
        HuffmanStudy(tensors, replace(FIXED_ONLY, kinds=("x",)))
    with pytest.raises(LinksimError, match="'residual' has no tensor before batch 2"):
        HuffmanStudy(tensors[2:], FIXED_ONLY)
    narrow = three_batches([gaussian(100).astype(ml_dtypes.float8_e4m3fn)] * 3)
    with pytest.raises(LinksimError, match=r"'b0\.l0' is e4m3: bf16 is wider"):
        run(narrow, POOLED)
    infinite = three_batches([np.full(9, np.inf, ml_dtypes.bfloat16)] * 3)
    with pytest.raises(LinksimError, match=r"'b0\.l0': a tensor with NaN or infinity"):
        run(infinite, Form("e4m3", "tensor", "pooled"), replace(FIXED_ONLY, dtypes=("e4m3",)))


def test_a_tensor_of_the_format_itself_stays_as_it_is() -> None:
    values = gaussian(100).astype(ml_dtypes.float8_e4m3fn)
    found, scales = convert(source(values, 0), Form("e4m3", "tensor", "pooled"))
    assert found is values
    assert scales == 0
    assert convert(source(gaussian(100), 0), Form("fp16", "none", "pooled"))[0].dtype == np.float16
    assert STUDIED_DTYPES[0] == "bf16"
