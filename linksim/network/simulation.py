"""One way to run tasks over a network, whichever engine does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from linksim.errors import LinksimError
from linksim.network.checks import routes_of
from linksim.network.fast.run import FastRun
from linksim.network.messages import Task
from linksim.network.network import Links, Network
from linksim.network.reference.run import ReferenceRun
from linksim.network.results import Progress, RunResult
from linksim.network.task_graph import TaskGraph

EngineName = Literal["fast", "reference"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


def simulate(
    tasks: Sequence[Task],
    network: Network | Links,
    progress: Progress | None = None,
    *,
    engine: EngineName = "fast",
    seed: int = 0,
    record_flits: bool = False,
) -> RunResult:
    """Run *tasks* over *network* (plain links stand for a network that does not forward).

    A task is ready when all tasks it is `after` are done. Ranks compute one task at a time, first
    come first served, in task order where several are ready at one picosecond; so a run is a
    function of its input and of *seed*, which bit errors are drawn from. What happens to messages
    is said at `linksim.network.reference`: `LinkModel`, `ReceiveBuffer`, `Destination`. The fast
    engine computes the same times, compiled. *progress* is called with the flits sent so far.

    LinksimError if an id is used twice, a task waits for one that does not exist or for itself by
    way of others, ranks have no link or route, two different engines are asked for at one end of a
    link, a link fails for good, or flits wait for one another in a circle.
    """
    if engine not in ENGINES:
        raise LinksimError(f"unknown engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if not isinstance(network, Network):
        network = Network(network)
    graph = TaskGraph(tasks)
    routes = routes_of(tasks, network)
    run = ReferenceRun if engine == "reference" else FastRun
    return run(
        tasks, graph, network, routes, seed=seed, progress=progress, record_flits=record_flits
    ).run()
