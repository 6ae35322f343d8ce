"""The network that a scenario names."""

import pytest

from linksim.errors import LinksimError
from linksim.replay.topologies import NetworkShape, check_shape, network_of
from tests.network.models import link

RANKS = ("a", "b", "c", "d")
GOOD = {
    "fully-connected": {},
    "ring": {},
    "mesh": {"forwarding_ns": 2, "columns": 2},
    "switched": {"forwarding_ns": 100},
    "pcie-tree": {"forwarding_ns": 100, "between": "ucie-standard-x16-16"},
}


@pytest.mark.parametrize(("topology", "fields"), GOOD.items())
def test_every_rank_reaches_its_neighbour(topology, fields):
    shape = NetworkShape(**{k: v for k, v in fields.items() if k != "between"})
    check_shape(topology, shape)
    network = network_of(topology, shape, RANKS, link())
    assert network.route("a", "b")[0][0] == "a"


@pytest.mark.parametrize(
    ("topology", "fields", "problem"),
    [
        ("mesh", {"columns": 2}, "needs network.forwarding_ns"),
        ("mesh", {"forwarding_ns": 2}, "needs network.columns"),
        ("switched", {}, "needs network.forwarding_ns"),
        ("fully-connected", {"forwarding_ns": 2}, "has no network.forwarding_ns"),
        ("ring", {"columns": 2}, "has no network.columns"),
    ],
)
def test_a_shape_that_does_not_suit_the_topology(topology, fields, problem):
    with pytest.raises(ValueError, match=problem):
        check_shape(topology, NetworkShape(**fields))


def test_ranks_that_do_not_suit_the_topology():
    with pytest.raises(LinksimError, match="topology: mesh of 4 ranks in rows of 3"):
        network_of("mesh", NetworkShape(forwarding_ns=1, columns=3), RANKS, link())
