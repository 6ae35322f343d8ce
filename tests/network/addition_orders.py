"""Sums of whole tensors in NumPy, in the order that each collective algorithm documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.generic]
Plus = Callable[[Tensor, Tensor], Tensor]
"""What a node holds, plus what it receives."""


def plus_for(dtype: np.dtype, *, keep_float32: bool) -> Plus:
    """What is received has been sent in *dtype*; what is held is rounded to it or kept."""

    def plus(held: Tensor, received: Tensor) -> Tensor:
        total = held.astype(np.float32) + received.astype(dtype).astype(np.float32)
        return total if keep_float32 else total.astype(dtype)

    return plus


def rank_order(tensors: Sequence[Tensor], plus: Plus) -> Tensor:
    return reduce(plus, tensors)


def ring(tensors: Sequence[Tensor], plus: Plus) -> Tensor:
    n = len(tensors)
    pieces = [np.array_split(tensor, n) for tensor in tensors]
    sums = []
    for j in range(n):
        total = pieces[(j + 1) % n][j]
        for k in range(j + 2, j + n + 1):
            total = plus(pieces[k % n][j], total)
        sums.append(total)
    return np.concatenate(sums)


def halving(tensors: Sequence[Tensor], plus: Plus) -> Tensor:
    n = len(tensors)
    m = max(k for k in (1, 2, 4, 8, 16) if k <= n)
    helpers = n - m
    held = [plus(tensors[2 * k + 1], tensors[2 * k]) for k in range(helpers)]
    held += tensors[2 * helpers :]
    distance = m // 2
    while distance:
        held = [plus(held[w], held[w ^ distance]) for w in range(m)]
        distance //= 2
    sums = [np.array_split(total, n) for total in held]
    worker = [k // 2 if k < 2 * helpers else k - helpers for k in range(n)]
    return np.concatenate([sums[worker[j]][j] for j in range(n)])


def tree(tensors: Sequence[Tensor], plus: Plus, i: int = 0) -> Tensor:
    total = tensors[i]
    for child in (2 * i + 1, 2 * i + 2):
        if child < len(tensors):
            total = plus(total, tree(tensors, plus, child))
    return total


def double_tree(tensors: Sequence[Tensor], plus: Plus) -> Tensor:
    first, second = zip(*(np.array_split(tensor, 2) for tensor in tensors), strict=True)
    return np.concatenate([tree(first, plus), tree(second[::-1], plus)])


def hierarchical(groups: Sequence[Sequence[Tensor]], plus: Plus) -> Tensor:
    size = len(groups[0])
    inside = [np.array_split(ring(group, plus), size) for group in groups]
    return np.concatenate([ring([group[j] for group in inside], plus) for j in range(size)])


ORDERS = {
    ("all_reduce", "ring"): ring,
    ("all_reduce", "halving-doubling"): halving,
    ("all_reduce", "tree"): tree,
    ("all_reduce", "double-tree"): double_tree,
    ("all_reduce", "direct"): rank_order,
    ("all_reduce", "in-switch"): rank_order,
    ("all_reduce", "hierarchical"): hierarchical,
    ("reduce_scatter", "ring"): ring,
    ("reduce_scatter", "direct"): rank_order,
    ("reduce_scatter", "halving"): halving,
}
"""By op and algorithm. `hierarchical` takes the tensors by group."""
