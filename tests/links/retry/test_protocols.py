"""The compiled protocols against the readable reference, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.links import link_preset
from linksim.links.retry import (
    FlitErrors,
    LinkFailure,
    RetryLink,
    RetryResult,
    flit_errors,
    go_back_n,
    retry_link,
)
from linksim.links.retry.delivery import hand_on
from linksim.links.retry.reference import Channel, Flit, GoBackNReceiver, run_reference
from linksim.links.retry.state import first_state, ring, settings_of
from tests.links.retry.links import FLIGHT_PS, FLIT_PS, error_models, links, of_bits, run, ucie

QUIET = FlitErrors(event_probability=0)
FINE = {"lost": 0, "duplicated": 0, "reordered": 0}


def counted(result: RetryResult) -> dict[str, int]:
    return {name: getattr(result, name) for name in FINE}


def without_validation(link: RetryLink, **fields: int) -> RetryLink:
    """*link* with fields that its constructor would refuse."""
    for name, value in fields.items():
        object.__setattr__(link, name, value)
    return link


@hypothesis_settings(max_examples=100)
@given(links(), error_models(), st.sampled_from([1, 3, 40, 160]))
def test_compiled_is_the_reference(link: RetryLink, errors: FlitErrors, flits: int) -> None:
    compiled = run(link, errors, flits, record=True)
    readable, handed_on = run_reference(link, [b""] * flits, Channel(errors))
    assert compiled == readable
    np.testing.assert_array_equal(compiled.delivered_ps, readable.delivered_ps)
    assert [flit.index for flit in handed_on] == list(range(compiled.delivered))
    assert counted(compiled) == FINE
    assert (compiled.delivered == flits) == (compiled.failure is None)


@given(links(), st.sampled_from([1, 200]))
def test_without_errors_nothing_waits_but_for_the_window(link: RetryLink, flits: int) -> None:
    result = run(link, QUIET, flits, record=True)
    assert result.resent == result.naks == result.damaged == 0
    if link.window >= link.round_trip_slots + link.ack_slots - 1:
        expected = (np.arange(flits) + 1) * link.flit_ps + link.flight_ps
        np.testing.assert_array_equal(result.delivered_ps, expected)


def test_one_damaged_flit_costs_a_round_trip() -> None:
    """Slot by slot: flit 10 is damaged in slot 10, and no answer is."""
    seed = next(
        seed
        for seed in range(10_000)
        if [slot for slot in range(100) if _fails(seed, slot)] == [10]
    )
    errors = FlitErrors(event_probability=0.01, backward_event_probability=0, seed=seed)
    times = run(ucie(), errors, 60, record=True).delivered_ps
    # Slot 10 ends at 88 ns and is judged at 90.17; the Nak goes back in slot 12, is there at
    # 106.17, and flit 10 goes again in slot 14.
    assert times[9] == 10 * FLIT_PS + FLIGHT_PS
    assert times[10] == 15 * FLIT_PS + FLIGHT_PS
    assert (np.diff(times[10:]) == FLIT_PS).all()
    selective = run(ucie(protocol="per-packet"), errors, 60, record=True).delivered_ps
    # Flits 11 to 13 wait for flit 10 and are handed on with it; one slot is lost.
    assert set(selective[10:14]) == {15 * FLIT_PS + FLIGHT_PS}
    assert selective[59] == 61 * FLIT_PS + FLIGHT_PS


def _fails(seed: int, slot: int) -> bool:
    errors = FlitErrors(event_probability=0.01, seed=seed)
    return Channel(errors).carry(slot, Flit(0, 0), wanted=True) is None


@pytest.mark.parametrize("protocol", ["go-back-n", "per-packet"])
def test_many_flits_many_errors(protocol: str) -> None:
    link = ucie(protocol=protocol, ack_slots=2, maximum_replays=100)
    for burst in (1, 3, 100):
        errors = FlitErrors(event_probability=0.01, burst_flits=burst, seed=burst)
        result = run(link, errors, 100_000)
        assert result.delivered == 100_000
        assert counted(result) == FINE
        assert result.timeouts > 0
        assert result.naks_lost > 0


def test_a_window_of_all_numbers_is_caught() -> None:
    """With as many flits under way as there are numbers, old ones pass for new ones."""
    errors = FlitErrors(event_probability=0.05, backward_event_probability=0.6, seed=2)
    fields = {"sequence_bits": 3, "timer_flits": 20, "maximum_replays": 10**6}
    largest = ucie(**fields, window_flits=7)
    assert counted(run(largest, errors, 5000)) == FINE
    broken = run(without_validation(ucie(**fields), window_flits=8), errors, 5000)
    assert broken.lost > 0
    assert broken.duplicated > 0


def test_a_receiver_that_ignores_numbers_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self, flit, slot, now_ps):
        if flit is not None:
            self._log.hand_on(flit, now_ps)
            self._expected += 1

    monkeypatch.setattr(GoBackNReceiver, "take", take)
    errors = FlitErrors(event_probability=0.1, seed=1)
    result, _ = run_reference(ucie(), [b""] * 200, Channel(errors))
    assert result.lost > 0


def test_the_check_sees_holes_duplicates_and_order() -> None:
    """Handed on as 0, 2, 1, 1, 4: one twice, one late, 3 never."""
    state, seen = first_state(), ring(64)
    fixed = settings_of(ucie(), QUIET, 5)
    for flit in (0, 2, 1, 1, 4):
        hand_on(state[0], fixed, flit, 0, seen, np.zeros(0, np.int64))
    found = (int(state[name][0]) for name in ("distinct", "duplicated", "reordered", "highest"))
    assert tuple(found) == (4, 1, 1, 5)


@pytest.mark.parametrize("protocol", ["go-back-n", "per-packet"])
@pytest.mark.parametrize("repeats_nak", [False, True])
def test_a_dead_link_ends_with_a_report(protocol: str, repeats_nak: bool) -> None:
    link = ucie(protocol=protocol, repeats_nak=repeats_nak, maximum_replays=4)
    dead = FlitErrors(event_probability=1.0, backward_event_probability=0)
    result = run(link, dead, 1000)
    assert result.delivered == 0
    assert result.failure is not None
    assert (result.failure.flit, result.failure.replays) == (0, 4)
    # The first Nak is heard after 4 slots; then the timer, or the next Nak, ends each replay.
    wait = 4 if repeats_nak or protocol == "per-packet" else 375
    assert result.failure.at_ps == (4 + 4 * wait) * FLIT_PS
    assert str(LinkFailure(7, 4, 1_234_567)) == (
        "the link failed at 1234.567 ns: flit 7 was sent again 4 times and never acknowledged"
    )


def test_without_acks_the_timer_replays_and_gives_up() -> None:
    deaf = FlitErrors(event_probability=0, backward_event_probability=1.0)
    result = run(ucie(maximum_replays=3), deaf, 1000)
    assert result.failure == LinkFailure(0, 3, 4 * 375 * FLIT_PS)
    assert (result.timeouts, result.replays, result.delivered) == (4, 3, 127)
    assert counted(result) == FINE


def test_a_run_is_a_function_of_its_seed() -> None:
    errors = [FlitErrors(event_probability=0.01, seed=seed) for seed in (4, 4, 5)]
    first, again, other = (run(ucie(), each, 20_000) for each in errors)
    assert first == again != other


def test_progress_reaches_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go_back_n, "_STEP_FLITS", 400)
    seen: list[int] = []
    errors = FlitErrors(event_probability=0.01, seed=1)
    stepped = go_back_n.run_go_back_n(ucie(), errors, 1000, progress=seen.append)
    assert seen == [400, 800, 1000]
    assert stepped == run(ucie(), errors, 1000)


def test_a_preset_gives_link_and_errors() -> None:
    preset = link_preset("ucie-standard-x16-16").with_errors(1e-6, burst_flits=3)
    assert retry_link(preset) == ucie(maximum_replays=4, ack_slots=2)
    assert retry_link(preset, ack_slots=1) == ucie(maximum_replays=4)
    errors = flit_errors(preset, 7, 2)
    assert errors.event_probability == pytest.approx(of_bits(1e-6), rel=1e-9)
    assert (errors.burst_flits, errors.seed, errors.link_index) == (3, 7, 2)
    with pytest.raises(LinksimError, match="retry: none: expected a link with retry"):
        retry_link(link_preset("ucie-standard-x16-16/raw"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"flit_ps": 0}, "flit_ps: 0: expected 1 or more"),
        ({"flight_ps": -1}, "flight_ps: -1: expected 0 or more"),
        ({"protocol": "hope"}, "protocol: 'hope': expected go-back-n or per-packet"),
        ({"sequence_bits": 21}, "sequence_bits: 21: expected 2 to 20"),
        ({"window_flits": 256}, "window_flits: 256: expected 1 to 255"),
        ({"window_flits": 129, "protocol": "per-packet"}, "window_flits: 129: expected 1 to 128"),
        ({"window_flits": 0}, "window_flits: 0: expected 1 to 255"),
        ({"timer_flits": 4}, "timer_flits: 4: expected at least 5"),
        ({"maximum_replays": 0}, "maximum_replays: 0: expected 1 or more"),
    ],
)
def test_refuses_links(fields: dict[str, int], problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        ucie(**fields)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"event_probability": 1.5}, "a probability of 1.5: expected 0 to 1"),
        ({"event_probability": -0.1}, "a probability of -0.1: expected 0 to 1"),
        ({"event_probability": float("nan")}, "a probability of nan: expected 0 to 1"),
        ({"event_probability": 0, "backward_event_probability": 2}, "a probability of 2"),
        ({"event_probability": 0, "burst_flits": 0}, "burst_flits: 0: expected 1 or more"),
        ({"event_probability": 0, "seed": -1}, "seed: -1: expected 0 to"),
    ],
)
def test_refuses_errors(fields: dict[str, float], problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        FlitErrors(**fields)  # type: ignore[arg-type]
