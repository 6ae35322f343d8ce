"""Properties of any run, and the fabric against an independent recurrence over flits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.network import Compute, Transfer, fully_connected, point_to_point, simulate
from linksim.network.reference.link import LinkModel

from .models import (
    check_shares,
    coding,
    engine,
    link,
    link_oracle,
    statistics,
    transfer,
)

RANKS = ("a", "b", "c")

engines = st.builds(
    engine,
    encode=st.integers(1, 40),
    decode=st.integers(1, 40),
    latencies=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    statistics=st.none() | st.builds(statistics, rate=st.integers(1, 40), build=st.integers(0, 50)),
    replicas=st.integers(1, 3),
)
links = st.builds(
    link,
    flit_ps=st.sampled_from([50, 100, 170]),
    flight_ns=st.sampled_from([0.0, 0.1, 1.0]),
    buffer=st.integers(1, 12),
    payload=st.integers(1, 20),
)
segments = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=6)


@st.composite
def codings(draw, with_engine):
    raw, wire = zip(*draw(segments), strict=True)
    return coding(raw, wire, with_engine if draw(st.booleans()) else None)


@st.composite
def one_link_runs(draw):
    preset, record = draw(links), draw(engines)
    messages = draw(st.lists(codings(record), min_size=1, max_size=5))
    return preset, [transfer(str(i), message) for i, message in enumerate(messages)]


@st.composite
def task_sets(draw):
    record = draw(engines)
    tasks = []
    for i in range(draw(st.integers(1, 12))):
        after = tuple(str(j) for j in range(i) if draw(st.integers(0, 4)) == 0)
        if draw(st.booleans()):
            tasks.append(
                Compute(str(i), draw(st.sampled_from(RANKS)), draw(st.integers(0, 900)), after)
            )
        else:
            source, destination = draw(st.permutations(RANKS))[:2]
            tasks.append(Transfer(str(i), source, destination, draw(codings(record)), after))
    return draw(links), draw(st.permutations(tasks))


def check_against_oracle(preset, tasks):
    found = simulate(tasks, point_to_point(("a", "b"), preset), engine="reference")
    assert {t.id: t.delivered_ps for t in found.transfers} == link_oracle(tasks, preset)


@settings(max_examples=300, deadline=None)
@given(one_link_runs())
def test_every_delivery_on_one_link_is_that_of_the_recurrence(case):
    check_against_oracle(*case)


@pytest.mark.parametrize("mutant", ["early", "late"])
def test_recurrence_catches_wrong_credits(monkeypatch, mutant):
    right = LinkModel.return_credit
    give = {
        "early": lambda self, channel, _: self._credit(channel),
        "late": lambda self, channel, left_ps: right(self, channel, left_ps + 1),
    }
    monkeypatch.setattr(LinkModel, "return_credit", give[mutant])
    preset = link(buffer=2)
    with pytest.raises(AssertionError):
        check_against_oracle(preset, [transfer("m", coding([90, 90], [80, 80], engine()))])


def ordered(tasks, result):
    """Every task starts no sooner than all it waits for are done."""
    ends = {t.id: t.delivered_ps for t in result.transfers}
    ends |= {c.id: c.end_ps for c in result.computes}
    starts = {t.id: t.ready_ps for t in result.transfers}
    starts |= {c.id: c.ready_ps for c in result.computes}
    return all(
        starts[task.id] == max((ends[before] for before in task.after), default=0) for task in tasks
    )


@settings(max_examples=100, deadline=None)
@given(task_sets())
def test_random_task_sets(case):
    preset, tasks = case
    network = fully_connected(RANKS, preset)
    result = simulate(tasks, network, engine="reference")
    assert len(result.transfers) + len(result.computes) == len(tasks)
    assert ordered(tasks, result)
    for found in result.transfers:
        check_shares(found, preset)
    for load in result.links:
        over = [
            t
            for t in tasks
            if isinstance(t, Transfer)
            and (t.source, t.destination) == (load.source, load.destination)
        ]
        assert load.raw_nbytes == sum(t.coding.raw_total for t in over)
        assert load.encoded_nbytes == sum(t.coding.wire_total for t in over)
        flits = sum(preset.flits(t.coding.wire_total) for t in over)
        assert load.wire_nbytes == flits * preset.flit.nbytes
        assert load.busy_ps == flits * preset.flit_ps <= result.makespan_ps
        assert max(load.encoder_busy_ps, load.decoder_busy_ps) <= result.makespan_ps
    assert simulate(tasks, network, engine="reference") == result
