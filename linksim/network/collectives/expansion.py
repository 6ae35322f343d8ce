"""Collectives with values: tensors carried over a schedule, partial sums and all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.network.collectives.moves import Schedule
from linksim.network.collectives.planning import FROM_ONE_RANK, Elements, check, schedule
from linksim.network.topology import SWITCH

Values = NDArray[Any]
"""A tensor or a part of it, in the tensor's dtype."""

RoundTrip = Callable[[Values], Values]
"""What encoding and decoding make of values: those very values, but for a lossy codec."""

_SUMS = ("all_reduce", "reduce_scatter")


@dataclass(frozen=True, eq=False)
class Hop:
    """One message of a collective."""

    id: str
    """Unique in the collective: `rs1.gpu0` is what gpu0 sends in step 1 of a reduce-scatter."""
    source: str
    destination: str
    values: Values
    """Flat, in the tensors' dtype."""
    after: tuple[str, ...]
    """Ids of the hops that must have been delivered before."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """A collective's hops, in an order that respects `after`, and what every rank ends up with."""

    hops: tuple[Hop, ...]
    result: Mapping[str, Values]
    """By rank, flat. A send's holds the destination alone."""


def add(received: Values, own: Values) -> Values:
    """One step of a reduction: float32 sum, rounded to the dtype of *own*."""
    with np.errstate(over="ignore", invalid="ignore"):
        total: Values = received.astype(np.float32) + own.astype(np.float32)
        return total.astype(own.dtype)


def identity(values: Values) -> Values:
    """The round trip of lossless coding: what is sent arrives."""
    return values


def expand(
    op: str,
    ranks: Sequence[str],
    tensors: Mapping[str, Values],
    round_trip: RoundTrip = identity,
    *,
    algorithm: str | None = None,
    chunk_nbytes: int | None = None,
    groups: Sequence[Sequence[str]] | None = None,
    switch: str = SWITCH,
    keep_float32: bool = False,
) -> Expansion:
    """The hops of collective *op* among *ranks* over their *tensors* (any shape), and its result.

    - `send`: the first rank's tensor to the second; `broadcast`: to all others.
    - `reduce_scatter`: rank j ends with piece j of the sum, cut as `numpy.array_split` cuts.
    - `all_gather`: all end with the tensors joined in rank order.
    - `all_reduce`: all end with the sum.
    - `all_to_all`: every rank cuts its tensor on axis 0 and sends piece j to rank j; it ends with
      the pieces meant for it joined in rank order, its own among them.

    *algorithm*, *groups* and *switch* are as for `schedule`; the algorithm's own function says in
    which order it adds. Chunks have *chunk_nbytes* of uncompressed values, rounded down to whole
    values. For sums and *round_trip*, see `carry`.

    LinksimError as for `schedule`, and for ranks without tensors, tensors that do not match,
    chunks of less than one value, and integers where a sum is asked for.
    """
    check(op, ranks, algorithm)
    _check_tensors(op, ranks, tensors)
    plan = schedule(
        op,
        ranks=ranks,
        elements=_elements(op, ranks, tensors),
        algorithm=algorithm,
        chunk_elements=_chunk_elements(op, tensors[ranks[0]].dtype, chunk_nbytes),
        groups=groups,
        switch=switch,
    )
    return carry(plan, tensors, round_trip, keep_float32=keep_float32)


