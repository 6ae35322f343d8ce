"""Collectives whose messages are quantized: what arrives, in how many bytes, after how many passes.

Every value that is added on the way is quantized by the rank that sends it; its own addend a rank
takes as it is. A finished value is quantized once, by the rank that finished it, which keeps what
all others will decode. It is then handed on in the bytes that came. So all ranks end with the same
bits, and an all-reduce of n ranks has 2 passes in two steps (arXiv 2412.04964) and n in a ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.flash.quantizers import AnyQuantizer, MessageQuantizer, message_quantizer
from linksim.network.collectives import Move, Schedule, schedule
from linksim.network.collectives.expansion import Values

ALGORITHMS = {"two-step": "direct", "ring": "ring", "hierarchical": "hierarchical"}
"""All-reduces that are compared, and the names of their schedules."""


@dataclass(frozen=True)
class CodedMessage:
    """One message of a quantized collective."""

    id: str
    source: str
    destination: str
    values: int
    nbytes: int
    """Bytes on the wire: codes and what groups share, to the byte."""
    is_forwarded: bool
    """Whether all of its bytes were coded before and are handed on as they came."""


@dataclass(frozen=True, eq=False)
class CodedCollective:
    """What a quantized collective sent and what came of it."""

    result: Mapping[str, Values]
    """By rank, bf16, flat."""
    messages: tuple[CodedMessage, ...]
    passes: int
    """Most quantizations, one after the other, that any value of a result has behind it."""

    @property
    def nbytes(self) -> int:
        """Bytes on the wire, all messages together."""
        return sum(message.nbytes for message in self.messages)

    @property
    def values(self) -> int:
        """Values that crossed the network, all messages together."""
        return sum(message.values for message in self.messages)


def all_reduce(
    tensors: Mapping[str, Values],
    quantizer: AnyQuantizer | None,
    *,
    algorithm: str = "two-step",
    groups: Sequence[Sequence[str]] | None = None,
) -> CodedCollective:
    """The quantized all-reduce of *tensors*, bf16 of one size, among the ranks that name them.

    *algorithm* is one of `ALGORITHMS`; `hierarchical` needs the ranks in *groups* of one size:
    reduce-scatter in every group, all-reduce across, all-gather in every group (arXiv 2508.03760).
    LinksimError for other algorithms, as for `schedule`, and for tensors that do not fit.
    """
    if algorithm not in ALGORITHMS:
        raise LinksimError(
            f"all_reduce: unknown algorithm {algorithm!r}: expected one of {', '.join(ALGORITHMS)}"
        )
    plan = schedule(
        "all_reduce",
        ranks=list(tensors),
        elements=next((tensor.size for tensor in tensors.values()), 0),
        algorithm=ALGORITHMS[algorithm],
        groups=groups,
    )
    return coded(plan, tensors, quantizer)


def coded(
    plan: Schedule, tensors: Mapping[str, Values], quantizer: AnyQuantizer | None
) -> CodedCollective:
    """*tensors*, bf16 of any shape, carried over *plan* with every message through *quantizer*.

    Without one, messages are bf16 as it is. Additions are in float32 in the order of the schedule;
    what is sent is rounded to bf16 first. In a schedule in chunks, no message may cut a run of
    values that was coded as one. LinksimError for that and for tensors that do not fit.
    """
    nodes = {node: _Node(size) for node, size in plan.nelements.items()}
    for rank, part in plan.inputs.items():
        tensor = tensors.get(rank)
        if tensor is None or tensor.dtype != ml_dtypes.bfloat16 or tensor.size != len(part):
            raise LinksimError(f"{plan.op}: rank {rank!r}: expected {len(part)} values of bf16")
        nodes[rank].values[_slice(part)] = tensor.reshape(-1).astype(np.float32)
    coder = _Coder(None if quantizer is None else message_quantizer(quantizer))
    messages = [message for move in plan.moves for message in _make(move, plan, nodes, coder)]
    return CodedCollective(
        result={
            rank: nodes[rank].values[_slice(part)].astype(ml_dtypes.bfloat16)
            for rank, part in plan.outputs.items()
        },
        messages=tuple(messages),
        passes=max(
            int(nodes[rank].passes[_slice(part)].max(initial=0))
            for rank, part in plan.outputs.items()
        ),
    )


@dataclass(frozen=True)
class _Coder:
    """A quantizer, or bf16 as it is."""

    quantizer: MessageQuantizer | None

    @property
    def passes(self) -> int:
        return 0 if self.quantizer is None else 1

    def round_trip(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):
            sent = values.astype(ml_dtypes.bfloat16)
        if self.quantizer is not None:
            sent = self.quantizer.round_trip(sent)
        wide: NDArray[np.float32] = sent.astype(np.float32)
        return wide

    def nbytes(self, count: int) -> int:
        return 2 * count if self.quantizer is None else self.quantizer.packed_nbytes(count)


class _Node:
    """One node's buffer."""

    def __init__(self, size: int) -> None:
        self.values = np.zeros(size, np.float32)
        self.passes = np.zeros(size, np.int32)
        self.finished: list[range] = []
        """Runs that were coded as one and hold what everybody decodes."""

    def finish(self, part: range, coder: _Coder, move: Move) -> tuple[list[range], bool]:
        """Code what of *part* is not yet; the runs that it is then made of, and if any is new."""
        runs = sorted((r for r in self.finished if _overlap(r, part)), key=lambda run: run.start)
        at, gaps = part.start, []
        for run in runs:
            if run.start < part.start or run.stop > part.stop:
                raise LinksimError(f"message {move.id!r} cuts values that were coded as one run")
            if run.start > at:
                gaps.append(range(at, run.start))
            at = run.stop
        if at < part.stop:
            gaps.append(range(at, part.stop))
        for gap in gaps:
            self.values[_slice(gap)] = coder.round_trip(self.values[_slice(gap)])
            self.passes[_slice(gap)] += coder.passes
        self.finished += gaps
        return sorted(runs + gaps, key=lambda run: run.start), bool(gaps)

    def write(
        self, part: range, values: NDArray[np.float32], passes: NDArray[np.int32], *, adds: bool
    ) -> None:
        """Add *values* to *part* or replace it."""
        where = _slice(part)
        with np.errstate(over="ignore", invalid="ignore"):
            self.values[where] = values + self.values[where] if adds else values
        self.passes[where] = np.maximum(passes, self.passes[where]) if adds else passes
        self.finished = [run for run in self.finished if not _overlap(run, part)]


