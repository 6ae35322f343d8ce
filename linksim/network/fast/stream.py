"""Networks in which no two ways merge: every flit's time is a recurrence, message by message.

Where all messages that use a link come to it from one link, or all start there, nobody else's flits
come between theirs. Then the start of a flit on a link is the latest of: it is there, the flit
before it has left, a credit is back; and messages can be computed one after another, in the order
in which they are ready, in memory that does not grow with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numba import njit

from linksim.network.fast.message import Int64, Message, Passed
from linksim.network.faults import FaultTable, transmission
from linksim.network.network import Network, Pair

SOURCE = -1
"""Stands for a message's source in place of the link it would come from."""

_FIELDS = 6
_TURN, _FIRST, _STARVED, _STALL, _SENT, _ARRIVED = range(_FIELDS)


def merges(routes: Iterable[Sequence[int]]) -> bool:
    """Whether some link is reached in two ways: from two links, or from one and as a first link."""
    before: dict[int, int] = {}
    for route in routes:
        for previous, link in zip((SOURCE, *route[:-1]), route, strict=True):
            if before.setdefault(link, previous) != previous:
                return True
    return False


class StreamTransport:
    """Messages over a network without merging ways, one virtual channel per link."""

    def __init__(self, network: Network, decoders: Sequence[int], *, seed: int, record_flits: bool):
        presets = list(network.links.values())
        self._pairs = list(network.links)
        self._flit_ps = _int64(preset.flit_ps for preset in presets)
        self._flight_ps = _int64(preset.flight_ps for preset in presets)
        self._pause_ps = _int64(preset.reallocation_ps for preset in presets)
        self._forwarding_ps = _int64(network.forwarding_ps.get(b, 0) for _, b in self._pairs)
        self._faults = FaultTable(presets, seed)
        places = _int64(preset.credits for preset in presets)
        self._ring_start = np.concatenate(([0], np.cumsum(places)))
        self._ring = np.full(int(self._ring_start[-1]), -1, np.int64)
        """When the credit of each place in the receive buffers came back last."""
        self._ring_at = self._ring_start[:-1].copy()
        self._core_start = np.concatenate(([0], np.cumsum(_int64(decoders))))
        self._core_free_ps = np.zeros(int(self._core_start[-1]), np.int64)
        # Per link: when it takes another message, when the far buffer's next head may ask for its
        # next link, when its decoder gathers the next message, when its last flit was sent and
        # arrived; then what is counted.
        self._state = np.zeros((len(presets), COLUMNS), np.int64)
        self._state[:, [STARTED, ARRIVED]] = -1
        self._found: list[Passed] = []
        self._starts: list[Int64] | None = [] if record_flits else None

    def submit(self, message: Message) -> None:
        """Compute all of *message*."""
        links = _int64(message.links)
        starts = np.empty((message.flits * len(links) if self._starts is not None else 0, 4), "i8")
        starts[:, 1] = message.order
        found = np.zeros(_FIELDS, np.int64)
        delivered_ps = _carry(
            links,
            message.flits,
            message.ready_ps,
            (message.ready_flits, message.ready_at_ps),
            (message.needed_flits, message.occupancy_ps, message.decoder_latency_ps),
            (self._flit_ps, self._flight_ps, self._pause_ps, self._forwarding_ps),
            (self._ring, self._ring_start, self._ring_at),
            (self._core_free_ps, self._core_start),
            self._faults.values,
            self._state,
            found,
            starts,
        )
        if delivered_ps < 0:
            failed = -1 - delivered_ps
            flit = int(self._state[failed, FLITS])
            raise self._faults.failure(self._pairs[failed], failed, flit)
        if self._starts is not None:
            self._starts.append(starts)
        self._found.append(
            Passed(
                message,
                turn_ps=int(found[_TURN]),
                first_flit_ps=int(found[_FIRST]),
                sent_ps=int(found[_SENT]),
                starved_ps=int(found[_STARVED]),
                credit_stall_ps=int(found[_STALL]),
                arrived_ps=int(found[_ARRIVED]),
                delivered_ps=delivered_ps,
            )
        )

    def advance(self, limit_ps: int) -> list[Passed]:
        """All messages that were submitted since."""
        found, self._found = self._found, []
        return found

    def load(self, link: int) -> tuple[int, int, int, int]:
        """Flits, replays, credit stall in ps, and the decoder cores' work in ps of one link."""
        flits, replays, stall_ps, work_ps = self._state[link, FLITS:].tolist()
        return flits, replays, stall_ps, work_ps

    def blocked(self) -> list[tuple[Pair, Pair]]:
        """None: without merging ways nothing waits in a circle."""
        return []

    def flit_starts(self) -> Any:
        """Start, task, hop and flit of every flit on every link, where recorded: int64 [n, 4]."""
        return np.concatenate([np.empty((0, 4), np.int64), *(self._starts or ())])


COLUMNS = 9
CHANNEL_FREE, HEAD_FREE, GATHER_FREE, STARTED, ARRIVED, FLITS, REPLAYS, STALL, WORK = range(COLUMNS)
"""Columns of a link's state."""


def _int64(values: Iterable[int]) -> Int64:
    return np.fromiter(values, np.int64)


