"""Which ranks have a link to which: mappings from (source, destination) to a link preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linksim.errors import LinksimError
from linksim.links import LinkPreset

Links = Mapping[tuple[str, str], LinkPreset]
"""Directed links by their source and destination rank."""


def point_to_point(ranks: Sequence[str], preset: LinkPreset) -> Links:
    """Two ranks, a link each way. LinksimError unless there are exactly two."""
    _check(ranks)
    if len(ranks) != 2:
        raise LinksimError(f"point to point: expected 2 ranks, got {len(ranks)}")
    return fully_connected(ranks, preset)


def ring(ranks: Sequence[str], preset: LinkPreset) -> Links:
    """Every rank has a link each way to the next and to the previous one."""
    _check(ranks)
    neighbours = list(zip(ranks, (*ranks[1:], ranks[0]), strict=True))
    return dict.fromkeys([*neighbours, *((b, a) for a, b in neighbours)], preset)


def fully_connected(ranks: Sequence[str], preset: LinkPreset) -> Links:
    """Every rank has a link of its own to every other one."""
    _check(ranks)
    return {(a, b): preset for a in ranks for b in ranks if a != b}


def _check(ranks: Sequence[str]) -> None:
    if len(ranks) < 2 or len(set(ranks)) != len(ranks):
        raise LinksimError(f"ranks {list(ranks)}: expected two or more, each named once")
