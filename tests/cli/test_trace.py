"""`linksim trace`: results on standard output, one sentence and exit code 2 for bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from linksim.cli import main

Linksim = Callable[..., tuple[int, str, str]]
"""Runs `linksim` with arguments; returns exit code, standard output and standard error."""


@pytest.fixture
def linksim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Linksim:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["linksim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    values = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float16)
    np.savez(tmp_path / "dump.npz", first=values, second=values[:2])
    return tmp_path / "dump.npz"


def test_import_verify_and_info(linksim: Linksim, dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "trace [1]"
    code, said, _ = linksim("trace", "import", dump, "--out", out, "--kind", "residual")
    assert (code, said.splitlines()[1]) == (0, "  import: 2 send")
    assert "2 tensors, 2 events" in said
    code, said, _ = linksim("trace", "verify", out)
    assert code == 0
    assert said == f"{out}: whole: 2 tensors, 2 send\n"
    code, said, _ = linksim("trace", "verify", out, "--json")
    assert json.loads(said)["events"] == {"send": 2}

    code, said, _ = linksim("trace", "info", out)
    assert code == 0
    for text in ("residual", "[2, 64] to [4, 64]", "imported from dump.npz", "file_sha256"):
        assert text in said


def test_info_in_json_states_entropies(linksim: Linksim, tmp_path: Path) -> None:
    # Bytes 0x00 and 0x3c of fp16 zeros and ones: a quarter of the bytes is 0x3c.
    values = np.tile(np.array([0, 1], np.float16), 128)
    np.savez(tmp_path / "a.npz", x=values, y=np.arange(16, dtype=np.int8))
    linksim("trace", "import", tmp_path / "a.npz", "--out", tmp_path / "trace")
    code, said, _ = linksim("trace", "info", tmp_path / "trace", "--json")
    assert code == 0
    first, second = json.loads(said)["kinds"]
    assert first["pooled_entropy_bits"] == pytest.approx(0.8112781)
    assert first["exponent_entropy_bits"] == pytest.approx(1.0)
    assert (first["values"], first["nbytes"], first["largest_shape"]) == (256, 512, [256])
    assert (second["dtype"], second["exponent_entropy_bits"]) == ("int8", None)
    assert second["pooled_entropy_bits"] == pytest.approx(4.0)


def test_brackets_in_metadata_are_shown(linksim: Linksim, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    metadata = {"tensor": "residual, [tokens, width]"}
    save_file({"x": np.zeros(2, np.int8)}, tmp_path / "a.safetensors", metadata=metadata)
    linksim("trace", "import", tmp_path / "a.safetensors", "--out", tmp_path / "trace")
    assert metadata["tensor"] in linksim("trace", "info", tmp_path / "trace")[1]


def expect_sentence(result: tuple[int, str, str], *parts: str) -> None:
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("linksim: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_bad_input_gets_one_sentence(linksim: Linksim, dump: Path, tmp_path: Path) -> None:
    out = tmp_path / "trace"
    wide = tmp_path / "wide.npy"
    np.save(wide, np.zeros(3))
    expect_sentence(linksim("trace", "import", wide, "--out", out), "wide.npy", "--dtype")
    expect_sentence(linksim("trace", "import", dump, "--out", out, "--kind", "A"), "kind")
    assert not out.exists()
    assert not (tmp_path / "trace.part").exists()
    assert linksim("trace", "import", dump, "--out", out)[0] == 0
    expect_sentence(linksim("trace", "import", dump, "--out", out), "exists already")
    assert linksim("trace", "import", dump, "--out", out, "--overwrite")[0] == 0

    (out / "tensors.safetensors").unlink()
    for command in ("verify", "info"):
        expect_sentence(linksim("trace", command, out), "tensors.safetensors", "cannot be read")
        expect_sentence(linksim("trace", command, tmp_path / "absent"), "manifest.json")


def test_capture_without_pytorch_says_what_to_install(
    linksim: Linksim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [m for m in sys.modules if m.startswith("linksim.traces.capture")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = linksim(
        "trace", "capture", "--checkpoint", tmp_path, "--text", "t", "--out", tmp_path / "trace"
    )
    expect_sentence(result, "capture needs PyTorch", "pip install 'linksim[capture]'")


def test_capture(linksim: Linksim, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="capture needs PyTorch")
    pytest.importorskip("transformers", reason="capture needs transformers")
    from tests.tiny_gemma import write_checkpoint, write_text

    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    text, out = write_text(tmp_path / "text.txt"), tmp_path / "trace"
    common = ("trace", "capture", "--checkpoint", checkpoint, "--text", text, "--out", out)
    cut = ("--tokens", 8, "--batches", 1, "--tensor-parallel", 2, "--shards", 2)
    code, said, _ = linksim(*common, *cut, "--training-layers", "0,2", "--name", "tiny")
    assert code == 0
    assert said.splitlines()[1:] == [
        "  prefill: 12 compute",
        "  prefill: 6 all_reduce",
        "  pipeline: 2 compute",
        "  pipeline: 1 send",
        "  handoff: 3 compute",
        "  handoff: 6 send",
        "  training: 6 all_gather",
    ]
    assert linksim("trace", "verify", out)[0] == 0
    assert json.loads(linksim("trace", "info", out, "--json")[1])["name"] == "tiny"

    expect_sentence(linksim(*common, *cut), "exists already")
    other = (
        "trace",
        "capture",
        "--checkpoint",
        checkpoint,
        "--text",
        text,
        "--out",
        tmp_path / "other",
    )
    expect_sentence(linksim(*other, "--tensor-parallel", 3), "config.json: num_attention_heads")
    expect_sentence(linksim(*other, "--training-layers", "a"), "--training-layers 'a'")
    expect_sentence(linksim(*other, "--tokens", 999), "text.txt: text is too short")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "other.part").exists()
