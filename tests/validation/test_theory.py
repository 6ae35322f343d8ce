"""Closed forms hold in both engines, and a simulator that is a little off is seen."""

from __future__ import annotations

import dataclasses

import pytest

from linksim.links import LinkPreset
from linksim.network import simulate
from linksim.validation import theory
from linksim.validation.theory import TheoryRow, theory_rows
from linksim.validation.theory_rings import AstraRing, LogGopRing
from tests.replay.command import linksim


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few flits for the reference, and no long rings."""
    monkeypatch.setattr(theory, "REFERENCE_FLITS", 1000)
    sizes = {n: ns for n, ns in theory.ASTRA_MEASURED_NS.items() if n <= 1 << 20}
    monkeypatch.setattr(theory, "ASTRA_MEASURED_NS", sizes)


@pytest.mark.usefixtures("short")
def test_all_closed_forms_hold() -> None:
    rows = list(theory_rows())
    assert len({row.family for row in rows}) == 4
    for row in rows:
        assert row.holds, row
        if "ASTRA" not in row.family:
            assert row.tolerance == 0
            assert row.fast == row.expected, row
    families = {row.family for row in rows if row.reference is not None}
    assert len(families) == 4


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("ranks", [2, 3, 5, 9])
@pytest.mark.parametrize("piece_nbytes", [1, 7])
def test_log_gop_ring(engine: str, ranks: int, piece_nbytes: int) -> None:
    case = LogGopRing(ranks=ranks, piece_nbytes=piece_nbytes, overhead_ps=12_345)
    found = simulate(case.tasks(), case.network(), engine=engine)
    assert found.makespan_ps == case.expected_ps
    assert case.expected_ps == 2 * (ranks - 1) * (500_000 + (piece_nbytes - 1) * 20 + 24_690)


def test_astra_ring_in_its_units() -> None:
    """Its own run of the largest size, and the closed form beside it."""
    case = AstraRing(nbytes=1 << 30)
    assert case.expected_ns == pytest.approx(35848494, rel=1e-6)
    assert case.network().links["rank0", "rank1"].bits_per_second == 50 * 2**30 * 8


def test_a_longer_flight_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picosecond more on every link breaks each exact form."""
    right = LinkPreset.flight_ps.fget
    assert right is not None
    monkeypatch.setattr(theory, "REFERENCE_FLITS", 0)
    monkeypatch.setattr(theory, "ASTRA_MEASURED_NS", {})
    monkeypatch.setattr(LinkPreset, "flight_ps", property(lambda self: right(self) + 1))
    rows = list(theory_rows())
    at_full_rate = [row for row in rows if row.unit == "of the wire" and row.expected == 1]
    for row in rows:
        # A wire with enough credits is full whatever the flight.
        assert row.holds == (row in at_full_rate and "10 credits" not in row.what), row


def test_the_worse_engine_counts() -> None:
    row = TheoryRow("family", "what", "ns", 100.0, 100.0, 103.0, 0.02, "source")
    assert row.error == pytest.approx(0.03)
    assert not row.holds
    assert dataclasses.replace(row, reference=None).holds
    assert dataclasses.replace(row, fast=97.0, reference=101.0).error == pytest.approx(-0.03)


@pytest.mark.usefixtures("short")
def test_command() -> None:
    document = linksim("validate", "theory", "--json").json()
    assert document["missed"] == 0
    row = next(row for row in document["rows"] if row["what"] == "8 ranks, 4 KiB, its run")
    assert (row["expected"], row["tolerance"], row["holds"]) == (7276, 0.003, True)
    assert row["fast"] == pytest.approx(7276.724)
    assert all(row["source"] for row in document["rows"])


@pytest.mark.usefixtures("short")
def test_command_says_what_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory, "ASTRA_MEASURED_NS", {4096: 7000})
    monkeypatch.setattr(theory, "REFERENCE_FLITS", 0)
    finished = linksim("validate", "theory")
    assert finished.code == 1
    assert "1 do not hold" in finished.out
    assert "0.3 %: missed" in finished.out
