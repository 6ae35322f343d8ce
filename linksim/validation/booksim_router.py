"""BookSim2's router pipeline stated as links, credits and forwarding times.

N. Jiang et al., "A detailed and flexible cycle-accurate network-on-chip simulator", ISPASS 2013;
the options it ran with: islip allocators of one iteration, routing delay 0, virtual channel and
switch allocation 1 cycle each, crossbar 1 cycle, credit delay 1 cycle.

A packet's head takes 9 + L cycles from its creation to its ejection, where L is the latency of the
link between the routers: one cycle on the wire of each of the four links below, two in each router
(the two allocations), and L + 1 on the way between the routers (their link, and the crossbar).
A credit comes back over as many cycles, so that a place in the second router's buffer is taken for
1 + (L + 1) + 2 + (L + 1) = 2 L + 5 cycles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linksim.links import FlitFormat, LinkPreset
from linksim.network import Coding, Compute, EngineName, Network, Task, Transfer, simulate
from linksim.units import PS_PER_NS
from linksim.validation.booksim_table import Configuration

CYCLE_PS = 1000
ROUTER_CYCLES = 2
"""Virtual channel and switch allocation of a flit."""
REALLOCATION_CYCLES = 1
"""From a packet's last flit until another one can have its virtual channel."""

_SOURCE, _INTERFACE, _FIRST, _SECOND, _SINK = "source", "interface", "router1", "router2", "sink"
_ROUTE = (_SOURCE, _INTERFACE, _FIRST, _SECOND, _SINK)


@dataclass(frozen=True)
class PacketTimes:
    """What became of each packet: int64 [packets] both, in the order of creation."""

    latency_ps: NDArray[np.int64]
    """From creation to the last flit's ejection."""
    ejected_ps: NDArray[np.int64]


def router_pair(configuration: Configuration) -> Network:
    """Source, its interface, two routers and sink.

    The source sends its packets one after another; from the interface on, packets spread over the
    virtual channels. Each channel has its buffer at each router.
    """
    c = configuration
    between = c.link_latency_cycles + 1
    spread = {"virtual_channels": c.num_vcs, "buffer_flits": c.vc_buffer_flits}
    links = {
        (_SOURCE, _INTERFACE): _link("source", flight_cycles=0, buffer_flits=2),
        (_INTERFACE, _FIRST): _link("injection", flight_cycles=0, **spread),
        (_FIRST, _SECOND): _link(
            "link", flight_cycles=between, reallocation_cycles=REALLOCATION_CYCLES, **spread
        ),
        (_SECOND, _SINK): _link("ejection", flight_cycles=0, **spread),
    }
    in_router = ROUTER_CYCLES * CYCLE_PS
    forwarding = {_INTERFACE: 0, _FIRST: in_router, _SECOND: in_router}
    return Network(links, forwarding, {(_SOURCE, _SINK): _ROUTE}, "two routers of BookSim2")


def _link(
    name: str,
    *,
    flight_cycles: int,
    buffer_flits: int,
    virtual_channels: int = 1,
    reallocation_cycles: int = 0,
) -> LinkPreset:
    """A flit of one byte per cycle."""
    return LinkPreset(
        name=f"booksim2-{name}",
        description="Part of two BookSim2 routers; a cycle is 1 ns.",
        lanes=8,
        rate_gtps=PS_PER_NS / CYCLE_PS,
        flit=FlitFormat(name="flit", nbytes=1, payload_nbytes=1),
        latency_ns=flight_cycles * CYCLE_PS / PS_PER_NS,
        credits=buffer_flits,
        virtual_channels=virtual_channels,
        reallocation_ns=reallocation_cycles * CYCLE_PS / PS_PER_NS,
    )


def bernoulli_gaps(
    flits_per_cycle: float, packet_flits: int, packets: int, seed: int
) -> NDArray[np.int64]:
    """Cycles from each packet's creation to the next one's: int64 [packets].

    In every cycle one is created with probability *flits_per_cycle* / *packet_flits*, so that gaps
    are geometric.
    """
    generator = np.random.default_rng(seed)
    return generator.geometric(flits_per_cycle / packet_flits, packets)


def send_packets(
    configuration: Configuration, gaps_cycles: NDArray[np.int64], *, engine: EngineName = "fast"
) -> PacketTimes:
    """Packets over the two routers, each created *gaps_cycles* after the one before.

    Only one direction is run. Packets of both do not meet: links and buffers are apart, and credits
    take no room on a link.
    """
    packet = Coding.plain(configuration.packet_flits)
    tasks: list[Task] = []
    for i, gap in enumerate(gaps_cycles.tolist()):
        # The source computes one thing after another, so that gaps add up.
        tasks.append(Compute(f"gap{i}", _SOURCE, gap * CYCLE_PS))
        tasks.append(Transfer(f"packet{i}", _SOURCE, _SINK, packet, (f"gap{i}",)))
    found = simulate(tasks, router_pair(configuration), engine=engine).transfers
    count = len(found)
    ready = np.fromiter((one.ready_ps for one in found), np.int64, count)
    ejected = np.fromiter((one.delivered_ps for one in found), np.int64, count)
    return PacketTimes(ejected - ready, ejected)
