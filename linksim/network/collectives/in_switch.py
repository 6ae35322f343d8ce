"""Algorithms in which the switch between the ranks takes part, as NVSwitch does.

A rank sends its addends once and receives the sum once, where any algorithm without help sends and
receives 2 (n - 1) / n of them; in chunks, both directions work at once. B. Klenk et al., "An
in-network architecture for accelerating shared-memory multiprocessor collectives", ISCA 2020.
"""

from __future__ import annotations

from linksim.network.collectives.builder import Builder
from linksim.network.collectives.layout import Layout


def all_reduce(build: Builder, layout: Layout) -> None:
    """Every rank sends its tensor to the switch, which adds them and sends the sum to all.

    Sum: (((x[0] + x[1]) + x[2]) + ...) + x[n-1], in rank order.
    """
    held = build.reserve(layout.switch, len(layout.whole))
    for i, rank in enumerate(layout.ranks):
        build.move(f"up.{rank}", rank, layout.switch, layout.whole, to=held, adds=i > 0)
    _spread(build, layout, held, layout.ranks)


def broadcast(build: Builder, layout: Layout) -> None:
    """The first rank sends to the switch, which sends to all others."""
    root, *others = layout.ranks
    held = build.reserve(layout.switch, len(layout.whole))
    build.move(f"up.{root}", root, layout.switch, layout.whole, to=held)
    _spread(build, layout, held, tuple(others))


def _spread(build: Builder, layout: Layout, held: range, ranks: tuple[str, ...]) -> None:
    for i, rank in enumerate(ranks):
        build.move(f"down{i}.{layout.switch}", layout.switch, rank, held, to=layout.whole)
