"""Ways to sum a bf16 tensor over the GPUs of a box, and the time that each takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from linksim.codecs.quantize import GroupQuantizer
from linksim.engines import EngineRecord, engine_record
from linksim.errors import LinksimError
from linksim.network import Coding, Task, Transfer, simulate
from linksim.network.protocols import Collective, EndpointRecord, collective_tasks, fastest_paths
from linksim.prefill.boxes import Box
from linksim.prefill.cards import BF16_NBYTES
from linksim.prefill.quantized_tasks import all_to_all_tasks, hierarchical_tasks, two_step_tasks
from linksim.units import ceil_div

SEGMENT_NBYTES = 16384
"""Uncompressed bytes of a chunk of the lossless codec's bulk profile: 8192 bf16 values."""


@dataclass(frozen=True)
class LibrarySum:
    """The library's own all-reduce in bf16, on the path that is fastest for the size."""

    name: str = "bf16"


@dataclass(frozen=True, kw_only=True)
class LosslessSum:
    """The library's ring with a lossless coder in hardware at both ends of every link.

    Coded sums cannot be added in a switch, so that path is left out.
    """

    name: str
    coded_share: Fraction
    """Coded bytes per byte."""
    engine: EngineRecord


@dataclass(frozen=True, kw_only=True)
class TwoStepSum:
    """Flash Communication's two steps (arXiv 2412.04964) in one kernel, one chunk.

    Quantize; all-to-all; add and quantize; all-gather; dequantize.
    """

    name: str
    quantizer: GroupQuantizer


@dataclass(frozen=True, kw_only=True)
class HierarchicalSum:
    """FlashCommunication V2's scheme for two sides (arXiv 2508.03760), in one kernel.

    Reduce-scatter in every side, all-reduce across, all-gather in every side, the tensor in
    *chunks* that follow one another.
    """

    name: str
    quantizer: GroupQuantizer
    chunks: int = 8


Method = LibrarySum | LosslessSum | TwoStepSum | HierarchicalSum


def lossless_method(name: str, box: Box, coded_share: Fraction, engine: str) -> LosslessSum:
    """A `LosslessSum` with as many copies of *engine* as keep up with a link of *box*.

    LinksimError for an unknown engine or a share that is not above 0 and at most 1.
    """
    if not 0 < coded_share <= 1:
        raise LinksimError(f"{name}: coded share {float(coded_share)}: expected above 0, at most 1")
    core = engine_record(engine)
    rate = core.encoder_bytes_per_second
    needed = float(box.link.payload_bytes_per_second / coded_share)
    copies = 1 if rate is None else ceil_div(round(needed), rate)
    return LosslessSum(name=name, coded_share=coded_share, engine=core.replicated(copies))


def all_reduce_ps(box: Box, method: Method, nbytes: int) -> int:
    """Time of an all-reduce of *nbytes* of bf16 over the GPUs of *box*, simulated.

    LinksimError for a size that is no whole number of values, or a hierarchical sum on a box of
    one side.
    """
    elements = _elements(nbytes)
    rounds = isinstance(method, TwoStepSum)
    return simulate(_tasks(box, method, elements), box.network(rounds=rounds)).makespan_ps


def all_to_all_ps(box: Box, method: LibrarySum | TwoStepSum, nbytes: int) -> int:
    """Time in which every GPU of *box* sends all others their parts of *nbytes* of bf16."""
    elements = _elements(nbytes)
    if isinstance(method, TwoStepSum):
        tasks = all_to_all_tasks(box, method.quantizer, elements)
    else:
        tasks = _library_tasks(box, "all_to_all", nbytes, box.endpoint)
    return simulate(tasks, box.network(rounds=True)).makespan_ps


def _elements(nbytes: int) -> int:
    if nbytes < BF16_NBYTES or nbytes % BF16_NBYTES:
        raise LinksimError(f"{nbytes} bytes of bf16: expected a multiple of 2 from 2 on")
    return nbytes // BF16_NBYTES


def _tasks(box: Box, method: Method, elements: int) -> Sequence[Task]:
    if isinstance(method, TwoStepSum):
        return two_step_tasks(box, method.quantizer, elements)
    if isinstance(method, HierarchicalSum):
        return hierarchical_tasks(box, method.quantizer, elements, chunks=method.chunks)
    nbytes = elements * BF16_NBYTES
    if isinstance(method, LibrarySum):
        return _library_tasks(box, "all_reduce", nbytes, box.endpoint)
    return _lossless_tasks(box, method, nbytes)


def _library_tasks(
    box: Box, op: str, nbytes: int, endpoint: EndpointRecord, coded_nbytes: int | None = None
) -> list[Task]:
    """The tasks of *op* on the path that is fastest for *coded_nbytes*, by default *nbytes*."""
    sized = Collective(op, box.card.gpus, coded_nbytes or nbytes)
    ((path, _),) = fastest_paths(endpoint, [sized])
    whole = Collective(op, box.card.gpus, nbytes)
    return collective_tasks(endpoint, box.link, whole, path, box.ranks)


def _lossless_tasks(box: Box, method: LosslessSum, nbytes: int) -> list[Task]:
    endpoint = box.endpoint.model_copy(update={"in_switch": None})
    coded_nbytes = max(1, int(nbytes * method.coded_share))
    return [
        replace(task, coding=_coded(task.coding, method)) if isinstance(task, Transfer) else task
        for task in _library_tasks(box, "all_reduce", nbytes, endpoint, coded_nbytes)
    ]


def _coded(coding: Coding, method: LosslessSum) -> Coding:
    """What the coder makes of a message, chunk by chunk."""
    raw = coding.raw_total
    if not raw:
        return coding
    sizes = np.full(ceil_div(raw, SEGMENT_NBYTES), SEGMENT_NBYTES, np.int64)
    sizes[-1] = raw - SEGMENT_NBYTES * (len(sizes) - 1)
    # The protocol inflates coded bytes as it does plain ones.
    share = float(method.coded_share) * coding.wire_total / raw
    wire = np.maximum(1, np.ceil(sizes * share).astype(np.int64))
    return Coding(sizes, wire, method.engine)
