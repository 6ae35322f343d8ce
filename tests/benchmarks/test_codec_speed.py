"""The speed benchmark on tiny sizes: what it races and writes, and that wrong bytes are caught.

Nothing here asks how long anything took.
"""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from linksim.benchmarks import codec_speed, huff0, speed_data
from linksim.benchmarks.codec_speed import SpeedOptions, core_scaling, one_book_codec, race
from linksim.benchmarks.contenders import Codec, Contender, Kernel, Zstd, verify
from linksim.benchmarks.speed_data import (
    FORMS,
    GROUP,
    Source,
    bytes_of,
    group_int8,
    real_sources,
    seeded_sources,
    trace_sources,
)
from linksim.benchmarks.timing import take_turns
from linksim.cli import bench
from linksim.errors import LinksimError
from linksim.tensors.histograms import histogram
from tests.conftest import gaussian
from tests.replay.command import files_under, linksim
from tests.replay.synthetic import write_trace

TINY = SpeedOptions(sizes=(3000, 20_000), rounds=2)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that take no time, and no huff0 whatever the machine has."""
    monkeypatch.setattr(bench, "QUICK", TINY)
    monkeypatch.setattr(bench, "SEEDED_VALUES", 1 << 14)
    monkeypatch.setattr(codec_speed, "REFERENCE_SYMBOLS", 512)
    monkeypatch.setattr(huff0, "ARCHIVE_PLACES", ())


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("speed") / "trace").path


def source(count: int = 4096) -> Source:
    return Source("gauss", "made up", gaussian(count, seed=3), gaussian(count, seed=4))


class Wrong(Zstd):
    """A coder that changes the last byte."""

    name = "wrong"

    def decode(self) -> None:
        super().decode()
        self._decoded[-1] ^= 1


def test_a_contender_that_returns_wrong_bytes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = bytes_of(source(), "e4m3")[0]
    verify(Zstd(symbols), symbols)
    with pytest.raises(LinksimError, match="wrong does not give back the bytes"):
        verify(Wrong(symbols), symbols)
    monkeypatch.setattr(codec_speed, "Zstd", Wrong)
    with pytest.raises(LinksimError, match="wrong does not give back"):
        list(race(source(), "e4m3", None, TINY))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 7, 8192, 8193, 50_000])
def test_kernel_and_codec_round_trip(form: str, count: int) -> None:
    values, earlier = bytes_of(source(), form)
    symbols = np.resize(values, count)
    codec = one_book_codec(histogram(earlier), "pooled", "int8")
    contenders: list[Contender] = [Kernel(codec, symbols), Codec(codec, symbols.view(np.int8))]
    contenders.append(Codec(codec, symbols.view(np.int8), threads=2))
    for contender in contenders:
        verify(contender, symbols)
        first = contender.coded_nbytes
        verify(contender, symbols)
        assert contender.coded_nbytes == first
    kernel, whole, threaded = (contender.coded_nbytes for contender in contenders)
    # A message is its chunks behind a header and an index of them.
    assert whole == threaded == kernel + 8 + 4 * -(-count // 8192)


def test_forms_are_bytes_of_the_values() -> None:
    values, earlier = gaussian(300, seed=1), gaussian(200, seed=2)
    given = Source("g", "", values, earlier)
    patterns = values.view(np.uint16)
    assert bytes_of(given, "bf16 high byte")[0].tolist() == (patterns >> 8).tolist()
    assert bytes_of(given, "bf16 exponent")[0].tolist() == (patterns >> 7 & 0xFF).tolist()
    small = bytes_of(given, "e4m3")[0].view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    ratios = small[small != 0] / values.astype(np.float32)[small != 0]
    assert np.ptp(np.log2(ratios)) < 0.6
    for form in FORMS:
        coded, coded_earlier = bytes_of(given, form)
        assert (coded.size, coded_earlier.size) == (300, 200)
        assert coded.dtype == np.uint8


def test_int8_has_a_scale_per_group() -> None:
    values = np.concatenate([np.linspace(-1, 1, GROUP), 1000 * np.linspace(-1, 0.5, GROUP), [0, 3]])
    coded = group_int8(values.astype(ml_dtypes.bfloat16))
    assert coded.size == 2 * GROUP + 2
    assert np.abs(coded[:GROUP]).max() == np.abs(coded[GROUP : 2 * GROUP]).max() == 127
    assert coded[-2:].tolist() == [0, 127]
    assert group_int8(np.zeros(5, ml_dtypes.bfloat16)).tolist() == [0] * 5


def test_sources_keep_books_and_judgement_apart(trace: Path, tmp_path: Path) -> None:
    (found,) = trace_sources(trace)
    assert found.name == "FFN2 output partial"
    assert "batch 2" in found.what_it_is
    assert found.earlier.size == 2 * found.values.size
    for made in seeded_sources(10_000):
        assert made.values.dtype == ml_dtypes.bfloat16
        assert made.values.tobytes() != made.earlier.tobytes()
    save_file({"a": np.arange(6, dtype=np.float32)}, tmp_path / "m.safetensors")
    (real,) = real_sources(tmp_path)
    assert real.earlier.tolist() == [0, 1, 2]
    assert real.values.tolist() == [3, 4, 5]


def test_tasks_take_turns() -> None:
    order: list[str] = []
    tasks = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = take_turns(tasks, rounds=3)
    assert order == list("ab" * 4)
    assert all(0 <= timing.best_s <= timing.median_s for timing in timings.values())
    assert core_scaling(rounds=1) > 0


@pytest.mark.usefixtures("tiny")
def test_without_huff0_the_peer_is_zstd_and_that_is_said(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    finished = linksim("bench", "codec", "--quick", "--trace", trace, "--out", out)
    assert finished.code == 0
    assert "huff0 is not at hand, so the peer is zstd: no libzstd.a" in finished.err
    assert "zstd level 1" in finished.out
    assert files_under(out) == ["codec.json", "codec.md", "codec.png"]
    document = json.loads((out / "codec.json").read_text())
    assert document["peer"] == "zstd level 1"
    assert {"processor", "cores", "python", "numba", "zstd", "date"} <= document["machine"].keys()
    raced = {(row["source"], row["form"], row["nbytes"]) for row in document["rows"]}
    assert len(document["rows"]) == 2 * len(raced) == 2 * 3 * len(FORMS) * len(TINY.sizes)
    for row in document["rows"]:
        assert row["ratio_best"] > 0
        assert row["ratio_12_bits"] is None
        expected = {"linksim kernel", "linksim codec", "zstd level 1"}
        assert row["contenders"].keys() == row["coded_nbytes"].keys() == expected
        for times in row["contenders"].values():
            assert 0 < times["best_s"] <= times["median_s"]
    assert len(document["whole_tensors"]) == 3 * 3
    assert {row["operation"] for row in document["threads"]} == {"encode", "decode"}
    page = (out / "codec.md").read_text()
    assert "made from" not in page
    assert "the targets, which are ratios to huff0, do not hold" in page
    assert document["machine"]["processor"] in page


@pytest.mark.usefixtures("tiny")
def test_json_is_the_file(trace: Path, tmp_path: Path) -> None:
    save_file({"a": gaussian(600)}, tmp_path / "real.safetensors")
    options = ("--trace", trace, "--out", tmp_path / "out", "--gemma", tmp_path, "--json")
    finished = linksim("bench", "codec", "--quick", *options)
    document = json.loads(finished.out)
    assert json.loads((tmp_path / "out" / "codec.json").read_text()) == document
    assert "real" in {row["source"] for row in document["rows"]}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--libzstd", "{folder}/gone.a"), ("gone.a", "no such file")),
        (("--gemma", "{folder}"), ("no .safetensors files",)),
        (("--trace", "{folder}/none"), ("none", "no such file or trace folder")),
        (("--out", "{folder}/file/deep"), ("file", "not a folder")),
    ],
)
def test_bad_options_end_in_one_sentence(
    trace: Path, tmp_path: Path, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    given = [option.format(folder=tmp_path) for option in options]
    defaults = ["--trace", trace] if "--trace" not in given else []
    defaults += ["--out", tmp_path / "out"] if "--out" not in given else []
    linksim("bench", "codec", "--quick", *defaults, *given).refused(*parts)
    assert files_under(tmp_path) == ["file"]


@pytest.mark.usefixtures("tiny")
def test_a_trace_without_ffn_tensors_is_refused(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_data, "TRACE_KINDS", ("nothing",))
    finished = linksim("bench", "codec", "--trace", trace, "--out", tmp_path / "out")
    finished.refused("holds no FFN tensors of two batches")
