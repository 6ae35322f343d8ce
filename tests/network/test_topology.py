"""Which links each topology has."""

import pytest

from linksim.errors import LinksimError
from linksim.network import fully_connected, point_to_point, ring

from .models import link

L = link()


def test_links():
    assert set(point_to_point(["a", "b"], L)) == {("a", "b"), ("b", "a")}
    assert set(ring(["a", "b"], L)) == {("a", "b"), ("b", "a")}
    around = {("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")}
    assert set(ring("abcd", L)) == around | {(b, a) for a, b in around}
    assert len(fully_connected("abcd", L)) == 12


@pytest.mark.parametrize("topology", [point_to_point, ring, fully_connected])
@pytest.mark.parametrize("ranks", [[], ["a"], ["a", "a"]])
def test_bad_ranks(topology, ranks):
    with pytest.raises(LinksimError, match="two or more"):
        topology(ranks, L)


def test_point_to_point_is_for_two():
    with pytest.raises(LinksimError, match="expected 2 ranks"):
        point_to_point("abc", L)
