"""Quantized collectives as tasks for the simulator: kernels at the ranks, records on the links.

One kernel does all of a collective, as in Flash Communication: the library's base time is paid
once, and every phase of the kernel (quantize, add and quantize, dequantize) takes the engine
record's fixed time and its bytes. Links carry whole records, `GroupQuantizer.packed_nbytes`, in the
library's protocol that is fastest for what a GPU sends.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.network import Coding, Compute, Task, Transfer, schedule
from linksim.network.collectives import Schedule
from linksim.network.collectives.moves import Move
from linksim.network.protocols import EndpointProtocol
from linksim.prefill.boxes import Box
from linksim.prefill.cards import BF16_NBYTES
from linksim.prefill.kernels import add_ps, dequantize_ps, kernel_record, quantize_ps
from linksim.units import PS_PER_US, ceil_div


def two_step_tasks(box: Box, quantizer: GroupQuantizer, elements: int) -> list[Task]:
    """The two-step all-reduce of *elements* bf16 values on *box*."""
    ranks = box.ranks
    plan = schedule("all_reduce", ranks=ranks, elements=elements, algorithm="direct")
    steps = box.endpoint.all_to_all_steps
    coded = quantizer.packed_nbytes(elements) * (len(ranks) - 1) / len(ranks)
    protocol = box.fastest_protocol(steps=2 * steps, sent_nbytes=2 * coded)
    build = _Tasks(box, quantizer, protocol)
    quantized = build.quantize_all(elements)
    scattered = build.phase(plan, "rs", steps, {rank: (quantized[rank],) for rank in ranks})
    added = {}
    for rank, piece in zip(ranks, _cut(elements, len(ranks)), strict=True):
        duration_ps = build.adding_ps((len(ranks) - 1) * piece, piece)
        added[rank] = build.kernel("add", rank, duration_ps, scattered[rank])
    gathered = build.phase(plan, "ag", steps, {rank: (added[rank],) for rank in ranks})
    for rank in ranks:
        after = (*gathered[rank], added[rank])
        build.kernel("dequantize", rank, dequantize_ps(build.record, elements), after)
    return build.tasks


def all_to_all_tasks(box: Box, quantizer: GroupQuantizer, elements: int) -> list[Task]:
    """The quantized all-to-all, in which every rank has *elements* bf16 values for all ranks."""
    ranks, steps = box.ranks, box.endpoint.all_to_all_steps
    plan = schedule("all_to_all", ranks=ranks, elements=elements)
    coded = quantizer.packed_nbytes(elements) * (len(ranks) - 1) / len(ranks)
    protocol = box.fastest_protocol(steps=steps, sent_nbytes=coded)
    build = _Tasks(box, quantizer, protocol)
    quantized = build.quantize_all(elements)
    arrived = build.phase(plan, "a2a", steps, {rank: (quantized[rank],) for rank in ranks})
    for rank in ranks:
        duration_ps = dequantize_ps(build.record, elements)
        build.kernel("dequantize", rank, duration_ps, arrived[rank])
    return build.tasks


def hierarchical_tasks(
    box: Box, quantizer: GroupQuantizer, elements: int, *, chunks: int
) -> list[Task]:
    """The all-reduce in the sides of *box* and across them, the tensor in *chunks*.

    What is forwarded is not coded again: the codings of a value are those before every sum. Only
    the first chunk pays a phase's fixed time. LinksimError for a box of one side, or no chunk.
    """
    if len(box.sides) < 2:
        raise LinksimError(f"box {box.name!r}: expected two sides for a hierarchical all-reduce")
    if chunks < 1:
        raise LinksimError(f"{chunks} chunks: expected 1 or more")
    inside, sides = len(box.sides[0]), len(box.sides)
    share = 2 * (inside - 1) / inside + 2 * (sides - 1) / (sides * inside)
    steps = 2 * (inside - 1) + 2 * (sides - 1)
    protocol = box.fastest_protocol(
        steps=steps, sent_nbytes=share * quantizer.packed_nbytes(elements)
    )
    build = _Tasks(box, quantizer, protocol)
    for chunk, values in enumerate(_cut(elements, min(chunks, elements))):
        plan = schedule(
            "all_reduce",
            ranks=box.ranks,
            elements=values,
            algorithm="hierarchical",
            groups=box.sides,
        )
        build.chunk(plan, chunk, values)
    return build.tasks


def _cut(elements: int, parts: int) -> list[int]:
    """*elements* in *parts* sizes, the first ones longer, as collectives cut them."""
    size, longer = divmod(elements, parts)
    return [size + (i < longer) for i in range(parts)]


class _Tasks:
    """Tasks of one collective as they come."""

    def __init__(self, box: Box, quantizer: GroupQuantizer, protocol: EndpointProtocol) -> None:
        self.record = kernel_record(box.gpu, quantizer)
        self.tasks: list[Task] = []
        self._box = box
        self._quantizer = quantizer
        self._protocol = protocol
        base_ps = round(protocol.base_us * PS_PER_US)
        self.tasks += [Compute(f"start.{rank}", rank, base_ps) for rank in box.ranks]

    def adding_ps(self, addends: int, values: int) -> int:
        """Reading *addends* values that came, and quantizing *values* sums with the rank's own."""
        return add_ps(self.record, self._quantizer, addends) + quantize_ps(self.record, values)

    def kernel(
        self, name: str, rank: str, duration_ps: int, after: tuple[str, ...], *, fixed: bool = True
    ) -> str:
        """A phase of the kernel at *rank*; its id. *fixed*: it pays the record's fixed time."""
        task = f"{name}.{rank}"
        whole_ps = duration_ps + (self.record.encoder.latency_ps if fixed else 0)
        self.tasks.append(Compute(task, rank, whole_ps, after))
        return task

    def quantize_all(self, elements: int) -> dict[str, str]:
        """Every rank quantizes its tensor: ids by rank."""
        duration_ps = quantize_ps(self.record, elements)
        return {
            rank: self.kernel("quantize", rank, duration_ps, (f"start.{rank}",))
            for rank in self._box.ranks
        }

    def phase(
        self, plan: Schedule, phase: str, steps: float, after: dict[str, tuple[str, ...]]
    ) -> dict[str, tuple[str, ...]]:
        """The messages of *plan* whose ids begin with *phase*, sent at once.

        Every rank spends the time of *steps* steps first. By rank, the messages that it gets, or
        what it waited for where it gets none.
        """
        step_ps = self._box.step_ps(self._protocol, steps)
        for rank, before in after.items():
            self.tasks.append(Compute(f"step-{phase}.{rank}", rank, step_ps, before))
        arrived: dict[str, tuple[str, ...]] = dict.fromkeys(after, ())
        for move in plan.messages:
            if move.id.startswith(phase):
                self._send(move, move.id, (f"step-{phase}.{move.source}",))
                arrived[move.destination] = (*arrived[move.destination], move.id)
        return {rank: names or (f"step-{phase}.{rank}",) for rank, names in arrived.items()}

    def chunk(self, plan: Schedule, chunk: int, values: int) -> None:
        """One chunk of a hierarchical all-reduce by *plan*: *values* values."""
        step_ps = self._box.step_ps(self._protocol)
        coded = {rank: f"start.{rank}" for rank in self._box.ranks}
        arrived: dict[str, tuple[str, ...]] = dict.fromkeys(coded, ())
        for move in plan.messages:
            name, rank = f"{chunk}:{move.id}", move.source
            after = tuple(f"{chunk}:{before}" for before in move.after)
            if move.adds or move.id.startswith("across-ag0"):
                own = len(move.source_range)
                duration_ps = self.adding_ps(own, own) if after else quantize_ps(self.record, own)
                coded[rank] = self.kernel(
                    f"code-{name}", rank, duration_ps, after or (coded[rank],), fixed=not chunk
                )
            ready = f"step-{name}"
            waits = tuple(dict.fromkeys((*after, coded[rank])))
            self.tasks.append(Compute(ready, rank, step_ps, waits))
            self._send(move, name, (ready,))
            arrived[move.destination] = (*arrived[move.destination], name)
        for rank, names in arrived.items():
            duration_ps = dequantize_ps(self.record, values)
            after = (*names, coded[rank])
            self.kernel(f"dequantize-{chunk}", rank, duration_ps, after, fixed=not chunk)

    def _send(self, move: Move, name: str, after: tuple[str, ...]) -> None:
        count = len(move.source_range)
        fraction = Fraction(self._protocol.wire_fraction)
        coded = self._quantizer.packed_nbytes(count)
        wire = ceil_div(coded * fraction.denominator, fraction.numerator)
        coding = Coding(np.array([count * BF16_NBYTES], np.int64), np.array([wire], np.int64))
        self.tasks.append(Transfer(name, move.source, move.destination, coding, after))
