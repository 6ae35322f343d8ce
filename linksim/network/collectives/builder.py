"""Algorithms call `Builder.move`; it cuts chunks and finds out what each of them waits for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from linksim.network.collectives.moves import Move


class Builder:
    """Moves in the order in which an algorithm makes them, as if one ended before the next began.

    A move waits only for the messages that brought the elements it reads. Whatever else is made in
    this order may overlap in time, one chunk's next step with the next chunk's first.
    """

    def __init__(self, nelements: Mapping[str, int], chunk_elements: int | None) -> None:
        self.nelements = dict(nelements)
        self.moves: list[Move] = []
        self._chunk_elements = chunk_elements
        self._written = {node: _Written() for node in nelements}

    def reserve(self, node: str, count: int) -> range:
        """*count* more elements at the end of *node*'s buffer, a new node's from 0 on."""
        start = self.nelements.get(node, 0)
        self.nelements[node] = start + count
        self._written.setdefault(node, _Written())
        return range(start, start + count)

    def move(
        self,
        name: str,
        source: str,
        destination: str,
        what: range,
        *,
        to: range | None = None,
        adds: bool = False,
    ) -> None:
        """Move elements *what* of *source* to *destination*, *to* the same place by default.

        Nothing is moved if there are none. *name* is the id, see `Move.id`.
        """
        start = what.start if to is None else to.start
        size = self._chunk_elements or len(what)
        for k, low in enumerate(range(what.start, what.stop, max(size, 1))):
            part = range(low, min(low + size, what.stop))
            into = range(start, start := start + len(part))
            move_id = name if len(what) <= size else f"{name}#{k}"
            after = self._written[source].by(part)
            move = Move(move_id, source, destination, part, into, adds, after)
            self.moves.append(move)
            # A move inside a node ends as soon as what it reads has come.
            messages = (move_id,) if move.is_message else after
            self._written[destination].write(into, messages, adds)


class _Written:
    """The messages that brought each element of a buffer, in runs of elements that have the same.

    Run k reaches from *starts[k]* to the next run's start.
    """

    def __init__(self) -> None:
        self._starts = [0]
        self._messages: list[tuple[str, ...]] = [()]

    def by(self, part: range) -> tuple[str, ...]:
        """Ids of the messages that brought any element of *part*."""
        first = bisect_right(self._starts, part.start) - 1
        last = bisect_left(self._starts, part.stop)
        return tuple(dict.fromkeys(name for run in self._messages[first:last] for name in run))

    def write(self, part: range, messages: tuple[str, ...], adds: bool) -> None:
        """*messages* bring *part*, beside the earlier ones if *adds*, else instead of them."""
        first, last = self._run_from(part.start), self._run_from(part.stop)
        if adds:
            for k in range(first, last):
                self._messages[k] = tuple(dict.fromkeys((*self._messages[k], *messages)))
        else:
            self._starts[first:last] = [part.start]
            self._messages[first:last] = [messages]

    def _run_from(self, start: int) -> int:
        """Index of the run that begins at *start*, cut off the one around it if need be."""
        k = bisect_left(self._starts, start)
        if k == len(self._starts) or self._starts[k] != start:
            self._starts.insert(k, start)
            self._messages.insert(k, self._messages[k - 1])
        return k
