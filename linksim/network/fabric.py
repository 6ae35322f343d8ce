"""The readable flit-level model of a run, on SimPy, in whole picoseconds.

It is the reference that any faster engine must agree with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import simpy
from simpy.events import EventPriority

from linksim.engines import EngineRecord
from linksim.errors import LinksimError
from linksim.links import LinkPreset
from linksim.network.channel import Channel
from linksim.network.messages import Compute, Task, Transfer
from linksim.network.results import ComputeResult, RunResult, TransferResult
from linksim.network.topology import Links

Progress = Callable[[int], None]
"""Takes the flits sent so far."""

PROGRESS_FLITS = 1024
"""Flits between two calls of a progress callback."""

_AFTER_ALL_ELSE = EventPriority(2)
"""SimPy priority that comes after all events of the same time (they have 0 and 1)."""


class _Settled(simpy.Event):
    """Fires at the present time, but after everything else that happens at it."""

    def __init__(self, env: simpy.Environment, action: Callable[[], None]):
        super().__init__(env)
        self._ok, self._value = True, None
        self.callbacks = [lambda _: action()]
        env.schedule(self, priority=_AFTER_ALL_ELSE)


class _Run:
    """Hands tasks to ranks and channels as the tasks they wait for are done."""

    def __init__(self, tasks: Sequence[Task], links: Links, progress: Progress | None):
        self._env = simpy.Environment()
        self._tasks = tasks
        self._progress = progress
        self._flits = 0
        self._rank_free_ps: dict[str, int] = {}
        self._transfers: dict[str, TransferResult] = {}
        self._computes: dict[str, ComputeResult] = {}
        self._waiting = [len(set(task.after)) for task in tasks]
        self._dependents = _dependents(tasks)
        engines = _engines(tasks, links)
        self._channels = {
            pair: Channel(
                self._env, preset, engines.get(pair), self._transfer_done, self._flit_sent
            )
            for pair, preset in links.items()
        }
        self._ready = [index for index, missing in enumerate(self._waiting) if not missing]
        _Settled(self._env, self._dispatch)

    def run(self) -> RunResult:
        self._env.run()
        if self._progress is not None:
            self._progress(self._flits)
        transfers = [self._transfers[t.id] for t in self._tasks if isinstance(t, Transfer)]
        computes = [self._computes[t.id] for t in self._tasks if isinstance(t, Compute)]
        ends = [t.delivered_ps for t in transfers] + [c.end_ps for c in computes]
        makespan_ps = max(ends, default=0)
        links = [
            channel.result(source, destination, makespan_ps)
            for (source, destination), channel in self._channels.items()
        ]
        return RunResult(tuple(transfers), tuple(computes), tuple(links), makespan_ps)

    def _dispatch(self) -> None:
        """Start all tasks that became ready at this time, in task order."""
        ready, self._ready = sorted(self._ready), []
        for task in (self._tasks[index] for index in ready):
            if isinstance(task, Transfer):
                self._channels[task.source, task.destination].submit(task)
            else:
                self._compute(task)

    def _compute(self, task: Compute) -> None:
        """A rank computes one thing at a time, so its queue is the time at which it is free."""
        now_ps = int(self._env.now)
        start_ps = max(now_ps, self._rank_free_ps.get(task.rank, 0))
        end_ps = self._rank_free_ps[task.rank] = start_ps + task.duration_ps
        self._computes[task.id] = ComputeResult(task.id, task.rank, now_ps, start_ps, end_ps)
        self._env.timeout(end_ps - now_ps).callbacks = [lambda _: self._done(task.id)]

    def _transfer_done(self, result: TransferResult) -> None:
        self._transfers[result.id] = result
        self._done(result.id)

    def _done(self, task_id: str) -> None:
        for index in self._dependents[task_id]:
            self._waiting[index] -= 1
            if not self._waiting[index]:
                if not self._ready:
                    _Settled(self._env, self._dispatch)
                self._ready.append(index)

    def _flit_sent(self) -> None:
        self._flits += 1
        if self._progress is not None and self._flits % PROGRESS_FLITS == 0:
            self._progress(self._flits)


def simulate(tasks: Sequence[Task], links: Links, progress: Progress | None = None) -> RunResult:
    """Run *tasks* over *links* (by source and destination rank).

    A task is ready when all tasks it is `after` are done. Ranks compute one task at a time and
    links send one message at a time, both first come first served, in task order where several
    are ready at one picosecond; so a run is a function of its input. See `Channel` for what
    happens to a message. *progress* is called with the flits sent so far, every 1024 and at the
    end.

    LinksimError if an id is used twice, a task waits for one that does not exist or for itself by
    way of others, ranks have no link, or two different engines are asked for on one link.
    """
    _check_order(tasks)
    return _Run(tasks, links, progress).run()


def total_flits(tasks: Sequence[Task], links: Links) -> int:
    """Flits that `simulate` will send, the end of a progress bar."""
    return sum(
        _link(task, links).flits(task.coding.wire_total)
        for task in tasks
        if isinstance(task, Transfer)
    )


def _link(task: Transfer, links: Links) -> LinkPreset:
    pair = task.source, task.destination
    if pair not in links:
        raise LinksimError(
            f"transfer {task.id!r}: there is no link from {task.source!r} to {task.destination!r}"
        )
    return links[pair]


def _dependents(tasks: Sequence[Task]) -> dict[str, list[int]]:
    """Indices of the tasks that wait for each task."""
    dependents: dict[str, list[int]] = {task.id: [] for task in tasks}
    for index, task in enumerate(tasks):
        for before in dict.fromkeys(task.after):
            dependents[before].append(index)
    return dependents


def _check_order(tasks: Sequence[Task]) -> None:
    ids = {task.id for task in tasks}
    if len(ids) != len(tasks):
        raise LinksimError("tasks: expected every id once")
    for task in tasks:
        for before in task.after:
            if before not in ids:
                raise LinksimError(f"task {task.id!r} waits for {before!r}, which does not exist")
    dependents = _dependents(tasks)
    missing = [len(set(task.after)) for task in tasks]
    ready = [index for index, count in enumerate(missing) if not count]
    while ready:
        for index in dependents[tasks[ready.pop()].id]:
            missing[index] -= 1
            if not missing[index]:
                ready.append(index)
    stuck = [task.id for task, count in zip(tasks, missing, strict=True) if count]
    if stuck:
        raise LinksimError(f"task {stuck[0]!r} can never start: tasks wait for one another")


def _engines(tasks: Sequence[Task], links: Links) -> dict[tuple[str, str], EngineRecord]:
    """The engine at each link that has one."""
    engines: dict[tuple[str, str], EngineRecord] = {}
    for task in tasks:
        if not isinstance(task, Transfer):
            continue
        _link(task, links)
        if (engine := task.coding.engine) is None:
            continue
        known = engines.setdefault((task.source, task.destination), engine)
        if known is not engine and known != engine:
            raise LinksimError(
                f"link {task.source!r} to {task.destination!r}: expected one engine, "
                f"got {known.name!r} and {engine.name!r}"
            )
    return engines
