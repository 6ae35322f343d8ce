"""Times of several tasks that take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

ROUNDS = 7
"""Turns of every task unless said otherwise."""


@dataclass(frozen=True)
class Timing:
    """Seconds that a task took: the best of its turns, and their median."""

    best_s: float
    median_s: float


def take_turns(
    tasks: Mapping[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, Timing]:
    """Times of *tasks*, run A B A B ... *rounds* times after a turn that is not timed."""
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, task in tasks.items():
                start = perf_counter()
                task()
                seconds[name].append(perf_counter() - start)
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(min(took), median(took)) for name, took in seconds.items()}
