"""Per-packet retry, compiled: only what arrived damaged is sent again, the receiver reorders.

The link class is NVLink's, whose retry is not published; the rules here are stated in
`linksim.links.retry.reference_per_packet`, in plain words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.links.retry.delivery import hand_on
from linksim.links.retry.draws import event_begins, flit_fails
from linksim.links.retry.go_back_n import Progress
from linksim.links.retry.parameters import FlitErrors, RetryLink, RetryResult
from linksim.links.retry.state import first_state, result_of, ring, settings_of

_STEP_FLITS = 1_000_000
_LOST = -1
_IDLE = -1
_UNUSED, _WHOLE, _DAMAGED = 0, 1, 2
"""What the receiver found of a slot."""
_SENT_IN, _ACKED, _WAITS, _ATTEMPTS = range(4)
"""Of a packet: slot it was sent in last, 1: the receiver has it, 1: it waits to be sent again,
times it was sent again."""


def run_per_packet(
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
    slots = link.timer_flits + 2 * link.forward_slots + link.ack_slots + 2
    carried, verdicts = ring(slots), ring(slots, _UNUSED)
    answers = ring(link.forward_slots + 1)
    packets = np.zeros((link.modulus, 4), np.int64)
    held = ring(link.modulus)
    waiting = ring(link.modulus + 1)
    attempts = np.zeros(link.modulus, np.int64)
    seen = ring(4 * link.modulus)
    delivered_ps = np.full(flits if record else 0, -1, np.int64)
    for until in range(_STEP_FLITS, flits + _STEP_FLITS, _STEP_FLITS):
        _advance(
            state, settings, min(until, flits), carried, verdicts, answers, packets, waiting,
            held, attempts, seen, delivered_ps,
        )  # fmt: skip
        if state["failed"][0] >= 0:
            break
        if progress is not None:
            progress(min(until, flits))
    return result_of(state, settings, delivered_ps)


@njit(cache=True, nogil=True)
def _advance(
    states: Any,
    settings: Any,
    until: Any,
    carried: Any,
    verdicts: Any,
    answers: Any,
    packets: Any,
    waiting: Any,
    held: Any,
    attempts: Any,
    seen: Any,
    delivered_ps: Any,
) -> None:
    """Go on, slot by slot, until the receiver handed on *until* flits or the link failed."""
    state = states[0]
    while state.expected < until:
        _hear(state, settings, carried, verdicts, answers, packets, waiting)
        _watch_timer(state, settings, carried, packets, waiting)
        _send(state, settings, carried, packets, waiting)
        if state.failed >= 0:
            return
        _receive(state, settings, carried, verdicts, held, attempts, seen, delivered_ps)
        _answer(state, settings, verdicts, answers)
        state.slot += 1


@njit(cache=True, nogil=True, inline="always")
def _hear(
    state: Any,
    settings: Any,
    carried: Any,
    verdicts: Any,
    answers: Any,
    packets: Any,
    waiting: Any,
) -> None:
    """The sender takes the Ack that has just arrived, with a verdict on each of its slots."""
    answered = state.slot - settings.forward_slots
    if answered < 0 or answered % settings.ack_slots:
        return
    answer = answers[answered & (len(answers) - 1)]
    if answer == _LOST:
        return
    state.acked += (answer - state.acked) & settings.mask
    last = answered - settings.forward_slots
    for slot in range(max(0, last - settings.ack_slots + 1), last + 1):
        place = slot & (len(verdicts) - 1)
        packet = carried[place]
        if verdicts[place] == _UNUSED or packet < state.acked:
            continue
        record = packets[packet & settings.mask]
        if verdicts[place] == _WHOLE:
            record[_ACKED] = 1
        elif record[_SENT_IN] == slot and not record[_ACKED]:
            _let_wait(state, packet, record, waiting)


@njit(cache=True, nogil=True, inline="always")
def _watch_timer(state: Any, settings: Any, carried: Any, packets: Any, waiting: Any) -> None:
    """The packet that was sent a timer ago is sent again if nothing was heard of it."""
    slot = state.slot - settings.timer
    packet = carried[slot & (len(carried) - 1)] if slot >= 0 else _IDLE
    if packet < state.acked or packet == _IDLE:
        return
    record = packets[packet & settings.mask]
    if record[_SENT_IN] == slot and not record[_ACKED] and not record[_WAITS]:
        state.timeouts += 1
        _let_wait(state, packet, record, waiting)


@njit(cache=True, nogil=True, inline="always")
def _let_wait(state: Any, packet: Any, record: Any, waiting: Any) -> None:
    if not record[_WAITS]:
        record[_WAITS] = 1
        waiting[(state.waiting_head + state.waiting) & (len(waiting) - 1)] = packet
        state.waiting += 1


@njit(cache=True, nogil=True, inline="always")
def _send(state: Any, settings: Any, carried: Any, packets: Any, waiting: Any) -> None:
    """Send what waits to be sent again, else a new packet if the window allows one."""
    place = state.slot & (len(carried) - 1)
    while state.waiting:
        packet = waiting[state.waiting_head & (len(waiting) - 1)]
        state.waiting_head += 1
        state.waiting -= 1
        record = packets[packet & settings.mask]
        if packet < state.acked or record[_ACKED]:
            record[_WAITS] = 0
            continue
        if record[_ATTEMPTS] == settings.maximum_replays:
            state.failed, state.failed_slot = packet, state.slot
            state.failed_replays = record[_ATTEMPTS]
            return
        record[_ATTEMPTS] += 1
        record[_WAITS] = 0
        record[_SENT_IN] = state.slot
        state.most_replays = max(state.most_replays, record[_ATTEMPTS])
        carried[place] = packet
        state.replays += 1
        state.resent += 1
        state.sent += 1
        return
    if state.next >= settings.flits or state.next - state.acked >= settings.window:
        carried[place] = _IDLE
        state.idle += 1
        return
    record = packets[state.next & settings.mask]
    record[:] = 0
    record[_SENT_IN] = state.slot
    carried[place] = state.next
    state.next += 1
    state.opened += 1
    state.sent += 1


@njit(cache=True, nogil=True, inline="always")
def _receive(
    state: Any,
    settings: Any,
    carried: Any,
    verdicts: Any,
    held: Any,
    attempts: Any,
    seen: Any,
    delivered_ps: Any,
) -> None:
    """The receiver judges the packet that has just arrived and hands on what is in order."""
    slot = state.slot - settings.forward_slots
    if slot < 0:
        return
    if not settings.by_flit and event_begins(settings.key, slot, settings.threshold):
        state.event = slot
    place = slot & (len(carried) - 1)
    packet = carried[place]
    verdicts[place] = _UNUSED
    if packet == _IDLE:
        return
    number = packet & settings.mask
    ahead = (number - state.expected) & settings.mask
    wanted = ahead < settings.window and held[number] < 0
    if settings.by_flit:
        damaged = wanted and flit_fails(
            settings.seed, settings.link_index, packet, attempts[number], settings.threshold
        )
        attempts[number] += damaged
    else:
        damaged = slot - state.event < settings.burst
    verdicts[place] = _DAMAGED if damaged else _WHOLE
    if damaged:
        state.damaged += 1
        state.naks += 1
        return
    if not wanted:
        state.discarded += 1
        return
    held[number] = packet
    number = state.expected & settings.mask
    while held[number] >= 0:
        hand_on(state, settings, held[number], slot, seen, delivered_ps)
        held[number] = -1
        attempts[number] = 0
        state.expected += 1
        number = state.expected & settings.mask


@njit(cache=True, nogil=True, inline="always")
def _answer(state: Any, settings: Any, verdicts: Any, answers: Any) -> None:
    """The receiver sends the number it waits for and its verdicts since the last answer."""
    if event_begins(settings.backward_key, state.slot, settings.backward_threshold):
        state.backward_event = state.slot
    if state.slot % settings.ack_slots:
        return
    answer = state.expected & settings.mask
    if state.slot - state.backward_event < settings.burst:
        answer = _LOST
        state.feedback_lost += 1
        last = state.slot - settings.forward_slots
        for slot in range(max(0, last - settings.ack_slots + 1), last + 1):
            state.naks_lost += verdicts[slot & (len(verdicts) - 1)] == _DAMAGED
    answers[state.slot & (len(answers) - 1)] = answer
