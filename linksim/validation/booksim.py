"""linksim held against a table of BookSim2 runs: zero load, saturation, latency under load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from linksim.validation.booksim_router import (
    CYCLE_PS,
    PacketTimes,
    bernoulli_gaps,
    send_packets,
)
from linksim.validation.booksim_table import BookSimRow, Configuration
from linksim.validation.errors import ErrorSummary

NEAR_SATURATION = 0.8
"""Loads above this share of saturation count as near it: queues fill and drain so slowly there that
the mean over a run as long as BookSim2's is mostly chance."""
LATENCY_TARGET = 0.10
SATURATION_TARGET = 0.02
WARM_UP_SHARE = 0.1
UNSTABLE_SHARE = 0.98
"""A run is unstable when it carries less than this share of the flits that are created."""
SATURATION_PACKETS = 1000
BATCHES = 16
"""Runs are cut into so many parts to see how much means scatter."""


@dataclass(frozen=True)
class BookSimOptions:
    """How much is simulated."""

    seed: int = 1
    fewest_packets: int = 1500
    most_packets: int = 12_000
    sample_cycles: int = 30_000
    """Cycles of one source's traffic behind a row of the table, over all of its nodes: rows that
    are a multiple of 1/30000 flits per cycle come from two nodes and 15 samples of 1000 cycles."""

    def packets(self, load: float) -> int:
        """Packets for one row; more near saturation, where latencies stay alike for longer."""
        wanted = self.fewest_packets / max(1 - load, 1e-3) ** 2
        return int(min(self.most_packets, wanted))


@dataclass(frozen=True)
class ConfigurationResult:
    """One configuration of the routers without load and with as much as it takes."""

    configuration: Configuration
    zero_load_cycles: float
    """Of a packet alone, simulated."""
    saturation_flits_per_cycle: float

    @property
    def zero_load_waits_cycles(self) -> float:
        """How much longer than the closed form a packet alone takes, waiting for credits."""
        return self.zero_load_cycles - self.configuration.zero_load_cycles

    @property
    def saturation_error(self) -> float:
        """Against the closed form, signed."""
        expected = self.configuration.saturation_flits_per_cycle
        return self.saturation_flits_per_cycle / expected - 1


@dataclass(frozen=True)
class LoadedResult:
    """One row of the table and what was simulated of it."""

    row: BookSimRow
    packets: int
    latency_cycles: float
    """Mean at the offered load, after warm-up."""
    created_flits_per_cycle: float
    """In the second half of the run; near the offered load, but drawn."""
    carried_flits_per_cycle: float
    """Likewise."""
    scatter: float
    """Standard deviation of the mean over a run as long as BookSim2's, as a share of the mean."""
    latency_at_accepted_cycles: float | None
    """As `latency_cycles`, at the load that BookSim2's sample carried. None: an unstable row."""

    @property
    def near_saturation(self) -> bool:
        """Whether more than `NEAR_SATURATION` of the saturation throughput is offered."""
        return self.row.load > NEAR_SATURATION

    @property
    def unstable(self) -> bool:
        """Whether the simulated network carries less than is created, so that queues grow."""
        return self.carried_flits_per_cycle < UNSTABLE_SHARE * self.created_flits_per_cycle

    @property
    def error(self) -> float | None:
        """Of the latency at the offered load, signed; None: the row is unstable."""
        return _relative(self.latency_cycles, self.row.packet_latency_cycles)

    @property
    def error_at_accepted(self) -> float | None:
        """Of the latency at the accepted load, signed; None: the row is unstable."""
        if self.latency_at_accepted_cycles is None:
            return None
        return _relative(self.latency_at_accepted_cycles, self.row.packet_latency_cycles)


@dataclass(frozen=True)
class BookSimResults:
    """All that a table shows."""

    options: BookSimOptions
    configurations: tuple[ConfigurationResult, ...]
    rows: tuple[LoadedResult, ...]

    def stable(self, *, near_saturation: bool) -> list[LoadedResult]:
        """Rows with a latency, up to `NEAR_SATURATION` or above it."""
        return [
            one
            for one in self.rows
            if one.error is not None and one.near_saturation == near_saturation
        ]

    @property
    def unstable_rows(self) -> list[LoadedResult]:
        """Rows without a latency."""
        return [one for one in self.rows if one.error is None]


def compare(
    rows: Sequence[BookSimRow],
    options: BookSimOptions,
    progress: Callable[[int], None] = lambda done: None,
) -> BookSimResults:
    """Simulate every configuration and row; *progress* is called with the rows done."""
    configurations = dict.fromkeys(row.configuration for row in rows)
    at_ends = tuple(_ends(configuration) for configuration in configurations)
    found = []
    for row in rows:
        found.append(_loaded(row, options))
        progress(len(found))
    return BookSimResults(options, at_ends, tuple(found))


def _ends(configuration: Configuration) -> ConfigurationResult:
    alone = send_packets(configuration, np.array([1]))
    together = send_packets(configuration, np.zeros(SATURATION_PACKETS, np.int64))
    return ConfigurationResult(
        configuration,
        float(alone.latency_ps[0]) / CYCLE_PS,
        _flits_per_cycle(together.ejected_ps, configuration.packet_flits),
    )


