"""One core over many tensors: right or wrong, how fast, how soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hw.compiled import CompiledCore
from hw.long_run.subjects import Subject, flat

BATCH_VALUES = 1_000_000
"""Values that are fed without a gap before the core is left to run empty."""
SHORT_VALUES = 96
"""Values of the short messages: three groups, and no more than any flit holds."""


@dataclass
class Spread:
    """Smallest, mean and largest of many cycle counts."""

    low: int
    mean: float
    high: int

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        return cls(min(counts), round(sum(counts) / len(counts), 2), max(counts))


@dataclass
class Findings:
    """What a core did with the messages of a trace."""

    digest: str
    """Of the core that ran, see `hw.verilog.digest`."""
    messages: int = 0
    values: int = 0
    nbytes: int = 0
    """Of the values, uncompressed."""
    cycles: int = 0
    """Of messages without a gap: first to last input, or first to last output if that is longer."""
    values_per_cycle: float = 0
    bytes_per_cycle: float = 0
    stalls: int = 0
    """Cycles in which the core did not take an input that was offered to it."""
    latency: Spread | None = None
    """First input taken to first output given, per message, from an idle core."""
    flush: Spread | None = None
    """Last input taken to last output given, in the same way."""
    beyond_rate: int = 0
    """Most cycles of a short message beyond those in which its values pass at the full rate."""
    wrong: list[str] = field(default_factory=list)
    """Messages that did not come out as the software writes them."""
    modelled: int = 0
    """Messages through an idle core whose cycles a model foretells."""
    model_difference: int = 0
    """Largest difference between those and the core's, over all transfers that it foretells."""
    simulated_cycles: int = 0
    build_seconds: float = 0.0
    """Until the core could run: long where it had to be compiled."""
    run_seconds: float = 0.0
    """Of simulation and of the software that it is compared with."""

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


def measured(
    subject: Subject,
    tensors: Sequence[tuple[str, np.ndarray]],
    advance: Callable[[], object] = lambda: None,
) -> Findings:
    """Each of the named *tensors* as a message: alone, cut short, then one behind the other.

    *advance* is called once for each message of the first and the last pass.
    """
    start = time.monotonic()
    core = CompiledCore(subject.core)
    built = time.monotonic()
    found = Findings(digest=core.digest, messages=len(tensors))
    found.values = sum(values.size for _, values in tensors)
    found.nbytes = sum(values.nbytes for _, values in tensors)
    _alone(core, subject, tensors, found, advance)
    found.beyond_rate = _beyond_rate(core, subject, tensors)
    _together(core, subject, tensors, found, advance)
    if found.cycles:
        found.values_per_cycle = round(found.values / found.cycles, 3)
        found.bytes_per_cycle = round(found.nbytes / found.cycles, 3)
    found.build_seconds = round(built - start, 1)
    found.run_seconds = round(time.monotonic() - built, 1)
    return found


def _alone(
    core: CompiledCore,
    subject: Subject,
    tensors: Sequence[tuple[str, np.ndarray]],
    found: Findings,
    advance: Callable[[], object],
) -> None:
    """Every message through an idle core."""
    latencies, flushes = [], []
    for name, values in tensors:
        batch = core.run(subject.payloads(values), idle=subject.idle)
        if _messages(subject, batch.outputs) != [subject.wanted(values)]:
            found.wrong.append(name)
        found.simulated_cycles += batch.cycles
        if len(batch.given_at):
            latencies.append(int(batch.given_at[0] - batch.taken_at[0]))
            flushes.append(int(batch.given_at[-1] - batch.taken_at[-1]))
            foretold = subject.foretold(values)
            if foretold is not None:
                off = foretold.difference(batch.taken_at, batch.given_at)
                found.modelled += 1
                found.model_difference = max(found.model_difference, off)
        advance()
    if latencies:
        found.latency, found.flush = Spread.of(latencies), Spread.of(flushes)


def _beyond_rate(
    core: CompiledCore, subject: Subject, tensors: Sequence[tuple[str, np.ndarray]]
) -> int:
    """From the first input, or the last where all of a flit must be there, to the last output."""
    most = 0
    for _, values in tensors:
        short = flat(values)[:SHORT_VALUES]
        batch = core.run(subject.payloads(short), idle=subject.idle)
        if not len(batch.given_at):
            continue
        begin = batch.taken_at[-1 if subject.gathers else 0]
        passing = -(-short.size // subject.width)
        most = max(most, int(batch.given_at[-1] - begin) + 1 - passing)
    return most


def _together(
    core: CompiledCore,
    subject: Subject,
    tensors: Sequence[tuple[str, np.ndarray]],
    found: Findings,
    advance: Callable[[], object],
) -> None:
    """Messages without a gap between them, an input offered and an output taken every cycle."""
    for part in _batches(tensors):
        payloads = np.concatenate([subject.payloads(values) for _, values in part])
        batch = core.run(payloads, idle=subject.idle)
        got = _messages(subject, batch.outputs)
        wanted = [subject.wanted(values) for _, values in part]
        if len(got) != len(wanted):
            found.wrong.append(f"{len(got)} messages out of {len(wanted)} from {part[0][0]} on")
        pairs = zip(part, got, wanted, strict=False)
        found.wrong += [f"{name}, behind others" for (name, _), one, two in pairs if one != two]
        found.stalls += batch.stalls
        found.simulated_cycles += batch.cycles
        if len(batch.given_at):
            windows = (batch.taken_at, batch.given_at)
            found.cycles += max(int(cycles[-1] - cycles[0]) + 1 for cycles in windows)
        for _ in part:
            advance()


def _messages(subject: Subject, outputs: np.ndarray) -> list[bytes]:
    """The messages that came out; none where they cannot be told apart."""
    try:
        return subject.given(outputs)
    except ValueError:
        return []


def _batches(tensors: Sequence[tuple[str, np.ndarray]]) -> list[list[tuple[str, np.ndarray]]]:
    parts: list[list[tuple[str, np.ndarray]]] = [[]]
    size = 0
    for name, values in tensors:
        if size >= BATCH_VALUES:
            parts.append([])
            size = 0
        parts[-1].append((name, values))
        size += values.size
    return parts
