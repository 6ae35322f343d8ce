"""Where messages end: plain ones at once, coded ones by way of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from linksim.engines import EngineRecord
from linksim.network.endpoints import Cores
from linksim.network.reference.journey import Journey
from linksim.network.reference.link import LinkModel

Process = Generator[simpy.Event, Any, None]


class Destination:
    """What takes the flits of messages that end behind a link.

    Without an engine flits leave the buffer at once. With one, the decoder has room for the
    segments its cores work on and for the one being gathered: flits of that one leave the buffer,
    later ones stay in it. A gathered segment waits for a free core, holds it for its occupancy and
    is out a latency later. Messages are gathered one after another, in the order in which the link
    let them in. Since gathering empties the buffer of any segment the decoder lacks, segments
    larger than the buffer pass, and a decoder cannot deadlock its link.
    """

    def __init__(
        self,
        env: simpy.Environment,
        link: LinkModel,
        engine: EngineRecord | None,
        deliver: Callable[[Journey], None],
    ):
        """*deliver* takes every message when it is out, at that time."""
        self._env = env
        self._link = link
        self._deliver = deliver
        self._arrival = env.event()
        self._inbox = simpy.Store(env)
        self._channels: dict[Journey, int] = {}
        self.cores = Cores(1 if engine is None else engine.replicas)
        if engine is not None:
            env.process(self._decode(engine))

    def accept(self, journey: Journey, channel: int) -> None:
        """Take a flit of *journey* that has just arrived over *channel*."""
        journey.arrived += 1
        journey.arrived_ps = int(self._env.now)
        if journey.transfer.coding.engine is None:
            self._return_credits(channel, 1)
            if journey.arrived == journey.flits:
                self._deliver(journey)
            return
        if journey not in self._channels:
            self._channels[journey] = channel
            self._inbox.put(journey)
        if not self._arrival.triggered:
            self._arrival.succeed()

    def _decode(self, engine: EngineRecord) -> Process:
        """Gather segments and hand them to the decoder's cores, message by message."""
        env, stage, flits_of = self._env, engine.decoder, self._link.preset.flits
        while True:
            journey: Journey = yield self._inbox.get()
            coding, channel = journey.transfer.coding, self._channels[journey]
            gathered, out_ps = 0, int(env.now)
            for end, nbytes in zip(
                coding.wire_nbytes.cumsum().tolist(), coding.raw_nbytes.tolist(), strict=True
            ):
                needed = flits_of(end)
                while gathered < needed:
                    if journey.arrived == gathered:
                        self._arrival = env.event()
                        yield self._arrival
                        continue
                    pulled = min(journey.arrived, needed) - gathered
                    self._return_credits(channel, pulled)
                    gathered += pulled
                occupancy_ps = stage.occupancy_ps(nbytes)
                start_ps = self.cores.take(int(env.now), occupancy_ps)
                if start_ps > env.now:
                    yield env.timeout(start_ps - int(env.now))
                out_ps = max(out_ps, start_ps + occupancy_ps + stage.latency_ps)
            del self._channels[journey]
            self._deliver_at(journey, out_ps)

    def _return_credits(self, channel: int, count: int) -> None:
        for _ in range(count):
            self._link.return_credit(channel, int(self._env.now))

    def _deliver_at(self, journey: Journey, at_ps: int) -> None:
        delay_ps = at_ps - int(self._env.now)
        self._env.timeout(delay_ps).callbacks = [lambda _: self._deliver(journey)]
