"""From an op, an algorithm and sizes to a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from linksim.errors import LinksimError
from linksim.network.collectives import direct, hierarchical, in_switch, recursive, ring, tree
from linksim.network.collectives.builder import Builder
from linksim.network.collectives.layout import Layout, cut, joined
from linksim.network.collectives.moves import Schedule
from linksim.network.topology import SWITCH

Elements = int | Sequence[int] | Sequence[Sequence[int]]
"""What each rank contributes, see `schedule`."""

_ALGORITHMS: dict[str, dict[str, Callable[[Builder, Layout], None]]] = {
    "send": {"direct": direct.send},
    "all_reduce": {
        "ring": ring.all_reduce,
        "halving-doubling": recursive.all_reduce,
        "tree": tree.all_reduce,
        "double-tree": tree.double_all_reduce,
        "direct": direct.all_reduce,
        "in-switch": in_switch.all_reduce,
        "hierarchical": hierarchical.all_reduce,
    },
    "all_gather": {
        "ring": ring.all_gather,
        "direct": direct.all_gather,
        "doubling": recursive.all_gather,
    },
    "reduce_scatter": {
        "ring": ring.reduce_scatter,
        "direct": direct.reduce_scatter,
        "halving": recursive.reduce_scatter,
    },
    "all_to_all": {"direct": direct.all_to_all},
    "broadcast": {
        "ring": ring.broadcast,
        "tree": tree.broadcast,
        "direct": direct.broadcast,
        "in-switch": in_switch.broadcast,
    },
}

ALGORITHMS: Mapping[str, tuple[str, ...]] = {op: tuple(names) for op, names in _ALGORITHMS.items()}
"""By op, the names of its algorithms, the default first."""

FROM_ONE_RANK = ("send", "broadcast")
"""Ops in which the first rank alone contributes."""


def schedule(
    op: str,
    *,
    ranks: Sequence[str],
    elements: Elements,
    algorithm: str | None = None,
    chunk_elements: int | None = None,
    groups: Sequence[Sequence[str]] | None = None,
    switch: str = SWITCH,
) -> Schedule:
    """The moves of collective *op* among *ranks*.

    *elements* is the size of every rank's tensor. All-gather also takes one size per rank;
    all-to-all takes one, cut as `numpy.array_split` cuts, or for every rank its sizes for every
    rank. *algorithm* is one of `ALGORITHMS`, by default the first of *op*. What goes from one rank
    to another in a step is cut in chunks of *chunk_elements*, the last maybe smaller, by default
    not at all. *groups* of ranks, all of one size, are what `hierarchical` needs and others do not
    take; *switch* is the node that `in-switch` sends to.

    LinksimError for an unknown op or algorithm, fewer than two ranks or one named twice, sizes that
    do not fit the op, chunks of no elements, and groups that are not the ranks in equal parts.
    """
    name = check(op, ranks, algorithm)
    if chunk_elements is not None and chunk_elements < 1:
        raise LinksimError(f"{op}: chunks of {chunk_elements} elements: expected 1 or more")
    if name == "in-switch" and switch in ranks:
        raise LinksimError(f"{op}: a rank and the switch are both called {switch!r}")
    members = _groups(op, name, ranks, groups)
    layout, inputs, outputs = _arrange(op, tuple(ranks), elements, members, switch)
    size = {rank: max(of[rank].stop for of in (inputs, outputs) if rank in of) for rank in ranks}
    build = Builder(size, chunk_elements)
    _ALGORITHMS[op][name](build, layout)
    return Schedule(op, name, tuple(build.moves), build.nelements, inputs, outputs)


def check(op: str, ranks: Sequence[str], algorithm: str | None) -> str:
    """The name of the algorithm; LinksimError for bad ranks, an unknown op or algorithm."""
    if op not in _ALGORITHMS:
        raise LinksimError(f"unknown collective {op!r}: expected one of {', '.join(_ALGORITHMS)}")
    if len(ranks) < 2 or len(set(ranks)) != len(ranks) or (op == "send" and len(ranks) != 2):
        count = "two" if op == "send" else "two or more"
        raise LinksimError(f"{op} among {list(ranks)}: expected {count} ranks, each named once")
    names = ALGORITHMS[op]
    if algorithm is not None and algorithm not in names:
        raise LinksimError(
            f"{op}: unknown algorithm {algorithm!r}: expected one of {', '.join(names)}"
        )
    return algorithm or names[0]


def _groups(
    op: str, algorithm: str, ranks: Sequence[str], groups: Sequence[Sequence[str]] | None
) -> tuple[tuple[str, ...], ...]:
    if algorithm != "hierarchical":
        if groups is not None:
            raise LinksimError(f"{op}: groups are for algorithm hierarchical, not {algorithm}")
        return ()
    if not groups:
        raise LinksimError(f"{op}: algorithm hierarchical: expected the ranks in groups")
    for group in groups:
        for rank in group:
            if rank not in ranks:
                raise LinksimError(f"{op}: groups name rank {rank!r}, which does not take part")
    named = [rank for group in groups for rank in group]
    if len(named) != len(ranks) or set(named) != set(ranks):
        raise LinksimError(f"{op}: groups {_words(groups)}: expected every rank in one of them")
    if len({len(group) for group in groups}) != 1:
        raise LinksimError(f"{op}: groups {_words(groups)}: expected groups of one size")
    return tuple(tuple(group) for group in groups)


def _arrange(
    op: str,
    ranks: tuple[str, ...],
    elements: Elements,
    groups: tuple[tuple[str, ...], ...],
    switch: str,
) -> tuple[Layout, dict[str, range], dict[str, range]]:
    """The layout, and by rank where its tensor lies at the start and its result at the end."""
    n = len(ranks)
    if op == "all_to_all":
        counts = _per_pair(op, elements, n)
        outgoing = [joined(row) for row in counts]
        sent = [sum(row) for row in counts]
        incoming = [joined(to_j, start=sent[j]) for j, to_j in enumerate(zip(*counts, strict=True))]
        layout = Layout(ranks, (), outgoing=tuple(outgoing), incoming=tuple(incoming))
        inputs = [range(size) for size in sent]
        outputs = [range(parts[0].start, parts[-1].stop) for parts in incoming]
        return layout, _by(ranks, inputs), _by(ranks, outputs)
    if op == "all_gather":
        shards = joined(_per_rank(op, elements, n))
        layout = Layout(ranks, shards)
        return layout, _by(ranks, shards), dict.fromkeys(ranks, layout.whole)
    whole = range(_size(op, elements))
    if op in FROM_ONE_RANK:
        receivers = ranks[1:] if op == "send" else ranks
        layout = Layout(ranks, (whole,), switch=switch)
        return layout, {ranks[0]: whole}, dict.fromkeys(receivers, whole)
    layout = Layout(ranks, cut(whole, n), groups, switch)
    owned = layout.pieces if op == "reduce_scatter" else [whole] * n
    return layout, dict.fromkeys(ranks, whole), _by(ranks, owned)


def _by(ranks: Sequence[str], parts: Sequence[range]) -> dict[str, range]:
    return dict(zip(ranks, parts, strict=True))


def _size(op: str, elements: object) -> int:
    if not isinstance(elements, int) or elements < 0:
        raise LinksimError(f"{op}: {elements!r} elements: expected a whole number, 0 or more")
    return elements


def _per_rank(op: str, elements: object, n: int) -> list[int]:
    if not isinstance(elements, Sequence):
        return [_size(op, elements)] * n
    if len(elements) != n:
        raise LinksimError(f"{op}: {len(elements)} sizes for {n} ranks: expected one for each")
    return [_size(op, size) for size in elements]


def _per_pair(op: str, elements: object, n: int) -> list[list[int]]:
    if not isinstance(elements, Sequence):
        return [[len(part) for part in cut(range(_size(op, elements)), n)]] * n
    if len(elements) != n or not all(isinstance(row, Sequence) for row in elements):
        raise LinksimError(f"{op}: expected one size, or {n} times {n} of them")
    return [_per_rank(op, row, n) for row in elements]


def _words(groups: Sequence[Sequence[str]]) -> str:
    return " and ".join("+".join(group) or "none" for group in groups)
