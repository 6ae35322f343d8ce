"""How fast the engines are: flits per second, their ratio on equal work, time and memory by size.

Seconds are processor time of this process, which runs on one core: on an idle machine as long as
the clock says, on a busy one without what others do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter, process_time

import numpy as np

from linksim.benchmarks.network_workloads import (
    Workload,
    contended_all_to_all,
    ring_all_reduce,
    stream,
)
from linksim.benchmarks.timing import Timing
from linksim.errors import LinksimError
from linksim.network import EngineName, RunResult, simulate

RATIO_TARGET = 300
"""Speed of the fast engine over the reference's on the same workload."""
RATE_TARGET = 30e6
"""Flits per second of the fast engine in a credit-limited stream, on one core."""
RING_NBYTES = 1 << 30
RING_TARGET_S = 10.0
LONG_RUN_FLITS = 10**8
"""Runs of as many flits and more are timed once."""
SLOPE_FROM_FLITS = 10**6
"""Below, what a run costs whatever it sends weighs in."""


@dataclass(frozen=True)
class NetworkSpeedOptions:
    """How much is timed."""

    stream_flits: int = 200_000
    """Of the stream that both engines send."""
    collective_nbytes: int = 1_500_000
    """Per rank, of the collectives that both engines run."""
    rounds: int = 5
    """Runs of the fast engine, whose best counts; the reference runs once."""
    sizes: tuple[int, ...] = (
        *(step * 10**decade for decade in range(4, 9) for step in (1, 3)),
        10**9,
    )
    """Flits of the streams that show how time and memory grow, rising."""
    ring_nbytes: int = RING_NBYTES
    """Of the ring all-reduce that the fast engine runs alone."""


@dataclass(frozen=True)
class EngineRow:
    """One workload by both engines."""

    workload: str
    flits: int
    fast: Timing
    reference_s: float

    @property
    def ratio(self) -> float:
        """Time of the reference over the fast engine's best."""
        return self.reference_s / self.fast.best_s


@dataclass(frozen=True)
class SizeRow:
    """A stream of *flits* by the fast engine."""

    flits: int
    seconds: float
    peak_nbytes: int
    """Most memory the process has held so far."""

    @property
    def flits_per_s(self) -> float:
        """Rate of the run."""
        return self.flits / self.seconds


@dataclass(frozen=True)
class RingRow:
    """A ring all-reduce by the fast engine."""

    nbytes: int
    flits: int
    seconds: float
    wall_s: float
    """By the clock."""
    simulated_ps: int


@dataclass
class NetworkSpeedResults:
    """All that is measured."""

    first_calls_s: float
    """Time of the first runs: to compile, or to load what was."""
    sizes: list[SizeRow] = field(default_factory=list)
    engines: list[EngineRow] = field(default_factory=list)
    ring: RingRow | None = None

    @property
    def slope(self) -> float | None:
        """Exponent of time over flits from `SLOPE_FROM_FLITS` on, 1 where linear; None: too few."""
        rows = [row for row in self.sizes if row.flits >= SLOPE_FROM_FLITS]
        if len(rows) < 2:
            return None
        flits, seconds = zip(*((row.flits, row.seconds) for row in rows), strict=True)
        return float(np.polyfit(np.log(flits), np.log(seconds), 1)[0])

    @property
    def growth_nbytes(self) -> int:
        """How much more memory the largest stream took than the smallest."""
        return self.sizes[-1].peak_nbytes - self.sizes[0].peak_nbytes if self.sizes else 0


def measure(
    options: NetworkSpeedOptions, progress: Callable[[str], None] = lambda what: None
) -> NetworkSpeedResults:
    """Time everything; *progress* is told what comes next.

    Sizes come first, so that the reference, which keeps every flit's time, does not raise the peak
    of memory before. LinksimError where the engines do not agree.
    """
    progress("compiling")
    start = perf_counter()
    for workload in (stream(10), ring_all_reduce(4096), contended_all_to_all(4096)):
        simulate(workload.tasks, workload.network)
    results = NetworkSpeedResults(perf_counter() - start)
    for flits in options.sizes:
        progress(f"a stream of {flits:.0e} flits")
        results.sizes.append(_size(flits, options.rounds))
    progress("a large ring all-reduce")
    results.ring = _ring(options.ring_nbytes)
    for workload in _both(options):
        progress(f"both engines, {workload.name}")
        results.engines.append(_race(workload, options.rounds))
    return results


def _both(options: NetworkSpeedOptions) -> list[Workload]:
    return [
        stream(options.stream_flits),
        ring_all_reduce(options.collective_nbytes),
        contended_all_to_all(options.collective_nbytes),
    ]


def _size(flits: int, rounds: int) -> SizeRow:
    workload = stream(flits)
    runs = 1 if flits >= LONG_RUN_FLITS else rounds
    best_s = min(_timed(workload, "fast")[0] for _ in range(runs))
    return SizeRow(flits, best_s, peak_memory_nbytes())


def _ring(nbytes: int) -> RingRow:
    start = perf_counter()
    workload = ring_all_reduce(nbytes)
    seconds, result = _timed(workload, "fast")
    return RingRow(nbytes, workload.flits, seconds, perf_counter() - start, result.makespan_ps)


def _race(workload: Workload, rounds: int) -> EngineRow:
    """Time both engines; LinksimError where their results differ, delivery by delivery."""
    reference_s, reference = _timed(workload, "reference")
    times = []
    for _ in range(rounds):
        seconds, fast = _timed(workload, "fast")
        times.append(seconds)
        if (fast.transfers, fast.links) != (reference.transfers, reference.links):
            raise LinksimError(f"{workload.name}: the engines do not agree")
    timing = Timing(min(times), float(np.median(times)))
    return EngineRow(workload.name, workload.flits, timing, reference_s)


def _timed(workload: Workload, engine: EngineName) -> tuple[float, RunResult]:
    """Seconds of one run, from tasks to results."""
    start = process_time()
    result = simulate(workload.tasks, workload.network, engine=engine)
    return process_time() - start, result


def peak_memory_nbytes() -> int:
    """Most memory that this process has held; LinksimError where the system does not say."""
    try:
        import resource
    except ImportError:
        raise LinksimError("peak memory: this system does not tell, use Linux or macOS") from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return peak if sys.platform == "darwin" else peak * 1024
