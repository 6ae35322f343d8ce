"""Stop and resend with the outages of go-back-N hands every flit on when the full protocol does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.links.retry import (
    FlitErrors,
    RetryLink,
    flit_fails,
    outage_ps,
    run_go_back_n,
    settings_of,
    slot_fails,
    threshold_of,
    wire_key,
)
from tests.links.retry.links import FLIT_PS, ucie


def stop_and_resend(link: RetryLink, errors: FlitErrors, flits: int) -> list[int]:
    """When each of *flits*, all there from the start, is handed on, without the protocol."""
    fixed = settings_of(link, errors, flits)
    times, start_ps, before_ps = [], 0, -1
    for flit in range(flits):
        attempt = 0
        while _fails(fixed, errors, flit, attempt, start_ps):
            start_ps += outage_ps(fixed, start_ps, before_ps, attempt)
            attempt += 1
        times.append(start_ps + link.flit_ps + link.flight_ps)
        start_ps, before_ps = start_ps + link.flit_ps, start_ps
    return times


def _fails(fixed, errors: FlitErrors, flit: int, attempt: int, start_ps: int) -> bool:
    threshold = threshold_of(errors.event_probability)
    if errors.by_flit:
        return flit_fails(errors.seed, errors.link_index, flit, attempt, threshold)
    return slot_fails(fixed.key, start_ps // fixed.flit_ps, threshold, errors.burst_flits)


@settings(max_examples=60)
@given(
    st.sampled_from([0, 1, 2170, 8000, 30_000]),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([50, 375]),
    st.sampled_from([0.005, 0.1, 0.4]),
    st.sampled_from([0.0, 0.02, 0.2]),
    st.sampled_from([1, 3, 25]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_the_times_are_those_of_the_protocol(
    flight_ps: int,
    ack_slots: int,
    repeats_nak: bool,
    timer_flits: int,
    rate: float,
    backward: float,
    burst: int,
    by_flit: bool,
    seed: int,
) -> None:
    # A timer that ends though nothing is damaged needs all answers of its time to be lost.
    if burst * ack_slots > 20:
        backward = min(backward, 0.001)
        timer_flits = 375
    # The window stays open: the model is of a sender that only errors stop.
    link = ucie(
        flight_ps=flight_ps,
        ack_slots=ack_slots,
        repeats_nak=repeats_nak,
        timer_flits=timer_flits,
        sequence_bits=12,
        maximum_replays=10**6,
    )
    errors = FlitErrors(
        event_probability=rate if burst == 1 else rate / 10,
        backward_event_probability=backward,
        burst_flits=burst,
        seed=seed,
        link_index=2,
        by_flit=by_flit,
    )
    full = run_go_back_n(link, errors, 800, record=True)
    np.testing.assert_array_equal(stop_and_resend(link, errors, 800), full.delivered_ps)


def test_an_outage_a_slot_too_long_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.links.retry import test_outage

    link, errors = ucie(), FlitErrors(event_probability=0.05, seed=3)
    right = stop_and_resend(link, errors, 300)
    exact = outage_ps
    monkeypatch.setattr(test_outage, "outage_ps", lambda *given: exact(*given) + FLIT_PS)
    assert stop_and_resend(link, errors, 300) != right


def test_outages_of_a_flit_between_pauses() -> None:
    """Starts that are no multiple of a slot: the sender's slots go on from the start."""
    fixed = settings_of(ucie(), FlitErrors(event_probability=0.1, backward_event_probability=0), 1)
    # Sent at 3 ns, there at 13.17; the Nak goes in the slot at 16 ns and is there at 26.17; the
    # sender's slots are at 3, 11, 19, 27.
    assert outage_ps(fixed, 3000, -1, 0) == 24_000
    assert outage_ps(fixed, 3000, -1, 1) == 375 * FLIT_PS
    deaf = settings_of(ucie(), FlitErrors(event_probability=0.1, backward_event_probability=1), 1)
    assert outage_ps(deaf, 3000, -1, 0) == 375 * FLIT_PS


def test_draws_are_of_their_probability_and_apart() -> None:
    threshold = threshold_of(0.03)
    for link in range(3):
        keys = [np.uint64(wire_key(9, link, backward)) for backward in (False, True)]
        for key in keys:
            hits = sum(slot_fails(key, slot, threshold, 1) for slot in range(40_000))
            assert hits == pytest.approx(1200, abs=4 * 34)
    for attempt in range(3):
        hits = sum(flit_fails(9, 1, flit, attempt, threshold) for flit in range(40_000))
        assert hits == pytest.approx(1200, abs=4 * 34)
    # Different links, directions, attempts and seeds share no more than chance would have them.
    half = threshold_of(0.5)
    rows = [
        [flit_fails(seed, link, flit, attempt, half) for flit in range(2000)]
        for seed, link, attempt in [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)]
    ]
    for row, first in enumerate(rows):
        for second in rows[:row]:
            alike = np.mean(np.array(first) == np.array(second))
            assert alike == pytest.approx(0.5, abs=0.05)


def test_a_burst_is_an_event_and_the_slots_behind_it() -> None:
    key, threshold = np.uint64(wire_key(5, 0, False)), threshold_of(0.02)
    begins = [slot for slot in range(3000) if slot_fails(key, slot, threshold, 1)]
    spoiled = {slot for begin in begins for slot in range(begin, begin + 4)}
    assert {slot for slot in range(3000) if slot_fails(key, slot, threshold, 4)} == {
        slot for slot in spoiled if slot < 3000
    }
    assert slot_fails(key, 7, threshold_of(1.0), 1)
    assert not slot_fails(key, 7, threshold_of(0.0), 9)
