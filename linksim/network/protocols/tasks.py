"""A collective with its endpoint protocol as tasks for the simulator.

The schedule of moves comes from `linksim.network.collectives`. The protocol adds the software's
time as computations at the sending GPU, and inflates messages by its wire fraction. The GPUs hang
on one switch. A step time of a record has the network's latency in it, so that of an idle network
is taken off before it is simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from linksim.errors import LinksimError
from linksim.links import LinkPreset
from linksim.network.collectives import Move, Schedule, schedule
from linksim.network.messages import Coding, Compute, Task, Transfer
from linksim.network.network import Network
from linksim.network.protocols.closed_form import (
    IN_SWITCH,
    IN_SWITCH_CHUNKS,
    Collective,
    fastest_paths,
)
from linksim.network.protocols.record import EndpointProtocol, EndpointRecord, InSwitch
from linksim.network.simulation import EngineName, simulate
from linksim.network.topology import SWITCH, switched
from linksim.units import PS_PER_NS, PS_PER_US, ceil_div


@dataclass(frozen=True)
class CollectiveTime:
    """What a simulated collective took, and on which path."""

    path: str
    """Name of the protocol, or `in-switch`."""
    time_ps: int


def simulate_collective(
    record: EndpointRecord,
    collective: Collective,
    *,
    engine: EngineName = "fast",
    link: LinkPreset | None = None,
) -> CollectiveTime:
    """Run *collective* over GPUs at one switch, by the path of *record* that is fastest for it.

    *link* replaces the record's. LinksimError where the network's own latency is more than a step
    of the record takes; see `compatible_link`.
    """
    preset = record.link_preset if link is None else link
    ((path, _),) = fastest_paths(record, [collective])
    ranks = tuple(f"gpu{i}" for i in range(collective.n_gpus))
    tasks = collective_tasks(record, preset, collective, path, ranks)
    network = in_rounds if collective.op == "all_to_all" else gpu_network
    run = simulate(tasks, network(ranks, preset), engine=engine)
    return CollectiveTime(path, run.makespan_ps)


def gpu_network(ranks: Sequence[str], link: LinkPreset) -> Network:
    """*ranks* at one switch; the time in the switch counts as part of the link's latency."""
    return switched(ranks, link, forwarding_ps=0)


def in_rounds(ranks: Sequence[str], link: LinkPreset) -> Network:
    """`gpu_network` for messages that never meet at a receiver, which gives the same times.

    In round s of an all-to-all every rank sends to the s-th after it, so that no two messages come
    to one rank at a time. Then it may as well have a port for each sender. Flits on ways that do
    not merge stream through the fast engine, far faster than where they do.
    """
    port = {rank: f"{rank}.{SWITCH}" for rank in ranks}
    routes = {(a, b): (a, port[a], b) for a in ranks for b in ranks if a != b}
    links = dict.fromkeys(pair for a, way, b in routes.values() for pair in ((a, way), (way, b)))
    forwarding_ps = dict.fromkeys(port.values(), 0)
    return Network(dict.fromkeys(links, link), forwarding_ps, routes, "one switch, in rounds")


def idle_latency_ps(link: LinkPreset) -> int:
    """From one GPU to another in an idle network, without the serialization of the message.

    Two flights, and one flit's serialization on the second link.
    """
    return 2 * link.flight_ps + link.flit_ps


def largest_compatible_flight_ps(record: EndpointRecord, link: LinkPreset) -> int:
    """The longest flight over one *link* that leaves no step of *record* less than no time."""
    shortest_us = min(protocol.step_us for protocol in record.protocols)
    shortest_ps = round(shortest_us * min(1.0, record.all_to_all_steps) * PS_PER_US)
    in_switch = record.in_switch
    if in_switch is not None:
        shortest_ps = min(shortest_ps, round(in_switch.base_us * PS_PER_US))
    return max(0, shortest_ps - link.flit_ps) // 2


def compatible_link(record: EndpointRecord, link: LinkPreset) -> LinkPreset:
    """*link* itself, or with its flight cut to what the record's measured steps leave room for."""
    flight_ps = largest_compatible_flight_ps(record, link)
    if link.flight_ps <= flight_ps:
        return link
    return link.model_copy(update={"latency_ns": flight_ps / PS_PER_NS, "propagation_ns": 0.0})


