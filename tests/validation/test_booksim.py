"""Two BookSim2 routers: closed forms, a table's rows, and tables that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.network.fast import stream
from linksim.validation import booksim, booksim_router
from linksim.validation.booksim import BookSimOptions, compare
from linksim.validation.booksim_report import remarks, tables
from linksim.validation.booksim_router import (
    CYCLE_PS,
    bernoulli_gaps,
    router_pair,
    send_packets,
)
from linksim.validation.booksim_table import COLUMNS, BookSimRow, Configuration, read_table
from tests.replay.command import files_under, linksim

CONFIGURATIONS = [
    Configuration(latency, flits, vcs, buffer)
    for latency in (1, 10)
    for flits in (1, 4, 16)
    for vcs, buffer in ((1, 8), (1, 16), (1, 32), (1, 64), (4, 16))
]
FAST = BookSimOptions(fewest_packets=400, most_packets=800)

# BookSim2 at 28f4329: two routers (anynet), bitcomp, islip, seed 1.
TABLE = f"""{",".join(COLUMNS)}
1,1,1,8,0.2,0,10.3449,0.201033
1,1,1,8,0.6,1,,
10,1,4,16,0.95,0,19,0.951967
10,4,1,16,0.4,0,25.6179,0.397
10,4,1,16,0.6,0,55.1682,0.601533
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_a_packet_alone_takes_the_closed_form(configuration: Configuration) -> None:
    alone = send_packets(configuration, np.array([1])).latency_ps.tolist()
    waits = 0
    if configuration.packet_flits > configuration.vc_buffer_flits:
        # The flits that find the buffer taken come a credit loop after those in their places.
        loop = 2 * configuration.link_latency_cycles + 5
        waits = max(0, loop - configuration.vc_buffer_flits)
    assert alone == [(configuration.zero_load_cycles + waits) * CYCLE_PS]


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_saturation_is_the_closed_form(configuration: Configuration) -> None:
    together = send_packets(configuration, np.zeros(300, np.int64))
    found = booksim._flits_per_cycle(together.ejected_ps, configuration.packet_flits)
    assert found == pytest.approx(configuration.saturation_flits_per_cycle, rel=0.01)


def test_the_closed_form_of_one_channel() -> None:
    assert Configuration(10, 16, 1, 8).saturation_flits_per_cycle == 8 / 25
    assert Configuration(10, 16, 1, 64).saturation_flits_per_cycle == 16 / 17
    assert Configuration(10, 1, 4, 16).saturation_flits_per_cycle == 1
    assert Configuration(10, 16, 1, 64).zero_load_cycles == 34


@settings(max_examples=15)
@given(
    st.builds(
        Configuration, st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(1, 9)
    ),
    st.lists(st.integers(0, 12), min_size=1, max_size=25),
)
def test_both_engines_send_packets_alike(configuration: Configuration, gaps: list[int]) -> None:
    fast, reference = (
        send_packets(configuration, np.array(gaps), engine=engine)
        for engine in ("fast", "reference")
    )
    assert fast.latency_ps.tolist() == reference.latency_ps.tolist()
    assert fast.ejected_ps.tolist() == reference.ejected_ps.tolist()
    assert fast.latency_ps.min() >= configuration.zero_load_cycles * CYCLE_PS


def test_packets_of_one_channel_wait_as_in_a_queue() -> None:
    """Arrivals at random, one by one for p + 1 cycles each: the mean wait of Geo/D/1.

    (s - 1) r / (2 (1 - r)) for service s and load r, a discrete Pollaczek-Khinchine formula.
    """
    configuration, flits_per_cycle = Configuration(1, 4, 1, 64), 0.4
    gaps = bernoulli_gaps(flits_per_cycle, 4, 6000, seed=7)
    assert gaps.min() >= 1
    assert 4 / gaps.mean() == pytest.approx(flits_per_cycle, rel=0.02)
    waits = send_packets(configuration, gaps).latency_ps / CYCLE_PS
    load = 5 * flits_per_cycle / 4
    expected = configuration.zero_load_cycles + 4 * load / (2 * (1 - load))
    assert waits[500:].mean() == pytest.approx(expected, rel=0.03)


def test_a_table_is_compared_row_by_row(table: Path) -> None:
    done: list[int] = []
    results = compare(read_table(table), FAST, done.append)
    assert done == [1, 2, 3, 4, 5]
    below = results.stable(near_saturation=False)
    assert [one.row.offered_flits_per_cycle for one in below] == [0.2, 0.4]
    assert all(abs(one.error or 0) < 0.06 for one in below)
    (unstable,) = results.unstable_rows
    assert unstable.unstable
    assert unstable.error is unstable.error_at_accepted is None
    assert unstable.carried_flits_per_cycle == pytest.approx(0.5, rel=0.01)
    free, near = results.stable(near_saturation=True)
    assert (free.error, free.scatter) == (0, 0)
    assert near.row.load == pytest.approx(0.6 / 0.64)
    assert near.scatter > 0.02
    assert compare(read_table(table)[:1], FAST).rows == results.rows[:1]


