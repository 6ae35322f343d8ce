"""Which format to sum a trace's messages in: the fastest one on a box that is accurate enough.

A message class is all all-reduces of one tensor kind and size. How accurate a format is comes from
the class's own tensors, carried through the quantized all-reduce; how fast it is from the simulated
box. What is lossless is always accurate enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from linksim.errors import LinksimError
from linksim.flash.collectives import all_reduce
from linksim.flash.quality import Deviation, exact_sum
from linksim.prefill import (
    Box,
    HierarchicalSum,
    LibrarySum,
    LosslessSum,
    Method,
    all_reduce_ps,
)
from linksim.studies.ttft import PLAIN, Timing, smallest_paying
from linksim.traces.manifest import CommunicationEvent
from linksim.traces.store import Trace


@dataclass(frozen=True)
class Candidate:
    """A format for one message class."""

    format: str
    snr_db: float | None
    """Of the class's sums against the exact ones; None for what is lossless."""
    is_accurate: bool
    """Whether it is lossless or not below the floor."""
    speedup: float
    """Times as fast as bf16 at the class's size."""
    pays_from: int | None
    """Smallest swept size in bytes from which on it is faster than bf16; None: nowhere."""


@dataclass(frozen=True)
class Advice:
    """What to do with one message class."""

    kind: str
    nbytes: int
    """Of the bf16 tensor that every rank has."""
    events: int
    ranks: int
    """That summed in the trace; errors are theirs, times are the box's."""
    candidates: tuple[Candidate, ...]
    """bf16 first."""
    best: str
    """Fastest accurate format at the class's size; bf16 where none is faster."""
    best_when_large: str
    """The same at the largest swept size."""

    def candidate(self, name: str) -> Candidate:
        """The candidate of that format."""
        return next(one for one in self.candidates if one.format == name)

    def document(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        large = self.candidate(self.best_when_large)
        return {
            "kind": self.kind,
            "nbytes": self.nbytes,
            "events": self.events,
            "ranks": self.ranks,
            "best": self.best,
            "best_when_large": self.best_when_large,
            "best_when_large_pays_from": large.pays_from,
            "candidates": [
                {
                    "format": one.format,
                    "snr_db": _decibels(one.snr_db),
                    "is_accurate": one.is_accurate,
                    "speedup": round(one.speedup, 4),
                    "pays_from": one.pays_from,
                }
                for one in self.candidates
            ],
        }


def advise(
    trace: Trace,
    where: Box,
    methods: dict[str, Method],
    *,
    snr_floor_db: float,
    sizes: Sequence[int],
    phase: str = "prefill",
    from_batch: int = 0,
) -> tuple[Advice, ...]:
    """Advice for every class of all-reduces in *phase* of *trace*, from *from_batch* on.

    *methods* are ways to sum by format, bf16 first; *sizes*, rising, are those from which "pays
    from" is told. LinksimError if the floor is not a number, there is no size, the phase has no
    all-reduce, or one of them is not of bf16.
    """
    if math.isnan(snr_floor_db):
        raise LinksimError("SNR floor: not a number: expected dB")
    if not sizes:
        raise LinksimError("advice: expected one size or more")
    classes = message_classes(trace, phase, from_batch)
    wanted = sorted({*sizes, *(nbytes for _, nbytes in classes)})
    times = {
        name: {nbytes: all_reduce_ps(where, method, nbytes) for nbytes in wanted}
        for name, method in methods.items()
    }
    return tuple(
        _advice(trace, where, methods, times, events, (kind, nbytes), snr_floor_db, sizes)
        for (kind, nbytes), events in classes.items()
    )


def message_classes(
    trace: Trace, phase: str, from_batch: int
) -> dict[tuple[str, int], list[CommunicationEvent]]:
    """The all-reduces of *phase* by tensor kind and bytes; LinksimError where there are none."""
    found: dict[tuple[str, int], list[CommunicationEvent]] = {}
    for event in trace.communications():
        if (event.op, event.phase) == ("all_reduce", phase) and event.batch >= from_batch:
            first = next(iter(event.tensors.values()))
            nbytes = 2 * trace.tensor(first).size
            found.setdefault((trace.record(first).kind, nbytes), []).append(event)
    if not found:
        raise LinksimError(
            f"{trace.path}: no all-reduce in phase {phase!r} from batch {from_batch} on"
        )
    return dict(sorted(found.items()))


def snr_db(trace: Trace, events: Sequence[CommunicationEvent], method: Method) -> float | None:
    """SNR of the results of *events* summed by *method*, all together; None if it is lossless.

    Against the sum in float64, over all results, which all ranks share. LinksimError for tensors
    that are not bf16, or an odd number of ranks on two sides.
    """
    if isinstance(method, LibrarySum | LosslessSum):
        return None
    total = Deviation()
    for event in events:
        tensors = {rank: trace.tensor(name) for rank, name in event.tensors.items()}
        ranks = list(tensors)
        algorithm, groups = "two-step", None
        if isinstance(method, HierarchicalSum):
            half = len(ranks) // 2
            algorithm, groups = "hierarchical", [ranks[:half], ranks[half:]]
        summed = all_reduce(tensors, method.quantizer, algorithm=algorithm, groups=groups)
        total += Deviation.of(exact_sum(tensors.values()), summed.result[ranks[0]])
    return total.snr_db


def _advice(
    trace: Trace,
    where: Box,
    methods: dict[str, Method],
    times: dict[str, dict[int, int]],
    events: Sequence[CommunicationEvent],
    message: tuple[str, int],
    floor_db: float,
    sizes: Sequence[int],
) -> Advice:
    kind, nbytes = message
    candidates = []
    for name, method in methods.items():
        found = snr_db(trace, events, method)
        swept = [
            Timing(where.name, name, size, times[name][size], times[PLAIN][size]) for size in sizes
        ]
        candidates.append(
            Candidate(
                name,
                found,
                found is None or found >= floor_db,
                times[PLAIN][nbytes] / times[name][nbytes],
                smallest_paying(swept),
            )
        )
    accurate = [one.format for one in candidates if one.is_accurate]
    return Advice(
        kind,
        nbytes,
        len(events),
        len(events[0].tensors),
        tuple(candidates),
        best=min(accurate, key=lambda name: times[name][nbytes]),
        best_when_large=min(accurate, key=lambda name: times[name][sizes[-1]]),
    )


def _decibels(value: float | None) -> float | str | None:
    """JSON has no infinity."""
    if value is None or math.isfinite(value):
        return None if value is None else round(value, 2)
    return "infinite" if value > 0 else "minus infinite"
