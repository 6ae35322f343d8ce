"""What the network benchmark runs: a credit-limited stream, a ring, an all-to-all at one switch."""

from __future__ import annotations

from dataclasses import dataclass

from linksim.links import LinkPreset, link_preset
from linksim.network import Coding, Network, Task, Transfer, point_to_point, ring, switched
from linksim.network.collectives import schedule

LINK = "nvlink4-h100"
RANKS = tuple(f"gpu{i}" for i in range(8))
SWITCH_PS = 100_000
"""Time that the switch of the all-to-all takes to forward."""


@dataclass(frozen=True)
class Workload:
    """Tasks over a network."""

    name: str
    tasks: tuple[Task, ...]
    network: Network
    flits: int
    """Sent on all links together."""


def stream(flits: int) -> Workload:
    """One message of *flits* over one link with half of the credits that its full rate takes."""
    preset = _limited(link_preset(LINK))
    coding = Coding.plain(flits * preset.flit.payload_nbytes)
    tasks = (Transfer("stream", "a", "b", coding),)
    return Workload("credit-limited stream", tasks, point_to_point(("a", "b"), preset), flits)


def ring_all_reduce(nbytes: int) -> Workload:
    """A ring all-reduce of *nbytes* among eight GPUs."""
    preset = link_preset(LINK)
    moves = schedule("all_reduce", ranks=RANKS, elements=nbytes).messages
    tasks = tuple(
        Transfer(
            move.id, move.source, move.destination, Coding.plain(len(move.source_range)), move.after
        )
        for move in moves
    )
    flits = sum(preset.flits(task.coding.wire_total) for task in tasks)
    return Workload("ring all-reduce, 8 ranks", tasks, ring(RANKS, preset), flits)


def contended_all_to_all(nbytes: int) -> Workload:
    """All of eight GPUs send an eighth of *nbytes* to every other one, through one switch.

    Unlike the collective, in which ranks take turns, all begin with the first rank, so that their
    messages meet at the switch.
    """
    preset = link_preset(LINK)
    coding = Coding.plain(nbytes // len(RANKS))
    tasks = tuple(
        Transfer(f"{source}.{destination}", source, destination, coding)
        for source in RANKS
        for destination in RANKS
        if source != destination
    )
    flits = 2 * sum(preset.flits(task.coding.wire_total) for task in tasks)
    network = switched(RANKS, preset, forwarding_ps=SWITCH_PS)
    return Workload("all-to-all through a switch, 8 ranks", tasks, network, flits)


def _limited(preset: LinkPreset) -> LinkPreset:
    """*preset* with half of the credits that keep its wire busy."""
    return preset.model_copy(update={"credits": max(1, preset.full_rate_credits // 2)})
