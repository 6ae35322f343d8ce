"""`linksim link show` and `linksim engine show`."""

from __future__ import annotations

import json

import pytest

from linksim.engines import engine_names
from linksim.links import link_names, link_preset
from tests.replay.command import linksim


@pytest.mark.parametrize(
    ("room", "names"), [("link", link_names()), ("engine", engine_names())], ids=["link", "engine"]
)
def test_all_are_listed(room: str, names: tuple[str, ...]) -> None:
    shown = linksim(room, "show")
    assert shown.code == 0
    assert all(name in shown.out for name in names)
    listed = json.loads(linksim(room, "show", "--json").out)
    assert [entry["name"] for entry in listed] == list(names)
    assert all(entry["evidence"] for entry in listed if entry["name"] != "ideal")


def test_a_named_one_comes_with_its_evidence() -> None:
    shown = linksim("link", "show", "nvlink4-h100").out
    for entry in link_preset("nvlink4-h100").evidence:
        assert entry.field in shown
        assert entry.grade in shown
    copies = json.loads(linksim("engine", "show", "single-stage-w32*4", "--json").out)
    assert copies[0]["replicas"] == 4


@pytest.mark.parametrize("room", ["link", "engine"])
def test_an_unknown_one_is_refused(room: str) -> None:
    linksim(room, "show", "nonesuch").refused("unknown", "nonesuch", "expected one of")
