"""A directed link as SimPy events: virtual channels, credits, arbitration, the wire."""

from __future__ import annotations

from collections.abc import Callable

import simpy
from simpy.events import EventPriority

from linksim.links import LinkPreset
from linksim.network.faults import FaultTable, transmission
from linksim.network.network import Pair
from linksim.network.reference.journey import Journey, Passage

SETTLE = EventPriority(3)
"""SimPy priority of a link's decisions: after everything else at a time (at most 2)."""

Receive = Callable[[Journey, int], None]
"""Takes a flit that has arrived: its message and its virtual channel."""

Sent = Callable[[Passage, int], None]
"""Takes the passage of a flit that has been granted the wire, and when it starts there."""


class LinkModel:
    """The transmitter of one link, its wire, and the credits for the buffers at its far end.

    A message asks for a virtual channel (lowest free one, first come first served) and keeps it
    until its last flit has left. Of the channels that have a flit to send and a credit for it, the
    free wire takes the next one in turn (round robin). A flit holds the wire for `flit_ps` and is
    in the far buffer `flight_ps` later; a flit that leaves that buffer sends its credit back,
    `flight_ps` on the way. All decisions of a time are made after everything else of that time, and
    none sees another of the same time: what it frees counts from the next picosecond on.
    """

    def __init__(
        self,
        env: simpy.Environment,
        ends: Pair,
        preset: LinkPreset,
        index: int,
        faults: FaultTable,
        sent: Sent,
    ):
        self.ends = ends
        self.preset = preset
        self._env = env
        self._index = index
        self._faults = faults
        self._sent = sent
        self.receive: Receive
        """What is at the far end; set before anything is sent."""
        self._waiting: list[Passage] = []
        self._wake_at: set[int] = set()
        channels = preset.virtual_channels
        self._holders: list[Passage | None] = [None] * channels
        self._channel_free_ps = [0] * channels
        self._credits = [preset.credits] * channels
        self._credited_ps = [0] * channels
        """When a credit came to a channel that had none."""
        self._last_granted = channels - 1
        self._wire_free_ps = 0
        self._started_ps = -1
        """When the last flit's transmission started; -1: there was none."""
        self._arrived_ps = -1
        """When the last flit that was sent is in the far buffer."""
        self.flits = 0
        self.replays = 0
        self.credit_stall_ps = 0
        self.journeys: list[Journey] = []
        """Messages that have crossed the link, or begun to."""

    def request(self, passage: Passage) -> None:
        """Take *passage*, which waits for a virtual channel from now on."""
        self._waiting.append(passage)
        self.wake(passage.requested_ps)

    def wake(self, at_ps: int) -> None:
        """Decide at *at_ps* what to send."""
        if at_ps not in self._wake_at:
            self._wake_at.add(at_ps)
            event = simpy.Event(self._env)
            event._ok, event._value = True, None
            event.callbacks = [lambda _: self._settle()]
            self._env.schedule(event, priority=SETTLE, delay=at_ps - int(self._env.now))

    def return_credit(self, channel: int, left_ps: int) -> None:
        """A flit leaves the far buffer of *channel* at *left_ps*."""
        delay_ps = left_ps + self.preset.flight_ps - int(self._env.now)
        self._env.timeout(delay_ps).callbacks = [lambda _: self._credit(channel)]

    def _credit(self, channel: int) -> None:
        if not self._credits[channel]:
            self._credited_ps[channel] = int(self._env.now)
        self._credits[channel] += 1
        self.wake(int(self._env.now))

    def _settle(self) -> None:
        now_ps = int(self._env.now)
        self._wake_at.discard(now_ps)
        self._allocate(now_ps)
        if self._wire_free_ps <= now_ps:
            self._grant(now_ps)
        for holder in self._holders:
            if holder is not None and (next_ps := holder.next_ps) is not None and next_ps > now_ps:
                self.wake(next_ps)

    def _allocate(self, now_ps: int) -> None:
        """Hand out free virtual channels."""
        for channel, holder in enumerate(self._holders):
            if holder is not None or self._channel_free_ps[channel] > now_ps:
                continue
            asking = [passage for passage in self._waiting if passage.requested_ps <= now_ps]
            if not asking:
                return
            chosen = min(asking, key=lambda p: (p.requested_ps, p.journey.order))
            self._waiting.remove(chosen)
            self._holders[channel] = chosen
            chosen.channel, chosen.free_ps = channel, now_ps
            self.journeys.append(chosen.journey)
            if not chosen.hop:
                chosen.journey.turn_ps = now_ps

    def _grant(self, now_ps: int) -> None:
        """Send a flit of the next virtual channel in turn that can."""
        count = len(self._holders)
        for turn in range(1, count + 1):
            channel = (self._last_granted + turn) % count
            passage = self._holders[channel]
            if passage is None or not self._credits[channel]:
                continue
            if (available_ps := passage.next_ps) is not None and available_ps <= now_ps:
                self._last_granted = channel
                self._send(passage, channel, available_ps, now_ps)
                return

    def _send(self, passage: Passage, channel: int, available_ps: int, now_ps: int) -> None:
        journey, flit_ps = passage.journey, self.preset.flit_ps
        starts_ps, replays, late_ps = transmission(
            self._faults.values, self._index, self.flits, now_ps, self._started_ps
        )
        if starts_ps < 0:
            raise self._faults.failure(self.ends, self._index, self.flits)
        self._credits[channel] -= 1
        self.flits += 1
        self.replays += replays
        self._started_ps = starts_ps
        self._wire_free_ps = ended_ps = starts_ps + flit_ps
        # Flits arrive in order, also behind one that was sent again.
        self._arrived_ps = max(ended_ps + self.preset.flight_ps + late_ps, self._arrived_ps + 1)
        self._count_waits(passage, channel, available_ps, now_ps)
        if not passage.hop and not passage.sent:
            journey.first_flit_ps = starts_ps
        passage.sent += 1
        passage.free_ps = ended_ps
        if passage.buffer is not None:
            passage.buffer.left(passage)
        self._sent(passage, starts_ps)
        if passage.sent == journey.flits:
            self._holders[channel] = None
            self._channel_free_ps[channel] = ended_ps + self.preset.reallocation_ps
            self.wake(self._channel_free_ps[channel])
            if not passage.hop:
                journey.sent_ps = ended_ps
        self.wake(ended_ps)
        self._env.timeout(self._arrived_ps - now_ps).callbacks = [
            lambda _: self.receive(journey, channel)
        ]

    def _count_waits(self, passage: Passage, channel: int, available_ps: int, now_ps: int) -> None:
        """What the flit that starts now waited for: its bytes, a credit, or others on the wire."""
        there_ps = max(passage.free_ps, available_ps)
        stall_ps = min(max(self._credited_ps[channel] - there_ps, 0), now_ps - there_ps)
        self.credit_stall_ps += stall_ps
        if not passage.hop:
            passage.journey.credit_stall_ps += stall_ps
            if passage.sent:
                passage.journey.starved_ps += there_ps - passage.free_ps