def _loaded(row: BookSimRow, options: BookSimOptions) -> LoadedResult:
    packets = options.packets(row.load)
    flits = row.configuration.packet_flits
    times = _run(row, row.offered_flits_per_cycle, packets, options)
    measured = _after_warm_up(times)
    latency = measured.mean() / CYCLE_PS
    at_accepted = None
    if row.accepted_flits_per_cycle is not None:
        again = _run(row, row.accepted_flits_per_cycle, packets, options)
        at_accepted = float(_after_warm_up(again).mean()) / CYCLE_PS
    cycles = measured.size * flits / row.offered_flits_per_cycle
    batches = [batch.mean() for batch in np.array_split(measured, BATCHES)]
    of_mean = np.std(batches, ddof=1) / np.sqrt(BATCHES) / CYCLE_PS
    scatter = float(of_mean * np.sqrt(cycles / options.sample_cycles) / latency)
    created = _flits_per_cycle(times.ejected_ps - times.latency_ps, flits)
    carried = _flits_per_cycle(times.ejected_ps, flits)
    return LoadedResult(row, packets, float(latency), created, carried, scatter, at_accepted)


def _run(
    row: BookSimRow, flits_per_cycle: float, packets: int, options: BookSimOptions
) -> PacketTimes:
    flits = row.configuration.packet_flits
    gaps = bernoulli_gaps(flits_per_cycle, flits, packets, options.seed)
    return send_packets(row.configuration, gaps)


def _after_warm_up(times: PacketTimes) -> Any:
    """Latencies without those of the first packets: int64 [n]."""
    return times.latency_ps[int(WARM_UP_SHARE * times.latency_ps.size) :]


def _flits_per_cycle(packets_ps: Any, packet_flits: int) -> float:
    """Rate of flits over the second half of the packets at *packets_ps*, int64 [n]."""
    half = np.sort(packets_ps)[packets_ps.size // 2 :]
    cycles = (int(half[-1]) - int(half[0])) / CYCLE_PS
    return (half.size - 1) * packet_flits / cycles


def _relative(simulated: float, expected: float | None) -> float | None:
    return None if expected is None else simulated / expected - 1


def latency_summary(rows: Sequence[LoadedResult], *, at_accepted: bool) -> ErrorSummary | None:
    """Errors of latency over *rows*, which are stable; None where there are none."""
    pairs = [
        (one.latency_at_accepted_cycles if at_accepted else one.latency_cycles, expected)
        for one in rows
        if (expected := one.row.packet_latency_cycles) is not None
    ]
    if not pairs:
        return None
    return ErrorSummary.of([a or 0.0 for a, _ in pairs], [b for _, b in pairs])


def document(results: BookSimResults) -> dict[str, Any]:
    """Everything, JSON-able; errors and scatter as fractions."""
    below, near = (results.stable(near_saturation=near) for near in (False, True))
    unstable = results.unstable_rows
    return {
        "options": asdict(results.options),
        "targets": {"latency": LATENCY_TARGET, "saturation": SATURATION_TARGET},
        "near_saturation_above": NEAR_SATURATION,
        "summary": {
            "below_saturation": _summaries(below),
            "near_saturation": _summaries(near),
            "unstable_rows": len(unstable),
            "unstable_rows_found_unstable": sum(one.unstable for one in unstable),
            "stable_rows_found_unstable": sum(one.unstable for one in (*below, *near)),
        },
        "configurations": [
            {
                **asdict(one.configuration),
                "zero_load_cycles": one.zero_load_cycles,
                "zero_load_closed_form_cycles": one.configuration.zero_load_cycles,
                "saturation_flits_per_cycle": one.saturation_flits_per_cycle,
                "saturation_closed_form": one.configuration.saturation_flits_per_cycle,
                "saturation_error": one.saturation_error,
            }
            for one in results.configurations
        ],
        "rows": [_row_document(one) for one in results.rows],
    }


def _summaries(rows: Sequence[LoadedResult]) -> dict[str, Any]:
    made: dict[str, Any] = {"rows": len(rows)}
    for name, at_accepted in (("at_offered_load", False), ("at_accepted_load", True)):
        summary = latency_summary(rows, at_accepted=at_accepted)
        made[name] = None if summary is None else asdict(summary)
    errors = [abs(one.error) for one in rows if one.error is not None]
    made["rows_within_target"] = sum(error <= LATENCY_TARGET for error in errors)
    return made


def _row_document(one: LoadedResult) -> dict[str, Any]:
    row = asdict(one.row)
    return {
        **row.pop("configuration"),
        **row,
        "load": one.row.load,
        "near_saturation": one.near_saturation,
        "packets": one.packets,
        "simulated_latency_cycles": one.latency_cycles,
        "simulated_flits_per_cycle": one.carried_flits_per_cycle,
        "simulated_unstable": one.unstable,
        "error": one.error,
        "simulated_latency_at_accepted_cycles": one.latency_at_accepted_cycles,
        "error_at_accepted": one.error_at_accepted,
        "scatter": one.scatter,
    }