@njit(cache=True, nogil=True)
def _carry(
    links: Any,
    flits: Any,
    ready_ps: Any,
    source: Any,
    decoder: Any,
    timing: Any,
    rings: Any,
    cores: Any,
    faults: Any,
    state: Any,
    found: Any,
    starts: Any,
) -> Any:
    """Carry one message; when it is delivered, or -1 - link for a link that fails."""
    ready_flits, ready_at_ps = source
    needed_flits, occupancy_ps, decoder_latency_ps = decoder
    flit_ps, flight_ps, pause_ps, forwarding_ps = timing
    ring, ring_start, ring_at = rings
    core_free_ps, core_start = cores
    hops = len(links)
    free_ps = np.zeros(hops, np.int64)
    segment = gathered = 0
    out_ps = gather_ps = 0
    arrived_ps = granted_ps = 0
    last = links[hops - 1]
    for flit in range(flits):
        while ready_flits[segment] <= flit:
            segment += 1
        there_ps = ready_at_ps[segment]
        place = 0
        for hop in range(hops):
            link = links[hop]
            if flit == 0:
                asked_ps = ready_ps if hop == 0 else max(there_ps, state[links[hop - 1], HEAD_FREE])
                free_ps[hop] = max(asked_ps, state[link, CHANNEL_FREE])
            before_ps = free_ps[hop]
            could_ps = max(before_ps, there_ps)
            granted_ps = max(could_ps, ring[ring_at[link]])
            start_ps, replays, late_ps = transmission(
                faults, link, state[link, FLITS], granted_ps, state[link, STARTED]
            )
            if start_ps < 0:
                return -1 - link
            end_ps = start_ps + flit_ps[link]
            free_ps[hop] = end_ps
            state[link, FLITS] += 1
            state[link, REPLAYS] += replays
            state[link, STALL] += granted_ps - could_ps
            if hop == 0:
                found[_STALL] += granted_ps - could_ps
                if flit:
                    found[_STARVED] += could_ps - before_ps
                else:
                    found[_TURN] = before_ps
                    found[_FIRST] = start_ps
            else:
                before = links[hop - 1]
                back_ps = granted_ps + max(flight_ps[before], 1)
                _return_credit(ring, ring_start[before], ring_start[before + 1], place, back_ps)
            if len(starts):
                row = flit * hops + hop
                starts[row, 0] = start_ps
                starts[row, 2] = hop
                starts[row, 3] = flit
            place = ring_at[link]
            ring_at[link] = place + 1 if place + 1 < ring_start[link + 1] else ring_start[link]
            state[link, STARTED] = start_ps
            # Flits arrive in order, also behind one that was sent again.
            arrived_ps = max(end_ps + flight_ps[link] + late_ps, state[link, ARRIVED] + 1)
            state[link, ARRIVED] = arrived_ps
            there_ps = arrived_ps + forwarding_ps[link]
            if flit == flits - 1:
                state[link, CHANNEL_FREE] = end_ps + pause_ps[link]
                if hop:
                    state[links[hop - 1], HEAD_FREE] = granted_ps + 1
                else:
                    found[_SENT] = end_ps
        left_ps = arrived_ps
        if len(needed_flits):
            if flit == 0:
                gather_ps = out_ps = max(arrived_ps, state[last, GATHER_FREE])
            pulled = False
            while gathered < len(needed_flits):
                if needed_flits[gathered] > flit and not pulled:
                    left_ps = gather_ps = max(gather_ps, arrived_ps)
                    pulled = True
                if needed_flits[gathered] > flit + 1:
                    break
                gather_ps = _decode(
                    core_free_ps[core_start[last] : core_start[last + 1]],
                    gather_ps,
                    occupancy_ps[gathered],
                )
                state[last, WORK] += occupancy_ps[gathered]
                out_ps = max(out_ps, gather_ps + occupancy_ps[gathered] + decoder_latency_ps)
                gathered += 1
        back_ps = left_ps + flight_ps[last]
        _return_credit(ring, ring_start[last], ring_start[last + 1], place, back_ps)
    found[_ARRIVED] = arrived_ps
    if not len(needed_flits):
        return arrived_ps
    state[last, GATHER_FREE] = gather_ps
    return out_ps


@njit(cache=True, nogil=True)
def _return_credit(ring: Any, start: Any, end: Any, place: Any, back_ps: Any) -> None:
    """Put the return of the credit that was taken from *place* among the others, which rise.

    Credits come back in order but for plain messages behind coded ones that wait for the decoder.
    """
    for _ in range(end - start - 1):
        before = place - 1 if place > start else end - 1
        if ring[before] <= back_ps:
            break
        ring[place] = ring[before]
        place = before
    ring[place] = back_ps


@njit(cache=True, nogil=True)
def _decode(core_free_ps: Any, now_ps: Any, occupancy_ps: Any) -> Any:
    """Give the core that is free first a segment; its start."""
    first = 0
    for core in range(1, len(core_free_ps)):
        if core_free_ps[core] < core_free_ps[first]:
            first = core
    start_ps = max(now_ps, core_free_ps[first])
    core_free_ps[first] = start_ps + occupancy_ps
    return start_ps