def test_a_credit_that_comes_late_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cycle more in the second router lowers the throughput that credits allow."""
    monkeypatch.setattr(booksim_router, "ROUTER_CYCLES", 3)
    configuration = Configuration(10, 4, 1, 8)
    together = send_packets(configuration, np.zeros(300, np.int64))
    found = booksim._flits_per_cycle(together.ejected_ps, 4)
    assert found < 0.98 * configuration.saturation_flits_per_cycle
    (alone,) = send_packets(configuration, np.array([1])).latency_ps.tolist()
    assert alone > configuration.zero_load_cycles * CYCLE_PS


def test_without_a_pause_between_packets_one_channel_is_too_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(booksim_router, "REALLOCATION_CYCLES", 0)
    results = compare([BookSimRow(Configuration(1, 1, 1, 8), 0.6, None, None)], FAST)
    assert results.configurations[0].saturation_error > 0.5
    assert not results.rows[0].unstable


def test_one_channel_streams_and_several_spread() -> None:
    one, several = (router_pair(Configuration(1, 4, vcs, 8)) for vcs in (1, 4))
    assert {link.virtual_channels for link in one.links.values()} == {1}
    assert [link.virtual_channels for link in several.links.values()] == [1, 4, 4, 4]
    assert not stream.merges([range(4)])


def test_tables_and_remarks(table: Path) -> None:
    results = compare(read_table(table), FAST)
    titles = {title: rows for title, _, rows in tables(results)}
    (rows,) = (rows for title, rows in titles.items() if "under load" in title)
    near = "near saturation"
    assert [row[-1] for row in rows] == ["", "unstable in both", near, "", near]
    said = " ".join(remarks(results))
    assert "exactly the closed form in 3 of 3" in said
    assert "1 of 1 rows unstable in BookSim2 are so here" in said


def test_command_writes_figure_and_document(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    command = ("validate", "booksim", "--table", table, "--packets", 100)
    document = linksim(*command, "--out", out, "--json").json()
    assert files_under(out) == ["booksim.json", "booksim.png"]
    assert json.loads((out / "booksim.json").read_text()) == document
    assert document["options"]["seed"] == 1
    assert [row["simulated_unstable"] for row in document["rows"][:3]] == [False, True, False]
    assert document["summary"]["below_saturation"]["rows"] == 2
    finished = linksim(*command)
    assert finished.code == 0
    assert "Mean packet latency under load" in finished.out


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ((",packet_flits", ""), ("expected a CSV table with the column packet_flits",)),
        (("1,1,1,8,0.2,", "0,1,1,8,0.2,"), ("line 2: link_latency_cycles is '0'", "whole number")),
        (("1,1,1,8,0.2,", "1,1,1,8,1.2,"), ("line 2: offered_flits_per_cycle is '1.2'", "1")),
        (("0.2,0,10.3449", "0.2,0,nan"), ("line 2: packet_latency_cycles is 'nan'",)),
        (("0.2,0,10.3449", "0.2,0,"), ("line 2: packet_latency_cycles is ''",)),
        (("1,1,1,8,0.6,1,,", "1,1,1,8,0.6,2,,"), ("line 3: unstable is '2'",)),
        (("1,1,1,8,0.6,1,,", "1,1"), ("line 3: num_vcs is None",)),
    ],
)
def test_a_bad_table_ends_in_one_sentence(
    tmp_path: Path, change: tuple[str, str], parts: tuple[str, ...]
) -> None:
    assert change[0] in TABLE
    path = tmp_path / "table.csv"
    path.write_text(TABLE.replace(*change, 1))
    refused = linksim("validate", "booksim", "--table", path, "--out", tmp_path / "out")
    refused.refused("table.csv", *parts)
    assert files_under(tmp_path) == ["table.csv"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ("No such file",)),
        (b"", ("expected a CSV table with the column link_latency_cycles",)),
        (",".join(COLUMNS).encode(), ("expected one row or more",)),
        (b"\xff\xfe\x00", ("expected a CSV table in UTF-8",)),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    tmp_path: Path, content: bytes | None, parts: tuple[str, ...]
) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    linksim("validate", "booksim", "--table", path).refused("table.csv", *parts)
