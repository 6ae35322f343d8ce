"""Closed forms of other simulators and of textbooks, beside what both engines make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from linksim.links import FlitFormat, LinkPreset
from linksim.network import Coding, Network, Task, Transfer, point_to_point, ring, simulate
from linksim.units import format_bytes_binary
from linksim.validation.theory_rings import AstraRing, LogGopRing

REFERENCE_FLITS = 40_000
"""Runs of more flits than that the reference engine is spared."""

LOG_GOP = "LogGOPSim, github.com/spcl/LogGOPSim at 76451de: 96 runs, n from 2 to 16"
ASTRA = "ASTRA-sim at 518bd51, analytical, congestion aware"
TEXTBOOK = "W. Dally and B. Towles, Principles and Practices of Interconnection Networks"

ASTRA_MEASURED_NS = {
    4 << 10: 7276,
    64 << 10: 9320,
    1 << 20: 42143,
    16 << 20: 567164,
    128 << 20: 4487318,
    1 << 30: 35848494,
}
"""What ASTRA-sim says of an all-reduce of so many bytes on a ring of 8 with links of 50 GiB/s and
500 ns, one split, by bytes."""


@dataclass(frozen=True)
class TheoryRow:
    """One closed form (or one run of another simulator) and what both engines make of it."""

    family: str
    what: str
    unit: str
    expected: float
    fast: float
    reference: float | None
    """None: too many flits for the reference engine."""
    tolerance: float
    """Largest error allowed, as a share; 0: exact."""
    source: str

    @property
    def error(self) -> float:
        """Of the engine that is further off, signed."""
        found = [self.fast] if self.reference is None else [self.fast, self.reference]
        return max((value / self.expected - 1 for value in found), key=abs)

    @property
    def holds(self) -> bool:
        """Whether the error is within the tolerance."""
        return abs(self.error) <= self.tolerance

    def document(self) -> dict[str, Any]:
        """The row, JSON-able."""
        return {**asdict(self), "error": self.error, "holds": self.holds}


def theory_rows() -> Iterator[TheoryRow]:
    """All rows, each when both engines are done with it."""
    yield from _log_gop_rows()
    yield from _astra_rows()
    yield from _hop_rows()
    yield from _credit_rows()


def _log_gop_rows() -> Iterator[TheoryRow]:
    for ranks, piece_nbytes in ((2, 1), (2, 4096), (4, 500), (8, 128), (16, 1), (16, 40)):
        case = LogGopRing(ranks=ranks, piece_nbytes=piece_nbytes)
        fast, reference = _both(case.tasks(), case.network())
        yield TheoryRow(
            "LogGOPSim ring all-reduce",
            f"{ranks} ranks, {piece_nbytes} B per step",
            "ns",
            case.expected_ps / 1000,
            fast / 1000,
            None if reference is None else reference / 1000,
            0.0,
            f"2 (n - 1) [L + (c - 1) G + 2 o]; {LOG_GOP}",
        )


def _astra_rows() -> Iterator[TheoryRow]:
    for nbytes, measured_ns in ASTRA_MEASURED_NS.items():
        case = AstraRing(nbytes=nbytes)
        fast, reference = _both(case.tasks(), case.network())
        found = fast / 1000, None if reference is None else reference / 1000
        what = f"8 ranks, {format_bytes_binary(nbytes)}"
        family = "ASTRA-sim ring all-reduce"
        form = "2 (n - 1) [L + 10 + c/G + 1.5 c/3350] ns"
        yield TheoryRow(
            family, f"{what}, its run", "ns", measured_ns, *found, 0.003, f"measured with {ASTRA}"
        )
        yield TheoryRow(family, f"{what}, closed form", "ns", case.expected_ns, *found, 0.003, form)


def _hop_rows() -> Iterator[TheoryRow]:
    """Cut-through: H hops of a flit time t and a flight t_f, routers of t_r between, L flits."""
    flit_ps, flight_ps, router_ps = 1600, 20_000, 12_000
    preset = _link("hops", flit_ps=flit_ps, flight_ps=flight_ps, buffer_flits=64)
    for hops in (1, 2, 3, 4):
        for flits in (1, 16):
            names = [f"node{i}" for i in range(2 * hops + 1)]
            network = ring(names, preset, forwarding_ps=router_ps)
            tasks = _message(names[0], names[hops], flits)
            on_links_ps = hops * (flit_ps + flight_ps) + (flits - 1) * flit_ps
            expected_ps = on_links_ps + (hops - 1) * router_ps
            fast, reference = _both(tasks, network)
            yield TheoryRow(
                "zero-load latency",
                f"{_count(hops, 'hop')}, {_count(flits, 'flit')}",
                "ns",
                expected_ps / 1000,
                fast / 1000,
                None if reference is None else reference / 1000,
                0.0,
                f"H (t + t_f) + (H - 1) t_r + (L - 1) t; {TEXTBOOK}, chapter 3",
            )


def _credit_rows() -> Iterator[TheoryRow]:
    """Share of the wire's rate that a stream reaches with so many credits."""
    flit_ps, flight_ps = 1000, 4500
    for count in (1, 2, 5, 9, 10, 11, 64):
        preset = _link("credits", flit_ps=flit_ps, flight_ps=flight_ps, buffer_flits=count)
        network = point_to_point(("a", "b"), preset)
        # Between two lengths that are multiples of the credits, start and end cancel out.
        short, long = 40 * count, 80 * count
        times = [_both(_message("a", "b", flits), network) for flits in (short, long)]
        shares = [
            float(Fraction((long - short) * flit_ps, end - start))
            for start, end in zip(*times, strict=True)
            if start is not None and end is not None
        ]
        expected = min(Fraction(1), Fraction(count * flit_ps, flit_ps + 2 * flight_ps))
        yield TheoryRow(
            "credit-limited throughput",
            f"{_count(count, 'credit')}, round trip of 10 flits",
            "of the wire",
            float(expected),
            shares[0],
            shares[1] if len(shares) > 1 else None,
            0.0,
            f"min(1, credits x flit / round trip); {TEXTBOOK}, chapter 13",
        )


def _both(tasks: Sequence[Task], network: Network) -> tuple[int, int | None]:
    """Time of a run in ps by the fast and the reference engine; None for one of too many flits."""
    fast = simulate(tasks, network)
    if sum(one.flits * one.hops for one in fast.transfers) > REFERENCE_FLITS:
        return fast.makespan_ps, None
    return fast.makespan_ps, simulate(tasks, network, engine="reference").makespan_ps


def _message(source: str, destination: str, flits: int) -> list[Task]:
    return [Transfer("message", source, destination, Coding.plain(flits))]


def _link(name: str, *, flit_ps: int, flight_ps: int, buffer_flits: int) -> LinkPreset:
    """A link of one-byte flits, *flit_ps* each."""
    return LinkPreset(
        name=name,
        description="One of theory.",
        lanes=1,
        rate_gtps=8000 / flit_ps,
        flit=FlitFormat(name="byte", nbytes=1, payload_nbytes=1),
        latency_ns=flight_ps / 1000,
        credits=buffer_flits,
    )


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
