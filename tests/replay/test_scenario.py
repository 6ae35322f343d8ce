"""Scenario files: every wrong field ends in one sentence that names the file and the field."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.links import link_preset
from linksim.replay.run import replay
from linksim.replay.scenario import load_scenario
from linksim.traces import Trace
from tests.conftest import ROOT
from tests.replay.synthetic import FIXED, OFF, scenario_document, write_toml

Document = dict[str, Any]
SWEEP = {"kind": "residual", "message_nbytes": [64, 128]}
W32 = "single-stage-w32"


def refuse(path: Path, *parts: str) -> str:
    """Expect `load_scenario` to refuse *path* in one sentence that has all *parts* in it."""
    with pytest.raises(LinksimError) as caught:
        load_scenario(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    for part in parts:
        assert part in sentence, sentence
    return sentence


def set_at(*where: Any) -> Callable[[Document], None]:
    """A change that sets the field at where[:-1] to where[-1]."""

    def change(document: Any) -> None:
        for part in where[:-2]:
            document = document[part]
        document[where[-2]] = where[-1]

    return change


def drop(field: str) -> Callable[[Document], None]:
    return lambda document: document.pop(field)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (drop("name"), ["name: Field required"]),
        (drop("select"), ["select: Field required"]),
        (drop("run"), ["run: Field required"]),
        (set_at("run", []), ["run: "]),
        (set_at("run", "off"), ["run: "]),
        (set_at("run", ["off"]), ["run.0: "]),
        (set_at("name", "Upper Case"), ["name: "]),
        (set_at("title", ""), ["title: "]),
        (set_at("surprise", 1), ["surprise: "]),
        (set_at("select", "surprise", 1), ["select.surprise: "]),
        (set_at("select", "from_batch", -1), ["select.from_batch: "]),
        (set_at("select", "from_batch", "two"), ["select.from_batch: "]),
        (set_at("topology", "torus"), ["topology: ", "'ring'"]),
        (set_at("codebooks", "tensor"), ["codebooks: ", "'layer'"]),
        (set_at("link", "ucie-6"), ["link: unknown link 'ucie-6'", "ucie-advanced-x64-32"]),
        (set_at("link", 7), ["link: "]),
        (set_at("link", "none.toml"), ["link: ", "none.toml: cannot read the link"]),
        (set_at("run", 1, "codec", "lzma"), ["run.1: ", "unknown codec 'lzma'", "huffman-fixed"]),
        (set_at("run", 1, "view", "nibbles"), ["run.1: ", "unknown view 'nibbles'", "pooled"]),
        (set_at("run", 1, "profile", "jumbo"), ["run.1: ", "unknown profile 'jumbo'", "bulk"]),
        (set_at("run", 1, "engine", "gpu"), ["run.1.engine: unknown engine 'gpu'", W32]),
        (set_at("run", 1, "engine", "ideal*0"), ["run.1.engine: ", "'ideal' times 0"]),
        (set_at("run", 1, "engine", "ideal*x"), ["run.1.engine: ", "'ideal*x'"]),
        (set_at("run", 1, "engine", "a.toml*2"), ["run.1.engine: ", "a.toml: cannot read"]),
        (
            set_at("run", 1, "engine", "three-stage-w32"),
            ["run.1.engine: run 'fixed'", "huffman-three-stage: not codec 'huffman-fixed'"],
        ),
        (
            set_at("run", 1, {**FIXED, "engine": W32, "view": "pooled"}),
            ["run.1.engine: run 'fixed'", "views exponent, byte-planes: not 'pooled'"],
        ),
        (set_at("run", 1, {**FIXED, "engine": None}), ["run.1: ", "'fixed'", "an engine"]),
        (set_at("run", 0, "engine", "ideal"), ["run.0: ", "'off'", "'raw' needs no engine"]),
        (set_at("run", 1, "name", "off"), ["two runs have the same name"]),
        (set_at("run", [FIXED, OFF]), ["the first run must be codec 'raw'"]),
        (set_at("sweep", {**SWEEP, "message_nbytes": [64]}), ["sweep.message_nbytes: "]),
        (set_at("sweep", {**SWEEP, "message_nbytes": [8, 64]}), ["sweep.message_nbytes.0: "]),
        (set_at("sweep", {**SWEEP, "message_nbytes": [64, 1 << 40]}), ["message_nbytes.1: "]),
        (set_at("sweep", {**SWEEP, "message_nbytes": [64, 64]}), ["message_nbytes: ", "once"]),
        (set_at("sweep", {**SWEEP, "message_nbytes": [128, 64]}), ["message_nbytes: ", "rising"]),
        (set_at("sweep", {"message_nbytes": [64, 128]}), ["sweep.kind: Field required"]),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, change: Callable[[Document], None], parts: list[str]
) -> None:
    document = scenario_document()
    change(document)
    for run in document.get("run", []):
        if isinstance(run, dict) and run.get("engine", "") is None:
            del run["engine"]
    refuse(write_toml(tmp_path / "scene.toml", document), *parts)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name = ", "not a TOML file"),
        (b"[[run]\n", "not a TOML file"),
        (b'name = "a"\nname = "b"\n', "not a TOML file"),
        (b"\xff\xfe\x00", "cannot be read as a scenario"),
        (b"", "Field required"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "scene.toml").write_bytes(content)
    refuse(tmp_path / "scene.toml", problem)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    refuse(tmp_path / "none.toml", "cannot be read as a scenario: No such file")
    refuse(tmp_path, "cannot be read as a scenario: Is a directory")


LINK: Document = {
    "name": "mine",
    "description": "A test link.",
    "lanes": 64,
    "rate_gtps": 32,
    "latency_ns": 2.0,
    "credits": 16,
    "flit": {"name": "256 B", "nbytes": 256, "payload_nbytes": 250},
}


def test_a_link_file_lies_relative_to_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic_trace: Trace
) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_toml(folder / "mine.toml", LINK)
    (folder / "engine.toml").write_text(
        (ROOT / "linksim" / "engines" / "records" / "ideal.toml").read_text()
    )
    run = {**FIXED, "engine": "engine.toml*3"}
    document = scenario_document("pipeline", [OFF, run], link="mine.toml")
    file = write_toml(folder / "scene.toml", document)
    monkeypatch.chdir(tmp_path)
    for path in (file, Path("scenes/scene.toml")):
        result = replay(load_scenario(path), synthetic_trace)
        assert result.link.name == "mine"
        # 25 flits of 1 ns and a flight of 2 ns.
        assert result.metrics[0].event_p50_ps == 27_000
        assert result.metrics[1].engine == "ideal*3"
    monkeypatch.chdir(folder)
    assert load_scenario(Path("scene.toml")).link == "mine.toml"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (set_at("rate_gtps", 32_000), ["rate_gtps = 32000", "GT/s"]),
        (set_at("rate_gtps", 32e9), ["rate_gtps = 32000000000.0", "GT/s"]),
        (set_at("latency_ns", -1), ["latency_ns = -1", "nanoseconds"]),
        (set_at("latency_ns", 2e12), ["latency_ns = 2000000000000.0", "nanoseconds"]),
        (set_at("lanes", "64"), ["lanes = '64'", "whole number"]),
        (set_at("lanes", 0), ["lanes = 0"]),
        (set_at("lanes", 1.5), ["lanes = 1.5"]),
        (set_at("credits", 0), ["credits = 0"]),
        (set_at("credits", True), ["credits = True"]),
        (set_at("energy_pj_per_bit", -0.5), ["energy_pj_per_bit = -0.5"]),
        (set_at("flit", "payload_nbytes", 300), ["flit: ", "payload_nbytes (300)"]),
        (set_at("flit", "nbytes", 0), ["flit.nbytes = 0"]),
        (drop("flit"), ["field flit is missing"]),
        (set_at("latency", 2), ["unknown field latency"]),
    ],
)
def test_units_that_make_no_sense_are_refused(
    tmp_path: Path, change: Callable[[Document], None], parts: list[str]
) -> None:
    link = {**LINK, "flit": dict(LINK["flit"])}
    change(link)
    write_toml(tmp_path / "mine.toml", link)
    scene = write_toml(tmp_path / "scene.toml", scenario_document(link="mine.toml"))
    refuse(scene, "link: ", str(tmp_path / "mine.toml"), *parts)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.text("ab.*/", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=4,
)


@given(field=st.sampled_from([*scenario_document(), "sweep"]), value=JUNK, in_run=st.booleans())
def test_junk_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: Any, in_run: bool
) -> None:
    file = tmp_path_factory.mktemp("junk") / "scene.toml"
    document = scenario_document()
    keys = {"link": "engine", "title": "codec", "topology": "view", "select": "profile"}
    place = document["run"][1] if in_run else document
    place[keys.get(field, field) if in_run else field] = value
    try:
        write_toml(file, document)
        tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, AttributeError):
        return
    try:
        loaded = load_scenario(file)
    except LinksimError as error:
        assert str(error).startswith(f"{file}: ")
        return
    assert link_preset(loaded.link)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "traces").glob("*/*.toml")), ids=lambda path: path.stem
)
def test_shipped_scenarios_load_and_are_called_like_their_files(file: Path) -> None:
    loaded = load_scenario(file)
    assert loaded.name == file.stem
    assert loaded.select.from_batch > 0
    named = ["off", "single-stage", "three-stage"]
    if loaded.sweep:
        named[2:2] = ["lane-pool", "index-escape"]
    if "quantized" in loaded.name:
        named = ["off", "int4", "int4-spikes"]
    assert [run.name for run in loaded.run] == named
