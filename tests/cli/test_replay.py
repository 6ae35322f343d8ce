"""`linksim replay`: tables, JSON and files; a refusal is one sentence and leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linksim.replay.run import replay
from linksim.replay.scenario import load_scenario
from linksim.reports.tables import replay_rows
from linksim.traces import Trace
from linksim.traces.store import MANIFEST_NAME
from tests.replay.command import files_under, linksim
from tests.replay.synthetic import FIXED, OFF, scenario_document, write_toml, write_trace

REPLAYED = ["latency.png", "links.csv", "messages.csv", "summary.json"]
SWEPT = ["links.csv", "messages.csv", "summary.json", "sweep.png"]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return write_trace(tmp_path / "trace").path


def write_scene(folder: Path, name: str = "hop", **changes: Any) -> Path:
    document = scenario_document(**{"name": name, "title": f"Scene {name}", **changes})
    return write_toml(folder / f"{name}.toml", document)


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    """A replay of the pipeline phase and a sweep."""
    sweep = {"kind": "residual", "message_nbytes": [64, 1024, 16384]}
    return [
        write_scene(tmp_path),
        write_scene(tmp_path, "sizes", topology="point-to-point", sweep=sweep),
    ]


def test_a_table_per_scenario(trace: Path, scenes: list[Path]) -> None:
    finished = linksim("replay", *scenes, "--trace", trace)
    assert (finished.code, finished.err) == (0, "")
    lines = finished.out.splitlines()
    assert lines[0] == "Trace synthetic: unknown"
    assert lines[1].strip() == "Scene hop"
    expected = replay_rows(replay(load_scenario(scenes[0]), Trace.open(trace)))
    assert expected[1][3] != expected[0][3]
    shown = [[c.strip() for c in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert shown == [list(row) for row in expected]
    assert lines[-1] == "Scene sizes: fixed is faster than off from 1 KiB on."


def test_json_alone_on_standard_output(trace: Path, scenes: list[Path], tmp_path: Path) -> None:
    documents = linksim(
        "replay", *scenes, "--trace", trace, "--json", "--out", tmp_path / "o"
    ).json()
    assert documents == json.loads((tmp_path / "o" / "summary.json").read_text())
    expected = [replay(load_scenario(scene), Trace.open(trace)).document() for scene in scenes]
    assert documents == json.loads(json.dumps(expected))
    assert [run["run"] for run in documents[0]["runs"]] == ["off", "fixed"]


def test_all_results_are_written_and_the_same_every_time(
    trace: Path, scenes: list[Path], tmp_path: Path
) -> None:
    for name in ("first", "out [/b]"):
        finished = linksim("replay", *scenes, "--trace", trace, "--out", tmp_path / name)
        assert finished.code == 0
        assert finished.out.endswith(f"figures are in {tmp_path / name}\n")
    first, second = tmp_path / "first", tmp_path / "out [/b]"
    assert files_under(first) == sorted(
        [
            *("bytes.png", "hop", "latency.png", "sizes", "summary.json", "summary.md"),
            "sweep.png",
            *(f"hop/{name}" for name in REPLAYED),
            *(f"sizes/{name}" for name in SWEPT),
        ]
    )
    assert files_under(second) == files_under(first)
    for name in files_under(first):
        if (first / name).is_file():
            assert (first / name).read_bytes() == (second / name).read_bytes(), name
    page = (first / "summary.md").read_text()
    assert page.startswith("# Replay results\n\nTrace: synthetic: unknown\n")
    assert "## Scene hop" in page
    assert "## Scene sizes" in page


def test_figures_come_only_with_what_they_show(trace: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path)
    assert linksim("replay", scene, "--trace", trace, "--out", tmp_path / "out").code == 0
    assert "sweep.png" not in files_under(tmp_path / "out")
    assert "bytes.png" in files_under(tmp_path / "out")


def change_manifest(trace: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((trace / MANIFEST_NAME).read_text())
    change(manifest)
    (trace / MANIFEST_NAME).write_text(json.dumps(manifest))


def events(manifest: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    return [event for event in manifest["events"] if event["phase"] == phase]


def cycle(phase: str) -> Callable[[dict[str, Any]], None]:
    """A change that lets the first event of *phase* wait for the last one."""

    def change(manifest: dict[str, Any]) -> None:
        chosen = events(manifest, phase)
        chosen[0]["after"] = [chosen[-1]["id"]]

    return change


@pytest.mark.parametrize("phase", ["pipeline", "prefill"])
def test_a_cyclic_schedule_is_refused_wherever_it_is(
    trace: Path, tmp_path: Path, phase: str
) -> None:
    scene = write_scene(tmp_path)
    assert linksim("replay", scene, "--trace", trace).code == 0
    change_manifest(trace, cycle(phase))
    before = files_under(tmp_path)
    finished = linksim("replay", scene, "--trace", trace, "--out", tmp_path / "out")
    finished.refused(str(scene), str(trace / MANIFEST_NAME), "after: dependencies form a cycle: ")
    assert files_under(tmp_path) == before


def test_a_broken_trace_is_named(trace: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path)
    run = ("replay", scene, "--out", tmp_path / "out", "--json", "--trace")
    linksim(*run, tmp_path / "none").refused(f"{tmp_path / 'none' / MANIFEST_NAME}: cannot be read")

    def dangle(manifest: dict[str, Any]) -> None:
        events(manifest, "pipeline")[1]["after"] = ["nobody"]

    change_manifest(trace, dangle)
    linksim(*run, trace).refused("event 'b0.hop1': after: no event is called 'nobody'")
    file = trace / "batch2.safetensors"
    write_trace(trace.with_name("other")).path.rename(trace.with_name("whole"))
    whole = trace.with_name("whole")
    (whole / "batch2.safetensors").write_bytes(file.read_bytes()[:-5])
    linksim(*run, whole).refused("batch2.safetensors: not a whole safetensors file")
    (whole / MANIFEST_NAME).write_text("{")
    linksim(*run, whole).refused(f"{whole / MANIFEST_NAME}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"link": "ucie-6"}, ["link: unknown link 'ucie-6'"]),
        ({"runs": [FIXED]}, ["the first run must be codec 'raw'"]),
        ({"runs": [OFF, {**FIXED, "engine": "gpu"}]}, ["run.1.engine: unknown engine 'gpu'"]),
        ({"phase": "decode"}, ["select.phase: ", "'decode'", "handoff, pipeline, prefill"]),
        ({"from_batch": 0}, ["select.from_batch: ", "before batch 0 to build codebooks on"]),
        ({"topology": "point-to-point"}, ["topology: ", "expected 2 ranks, got 3"]),
        (
            {"sweep": {"kind": "logits", "message_nbytes": [64, 128]}},
            ["sweep.kind: no 'logits'", "kv_key"],
        ),
    ],
)
def test_a_bad_scenario_is_one_sentence_and_leaves_nothing(
    trace: Path, tmp_path: Path, changes: dict[str, Any], parts: list[str]
) -> None:
    good, bad = write_scene(tmp_path), write_scene(tmp_path, "bad", **changes)
    before = files_under(tmp_path)
    for shape in ([], ["--json"]):
        arguments = ("replay", good, bad, "--trace", trace, "--out", tmp_path / "out", *shape)
        linksim(*arguments).refused(f"linksim: {bad}: ", *parts)
    assert files_under(tmp_path) == before


def test_scenarios_of_one_name_are_refused(trace: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path)
    copy = tmp_path / "copy.toml"
    copy.write_text(scene.read_text())
    linksim("replay", scene, copy, "--trace", trace).refused("two scenarios are called 'hop'")
    linksim("replay", tmp_path / "no.toml", "--trace", trace).refused("no.toml: cannot be read")


def test_an_output_that_is_no_folder_is_refused_before_anything_runs(
    trace: Path, tmp_path: Path
) -> None:
    scene = write_scene(tmp_path)
    (tmp_path / "thesis.txt").write_text("years of work")
    for out in (tmp_path / "thesis.txt", tmp_path / "thesis.txt" / "out"):
        linksim("replay", scene, "--trace", trace, "--out", out).refused(
            f"{tmp_path / 'thesis.txt'}: not a folder"
        )
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_failing_halfway_through_a_file_keeps_the_whole_old_one(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, out = write_scene(tmp_path), tmp_path / "out"
    assert linksim("replay", scene, "--trace", trace, "--out", out).code == 0
    old = {name: (out / name).read_bytes() for name in files_under(out) if (out / name).is_file()}

    def full(self: object, row: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device", "messages.csv.part")

    monkeypatch.setattr("csv.DictWriter.writerow", full)
    finished = linksim("replay", scene, "--trace", trace, "--out", out)
    finished.refused("messages.csv.part: No space left on device")
    assert {name: (out / name).read_bytes() for name in old} == old


def test_the_installed_command(trace: Path, scenes: list[Path], tmp_path: Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / "linksim"
    bad = write_scene(tmp_path, "bad", link="ucie-6")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(command), "replay", *map(str, arguments), "--trace", str(trace)]
        return subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603

    done = run(scenes[0], "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["scenario"] == "hop"
    refused = run(bad)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"linksim: {bad}: link: unknown link 'ucie-6'")
    assert refused.stderr.count("\n") == 1
