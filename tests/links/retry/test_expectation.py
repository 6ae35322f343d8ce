"""The closed form of go-back-N against the textbook and against the simulation."""

from __future__ import annotations

import math

import pytest

from linksim.errors import LinksimError
from linksim.links.retry import (
    FlitErrors,
    go_back_n_expectation,
    per_packet_bound,
    run_go_back_n,
    run_per_packet,
)
from tests.links.retry.links import of_bits, ucie

FLITS = 1_000_000


@pytest.mark.parametrize("rate", [0.0, 1e-4, 0.02, 0.5])
def test_with_every_nak_heard_it_is_the_classic_result(rate: float) -> None:
    """Lin, Costello, Miller 1984: throughput (1 - p) / (1 - p + N p), N flits in a round trip."""
    link = ucie(repeats_nak=True)
    errors = FlitErrors(event_probability=rate, backward_event_probability=0)
    found = go_back_n_expectation(link, errors)
    trip = link.round_trip_slots
    assert found.slots_per_flit == pytest.approx((1 - rate + trip * rate) / (1 - rate))
    # Failures of a flit are geometric, each costs the trip.
    assert found.deviation_slots == pytest.approx(trip * math.sqrt(rate) / (1 - rate))


def test_with_one_nak_it_is_the_sum_of_its_cases() -> None:
    """By hand: p = f = 0.1, D = 4, T = 375, an answer in every slot.

    A lost Nak costs T + D - 1 if the Ack before it was heard, else T + D + g for the first of the
    answers behind it that is heard, g = 1 / 0.9 on average.
    """
    errors = FlitErrors(event_probability=0.1)
    lost = 0.9 * (375 + 3) + 0.1 * (375 + 4 + 1 / 0.9)
    expected = 1 + 0.1 * (0.9 * 4 + 0.1 * lost) + 0.1 * 0.1 / 0.9 * 375
    assert go_back_n_expectation(ucie(), errors).slots_per_flit == pytest.approx(expected)


CASES = [
    # bit error rate, burst, slots between answers, every Nak
    (1e-6, 1, 1, False),
    (1e-6, 1, 2, False),
    (1e-6, 4, 2, False),
    (1e-6, 4, 2, True),
    (1e-5, 2, 3, False),
    (1e-4, 1, 2, False),
    (1e-4, 1, 2, True),
    (1e-4, 4, 1, True),
]


@pytest.mark.parametrize(("rate", "burst", "ack_slots", "repeats_nak"), CASES)
def test_the_simulation_falls_inside(
    rate: float, burst: int, ack_slots: int, repeats_nak: bool
) -> None:
    link = ucie(ack_slots=ack_slots, repeats_nak=repeats_nak, maximum_replays=10**6)
    errors = FlitErrors(event_probability=of_bits(rate), burst_flits=burst, seed=20_260_101)
    result = run_go_back_n(link, errors, FLITS)
    low, high = go_back_n_expectation(link, errors).interval(FLITS)
    assert low < result.slots_per_flit < high
    assert (result.lost, result.duplicated, result.reordered) == (0, 0, 0)


def test_a_round_trip_a_slot_longer_falls_outside() -> None:
    errors = FlitErrors(event_probability=of_bits(1e-5), seed=20_260_101)
    result = run_go_back_n(ucie(maximum_replays=10**6, repeats_nak=True), errors, FLITS)
    longer = go_back_n_expectation(ucie(flight_ps=8170, repeats_nak=True), errors)
    low, _ = longer.interval(FLITS)
    assert result.slots_per_flit < low


def test_intervals_narrow_with_the_root_of_the_flits() -> None:
    found = go_back_n_expectation(ucie(), FlitErrors(event_probability=0.01))
    wide, narrow = found.interval(10**6), found.interval(10**8)
    assert (wide[1] - wide[0]) == pytest.approx(10 * (narrow[1] - narrow[0]))
    low, high = found.interval(10**6, confidence=0.5)
    assert wide[0] < low < found.slots_per_flit < high < wide[1]


@pytest.mark.parametrize(
    ("flits", "rate", "repeats_nak"),
    [(20_000, 2e-3, False), (20_000, 2e-4, True), (1000, 1e-5, False), (20_000, 0.1, True)],
)
def test_as_many_runs_fall_inside_as_stated(flits: int, rate: float, repeats_nak: bool) -> None:
    """Of 200 runs 95 %, also where the timer ends in one run of six: no central limit there."""
    link = ucie(ack_slots=2, repeats_nak=repeats_nak, maximum_replays=10**6)
    expected = go_back_n_expectation(link, FlitErrors(event_probability=rate))
    low, high = expected.interval(flits, confidence=0.95)
    assert low < expected.slots_per_flit < high
    inside = sum(
        low <= run_go_back_n(link, errors, flits).slots_per_flit <= high
        for errors in (FlitErrors(event_probability=rate, seed=seed) for seed in range(200))
    )
    # The binomial deviation of 190 is 3; what is rare comes in steps, so more may be inside.
    assert inside >= 181


def test_without_errors_there_is_no_doubt() -> None:
    found = go_back_n_expectation(ucie(), FlitErrors(event_probability=0.0))
    assert found.interval(1000) == (1.0, 1.0)


def test_per_packet_reaches_its_bound_with_a_large_window() -> None:
    errors = FlitErrors(event_probability=0.05, backward_event_probability=0, seed=1)
    link = ucie(protocol="per-packet", sequence_bits=12, maximum_replays=100)
    result = run_per_packet(link, errors, FLITS)
    assert result.slots_per_flit == pytest.approx(per_packet_bound(errors), rel=2e-3)


@pytest.mark.parametrize(
    ("link", "errors", "problem"),
    [
        ({"protocol": "per-packet"}, {}, "protocol: per-packet: expected go-back-n"),
        ({}, {"burst_flits": 5}, "burst_flits: 5: expected at most the round trip, 4 flits"),
        ({"window_flits": 3}, {}, "window_flits: 3: expected at least 4"),
        ({}, {"event_probability": 1.0}, "every flit is damaged"),
    ],
)
def test_refuses(link: dict[str, int], errors: dict[str, float], problem: str) -> None:
    fields = {"event_probability": 0.1, **errors}
    with pytest.raises(LinksimError, match=problem):
        go_back_n_expectation(ucie(**link), FlitErrors(**fields))  # type: ignore[arg-type]
