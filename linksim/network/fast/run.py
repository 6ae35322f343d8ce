"""A run by the fast engine: tasks here, one by one; flits in compiled code."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from linksim.engines import EngineRecord
from linksim.links import LinkPreset
from linksim.network.checks import Engines, deadlock
from linksim.network.endpoints import Encoder
from linksim.network.fast.events import EventTransport
from linksim.network.fast.message import NEVER, Int64, Message, Passed, Transport
from linksim.network.fast.stream import StreamTransport, merges
from linksim.network.messages import Coding, Compute, Task, Transfer
from linksim.network.network import Network, Pair
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
from linksim.units import ceil_div


class FastRun:
    """Hands tasks to ranks and to a transport as the tasks they wait for are done.

    Where routes do not merge and links have one virtual channel each, messages stream (see
    `stream`); otherwise flits are events (see `events`). Both give the reference's times.
    """

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
        self._tasks = tasks
        self._graph = graph
        self._network = network
        self._routes = routes
        self._progress = progress
        self._flits = 0
        self._record_flits = record_flits
        self._pairs = list(network.links)
        self._engines = Engines(tasks, routes)
        self._encoders = {pair: Encoder(e) for pair, e in self._engines.encoders.items()}
        places = {pair: place for place, pair in enumerate(self._pairs)}
        self._ways = {task: tuple(places[pair] for pair in route) for task, route in routes.items()}
        self._transport = self._transport_for(seed)
        self._crossed: list[list[int]] = [[] for _ in self._pairs]
        self._rank_free_ps: dict[str, int] = {}
        self._transfers: dict[int, TransferResult] = {}
        self._computes: dict[int, ComputeResult] = {}
        self._outgoing: list[Message] = []
        """Messages that are ready at this time."""
        self._ends: list[tuple[int, int]] = []
        """Heap of times at which tasks are done, with their place."""

    def _transport_for(self, seed: int) -> Transport:
        ways = set(self._ways.values())
        used = {link for way in ways for link in way}
        shared = any(self._preset(link).virtual_channels > 1 for link in used) or merges(ways)
        build: type[Transport] = EventTransport if shared else StreamTransport
        copies = [
            engine.replicas if (engine := self._engines.decoders.get(pair)) else 0
            for pair in self._pairs
        ]
        return build(self._network, copies, seed=seed, record_flits=self._record_flits)

    def _preset(self, link: int) -> LinkPreset:
        return self._network.links[self._pairs[link]]

    def run(self) -> RunResult:
        """Run everything; LinksimError where messages stand still for want of buffers."""
        now_ps = 0
        self._dispatch(now_ps, self._graph.first())
        while True:
            self._finish_time(now_ps)
            found = self._transport.advance(self._ends[0][0] if self._ends else NEVER)
            for passed in found:
                self._passed(passed)
            if found:
                continue
            if not self._ends:
                break
            now_ps = self._ends[0][0]
        if len(self._transfers) + len(self._computes) < len(self._tasks):
            raise deadlock(self._transport.blocked())
        return self._result()

    def _finish_time(self, now_ps: int) -> None:
        """All that ends at *now_ps* and all that starts because of it, then what is to be sent.

        What takes no time may make a task ready after one that comes later in the run, so messages
        wait for each other here.
        """
        while self._ends and self._ends[0][0] == now_ps:
            ready: list[int] = []
            while self._ends and self._ends[0][0] == now_ps:
                ready += self._graph.done(heapq.heappop(self._ends)[1])
            self._dispatch(now_ps, ready)
        for message in sorted(self._outgoing, key=lambda message: message.order):
            self._transport.submit(message)
        self._outgoing.clear()

    def _dispatch(self, now_ps: int, ready: Sequence[int]) -> None:
        """Start all tasks that became ready at this time, in task order."""
        for place in sorted(ready):
            task = self._tasks[place]
            if isinstance(task, Transfer):
                self._submit(place, task, now_ps)
            else:
                self._compute(place, task, now_ps)

    def _compute(self, place: int, task: Compute, now_ps: int) -> None:
        start_ps = max(now_ps, self._rank_free_ps.get(task.rank, 0))
        end_ps = self._rank_free_ps[task.rank] = start_ps + task.duration_ps
        self._computes[place] = ComputeResult(task.id, task.rank, now_ps, start_ps, end_ps)
        heapq.heappush(self._ends, (end_ps, place))

    def _submit(self, place: int, transfer: Transfer, now_ps: int) -> None:
        """Code a transfer and queue it. An empty message is delivered at once, for nothing."""
        coding, route = transfer.coding, self._routes[place]
        if not coding.wire_total:
            self._transfers[place] = empty_result(transfer, len(route), now_ps)
            self._crossed[self._ways[place][0]].append(place)
            heapq.heappush(self._ends, (now_ps, place))
            return
        payload = self._network.links[route[0]].flit.payload_nbytes
        start_ps, out_ps = now_ps, [now_ps] * len(coding.wire_nbytes)
        engine = coding.engine
        if engine is not None:
            encoder = self._encoders[route[0]]
            start_ps, out_ps = encoder.encode(now_ps, coding.raw_nbytes.tolist())
        ends = coding.wire_nbytes.cumsum()
        flits = ceil_div(int(ends[-1]), payload)
        whole = ends // payload
        whole[np.searchsorted(ends, ends[-1]) :] = flits
        self._outgoing.append(
            Message(
                transfer,
                place,
                self._ways[place],
                flits,
                now_ps,
                start_ps,
                whole,
                np.array(out_ps, np.int64),
                *_decoding(coding, engine, -(-ends // payload)),
            )
        )

    def _passed(self, passed: Passed) -> None:
        message = passed.message
        route = self._routes[message.order]
        presets = [self._network.links[pair] for pair in route]
        forwarding_ps = [self._network.forwarding_ps[a] for a, _ in route[1:]]
        self._transfers[message.order] = transfer_result(
            passed, presets, forwarding_ps, passed.delivered_ps
        )
        for link in message.links:
            self._crossed[link].append(message.order)
        heapq.heappush(self._ends, (passed.delivered_ps, message.order))
        self._flits += message.flits * len(message.links)
        if self._progress is not None:
            self._progress(self._flits)

    def _result(self) -> RunResult:
        places = range(len(self._tasks))
        transfers = tuple(self._transfers[place] for place in places if place in self._transfers)
        computes = tuple(self._computes[place] for place in places if place in self._computes)
        ends = [t.delivered_ps for t in transfers] + [c.end_ps for c in computes]
        makespan_ps = max(ends, default=0)
        links = tuple(self._link_result(link, makespan_ps) for link in range(len(self._pairs)))
        starts = None
        if self._record_flits:
            rows = self._transport.flit_starts().tolist()
            starts = tuple(sorted(FlitStart(*row) for row in rows))
        return RunResult(transfers, computes, links, makespan_ps, starts)

    def _link_result(self, link: int, makespan_ps: int) -> LinkResult:
        pair = self._pairs[link]
        encoder, decoder = self._encoders.get(pair), self._engines.decoders.get(pair)
        flits, replays, stall_ps, work_ps = self._transport.load(link)
        load = LinkLoad(
            flits=flits,
            replays=replays,
            credit_stall_ps=stall_ps,
            statistics_busy_ps=0 if encoder is None else encoder.statistics_busy_ps,
            encoder_busy_ps=0 if encoder is None else encoder.busy_ps,
            decoder_busy_ps=0 if decoder is None else ceil_div(work_ps, decoder.replicas),
        )
        crossed = (
            (task, self._routes[place])
            for place in self._crossed[link]
            if isinstance(task := self._tasks[place], Transfer)
        )
        return link_result(pair, self._preset(link), load, crossed, makespan_ps)


def _decoding(
    coding: Coding, engine: EngineRecord | None, needed: Int64
) -> tuple[Int64, Int64, int]:
    """What the decoder does with the segments: flits needed, occupancy in ps; and its latency."""
    if engine is None:
        none = np.zeros(0, np.int64)
        return none, none, 0
    stage = engine.decoder
    occupancy = [stage.occupancy_ps(nbytes) for nbytes in coding.raw_nbytes.tolist()]
    return needed, np.array(occupancy, np.int64), stage.latency_ps
