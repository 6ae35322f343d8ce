"""`linksim flash`: files, verdicts and bad input in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linksim.cli import flash
from linksim.flash.processes import Outcome
from tests.flash.test_processes import made_up
from tests.replay.command import files_under, linksim
from tests.replay.synthetic import write_trace

COMPARED = ("--bits", "4", "--group", "32", "--zero", "point", "--algorithm", "two-step")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("flash") / "trace").path


def test_compare_writes_what_it_prints(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    options = (*COMPARED, "--algorithm", "ring", "--out", out)
    document = linksim("flash", "compare", trace, *options, "--json").json()
    assert files_under(out) == ["flash-error.json", "flash-error.png"]
    assert json.loads((out / "flash-error.json").read_text()) == document
    # bf16, then 4 bits without and with spikes; two algorithms; one kind and all of them.
    assert len(document["rows"]) == 3 * 2 * 2
    printed = linksim("flash", "compare", trace, *options)
    assert (printed.code, printed.err) == (0, "")
    assert "4, 32, point, spikes" in printed.out


def test_compare_refuses_bad_input(trace: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "out")
    linksim("flash", "compare", trace, "--bits", "9", *options).refused("bits is 9")
    linksim("flash", "compare", trace, *options).refused("3 ranks", "even number")
    linksim("flash", "compare", trace, "--batch", "8", *options).refused("no all-reduce")
    (tmp_path / "file").write_text("")
    linksim("flash", "compare", trace, "--out", tmp_path / "file").refused("not a folder")


RUN = ("--ranks", "3", "--bits", "5", "--spikes", "--count", "2")


def test_run_judges_the_processes(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "run_processes", lambda work, *_, **__: made_up(work))
    document = linksim("flash", "run", trace, *RUN, "--json").json()
    assert document["holds"]
    assert (document["all_reduces"], len(document["ranks"])) == (2, 3)
    printed = linksim("flash", "run", trace, *RUN)
    assert printed.code == 0
    assert "NO" not in printed.out


def test_run_ends_with_1_if_a_bit_differs(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(work: list, *_: object, **__: object) -> Outcome:
        outcome = made_up(work)
        outcome.results[2][1] = outcome.results[2][1] ^ 1
        return outcome

    monkeypatch.setattr(flash, "run_processes", broken)
    finished = linksim("flash", "run", trace, *RUN)
    assert finished.code == 1
    assert "NO" in finished.out
    document = json.loads(linksim("flash", "run", trace, *RUN, "--json").out)
    assert [rank["differing_values"] for rank in document["ranks"]] == [0, 0, 1000]


def test_run_refuses_bad_input(trace: Path) -> None:
    linksim("flash", "run", trace, "--bits", "1").refused("bits is 1")
    linksim("flash", "run", trace, "--ranks", "19").refused("19 ranks", "18 partial sums")


def test_accuracy_refuses_bad_input(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(bytes(600))
    options = ("--text", text, "--out", tmp_path / "out")
    linksim("flash", "accuracy", *options).refused("600 bytes: expected 16416 or more")
    linksim("flash", "accuracy", *options, "--algorithm", "tree").refused("'tree'")
    linksim("flash", "accuracy", *options, "--scale", "fp8").refused("scale 'fp8'")
    linksim("flash", "accuracy", *options, "--symmetric").refused("symmetric", "other than own")
    linksim(
        "flash", "accuracy", *options, "--context", "8", "--bytes", "16", "--model", tmp_path
    ).refused("model.safetensors: cannot be read")


def test_accuracy_scores_a_model_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the model needs PyTorch")
    pytest.importorskip("transformers", reason="the model needs transformers")
    from tests.tiny_gemma import write_checkpoint, write_text

    model, text = write_checkpoint(tmp_path / "model"), write_text(tmp_path / "text.txt", 900)
    out = tmp_path / "out"
    options = ("--model", model, "--text", text, "--out", out, "--context", "16", "--bytes", "64")
    grid = ("--ranks", "2", "--bits", "2", "--group", "32", "--algorithm", "ring")
    document = linksim("flash", "accuracy", *options, *grid, "--json").json()
    assert files_under(out) == ["flash-accuracy.json", "flash-accuracy.png"]
    # bf16, then 2 bits without and with spikes.
    assert len(document["rows"]) == 3
    longer = (*options, *grid, "--bits", "5")
    assert len(linksim("flash", "accuracy", *longer, "--json").json()["rows"]) == 5
    printed = linksim("flash", "accuracy", *longer)
    assert (printed.code, printed.err) == (0, "")
    assert "2, 5, 32, point, spikes" in printed.out
    scaled = (*options, *grid, "--scale", "bf16", "--scale", "e8m0", "--symmetric")
    assert len(linksim("flash", "accuracy", *scaled, "--json").json()["rows"]) == 7
    assert "2, 2, 32, symmetric, e8m0 scale" in linksim("flash", "accuracy", *scaled).out
    # A figure of nothing but another scale format.
    alone = (*scaled, "--out", tmp_path / "alone")
    assert len(linksim("flash", "accuracy", *alone, "--json").json()["rows"]) == 3
