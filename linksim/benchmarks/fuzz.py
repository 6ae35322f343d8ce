"""Fuzzing the compiled coder at scale, in processes that may crash.

Hostile messages are decoded between pages that may not be touched, so that an access outside ends
the worker; a sample of them is compared with the NumPy reference. Every finding names a seed and a
case that show it again.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from linksim.benchmarks import fuzz_cases
from linksim.benchmarks.fuzz_cases import make_case
from linksim.benchmarks.fuzz_checks import Finding
from linksim.benchmarks.fuzz_targets import corpus, guarded_room, schedule, targets
from linksim.benchmarks.fuzz_worker import BLOCK, KINDS, Job, command, fresh_now
from linksim.benchmarks.guarded import check_platform
from linksim.codecs.compiled import decoding
from linksim.errors import LinksimError
from linksim.units import ceil_div

HANG_S = 120.0
"""A worker that says nothing for so long hangs: a block takes a second or two."""
MAX_SEED = (1 << 63) - 1


@dataclass
class FuzzReport:
    """What a run tried and found."""

    seed: int
    first: int
    workers: int
    by_target: dict[str, dict[str, int]]
    """Cases, and how many of them were accepted and refused, by target."""
    cases: int = 0
    sampled: int = 0
    """Cases compared with the reference; as many encoder inputs and whole messages were tried."""
    messages_accepted: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    def add(self, block: dict[str, Any]) -> None:
        """Count what a worker says of a block."""
        counted = self.by_target[block["target"]]
        counted["cases"] += block["cases"]
        counted["accepted"] += block["accepted"]
        counted["refused"] += block["cases"] - block["accepted"]
        self.cases += block["cases"]
        self.sampled += block["sampled"]
        self.messages_accepted += block["messages_accepted"]
        self.findings += block["findings"]

    def document(self) -> dict[str, Any]:
        """The report as JSON has it."""
        rate = self.cases / self.seconds if self.seconds else 0.0
        return {
            "seed": self.seed,
            "first": self.first,
            "workers": self.workers,
            "cases": self.cases,
            "seconds": round(self.seconds, 2),
            "cases_per_second": round(rate),
            "compared_with_reference": self.sampled,
            "encoder_inputs": self.sampled,
            "whole_messages": self.sampled,
            "whole_messages_accepted": self.messages_accepted,
            "targets": [{"target": name, **counts} for name, counts in self.by_target.items()],
            "findings": self.findings,
        }


class _Process:
    """A worker process, its lines put to a queue as (worker, line), the last line None."""

    def __init__(self, job: Job, words: list[str], lines: queue.Queue[tuple[int, str | None]]):
        self.job = job
        self.done = False
        """Whether its last line was read."""
        self.now = fresh_now(Path(job.now_path))
        self.errors = Path(job.now_path).with_suffix(".err")
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(  # noqa: S603
                words, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: queue.Queue[tuple[int, str | None]]) -> None:
        assert self.process.stdout is not None  # noqa: S101
        for line in self.process.stdout:
            lines.put((self.job.worker, line))
        self.process.wait()
        lines.put((self.job.worker, None))

    def stop(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def death(self) -> Finding | None:
        """What the process left behind, if it did not end well."""
        code = self.process.returncode
        if not code:
            return None
        if code > 0:
            said = self.errors.read_text()[-2000:].strip()
            return self._finding(f"the worker ended with exit code {code}: {said}")
        name = signal.Signals(-code).name
        return self._finding(f"the coder touched memory outside: signal {-code} ({name})")

    def hang(self) -> Finding:
        """What it was doing when it was given up."""
        return self._finding(f"nothing was heard of the worker for {HANG_S:.0f} s")

    def _finding(self, what: str) -> Finding:
        case, kind = int(self.now[0]), KINDS[int(self.now[1])]
        about = {"kind": kind, "target": "", "seed": self.job.seed, "case": case, "what": what}
        return {**about, **(_input_of(self.job.seed, case) if case >= 0 else {})}


def _input_of(seed: int, case: int) -> Finding:
    """The message of the decoder's *case*, made again."""
    of = targets()
    target = of[schedule(of)[case // BLOCK % len(schedule(of))]]
    room = guarded_room(np.zeros(2, np.int64))
    nbytes, chunks, _ = make_case(corpus(target), room, seed, case)
    return {
        "target": target.name,
        "message": room.work[:nbytes].tobytes().hex(),
        "chunk_ends": room.bounds[1 : chunks + 1].tolist(),
        "symbols_expected": None if target.payload_nbytes else room.counts[:chunks].tolist(),
    }


def drop_stale_kernels() -> None:
    """Remove compiled kernels older than a source, so that what is fuzzed is what stands there.

    numba looks at a function's own file alone, not at those of the functions it calls.
    """
    sources = [*Path(decoding.__file__).parent.glob("*.py"), Path(fuzz_cases.__file__)]
    newest = max(source.stat().st_mtime for source in sources)
    for kernel, names in ((decoding.decode_chunks, "*"), (fuzz_cases.decode_cases, "fuzz_cases*")):
        for compiled in Path(str(kernel.stats.cache_path)).glob(f"{names}.nb[ic]"):
            if compiled.stat().st_mtime < newest:
                compiled.unlink(missing_ok=True)


def run_fuzz(
    cases: int,
    seed: int,
    first: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int], object] = lambda done: None,
    worker_command: Callable[[Job], list[str]] = command,
) -> FuzzReport:
    """Fuzz *cases* cases from *first* on; the first finding ends it.

    *on_progress* is told the cases done so far. The result depends on neither *workers* (none
    given: one per processor core) nor anything but the numbers given.
    """
    check_platform()
    if cases < 1 or first < 0 or not 0 <= seed <= MAX_SEED or (workers is not None and workers < 1):
        raise LinksimError(
            f"cases {cases}, first {first}, seed {seed}, workers {workers}: "
            "expected at least 1, 0, 0 and 1"
        )
    blocks = ceil_div(first + cases, BLOCK) - first // BLOCK
    workers = min(workers or len(os.sched_getaffinity(0)), blocks)
    names = [target.name for target in targets()]
    drop_stale_kernels()
    report = FuzzReport(
        seed, first, workers, {name: {"cases": 0, "accepted": 0, "refused": 0} for name in names}
    )
    started = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        lines: queue.Queue[tuple[int, str | None]] = queue.Queue()
        jobs = [
            Job(seed, first, first + cases, worker, workers, f"{folder}/{worker}.now")
            for worker in range(workers)
        ]
        processes: dict[int, _Process] = {}

        def start(more: list[Job]) -> None:
            for job in more:
                processes[job.worker] = _Process(job, worker_command(job), lines)

        try:
            # The first compiles what all need; the others find it in numba's cache.
            start(jobs[:1])
            heard = _listen(processes, lines, report, on_progress, until_heard=True)
            start(jobs[1:] if heard and not report.findings else [])
            _listen(processes, lines, report, on_progress)
        finally:
            for process in processes.values():
                process.stop()
    report.seconds = perf_counter() - started
    return report


def _listen(
    processes: dict[int, _Process],
    lines: queue.Queue[tuple[int, str | None]],
    report: FuzzReport,
    on_progress: Callable[[int], object],
    until_heard: bool = False,
) -> bool:
    """Read what the workers say until all are done or one has found something.

    With *until_heard* it ends with the first line, too, and says whether there was one.
    """
    heard = dict.fromkeys(processes, perf_counter())
    while any(not process.done for process in processes.values()) and not report.findings:
        try:
            worker, line = lines.get(timeout=1.0)
        except queue.Empty:
            silent = [n for n in processes if perf_counter() - heard[n] > HANG_S]
            report.findings += [processes[n].hang() for n in silent if not processes[n].done]
            continue
        heard[worker] = perf_counter()
        if line is None:
            processes[worker].done = True
            found = processes[worker].death()
            report.findings += [found] if found else []
            continue
        report.add(json.loads(line))
        on_progress(report.cases)
        if until_heard:
            return True
    return False
