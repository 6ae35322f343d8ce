"""Go-back-N, compiled, slot by slot: what `linksim.links.retry.reference` says in plain words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from linksim.links.retry.delivery import hand_on
from linksim.links.retry.draws import event_begins, flit_fails
from linksim.links.retry.parameters import FlitErrors, RetryLink, RetryResult
from linksim.links.retry.state import first_state, result_of, ring, settings_of

Progress = Callable[[int], None]
"""Takes the flits delivered so far."""

_STEP_FLITS = 1_000_000
_LOST = -1
"""Stands for a flit with an Ack or Nak that arrived damaged."""
_IDLE = -1


def run_go_back_n(
    link: RetryLink,
    errors: FlitErrors,
    flits: int,
    *,
    record: bool = False,
    progress: Progress | None = None,
) -> RetryResult:
    """Send *flits* that are all there from the start; *record*: keep every flit's time."""
    settings = settings_of(link, errors, flits)
    state = first_state()
    flight, answers = ring(link.forward_slots + 1), ring(link.forward_slots + 1)
    seen = ring(4 * link.modulus)
    delivered_ps = np.full(flits if record else 0, -1, np.int64)
    for until in range(_STEP_FLITS, flits + _STEP_FLITS, _STEP_FLITS):
        _advance(state, settings, min(until, flits), flight, answers, seen, delivered_ps)
        if state["failed"][0] >= 0:
            break
        if progress is not None:
            progress(min(until, flits))
    return result_of(state, settings, delivered_ps)


@njit(cache=True, nogil=True)
def _advance(
    states: Any, settings: Any, until: Any, flight: Any, answers: Any, seen: Any, delivered_ps: Any
) -> None:
    """Go on, slot by slot, until the receiver took *until* flits or the link failed."""
    state = states[0]
    while state.expected < until:
        _hear(state, settings, answers)
        if state.acked < state.opened and state.slot - state.timer_start >= settings.timer:
            state.timeouts += 1
            _go_back(state, settings)
        if state.failed >= 0:
            return
        _send(state, settings, flight)
        _receive(state, settings, flight, seen, delivered_ps)
        _answer(state, settings, answers)
        state.slot += 1


@njit(cache=True, nogil=True, inline="always")
def _hear(state: Any, settings: Any, answers: Any) -> None:
    """The sender takes the Ack or Nak that has just arrived."""
    answered = state.slot - settings.forward_slots
    if answered < 0 or answered % settings.ack_slots:
        return
    answer = answers[answered & (len(answers) - 1)]
    if answer == _LOST:
        return
    advance = ((answer >> 1) - state.acked) & settings.mask
    if advance > state.opened - state.acked:
        return
    if advance:
        state.acked += advance
        state.next = max(state.next, state.acked)
        state.timer_start = state.slot
        state.replays_of_oldest = 0
    # A Nak sent before the replay could arrive does not ask for another one.
    heard = state.slot - state.replay_start >= 2 * settings.forward_slots
    if answer & 1 and heard and state.acked < state.opened:
        _go_back(state, settings)


@njit(cache=True, nogil=True)
def _go_back(state: Any, settings: Any) -> None:
    """Begin to send again from the first flit without an Ack; too often: the link has failed."""
    if state.replays_of_oldest == settings.maximum_replays:
        state.failed, state.failed_slot = state.acked, state.slot
        state.failed_replays = state.replays_of_oldest
        return
    state.replays_of_oldest += 1
    state.most_replays = max(state.most_replays, state.replays_of_oldest)
    state.replays += 1
    state.next = state.acked
    state.replay_start = state.timer_start = state.slot


@njit(cache=True, nogil=True, inline="always")
def _send(state: Any, settings: Any, flight: Any) -> None:
    place = state.slot & (len(flight) - 1)
    if state.next >= settings.flits or state.next - state.acked >= settings.window:
        flight[place] = _IDLE
        state.idle += 1
        return
    if state.acked == state.opened:
        state.timer_start = state.slot
    flight[place] = state.next
    state.sent += 1
    if state.next < state.opened:
        state.resent += 1
    else:
        state.opened += 1
    state.next += 1


@njit(cache=True, nogil=True, inline="always")
def _receive(state: Any, settings: Any, flight: Any, seen: Any, delivered_ps: Any) -> None:
    """The receiver judges the flit that has just arrived; it looks at no more than its number."""
    slot = state.slot - settings.forward_slots
    if slot < 0:
        return
    if not settings.by_flit and event_begins(settings.key, slot, settings.threshold):
        state.event = slot
    flit = flight[slot & (len(flight) - 1)]
    if flit == _IDLE:
        return
    if settings.by_flit:
        damaged = flit == state.expected and flit_fails(
            settings.seed, settings.link_index, flit, state.attempt, settings.threshold
        )
        state.attempt += damaged
    else:
        damaged = slot - state.event < settings.burst
    if damaged:
        state.damaged += 1
        if not state.refusing:
            state.refusing = state.nak_pending = 1
    elif (flit - state.expected) & settings.mask:
        state.discarded += 1
    else:
        hand_on(state, settings, flit, slot, seen, delivered_ps)
        state.expected += 1
        state.refusing = state.nak_pending = state.attempt = 0


@njit(cache=True, nogil=True, inline="always")
def _answer(state: Any, settings: Any, answers: Any) -> None:
    """The receiver sends the number it waits for, as an Ack or a Nak."""
    if event_begins(settings.backward_key, state.slot, settings.backward_threshold):
        state.backward_event = state.slot
    if state.slot % settings.ack_slots:
        return
    nak = state.nak_pending
    state.nak_pending = nak and settings.repeats_nak
    state.naks += nak
    answer = (state.expected & settings.mask) << 1 | nak
    if state.slot - state.backward_event < settings.burst:
        answer = _LOST
        state.feedback_lost += 1
        state.naks_lost += nak
    answers[state.slot & (len(answers) - 1)] = answer
