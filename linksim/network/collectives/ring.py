"""Rings: every rank sends to the next one, the last to the first.

All-gather and reduce-scatter of n ranks take n - 1 steps, in which every rank sends n - 1 of the n
pieces: the least possible. P. Patarasuk and X. Yuan, "Bandwidth optimal all-reduce algorithms for
clusters of workstations", Journal of Parallel and Distributed Computing 69(2), 2009.
"""

from __future__ import annotations

from itertools import pairwise

from linksim.network.collectives.builder import Builder
from linksim.network.collectives.layout import Layout


def reduce_scatter(build: Builder, layout: Layout, phase: str = "rs") -> None:
    """Piece j starts at rank j + 1 and comes home to rank j with every rank's addend in it.

    Sum of piece j, ranks counted round the ring: (((x[j+1] + x[j+2]) + x[j+3]) + ...) + x[j].
    """
    for step in range(len(layout.ranks) - 1):
        _step(build, layout, f"{phase}{step}", -1 - step, adds=True)


def all_gather(build: Builder, layout: Layout, phase: str = "ag") -> None:
    """Piece j starts at rank j and goes round to all others."""
    for step in range(len(layout.ranks) - 1):
        _step(build, layout, f"{phase}{step}", -step, adds=False)


def all_reduce(build: Builder, layout: Layout, prefix: str = "") -> None:
    """Reduce-scatter, then all-gather of the sums; order of additions as there."""
    reduce_scatter(build, layout, f"{prefix}rs")
    all_gather(build, layout, f"{prefix}ag")


def broadcast(build: Builder, layout: Layout) -> None:
    """A chain, the ring without its last link: in chunks, every rank sends on while it receives."""
    for step, (source, destination) in enumerate(pairwise(layout.ranks)):
        build.move(f"bc{step}.{source}", source, destination, layout.whole)


def _step(build: Builder, layout: Layout, name: str, shift: int, *, adds: bool) -> None:
    """Every rank i sends piece i + *shift* to the next rank."""
    n = len(layout.ranks)
    for i, rank in enumerate(layout.ranks):
        piece = layout.pieces[(i + shift) % n]
        build.move(f"{name}.{rank}", rank, layout.ranks[(i + 1) % n], piece, adds=adds)
