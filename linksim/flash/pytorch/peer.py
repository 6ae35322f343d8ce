"""One process of a two-step all-reduce: `python -m linksim.flash.pytorch.peer FOLDER RANK`.

It knows nothing of schedules: it sends and receives records of the group quantizer through
torch.distributed, with gloo over the loopback interface.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import ml_dtypes
import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from linksim.codecs.quantize import GroupQuantizer
from linksim.flash.job import (
    RENDEZVOUS_NAME,
    Job,
    Patterns,
    addends_file,
    read_patterns,
    result_file,
    sent_file,
    write_patterns,
)


class Peer:
    """A rank's side of the two-step all-reduce."""

    def __init__(self, rank: int, ranks: int, quantizer: GroupQuantizer) -> None:
        self._rank = rank
        self._others = [(rank + turn) % ranks for turn in range(1, ranks)]
        self._ranks = ranks
        self._quantizer = quantizer
        self.sent: Counter[int] = Counter()
        """Bytes handed to `isend`, by receiving rank."""

    def all_reduce(self, addend: Patterns) -> Patterns:
        """The sum of all ranks' *addend*, bf16 patterns, flat.

        Quantize, all-to-all, dequantize and add in float32 in rank order, round, quantize,
        all-gather, dequantize.
        """
        pieces = np.array_split(addend, self._ranks)
        sizes = [len(piece) for piece in pieces]
        own = sizes[self._rank]
        coded = {other: self._encode(pieces[other]) for other in self._others}
        arrived = self._exchange(coded, dict.fromkeys(self._others, own))
        parts = [
            pieces[rank] if rank == self._rank else self._decode(arrived[rank], own)
            for rank in range(self._ranks)
        ]
        total = self._encode(_sum(parts))
        gathered = self._exchange(
            dict.fromkeys(self._others, total), {other: sizes[other] for other in self._others}
        )
        gathered[self._rank] = total
        sums = [self._decode(gathered[rank], sizes[rank]) for rank in range(self._ranks)]
        return np.concatenate(sums)

    def _encode(self, patterns: Patterns) -> bytes:
        return self._quantizer.pack(self._quantizer.quantize(patterns))

    def _decode(self, message: bytes, count: int) -> Patterns:
        return self._quantizer.dequantize(self._quantizer.unpack(message, count), count)

    def _exchange(self, messages: dict[int, bytes], values: dict[int, int]) -> dict[int, bytes]:
        """Send every rank its message; what came from every rank, records of so many values."""
        buffers = {
            other: torch.empty(self._quantizer.packed_nbytes(count), dtype=torch.uint8)
            for other, count in values.items()
        }
        waiting = [dist.irecv(buffer, other) for other, buffer in buffers.items() if len(buffer)]
        for other, message in messages.items():
            # Nothing is sent for an empty piece.
            if message:
                payload = torch.frombuffer(bytearray(message), dtype=torch.uint8)
                self.sent[other] += payload.nbytes
                waiting.append(dist.isend(payload, other))
        for work in waiting:
            if work is not None:
                work.wait()
        return {other: buffer.numpy().tobytes() for other, buffer in buffers.items()}


def _sum(parts: list[Patterns]) -> Patterns:
    total: NDArray[np.float32] = parts[0].view(ml_dtypes.bfloat16).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in parts[1:]:
            total = total + part.view(ml_dtypes.bfloat16).astype(np.float32)
        return total.astype(ml_dtypes.bfloat16).view(np.uint16)


def main(folder: Path, rank: int) -> None:
    """Do the all-reduces of the job in *folder* as rank *rank*."""
    job = Job.read(folder)
    if sys.platform == "linux":
        # By default gloo takes the interface of the host's name, which may have none.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{(folder / RENDEZVOUS_NAME).resolve()}",
        rank=rank,
        world_size=job.ranks,
        timeout=timedelta(seconds=job.timeout_s),
    )
    try:
        peer = Peer(rank, job.ranks, job.quantizer)
        addends = read_patterns(addends_file(folder, rank), job.all_reduces)
        results = [peer.all_reduce(addend) for addend in addends]
        # No rank may leave while another still sends to it.
        dist.barrier()
    finally:
        dist.destroy_process_group()
    write_patterns(result_file(folder, rank), results)
    sent = {str(other): nbytes for other, nbytes in peer.sent.items()}
    sent_file(folder, rank).write_text(json.dumps(sent), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
