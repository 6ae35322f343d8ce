"""The files a replay leaves: complete, in agreement with each other, the same every time."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from linksim.network import LinkResult, TransferResult
from linksim.replay.run import ScenarioResult, replay, write_results
from linksim.traces import Trace
from tests.replay.synthetic import OFF, scenario

SINGLE = {"name": "single", "codec": "huffman-fixed", "engine": "single-stage-w32*2"}


@pytest.fixture(scope="module")
def result(synthetic_trace: Trace) -> ScenarioResult:
    return replay(scenario("prefill", [OFF, SINGLE]), synthetic_trace)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_summary_round_trips(result: ScenarioResult, tmp_path: Path) -> None:
    write_results(result, tmp_path / "deep" / "out")
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == [
        "links.csv",
        "messages.csv",
        "summary.json",
    ]
    summary = json.loads((tmp_path / "deep" / "out" / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.document()))
    assert summary["trace"] == "synthetic"
    assert summary["link"]["name"] == result.link.name
    assert summary["select"] == {"phase": "prefill", "from_batch": 2, "compute": True}
    assert [run["run"] for run in summary["runs"]] == ["off", "single"]
    assert summary["runs"][1]["engine"] == "single-stage-w32*2"
    assert summary["runs"][1]["saved_percent"] == round(result.metrics[1].saved_percent, 3)


def test_csv_columns_and_rows_are_the_results_themselves(
    result: ScenarioResult, tmp_path: Path
) -> None:
    write_results(result, tmp_path)
    for name, row_type, of_run in (
        ("messages.csv", TransferResult, lambda run: run.transfers),
        ("links.csv", LinkResult, lambda run: run.links),
    ):
        found = rows(tmp_path / name)
        assert list(found[0]) == ["run", *(field.name for field in fields(row_type))]
        expected = [
            {"run": run, **{k: "" if v is None else str(v) for k, v in asdict(row).items()}}
            for run, simulated in result.results.items()
            for row in of_run(simulated)
        ]
        assert found == expected


def test_csv_sums_agree_with_the_summary(result: ScenarioResult, tmp_path: Path) -> None:
    write_results(result, tmp_path)
    for run in json.loads((tmp_path / "summary.json").read_text())["runs"]:
        messages = [row for row in rows(tmp_path / "messages.csv") if row["run"] == run["run"]]
        links = [row for row in rows(tmp_path / "links.csv") if row["run"] == run["run"]]
        assert len(messages) == run["transfers"] == sum(int(row["transfers"]) for row in links)
        for field in ("raw_nbytes", "encoded_nbytes", "wire_nbytes", "credit_stall_ps"):
            sums = [sum(int(row[field]) for row in of) for of in (messages, links)]
            assert sums == [run[field], run[field]], field
        for share in ("queueing_ps", "encode_ps", "wire_ps", "decode_ps"):
            mean = sum(int(row[share]) for row in messages) / len(messages)
            assert run[share] == pytest.approx(mean)
        for row in messages:
            parts = (row[s] for s in ("queueing_ps", "encode_ps", "wire_ps", "decode_ps"))
            assert sum(map(int, parts)) == int(row["delivered_ps"]) - int(row["ready_ps"])
        assert run["link_energy_pj"] == pytest.approx(sum(float(r["energy_pj"]) for r in links))
        assert run["link_utilization"] == pytest.approx(max(float(r["utilization"]) for r in links))


def test_two_replays_write_the_same_bytes(
    result: ScenarioResult, synthetic_trace: Trace, tmp_path: Path
) -> None:
    again = replay(scenario("prefill", [OFF, SINGLE]), Trace.open(synthetic_trace.path))
    for folder, of in (("first", result), ("second", again)):
        write_results(of, tmp_path / folder)
    for name in ("links.csv", "messages.csv", "summary.json"):
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("first", "second"))
        assert first == second
