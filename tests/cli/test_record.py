"""`linksim trace record` and the aging study: results, and one sentence for bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from linksim.cli import main
from linksim.cli.aging import aging_command
from linksim.errors import LinksimError
from tests.traces.archives import KINDS, random_archive

Linksim = Callable[..., tuple[int, str, str]]
"""Runs `linksim` with arguments; returns exit code, standard output and standard error."""


@pytest.fixture
def linksim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Linksim:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["linksim", *map(str, arguments)])
        # What making the checkpoint printed is not ours.
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def inputs(tmp_path: Path) -> list[object]:
    """CHECKPOINT and options of a tiny recording, but for --out."""
    pytest.importorskip("torch", reason="recording needs PyTorch")
    pytest.importorskip("transformers", reason="recording needs transformers")
    from tests.tiny_gemma import write_checkpoint, write_text

    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    text = write_text(tmp_path / "text.txt")
    return [checkpoint, "--text", text, "--tokens", 8, "--shards", 4, "--steps", 2]


def test_record_writes_an_archive(linksim: Linksim, inputs: list[object], tmp_path: Path) -> None:
    out = tmp_path / "new" / "archive [1].npz"
    code, said, error = linksim("trace", "record", *inputs, "-o", out)
    assert (code, error) == (0, "")
    assert said.startswith(f"{out}: ")
    assert "8 kinds, 3 layers, steps 0, 1, 2; loss" in said
    code, said, _ = linksim(
        "trace", "record", *inputs, "-o", out, "--json", "--from-scratch", "--shard-steps", "none",
        "--record-steps", "0,2", "--seed", 4, "--learning-rate", 0.01,
    )  # fmt: skip
    document = json.loads(said)
    assert code == 0
    assert document["nbytes"] == out.stat().st_size
    assert (document["start"], document["steps"], document["shard_steps"]) == (
        "random weights",
        [0, 2],
        [],
    )
    assert (document["seed"], document["learning_rate"]) == (4, 0.01)


def expect_sentence(result: tuple[int, str, str], *parts: str) -> None:
    code, out, error = result
    assert (code, out) == (2, "")
    assert error.startswith("linksim: ")
    assert error.count("\n") == 1
    for part in parts:
        assert part in error


def test_bad_input_is_told_in_one_sentence(
    linksim: Linksim, inputs: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "archive.npz"

    def record(*options: object) -> tuple[int, str, str]:
        return linksim("trace", "record", *inputs, "-o", out, *options)

    expect_sentence(record("--record-steps", "0;1"), "--record-steps '0;1'", "such as 0,1,16")
    expect_sentence(record("--shard-steps", "all"), "--shard-steps 'all'")
    expect_sentence(record("--shards", 5), "intermediate_size: 64", "--shards 5")
    expect_sentence(record("--text", tmp_path / "no.txt"), "no.txt: cannot be read")
    expect_sentence(record("--steps", 1000), "text.txt: text is too short")
    expect_sentence(linksim("trace", "record", *inputs, "-o", tmp_path), "a folder")
    empty = linksim("trace", "record", tmp_path, *inputs[1:], "-o", out)
    expect_sentence(empty, "config.json", "cannot be read")
    assert not list(tmp_path.glob("archive*"))


def test_study_prints_tables_and_json(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(aging_command)
    random_archive().save(tmp_path / "a.npz")
    random_archive(start="random weights", shard_steps=()).save(tmp_path / "b.npz")
    arguments = [str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    drawn = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert drawn == ["aging.png", "kl.png", "layers.png"]
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    document = json.loads(done.stdout)
    assert len(document["runs"]) == 2
    assert document["runs"][0]["views"]["pooled"]["over_steps"].keys() == set(KINDS)
    (tmp_path / "a.npz").write_bytes(b"x")
    with pytest.raises(LinksimError, match=r"a\.npz: not a whole histogram archive"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
