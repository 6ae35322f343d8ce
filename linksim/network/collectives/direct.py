"""Direct algorithms: whoever has a piece sends it to whoever needs it, in one step.

Ranks take turns: in round s every rank sends to the s-th after it, so that no receiver is
everyone's first.
"""

from __future__ import annotations

from collections.abc import Iterator

from linksim.network.collectives.builder import Builder
from linksim.network.collectives.layout import Layout


def send(build: Builder, layout: Layout) -> None:
    """One message from the first rank to the second."""
    build.move("send", layout.ranks[0], layout.ranks[1], layout.whole)


def broadcast(build: Builder, layout: Layout) -> None:
    """The first rank sends to all others."""
    root, *others = layout.ranks
    for i, rank in enumerate(others):
        build.move(f"bc{i}.{root}", root, rank, layout.whole)


def all_gather(build: Builder, layout: Layout) -> None:
    """Every rank sends its piece to all others."""
    for turn, i, j in _rounds(len(layout.ranks)):
        source, destination = layout.ranks[i], layout.ranks[j]
        build.move(f"ag{turn}.{source}", source, destination, layout.pieces[i])


def reduce_scatter(build: Builder, layout: Layout) -> None:
    """Every rank sends piece j to rank j, which keeps all of them until it has added them.

    Sum of piece j: (((x[0] + x[1]) + x[2]) + ...) + x[n-1], in rank order.
    """
    ranks, pieces = layout.ranks, layout.pieces
    addends = [
        [piece if i == j else build.reserve(rank, len(piece)) for i in range(len(ranks))]
        for j, (rank, piece) in enumerate(zip(ranks, pieces, strict=True))
    ]
    for turn, i, j in _rounds(len(ranks)):
        build.move(f"rs{turn}.{ranks[i]}", ranks[i], ranks[j], pieces[j], to=addends[j][i])
    for j, rank in enumerate(ranks):
        total, *others = addends[j]
        for i, addend in enumerate(others, start=1):
            build.move(f"add{i}.{rank}", rank, rank, addend, to=total, adds=True)
        build.move(f"sum.{rank}", rank, rank, total, to=pieces[j])


def all_reduce(build: Builder, layout: Layout) -> None:
    """Two steps: reduce-scatter, then all-gather of the sums; order of additions as there.

    The two-step all-reduce of Flash Communication, arXiv 2412.04964: two codings on the way of
    every value, where a ring has 2 (n - 1).
    """
    reduce_scatter(build, layout)
    all_gather(build, layout)


def all_to_all(build: Builder, layout: Layout) -> None:
    """Every rank sends every other one what it has for it."""
    for turn, i, j in _rounds(len(layout.ranks)):
        source, destination = layout.ranks[i], layout.ranks[j]
        what, to = layout.outgoing[i][j], layout.incoming[j][i]
        build.move(f"a2a{turn}.{source}", source, destination, what, to=to)
    for i, rank in enumerate(layout.ranks):
        build.move(f"own.{rank}", rank, rank, layout.outgoing[i][i], to=layout.incoming[i][i])


def _rounds(n: int) -> Iterator[tuple[int, int, int]]:
    """Round, source and destination of all pairs of *n* ranks."""
    for turn in range(1, n):
        for i in range(n):
            yield turn, i, (i + turn) % n
