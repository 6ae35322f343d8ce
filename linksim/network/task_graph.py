"""Which tasks can start as others are done."""

from __future__ import annotations

from collections.abc import Sequence

from linksim.errors import LinksimError
from linksim.network.messages import Task


class TaskGraph:
    """Tasks by their place in a run, and what they still wait for.

    LinksimError if an id is used twice, or a task waits for one that does not exist or for itself
    by way of others.
    """

    def __init__(self, tasks: Sequence[Task]):
        places = {task.id: place for place, task in enumerate(tasks)}
        if len(places) != len(tasks):
            raise LinksimError("tasks: expected every id once")
        self._dependents: list[list[int]] = [[] for _ in tasks]
        self._missing = [0] * len(tasks)
        for place, task in enumerate(tasks):
            for before in dict.fromkeys(task.after):
                if before not in places:
                    raise LinksimError(
                        f"task {task.id!r} waits for {before!r}, which does not exist"
                    )
                self._dependents[places[before]].append(place)
                self._missing[place] += 1
        self._check_order(tasks)

    def _check_order(self, tasks: Sequence[Task]) -> None:
        missing, ready = list(self._missing), self.first()
        while ready:
            for place in self._dependents[ready.pop()]:
                missing[place] -= 1
                if not missing[place]:
                    ready.append(place)
        stuck = [task.id for task, count in zip(tasks, missing, strict=True) if count]
        if stuck:
            raise LinksimError(f"task {stuck[0]!r} can never start: tasks wait for one another")

    def first(self) -> list[int]:
        """Places of the tasks that wait for nothing; before any is done."""
        return [place for place, count in enumerate(self._missing) if not count]

    def done(self, place: int) -> list[int]:
        """Places of the tasks that can start now that the one at *place* is done."""
        freed = []
        for dependent in self._dependents[place]:
            self._missing[dependent] -= 1
            if not self._missing[dependent]:
                freed.append(dependent)
        return freed
