"""When a side of a stream takes part: patterns of bubbles and back-pressure, by name."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Pattern = Callable[[int, bool], bool]
"""Whether to take part in cycle number n; the flag says that the other side was left waiting in the
cycle before."""


def always(cycle: int, waiting: bool) -> bool:
    return True


def every_second(cycle: int, waiting: bool) -> bool:
    return bool(cycle & 1)


def long_pauses(cycle: int, waiting: bool) -> bool:
    """64 cycles on, 24 off."""
    return cycle % 88 < 64


def after_a_refusal(cycle: int, waiting: bool) -> bool:
    """Lets the other side wait exactly one cycle, every time."""
    return waiting


def at_random(numerator: int, denominator: int, seed: int) -> Pattern:
    """*numerator* cycles of *denominator*."""
    random = Random(seed)  # noqa: S311
    return lambda cycle, waiting: random.randrange(denominator) < numerator


def bursts(seed: int) -> Pattern:
    """On and off for 1 to 20 cycles at a time."""
    random = Random(seed)  # noqa: S311
    left, on = 0, False

    def step(cycle: int, waiting: bool) -> bool:
        nonlocal left, on
        if not left:
            left, on = random.randint(1, 20), not on
        left -= 1
        return on

    return step


def patterns(seed: int) -> dict[str, Pattern]:
    """Every pattern, fresh, with its draws from *seed*."""
    return {
        "always": always,
        "every second cycle": every_second,
        "after a refusal": after_a_refusal,
        "one cycle in eight": at_random(1, 8, seed),
        "half of the cycles": at_random(1, 2, seed + 1),
        "seven cycles in eight": at_random(7, 8, seed + 2),
        "bursts": bursts(seed + 3),
        "long pauses": long_pauses,
    }


PATTERNS = tuple(patterns(0))
OFFERS = tuple(name for name in PATTERNS if name != "after a refusal")
"""What a driver can follow: it must not wait for ready."""
