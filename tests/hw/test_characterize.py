"""Records, tables and figure say what was found of the cores."""

from __future__ import annotations

import json

import pytest
from PIL import Image

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from hw import characterize
from hw.characterization.drawing import draw
from hw.characterization.figures import Characterized, characterized, clock_hz
from hw.characterization.records import write_records
from hw.characterization.tables import between_marks, markdown, with_records
from hw.cores import CONFIGURATIONS, names, selected
from hw.long_run.subjects import SUBJECTS
from linksim.engines import engine_record

# Some cores are built for their shape alone.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

KNOWN = {one.name: one for one in CONFIGURATIONS}


def test_names_are_chosen_in_their_own_order():
    assert [one.name for one in selected([])] == list(names())
    assert [one.name for one in selected(names()[3:1:-1])] == list(names()[2:4])
    assert selected([f"{names()[3]} {names()[2]}", names()[1]]) == CONFIGURATIONS[1:4]
    assert {one.kind for one in CONFIGURATIONS} >= SUBJECTS.keys()
    assert len(set(names())) == len(names())
    with pytest.raises(ValueError, match="unknown core 'x': expected one of huffman-encoder-w4"):
        selected(["x"])


def fabricated(name: str, path_ps: float) -> Characterized:
    spread = {"low": 14, "mean": 15.25, "high": 17}
    run = {
        "messages": 600,
        "values": 9_338_880,
        "cycles": 300_000,
        "values_per_cycle": 31.13,
        "bytes_per_cycle": 62.26,
        "stalls": 300,
        "latency": spread,
        "flush": spread,
        "beyond_rate": 13,
        "wrong": [],
    }
    cells = {"area_um2": 8748.0, "kge": 100.0, "flops": 9000}
    cells |= {"critical_path_ps": path_ps - 20, "port_path_ps": path_ps}
    return Characterized(KNOWN[name], run, {"asap7": cells, "memory_bits": 2048})


CORES = [fabricated("huffman-encoder-w32", 430), fabricated("speculative-decoder-w32", 470)]


@pytest.mark.parametrize(
    ("path_ps", "ghz"), [(499, 1.0), (501, 0.9), (430, 1.1), (361, 1.3), (9000, 0.1)]
)
def test_clock_is_half_of_the_paths_rounded_down(path_ps, ghz):
    assert clock_hz(path_ps) == round(ghz * 1e9)


def test_records_load_and_name_their_evidence(tmp_path):
    assert write_records(CORES, tmp_path) == ["huffman-w32-speculative"]
    record = engine_record(tmp_path / "huffman-w32-speculative.toml")
    assert record.encoder.clock_hz == record.decoder.clock_hz == 10**9
    assert record.encoder.bytes_per_cycle == 62
    assert record.encoder.latency_cycles == 13
    assert record.encoder.first_output_cycles.mean == 15.25
    assert record.encoder.start_cycles == 0.5
    assert (record.encoder.area_um2, record.encoder.critical_path_ps) == (8748, 430)
    fields = {evidence.field for evidence in record.evidence}
    for side in ("encoder", "decoder"):
        for field in ("latency_cycles", "bytes_per_cycle", "clock_hz", "area_um2"):
            assert f"{side}.{field}" in fields
    assert any("huffman-encoder-w32" in evidence.value for evidence in record.evidence)
    assert write_records(CORES[:1], tmp_path) == []


def test_cores_that_were_wrong_are_left_out():
    runs = {core.name: dict(core.run) for core in CORES}
    runs["speculative-decoder-w32"]["wrong"] = ["a tensor"]
    left = characterized(CONFIGURATIONS, runs, {})
    assert [core.name for core in left] == ["huffman-encoder-w32"]
    assert left[0].clock_hz is None


def test_table_and_pages():
    table = markdown(CORES)
    assert "| `huffman-encoder-w32` | 31.13 | 14 / 15.2 / 17 |" in table
    assert "| 2.0 | 100.0 | 430 | 1.1 | 68.5 |" in table
    page = "a\n<!-- characterized -->\nold\n<!-- /characterized -->\nb\n"
    once = between_marks(page, table)
    assert table in once
    assert "old" not in once
    assert between_marks(once, table) == once
    assert between_marks("no marks", table) == "no marks"


def test_rows_of_records_are_replaced():
    page = "| `single-stage-w32` | x |\n| `ideal` | any |\n\n| `ideal` | evidence |\n"
    once = with_records(page, ["single-stage-w32"])
    assert once.startswith("| `single-stage-w32` | `huffman-fixed` | 64 | 17 | 64 | 16 | 1 |")
    assert with_records(once, ["single-stage-w32"]) == once


def test_command_writes_records_table_and_figure(tmp_path, monkeypatch, capsys):
    results, hardware, engines = (tmp_path / name for name in ("results", "hw.md", "engines.md"))
    records = tmp_path / "records"
    for name, value in (("RESULTS", results), ("HARDWARE_PAGE", hardware), ("RECORDS", records)):
        monkeypatch.setattr(characterize, name, value)
    monkeypatch.setattr(characterize, "RECORDS_PAGE", engines)
    monkeypatch.setattr(characterize, "run_missing", lambda *_: None)
    monkeypatch.setattr(characterize, "with_records", lambda page, names: page + ", ".join(names))
    results.mkdir()
    records.mkdir()
    runs = {core.name: {**core.run, "digest": "1"} for core in CORES}
    (results / "long-run.json").write_text(json.dumps(runs))
    built = {CORES[0].name: {**CORES[0].synthesis, "digest": "1"}}
    built[CORES[1].name] = {**CORES[1].synthesis, "digest": "0"}
    (results / "synthesis.json").write_text(json.dumps({"cores": built}))
    hardware.write_text("<!-- characterized -->\n<!-- /characterized -->\n")
    engines.write_text("records: ")
    assert characterize.main([]) == 0
    assert [path.name for path in records.iterdir()] == ["huffman-w32-speculative.toml"]
    assert engines.read_text() == "records: huffman-w32-speculative"
    assert (results / "cores.md").read_text() in hardware.read_text()
    assert (results / "cores.png").stat().st_size > 3_000
    assert "speculative-decoder-w32: no area of this version" in capsys.readouterr().err


def test_figure_is_small_and_drawn(tmp_path):
    path = tmp_path / "cores.png"
    draw(CORES, path)
    assert path.stat().st_size < 100_000
    with Image.open(path) as image:
        assert image.size[0] > 800
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20
