"""Tables of results put together by hand, cell by cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.replay.run import ScenarioResult
from linksim.reports.tables import (
    REPLAY_COLUMNS,
    SWEEP_COLUMNS,
    format_energy,
    markdown_table,
    pays_from,
    replay_rows,
    summary_markdown,
    sweep_remark,
    sweep_rows,
)
from tests.replay.handmade import run_result, scenario_result, swept, transfer


@pytest.fixture
def result() -> ScenarioResult:
    plain = [
        transfer("a", shares=(0, 0, 100_000, 0), raw=40_000),
        transfer("b", ready=100_000, shares=(0, 0, 300_000, 0), raw=60_000),
    ]
    coded = [
        transfer("a", shares=(0, 17_000, 70_000, 16_000), raw=40_000, encoded=28_000),
        transfer(
            "b", ready=103_000, shares=(0, 17_000, 210_000, 16_000), raw=60_000, encoded=42_500
        ),
    ]
    runs = {"off": run_result(plain, energy=1500.0), "fixed": run_result(coded)}
    return scenario_result(runs, description="Two hops.\n")


def test_replay_rows(result: ScenarioResult) -> None:
    off, fixed = replay_rows(result)
    assert dict(zip(REPLAY_COLUMNS, off, strict=True)) == {
        "run": "off",
        "bytes": "100.00 kB",
        "saved": "0.0 %",
        "wire time": "200 ns",
        "codec time": "0 ps",
        "p50": "100 ns",
        "p99": "300 ns",
        "vs off": "",
        # 100 kB in 400 ns under way.
        "GB/s": "250.0",
        "limited by": "link",
        "link energy": "1.5 nJ",
    }
    assert dict(zip(REPLAY_COLUMNS, fixed, strict=True)) == {
        "run": "fixed",
        "bytes": "70.50 kB",
        "saved": "29.5 %",
        "wire time": "140 ns",
        "codec time": "33 ns",
        "p50": "103 ns",
        "p99": "243 ns",
        "vs off": "+3.0 %",
        "GB/s": "289.0",
        "limited by": "link",
        "link energy": "not known",
    }


def test_markdown_has_a_row_per_run_and_the_scenarios_words(result: ScenarioResult) -> None:
    page = summary_markdown([result], "by-hand: random numbers")
    lines = page.splitlines()
    assert lines[:5] == [
        "# Replay results",
        "",
        "Trace: by-hand: random numbers",
        "",
        "## Test",
    ]
    assert "Two hops." in lines
    table = [line for line in lines if line.startswith("|")]
    assert [line.count("|") for line in table] == [len(REPLAY_COLUMNS) + 1] * 4
    assert table[3].startswith("| fixed | 70.50 kB | 29.5 % | 140 ns | 33 ns | 103 ns | 243 ns |")


def test_a_markdown_table() -> None:
    assert markdown_table(("a", "b"), [("1", "2"), ("3", "")]) == (
        "| a | b |\n| --- | ---: |\n| 1 | 2 |\n| 3 |  |"
    )


SWEPT = {
    "off": {64: 10_000, 1024: 20_000, 65536: 400_000},
    "late": {64: 30_000, 1024: 20_000, 65536: 300_000},
    "early": {64: 9_000, 1024: 19_000, 65536: 280_000},
    "torn": {64: 9_000, 1024: 25_000, 65536: 390_000},
    "never": {64: 9_000, 1024: 10_000, 65536: 400_000},
}


def test_a_codec_pays_from_where_it_is_faster_for_good() -> None:
    result = swept(SWEPT)
    # A tie is no gain, and a gain below a size that loses does not count.
    expected = {"late": 65536, "early": 64, "torn": 65536, "never": None, "off": None}
    assert {run: pays_from(result, run) for run in SWEPT} == expected


@given(
    st.dictionaries(
        st.integers(64, 10**6), st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2
    )
)
def test_pays_from_by_its_definition(latencies: dict[int, tuple[int, int]]) -> None:
    off = {size: pair[0] for size, pair in latencies.items()}
    own = {size: pair[1] for size, pair in latencies.items()}
    good = [n for n in off if all(own[m] < off[m] for m in off if m >= n)]
    assert pays_from(swept({"off": off, "own": own}), "own") == min(good, default=None)


def test_sweep_rows_and_remark() -> None:
    result = swept({run: SWEPT[run] for run in ("off", "late", "never")})
    rows = sweep_rows(result)
    assert len(SWEEP_COLUMNS) == len(rows[0])
    assert rows[:4] == [
        ("64 B", "off", "10 ns", ""),
        ("64 B", "late", "30 ns", "+200.0 %"),
        ("64 B", "never", "9 ns", "-10.0 %"),
        ("1 KiB", "off", "20 ns", ""),
    ]
    assert rows[-2] == ("64 KiB", "late", "300 ns", "-25.0 %")
    assert sweep_remark(result) == (
        "late is faster than off from 64 KiB on; never is faster than off at no size tried."
    )
    page = summary_markdown([result], "by-hand")
    assert "| 64 KiB | late | 300 ns | -25.0 % |" in page
    assert sweep_remark(result) in page


def test_the_remark_calls_the_first_run_by_its_name() -> None:
    result = swept({"plain": {64: 2, 128: 2}, "coded": {64: 1, 128: 1}})
    assert sweep_remark(result) == "coded is faster than plain from 64 B on."


@pytest.mark.parametrize(
    ("picojoules", "text"),
    [
        (None, "not known"),
        (0.0, "0 pJ"),
        (0.5, "0.5 pJ"),
        (999.0, "999 pJ"),
        (1000.0, "1 nJ"),
        (58_982.4, "59 nJ"),
        (2.34e6, "2.34 uJ"),
        (1e9, "1 mJ"),
        (4.2e12, "4.2e+03 mJ"),
    ],
)
def test_energies(picojoules: float | None, text: str) -> None:
    assert format_energy(picojoules) == text
