"""The readable flit-level model of a run, on SimPy, in whole picoseconds.

It is the reference that any faster engine must agree with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import simpy
from simpy.events import EventPriority

from linksim.network.checks import Engines, deadlock
from linksim.network.endpoints import Encoder
from linksim.network.faults import FaultTable
from linksim.network.messages import Coding, Compute, Task, Transfer
from linksim.network.network import Network, Pair
from linksim.network.reference.buffer import ReceiveBuffer
from linksim.network.reference.destination import Destination
from linksim.network.reference.journey import Journey, Passage
from linksim.network.reference.link import LinkModel
from linksim.network.results import (
    ComputeResult,
    FlitStart,
    LinkResult,
    Progress,
    RunResult,
    TransferResult,
)
from linksim.network.summary import LinkLoad, empty_result, link_result, transfer_result
from linksim.network.task_graph import TaskGraph

PROGRESS_FLITS = 1024
"""Flits between two calls of a progress callback."""

_DISPATCH = EventPriority(2)
"""SimPy priority after all other events of the same time (0 and 1), but before links decide."""


class _Settled(simpy.Event):
    """Fires at the present time, but after everything else that happens at it."""

    def __init__(self, env: simpy.Environment, action: Callable[[], None]):
        super().__init__(env)
        self._ok, self._value = True, None
        self.callbacks = [lambda _: action()]
        env.schedule(self, priority=_DISPATCH)


class ReferenceRun:
    """Hands tasks to ranks and links as the tasks they wait for are done."""

    def __init__(
        self,
        tasks: Sequence[Task],
        graph: TaskGraph,
        network: Network,
        routes: dict[int, tuple[Pair, ...]],
        *,
        seed: int,
        progress: Progress | None,
        record_flits: bool,
    ):
        self._env = simpy.Environment()
        self._tasks = tasks
        self._network = network
        self._routes = routes
        self._progress = progress
        self._flits = 0
        self._flit_starts: list[FlitStart] | None = [] if record_flits else None
        self._rank_free_ps: dict[str, int] = {}
        self._transfers: dict[str, TransferResult] = {}
        self._computes: dict[str, ComputeResult] = {}
        self._graph = graph
        self._engines = Engines(tasks, routes)
        self._encoders = {pair: Encoder(e) for pair, e in self._engines.encoders.items()}
        faults = FaultTable(list(network.links.values()), seed)
        self._links = {
            pair: LinkModel(self._env, pair, preset, index, faults, self._flit_sent)
            for index, (pair, preset) in enumerate(network.links.items())
        }
        self._destinations: dict[Pair, Destination] = {}
        self._buffers: list[ReceiveBuffer] = []
        for pair, link in self._links.items():
            self._build_far_end(pair, link)
        self._ready = graph.first()
        _Settled(self._env, self._dispatch)

    def _build_far_end(self, pair: Pair, link: LinkModel) -> None:
        """What takes the flits of *link*: buffers to forward from, and messages' destination."""
        engine = self._engines.decoders.get(pair)
        destination = Destination(self._env, link, engine, self._delivered)
        self._destinations[pair] = destination
        forwarding_ps = self._network.forwarding_ps.get(pair[1], 0)
        buffers = [
            ReceiveBuffer(self._env, link, channel, forwarding_ps, self._links)
            for channel in range(link.preset.virtual_channels)
        ]
        self._buffers += buffers

        def receive(journey: Journey, channel: int) -> None:
            if journey.route[-1] == pair:
                destination.accept(journey, channel)
            else:
                buffers[channel].accept(journey)

        link.receive = receive

    def run(self) -> RunResult:
        """Run everything; LinksimError where messages stand still for want of buffers."""
        self._env.run()
        if len(self._transfers) + len(self._computes) < len(self._tasks):
            wants = [buffer.wants() for buffer in self._buffers]
            raise deadlock([blocked for blocked in wants if blocked is not None])
        if self._progress is not None:
            self._progress(self._flits)
        transfers = tuple(self._transfers[t.id] for t in self._tasks if isinstance(t, Transfer))
        computes = tuple(self._computes[t.id] for t in self._tasks if isinstance(t, Compute))
        ends = [t.delivered_ps for t in transfers] + [c.end_ps for c in computes]
        makespan_ps = max(ends, default=0)
        links = tuple(self._link_result(pair, makespan_ps) for pair in self._links)
        starts = None if self._flit_starts is None else tuple(sorted(self._flit_starts))
        return RunResult(transfers, computes, links, makespan_ps, starts)

    def _link_result(self, pair: Pair, makespan_ps: int) -> LinkResult:
        link, encoder = self._links[pair], self._encoders.get(pair)
        load = LinkLoad(
            flits=link.flits,
            replays=link.replays,
            credit_stall_ps=link.credit_stall_ps,
            statistics_busy_ps=0 if encoder is None else encoder.statistics_busy_ps,
            encoder_busy_ps=0 if encoder is None else encoder.busy_ps,
            decoder_busy_ps=self._destinations[pair].cores.busy_ps,
        )
        crossed = [(j.transfer, j.route) for j in link.journeys]
        return link_result(pair, link.preset, load, crossed, makespan_ps)

    def _dispatch(self) -> None:
        """Start all tasks that became ready at this time, in task order."""
        ready, self._ready = sorted(self._ready), []
        for index in ready:
            task = self._tasks[index]
            if isinstance(task, Transfer):
                self._submit(index, task)
            else:
                self._compute(index, task)

    def _compute(self, index: int, task: Compute) -> None:
        """A rank computes one thing at a time, so its queue is the time at which it is free."""
        now_ps = int(self._env.now)
        start_ps = max(now_ps, self._rank_free_ps.get(task.rank, 0))
        end_ps = self._rank_free_ps[task.rank] = start_ps + task.duration_ps
        self._computes[task.id] = ComputeResult(task.id, task.rank, now_ps, start_ps, end_ps)
        self._env.timeout(end_ps - now_ps).callbacks = [lambda _: self._done(index)]

    def _submit(self, index: int, transfer: Transfer) -> None:
        """Code a transfer and queue it. An empty message is delivered at once, for nothing."""
        now_ps, coding, route = int(self._env.now), transfer.coding, self._routes[index]
        preset = self._network.links[route[0]]
        flits = preset.flits(coding.wire_total)
        start_ps, ready_ps = now_ps, [now_ps] * flits
        if coding.engine is not None and flits:
            encoder = self._encoders[route[0]]
            start_ps, out_ps = encoder.encode(now_ps, coding.raw_nbytes.tolist())
            ready_ps = flit_times(coding, preset.flit.payload_nbytes, out_ps)
        journey = Journey(transfer, index, route, flits, now_ps, start_ps, ready_ps)
        if flits:
            self._links[route[0]].request(Passage(journey, 0, now_ps, ready_ps))
            return
        self._links[route[0]].journeys.append(journey)
        self._transfers[transfer.id] = empty_result(transfer, len(route), now_ps)
        self._done(index)

    def _delivered(self, journey: Journey) -> None:
        presets = [self._network.links[pair] for pair in journey.route]
        forwarding_ps = [self._network.forwarding_ps[a] for a, _ in journey.route[1:]]
        result = transfer_result(journey, presets, forwarding_ps, int(self._env.now))
        self._transfers[journey.transfer.id] = result
        self._done(journey.order)

    def _done(self, index: int) -> None:
        freed = self._graph.done(index)
        if freed and not self._ready:
            _Settled(self._env, self._dispatch)
        self._ready += freed

    def _flit_sent(self, passage: Passage, starts_ps: int) -> None:
        self._flits += 1
        if self._flit_starts is not None:
            journey = passage.journey
            flit = FlitStart(starts_ps, journey.order, passage.hop, passage.sent - 1)
            self._flit_starts.append(flit)
        if self._progress is not None and self._flits % PROGRESS_FLITS == 0:
            self._progress(self._flits)


def flit_times(coding: Coding, payload_nbytes: int, out_ps: Sequence[int]) -> list[int]:
    """When each flit's last payload byte is out, given when each segment is: ps, [flits]."""
    ends = coding.wire_nbytes.cumsum()
    last_bytes = np.arange(payload_nbytes, ends[-1] + payload_nbytes, payload_nbytes)
    segments = np.searchsorted(ends, last_bytes.clip(max=ends[-1]))
    return [out_ps[segment] for segment in segments.tolist()]
