"""`linksim study faults`: figures, files, verdicts, and bad input in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from linksim.errors import LinksimError
from linksim.links.retry import run_go_back_n
from linksim.studies import faults
from linksim.studies.faults import (
    ONE_NAK,
    PER_PACKET,
    SWEPT_RATES,
    FaultStudy,
    Finding,
    Options,
    dead_cases,
    fault_study,
    judge,
    long_cases,
)
from tests.replay.command import files_under, linksim

SMALL = ("--flits", "20000", "--sweep-flits", "1500", "--seed", "2")


@pytest.fixture(scope="module")
def study() -> FaultStudy:
    return fault_study(Options(flits=20_000, sweep_flits=1500, seed=2))


def test_nothing_is_lost_and_dead_links_say_so(study: FaultStudy) -> None:
    assert study.sound
    assert len(study.long_runs) == 8
    assert len(study.sweep) == 3 * len(SWEPT_RATES)
    assert (SWEPT_RATES[0], SWEPT_RATES[-1]) == pytest.approx((1e-9, 1e-4))
    dead, deaf, erring = study.dead
    # One Nak and four replays, then the timer: 5 slots and 4 timers for a wire that delivers
    # nothing; a wire that answers nothing is replayed by the timer alone.
    limit = dead.case.link.maximum_replays
    assert dead.result.failure is not None
    assert (dead.result.failure.flit, dead.result.failure.replays) == (0, limit)
    assert (dead.result.delivered, deaf.result.delivered) == (0, 127)
    assert "flit 0 was sent again 4 times and never acknowledged" in str(deaf.result.failure)
    assert erring.result.failure is not None or erring.result.delivered == 1500


def test_findings_are_those_of_the_protocols(study: FaultStudy) -> None:
    found = study.long_runs[0]
    case = found.case
    assert found.result == run_go_back_n(case.link, case.errors, case.flits)
    assert (case.link.flit_ps, case.link.flight_ps, case.link.ack_slots) == (8000, 2170, 2)
    assert case.errors.event_probability == pytest.approx(2.0459e-3, rel=1e-4)
    assert found.goodput_gbytes_per_s == pytest.approx(31.25 / found.result.slots_per_flit)
    assert found.inside
    bound = next(finding for finding in study.long_runs if finding.case.scheme == PER_PACKET)
    assert bound.inside is None
    assert bound.expected_slots is not None
    assert bound.result.slots_per_flit > bound.expected_slots


def test_cases_err_apart() -> None:
    cases = long_cases(Options())
    assert len({case.errors.link_index for case in cases}) == len(cases)
    assert {case.flits for case in cases} == {100_000_000}
    assert {case.errors.burst_flits for case in cases} == {1, 4}


def test_what_is_wrong_is_not_sound(study: FaultStudy) -> None:
    first, *others = study.long_runs
    for broken in (
        replace(first, result=replace(first.result, lost=1)),
        replace(first, result=replace(first.result, reordered=1)),
        replace(first, interval_slots=(0.9, 0.95)),
        replace(first, result=replace(first.result, delivered=19_999)),
    ):
        assert not replace(study, long_runs=(broken, *others)).sound


def test_a_burst_beyond_the_closed_form_is_run_without_it() -> None:
    case = long_cases(Options(burst_flits=50, flits=2000))[1]
    found = judge(case)
    assert (found.case.scheme, found.expected_slots, found.inside) == (ONE_NAK, None, None)
    assert found.result.delivered == 2000


def test_progress_counts_every_flit_once() -> None:
    told: list[int] = []
    options = Options(flits=3000, sweep_flits=100)
    fault_study(options, told.append)
    assert sum(told) == faults.flits_of(options)


def test_json_is_the_file(tmp_path: Path) -> None:
    finished = linksim("study", "faults", *SMALL, "--out", tmp_path / "deep", "--json")
    document = finished.json()
    assert json.loads((tmp_path / "deep" / "faults.json").read_text()) == document
    assert files_under(tmp_path / "deep") == ["faults.json", "faults.png"]
    assert document["sound"] is True
    assert document["options"]["flits"] == 20_000
    run = document["long_runs"][0]
    assert run["counts"]["delivered"] == 20_000
    assert run["interval_slots_per_flit"][0] < run["slots_per_flit"]
    assert "was sent again 4 times" in document["dead_links"][0]["failure"]


def test_tables_and_a_second_run_draw_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        finished = linksim("study", "faults", *SMALL, "--out", tmp_path / name)
        assert (finished.code, finished.err) == (0, "")
    assert "Dead links:" in finished.out
    assert "go-back-N, repeated Nak, 1e-06" in finished.out
    for name in ("faults.json", "faults.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_run_outside_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = faults.judge
    monkeypatch.setattr(faults, "judge", lambda *given: _moved(exact(*given)))
    assert linksim("study", "faults", *SMALL, "--out", tmp_path).code == 1


def _moved(finding: Finding) -> Finding:
    return replace(finding, interval_slots=finding.interval_slots and (0.5, 0.6))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"flits": 0}, "flits: 0: expected 1 or more"),
        ({"burst_flits": 0}, "burst_flits: 0: expected 1 or more"),
        ({"bit_error_rate": 0.0}, "bit_error_rate: 0.0: expected more than 0"),
        ({"bit_error_rate": 1.0}, "bit_error_rate: 1.0: expected more than 0"),
        ({"seed": -1}, "seed: -1: expected 0 to"),
        ({"link": "nvlink4-h100"}, "link: nvlink4-h100: expected a link with go-back-n retry"),
        ({"link": "ucie-standard-x16-16/raw"}, "expected a link with go-back-n retry"),
        ({"packet_link": "ucie-standard-x16-16"}, "expected a link with per-packet retry"),
        ({"link": "nothing"}, "unknown link 'nothing'"),
    ],
)
def test_refuses(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        dead_cases(Options(**fields))  # type: ignore[arg-type]


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for options, problem in (
        (("--bit-error-rate", "2"), "bit_error_rate: 2.0: expected more than 0, less than 1"),
        (("--out", tmp_path / "file"), "a file: expected a folder to write to"),
    ):
        linksim("study", "faults", *SMALL, *options).refused(problem)
