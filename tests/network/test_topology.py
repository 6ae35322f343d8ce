"""Which links and routes each topology has."""

from itertools import pairwise, permutations

import pytest

from linksim.errors import LinksimError
from linksim.network import (
    Network,
    fully_connected,
    mesh,
    pcie_tree,
    point_to_point,
    ring,
    switched,
)

from .models import link

L = link()
EIGHT = tuple("abcdefgh")


def mesh_of_two_rows(ranks, preset):
    return mesh(ranks, preset, columns=len(ranks) // 2, forwarding_ps=1)


def forwarding_ring(ranks, preset):
    return ring(ranks, preset, forwarding_ps=1)


def one_switch(ranks, preset):
    return switched(ranks, preset, forwarding_ps=1)


def tree(ranks, preset):
    return pcie_tree(ranks, preset, forwarding_ps=1)


ROUTED = (fully_connected, forwarding_ring, mesh_of_two_rows, one_switch, tree)


def test_links():
    assert set(point_to_point(["a", "b"], L).links) == {("a", "b"), ("b", "a")}
    assert set(ring(["a", "b"], L).links) == {("a", "b"), ("b", "a")}
    around = {("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")}
    assert set(ring("abcd", L).links) == around | {(b, a) for a, b in around}
    assert len(fully_connected("abcd", L).links) == 12
    assert len(switched(EIGHT, L, forwarding_ps=0).links) == 16
    assert len(pcie_tree(EIGHT, L, forwarding_ps=0).links) == 18
    # 2 rows of 4: three joints in each row, four between the rows.
    assert len(mesh_of_two_rows(EIGHT, L).links) == 2 * (2 * 3 + 4)


@pytest.mark.parametrize("topology", ROUTED)
def test_all_ranks_reach_one_another_by_joined_links(topology):
    network = topology(EIGHT, L)
    for source, destination in permutations(EIGHT, 2):
        route = network.route(source, destination)
        assert (route[0][0], route[-1][1]) == (source, destination)
        assert all(one[1] == two[0] for one, two in pairwise(route))
        assert all(pair in network.links for pair in route)


def test_route_lengths():
    lengths = {
        topology: [len(topology(EIGHT, L).route("a", to)) for to in EIGHT[1:]]
        for topology in ROUTED
    }
    assert lengths[forwarding_ring] == [1, 2, 3, 4, 3, 2, 1]
    assert lengths[mesh_of_two_rows] == [1, 2, 3, 1, 2, 3, 4]
    assert lengths[one_switch] == [2] * 7
    assert lengths[tree] == [2, 2, 2, 3, 3, 3, 3]


def test_a_mesh_goes_along_the_row_first():
    network = mesh(EIGHT, L, columns=4, forwarding_ps=1)
    assert network.route("a", "g") == (("a", "b"), ("b", "c"), ("c", "g"))
    assert network.route("g", "a") == (("g", "f"), ("f", "e"), ("e", "a"))


@pytest.mark.parametrize("topology", [point_to_point, ring, *ROUTED])
@pytest.mark.parametrize("ranks", [[], ["a"], ["a", "a"]])
def test_bad_ranks(topology, ranks):
    with pytest.raises(LinksimError, match="two or more"):
        topology(ranks, L)


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: point_to_point("abc", L), "expected 2 ranks"),
        (lambda: mesh("abcde", L, columns=2, forwarding_ps=0), "5 ranks in rows of 2"),
        (lambda: mesh("ab", L, columns=0, forwarding_ps=0), "rows of 0"),
        (lambda: pcie_tree("abc", L, forwarding_ps=0), "even number of ranks, got 3"),
        (lambda: switched(["a", "switch"], L, forwarding_ps=0), "both called 'switch'"),
        (lambda: switched("ab", L, forwarding_ps=-1), "forwards in -1 ps"),
        (lambda: ring("abc", L).route("a", "x"), "there is no node 'x'"),
        (lambda: ring("abcd", L).route("a", "c"), "no link from 'a' to 'c', and no route"),
        (
            lambda: pcie_tree("ab", L, forwarding_ps=0, between=link(payload=9)),
            "8, 9 bytes per flit",
        ),
        (lambda: Network({("a", "b"): L}, routes={("a", "c"): ("a", "b", "c")}), "'b' to 'c'"),
        (
            lambda: Network({("a", "b"): L, ("b", "c"): L}, routes={("a", "c"): ("a", "b", "c")}),
            "node 'b' does not forward",
        ),
        (
            lambda: Network({("a", "b"): L}, routes={("a", "c"): ("a", "b")}),
            "join them without a loop",
        ),
    ],
)
def test_bad_networks(build, problem):
    with pytest.raises(LinksimError, match=problem):
        build()
