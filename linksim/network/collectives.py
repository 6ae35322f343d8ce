"""Collectives as schedules of hops whose values are the true ones, partial sums included.

Rings go from each rank to the next in the order given. A flat tensor is cut into as many pieces as
there are ranks, as `numpy.array_split` cuts; piece i is rank i's own. An empty piece is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError

Values = NDArray[Any]
"""A tensor or a part of it, in the tensor's dtype."""

RoundTrip = Callable[[Values], Values]
"""What encoding and decoding make of values: those very values, but for a lossy codec."""


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


class _Ring:
    """Pieces held by ranks, and the hops that moved them: *pieces[i][j]* is rank i's piece j."""

    def __init__(self, ranks: Sequence[str], pieces: list[list[Values]], round_trip: RoundTrip):
        self._ranks = ranks
        self._pieces = pieces
        self._round_trip = round_trip
        self._arrived_by: dict[tuple[int, int], str] = {}
        self.hops: list[Hop] = []

    def _steps(self, phase: str, first: int) -> Iterator[tuple[int, int, Values]]:
        """Receiver, piece and received values of every hop, step by step.

        In step 0 rank i sends piece i + *first*, afterwards the piece it has just received.
        """
        n = len(self._ranks)
        for step in range(n - 1):
            # All hops of a step leave before any of them arrives.
            sent = [(i, (i + first - step) % n) for i in range(n)]
            outgoing = [self._pieces[i][piece] for i, piece in sent]
            for (i, piece), values in zip(sent, outgoing, strict=True):
                if not values.size:
                    continue
                before = self._arrived_by.get((i, piece))
                hop_id = f"{phase}{step}.{self._ranks[i]}"
                after = () if before is None else (before,)
                receiver = (i + 1) % n
                self.hops.append(Hop(hop_id, self._ranks[i], self._ranks[receiver], values, after))
                self._arrived_by[receiver, piece] = hop_id
                yield receiver, piece, self._round_trip(values)

    def reduce_scatter(self) -> None:
        """Piece j starts at rank j + 1 and comes home to rank j with every rank's addend in it."""
        for receiver, piece, received in self._steps("rs", -1):
            self._pieces[receiver][piece] = add(received, self._pieces[receiver][piece])

    def all_gather(self) -> None:
        """Piece j starts at rank j and goes round to all others."""
        for receiver, piece, received in self._steps("ag", 0):
            self._pieces[receiver][piece] = received


def add(received: Values, own: Values) -> Values:
    """One step of a reduction: float32 sum, rounded to the tensors' dtype."""
    with np.errstate(over="ignore", invalid="ignore"):
        total: Values = received.astype(np.float32) + own.astype(np.float32)
        return total.astype(own.dtype)


def identity(values: Values) -> Values:
    """The round trip of lossless coding: what is sent arrives."""
    return values


def expand(
    op: str, ranks: Sequence[str], tensors: Mapping[str, Values], round_trip: RoundTrip = identity
) -> Expansion:
    """The hops of collective *op* among *ranks* over their *tensors* (any shape), and its result.

    - `send`: the first rank's tensor to the second.
    - `reduce_scatter`: ring of n - 1 steps. Rank j ends with piece j of the sum, added in the order
      (((x[j+1] + x[j+2]) + ...) + x[j]) of ranks, in float32 and rounded to the dtype at every hop.
    - `all_gather`: ring of n - 1 steps; all end with the tensors joined in rank order.
    - `all_reduce`: ring reduce-scatter, then ring all-gather of its pieces.
    - `all_to_all`: every rank cuts its tensor on axis 0 and sends piece j to rank j directly; it
      ends with the pieces meant for it joined in rank order, its own among them.

    *round_trip* stands for a lossy codec: what arrives is added and sent on, error and all, so that
    ranks may end an all-reduce with different values. Without one they are the same to the bit.
    LinksimError for an unknown op, ranks without tensors, tensors that do not match, and integers
    where a sum is asked for.
    """
    if op not in _OPS:
        raise LinksimError(f"unknown collective {op!r}: expected one of {', '.join(_OPS)}")
    _check(op, ranks, tensors)
    return _OPS[op](ranks, tensors, round_trip)


