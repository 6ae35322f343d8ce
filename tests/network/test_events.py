"""Contention in the fast engine: the same picosecond for every flit as in the reference."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.links import Retry
from linksim.network import (
    Coding,
    Compute,
    Network,
    Transfer,
    fully_connected,
    mesh,
    pcie_tree,
    ring,
    simulate,
    switched,
)
from linksim.network.fast import run as fast_run
from linksim.network.fast.events import EventTransport
from linksim.network.fast.message import NEVER, Message
from linksim.network.reference.buffer import ReceiveBuffer
from linksim.network.reference.link import LinkModel

from .models import coding, link, transfer
from .test_fabric_properties import codings, engines

RANKS = ("a", "b", "c", "d")
FORWARDING_PS = st.sampled_from([0, 1, 70, 400])


@pytest.fixture(autouse=True)
def _events_everywhere(monkeypatch):
    """Runs that need no events take them all the same."""
    monkeypatch.setattr(fast_run, "StreamTransport", EventTransport)


def shared_link(channels=1, pause_ns=0.0, protocol=None, **figures):
    """A link of *channels* virtual channels, which pause between messages.

    With a retry *protocol* one flit in six or so is damaged.
    """
    changes = {"virtual_channels": channels, "reallocation_ns": pause_ns}
    if protocol is not None:
        changes["bit_error_rate"] = 2e-3
        changes["retry"] = Retry(
            protocol=protocol, sequence_bits=8, timer_flits=60, maximum_replays=1000
        )
    return link(**figures).model_copy(update=changes)


def outcome(tasks, network, engine):
    """What a run finds, or the error that ends it."""
    try:
        return simulate(tasks, network, engine=engine, record_flits=True)
    except LinksimError as error:
        return str(error)


def same(tasks, network):
    reference, fast = (outcome(tasks, network, engine) for engine in ("reference", "fast"))
    if not isinstance(reference, str) and not isinstance(fast, str):
        assert fast.flits == reference.flits
        assert fast.transfers == reference.transfers
    assert fast == reference
    return reference


presets = st.builds(
    shared_link,
    channels=st.integers(1, 4),
    pause_ns=st.sampled_from([0.0, 0.001, 0.25]),
    protocol=st.sampled_from([None, None, None, "go-back-n", "per-packet"]),
    flit_ps=st.sampled_from([50, 100, 170]),
    flight_ns=st.sampled_from([0.0, 0.001, 0.1, 1.0]),
    buffer=st.integers(1, 8),
)


@st.composite
def networks(draw):
    """Any topology, of one kind of link or with every link of a kind of its own."""
    preset, forwarding_ps = draw(presets), draw(FORWARDING_PS)
    network = draw(
        st.sampled_from(
            [
                ring(RANKS, preset, forwarding_ps=forwarding_ps),
                mesh(RANKS, preset, columns=2, forwarding_ps=forwarding_ps),
                switched(RANKS, preset, forwarding_ps=forwarding_ps),
                pcie_tree(RANKS, preset, forwarding_ps=forwarding_ps, between=draw(presets)),
                fully_connected(RANKS, preset),
            ]
        )
    )
    if draw(st.booleans()):
        kinds = draw(st.lists(presets, min_size=2, max_size=4))
        links = {pair: draw(st.sampled_from(kinds)) for pair in network.links}
        network = Network(links, network.forwarding_ps, network.routes)
    return network


@st.composite
def contended_runs(draw):
    network, record = draw(networks()), draw(engines)
    coded = codings(record)
    plain = st.integers(0, 250).map(Coding.plain)
    # Few ranks to send to, so that messages meet.
    targets = draw(st.sampled_from([RANKS, RANKS[:1], RANKS[1:3]]))
    tasks = []
    for i in range(draw(st.integers(1, 12))):
        after = tuple(str(j) for j in range(i) if draw(st.integers(0, 5)) == 0)
        if draw(st.integers(0, 7)) == 0:
            tasks.append(Compute(str(i), draw(st.sampled_from(RANKS)), 10, after))
            continue
        target = draw(st.sampled_from(targets))
        source = draw(st.sampled_from([rank for rank in RANKS if rank != target]))
        tasks.append(Transfer(str(i), source, target, draw(coded | plain), after))
    return network, draw(st.permutations(tasks))


def check(case):
    network, tasks = case
    same(tasks, network)


@settings(max_examples=150, deadline=None)
@given(contended_runs())
def test_any_network(case):
    check(case)


def around(network, nbytes):
    """Messages from every rank to the one after the next, all at once."""
    ends = zip(RANKS, RANKS[2:] + RANKS[:2], strict=True)
    tasks = [transfer(a + b, Coding.plain(nbytes), (), a, b) for a, b in ends]
    return same(tasks, network)


def test_deadlock():
    # Every message holds one link's only virtual channel and wants the next one's.
    network = ring(RANKS, shared_link(buffer=3), forwarding_ps=10)
    assert around(network, nbytes=800).startswith("deadlock: flits on links ")
    assert around(network, nbytes=8 * 2).transfers
    assert around(ring(RANKS, shared_link(2, buffer=3), forwarding_ps=10), nbytes=800).transfers


@pytest.mark.parametrize("buffer", [2, 3, 4])
def test_buffers_that_just_do_or_do_not(buffer):
    network = ring("abcdef", shared_link(buffer=buffer, flight_ns=0.0), forwarding_ps=10)
    ends = [*zip("abcdef", "cdefab", strict=True), *zip("abcd", "defa", strict=True)]
    stuck = 0
    for flits in range(1, 8):
        plain = Coding.plain(8 * flits)
        stuck += isinstance(same([transfer(a + b, plain, (), a, b) for a, b in ends], network), str)
    assert 0 < stuck < 7


def test_messages_that_wait_in_thousands():
    # More than the tables hold at first, of different lengths, some of them in many segments.
    network = switched(RANKS, shared_link(2, buffer=2), forwarding_ps=10)
    tasks = []
    for i in range(600):
        sizes = [8 + i % 5] * (1 + i % 7)
        source, target = RANKS[i % 3], RANKS[3 if i % 2 else (i + 1) % 3]
        after = [str(i - 300)] if i >= 300 else []
        tasks.append(transfer(str(i), coding(sizes, sizes), after, source, target))
    same(tasks, network)


def test_a_long_message_takes_no_memory_of_its_own():
    network = switched(RANKS, shared_link(buffer=4), forwarding_ps=10)
    transport = EventTransport(network, [0] * len(network.links), seed=0, record_flits=False)
    flits, none = 200_000, np.zeros(0, np.int64)
    for order, source in enumerate(("a", "b")):
        plain = transfer(source, Coding.plain(8 * flits), (), source, "d")
        way = tuple(list(network.links).index(pair) for pair in network.route(source, "d"))
        ready = np.array([flits]), np.array([0])
        transport.submit(Message(plain, order, way, flits, 0, 0, *ready, none, none, 0))
    found = []
    while passed := transport.advance(NEVER):
        found += passed
    assert [one.arrived_ps for one in found] == sorted(one.arrived_ps for one in found)
    assert [transport.load(link)[0] for link in range(3)] == [flits, flits, 0]
    assert transport._state.nbytes < 64 * 1024


def test_one_that_starts_late_in_a_picosecond_keeps_its_turn():
    # "late" waits for a message of no bytes, which is delivered when the others have started.
    tasks = [
        transfer("late", Coding.plain(80), ["empty"]),
        transfer("second", Coding.plain(80)),
        transfer("third", Coding.plain(80)),
        transfer("empty", Coding.plain(0)),
    ]
    found = same(tasks, switched(RANKS, link(buffer=3), forwarding_ps=10)).transfers
    assert found[0].delivered_ps < found[1].delivered_ps < found[2].delivered_ps


def test_a_dead_link_behind_a_switch():
    network = switched(RANKS, link(), forwarding_ps=10)
    retry = Retry(protocol="per-packet", sequence_bits=8, timer_flits=60, maximum_replays=3)
    dead = link().model_copy(update={"bit_error_rate": 1.0, "retry": retry})
    network = Network({**network.links, ("switch", "b"): dead}, {"switch": 10}, network.routes)
    tasks = [transfer("good", Coding.plain(80), (), "a", "c"), transfer("m", Coding.plain(80))]
    assert same(tasks, network).startswith("link 'switch' to 'b' failed: its flit 0 was sent 4")


def from_channel_0(self, now_ps, right=LinkModel._grant):
    self._last_granted = len(self._holders) - 1
    right(self, now_ps)


def credit_early(self, channel, left_ps, right=LinkModel.return_credit):
    right(self, channel, left_ps - 1 if left_ps > self._env.now else left_ps)


def credit_late(self, channel, left_ps, right=LinkModel.return_credit):
    right(self, channel, left_ps + 1)


def no_pause(self, passage, channel, available_ps, now_ps, right=LinkModel._send):
    right(self, passage, channel, available_ps, now_ps)
    if self._holders[channel] is None:
        self._channel_free_ps[channel] = self._wire_free_ps


def in_order_of_tasks(self, now_ps, right=LinkModel._allocate):
    for passage in self._waiting:
        if passage.requested_ps <= now_ps:
            passage.requested_ps = 0
    right(self, now_ps)


def head_asks_late(self, passage, right=ReceiveBuffer.left):
    if len(self._passages) > 1:
        self._passages[1].requested_ps = max(self._passages[1].requested_ps, int(self._env.now) + 2)
    right(self, passage)


MUTANTS = {
    from_channel_0: (LinkModel, "_grant"),
    credit_early: (LinkModel, "return_credit"),
    credit_late: (LinkModel, "return_credit"),
    no_pause: (LinkModel, "_send"),
    in_order_of_tasks: (LinkModel, "_allocate"),
    head_asks_late: (ReceiveBuffer, "left"),
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_wrong_rule_is_caught(monkeypatch, mutant):
    monkeypatch.setattr(*MUTANTS[mutant], mutant)
    search = settings(
        max_examples=300, deadline=None, phases=[Phase.generate], derandomize=True, database=None
    )
    with pytest.raises(AssertionError):
        search(given(contended_runs())(check))()
