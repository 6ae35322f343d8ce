"""`linksim link show` and `linksim engine show`."""

from __future__ import annotations

import json

import pytest

from linksim.engines import engine_names
from linksim.links import link_families, link_names, link_preset
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
    striped = json.loads(linksim("link", "show", "ucie-advanced-x64-32/68B*2", "--json").out)
    assert striped[0]["name"] == "ucie-advanced-x64-32/68B*2"
    assert (striped[0]["lanes"], striped[0]["flit"]["crc_nbytes"]) == (128, 2)
    assert striped[0]["derived"]["flit_ps"] == 133
    copies = json.loads(linksim("engine", "show", "single-stage-w32*4", "--json").out)
    assert copies[0]["replicas"] == 4


def test_flit_formats_of_every_family_are_listed() -> None:
    shown = linksim("link", "show").out
    for family in link_families():
        lines = [line for line in shown.splitlines() if f" {family.name} " in line]
        assert all(any(f" {part.name} " in line for line in lines) for part in family.formats)


@pytest.mark.parametrize("room", ["link", "engine"])
def test_an_unknown_one_is_refused(room: str) -> None:
    linksim(room, "show", "nonesuch").refused("unknown", "nonesuch", "expected one of")


def test_a_link_that_cannot_be_is_refused_in_one_sentence() -> None:
    linksim("link", "show", "ucie-advanced-x64-48/68B").refused("68B", "expected at most 32 GT/s")
    linksim("link", "show", "ucie-advanced-x64*3").refused("expected 1, 2 or 4 after the *")
