"""What the network benchmark found, as JSON, as tables and as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import simpy

from linksim.benchmarks.network_speed import (
    RATE_TARGET,
    RATIO_TARGET,
    RING_TARGET_S,
    NetworkSpeedResults,
)
from linksim.benchmarks.network_workloads import LINK
from linksim.benchmarks.speed_report import Table, machine_facts
from linksim.reports.tables import markdown_table
from linksim.units import format_bytes, format_bytes_binary, format_ps


def network_facts() -> dict[str, str]:
    """The machine and the software that times hold for."""
    facts = machine_facts(None)
    del facts["zstd"]
    return {**facts, "simpy": simpy.__version__}


def network_facts_line(facts: Mapping[str, str]) -> str:
    """*facts* in one line, for below a figure or a table."""
    software = ", ".join(
        f"{name} {facts[name]}" for name in ("linksim", "python", "numba", "simpy")
    )
    return f"{facts['processor']}, {facts['cores']} cores; {software}; {facts['date']}"


def network_document(results: NetworkSpeedResults, facts: Mapping[str, str]) -> dict[str, Any]:
    """All that was measured, JSON-able; seconds are of processor time."""
    return {
        "machine": dict(facts),
        "link": LINK,
        "targets": {
            "ratio": RATIO_TARGET,
            "stream_flits_per_s": RATE_TARGET,
            "ring_s": RING_TARGET_S,
        },
        "first_calls_s": round(results.first_calls_s, 3),
        "engines": [
            {
                **asdict(row),
                "ratio": round(row.ratio, 1),
                "fast_flits_per_s": round(row.flits / row.fast.best_s),
                "reference_flits_per_s": round(row.flits / row.reference_s),
            }
            for row in results.engines
        ],
        "stream_sizes": [
            {**asdict(row), "flits_per_s": round(row.flits_per_s)} for row in results.sizes
        ],
        "slope": results.slope,
        "memory_growth_nbytes": results.growth_nbytes,
        "ring": None if results.ring is None else asdict(results.ring),
    }


def network_tables(results: NetworkSpeedResults) -> list[Table]:
    """What was measured, table by table."""
    engines: list[tuple[str, ...]] = [
        (
            row.workload,
            f"{row.flits:,}",
            f"{row.flits / row.reference_s / 1e3:.1f} thousand",
            f"{row.flits / row.fast.best_s / 1e6:.2f} million",
            f"{row.ratio:,.0f}",
        )
        for row in results.engines
    ]
    sizes: list[tuple[str, ...]] = [
        (
            f"{row.flits:,}",
            f"{row.seconds:.4f}",
            f"{row.flits_per_s / 1e6:.1f} million",
            format_bytes(row.peak_nbytes),
        )
        for row in results.sizes
    ]
    columns = ("workload", "flits", "reference, flits/s", "fast, flits/s", "times as fast")
    by_size = ("flits", "seconds", "flits/s", "peak memory")
    return [
        ("Both engines on the same work", columns, engines),
        ("A credit-limited stream by the fast engine", by_size, sizes),
    ]


def network_remarks(results: NetworkSpeedResults) -> list[str]:
    """What the targets say, a sentence or two each."""
    said = ["Seconds are processor time, from tasks to results; both engines found the same times."]
    for row in results.engines:
        reached = "reached" if row.ratio >= RATIO_TARGET else "missed"
        said.append(
            f"{row.workload}: {row.ratio:,.0f} times as fast (target {RATIO_TARGET}: {reached})."
        )
    if results.sizes:
        largest = results.sizes[-1]
        reached = "reached" if largest.flits_per_s >= RATE_TARGET else "missed"
        said.append(
            f"The largest stream: {largest.flits_per_s / 1e6:.1f} million flits/s "
            f"(target {RATE_TARGET / 1e6:.0f}: {reached}); the process held "
            f"{format_bytes(results.growth_nbytes)} more than after the smallest."
        )
    if results.slope is not None:
        said.append(f"Time grows as flits to the power of {results.slope:.3f}.")
    if (ring := results.ring) is not None:
        reached = "reached" if ring.seconds < RING_TARGET_S else "missed"
        said.append(
            f"A ring all-reduce of {format_bytes_binary(ring.nbytes)} among 8 GPUs "
            f"({ring.flits:,} flits, {format_ps(ring.simulated_ps)} simulated): "
            f"{ring.seconds:.2f} s of processor time, {ring.wall_s:.2f} s by the clock "
            f"(target {RING_TARGET_S:.0f}: {reached})."
        )
    return said


def network_markdown(results: NetworkSpeedResults, facts: Mapping[str, str]) -> str:
    """The whole benchmark as a page."""
    parts = [
        "# Speed of the network engines",
        f"Links: {LINK}; the stream's has half of the credits of full rate. "
        f"{network_facts_line(facts)}.",
        *(
            f"## {title}\n\n{markdown_table(columns, rows)}"
            for title, columns, rows in network_tables(results)
        ),
        "\n".join(f"- {remark}" for remark in network_remarks(results)),
    ]
    return "\n\n".join(parts) + "\n"
