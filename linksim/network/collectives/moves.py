"""What a collective moves where and in which order, without values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """Elements of one node's buffer that go to another's, or elsewhere in their own."""

    id: str
    """Unique in the schedule: `rs1.gpu0` is what gpu0 sends in step 1 of a ring reduce-scatter.

    Where one step's elements are cut into several chunks, chunk k has `#k` behind.
    """
    source: str
    destination: str
    source_range: range
    """Elements of the source's buffer."""
    destination_range: range
    """As many elements of the destination's buffer."""
    adds: bool
    """Whether they are added to what is there, or replace it."""
    after: tuple[str, ...]
    """Ids of the messages that brought what this move reads."""

    @property
    def is_message(self) -> bool:
        """Whether it crosses the network. A move inside a node takes no time."""
        return self.source != self.destination


@dataclass(frozen=True)
class Schedule:
    """A collective's moves and where ranks keep what.

    A move can start when all of its `after` are delivered. What several moves bring to one place is
    applied in the order of the schedule, whichever comes first, so that sums do not depend on time.
    """

    op: str
    algorithm: str
    moves: tuple[Move, ...]
    """In an order that respects `after`."""
    nelements: Mapping[str, int]
    """Size of the buffer of every node: the ranks, and the switch if it takes part."""
    inputs: Mapping[str, range]
    """By rank that contributes, the part of its buffer that holds its tensor at the start."""
    outputs: Mapping[str, range]
    """By rank that receives, the part of its buffer that holds the result at the end."""

    @property
    def messages(self) -> tuple[Move, ...]:
        """The moves that cross the network, in order."""
        return tuple(move for move in self.moves if move.is_message)

    @property
    def sent_elements(self) -> int:
        """Elements that cross the network, all messages together."""
        return sum(len(move.source_range) for move in self.messages)

    @property
    def steps(self) -> int:
        """Messages that must follow one another: the longest chain of `after`."""
        depth: dict[str, int] = {}
        for move in self.messages:
            depth[move.id] = 1 + max((depth[name] for name in move.after), default=0)
        return max(depth.values(), default=0)
