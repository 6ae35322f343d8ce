"""Who is linked to whom, what forwards, and the way a message takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from linksim.errors import LinksimError
from linksim.links import LinkPreset

Pair = tuple[str, str]
"""A directed link, or a message's ends: source and destination."""

Links = Mapping[Pair, LinkPreset]
"""Directed links by their source and destination node."""


@dataclass(frozen=True)
class Network:
    """Nodes joined by directed links.

    A message takes the route that is given for its ends, or else the link between them. All links
    of a route carry flits of one payload size, so that a flit stays a flit on its way.
    """

    links: Links
    forwarding_ps: Mapping[str, int] = field(default_factory=dict)
    """Nodes that send on what is not for them, and the time from a flit's arrival there until it
    can leave. Other nodes only send and receive messages of their own."""
    routes: Mapping[Pair, tuple[str, ...]] = field(default_factory=dict)
    """Nodes from source to destination, both included."""
    description: str = ""
    """Topology and routing in words."""

    def __post_init__(self) -> None:
        for node, latency_ps in self.forwarding_ps.items():
            if latency_ps < 0:
                raise LinksimError(f"node {node!r} forwards in {latency_ps} ps: expected 0 or more")
        for ends, nodes in self.routes.items():
            self._check_route(ends, nodes)

    def _check_route(self, ends: Pair, nodes: tuple[str, ...]) -> None:
        where = f"route from {ends[0]!r} to {ends[1]!r}"
        if len(nodes) < 2 or (nodes[0], nodes[-1]) != ends or len(set(nodes)) != len(nodes):
            raise LinksimError(f"{where} by {list(nodes)}: expected it to join them without a loop")
        for pair in pairwise(nodes):
            if pair not in self.links:
                raise LinksimError(f"{where}: there is no link from {pair[0]!r} to {pair[1]!r}")
        for node in nodes[1:-1]:
            if node not in self.forwarding_ps:
                raise LinksimError(f"{where}: node {node!r} does not forward")
        payloads = {self.links[pair].flit.payload_nbytes for pair in pairwise(nodes)}
        if len(payloads) > 1:
            raise LinksimError(
                f"{where}: its links carry {', '.join(map(str, sorted(payloads)))} bytes per flit: "
                "expected one payload size"
            )

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, in order of first appearance."""
        return tuple(dict.fromkeys(node for pair in self.links for node in pair))

    def route(self, source: str, destination: str) -> tuple[Pair, ...]:
        """Links from *source* to *destination*; LinksimError where there is no way."""
        nodes = self.routes.get((source, destination), (source, destination))
        links = tuple(pairwise(nodes))
        if links[0] not in self.links:
            known = set(self.nodes)
            for node in (source, destination):
                if node not in known:
                    raise LinksimError(
                        f"there is no node {node!r}: expected one of {', '.join(self.nodes)}"
                    )
            raise LinksimError(f"there is no link from {source!r} to {destination!r}, and no route")
        return links

    def preset(self, source: str, destination: str) -> LinkPreset:
        """The first link on the way from *source* to *destination*."""
        return self.links[self.route(source, destination)[0]]
