"""The fast engine against the reference: the same picosecond for every flit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.links import Retry
from linksim.links.retry import flit_errors, retry_link, run_go_back_n
from linksim.network import (
    ENGINES,
    Coding,
    Compute,
    Network,
    Transfer,
    expand,
    fully_connected,
    point_to_point,
    ring,
    simulate,
    switched,
)
from linksim.network.fast.stream import merges
from linksim.network.reference.link import LinkModel

from .models import link, transfer
from .test_fabric_properties import RANKS, codings, engines, links, one_link_runs, task_sets


def same(tasks, network, seed=0):
    """What both engines find, which is the same for every flit."""
    kinds = [
        simulate(tasks, network, engine=kind, record_flits=True, seed=seed)
        for kind in ("reference", "fast")
    ]
    reference, fast = kinds
    assert fast.flits == reference.flits
    assert fast.transfers == reference.transfers
    assert fast == reference
    return fast


@settings(max_examples=200, deadline=None)
@given(one_link_runs())
def test_one_link(case):
    preset, tasks = case
    same(tasks, point_to_point(("a", "b"), preset))


@settings(max_examples=150, deadline=None)
@given(task_sets())
def test_fully_connected(case):
    preset, tasks = case
    same(tasks, fully_connected(RANKS, preset))


@st.composite
def fan_outs(draw):
    """One source behind a switch, or a chain: routes that part but never meet."""
    preset, record = draw(links), draw(engines)
    targets = ("b", "c", "d")
    network = switched(("a", *targets), preset, forwarding_ps=draw(st.sampled_from([0, 1, 70])))
    tasks = [
        Transfer(str(i), "a", draw(st.sampled_from(targets)), draw(codings(record)))
        for i in range(draw(st.integers(1, 8)))
    ]
    return network, tasks


@settings(max_examples=200, deadline=None)
@given(fan_outs())
def test_ways_that_part(case):
    network, tasks = case
    same(tasks, network)


def erring(protocol, rate, *, maximum_replays=1000, **options):
    """A link that damages flits with a bit error rate of *rate*."""
    retry = Retry(
        protocol=protocol, sequence_bits=8, timer_flits=60, maximum_replays=maximum_replays
    )
    return link(**options).model_copy(update={"bit_error_rate": rate, "retry": retry})


@settings(max_examples=100, deadline=None)
@given(task_sets(), st.sampled_from(["go-back-n", "per-packet"]), st.integers(0, 9))
def test_bit_errors(case, protocol, seed):
    preset, tasks = case
    network = fully_connected(RANKS, erring(protocol, 2e-3, flight_ns=0.3, buffer=preset.credits))
    same(tasks, network, seed=seed)


@pytest.mark.parametrize("protocol", ["go-back-n", "per-packet"])
def test_bit_errors_cost_time_and_lose_nothing(protocol):
    tasks = [transfer("m", Coding.plain(8 * 5000))]
    sound, broken = (
        same(tasks, point_to_point(("a", "b"), erring(protocol, rate)), seed=4)
        for rate in (0.0, 1e-3)
    )
    assert sound.links[0].replays == 0 < broken.links[0].replays
    assert broken.makespan_ps > sound.makespan_ps
    assert broken.transfers[0].flits == sound.transfers[0].flits == 5000
    assert broken.transfers[0].network_wait_ps >= broken.links[0].replays * 100
    again = simulate(tasks, point_to_point(("a", "b"), erring(protocol, 1e-3)), seed=5)
    assert again.makespan_ps != broken.makespan_ps


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_dead_link_ends_the_run_with_its_name(engine_name):
    dead = erring("go-back-n", 1.0, maximum_replays=3)
    network = ring(RANKS, link())
    network = Network({**network.links, ("b", "c"): dead})
    tasks = [transfer("fine", Coding.plain(80)), transfer("m", Coding.plain(80), (), "b", "c")]
    with pytest.raises(LinksimError, match=r"link 'b' to 'c' failed: its flit 0 was sent 4 times"):
        simulate(tasks, network, engine=engine_name)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_ring_over_a_switch_streams(n):
    ranks = [f"r{i}" for i in range(n)]
    tensors = {rank: np.ones(n * 50 + 1, np.float32) for rank in ranks}
    tasks = [
        Transfer(hop.id, hop.source, hop.destination, Coding.plain(hop.values.nbytes), hop.after)
        for hop in expand("all_reduce", ranks, tensors).hops
    ]
    same(tasks, switched(ranks, link(buffer=3), forwarding_ps=500))


def test_merging_ways():
    assert not merges([(0, 1), (0, 2), (3,)])
    assert merges([(0, 1), (2, 1)])
    assert merges([(0, 1), (1,)])


def test_a_wrong_credit_is_caught(monkeypatch):
    right = LinkModel.return_credit
    late = lambda self, channel, left_ps: right(self, channel, left_ps + 1)  # noqa: E731
    monkeypatch.setattr(LinkModel, "return_credit", late)
    with pytest.raises(AssertionError):
        same([transfer("m", Coding.plain(80))], point_to_point(("a", "b"), link(buffer=2)))


@pytest.mark.parametrize("seed", [1, 2])
def test_go_back_n_delivers_every_flit_when_the_whole_protocol_does(seed):
    preset = erring("go-back-n", 4e-4, flight_ns=0.7)
    flits = 3000
    found = same([transfer("m", Coding.plain(8 * flits))], point_to_point(("a", "b"), preset), seed)
    errors = replace(flit_errors(preset, seed), by_flit=True)
    protocol = run_go_back_n(retry_link(preset), errors, flits, record=True)
    arrivals = [flit.start_ps + preset.flit_ps + preset.flight_ps for flit in found.flits]
    assert arrivals == protocol.delivered_ps.tolist()
    assert found.links[0].replays == protocol.replays > 10


def test_a_task_that_is_ready_later_in_the_same_picosecond_keeps_its_place():
    plain = Coding.plain(8)
    tasks = [
        Transfer("behind", "a", "b", plain, ("nothing",)),
        transfer("at once", plain),
        Compute("nothing", "a", 0),
    ]
    found = same(tasks, point_to_point(("a", "b"), link()))
    assert found.transfers[0].first_flit_ps < found.transfers[1].first_flit_ps
