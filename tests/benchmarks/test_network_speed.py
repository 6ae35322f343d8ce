"""The network benchmark on tiny sizes: what it runs and writes, and that engines must agree.

Nothing here asks how long anything took.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from linksim.benchmarks import network_speed
from linksim.benchmarks.network_report import network_remarks
from linksim.benchmarks.network_speed import (
    EngineRow,
    NetworkSpeedOptions,
    NetworkSpeedResults,
    RingRow,
    SizeRow,
    measure,
    peak_memory_nbytes,
)
from linksim.benchmarks.network_workloads import (
    Workload,
    contended_all_to_all,
    ring_all_reduce,
    stream,
)
from linksim.benchmarks.timing import Timing
from linksim.cli import network_speed as command
from linksim.errors import LinksimError
from linksim.network import simulate, total_flits
from tests.replay.command import files_under, linksim

TINY = NetworkSpeedOptions(
    stream_flits=300, collective_nbytes=10_000, rounds=2, sizes=(50, 500), ring_nbytes=20_000
)


@pytest.mark.parametrize(
    "workload", [stream(77), ring_all_reduce(10_001), contended_all_to_all(10_001)], ids=str
)
def test_workloads_have_the_flits_they_say(workload: Workload) -> None:
    assert workload.flits == total_flits(workload.tasks, workload.network)


def test_the_stream_waits_for_credits() -> None:
    workload = stream(20_000)
    (link,) = (link for link in simulate(workload.tasks, workload.network).links if link.busy_ps)
    assert 0.4 < link.utilization < 0.6
    assert link.credit_stall_ps > 0


def test_the_all_to_all_is_contended() -> None:
    """Most messages wait for others' flits on the way."""
    workload = contended_all_to_all(100_000)
    found = simulate(workload.tasks, workload.network, engine="reference")
    assert all(transfer.hops == 2 for transfer in found.transfers)
    assert sum(transfer.network_wait_ps > 0 for transfer in found.transfers) > 20


def test_everything_is_measured() -> None:
    said: list[str] = []
    results = measure(TINY, said.append)
    assert [row.flits for row in results.sizes] == [50, 500]
    assert len(results.engines) == 3
    assert len(said) == 1 + 2 + 1 + 3
    assert results.ring is not None
    assert results.ring.nbytes == 20_000
    peaks = [row.peak_nbytes for row in results.sizes]
    assert 10**7 < peaks[0] <= peaks[1] <= peak_memory_nbytes()


def test_engines_that_do_not_agree_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any, engine: str = "fast", **options: Any) -> Any:
        found = simulate(*arguments, engine=engine, **options)  # type: ignore[arg-type]
        if engine == "reference":
            return found
        first, *others = found.transfers
        late = dataclasses.replace(first, delivered_ps=first.delivered_ps + 1)
        return dataclasses.replace(found, transfers=(late, *others))

    monkeypatch.setattr(network_speed, "simulate", wrong)
    with pytest.raises(LinksimError, match="credit-limited stream: the engines do not agree"):
        measure(TINY)


def test_figures_of_results() -> None:
    sizes = [SizeRow(n, n / 5e7, 2 * 10**8 + n // 1000) for n in (10**5, 10**6, 10**7, 10**8)]
    row = EngineRow("stream", 1000, Timing(0.01, 0.02), 4.0)
    ring = RingRow(1 << 30, 10**8, 11.0, 12.0, 10**9)
    results = NetworkSpeedResults(1.0, sizes, [row], ring)
    assert row.ratio == 400
    assert results.slope == pytest.approx(1)
    assert results.growth_nbytes == 10**5 - 100
    said = " ".join(network_remarks(results))
    assert "400 times as fast (target 300: reached)" in said
    assert "50.0 million flits/s (target 30: reached)" in said
    assert "(target 10: missed)" in said
    slow = dataclasses.replace(row, reference_s=2.9)
    assert "290 times as fast (target 300: missed)" in " ".join(
        network_remarks(NetworkSpeedResults(1.0, engines=[slow]))
    )
    assert NetworkSpeedResults(1.0, sizes[:1]).slope is None


def test_command_writes_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "QUICK", TINY)
    out = tmp_path / "out"
    document = linksim("bench", "network", "--quick", "--out", out, "--json").json()
    assert files_under(out) == ["network.json", "network.md", "network.png"]
    assert json.loads((out / "network.json").read_text()) == document
    assert [row["flits"] for row in document["stream_sizes"]] == [50, 500]
    assert {"processor", "simpy", "numba", "date"} <= document["machine"].keys()
    assert document["targets"] == {"ratio": 300, "stream_flits_per_s": 30e6, "ring_s": 10.0}
    page = (out / "network.md").read_text()
    assert "all-to-all through a switch" in page
    finished = linksim("bench", "network", "--quick", "--out", out)
    assert finished.code == 0
    assert "Both engines on the same work" in finished.out


def test_an_output_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    linksim("bench", "network", "--out", tmp_path / "file" / "deep").refused("file", "not a folder")
