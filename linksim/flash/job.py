"""What the processes of a two-step all-reduce read and write: files in one folder.

`job.json` holds the quantizer and the sizes, `rank0.npz` and so on the addends of a rank, bf16
patterns as uint16, one entry an all-reduce. A process leaves `rank0.result.npz`, its
sums in the same form, and `rank0.sent.json`: by receiving rank, the bytes that it sent in all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize import GroupQuantizer

Patterns = NDArray[np.uint16]

JOB_NAME = "job.json"
RENDEZVOUS_NAME = "rendezvous"
"""File through which the processes find each other; it must not exist before they start."""


@dataclass(frozen=True)
class Job:
    """One run of all-reduces, one after the other."""

    ranks: int
    all_reduces: int
    quantizer: GroupQuantizer
    timeout_s: float
    """How long a process waits for another before it gives up."""

    def write(self, folder: Path) -> None:
        """Write `job.json` into *folder*."""
        text = json.dumps(asdict(self))
        (folder / JOB_NAME).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        """The job in *folder*, as `write` left it."""
        fields = json.loads((folder / JOB_NAME).read_text(encoding="utf-8"))
        return cls(**{**fields, "quantizer": GroupQuantizer(**fields["quantizer"])})


def addends_file(folder: Path, rank: int) -> Path:
    """Where rank *rank* finds its addends."""
    return folder / f"rank{rank}.npz"


def result_file(folder: Path, rank: int) -> Path:
    """Where rank *rank* leaves its sums."""
    return folder / f"rank{rank}.result.npz"


def sent_file(folder: Path, rank: int) -> Path:
    """Where rank *rank* says how many bytes it sent to whom."""
    return folder / f"rank{rank}.sent.json"


def write_patterns(path: Path, patterns: list[Patterns]) -> None:
    """Write *patterns* as the entries of an .npz file."""
    with path.open("wb") as file:
        np.savez(file, *patterns)


def read_patterns(path: Path, count: int) -> list[Patterns]:
    """The *count* entries that `write_patterns` wrote."""
    with np.load(path, allow_pickle=False) as entries:
        return [entries[f"arr_{k}"] for k in range(count)]
