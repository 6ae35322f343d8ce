"""The two-step all-reduce across real processes, held against the simulator's."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.flash.addends import Addends
from linksim.flash.collectives import CodedCollective, all_reduce
from linksim.flash.job import (
    Job,
    Patterns,
    addends_file,
    read_patterns,
    result_file,
    sent_file,
    write_patterns,
)

PEER = "linksim.flash.pytorch.peer"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the processes ended with."""

    results: list[list[Patterns]]
    """By rank and all-reduce, bf16 patterns."""
    sent: list[dict[int, int]]
    """By sending and receiving rank, bytes handed to torch.distributed."""
    elapsed_s: float
    """From the start of the first process to the end of the last, Python's start included."""


@dataclass(frozen=True)
class RankVerdict:
    """One rank's processes against the simulator."""

    rank: int
    sent_nbytes: int
    """Bytes that the process sent."""
    expected_nbytes: int
    """Bytes of the simulator's messages from this rank."""
    bytes_are_equal: bool
    """Whether they are, for every receiver."""
    values: int
    differing_values: int
    """Values whose bits are not the simulator's."""

    @property
    def holds(self) -> bool:
        """Whether bytes and bits are the simulator's."""
        return self.bytes_are_equal and self.differing_values == 0


def run_processes(
    work: Sequence[Addends], quantizer: GroupQuantizer, *, timeout_s: float = 120.0
) -> Outcome:
    """All-reduce after all-reduce of *work*, each of the same ranks, one process a rank.

    LinksimError if PyTorch is missing, a process fails or all do not end in *timeout_s* seconds.
    """
    if importlib.util.find_spec("torch") is None:
        raise LinksimError("flash run needs PyTorch: pip install 'linksim[capture]'")
    ranks = len(work[0].tensors)
    job = Job(ranks, len(work), quantizer, timeout_s)
    with tempfile.TemporaryDirectory(prefix="linksim-flash-") as name:
        folder = Path(name)
        job.write(folder)
        for rank in range(ranks):
            tensors = [list(one.tensors.values())[rank] for one in work]
            flat = [tensor.reshape(-1).view(np.uint16) for tensor in tensors]
            write_patterns(addends_file(folder, rank), flat)
        started = time.monotonic()
        _run(folder, ranks, started + timeout_s)
        elapsed = time.monotonic() - started
        return Outcome(
            [read_patterns(result_file(folder, rank), len(work)) for rank in range(ranks)],
            [_read_sent(folder, rank) for rank in range(ranks)],
            elapsed,
        )


def _run(folder: Path, ranks: int, deadline: float) -> None:
    """Start a process for every rank and wait for all, until *deadline* by the monotonic clock."""
    logs = [folder / f"rank{rank}.log" for rank in range(ranks)]
    processes = []
    try:
        for rank, log in enumerate(logs):
            with log.open("wb") as output:
                command = [sys.executable, "-m", PEER, str(folder), str(rank)]
                processes.append(
                    subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603
                )
        while any(process.poll() is None for process in processes):
            failed = [rank for rank, process in enumerate(processes) if process.poll()]
            if failed:
                raise LinksimError(f"process of rank {failed[0]}: {_last_line(logs[failed[0]])}")
            if time.monotonic() > deadline:
                raise LinksimError("the processes did not end in time: see --timeout")
            time.sleep(0.02)
        for rank, process in enumerate(processes):
            if process.returncode:
                raise LinksimError(f"process of rank {rank}: {_last_line(logs[rank])}")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "ended without a word"


def _read_sent(folder: Path, rank: int) -> dict[int, int]:
    sent = json.loads(sent_file(folder, rank).read_text(encoding="utf-8"))
    return {int(other): nbytes for other, nbytes in sent.items()}


def simulated(work: Sequence[Addends], quantizer: GroupQuantizer) -> list[CodedCollective]:
    """The simulator's two-step all-reduces of *work*."""
    return [all_reduce(one.tensors, quantizer) for one in work]


def judge(expected: Sequence[CodedCollective], outcome: Outcome) -> list[RankVerdict]:
    """Every rank of *outcome* against the simulator's messages and results."""
    names = list(expected[0].result)
    verdicts = []
    for rank, name in enumerate(names):
        sent: Counter[int] = Counter()
        for made in expected:
            for message in made.messages:
                if message.source == name:
                    sent[names.index(message.destination)] += message.nbytes
        results = [made.result[name].view(np.uint16) for made in expected]
        verdicts.append(
            RankVerdict(
                rank=rank,
                sent_nbytes=sum(outcome.sent[rank].values()),
                expected_nbytes=sum(sent.values()),
                bytes_are_equal=dict(sent) == outcome.sent[rank],
                values=sum(values.size for values in results),
                differing_values=sum(
                    _differing(one, other)
                    for one, other in zip(results, outcome.results[rank], strict=True)
                ),
            )
        )
    return verdicts


def _differing(one: Patterns, other: Patterns) -> int:
    if one.shape != other.shape:
        return max(one.size, other.size)
    return int(np.count_nonzero(one != other))
