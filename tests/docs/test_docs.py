"""What docs/ says is what linksim does."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

from linksim.cli.app import app
from linksim.engines import EngineRecord, engine_names, engine_record
from linksim.engines.engine import Stage, Statistics
from linksim.links import (
    FlitFormat,
    LinkFamily,
    LinkPreset,
    Retry,
    Variant,
    link_families,
    link_names,
    link_preset,
)
from linksim.network import LinkResult, TransferResult
from linksim.replay.metrics import RunMetrics
from linksim.replay.scenario import Run, Scenario, Selection, Sweep, load_scenario
from linksim.reports.tables import REPLAY_COLUMNS
from linksim.traces.store import Trace
from tests.codecs.test_chunk import EXAMPLE
from tests.docs.pages import (
    DOCS,
    ROOT,
    anchors,
    blocks,
    pages,
    rows,
    section,
    text,
    written_files,
)

LINKS_AND_ENGINES = "reference/links-and-engines.md"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    markdown = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", markdown, flags=re.S)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def test_worked_example_is_the_tested_one() -> None:
    (listed,) = [body for language, body in blocks(text("format.md")) if language == "hex"]
    assert bytes.fromhex(listed) == EXAMPLE


def test_packages_import_what_architecture_says() -> None:
    stated = {
        name: set(re.findall(r"`(\w+)`", cells[1]))
        for name, cells in rows(section(text("architecture.md"), "## The floors")).items()
        if (ROOT / "linksim" / name).exists() or (ROOT / "linksim" / f"{name}.py").exists()
    }
    found: dict[str, set[str]] = {}
    for file in (ROOT / "linksim").rglob("*.py"):
        package = file.relative_to(ROOT / "linksim").parts[0].removesuffix(".py")
        if package == "__init__":
            continue
        found.setdefault(package, set()).update(_imported(file) - {package})
    assert stated == found


def _imported(file: Path) -> set[str]:
    """Modules and packages right below linksim that *file* imports from."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("linksim."):
            names.add(str(node.module).split(".")[1])
    return names


def _commands(command: object, path: str) -> list[tuple[str, object]]:
    below = getattr(command, "commands", None)
    if below is None:
        return [(path, command)]
    return [pair for name, sub in below.items() for pair in _commands(sub, f"{path} {name}")]


COMMANDS = _commands(typer.main.get_command(app), "linksim")


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_options_are_listed_and_no_others(path: str, command: object) -> None:
    listed = section(text("reference/commands.md"), f"## {path}")
    first_cells = [
        line.split(" | ")[0] for line in listed.splitlines() if re.match(r"\| `[-A-Z]", line)
    ]
    named = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    expected: set[str] = set()
    for parameter in command.params:  # type: ignore[attr-defined]
        if type(parameter).__name__ == "TyperArgument":
            many = "..." if parameter.nargs == -1 else ""
            expected.add(f"{parameter.name.upper()}{many}")
        else:
            expected.update(parameter.opts, parameter.secondary_opts)
    assert named == expected


def test_every_command_has_a_section_and_no_other_command_has() -> None:
    headings = re.findall(r"^## (linksim .*)$", text("reference/commands.md"), re.MULTILINE)
    assert sorted(headings) == sorted(path for path, _ in COMMANDS)


def test_replay_columns_are_explained() -> None:
    explained = section(text("reference/commands.md"), "## linksim replay")
    first_cells = [name for cell in rows(explained) for name in cell.split(", ")]
    assert set(REPLAY_COLUMNS) <= set(first_cells)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:g}"


@pytest.mark.parametrize("name", link_names())
def test_link_figures_are_the_presets(name: str) -> None:
    preset = link_preset(name)
    listed = section(text(LINKS_AND_ENGINES), "## Links").replace("**`", "`").replace("`**", "`")
    assert rows(listed)[name] == [
        _number(preset.lanes),
        _number(preset.rate_gtps),
        _number(preset.bits_per_second / 8e9),
        _number(preset.flit.nbytes),
        _number(preset.flit.payload_nbytes),
        _number(preset.payload_bytes_per_second / 1e9),
        _number(preset.flit_ps),
        f"{preset.latency_ns:g} + {preset.propagation_ns:g}",
        _number(preset.credits),
        _number(preset.energy_pj_per_bit),
        _number(preset.bit_error_rate),
    ]


@pytest.mark.parametrize("family", link_families(), ids=lambda family: family.name)
def test_flit_formats_are_the_families(family: LinkFamily) -> None:
    listed = section(text(LINKS_AND_ENGINES), "## Links")
    assert f"**`{family.default_link_name}`**" in listed
    for part in family.formats:
        limit = "" if part.maximum_rate_gtps is None else f", up to {part.maximum_rate_gtps:g} GT/s"
        sizes = (part.nbytes, part.header_nbytes, part.crc_nbytes, part.payload_nbytes)
        retry = "none" if part.raw or family.retry is None else family.retry.protocol
        cells = (f"`{family.name}`", f"`{part.name}`{limit}", *sizes)
        line = " | ".join(map(str, (*cells, f"{100 * part.efficiency:.1f} %", retry)))
        assert f"| {line} |" in listed.splitlines()


