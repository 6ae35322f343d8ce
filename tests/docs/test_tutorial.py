"""The tutorial, done step by step in a temporary folder."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from linksim.cli import main
from linksim.traces import TraceWriter
from linksim.traces.manifest import CommunicationEvent
from tests.conftest import gaussian
from tests.docs.pages import ROOT, blocks, text

BEFORE_CAPTURE, CAPTURE = text("tutorial.md").split("## 7. Capture")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a clone's root, with a tiny trace in place of the bundled one; we are in it."""
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "scenarios").symlink_to(ROOT / "traces" / "scenarios")
    with TraceWriter(tmp_path / "traces" / "bundled", "tiny") as writer:
        for batch in range(3):
            name = writer.add_tensor(
                f"b{batch}.residual", gaussian(2048, seed=batch), kind="residual", batch=batch
            )
            writer.add_event(
                CommunicationEvent(
                    op="send",
                    id=f"{name}.send",
                    ranks=("stage0", "stage1"),
                    tensors={"stage0": name},
                    phase="pipeline",
                    batch=batch,
                )
            )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def follow(markdown: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Do what a page says: write its TOML files, run its Python and its linksim commands."""
    done = []
    for language, body in blocks(markdown):
        if language == "python":
            exec(body, {})  # noqa: S102
        elif language == "toml":
            first = body.partition("\n")[0].removeprefix("# ")
            name = first.removesuffix(", continued")
            with Path(name).open("w" if name == first else "a") as file:
                file.write(body)
        elif language == "sh":
            for line in body.replace("\\\n", " ").splitlines():
                if line.startswith("linksim "):
                    _run(line, monkeypatch)
                    done.append(line)
    return done


def _run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code, line


def test_every_step_before_capture(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = follow(BEFORE_CAPTURE, monkeypatch)
    assert len(done) > 10
    assert (clone / "build" / "sizes" / "sweep.png").is_file()
    shown = [line for line in BEFORE_CAPTURE.splitlines() if re.match(r"\| [a-z-]+ \|", line)]
    written = (clone / "build" / "mine" / "summary.md").read_text().splitlines()
    assert shown == [line for line in written if re.match(r"\| [a-z-]+ \|", line)]


def test_capture(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.tiny_gemma import write_checkpoint, write_text

    write_checkpoint(clone / "gemma-2b", max_position_embeddings=256)
    write_text(clone / "book.txt", 2000)
    assert len(follow(CAPTURE, monkeypatch)) == 3
    assert (clone / "build" / "gemma-2b-results" / "latency.png").is_file()