def collective_tasks(
    record: EndpointRecord,
    link: LinkPreset,
    collective: Collective,
    path: str,
    ranks: Sequence[str],
) -> list[Task]:
    """The tasks of *collective* among *ranks* on the path of that name, for `gpu_network`."""
    if path == IN_SWITCH:
        if record.in_switch is None or collective.op != "all_reduce":
            raise LinksimError(
                f"endpoint {record.name!r}: no {IN_SWITCH} path for {collective.op}: expected "
                "all_reduce and a record with in_switch"
            )
        return _in_switch_tasks(record.in_switch, link, collective, ranks)
    for protocol in record.protocols:
        if protocol.name == path:
            if collective.op == "all_to_all":
                return _direct_tasks(protocol, record.all_to_all_steps, link, collective, ranks)
            return _ring_tasks(protocol, link, collective, ranks)
    known = ", ".join(protocol.name for protocol in record.protocols)
    raise LinksimError(f"endpoint {record.name!r}: no path {path!r}: expected one of {known}")


def _ring_tasks(
    protocol: EndpointProtocol, link: LinkPreset, collective: Collective, ranks: Sequence[str]
) -> list[Task]:
    step_ps = _software_ps(protocol.step_us, link, f"a step of {protocol.name}")
    tasks = _starts(ranks, round(protocol.base_us * PS_PER_US))
    for move in _plan(collective, ranks).messages:
        ready = f"step.{move.id}"
        tasks.append(Compute(ready, move.source, step_ps, move.after or (_start(move.source),)))
        tasks.append(_transfer(move, protocol.wire_fraction, (ready,)))
    return tasks


def _direct_tasks(
    protocol: EndpointProtocol,
    steps: float,
    link: LinkPreset,
    collective: Collective,
    ranks: Sequence[str],
) -> list[Task]:
    steps_ps = _software_ps(protocol.step_us * steps, link, f"the steps of {protocol.name}")
    tasks = _starts(ranks, round(protocol.base_us * PS_PER_US) + steps_ps)
    for move in _plan(collective, ranks).messages:
        tasks.append(_transfer(move, protocol.wire_fraction, (_start(move.source),)))
    return tasks


def _in_switch_tasks(
    in_switch: InSwitch, link: LinkPreset, collective: Collective, ranks: Sequence[str]
) -> list[Task]:
    base_ps = _software_ps(in_switch.base_us, link, f"the base time of {IN_SWITCH}")
    fraction = Fraction(in_switch.wire_fraction)
    flits = link.flits(ceil_div(collective.nbytes * fraction.denominator, fraction.numerator))
    # As many bytes as fill the flits of a chunk, so that cutting adds no padding.
    chunk_flits = ceil_div(flits, IN_SWITCH_CHUNKS)
    chunk = max(1, int(chunk_flits * link.flit.payload_nbytes * fraction))
    plan = schedule(
        "all_reduce",
        ranks=ranks,
        elements=collective.nbytes,
        algorithm=IN_SWITCH,
        chunk_elements=chunk,
    )
    tasks = _starts(ranks, base_ps)
    for move in plan.messages:
        after = move.after if move.source == SWITCH else (_start(move.source),)
        tasks.append(_transfer(move, in_switch.wire_fraction, after))
    return tasks


def _plan(collective: Collective, ranks: Sequence[str]) -> Schedule:
    """Moves of bytes; every rank's shard of an all-gather is a part of the gathered result."""
    if collective.op != "all_gather":
        return schedule(collective.op, ranks=ranks, elements=collective.nbytes)
    size, longer = divmod(collective.nbytes, len(ranks))
    shards = [size + (i < longer) for i in range(len(ranks))]
    return schedule("all_gather", ranks=ranks, elements=shards)


def _starts(ranks: Sequence[str], duration_ps: int) -> list[Task]:
    return [Compute(_start(rank), rank, duration_ps) for rank in ranks]


def _start(rank: str) -> str:
    return f"start.{rank}"


def _transfer(move: Move, wire_fraction: float, after: tuple[str, ...]) -> Transfer:
    raw = len(move.source_range)
    fraction = Fraction(wire_fraction)
    wire = ceil_div(raw * fraction.denominator, fraction.numerator)
    coding = Coding(np.array([raw], np.int64), np.array([wire], np.int64))
    return Transfer(move.id, move.source, move.destination, coding, after)


def _software_ps(measured_us: float, link: LinkPreset, what: str) -> int:
    """What is left of a measured time when the idle network's latency is taken off."""
    left_ps = round(measured_us * PS_PER_US) - idle_latency_ps(link)
    if left_ps < 0:
        raise LinksimError(
            f"link {link.name!r}: an idle network of two such links takes "
            f"{idle_latency_ps(link) / PS_PER_US:g} us, {what} takes {measured_us:g} us with it: "
            "expected a shorter latency"
        )
    return left_ps
