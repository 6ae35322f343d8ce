"""Binary trees: the children of rank i are ranks 2 i + 1 and 2 i + 2, the root is rank 0.

An all-reduce takes 2 floor(log2 n) steps, each of the whole tensor; in chunks, all levels work at
once. Half of the ranks are leaves and send once only, so one tree leaves half of the links idle in
each direction; two trees, one with the ranks in reverse, fill them: P. Sanders, J. Speck and
J. L. Träff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", Parallel
Computing 35(12), 2009.
"""

from __future__ import annotations

from collections.abc import Iterator

from linksim.network.collectives.builder import Builder
from linksim.network.collectives.layout import Layout, cut


def broadcast(build: Builder, layout: Layout, prefix: str = "") -> None:
    """From parents to children, the left child first."""
    for depth, level in enumerate(_levels(len(layout.ranks))):
        for i in level:
            parent, rank = layout.ranks[(i - 1) // 2], layout.ranks[i]
            turn = 2 * depth + (i + 1) % 2
            build.move(f"{prefix}down{turn}.{parent}", parent, rank, layout.whole)


def all_reduce(build: Builder, layout: Layout, prefix: str = "") -> None:
    """Sums go up to the root, and the total comes down.

    Sum at rank i: S(i) = (x[i] + S(2 i + 1)) + S(2 i + 2), of the children there are.
    """
    for step, level in enumerate(reversed(list(_levels(len(layout.ranks))))):
        for i in level:
            parent, rank = layout.ranks[(i - 1) // 2], layout.ranks[i]
            build.move(f"{prefix}up{step}.{rank}", rank, parent, layout.whole, adds=True)
    broadcast(build, layout, prefix)


def double_all_reduce(build: Builder, layout: Layout) -> None:
    """One tree sums the first half of the tensor, one over the ranks in reverse the second.

    Order of additions as in `all_reduce`, with rank n - 1 - i for rank i in the second half.
    """
    first, second = cut(layout.whole, 2)
    all_reduce(build, Layout(layout.ranks, (first,)), "first-")
    all_reduce(build, Layout(layout.ranks[::-1], (second,)), "second-")


def _levels(n: int) -> Iterator[range]:
    """The ranks at depth 1, 2, ... of a tree of *n*."""
    start = 1
    while start < n:
        yield range(start, min(2 * start + 1, n))
        start = 2 * start + 1
