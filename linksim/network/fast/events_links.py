"""What links decide, compiled: who has their virtual channels, and whose flit is next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.network.fast.events_ends import (
    decide_at,
    enter_buffer,
    free_channel_ps,
    leave_buffer,
    postpone,
    reach_destination,
)
from linksim.network.fast.events_tables import (
    ALLOCATABLE_PS,
    AVAILABLE_PS,
    BUFFER,
    CHANNEL_COLUMNS,
    CHANNELS,
    CHANNELS_END,
    CREDIT_COUNT,
    CREDIT_FIRST,
    CREDIT_PS,
    CREDIT_RING,
    CREDIT_STALL_PS,
    CREDITS,
    DECISION_PS,
    FAILED_LINK,
    FIRST_FLIT_PS,
    FLIGHT_PS,
    FLIT_FIRST,
    FLIT_PS,
    FLIT_RING,
    FLIT_START_COLUMNS,
    FLITS,
    FLITS_SENT,
    FREE_PS,
    HEAP,
    HEAP_END,
    HOLDER,
    HOP,
    LAST_ARRIVED_PS,
    LAST_GRANTED,
    LIMIT_PS,
    LINK_NUMBER,
    NEXT_CHANNEL,
    NEXT_LINK,
    NEXT_QUEUED,
    NONE,
    ORDER,
    PASSAGE_COLUMNS,
    PASSAGE_FIRST,
    PASSAGE_RING,
    PASSING,
    PAUSE_PS,
    QUEUE_FIRST,
    QUEUE_LAST,
    READY_AT_PS,
    READY_FLITS,
    READY_PS,
    REPLAYS,
    REQUEST_COLUMNS,
    REQUEST_ORDER,
    REQUESTED_PS,
    REQUESTS,
    REQUESTS_END,
    ROUTE,
    ROUTE_END,
    SEGMENT_COLUMNS,
    SEGMENT_SENT,
    SENT,
    SENT_PS,
    SOURCE,
    STALL_PS,
    STARTED_PS,
    STARTS,
    STARTS_END,
    STARTS_LIMIT,
    STARVED_PS,
    TURN_PS,
    WIRE_FREE_PS,
)
from linksim.network.fast.message import NEVER
from linksim.network.faults import transmission

REACHED, FULL, FAILED = range(3)
"""Why `carry_on` stops: at its limit, no row for flits is left, or a link has failed."""


@njit(cache=True, nogil=True)
def carry_on(state: Any, faults: Any) -> Any:
    """Let links decide up to `LIMIT_PS`, or to the first delivery where that is sooner."""
    while state[HEAP] < state[HEAP_END]:
        link = state[state[HEAP]]
        now_ps = state[link + DECISION_PS]
        if now_ps >= state[LIMIT_PS]:
            break
        if state[STARTS_END] == state[STARTS_LIMIT] and state[STARTS_END] > state[STARTS]:
            return FULL
        _allocate(state, link, now_ps)
        if state[link + WIRE_FREE_PS] <= now_ps and not _grant(state, faults, link, now_ps):
            state[FAILED_LINK] = link
            return FAILED
        postpone(state, link, _next_decision_ps(state, link))
    return REACHED


@njit(cache=True, nogil=True)
def queue(state: Any, link: Any, message: Any) -> None:
    """Let *message* wait at its first *link*, among those that start there in turn."""
    before, after = state[link + QUEUE_LAST], NONE
    if before != NONE and _is_before(state, message, before):
        before, after = NONE, state[link + QUEUE_FIRST]
        while not _is_before(state, message, after):
            before, after = after, state[after + NEXT_QUEUED]
    state[message + NEXT_QUEUED] = after
    if before == NONE:
        state[link + QUEUE_FIRST] = message
    else:
        state[before + NEXT_QUEUED] = message
    if after == NONE:
        state[link + QUEUE_LAST] = message
    free_ps = free_channel_ps(state, link)
    if free_ps != NEVER:
        decide_at(state, link, max(state[message + READY_PS], free_ps))


@njit(cache=True, nogil=True)
def _is_before(state: Any, one: Any, other: Any) -> Any:
    """Whether message *one* asked for a virtual channel before *other*."""
    if state[one + READY_PS] != state[other + READY_PS]:
        return state[one + READY_PS] < state[other + READY_PS]
    return state[one + ORDER] < state[other + ORDER]


@njit(cache=True, nogil=True)
def _next_decision_ps(state: Any, link: Any) -> Any:
    """When *link* can decide something again, as far as is known."""
    flit_ps = free_ps = NEVER
    for channel in range(state[link + CHANNELS], state[link + CHANNELS_END], CHANNEL_COLUMNS):
        if state[channel + HOLDER] == NONE:
            free_ps = min(free_ps, state[channel + ALLOCATABLE_PS])
        else:
            flit_ps = min(flit_ps, max(state[channel + AVAILABLE_PS], state[channel + CREDIT_PS]))
    if flit_ps != NEVER:
        flit_ps = max(flit_ps, state[link + WIRE_FREE_PS])
    if free_ps == NEVER:
        return flit_ps
    asked_ps = NEVER
    if state[link + QUEUE_FIRST] != NONE:
        asked_ps = state[state[link + QUEUE_FIRST] + READY_PS]
    for request in range(state[link + REQUESTS], state[link + REQUESTS_END], REQUEST_COLUMNS):
        asked_ps = min(asked_ps, state[request + REQUESTED_PS])
    return min(flit_ps, max(asked_ps, free_ps))


@njit(cache=True, nogil=True)
def _allocate(state: Any, link: Any, now_ps: Any) -> None:
    """Hand out free virtual channels of *link*, to who asked first."""
    for channel in range(state[link + CHANNELS], state[link + CHANNELS_END], CHANNEL_COLUMNS):
        if state[channel + HOLDER] != NONE or state[channel + ALLOCATABLE_PS] > now_ps:
            continue
        message, chosen = state[link + QUEUE_FIRST], NONE
        asked_ps, order = now_ps + 1, np.int64(0)
        if message != NONE:
            asked_ps, order = state[message + READY_PS], state[message + ORDER]
        for request in range(state[link + REQUESTS], state[link + REQUESTS_END], REQUEST_COLUMNS):
            requested_ps = state[request + REQUESTED_PS]
            if requested_ps < asked_ps or (
                requested_ps == asked_ps and state[request + REQUEST_ORDER] < order
            ):
                asked_ps, order = requested_ps, state[request + REQUEST_ORDER]
                chosen = request
        if asked_ps > now_ps:
            return
        state[channel + FREE_PS] = now_ps
        state[channel + SENT] = 0
        if chosen == NONE:
            _begin_here(state, link, channel, now_ps)
        else:
            _begin_from_buffer(state, link, channel, chosen)


@njit(cache=True, nogil=True)
def _begin_here(state: Any, link: Any, channel: Any, now_ps: Any) -> None:
    """Give *channel* to the first message that starts at *link*."""
    message = state[link + QUEUE_FIRST]
    state[link + QUEUE_FIRST] = state[message + NEXT_QUEUED]
    if state[link + QUEUE_FIRST] == NONE:
        state[link + QUEUE_LAST] = NONE
    state[channel + HOLDER], state[channel + HOP] = message, 0
    state[channel + SOURCE] = NONE
    state[channel + AVAILABLE_PS] = _bytes_ready_ps(state, message, 0)
    state[message + TURN_PS] = now_ps


@njit(cache=True, nogil=True)
def _bytes_ready_ps(state: Any, message: Any, flit: Any) -> Any:
    """When the bytes of *flit*, no earlier one than asked for before, are out of the encoder."""
    segment = state[message + SEGMENT_SENT]
    while state[segment + READY_FLITS] <= flit:
        segment += SEGMENT_COLUMNS
    state[message + SEGMENT_SENT] = segment
    return state[segment + READY_AT_PS]


@njit(cache=True, nogil=True)
def _begin_from_buffer(state: Any, link: Any, channel: Any, request: Any) -> None:
    """Give *channel* to the message at the head of the receive buffer of *request*."""
    buffer = state[request + BUFFER]
    state[link + REQUESTS_END] -= REQUEST_COLUMNS
    last = state[link + REQUESTS_END]
    for column in range(REQUEST_COLUMNS):
        state[request + column] = state[last + column]
    head = state[buffer + PASSAGE_RING] + PASSAGE_COLUMNS * state[buffer + PASSAGE_FIRST]
    message = state[head + PASSING]
    state[channel + HOLDER] = message
    state[channel + HOP] = state[head + NEXT_LINK] - state[message + ROUTE]
    state[channel + SOURCE] = buffer
    state[buffer + NEXT_CHANNEL] = channel
    # It asked when its first flit was known, which is still there.
    state[channel + AVAILABLE_PS] = state[state[buffer + FLIT_RING] + state[buffer + FLIT_FIRST]]


@njit(cache=True, nogil=True)
def _grant(state: Any, faults: Any, link: Any, now_ps: Any) -> Any:
    """Send a flit of the next virtual channel in turn that can; whether the link still works."""
    first, end = state[link + CHANNELS], state[link + CHANNELS_END]
    channel = state[link + LAST_GRANTED]
    for _ in range(first, end, CHANNEL_COLUMNS):
        channel += CHANNEL_COLUMNS
        if channel == end:
            channel = first
        if max(state[channel + AVAILABLE_PS], state[channel + CREDIT_PS]) <= now_ps:
            state[link + LAST_GRANTED] = channel
            return _send(state, faults, link, channel, now_ps)
    return True


@njit(cache=True, nogil=True)
def _send(state: Any, faults: Any, link: Any, channel: Any, now_ps: Any) -> Any:
    """Grant the wire to the next flit of *channel*; whether it ever arrives whole."""
    message, flit = state[channel + HOLDER], state[channel + SENT]
    number, sent = state[link + LINK_NUMBER], state[link + FLITS_SENT]
    start_ps, replays, late_ps = transmission(
        faults, number, sent, now_ps, state[link + STARTED_PS]
    )
    if start_ps < 0:
        return False
    end_ps = start_ps + state[link + FLIT_PS]
    arrived_ps = end_ps + state[link + FLIGHT_PS] + late_ps
    arrived_ps = max(arrived_ps, state[link + LAST_ARRIVED_PS] + 1)
    state[link + STARTED_PS], state[link + WIRE_FREE_PS] = start_ps, end_ps
    state[link + LAST_ARRIVED_PS] = arrived_ps
    state[link + FLITS_SENT] = sent + 1
    state[link + REPLAYS] += replays
    if state[STARTS_LIMIT] > state[STARTS]:
        _record(state, channel, start_ps)
    _count_waits(state, link, channel, start_ps)
    _take_credit(state, channel)
    state[channel + SENT] = flit + 1
    state[channel + FREE_PS] = end_ps
    done = flit + 1 == state[message + FLITS]
    if state[channel + SOURCE] != NONE:
        available_ps = leave_buffer(state, state[channel + SOURCE], done, now_ps)
    elif not done:
        available_ps = _bytes_ready_ps(state, message, flit + 1)
    else:
        available_ps = NEVER
        state[message + SENT_PS] = end_ps
    state[channel + AVAILABLE_PS] = available_ps
    if state[message + ROUTE] + state[channel + HOP] + 1 == state[message + ROUTE_END]:
        reach_destination(state, message, channel, arrived_ps)
    else:
        enter_buffer(state, channel, arrived_ps)
    if done:
        state[channel + HOLDER] = NONE
        state[channel + ALLOCATABLE_PS] = end_ps + state[link + PAUSE_PS]
    return True


@njit(cache=True, nogil=True)
def _count_waits(state: Any, link: Any, channel: Any, start_ps: Any) -> None:
    """What the next flit of *channel* waited for: its bytes, a credit, or others on the wire."""
    free_ps = state[channel + FREE_PS]
    there_ps = max(free_ps, state[channel + AVAILABLE_PS])
    # A credit that comes after that comes to a channel without any: one that another was left
    # for came before the wire was free of the flit that took the other.
    stall_ps = max(state[channel + CREDIT_PS] - there_ps, 0)
    state[link + STALL_PS] += stall_ps
    if state[channel + HOP]:
        return
    message = state[channel + HOLDER]
    state[message + CREDIT_STALL_PS] += stall_ps
    if state[channel + SENT]:
        state[message + STARVED_PS] += there_ps - free_ps
    else:
        state[message + FIRST_FLIT_PS] = start_ps


@njit(cache=True, nogil=True)
def _take_credit(state: Any, channel: Any) -> None:
    """Use the first credit of a channel."""
    state[channel + CREDIT_COUNT] -= 1
    first = state[channel + CREDIT_FIRST] + 1
    if first == state[channel + CREDITS]:
        first = 0
    state[channel + CREDIT_FIRST] = first
    state[channel + CREDIT_PS] = NEVER
    if state[channel + CREDIT_COUNT]:
        state[channel + CREDIT_PS] = state[state[channel + CREDIT_RING] + first]


@njit(cache=True, nogil=True)
def _record(state: Any, channel: Any, start_ps: Any) -> None:
    """Write down the flit of *channel* that starts at *start_ps*."""
    row = state[STARTS_END]
    state[STARTS_END] = row + FLIT_START_COLUMNS
    state[row] = start_ps
    state[row + 1] = state[state[channel + HOLDER] + ORDER]
    state[row + 2] = state[channel + HOP]
    state[row + 3] = state[channel + SENT]
