"""Recursive halving and doubling: ranks exchange with ever nearer or ever farther partners.

As few bytes as a ring, in 2 log2 n steps instead of 2 (n - 1) for an all-reduce. If n is no power
of two, the first ranks form pairs, and of each pair one rank, the helper, has the other, the
worker, do its part: one step more before and one after. R. Thakur, R. Rabenseifner and W. Gropp,
"Optimization of collective communication operations in MPICH", International Journal of High
Performance Computing Applications 19(1), 2005.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from linksim.network.collectives.builder import Builder
from linksim.network.collectives.layout import Layout


def reduce_scatter(build: Builder, layout: Layout) -> None:
    """Partners send each other the half that the other one keeps, then halve what they kept.

    With m workers, worker w's sum starts as S(w) = x[w], plus x[helper] if it has one. For
    distance d = m/2, m/4, ..., 1 in turn, S(w) becomes S(w) + S(w xor d), for all w at once. Of
    the last S, rank w keeps its own piece.
    """
    team = _Team.of(layout)
    team.hand_over(build, [layout.whole] * len(team.pairs), adds=True)
    team.halve(build)
    for k, (helper, worker) in enumerate(team.pairs):
        build.move(f"unfold.{worker}", worker, helper, layout.pieces[2 * k])


def all_gather(build: Builder, layout: Layout) -> None:
    """Partners exchange all they have, at distances 1, 2, 4, ..., and so have twice as much."""
    team = _Team.of(layout)
    team.hand_over(build, [layout.pieces[2 * k] for k in range(len(team.pairs))], adds=False)
    team.double(build)
    for k, (helper, worker) in enumerate(team.pairs):
        own = layout.pieces[2 * k]
        build.move(f"unfold0.{worker}", worker, helper, range(layout.whole.start, own.start))
        build.move(f"unfold1.{worker}", worker, helper, range(own.stop, layout.whole.stop))


def all_reduce(build: Builder, layout: Layout) -> None:
    """Recursive halving, then doubling of the sums; order of additions as in `reduce_scatter`."""
    team = _Team.of(layout)
    team.hand_over(build, [layout.whole] * len(team.pairs), adds=True)
    team.halve(build)
    team.double(build)
    for helper, worker in team.pairs:
        build.move(f"unfold.{worker}", worker, helper, layout.whole)


@dataclass(frozen=True)
class _Team:
    """Workers, a power of two of them, and the helpers that they stand in for."""

    workers: tuple[str, ...]
    blocks: tuple[range, ...]
    """What each worker cares for: its own piece and its helper's, end to end."""
    pairs: tuple[tuple[str, str], ...]
    """Helper and worker."""

    @staticmethod
    def of(layout: Layout) -> _Team:
        ranks, pieces = layout.ranks, layout.pieces
        count = len(ranks) - (1 << len(ranks).bit_length() - 1)
        pairs = tuple((ranks[2 * k], ranks[2 * k + 1]) for k in range(count))
        shared = [range(pieces[2 * k].start, pieces[2 * k + 1].stop) for k in range(count)]
        return _Team(
            (*(worker for _, worker in pairs), *ranks[2 * count :]),
            (*shared, *pieces[2 * count :]),
            pairs,
        )

    def hand_over(self, build: Builder, parts: list[range], *, adds: bool) -> None:
        """Helper k sends *parts[k]* to its worker."""
        for (helper, worker), part in zip(self.pairs, parts, strict=True):
            build.move(f"fold.{helper}", helper, worker, part, adds=adds)

    def halve(self, build: Builder) -> None:
        """Worker w sends the half around its partner's block, of all it has not yet sent away."""
        distances = [1 << k for k in reversed(range(len(self.workers).bit_length() - 1))]
        for step, distance, w in self._turns(distances):
            part = self._around(w ^ distance, distance)
            self._exchange(build, f"rs{step}", w, w ^ distance, part, adds=True)

    def double(self, build: Builder) -> None:
        """Worker w sends all the blocks it has."""
        distances = [1 << k for k in range(len(self.workers).bit_length() - 1)]
        for step, distance, w in self._turns(distances):
            part = self._around(w, distance)
            self._exchange(build, f"ag{step}", w, w ^ distance, part, adds=False)

    def _turns(self, distances: list[int]) -> Iterator[tuple[int, int, int]]:
        """Step, distance and worker."""
        for step, distance in enumerate(distances):
            for w in range(len(self.workers)):
                yield step, distance, w

    def _around(self, w: int, count: int) -> range:
        """The blocks of worker *w* and its *count* - 1 nearest, counted in multiples of *count*."""
        first = w - w % count
        return range(self.blocks[first].start, self.blocks[first + count - 1].stop)

    def _exchange(
        self, build: Builder, name: str, w: int, partner: int, part: range, *, adds: bool
    ) -> None:
        source, destination = self.workers[w], self.workers[partner]
        build.move(f"{name}.{source}", source, destination, part, adds=adds)
