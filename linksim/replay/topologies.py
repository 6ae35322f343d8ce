"""The network that a scenario names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from linksim.errors import LinksimError
from linksim.links import LinkPreset, link_preset
from linksim.network import (
    Network,
    fully_connected,
    mesh,
    pcie_tree,
    point_to_point,
    ring,
    switched,
)
from linksim.units import ps_from_ns

TopologyName = Literal["fully-connected", "point-to-point", "ring", "mesh", "switched", "pcie-tree"]


class NetworkShape(BaseModel):
    """What a topology needs beside its links."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forwarding_ns: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """From a flit's arrival at a node that forwards until it can leave there."""
    columns: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Of a mesh: ranks in a row."""
    between: str | None = None
    """Of a PCIe tree: the link between its two sides, if it is another one."""


NEEDS: dict[TopologyName, tuple[str, ...]] = {
    "fully-connected": (),
    "point-to-point": (),
    "ring": (),
    "mesh": ("forwarding_ns", "columns"),
    "switched": ("forwarding_ns",),
    "pcie-tree": ("forwarding_ns",),
}
"""Fields of the shape that each topology cannot do without."""

_TAKES: dict[TopologyName, tuple[str, ...]] = {
    **NEEDS,
    "ring": ("forwarding_ns",),
    "pcie-tree": ("forwarding_ns", "between"),
}


def check_shape(topology: TopologyName, shape: NetworkShape) -> None:
    """ValueError where *shape* lacks what *topology* needs or says what it does not have."""
    for field in NetworkShape.model_fields:
        given = getattr(shape, field) is not None
        if field in NEEDS[topology] and not given:
            raise ValueError(f"topology {topology!r} needs network.{field}")
        if field not in _TAKES[topology] and given:
            raise ValueError(f"topology {topology!r} has no network.{field}")


def network_of(
    topology: TopologyName, shape: NetworkShape, ranks: Sequence[str], link: LinkPreset
) -> Network:
    """The network of *ranks*; LinksimError where the topology does not suit them."""
    forwarding_ps = 0 if shape.forwarding_ns is None else ps_from_ns(shape.forwarding_ns)
    try:
        match topology:
            case "fully-connected":
                return fully_connected(ranks, link)
            case "point-to-point":
                return point_to_point(ranks, link)
            case "ring":
                forwards = None if shape.forwarding_ns is None else forwarding_ps
                return ring(ranks, link, forwarding_ps=forwards)
            case "mesh":
                return mesh(ranks, link, columns=shape.columns or 1, forwarding_ps=forwarding_ps)
            case "switched":
                return switched(ranks, link, forwarding_ps=forwarding_ps)
            case "pcie-tree":
                between = None if shape.between is None else link_preset(shape.between)
                return pcie_tree(ranks, link, forwarding_ps=forwarding_ps, between=between)
    except LinksimError as error:
        raise LinksimError(f"topology: {error}") from None
