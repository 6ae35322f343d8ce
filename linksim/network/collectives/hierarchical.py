"""Rings inside groups and across them, for groups that are better connected inside.

M. Cho et al., "BlueConnect: decomposing all-reduce for deep learning on heterogeneous network
hierarchy", MLSys 2019.
"""

from __future__ import annotations

from linksim.network.collectives import ring
from linksim.network.collectives.builder import Builder
from linksim.network.collectives.layout import Layout, cut


def all_reduce(build: Builder, layout: Layout) -> None:
    """Reduce-scatter in every group, all-reduce of piece j among all j-th members, all-gather.

    With m groups of g, every rank sends 2 (g - 1) / g of its tensor inside its group and
    2 (m - 1) / (m g) across. Sum of piece j of g: in every group in ring order, starting at member
    j + 1; these sums are cut into m pieces and added in ring order of the groups, piece k starting
    at group k + 1.
    """
    groups = layout.groups
    pieces = cut(layout.whole, len(groups[0]))
    for group in groups:
        ring.reduce_scatter(build, Layout(group, pieces))
    for piece, members in zip(pieces, zip(*groups, strict=True), strict=True):
        ring.all_reduce(build, Layout(members, cut(piece, len(groups))), "across-")
    for group in groups:
        ring.all_gather(build, Layout(group, pieces))
