"""What is at the ends of links, compiled: who asks for them, receive buffers, decoders.

Nothing that a link decides has an effect elsewhere before the next picosecond, and when it has one
is known at once. So flits that arrive and credits that come back need no events of their own: what
becomes known goes to where it will count, with its time, and the link there decides at that time.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from linksim.network.fast.events_tables import (
    ALLOCATABLE_PS,
    ARRIVED,
    ARRIVED_PS,
    AVAILABLE_PS,
    BUFFER,
    CHANNEL_COLUMNS,
    CHANNELS,
    CHANNELS_END,
    CORES,
    CORES_END,
    CREDIT_COUNT,
    CREDIT_FIRST,
    CREDIT_PS,
    CREDIT_RING,
    CREDITS,
    DECISION_PS,
    DECODED,
    DECODER_LATENCY_PS,
    DELIVERED_PS,
    FLIGHT_PS,
    FLIT_COUNT,
    FLIT_FIRST,
    FLIT_RING,
    FLITS,
    FORWARDING_PS,
    FOUND_FIRST,
    FOUND_LAST,
    GATHER_PS,
    GATHERING,
    GATHERING_LAST,
    HEAP,
    HEAP_END,
    HEAP_PLACE,
    HOLDER,
    HOP,
    LAST_CHANNEL,
    LIMIT_PS,
    LINK,
    NEEDED_FLITS,
    NEXT_CHANNEL,
    NEXT_FOUND,
    NEXT_GATHERED,
    NEXT_LINK,
    NONE,
    OCCUPANCY_PS,
    ORDER,
    OUT_PS,
    PASSAGE_COLUMNS,
    PASSAGE_COUNT,
    PASSAGE_FIRST,
    PASSAGE_RING,
    PASSING,
    PULLED,
    REQUEST_COLUMNS,
    REQUEST_ORDER,
    REQUESTED_PS,
    REQUESTS_END,
    ROUTE,
    SEGMENT_COLUMNS,
    SEGMENT_GATHERED,
    SEGMENTS_END,
    SENT,
    WIRE_FREE_PS,
    WORK_PS,
)
from linksim.network.fast.message import NEVER


@njit(cache=True, nogil=True)
def decide_at(state: Any, link: Any, at_ps: Any) -> None:
    """Let *link* decide at *at_ps*, if it does not sooner."""
    if at_ps >= state[link + DECISION_PS]:
        return
    state[link + DECISION_PS] = at_ps
    heap, place = state[HEAP], state[link + HEAP_PLACE]
    while place > 0:
        above = (place - 1) >> 1
        other = state[heap + above]
        if state[other + DECISION_PS] <= at_ps:
            break
        state[heap + place] = other
        state[other + HEAP_PLACE] = place
        place = above
    state[heap + place] = link
    state[link + HEAP_PLACE] = place


@njit(cache=True, nogil=True)
def postpone(state: Any, link: Any, at_ps: Any) -> None:
    """Let *link*, which has decided, decide at *at_ps* next, not sooner than so far."""
    state[link + DECISION_PS] = at_ps
    heap, place = state[HEAP], state[link + HEAP_PLACE]
    count = state[HEAP_END] - heap
    while True:
        below = 2 * place + 1
        if below >= count:
            break
        other = state[heap + below]
        other_ps = state[other + DECISION_PS]
        if below + 1 < count:
            beside = state[heap + below + 1]
            if state[beside + DECISION_PS] < other_ps:
                below, other = below + 1, beside
                other_ps = state[other + DECISION_PS]
        if other_ps >= at_ps:
            break
        state[heap + place] = other
        state[other + HEAP_PLACE] = place
        place = below
    state[heap + place] = link
    state[link + HEAP_PLACE] = place


@njit(cache=True, nogil=True)
def free_channel_ps(state: Any, link: Any) -> Any:
    """When a message can first have a virtual channel of *link*; NEVER: not known yet."""
    free_ps = NEVER
    for channel in range(state[link + CHANNELS], state[link + CHANNELS_END], CHANNEL_COLUMNS):
        if state[channel + HOLDER] == NONE:
            free_ps = min(free_ps, state[channel + ALLOCATABLE_PS])
    return free_ps


@njit(cache=True, nogil=True)
def return_credit(state: Any, channel: Any, back_ps: Any) -> None:
    """Let *channel* have a credit more at *back_ps*.

    Credits become known in the order in which they come back but for those of plain messages
    behind coded ones that wait for the decoder.
    """
    ring, places = state[channel + CREDIT_RING], state[channel + CREDITS]
    count = state[channel + CREDIT_COUNT]
    state[channel + CREDIT_COUNT] = count + 1
    place = state[channel + CREDIT_FIRST] + count
    if place >= places:
        place -= places
    while count:
        before = place - 1 if place else places - 1
        if state[ring + before] <= back_ps:
            break
        state[ring + place] = state[ring + before]
        place = before
        count -= 1
    state[ring + place] = back_ps
    if not count:
        state[channel + CREDIT_PS] = back_ps
        _decide_on(state, channel)


@njit(cache=True, nogil=True)
def _decide_on(state: Any, channel: Any) -> None:
    """Let a link decide when *channel* has a flit and a credit for it, if it ever has."""
    ready_ps = max(state[channel + AVAILABLE_PS], state[channel + CREDIT_PS])
    if ready_ps != NEVER:
        link = state[channel + LINK]
        decide_at(state, link, max(ready_ps, state[link + WIRE_FREE_PS]))


@njit(cache=True, nogil=True)
def leave_buffer(state: Any, buffer: Any, done: Any, now_ps: Any) -> Any:
    """Take the first flit, which is its message's last where *done*, from a receive buffer.

    Returns when the message's next flit can be sent on.
    """
    flight_ps = state[state[buffer + LINK] + FLIGHT_PS]
    return_credit(state, buffer, now_ps + max(flight_ps, 1))
    first = state[buffer + FLIT_FIRST] + 1
    if first == state[buffer + CREDITS]:
        first = 0
    state[buffer + FLIT_FIRST] = first
    state[buffer + FLIT_COUNT] -= 1
    available_ps = NEVER
    if state[buffer + FLIT_COUNT]:
        available_ps = state[state[buffer + FLIT_RING] + first]
    if not done:
        return available_ps
    state[buffer + NEXT_CHANNEL] = NONE
    state[buffer + PASSAGE_FIRST] += 1
    if state[buffer + PASSAGE_FIRST] == state[buffer + CREDITS]:
        state[buffer + PASSAGE_FIRST] = 0
    state[buffer + PASSAGE_COUNT] -= 1
    if state[buffer + PASSAGE_COUNT]:
        _request(state, buffer, max(available_ps, now_ps + 1))
    return NEVER


@njit(cache=True, nogil=True)
def _request(state: Any, buffer: Any, requested_ps: Any) -> None:
    """Let the message at the head of *buffer* wait for its next link."""
    head = state[buffer + PASSAGE_RING] + PASSAGE_COLUMNS * state[buffer + PASSAGE_FIRST]
    link = state[state[head + NEXT_LINK]]
    request = state[link + REQUESTS_END]
    state[link + REQUESTS_END] = request + REQUEST_COLUMNS
    state[request + REQUESTED_PS] = requested_ps
    state[request + REQUEST_ORDER] = state[state[head + PASSING] + ORDER]
    state[request + BUFFER] = buffer
    free_ps = free_channel_ps(state, link)
    if free_ps != NEVER:
        decide_at(state, link, max(requested_ps, free_ps))


@njit(cache=True, nogil=True)
def enter_buffer(state: Any, channel: Any, arrived_ps: Any) -> None:
    """Put the flit that has just been sent over *channel* into the receive buffer behind it."""
    places = state[channel + CREDITS]
    available_ps = arrived_ps + state[state[channel + LINK] + FORWARDING_PS]
    place = state[channel + FLIT_FIRST] + state[channel + FLIT_COUNT]
    if place >= places:
        place -= places
    state[channel + FLIT_COUNT] += 1
    state[state[channel + FLIT_RING] + place] = available_ps
    if state[channel + SENT] == 1:
        place = state[channel + PASSAGE_FIRST] + state[channel + PASSAGE_COUNT]
        if place >= places:
            place -= places
        state[channel + PASSAGE_COUNT] += 1
        passage = state[channel + PASSAGE_RING] + PASSAGE_COLUMNS * place
        message = state[channel + HOLDER]
        state[passage + PASSING] = message
        state[passage + NEXT_LINK] = state[message + ROUTE] + state[channel + HOP] + 1
        if state[channel + PASSAGE_COUNT] == 1:
            _request(state, channel, available_ps)
    elif state[channel + FLIT_COUNT] == 1 and state[channel + NEXT_CHANNEL] != NONE:
        # It is alone, and so the next that its message sends on.
        onward = state[channel + NEXT_CHANNEL]
        state[onward + AVAILABLE_PS] = available_ps
        _decide_on(state, onward)


@njit(cache=True, nogil=True)
def reach_destination(state: Any, message: Any, channel: Any, arrived_ps: Any) -> None:
    """Take a flit that arrives over *channel*, on the last link of *message*."""
    link = state[channel + LINK]
    state[message + ARRIVED] += 1
    state[message + ARRIVED_PS] = arrived_ps
    if not state[message + DECODED]:
        return_credit(state, channel, arrived_ps + state[link + FLIGHT_PS])
        if state[message + ARRIVED] == state[message + FLITS]:
            _deliver(state, message, arrived_ps)
        return
    if state[message + ARRIVED] == 1:
        state[message + LAST_CHANNEL] = channel
        if state[link + GATHERING] == NONE:
            state[link + GATHERING] = message
        else:
            state[state[link + GATHERING_LAST] + NEXT_GATHERED] = message
        state[link + GATHERING_LAST] = message
    if state[link + GATHERING] == message:
        state[link + GATHER_PS] = max(state[link + GATHER_PS], arrived_ps)
        while message != NONE and _gather(state, message, link):
            message = state[message + NEXT_GATHERED]
            state[link + GATHERING] = message


@njit(cache=True, nogil=True)
def _gather(state: Any, message: Any, link: Any) -> Any:
    """Gather what has arrived of *message*; whether that is all of it."""
    segment, pulled = state[message + SEGMENT_GATHERED], state[message + PULLED]
    channel, gather_ps = state[message + LAST_CHANNEL], state[link + GATHER_PS]
    while segment < state[message + SEGMENTS_END]:
        needed = state[segment + NEEDED_FLITS]
        while pulled < min(state[message + ARRIVED], needed):
            pulled += 1
            return_credit(state, channel, gather_ps + state[link + FLIGHT_PS])
        if pulled < needed:
            break
        occupancy_ps = state[segment + OCCUPANCY_PS]
        gather_ps = _decode(state, link, gather_ps, occupancy_ps)
        state[link + WORK_PS] += occupancy_ps
        out_ps = gather_ps + occupancy_ps + state[message + DECODER_LATENCY_PS]
        state[message + OUT_PS] = max(state[message + OUT_PS], out_ps)
        segment += SEGMENT_COLUMNS
    state[message + SEGMENT_GATHERED], state[message + PULLED] = segment, pulled
    state[link + GATHER_PS] = gather_ps
    if segment < state[message + SEGMENTS_END]:
        return False
    _deliver(state, message, state[message + OUT_PS])
    return True


@njit(cache=True, nogil=True)
def _decode(state: Any, link: Any, now_ps: Any, occupancy_ps: Any) -> Any:
    """Give the core that is free first a segment; its start."""
    first = state[link + CORES]
    for core in range(first + 1, state[link + CORES_END]):
        if state[core] < state[first]:
            first = core
    start_ps = max(now_ps, state[first])
    state[first] = start_ps + occupancy_ps
    return start_ps


@njit(cache=True, nogil=True)
def _deliver(state: Any, message: Any, delivered_ps: Any) -> None:
    """Report *message*; links decide no further than to its delivery, when others may begin."""
    state[message + DELIVERED_PS] = delivered_ps
    state[message + NEXT_FOUND] = NONE
    if state[FOUND_FIRST] == NONE:
        state[FOUND_FIRST] = message
    else:
        state[state[FOUND_LAST] + NEXT_FOUND] = message
    state[FOUND_LAST] = message
    state[LIMIT_PS] = min(state[LIMIT_PS], delivered_ps)
