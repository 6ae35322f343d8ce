"""Tensor-parallel partial sums of a trace: what its all-reduces add."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import ml_dtypes

from linksim.errors import LinksimError
from linksim.network.collectives.expansion import Values
from linksim.traces.store import Trace


@dataclass(frozen=True, eq=False)
class Addends:
    """The tensors of one all-reduce."""

    name: str
    kind: str
    tensors: dict[str, Values]
    """By rank, bf16, all of one shape."""


def addends_of(trace: Trace, batches: Iterable[int] | None = None) -> list[Addends]:
    """The bf16 all-reduces of *trace*, in order, of *batches* if they are given.

    LinksimError if there are none.
    """
    wanted = None if batches is None else set(batches)
    found = []
    for event in trace.communications():
        if event.op != "all_reduce" or (wanted is not None and event.batch not in wanted):
            continue
        tensors = {rank: trace.tensor(event.tensors[rank]) for rank in event.ranks}
        if all(tensor.dtype == ml_dtypes.bfloat16 for tensor in tensors.values()):
            kind = trace.record(event.tensors[event.ranks[0]]).kind
            found.append(Addends(event.id, kind, tensors))
    if not found:
        which = "" if wanted is None else f" of batch {', '.join(map(str, sorted(wanted)))}"
        raise LinksimError(f"{trace.path}: no all-reduce of bf16 tensors{which}")
    return found


def regrouped(found: list[Addends], ranks: int) -> list[Addends]:
    """The same tensors as all-reduces of *ranks* ranks, called rank0, rank1 and so on.

    Tensors of one kind and shape are taken in order, *ranks* at a time, all-reduce after
    all-reduce; what is left over at the end is dropped. LinksimError if there are too few.
    """
    if ranks < 2:
        raise LinksimError(f"{ranks} ranks: expected 2 or more")
    pools: dict[tuple[str, tuple[int, ...]], list[Values]] = {}
    for one in found:
        for tensor in one.tensors.values():
            pools.setdefault((one.kind, tensor.shape), []).append(tensor)
    made = [
        Addends(
            f"{kind}.{start // ranks}",
            kind,
            {f"rank{i}": tensor for i, tensor in enumerate(pool[start : start + ranks])},
        )
        for (kind, _), pool in pools.items()
        for start in range(0, len(pool) - ranks + 1, ranks)
    ]
    if not made:
        largest = max(len(pool) for pool in pools.values())
        raise LinksimError(f"{ranks} ranks: the trace has {largest} partial sums of one kind")
    return made
