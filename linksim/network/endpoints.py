"""The parts at a link's two ends: coding cores, the encoder, and the transmitter's credits."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import accumulate

import simpy

from linksim.engines import EngineRecord
from linksim.units import ceil_div


class Cores:
    """Coding cores side by side; work is handed out in order, to the core that is free first."""

    def __init__(self, count: int):
        self._free_ps = [0] * count
        self._work_ps = 0

    def take(self, now_ps: int, occupancy_ps: int) -> int:
        """Give a core *occupancy_ps* of work at *now_ps* or as soon as one is free; its start."""
        start_ps = max(now_ps, self._free_ps[0])
        heapq.heapreplace(self._free_ps, start_ps + occupancy_ps)
        self._work_ps += occupancy_ps
        return start_ps

    @property
    def busy_ps(self) -> int:
        """Work done so far over the number of cores, rounded up."""
        return ceil_div(self._work_ps, len(self._free_ps))


class Encoder:
    """The engine at the transmitter, first come first served by message.

    Nothing behind it ever holds it up (its output buffer is taken to be large enough), so its
    schedule is arithmetic and needs no events.
    """

    def __init__(self, engine: EngineRecord):
        self._engine = engine
        self._cores = Cores(engine.replicas)
        self._counter = Cores(1)

    def encode(self, now_ps: int, raw_nbytes: Sequence[int]) -> tuple[int, list[int]]:
        """Take a message of segments of *raw_nbytes* at *now_ps*.

        Returns when work on it starts, and when the bytes up to each segment's end are out. With
        a statistics stage the message is counted whole and its codebook built before the first
        segment enters a core; meanwhile the cores may be busy with the message before.
        """
        stage = self._engine.encoder
        start_ps = None
        if self._engine.statistics is not None:
            statistics_ps = self._engine.statistics_ps(sum(raw_nbytes))
            start_ps = self._counter.take(now_ps, statistics_ps)
            now_ps = start_ps + statistics_ps
        out_ps = []
        for nbytes in raw_nbytes:
            occupancy_ps = stage.occupancy_ps(nbytes)
            entered_ps = self._cores.take(now_ps, occupancy_ps)
            start_ps = entered_ps if start_ps is None else start_ps
            out_ps.append(entered_ps + occupancy_ps + stage.latency_ps)
        # Cores side by side may finish out of order, but bytes leave in order.
        return now_ps if start_ps is None else start_ps, list(accumulate(out_ps, max))

    @property
    def busy_ps(self) -> int:
        """Time the cores were occupied."""
        return self._cores.busy_ps

    @property
    def statistics_busy_ps(self) -> int:
        """Time spent counting and building codebooks."""
        return self._counter.busy_ps


class Credits:
    """Places in the receiver's buffer that the transmitter may still fill."""

    def __init__(self, env: simpy.Environment, count: int):
        self._env = env
        self._wanted: simpy.Event | None = None
        self.free = count

    def one(self) -> simpy.Event:
        """Event that fires when a credit is free; the transmitter, the only one to ask, waits."""
        self._wanted = self._env.event()
        return self._wanted

    def give(self, count: int) -> None:
        """Take back *count* credits."""
        self.free += count
        if self._wanted is not None:
            self._wanted.succeed()
            self._wanted = None