def _send(ranks: Sequence[str], tensors: Mapping[str, Values], round_trip: RoundTrip) -> Expansion:
    source, destination = ranks
    values = tensors[source].reshape(-1)
    hops = (Hop("send", source, destination, values, ()),) if values.size else ()
    return Expansion(hops, {destination: round_trip(values) if values.size else values})


def _reduce_scatter(
    ranks: Sequence[str], tensors: Mapping[str, Values], round_trip: RoundTrip
) -> Expansion:
    pieces = [np.array_split(tensors[rank].reshape(-1), len(ranks)) for rank in ranks]
    ring = _Ring(ranks, pieces, round_trip)
    ring.reduce_scatter()
    return Expansion(tuple(ring.hops), {rank: pieces[i][i] for i, rank in enumerate(ranks)})


def _all_gather(
    ranks: Sequence[str], tensors: Mapping[str, Values], round_trip: RoundTrip
) -> Expansion:
    flat = [tensors[rank].reshape(-1) for rank in ranks]
    pieces = [[part[:0] for part in flat] for _ in ranks]
    for i, own in enumerate(flat):
        pieces[i][i] = own
    ring = _Ring(ranks, pieces, round_trip)
    ring.all_gather()
    return Expansion(tuple(ring.hops), _joined(ranks, pieces))


def _all_reduce(
    ranks: Sequence[str], tensors: Mapping[str, Values], round_trip: RoundTrip
) -> Expansion:
    pieces = [np.array_split(tensors[rank].reshape(-1), len(ranks)) for rank in ranks]
    ring = _Ring(ranks, pieces, round_trip)
    ring.reduce_scatter()
    ring.all_gather()
    return Expansion(tuple(ring.hops), _joined(ranks, pieces))


def _all_to_all(
    ranks: Sequence[str], tensors: Mapping[str, Values], round_trip: RoundTrip
) -> Expansion:
    n = len(ranks)
    pieces = [[part.reshape(-1) for part in np.array_split(tensors[rank], n)] for rank in ranks]
    hops = []
    # In step s every rank sends to the s-th after it, so that no receiver is everyone's first.
    for step in range(1, n):
        for i, source in enumerate(ranks):
            j = (i + step) % n
            if pieces[i][j].size:
                hops.append(Hop(f"a2a{step}.{source}", source, ranks[j], pieces[i][j], ()))
                pieces[i][j] = round_trip(pieces[i][j])
    return Expansion(
        tuple(hops), _joined(ranks, [list(to_j) for to_j in zip(*pieces, strict=True)])
    )


def _joined(ranks: Sequence[str], pieces: list[list[Values]]) -> dict[str, Values]:
    return {rank: np.concatenate(pieces[i]) for i, rank in enumerate(ranks)}


_OPS: dict[str, Callable[[Sequence[str], Mapping[str, Values], RoundTrip], Expansion]] = {
    "send": _send,
    "all_reduce": _all_reduce,
    "all_gather": _all_gather,
    "reduce_scatter": _reduce_scatter,
    "all_to_all": _all_to_all,
}


def _check(op: str, ranks: Sequence[str], tensors: Mapping[str, Values]) -> None:
    if len(ranks) < 2 or len(set(ranks)) != len(ranks) or (op == "send" and len(ranks) != 2):
        count = "two" if op == "send" else "two or more"
        raise LinksimError(f"{op} among {list(ranks)}: expected {count} ranks, each named once")
    carriers = ranks[:1] if op == "send" else ranks
    for rank in carriers:
        if rank not in tensors:
            raise LinksimError(f"{op}: rank {rank!r} has no tensor")
    first = tensors[carriers[0]]
    reduces = op in ("all_reduce", "reduce_scatter")
    for rank in carriers[1:]:
        other = tensors[rank]
        if other.dtype != first.dtype or (reduces and other.shape != first.shape):
            raise LinksimError(
                f"{op}: ranks {carriers[0]!r} and {rank!r} have {first.dtype} {first.shape} and "
                f"{other.dtype} {other.shape}: expected tensors that match"
            )
    if reduces and np.issubdtype(first.dtype, np.integer):
        raise LinksimError(f"{op}: {first.dtype} has no sum here: expected a float dtype")
