"""The process that fuzzes: it may crash, so whoever starts it looks at what it leaves behind.

It works through blocks of cases and prints a line of JSON for each. The number of the case at work
is kept in a file, which outlives a crash.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linksim.benchmarks.fuzz_cases import decode_cases
from linksim.benchmarks.fuzz_checks import EncoderCheck, Finding, MessageCheck, check_decoder
from linksim.benchmarks.fuzz_targets import corpus, guarded_room, kernel, schedule, targets

BLOCK = 10_000
"""Cases of one target in a row."""
SAMPLED_EVERY = 500
"""Every so many cases one is compared with the reference, one whole message is decoded and one
encoder input is tried."""
KINDS = ("decoder", "encoder", "message")


@dataclass(frozen=True)
class Job:
    """The cases from *first* to *stop*, of which this worker takes every *workers*-th block."""

    seed: int
    first: int
    stop: int
    worker: int
    workers: int
    now_path: str


class Worker:
    """Fuzzes the blocks of a job."""

    def __init__(self, job: Job):
        self.job = job
        self.now = np.memmap(job.now_path, np.int64, "r+", shape=(2,))
        self.targets = targets()
        self.corpora = [corpus(target) for target in self.targets]
        self.kernels = [kernel(target) for target in self.targets]
        self.order = schedule(self.targets)
        self.room = guarded_room(np.asarray(self.now))
        self.encoder, self.messages = EncoderCheck(), MessageCheck()

    def blocks(self) -> list[int]:
        """Numbers of the blocks of the job."""
        first, stop = self.job.first // BLOCK, -(-self.job.stop // BLOCK)
        return [n for n in range(first, stop) if n % self.job.workers == self.job.worker]

    def run(self, block: int) -> dict[str, Any]:
        """Fuzz one block: what was counted, and what was found."""
        seed, which = self.job.seed, self.order[block % len(self.order)]
        first, stop = max(block * BLOCK, self.job.first), min((block + 1) * BLOCK, self.job.stop)
        target, cases, tables = self.targets[which], self.corpora[which], self.kernels[which]
        self.now[1] = KINDS.index("decoder")
        accepted = decode_cases(cases, tables, self.room, seed, first, stop)
        sampled = range(-(-first // SAMPLED_EVERY) * SAMPLED_EVERY, stop, SAMPLED_EVERY)
        findings: list[Finding] = []
        passed = 0
        for case in sampled:
            for kind in KINDS:
                self.now[:] = case, KINDS.index(kind)
                if kind == "decoder":
                    found = check_decoder(target, cases, tables, self.room, seed, case)
                elif kind == "encoder":
                    found = self.encoder.check(target, seed, case)
                else:
                    accepts, found = self.messages.check(seed, case)
                    passed += accepts
                if found is not None:
                    about = {"kind": kind, "target": target.name, "seed": seed, "case": case}
                    findings.append({**about, **found})
        return {
            "target": target.name,
            "cases": stop - first,
            "accepted": int(accepted),
            "sampled": len(sampled),
            "messages_accepted": passed,
            "findings": findings,
        }


def fresh_now(path: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The file in which a worker keeps its case, -1 before the first, and the case's kind."""
    np.array([-1, 0], np.int64).tofile(path)
    return np.memmap(path, np.int64, "r", shape=(2,))


def main() -> None:
    """Fuzz the job that stands in JSON in the one argument."""
    worker = Worker(Job(**json.loads(sys.argv[1])))
    for block in worker.blocks():
        print(json.dumps(worker.run(block)), flush=True)


def command(job: Job) -> list[str]:
    """The command line of a process that works on *job*."""
    return [sys.executable, "-m", "linksim.benchmarks.fuzz_worker", json.dumps(asdict(job))]


if __name__ == "__main__":
    main()