def _make(
    move: Move, plan: Schedule, nodes: Mapping[str, _Node], coder: _Coder
) -> list[CodedMessage]:
    """Carry out *move*; the message that it is, if it is one."""
    source, destination = nodes[move.source], nodes[move.destination]
    part, into = _slice(move.source_range), move.destination_range
    count = len(move.source_range)
    if not move.is_message:
        destination.write(into, source.values[part], source.passes[part], adds=move.adds)
        return []
    if not _brings_result(move, plan):
        arrived = coder.round_trip(source.values[part])
        destination.write(into, arrived, source.passes[part] + coder.passes, adds=move.adds)
        nbytes, is_new = coder.nbytes(count), True
    else:
        runs, is_new = source.finish(move.source_range, coder, move)
        destination.write(into, source.values[part], source.passes[part], adds=False)
        shift = into.start - move.source_range.start
        destination.finished += [range(run.start + shift, run.stop + shift) for run in runs]
        nbytes = sum(coder.nbytes(len(run)) for run in runs)
    return [CodedMessage(move.id, move.source, move.destination, count, nbytes, not is_new)]


def _brings_result(move: Move, plan: Schedule) -> bool:
    """Whether what arrives stays as it is: not an addend, neither at once nor later."""
    result = plan.outputs.get(move.destination, range(0))
    inside = result.start <= move.destination_range.start
    return not move.adds and inside and move.destination_range.stop <= result.stop


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _slice(part: range) -> slice:
    return slice(part.start, part.stop)
