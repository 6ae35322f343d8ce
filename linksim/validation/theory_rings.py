"""Rings as two other simulators state them, as tasks over linksim's links."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from linksim.links import FlitFormat, LinkPreset
from linksim.network import Coding, Compute, Network, Task, Transfer, ring
from linksim.network.collectives import schedule

GIBI = 2**30


@dataclass(frozen=True, kw_only=True)
class LogGopRing:
    """A ring all-reduce in the LogGOPS model: T. Hoefler et al., "LogGOPSim", HPDC 2010.

    A byte is a flit of one byte, which takes G on the wire. LogGOPS counts L from the first byte's
    start to its arrival, a link its flight from the end of a flit, so the flight is L - G. The
    overhead o is computation of a rank, before it sends a message and after it got one.
    """

    ranks: int
    piece_nbytes: int
    """Bytes that a rank sends in each of 2 (n - 1) steps, c."""
    latency_ps: int = 500_000
    """L."""
    gap_ps: int = 20
    """G, per byte: 50 GB/s."""
    overhead_ps: int = 1_500_000
    """o."""

    @property
    def expected_ps(self) -> int:
        """2 (n - 1) [L + (c - 1) G + 2 o]."""
        step_ps = self.latency_ps + (self.piece_nbytes - 1) * self.gap_ps + 2 * self.overhead_ps
        return 2 * (self.ranks - 1) * step_ps

    def network(self) -> Network:
        """The ring. Receivers have room for two messages, as a message's credits come back after
        the next one has started, but before the one after that."""
        link = LinkPreset(
            name="loggops",
            description="A byte takes G, and the wire L - G.",
            lanes=1,
            rate_gtps=8000 / self.gap_ps,
            flit=FlitFormat(name="byte", nbytes=1, payload_nbytes=1),
            latency_ns=(self.latency_ps - self.gap_ps) / 1000,
            credits=2 * self.piece_nbytes,
        )
        return ring(_names(self.ranks), link)

    def tasks(self) -> list[Task]:
        """Overhead, message, overhead, for every message."""
        sizes = self.ranks * self.piece_nbytes
        return list(_ring_tasks(self.ranks, sizes, self.overhead_ps, lambda _: self.overhead_ps))


@dataclass(frozen=True, kw_only=True)
class AstraRing:
    """A ring all-reduce as ASTRA-sim's analytical network and system layer time it, in its units.

    Its GB/s are GiB/s. A rank that has got a piece is busy for the endpoint delay and for its local
    memory, half as often again as the piece has bytes. Flits of 512 B, all payload, stand for bytes
    without gaps; rounding them to a picosecond costs less than 0.003 %.
    """

    nbytes: int
    """Bytes of every rank's tensor."""
    ranks: int = 8
    gibibytes_per_s: int = 50
    latency_ns: float = 500
    endpoint_delay_ns: float = 10
    local_memory_gbytes_per_s: float = 3350

    @property
    def expected_ns(self) -> float:
        """2 (n - 1) [L + 10 + c/G + 1.5 c/3350], within 0.21 % of 54 runs of ASTRA-sim."""
        piece = self.nbytes / self.ranks
        on_wire_ns = piece / (self.gibibytes_per_s * GIBI / 1e9)
        return 2 * (self.ranks - 1) * (self.latency_ns + on_wire_ns + self._busy_ns(piece))

    def _busy_ns(self, nbytes: float) -> float:
        """Time at the endpoint and in memory; a GB/s is a byte per ns."""
        return self.endpoint_delay_ns + 1.5 * nbytes / self.local_memory_gbytes_per_s

    def network(self) -> Network:
        """The ring, with credits for full rate."""
        link = LinkPreset.model_validate(
            {
                "name": "astra",
                "description": "ASTRA-sim's link, whose GB/s are GiB/s.",
                "lanes": 1,
                "rate_gtps": self.gibibytes_per_s * GIBI * 8 / 1e9,
                "flit": {"name": "512 B", "nbytes": 512, "payload_nbytes": 512},
                "latency_ns": self.latency_ns,
                "credits": "full-rate",
            }
        )
        return ring(_names(self.ranks), link)

    def tasks(self) -> list[Task]:
        """Message, then endpoint and memory, for every message."""
        return list(
            _ring_tasks(
                self.ranks, self.nbytes, 0, lambda nbytes: round(1000 * self._busy_ns(nbytes))
            )
        )


def _names(ranks: int) -> list[str]:
    return [f"rank{i}" for i in range(ranks)]


def _ring_tasks(
    ranks: int, nbytes: int, before_ps: int, after_ps: Callable[[int], int]
) -> Iterator[Task]:
    """A ring all-reduce of *nbytes*, each message between two computations, at source and end.

    What waits for a message waits for the computation after it.
    """
    for move in schedule("all_reduce", ranks=_names(ranks), elements=nbytes).messages:
        size = len(move.source_range)
        got = tuple(f"{name}.got" for name in move.after)
        yield Compute(f"{move.id}.send", move.source, before_ps, got)
        yield Transfer(
            move.id, move.source, move.destination, Coding.plain(size), (f"{move.id}.send",)
        )
        yield Compute(f"{move.id}.got", move.destination, after_ps(size), (move.id,))
