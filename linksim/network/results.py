"""What a run found: times of every task, loads of every link, and what held the run up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Progress = Callable[[int], None]
"""Takes the flits sent so far, on all links."""


class FlitStart(NamedTuple):
    """A flit on a link of its message's route."""

    start_ps: int
    """When the transmission that arrives whole starts."""
    task: int
    """The message's place among the run's tasks."""
    hop: int
    """The link's place on the route."""
    flit: int


@dataclass(frozen=True)
class TransferResult:
    """One message's way through the network. All times are ps from the start of the run.

    Its life from `ready_ps` to `delivered_ps` is cut into four shares that add up exactly:

    - `queueing_ps`: waiting behind other messages, for the encoder (or the counter before it) and,
      with its first flit's bytes at hand, for the transmitter;
    - `encode_ps`: from the start of coding until the first flit's bytes are out of the encoder,
      and whenever the wire stands idle later for want of the next flit's bytes;
    - `wire_ps`: from there to the last flit's arrival: the time all of it would take in an empty
      network (over one link `flits` serializations and a flight) and `network_wait_ps`;
    - `decode_ps`: from the last flit's arrival until the last segment is out of the decoder.
    """

    id: str
    event: str
    source: str
    destination: str
    hops: int
    """Links on its route."""
    raw_nbytes: int
    encoded_nbytes: int
    flits: int
    wire_nbytes: int
    """Bytes of all its flits on the first link, headers and padding included."""
    ready_ps: int
    first_flit_ps: int
    """The first flit starts on the wire."""
    last_flit_sent_ps: int
    """The last flit has left the first transmitter."""
    arrived_ps: int
    """The last flit is in the receiver's buffer."""
    delivered_ps: int
    queueing_ps: int
    encode_ps: int
    wire_ps: int
    decode_ps: int
    credit_stall_ps: int
    """A flit's bytes and the first wire were there, a credit was not."""
    network_wait_ps: int
    """Part of `wire_ps`: waits for credits, for other messages' flits and for flits sent again.
    Over a link that it has for itself, with nothing sent again, it is `credit_stall_ps`."""


@dataclass(frozen=True)
class ComputeResult:
    """One computation: when it could start, when it did, when it was done."""

    id: str
    rank: str
    ready_ps: int
    start_ps: int
    end_ps: int


@dataclass(frozen=True)
class LinkResult:
    """Load of one directed link and of the engines at its ends over the whole run."""

    source: str
    destination: str
    preset: str
    transfers: int
    raw_nbytes: int
    """Bytes offered, before coding."""
    encoded_nbytes: int
    wire_nbytes: int
    """Bytes of all flits, headers and padding included, sent once."""
    replays: int
    """Flits that were sent again."""
    busy_ps: int
    """Time in which flits were being serialized."""
    credit_stall_ps: int
    statistics_busy_ps: int
    encoder_busy_ps: int
    """Core time over the number of cores, rounded up; likewise the decoder's."""
    decoder_busy_ps: int
    utilization: float
    """`busy_ps` over the run's makespan; 0 for a run of no time."""
    energy_pj: float | None
    """Adapters and PHYs. None: the preset has no figure."""
    engine_energy_pj: float | None
    """Encoder and decoder; 0 without an engine. None: the engine's record has no figure."""


@dataclass(frozen=True)
class RunResult:
    """Everything a run found, tasks and links in the order they were given."""

    transfers: tuple[TransferResult, ...]
    computes: tuple[ComputeResult, ...]
    links: tuple[LinkResult, ...]
    makespan_ps: int
    """When the last task was done."""
    flits: tuple[FlitStart, ...] | None = None
    """Every flit's start on every link, sorted, where the run was asked to record them."""

    @property
    def bottleneck(self) -> str:
        """What held the run up.

        Of every kind of resource the busiest instance counts: `link` (flits on the wire),
        `encoder`, `decoder`, `statistics` (counting and building codebooks), `compute` (a rank),
        and `credits` (a link's time stalled for them). The longest time wins, in that order among
        equals; but if it is less than half of the makespan, nothing was short and the run mostly
        waited for pipelines and flight: `latency`.
        """
        computing: dict[str, int] = {}
        for compute in self.computes:
            spent = compute.end_ps - compute.start_ps
            computing[compute.rank] = computing.get(compute.rank, 0) + spent
        busiest = {
            "link": max((link.busy_ps for link in self.links), default=0),
            "encoder": max((link.encoder_busy_ps for link in self.links), default=0),
            "decoder": max((link.decoder_busy_ps for link in self.links), default=0),
            "statistics": max((link.statistics_busy_ps for link in self.links), default=0),
            "compute": max(computing.values(), default=0),
            "credits": max((link.credit_stall_ps for link in self.links), default=0),
        }
        name = max(busiest, key=lambda kind: busiest[kind])
        return name if 2 * busiest[name] >= self.makespan_ps else "latency"
