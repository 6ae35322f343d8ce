"""Topologies: networks of one kind of link, their nodes named by the ranks at them."""

from __future__ import annotations

from collections.abc import Sequence

from linksim.errors import LinksimError
from linksim.links import LinkPreset
from linksim.network.network import Network, Pair

SWITCH = "switch"
"""Name of the node in the middle of `switched`."""


def point_to_point(ranks: Sequence[str], preset: LinkPreset) -> Network:
    """Two ranks, a link each way. LinksimError unless there are exactly two."""
    _check(ranks)
    if len(ranks) != 2:
        raise LinksimError(f"point to point: expected 2 ranks, got {len(ranks)}")
    return Network(_both_ways([(ranks[0], ranks[1])], preset), description="point to point")


def ring(ranks: Sequence[str], preset: LinkPreset, *, forwarding_ps: int | None = None) -> Network:
    """Every rank has a link each way to the next and to the previous one.

    With *forwarding_ps*, ranks send on what is not for them, the shorter way round, forwards where
    both are equal. Nothing keeps such a ring from deadlock under load but enough buffers: it has no
    dateline.
    """
    _check(ranks)
    n = len(ranks)
    links = _both_ways(list(zip(ranks, (*ranks[1:], ranks[0]), strict=True)), preset)
    if forwarding_ps is None:
        return Network(links, description="ring, neighbours only")
    routes = {}
    for i, source in enumerate(ranks):
        for ahead in range(2, n - 1):
            step = 1 if 2 * ahead <= n else -1
            count = ahead if step == 1 else n - ahead
            nodes = tuple(ranks[(i + step * k) % n] for k in range(count + 1))
            routes[source, nodes[-1]] = nodes
    return Network(
        links, dict.fromkeys(ranks, forwarding_ps), routes, "ring, the shorter way round"
    )


def fully_connected(ranks: Sequence[str], preset: LinkPreset) -> Network:
    """Every rank has a link of its own to every other one."""
    _check(ranks)
    links = {(a, b): preset for a in ranks for b in ranks if a != b}
    return Network(links, description="fully connected")


def mesh(ranks: Sequence[str], preset: LinkPreset, *, columns: int, forwarding_ps: int) -> Network:
    """Rows of *columns* dies, linked to their neighbours; messages go along the row first.

    Going along the row and then along the column (dimension order) cannot deadlock: W. Dally and
    C. Seitz, "Deadlock-free message routing in multiprocessor interconnection networks" (1987).
    """
    _check(ranks)
    if columns < 1 or len(ranks) % columns:
        raise LinksimError(
            f"mesh of {len(ranks)} ranks in rows of {columns}: expected full rows of 1 or more"
        )
    rows = len(ranks) // columns
    places = [(row, column) for row in range(rows) for column in range(columns)]

    def at(row: int, column: int) -> str:
        return ranks[row * columns + column]

    neighbours = [(at(r, c), at(r, c + 1)) for r, c in places if c + 1 < columns]
    neighbours += [(at(r, c), at(r + 1, c)) for r, c in places if r + 1 < rows]
    routes = {}
    for row, column in places:
        for to_row, to_column in places:
            along = [at(row, c) for c in _from_to(column, to_column)]
            down = [at(r, to_column) for r in _from_to(row, to_row)]
            nodes = (*along, *down[1:])
            if len(nodes) > 2:
                routes[nodes[0], nodes[-1]] = nodes
    return Network(
        _both_ways(neighbours, preset),
        dict.fromkeys(ranks, forwarding_ps),
        routes,
        f"mesh of {rows} x {columns}, along the row first",
    )


def switched(
    ranks: Sequence[str], preset: LinkPreset, *, forwarding_ps: int, switch: str = SWITCH
) -> Network:
    """Every rank has a link each way to one switch, which is a node of its own.

    It forwards flits as they come; collectives that reduce in it send to the switch and from it.
    """
    _check(ranks)
    if switch in ranks:
        raise LinksimError(f"a rank and the switch are both called {switch!r}")
    routes = {(a, b): (a, switch, b) for a in ranks for b in ranks if a != b}
    links = _both_ways([(rank, switch) for rank in ranks], preset)
    return Network(links, {switch: forwarding_ps}, routes, "one switch")


def pcie_tree(
    ranks: Sequence[str],
    preset: LinkPreset,
    *,
    forwarding_ps: int,
    between: LinkPreset | None = None,
) -> Network:
    """Two root complexes (NUMA sides `root0`, `root1`), half of the ranks at each.

    The link *between* the sides (default: one of the same kind) may be slower and is shared by all
    that crosses.
    """
    _check(ranks)
    if len(ranks) % 2:
        raise LinksimError(f"PCIe tree: expected an even number of ranks, got {len(ranks)}")
    half = len(ranks) // 2
    root = {rank: f"root{int(i >= half)}" for i, rank in enumerate(ranks)}
    links = _both_ways([(rank, root[rank]) for rank in ranks], preset)
    links |= _both_ways([("root0", "root1")], between or preset)
    routes = {
        (a, b): (a, *dict.fromkeys((root[a], root[b])), b) for a in ranks for b in ranks if a != b
    }
    forwarding = dict.fromkeys(("root0", "root1"), forwarding_ps)
    return Network(links, forwarding, routes, "PCIe tree of two sides")


def _from_to(start: int, end: int) -> range:
    """Every whole number from *start* to *end*, both included, upwards or downwards."""
    step = 1 if end >= start else -1
    return range(start, end + step, step)


def _both_ways(pairs: Sequence[Pair], preset: LinkPreset) -> dict[Pair, LinkPreset]:
    """Links forwards for all of *pairs*, then backwards."""
    return dict.fromkeys([*pairs, *((b, a) for a, b in pairs)], preset)


def _check(ranks: Sequence[str]) -> None:
    if len(ranks) < 2 or len(set(ranks)) != len(ranks):
        raise LinksimError(f"ranks {list(ranks)}: expected two or more, each named once")
