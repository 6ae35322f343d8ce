"""The flit-level model against closed forms."""

import numpy as np
import pytest

from linksim.engines import engine_record
from linksim.errors import LinksimError
from linksim.links import link_names, link_preset
from linksim.network import (
    ENGINES,
    Coding,
    Compute,
    Transfer,
    expand,
    point_to_point,
    ring,
    simulate,
    total_flits,
)
from linksim.network.reference.link import LinkModel

from .models import check_shares, coding, engine, link, statistics, transfer

PAIR = ("a", "b")


def run(tasks, preset, **options):
    """The result of both engines, which is the same."""
    network = point_to_point(PAIR, preset)
    result = simulate(tasks, network, engine="reference", **options)
    assert simulate(tasks, network, engine="fast") == result
    for found in result.transfers:
        check_shares(found, preset)
    return result


@pytest.mark.parametrize("name", link_names())
@pytest.mark.parametrize("nbytes", [1, 250, 251, 100_000])
def test_single_plain_message(name, nbytes):
    preset = link_preset(name)
    found = run([transfer("m", Coding.plain(nbytes))], preset).transfers[0]
    flits = -(-nbytes // preset.flit.payload_nbytes)
    assert found.delivered_ps == flits * preset.flit_ps + preset.flight_ps
    assert found.wire_ps == found.delivered_ps
    assert found.wire_nbytes == flits * preset.flit.nbytes


def test_back_to_back_messages_share_the_wire():
    preset = link()
    tasks = [transfer(str(i), Coding.plain(8 * (i + 1))) for i in range(4)]
    found = run(tasks, preset).transfers
    sent = np.cumsum([1, 2, 3, 4]) * preset.flit_ps
    assert [t.delivered_ps for t in found] == [int(s) + preset.flight_ps for s in sent]
    assert [t.queueing_ps for t in found] == [0, *(int(s) for s in sent[:-1])]


def test_empty_message_is_delivered_at_once_even_on_a_busy_link():
    tasks = [transfer("long", Coding.plain(800)), transfer("empty", Coding.plain(0))]
    empty = run(tasks, link()).transfers[1]
    assert (empty.flits, empty.delivered_ps) == (0, 0)
    coded = transfer("coded", coding([0, 0], [0, 0], engine(latencies=(9, 9))))
    assert run([coded], link()).makespan_ps == 0


@pytest.mark.parametrize("nbytes", [1, 8, 100, 801])
def test_ideal_engine_at_ratio_one_is_codec_off_to_the_ps(nbytes):
    preset = link(buffer=3)
    ideal = engine_record("ideal")
    for cuts in ([nbytes], [1] * nbytes, [0, nbytes // 2, nbytes - nbytes // 2, 0]):
        coded = run([transfer(n, coding(cuts, cuts, ideal)) for n in "xy"], preset)
        plain = run([transfer(n, Coding.plain(nbytes)) for n in "xy"], preset)
        assert coded.transfers == plain.transfers


def test_ideal_engine_scales_serialization_by_the_ratio():
    preset, ideal = link(), engine_record("ideal")
    found = run([transfer("m", coding([1600] * 10, [400] * 10, ideal))], preset)
    assert found.makespan_ps == 16000 // 4 // 8 * preset.flit_ps + preset.flight_ps


def check_credit_throughput(buffer):
    """Flits of a long message leave at min(1, credits x flit / round trip), exactly."""
    preset = link(flit_ps=100, flight_ns=1.0, buffer=buffer)
    rounds = 20
    found = run([transfer("m", Coding.plain(8 * buffer * rounds))], preset)
    # The n-th window of `buffer` flits starts n loops after the first.
    loop = max(buffer * preset.flit_ps, preset.round_trip_ps)
    last_sent = (rounds - 1) * loop + buffer * preset.flit_ps
    assert found.transfers[0].last_flit_sent_ps == last_sent
    assert found.links[0].credit_stall_ps == last_sent - buffer * rounds * preset.flit_ps
    return found


@pytest.mark.parametrize("buffer", [1, 2, 10, 20, 21, 22, 40])
def test_credit_limited_throughput(buffer):
    check_credit_throughput(buffer)


def test_credit_check_catches_credits_that_do_not_fly_back(monkeypatch):
    monkeypatch.setattr(LinkModel, "return_credit", lambda self, channel, _: self._credit(channel))
    with pytest.raises(AssertionError):
        check_credit_throughput(10)


def test_credits_are_the_bottleneck_when_the_wire_mostly_waits_for_them():
    assert check_credit_throughput(2).bottleneck == "credits"
    assert check_credit_throughput(40).bottleneck == "link"


def test_slow_encoder():
    preset = link(flit_ps=100)
    slow = engine(encode=8, decode=1000, latencies=(7, 3))
    n, raw, wire = 50, 80, 16  # 10 cycles of 100 ps to encode, 2 flits to send
    found = run([transfer("m", coding([raw] * n, [wire] * n, slow))], preset)
    # The last segment's two flits go when it is out; then flight, one decode cycle and latency.
    expected = n * 1000 + 700 + 2 * 100 + 1000 + 100 + 300
    assert found.makespan_ps == expected
    assert found.bottleneck == "encoder"
    assert found.links[0].encoder_busy_ps == n * 1000
    message = found.transfers[0]
    assert message.encode_ps == n * 1000 + 700 - 2 * (n - 1) * 100
    assert message.decode_ps == 400


def test_slow_decoder_holds_the_sender_by_credits():
    preset = link(flit_ps=100, flight_ns=0.1, buffer=4)
    slow = engine(encode=1000, decode=8, latencies=(7, 3))
    n, raw, wire = 50, 80, 16
    found = run([transfer("m", coding([raw] * n, [wire] * n, slow))], preset)
    first_gathered = 100 + 700 + 2 * 100 + 100
    assert found.makespan_ps == first_gathered + n * 1000 + 300
    assert found.bottleneck == "decoder"
    assert found.links[0].decoder_busy_ps == n * 1000
    assert found.links[0].credit_stall_ps > 0


@pytest.mark.parametrize("buffer", [1, 2, 1000])
def test_store_and_forward_of_one_segment_larger_than_the_buffer(buffer):
    preset = link(flit_ps=100, flight_ns=0.1, buffer=buffer)
    flits = 64
    whole = engine(encode=8, decode=4, latencies=(5, 6))
    found = run([transfer("m", coding([1024], [8 * flits], whole))], preset)
    windows = -(-flits // buffer)
    loop = max(buffer * preset.flit_ps, preset.round_trip_ps)
    wire = (windows - 1) * loop + (flits - (windows - 1) * buffer) * preset.flit_ps
    encode, decode = 128 * 100 + 500, 256 * 100 + 600
    assert found.makespan_ps == encode + wire + preset.flight_ps + decode


def test_statistics_come_first_and_of_the_whole_message():
    preset = link()
    fixed, counting = engine(), engine(statistics=statistics(rate=8, build=10))
    sizes = [80] * 10, [8] * 10
    plain = run([transfer("m", coding(*sizes, fixed))], preset)
    counted = run([transfer("m", coding(*sizes, counting))], preset)
    assert counted.makespan_ps == plain.makespan_ps + (100 + 10) * 100
    assert counted.transfers[0].queueing_ps == 0
    slow = engine(encode=800, decode=800, statistics=statistics(rate=8))
    assert run([transfer("m", coding(*sizes, slow))], preset).bottleneck == "statistics"


def test_copies_of_a_core_work_on_segments_of_their_own():
    preset = link(flit_ps=10, flight_ns=0)
    n, copies = 12, 4
    sizes = [80] * n, [8] * n
    one = run([transfer("m", coding(*sizes, engine(encode=8, decode=8000)))], preset)
    four = run([transfer("m", coding(*sizes, engine(8, 8000, replicas=copies)))], preset)
    assert one.makespan_ps == n * 1000 + 10 + 100
    # Four segments come out at a time and their four flits follow one another.
    assert four.makespan_ps == n // copies * 1000 + copies * 10 + 100
    assert four.links[0].encoder_busy_ps == n // copies * 1000


def test_codec_free_of_cost_needs_no_engine():
    preset = link()
    found = run([transfer("m", coding([100, 100], [20, 20]))], preset)
    assert found.makespan_ps == 5 * preset.flit_ps + preset.flight_ps


def test_dependencies_and_overlap_of_compute_and_transfer():
    preset = link(flit_ps=100, flight_ns=1.0)
    tasks = [
        Compute("c1", "a", 5000),
        transfer("t1", Coding.plain(80), after=["c1"]),
        Compute("c2", "a", 700, after=("c1",)),
        Compute("c3", "b", 50, after=("t1", "c2")),
    ]
    found = run(tasks, preset)
    assert found.transfers[0].ready_ps == 5000
    assert found.transfers[0].delivered_ps == 5000 + 10 * 100 + 1000
    assert found.computes[1].start_ps == 5000
    assert found.computes[2].start_ps == 7000
    assert (found.makespan_ps, found.bottleneck) == (7050, "compute")


def test_a_rank_computes_one_task_at_a_time_in_task_order():
    # c and b become ready at the same time, by ways of different length; b is first in the list.
    tasks = [
        Compute("b", "a", 30, after=("x2",)),
        Compute("c", "a", 20, after=("y",)),
        Compute("y", "q", 10),
        Compute("x1", "p", 5),
        Compute("x2", "p", 5, after=("x1",)),
    ]
    for engine_name in ENGINES:
        found = {c.id: c for c in simulate(tasks, {}, engine=engine_name).computes}
        assert (found["b"].start_ps, found["c"].start_ps) == (10, 40)
        assert found["c"].ready_ps == 10


def test_links_are_independent_and_results_keep_their_order():
    preset = link(energy=0.5)
    tasks = [
        Transfer("there", "a", "b", Coding.plain(80), event="e1"),
        Transfer("back", "b", "a", Coding.plain(8)),
    ]
    found = run(tasks, preset)
    assert [t.id for t in found.transfers] == ["there", "back"]
    assert found.transfers[0].event == "e1"
    there, back = found.links
    assert (there.source, there.destination, there.wire_nbytes) == ("a", "b", 100)
    assert (back.wire_nbytes, back.busy_ps, back.transfers) == (10, 100, 1)
    assert there.energy_pj == 100 * 8 * 0.5
    assert there.engine_energy_pj == 0
    assert there.utilization == 1000 / found.makespan_ps


def test_short_messages_are_bound_by_latency():
    found = run([transfer("m", Coding.plain(1))], link(flit_ps=100, flight_ns=5))
    assert found.bottleneck == "latency"


def test_no_tasks():
    found = run([], link())
    assert (found.makespan_ps, found.transfers, found.links[0].utilization) == (0, (), 0.0)


def test_progress_reaches_the_announced_total():
    seen = []
    tasks = [transfer("m", Coding.plain(8 * 3000))]
    run(tasks, link(), progress=seen.append)
    assert seen == [1024, 2048, 3000]
    assert total_flits(tasks, point_to_point(PAIR, link())) == 3000


@pytest.mark.parametrize("n", [2, 3, 4, 8])
@pytest.mark.parametrize("values", [8, 100])
def test_ring_all_reduce_of_equal_pieces(n, values):
    """2 (n - 1) (L + flits x flit time): LogGOPSim's ring without CPU overheads.

    T. Hoefler et al., LogGOPSim (2010); its closed form is 2 (n - 1) (L + (c - 1) G + 2 o).
    """
    ranks = [f"r{i}" for i in range(n)]
    preset = link()
    tensors = {rank: np.ones(n * values, np.float32) for rank in ranks}
    tasks = [
        Transfer(hop.id, hop.source, hop.destination, Coding.plain(hop.values.nbytes), hop.after)
        for hop in expand("all_reduce", ranks, tensors).hops
    ]
    found = simulate(tasks, ring(ranks, preset))
    step = preset.flits(4 * values) * preset.flit_ps + preset.flight_ps
    assert found.makespan_ps == 2 * (n - 1) * step


M = Coding.plain(8)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([transfer("x", M), transfer("x", M)], "every id once"),
        ([transfer("x", M, after=["y"])], "'x' waits for 'y', which does not exist"),
        ([transfer("x", M, after=["x"])], "'x' can never start"),
        (
            [Compute("ok", "a", 1), transfer("x", M, ["y"]), Compute("y", "a", 1, ("x",))],
            "'x' can never start",
        ),
        ([transfer("x", M, destination="c")], "'x': there is no node 'c'"),
        (
            [transfer(n, coding([8], [8], engine(replicas=r))) for n, r in (("x", 1), ("y", 2))],
            "expected one engine",
        ),
    ],
)
def test_bad_tasks(tasks, expected):
    with pytest.raises(LinksimError, match=expected):
        simulate(tasks, point_to_point(PAIR, link()))


@pytest.mark.parametrize(
    ("raw", "wire"), [([1], [1, 2]), ([-1], [1]), ([5], [0]), ([[1]], [[1]]), ([5], [-5])]
)
def test_bad_codings(raw, wire):
    with pytest.raises(LinksimError, match="a coding"):
        coding(raw, wire)
    with pytest.raises(LinksimError, match="int64"):
        Coding(np.array([1.0]), np.array([1.0]))


def test_negative_duration():
    with pytest.raises(LinksimError, match="0 ps or more"):
        Compute("c", "a", -1)
