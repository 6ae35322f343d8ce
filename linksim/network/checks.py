"""What must hold of tasks on a network: routes, engines, no deadlock."""

from __future__ import annotations

from collections.abc import Sequence

from linksim.engines import EngineRecord
from linksim.errors import LinksimError
from linksim.network.messages import Task, Transfer
from linksim.network.network import Network, Pair


def routes_of(tasks: Sequence[Task], network: Network) -> dict[int, tuple[Pair, ...]]:
    """The links that every transfer takes, by its place among *tasks*."""
    routes = {}
    for index, task in enumerate(tasks):
        if isinstance(task, Transfer):
            try:
                routes[index] = network.route(task.source, task.destination)
            except LinksimError as error:
                raise LinksimError(f"transfer {task.id!r}: {error}") from None
    return routes


class Engines:
    """The engine whose encoder and decoder stand at the ends of each link that codes.

    LinksimError where two different ones are asked for at one end of a link.
    """

    def __init__(self, tasks: Sequence[Task], routes: dict[int, tuple[Pair, ...]]):
        self.encoders: dict[Pair, EngineRecord] = {}
        """By the first link of a route."""
        self.decoders: dict[Pair, EngineRecord] = {}
        """By the last link of a route."""
        for index, route in routes.items():
            task = tasks[index]
            if isinstance(task, Transfer) and (engine := task.coding.engine) is not None:
                self._place(self.encoders, route[0], engine)
                self._place(self.decoders, route[-1], engine)

    @staticmethod
    def _place(ends: dict[Pair, EngineRecord], link: Pair, engine: EngineRecord) -> None:
        known = ends.setdefault(link, engine)
        if known is not engine and known != engine:
            raise LinksimError(
                f"link {link[0]!r} to {link[1]!r}: expected one engine, "
                f"got {known.name!r} and {engine.name!r}"
            )


def total_flits(tasks: Sequence[Task], network: Network) -> int:
    """Flits that a run sends, once for every link they cross: the end of a progress bar."""
    routes = routes_of(tasks, network)
    return sum(
        network.links[pair].flits(task.coding.wire_total)
        for index, route in routes.items()
        if isinstance(task := tasks[index], Transfer)
        for pair in route
    )


def deadlock(blocked: Sequence[tuple[Pair, Pair]]) -> LinksimError:
    """The error for a run that stands still.

    *blocked* has, for every receive buffer with flits that wait, the link they came over and the
    one they wait for.
    """
    waits: dict[Pair, set[Pair]] = {}
    for over, wanted in blocked:
        waits.setdefault(over, set()).add(wanted)
    cycle = _cycle(waits)
    around = " -> ".join(f"{a}>{b}" for a, b in (*cycle, *cycle[:1]))
    return LinksimError(
        f"deadlock: flits on links {around} wait for one another's buffers: expected routes "
        "without such a cycle, or more virtual channels"
    )


def _cycle(waits: dict[Pair, set[Pair]]) -> list[Pair]:
    """Links of a cycle in *waits*, the first one found; all of them where there is none."""
    for start in waits:
        path, seen = [start], {start}
        while path[-1] in waits:
            following = min(waits[path[-1]])
            if following in seen:
                return path[path.index(following) :]
            path.append(following)
            seen.add(following)
    return list(waits)
