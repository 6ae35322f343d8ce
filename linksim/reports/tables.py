"""The tables of a replay."""

from __future__ import annotations

from collections.abc import Sequence

from linksim.replay.metrics import RunMetrics, event_latencies_ps
from linksim.replay.run import ScenarioResult
from linksim.units import format_bytes, format_bytes_binary, format_ps

REPLAY_COLUMNS = (
    "run",
    "bytes",
    "saved",
    "wire time",
    "codec time",
    "p50",
    "p99",
    "vs off",
    "GB/s",
    "limited by",
    "link energy",
)
"""`run` with the signal to noise ratio of what arrives, where the codec is lossy; `bytes` after
coding; `saved` of the uncompressed bytes; `wire time` and `codec time` per transfer, mean; `p50`,
`p99` end-to-end latency of a whole send or collective; `vs off` the change of p50 against the first
run; `GB/s` uncompressed bytes per second of time under way."""


def replay_rows(result: ScenarioResult) -> list[tuple[str, ...]]:
    """One row per run of *result*, columns as REPLAY_COLUMNS."""
    baseline = result.metrics[0]
    return [_row(metrics, baseline) for metrics in result.metrics]


def _row(metrics: RunMetrics, baseline: RunMetrics) -> tuple[str, ...]:
    change = 100 * (metrics.event_p50_ps / max(1, baseline.event_p50_ps) - 1)
    quality = "" if metrics.snr_db is None else f" ({metrics.snr_db:.1f} dB)"
    return (
        metrics.run + quality,
        format_bytes(metrics.encoded_nbytes),
        f"{metrics.saved_percent:.1f} %",
        format_ps(metrics.wire_ps),
        format_ps(metrics.encode_ps + metrics.decode_ps),
        format_ps(metrics.event_p50_ps),
        format_ps(metrics.event_p99_ps),
        "" if metrics is baseline else f"{change:+.1f} %",
        f"{metrics.effective_gbytes_per_s:.1f}",
        metrics.bottleneck,
        format_energy(metrics.link_energy_pj),
    )


def pays_from(result: ScenarioResult, run: str) -> int | None:
    """Smallest swept message from which on *run* is faster than the first run, in bytes."""
    first = event_latencies_ps(next(iter(result.results.values())).transfers)
    own = event_latencies_ps(result.results[run].transfers)
    smallest = None
    for event in sorted(first, key=int, reverse=True):
        if own[event] >= first[event]:
            break
        smallest = int(event)
    return smallest


SWEEP_COLUMNS = ("message", "run", "latency", "vs off")


def sweep_rows(result: ScenarioResult) -> list[tuple[str, ...]]:
    """One row per size and run of a swept scenario, columns as SWEEP_COLUMNS."""
    latencies = {run: event_latencies_ps(r.transfers) for run, r in result.results.items()}
    first = next(iter(latencies.values()))
    return [
        (
            format_bytes_binary(int(event)),
            run,
            format_ps(of[event]),
            "" if of is first else f"{100 * (of[event] / first[event] - 1):+.1f} %",
        )
        for event in first
        for run, of in latencies.items()
    ]


def sweep_remark(result: ScenarioResult) -> str:
    """From which message size on every codec is faster than none."""
    parts = []
    first, *others = result.results
    for run in others:
        size = pays_from(result, run)
        reached = f"from {format_bytes_binary(size)} on" if size else "at no size tried"
        parts.append(f"{run} is faster than {first} {reached}")
    return "; ".join(parts) + "."


def format_energy(picojoules: float | None) -> str:
    """Human-readable energy; `not known` for None."""
    if picojoules is None:
        return "not known"
    for unit, scale in (("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3)):
        if picojoules >= scale:
            return f"{picojoules / scale:.3g} {unit}"
    return f"{picojoules:.3g} pJ"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns but the first are right-aligned."""
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join([" --- ", *[" ---: "] * (len(columns) - 1)]) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines)


def summary_markdown(results: Sequence[ScenarioResult], model: str) -> str:
    """The whole outcome of a set of replays as a Markdown page."""
    parts = [f"# Replay results\n\nTrace: {model}\n"]
    for result in results:
        parts.append(f"## {result.scenario.title}\n")
        if result.scenario.description:
            parts.append(result.scenario.description.strip() + "\n")
        if result.scenario.sweep is None:
            parts.append(markdown_table(REPLAY_COLUMNS, replay_rows(result)) + "\n")
        else:
            parts.append(markdown_table(SWEEP_COLUMNS, sweep_rows(result)) + "\n")
            parts.append(sweep_remark(result) + "\n")
    return "\n".join(parts)
