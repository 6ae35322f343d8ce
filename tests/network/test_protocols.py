"""Endpoint protocols: records, closed form, and the simulation that must agree with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.links import link_preset
from linksim.network import Compute, EngineName, Transfer, simulate
from linksim.network.protocols import (
    IN_SWITCH,
    OPS,
    Collective,
    EndpointProtocol,
    EndpointRecord,
    InSwitch,
    collective_tasks,
    compatible_link,
    endpoint_names,
    endpoint_record,
    fastest_paths,
    gpu_network,
    idle_latency_ps,
    in_rounds,
    largest_compatible_flight_ps,
    simulate_collective,
)
from linksim.network.protocols.closed_form import ring_steps, wire_nbytes
from linksim.units import PS_PER_US, ceil_div
from tests.docs.pages import text, written_files

LINK = link_preset("nvlink3-a100")
RECORD = EndpointRecord(
    name="made up",
    description="figures that are easy to add",
    link="nvlink3-a100",
    all_to_all_steps=3.0,
    protocols=(
        EndpointProtocol(
            name="LL", line_nbytes=8, data_nbytes=4, base_us=5.0, step_us=1.0, wire_fraction=0.25
        ),
        EndpointProtocol(
            name="Simple",
            line_nbytes=128,
            data_nbytes=128,
            base_us=20.0,
            step_us=2.0,
            wire_fraction=0.8,
        ),
    ),
    in_switch=InSwitch(base_us=15.0, wire_fraction=0.5),
)


def simulated_ps(collective: Collective, path: str, engine: EngineName = "fast") -> int:
    ranks = [f"gpu{i}" for i in range(collective.n_gpus)]
    tasks = collective_tasks(RECORD, LINK, collective, path, ranks)
    return simulate(tasks, gpu_network(ranks, LINK), engine=engine).makespan_ps


def test_steps_and_bytes_are_those_of_the_ring() -> None:
    assert [ring_steps(op, 8) for op in OPS] == [7, 14, 0, 7]
    assert [wire_nbytes(op, 8, 800) for op in OPS] == [700, 1400, 700, 700]


def test_closed_form_by_hand() -> None:
    # 8 GPUs, 1 MiB: 1.75 MiB on the wire at 0.8 of 266.67 GB/s, 14 steps of 2 us, 20 us.
    ((path, time_us),) = fastest_paths(
        RECORD.model_copy(update={"in_switch": None}), [Collective("all_reduce", 8, 1 << 20)]
    )
    assert path == "LL"
    assert time_us == pytest.approx(5 + 14 + 1.75 * (1 << 20) / (0.25 * 800e3 / 3))
    ((path, time_us),) = fastest_paths(RECORD, [Collective("all_gather", 8, 1 << 24)])
    assert path == "Simple"
    assert time_us == pytest.approx(20 + 14 + 0.875 * (1 << 24) / (0.8 * 800e3 / 3))


def test_a_tuner_takes_the_in_switch_path_for_large_sums_alone() -> None:
    sums = [Collective("all_reduce", 8, size) for size in (512, 1 << 20)]
    others = [Collective(op, 8, 1 << 20) for op in OPS if op != "all_reduce"]
    assert [path for path, _ in fastest_paths(RECORD, sums)] == [IN_SWITCH, IN_SWITCH]
    assert IN_SWITCH not in [path for path, _ in fastest_paths(RECORD, others)]
    few = [Collective("all_reduce", 2, 512)]
    assert fastest_paths(RECORD, few)[0][0] == "LL"


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("protocol", RECORD.protocols, ids=lambda protocol: protocol.name)
def test_equal_pieces_take_exactly_base_steps_and_flits(
    op: str, protocol: EndpointProtocol, engine: EngineName
) -> None:
    n, piece = 4, 1000
    flits = LINK.flits(round(piece / protocol.wire_fraction))
    steps = RECORD.all_to_all_steps if op == "all_to_all" else ring_steps(op, n)
    sends = wire_nbytes(op, n, n * piece) / piece
    expected = (
        round((protocol.base_us + steps * protocol.step_us) * PS_PER_US)
        + int(sends) * flits * LINK.flit_ps
    )
    assert simulated_ps(Collective(op, n, n * piece), protocol.name, engine) == expected


@settings(max_examples=60)
@given(
    op=st.sampled_from(OPS),
    n=st.integers(2, 8),
    nbytes=st.integers(64, 40_000),
    name=st.sampled_from(["LL", "Simple"]),
)
def test_simulation_is_the_closed_form_and_padding(op: str, n: int, nbytes: int, name: str) -> None:
    """Every message in a row is padded by less than a flit, and pieces differ by a byte."""
    collective = Collective(op, n, nbytes)
    alone = RECORD.model_copy(
        update={
            "in_switch": None,
            "protocols": tuple(p for p in RECORD.protocols if p.name == name),
        }
    )
    ((path, closed_us),) = fastest_paths(alone, [collective])
    messages = n - 1 if op == "all_to_all" else ring_steps(op, n)
    difference = simulated_ps(collective, path) - closed_us * PS_PER_US
    assert -messages <= difference <= 2 * messages * LINK.flit_ps


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize(("n", "nbytes"), [(2, 100), (4, 20_000), (8, 33_333)])
def test_in_switch_is_the_closed_form_and_padding(n: int, nbytes: int, engine: EngineName) -> None:
    payload = LINK.payload_bytes_per_second
    closed_ps = 15 * PS_PER_US + nbytes * (1 + 1 / 256) / (0.5 * payload) * 1e12
    difference = simulated_ps(Collective("all_reduce", n, nbytes), IN_SWITCH, engine) - closed_ps
    # The pipeline is filled by a whole number of flits, and the last chunk is padded.
    assert -LINK.flit_ps <= difference <= 2 * LINK.flit_ps


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize(("n", "piece"), [(2, 100), (3, 5000), (8, 1000)])
def test_rounds_of_an_all_to_all_never_meet(n: int, piece: int, engine: EngineName) -> None:
    """A port for each sender changes no time, so none shared is a simplification."""
    ranks = [f"gpu{i}" for i in range(n)]
    tasks = collective_tasks(RECORD, LINK, Collective("all_to_all", n, n * piece), "LL", ranks)
    shared, apart = (
        simulate(tasks, network(ranks, LINK), engine=engine) for network in (gpu_network, in_rounds)
    )
    assert shared.transfers == apart.transfers


def test_step_times_hold_the_flight_whatever_the_link_says() -> None:
    collective = Collective("all_reduce", 4, 8192)
    near = LINK.model_copy(update={"latency_ns": 10.0})
    assert (
        simulate_collective(RECORD, collective, link=near)
        == simulate_collective(RECORD, collective, link=LINK)
        == simulate_collective(RECORD, collective)
    )


def test_a_link_slower_than_a_measured_step_is_refused_and_can_be_cut() -> None:
    far = LINK.model_copy(update={"latency_ns": 600.0})
    with pytest.raises(LinksimError, match=r"1\.20048 us, a step of LL takes 1 us"):
        simulate_collective(RECORD, Collective("all_gather", 4, 512), link=far)
    cut = compatible_link(RECORD, far)
    assert cut.flight_ps == largest_compatible_flight_ps(RECORD, far) == 499_760
    assert PS_PER_US - 2 < idle_latency_ps(cut) <= PS_PER_US
    simulate_collective(RECORD, Collective("all_gather", 4, 512), link=cut)
    assert compatible_link(RECORD, LINK) is LINK


def test_messages_carry_the_fraction_and_the_software_is_at_the_sender() -> None:
    ranks = ["a", "b"]
    tasks = collective_tasks(RECORD, LINK, Collective("all_gather", 2, 2000), "LL", ranks)
    sent = [task for task in tasks if isinstance(task, Transfer)]
    assert [(t.coding.raw_total, t.coding.wire_total) for t in sent] == [(1000, 4000)] * 2
    computed = [task for task in tasks if isinstance(task, Compute)]
    step_ps = PS_PER_US - idle_latency_ps(LINK)
    assert [c.duration_ps for c in computed] == [5 * PS_PER_US] * 2 + [step_ps] * 2
    assert {c.rank for c in computed} == set(ranks)


def test_chunks_of_the_in_switch_path_fill_their_flits() -> None:
    ranks = ["a", "b"]
    collective = Collective("all_reduce", 2, 1 << 22)
    tasks = collective_tasks(RECORD, LINK, collective, IN_SWITCH, ranks)
    flits = sum(
        LINK.flits(task.coding.wire_total)
        for task in tasks
        if isinstance(task, Transfer) and task.source == "a"
    )
    assert flits == ceil_div(2 << 22, LINK.flit.payload_nbytes)


@pytest.mark.parametrize(
    ("op", "n", "nbytes", "said"),
    [
        ("all_mix", 4, 512, "unknown collective 'all_mix'"),
        ("all_gather", 1, 512, "2 GPUs or more"),
        ("all_gather", 4, 0, "1 byte or more"),
    ],
)
def test_nonsense_is_no_collective(op: str, n: int, nbytes: int, said: str) -> None:
    with pytest.raises(LinksimError, match=said):
        Collective(op, n, nbytes)


def test_paths_that_are_not_there_are_refused() -> None:
    with pytest.raises(LinksimError, match="no path 'LL128': expected one of LL, Simple"):
        collective_tasks(RECORD, LINK, Collective("all_gather", 2, 512), "LL128", ["a", "b"])
    with pytest.raises(LinksimError, match="no in-switch path for all_gather"):
        collective_tasks(RECORD, LINK, Collective("all_gather", 2, 512), IN_SWITCH, ["a", "b"])


def test_shipped_records_are_physical_and_have_evidence() -> None:
    assert endpoint_names() == ("a100", "h100", "l40s")
    for name in endpoint_names():
        record = endpoint_record(name)
        assert record.gpus
        assert [protocol.name for protocol in record.protocols] == ["LL", "LL128", "Simple"]
        carried = [protocol.carried_fraction for protocol in record.protocols]
        assert carried == [4 / 8, 120 / 128, 1]
        assert (record.in_switch is not None) == (name == "h100")
        assert {"protocols", "all_to_all_steps", "link"} <= {e.field for e in record.evidence}
        assert compatible_link(record, record.link_preset).flight_ps > 0


def test_the_page_on_validation_shows_the_shipped_figures_and_a_record_that_loads(
    tmp_path: Path,
) -> None:
    page = text("reference/validation.md")
    shown = [tuple(line.strip("| ").split(" | ")) for line in page.splitlines()]
    for name in endpoint_names():
        record = endpoint_record(name)
        for protocol in record.protocols:
            figures = (protocol.base_us, protocol.step_us, protocol.wire_fraction)
            assert (
                f"`{name}`",
                f"`{record.link}`",
                protocol.name,
                *(f"{figure:g}" for figure in figures),
            ) in shown
        if record.in_switch is not None:
            figures = (record.in_switch.base_us, record.in_switch.wire_fraction)
            base, fraction = (f"{figure:g}" for figure in figures)
            assert (f"`{name}`", f"`{record.link}`", IN_SWITCH, base, "-", fraction) in shown
    ((name, document),) = written_files(page, "toml").items()
    (tmp_path / name).write_text(document)
    assert endpoint_record(tmp_path / name).gpus == ("MY_GPU",)


GOOD = """
name = "mine"
description = "a GPU"
link = "nvlink3-a100"
all_to_all_steps = 3
[[protocols]]
name = "LL"
line_nbytes = 8
data_nbytes = 4
base_us = 5
step_us = 1
wire_fraction = 0.25
"""


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("wire_fraction = 0.25", "wire_fraction = 0.6", "the 4 of 8 bytes that it carries"),
        ("data_nbytes = 4", "data_nbytes = 9", "at most line_nbytes"),
        ("base_us = 5", "base_us = -5", "expected microseconds per collective"),
        ("step_us = 1", "step_us = nan", "expected microseconds per step"),
        ("step_us = 1\n", "", "field protocols.0.step_us is missing"),
        ('link = "nvlink3-a100"\n', "", "field link is missing"),
        ("all_to_all_steps = 3", "all_to_all_steps = 3\nlanes = 2", "unknown field lanes"),
        ("wire_fraction = 0.25", "wire_fraction = 0.25\n[in_switch]\nbase_us = 3", "in_switch"),
    ],
)
def test_a_bad_record_is_refused_in_one_sentence(
    tmp_path: Path, good: str, bad: str, said: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert endpoint_record(path).protocols[0].base_us == 5
    path.write_text(GOOD.replace(good, bad))
    with pytest.raises(LinksimError) as refused:
        endpoint_record(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_record_names_protocols_once_and_a_link_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + GOOD[GOOD.index("[[protocols]]") :])
    with pytest.raises(LinksimError, match="each name once"):
        endpoint_record(path)
    path.write_text(GOOD.replace("nvlink3-a100", "nvlink0"))
    with pytest.raises(LinksimError, match="unknown link 'nvlink0'"):
        fastest_paths(endpoint_record(path), [Collective("all_gather", 2, 512)])
