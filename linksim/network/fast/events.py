"""Any network: links decide one after another, in order of time.

A link's decisions depend on what others decided before, never on those of the same picosecond. So
links wait in a heap with the time of their next decision; a decision that grants the wire to a flit
makes known when it arrives, when its credits are back and what may follow, wherever that matters.
Memory grows with receive buffers and with messages on their way, not with the flits of a message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from linksim.network.fast.events_links import FAILED, FULL, carry_on, queue
from linksim.network.fast.events_tables import (
    ARRIVED_PS,
    CHANNEL_COLUMNS,
    CHANNELS,
    CHANNELS_END,
    CREDIT_STALL_PS,
    DECODED,
    DECODER_LATENCY_PS,
    DELIVERED_PS,
    FAILED_LINK,
    FIRST_FLIT_PS,
    FLIT_START_COLUMNS,
    FLITS,
    FLITS_SENT,
    FOUND_FIRST,
    HEADER,
    LIMIT_PS,
    LINK_COLUMNS,
    LINK_NUMBER,
    MESSAGE_COLUMNS,
    NEEDED_FLITS,
    NEXT_FOUND,
    NEXT_GATHERED,
    NEXT_LINK,
    NEXT_QUEUED,
    NONE,
    OCCUPANCY_PS,
    ORDER,
    PASSAGE_COLUMNS,
    PASSAGE_COUNT,
    PASSAGE_FIRST,
    PASSAGE_RING,
    READY_AT_PS,
    READY_FLITS,
    READY_PS,
    REPLAYS,
    ROUTE,
    ROUTE_END,
    SEGMENT_COLUMNS,
    SEGMENT_GATHERED,
    SEGMENT_SENT,
    SEGMENTS_END,
    SENT_PS,
    STALL_PS,
    STARTS,
    STARTS_END,
    STARVED_PS,
    TURN_PS,
    WORK_PS,
    build_state,
)
from linksim.network.fast.message import Int64, Message, Passed
from linksim.network.faults import FaultTable
from linksim.network.network import Network, Pair

RECORDED = 1 << 14
"""Flit starts that are collected at a time."""


class EventTransport:
    """Messages over any network, however many share its links and virtual channels."""

    def __init__(self, network: Network, decoders: Sequence[int], *, seed: int, record_flits: bool):
        self._pairs = list(network.links)
        self._faults = FaultTable(list(network.links.values()), seed)
        self._state = build_state(network, decoders, RECORDED if record_flits else 0)
        self._end = len(self._state)
        """Where the state's unused part begins."""
        self._starts: list[Int64] = []
        self._routes: dict[tuple[int, ...], int] = {}
        """Where every route is in the state."""
        self._messages: dict[int, Message] = {}
        """Messages on their way, by where they are in the state."""
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        """Places that messages have left, by size."""

    def submit(self, message: Message) -> None:
        """Let *message* wait at its first link."""
        count = len(message.ready_flits)
        place = self._place(_size(count))
        route = self._route(message.links)
        segments = place + MESSAGE_COLUMNS
        end = segments + SEGMENT_COLUMNS * count
        rows = self._state[segments:end].reshape(count, SEGMENT_COLUMNS)
        rows[:, READY_FLITS], rows[:, READY_AT_PS] = message.ready_flits, message.ready_at_ps
        decoded = len(message.needed_flits) > 0
        if decoded:
            rows[:, NEEDED_FLITS] = message.needed_flits
            rows[:, OCCUPANCY_PS] = message.occupancy_ps
        row = [0] * MESSAGE_COLUMNS
        row[ORDER], row[READY_PS], row[FLITS] = message.order, message.ready_ps, message.flits
        row[ROUTE], row[ROUTE_END] = route, route + len(message.links)
        row[SEGMENT_SENT] = row[SEGMENT_GATHERED] = segments
        row[SEGMENTS_END] = end
        row[DECODED], row[DECODER_LATENCY_PS] = decoded, message.decoder_latency_ps
        row[NEXT_QUEUED] = row[NEXT_GATHERED] = row[NEXT_FOUND] = NONE
        self._state[place:segments] = row
        self._messages[place] = message
        queue(self._state, self._link(message.links[0]), place)

    def advance(self, limit_ps: int) -> list[Passed]:
        """Let links decide up to *limit_ps*, or to the first delivery where that is sooner."""
        state = self._state
        state[LIMIT_PS] = limit_ps
        while (stopped := carry_on(state, self._faults.values)) == FULL:
            self._flush()
        if stopped == FAILED:
            link = int(state[FAILED_LINK])
            number = int(state[link + LINK_NUMBER])
            flit = int(state[link + FLITS_SENT])
            raise self._faults.failure(self._pairs[number], number, flit)
        found, place = [], int(state[FOUND_FIRST])
        while place != NONE:
            row = state[place : place + MESSAGE_COLUMNS].tolist()
            found.append(self._passed(place, row))
            place = row[NEXT_FOUND]
        state[FOUND_FIRST] = NONE
        return found

    def load(self, link: int) -> tuple[int, int, int, int]:
        """Flits, replays, credit stall in ps, and the decoder cores' work in ps of one link."""
        first = self._link(link)
        row = self._state[first : first + LINK_COLUMNS].tolist()
        return row[FLITS_SENT], row[REPLAYS], row[STALL_PS], row[WORK_PS]

    def blocked(self) -> list[tuple[Pair, Pair]]:
        """Of every receive buffer with flits that wait: their link, and the one they wait for."""
        state, found = self._state, []
        for number, pair in enumerate(self._pairs):
            link = self._link(number)
            channels = range(state[link + CHANNELS], state[link + CHANNELS_END], CHANNEL_COLUMNS)
            for channel in channels:
                if state[channel + PASSAGE_COUNT]:
                    first = PASSAGE_COLUMNS * state[channel + PASSAGE_FIRST]
                    wanted = state[state[channel + PASSAGE_RING] + first + NEXT_LINK]
                    found.append((pair, self._pairs[state[state[wanted] + LINK_NUMBER]]))
        return found

    def flit_starts(self) -> Any:
        """Start, task, hop and flit of every flit on every link, where recorded: int64 [n, 4]."""
        self._flush()
        return np.concatenate(self._starts).reshape(-1, FLIT_START_COLUMNS)

    def _flush(self) -> None:
        state = self._state
        self._starts.append(state[state[STARTS] : state[STARTS_END]].copy())
        state[STARTS_END] = state[STARTS]

    def _link(self, number: int) -> int:
        """Where the row of the network's link of this *number* is in the state."""
        return HEADER + LINK_COLUMNS * number

    def _route(self, links: tuple[int, ...]) -> int:
        """Where the rows of a route's links are written in the state."""
        if links not in self._routes:
            place = self._routes[links] = self._extend(len(links))
            self._state[place : self._end] = [self._link(number) for number in links]
        return self._routes[links]

    def _place(self, size: int) -> int:
        """A free place of *size* for a message."""
        return self._free[size].pop() if self._free[size] else self._extend(size)

    def _extend(self, size: int) -> int:
        """Use *size* more of the state, which at least doubles where it is too short."""
        place, self._end = self._end, self._end + size
        if self._end > len(self._state):
            added = max(len(self._state), size)
            self._state = np.concatenate([self._state, np.zeros(added, np.int64)])
        return place

    def _passed(self, place: int, row: list[int]) -> Passed:
        message = self._messages.pop(place)
        self._free[_size(len(message.ready_flits))].append(place)
        return Passed(
            message,
            turn_ps=row[TURN_PS],
            first_flit_ps=row[FIRST_FLIT_PS],
            sent_ps=row[SENT_PS],
            starved_ps=row[STARVED_PS],
            credit_stall_ps=row[CREDIT_STALL_PS],
            arrived_ps=row[ARRIVED_PS],
            delivered_ps=row[DELIVERED_PS],
        )


def _size(segments: int) -> int:
    """Room for a message of so many segments, or some more so that others fit there later."""
    return MESSAGE_COLUMNS + SEGMENT_COLUMNS * (1 << (segments - 1).bit_length())
