"""Differential evolution: the minimum of a function with many valleys, the same in every run.

R. Storn and K. Price, "Differential evolution - a simple and efficient heuristic for global
optimization over continuous spaces", Journal of Global Optimization 11, 1997; every trial starts
towards one of the best ("current-to-pbest"): J. Zhang and A. Sanderson, "JADE", 2009.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Loss = Callable[[Floats], Floats]
"""From points, float64 [p, d], to their losses, [p]."""

POPULATION = 96
GENERATIONS = 4000
STALLED_GENERATIONS = 300
"""A start ends when so many generations have brought it less than `STALLED_GAIN`."""
STALLED_GAIN = 1e-5
_BEST = 24
"""Trials start towards one of so many best points."""


def minimise(loss: Loss, low: Floats, high: Floats, *, starts: int, seed: int) -> Floats:
    """The best point found between *low* and *high* (float64 [d] each) in *starts* starts."""
    found = [_start(loss, low, high, np.random.default_rng((seed, k))) for k in range(starts)]
    return min(found, key=lambda pair: pair[1])[0]


def _start(
    loss: Loss, low: Floats, high: Floats, random: np.random.Generator
) -> tuple[Floats, float]:
    points = low + (high - low) * random.random((POPULATION, low.size))
    losses = loss(points)
    stalled, before = 0, float(losses.min())
    for _ in range(GENERATIONS):
        trials = _trials(points, losses, low, high, random)
        trial_losses = loss(trials)
        better = trial_losses <= losses
        points[better], losses[better] = trials[better], trial_losses[better]
        gained = before - float(losses.min()) > STALLED_GAIN
        stalled = 0 if gained else stalled + 1
        before = float(losses.min()) if gained else before
        if stalled == STALLED_GENERATIONS:
            break
    best = int(losses.argmin())
    return points[best], float(losses[best])


def _trials(
    points: Floats, losses: Floats, low: Floats, high: Floats, random: np.random.Generator
) -> Floats:
    """For every point a step towards one of the best and along the difference of two others."""
    count, dimensions = points.shape
    best = points[np.argsort(losses)[:_BEST]][random.integers(0, _BEST, count)]
    one, other = (points[random.permutation(count)] for _ in range(2))
    weight = random.uniform(0.3, 0.9, (count, 1))
    moved = points + weight * (best - points) + weight * (one - other)
    crossed = random.random((count, dimensions)) < random.uniform(0.3, 1, (count, 1))
    crossed[np.arange(count), random.integers(0, dimensions, count)] = True
    trials: Floats = np.clip(np.where(crossed, moved, points), low, high)
    return trials
