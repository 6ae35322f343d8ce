"""Who takes part in a collective, and which part of a buffer is whose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise

from linksim.network.topology import SWITCH


@dataclass(frozen=True)
class Layout:
    """What an algorithm goes by."""

    ranks: tuple[str, ...]
    pieces: tuple[range, ...]
    """Parts of the whole tensor, end to end and at the same place in every rank's buffer.

    Piece j is rank j's own: the addends it sums, or its shard. A broadcast has but one, the root's.
    """
    groups: tuple[tuple[str, ...], ...] = ()
    """The ranks once more, by group; hierarchical algorithms have them."""
    switch: str = SWITCH
    """Node that in-switch algorithms send to."""
    outgoing: tuple[tuple[range, ...], ...] = ()
    """In an all-to-all, *outgoing[i][j]* of rank i's buffer is what it has for rank j."""
    incoming: tuple[tuple[range, ...], ...] = ()
    """In an all-to-all, *incoming[j][i]* of rank j's buffer is where rank i's part goes."""

    @property
    def whole(self) -> range:
        """All pieces together."""
        return range(self.pieces[0].start, self.pieces[-1].stop)


def cut(whole: range, count: int) -> tuple[range, ...]:
    """*whole* in *count* pieces as `numpy.array_split` cuts: the first ones may be one longer."""
    size, longer = divmod(len(whole), count)
    return joined((size + (j < longer) for j in range(count)), start=whole.start)


def joined(sizes: Iterable[int], *, start: int = 0) -> tuple[range, ...]:
    """Ranges of *sizes*, end to end from *start* on."""
    ends = list(accumulate(sizes, initial=start))
    return tuple(range(low, high) for low, high in pairwise(ends))
