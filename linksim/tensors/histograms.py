"""Histograms of symbols and what they say: Shannon entropy, cross entropy, KL divergence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Histogram = NDArray[np.int64]
"""Counts per symbol, int64 [alphabet] or [chunks, alphabet]."""


@njit(cache=True, nogil=True)
def _count(symbols: NDArray[np.uint8], chunk: int, counts: NDArray[np.int64]) -> None:
    # Four counters side by side: equal neighbours would otherwise wait for each other's store.
    lanes = np.zeros((4, counts.shape[1]), np.int64)
    for row in range(counts.shape[0]):
        lanes[:] = 0
        start = row * chunk
        stop = min(start + chunk, symbols.size)
        for i in range(start, stop):
            lanes[i & 3, symbols[i]] += 1
        for s in range(counts.shape[1]):
            counts[row, s] = lanes[0, s] + lanes[1, s] + lanes[2, s] + lanes[3, s]


def histogram(symbols: NDArray[np.uint8], alphabet: int = 256) -> Histogram:
    """Counts of *symbols*, uint8 [n] with values below *alphabet*; int64 [alphabet]."""
    counts: Histogram = chunk_histograms(symbols, max(1, symbols.size), alphabet).sum(axis=0)
    return counts


def chunk_histograms(symbols: NDArray[np.uint8], chunk: int, alphabet: int = 256) -> Histogram:
    """One histogram per *chunk* consecutive symbols (the last may hold fewer).

    Returns int64 [ceil(n / chunk), alphabet].
    """
    counts = np.zeros((-(-symbols.size // chunk), alphabet), np.int64)
    _count(np.ascontiguousarray(symbols), chunk, counts)
    return counts


def entropy_bits(counts: NDArray[Any]) -> float:
    """Shannon entropy of a histogram in bits per symbol; 0 for an empty one."""
    total = counts.sum()
    if total == 0:
        return 0.0
    p = counts[counts > 0] / total
    return max(0.0, float(-(p * np.log2(p)).sum()))


def kl_divergence_bits(p_counts: NDArray[Any], q_counts: NDArray[Any]) -> float:
    """KL divergence D(p || q) in bits per symbol of two histograms over one alphabet.

    Symbols that q never saw get half a count, so the result is finite: it is the extra length
    per symbol that an ideal code for q pays on p.
    """
    p = p_counts / max(1, p_counts.sum())
    smoothed = np.where(q_counts > 0, q_counts, 0.5).astype(np.float64)
    q = smoothed / smoothed.sum()
    seen = p > 0
    return max(0.0, float((p[seen] * np.log2(p[seen] / q[seen])).sum()))