def carry(
    plan: Schedule,
    tensors: Mapping[str, Values],
    round_trip: RoundTrip = identity,
    *,
    keep_float32: bool = False,
) -> Expansion:
    """*tensors* carried over *plan*, whose `inputs` say which ranks have one, of which size.

    Every addition is in float32. Its sum is rounded to the tensors' dtype at once; with
    *keep_float32* the rank or switch that adds keeps it as it is, and rounds what it sends and the
    result. For one addition per message, as in a ring, both are the same.

    *round_trip* stands for a lossy codec: what arrives is added and sent on, error and all, so that
    ranks may end an all-reduce with different values. Without one they are the same to the bit.
    LinksimError for tensors that are not as the schedule has them.
    """
    for rank, part in plan.inputs.items():
        if rank not in tensors or tensors[rank].size != len(part):
            raise LinksimError(f"{plan.op}: rank {rank!r}: expected a tensor of {len(part)} values")
    dtype = tensors[next(iter(plan.inputs))].dtype
    wide = keep_float32 and plan.op in _SUMS
    overwritten = _overwritten(plan)
    buffers = _buffers(plan, tensors, np.dtype(np.float32) if wide else dtype)
    hops = []
    for move, is_overwritten in zip(plan.moves, overwritten, strict=True):
        values = buffers[move.source][_slice(move.source_range)]
        if move.is_message:
            values = values.astype(dtype, copy=is_overwritten)
            hops.append(Hop(move.id, move.source, move.destination, values, move.after))
            values = round_trip(values)
        held = buffers[move.destination][_slice(move.destination_range)]
        held[:] = add(values, held) if move.adds else values
    return Expansion(
        tuple(hops),
        {
            rank: buffers[rank][_slice(part)].astype(dtype, copy=False)
            for rank, part in plan.outputs.items()
        },
    )


def _buffers(
    plan: Schedule, tensors: Mapping[str, Values], dtype: np.dtype[Any]
) -> dict[str, Values]:
    """Every node's buffer with its tensor in place: the tensor itself where nothing is written."""
    written = {move.destination for move in plan.moves}
    buffers = {}
    for node, size in plan.nelements.items():
        part = plan.inputs.get(node)
        if part is not None and node not in written and len(part) == size:
            buffers[node] = tensors[node].reshape(-1)
            continue
        buffers[node] = np.zeros(size, dtype)
        if part is not None:
            buffers[node][_slice(part)] = tensors[node].reshape(-1)
    return buffers


def _overwritten(plan: Schedule) -> list[bool]:
    """For every move, whether a later one changes what it reads; else its values need no copy."""
    later = {node: np.zeros(size, bool) for node, size in plan.nelements.items()}
    changes = []
    for move in reversed(plan.moves):
        changes.append(bool(later[move.source][_slice(move.source_range)].any()))
        later[move.destination][_slice(move.destination_range)] = True
    return changes[::-1]


def _slice(part: range) -> slice:
    return slice(part.start, part.stop)


def _elements(op: str, ranks: Sequence[str], tensors: Mapping[str, Values]) -> Elements:
    """Sizes as `schedule` takes them."""
    if op == "all_gather":
        return [tensors[rank].size for rank in ranks]
    if op == "all_to_all":
        cuts = [np.array_split(np.atleast_1d(tensors[rank]), len(ranks)) for rank in ranks]
        return [[piece.size for piece in pieces] for pieces in cuts]
    return tensors[ranks[0]].size


def _chunk_elements(op: str, dtype: np.dtype[Any], chunk_nbytes: int | None) -> int | None:
    if chunk_nbytes is None:
        return None
    # Formats below 8 bits have a byte each in memory, but not on a wire.
    bits = 8 * dtype.itemsize
    if dtype.kind in "fV":
        bits = int(ml_dtypes.finfo(dtype).bits)  # type: ignore[no-untyped-call]
    if chunk_nbytes * 8 < bits:
        raise LinksimError(
            f"{op}: chunks of {chunk_nbytes} bytes: expected room for one {dtype} or more"
        )
    return chunk_nbytes * 8 // bits


def _check_tensors(op: str, ranks: Sequence[str], tensors: Mapping[str, Values]) -> None:
    carriers = ranks[:1] if op in FROM_ONE_RANK else ranks
    for rank in carriers:
        if rank not in tensors:
            raise LinksimError(f"{op}: rank {rank!r} has no tensor")
    first = tensors[carriers[0]]
    for rank in carriers[1:]:
        other = tensors[rank]
        if other.dtype != first.dtype or (op in _SUMS and other.shape != first.shape):
            raise LinksimError(
                f"{op}: ranks {carriers[0]!r} and {rank!r} have {first.dtype} {first.shape} and "
                f"{other.dtype} {other.shape}: expected tensors that match"
            )
    if op in _SUMS and np.issubdtype(first.dtype, np.integer):
        raise LinksimError(f"{op}: {first.dtype} has no sum here: expected a float dtype")