@pytest.mark.parametrize("name", engine_names())
def test_engine_figures_are_the_records(name: str) -> None:
    record = engine_record(name)
    encoder, decoder = record.encoder, record.decoder
    assert encoder.clock_hz == decoder.clock_hz
    counting = record.statistics
    areas = (encoder.area_um2, decoder.area_um2)
    listed = section(text(LINKS_AND_ENGINES), "## Engines").partition("| record | figure")[0]
    assert rows(listed)[name] == [
        ", ".join(f"`{codec}`" for codec in record.codecs) or "any",
        str(encoder.bytes_per_cycle),
        str(encoder.latency_cycles),
        str(decoder.bytes_per_cycle),
        str(decoder.latency_cycles),
        _number(encoder.clock_hz / 1e9),
        f"{counting.count_bytes_per_cycle} B/cycle, then {counting.build_cycles} cycles"
        if counting
        else "none",
        "not known" if None in areas else " + ".join(map(_number, areas)),
    ]


@pytest.mark.parametrize("family", link_families(), ids=lambda family: family.name)
def test_evidence_of_links_is_cited_as_it_stands(family: LinkFamily) -> None:
    lines = text(LINKS_AND_ENGINES).splitlines()
    for entry in family.evidence:
        figure = f"| `{entry.field}` | {entry.value} | {entry.source} | {entry.grade} |"
        assert any(f"`{family.name}`" in line and line.endswith(figure) for line in lines), figure


@pytest.mark.parametrize("name", engine_names())
def test_evidence_of_engines_is_cited_as_it_stands(name: str) -> None:
    record = engine_record(name)
    lines = text(LINKS_AND_ENGINES).splitlines()
    assert record.evidence
    for evidence in record.evidence:
        end = f"| {evidence.source} | {evidence.grade} |"
        start = f"`{evidence.field}` |"
        assert any(start in line and line.endswith(end) for line in lines), (start, end)


def test_own_link_and_engine_load(tmp_path: Path) -> None:
    for name, document in written_files(text(LINKS_AND_ENGINES), "toml").items():
        (tmp_path / name).write_text(document)
    assert link_preset(tmp_path / "my-link.toml").bits_per_second == 16 * 24 * 10**9 * 64 // 66
    striped = link_preset(f"{tmp_path / 'my-family.toml'}-16/short*2")
    assert (striped.lanes, striped.credits) == (16, 2 * (4096 // 68))
    assert engine_record(f"{tmp_path / 'my-engine.toml'}*4").replicas == 4


def test_fields_of_links_and_engines_are_listed() -> None:
    page = text(LINKS_AND_ENGINES)
    _assert_names(page, LinkPreset, FlitFormat, Retry, LinkFamily, Variant)
    _assert_names(page, EngineRecord, Stage, Statistics)


def test_fields_of_scenarios_and_results_are_listed() -> None:
    page = text("reference/scenarios.md")
    _assert_names(page, Scenario, Selection, Sweep, Run, RunMetrics, TransferResult, LinkResult)


def _assert_names(page: str, *models: type) -> None:
    named = set(re.findall(r"`(\w+)`", page))
    for model in models:
        fields = (
            {field.name for field in dataclasses.fields(model)}
            if dataclasses.is_dataclass(model)
            else set(model.model_fields)  # type: ignore[attr-defined]
        )
        assert fields <= named, (model.__name__, fields - named)


def test_example_scenario_loads(tmp_path: Path) -> None:
    for name, document in written_files(text("reference/scenarios.md"), "toml").items():
        (tmp_path / name).write_text(document)
        load_scenario(tmp_path / name)


def test_tutorial_fits_the_bundled_trace(bundled_trace: Path) -> None:
    """The tutorial's commands are tested on a tiny trace; the bundled one has what they name."""
    if not bundled_trace.exists():
        pytest.skip("the bundled trace is not here")
    trace = Trace.open(bundled_trace)
    for file in re.findall(r"traces/scenarios/[\w\-]+\.toml", text("tutorial.md")):
        scenario = load_scenario(ROOT / file)
        batches = {
            event.batch for event in trace.communications() if event.phase == scenario.select.phase
        }
        assert min(batches) < scenario.select.from_batch <= max(batches)


def test_pages_name_no_place_of_their_own_making() -> None:
    for page in DOCS.rglob("*.md"):
        assert not re.search(r"/work/|/tmp/|/home/|pypi", page.read_text(encoding="utf-8")), page
