"""Groups that make a quantizer go wrong if anything does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize import GroupQuantizer, QuantizedGroups, Spikes

NAN, INFINITY, LARGEST, NEGATIVE_ZERO = 0x7FC0, 0x7F80, 0x7F7F, 0x8000


def patterns_of(numbers: NDArray[np.floating]) -> NDArray[np.uint16]:
    """bf16 patterns of float32 numbers, cut."""
    return (numbers.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _drawn(rng: np.random.Generator, group: int, lowest: int, highest: int) -> NDArray[np.uint16]:
    """Finite patterns of either sign with exponents from *lowest* to *highest*."""
    exponents = rng.integers(lowest, highest + 1, group)
    rest = rng.integers(0, 128, group) | rng.integers(0, 2, group) << 15
    return (exponents << 7 | rest).astype(np.uint16)


def hostile_groups(group: int, seed: int, repeats: int = 2) -> NDArray[np.uint16]:
    """uint16 [groups, group]."""
    rng = np.random.default_rng(seed)
    groups: list[NDArray[Any]] = []
    for constant in (0, NEGATIVE_ZERO, 1, 0x3F80, 0xBF81, LARGEST, LARGEST | 0x8000):
        groups.append(np.full(group, constant))
    for _ in range(repeats):
        normal = rng.standard_normal(group)
        groups += [patterns_of(normal), patterns_of(np.abs(normal) * 2.0**-60)]
        groups.append(patterns_of(np.where(rng.random(group) < 0.05, 100, 1) * normal))
        # Halves of integers that span 15 steps: every second one is a tie at 4 bits.
        groups.append(patterns_of(np.r_[-7.0, 8.0, rng.integers(-14, 17, group - 2) / 2]))
        base = rng.integers(0x0100, 0x7F00)
        groups.append(base + rng.integers(0, 2, group))
        groups.append((base | 0x8000) + rng.integers(0, 3, group))
        groups.append(rng.integers(0, 2, group) << 15)
        groups.append(rng.integers(0, 0x80, group) | rng.integers(0, 2, group) << 15)
        groups += [_drawn(rng, group, *ends) for ends in ((250, 254), (20, 40), (0, 254))]
        top = int(rng.integers(40, 250))
        groups += [_drawn(rng, group, top - reach, top) for reach in (1, 4, 9, 20)]
        groups.append(_drawn(rng, group, top - 6, top) | 0x8000)
        for odd in (NAN, NAN | 0x8000, INFINITY, INFINITY | 0x8000):
            spoilt = _drawn(rng, group, top - 3, top)
            spoilt[rng.integers(group)] = odd
            groups.append(spoilt)
    return np.array(groups).astype(np.uint16)


def rows_of(patterns: NDArray[np.uint16], width: int, groups_per_message: int) -> list[Any]:
    """Payloads of a quantizer's input; every message but the last has as many groups."""
    rows = patterns.shape[1] // width
    ending = groups_per_message * rows
    payloads = []
    for number, row in enumerate(patterns.reshape(-1, width)):
        payloads.append({"values": row.tolist(), "last": int(number % ending == ending - 1)})
    return payloads


def shared_of(groups: QuantizedGroups, number: int) -> dict[str, int]:
    """What group *number* shares, by the names of the hardware's fields."""
    fields = {"scale": int(groups.scale[number]), "zero": int(groups.zero[number])}
    if groups.spikes is not None:
        for name in ("low", "high", "low_index", "high_index"):
            fields[name] = int(getattr(groups.spikes, name)[number])
    return fields


def any_groups(definition: GroupQuantizer, seed: int, count: int) -> QuantizedGroups:
    """Groups of any scale, zero and codes, most of which no quantizer makes."""
    rng = np.random.default_rng(seed)
    unused = 7 - definition.scale_fraction_bits
    scale = (rng.integers(0, 1 << 16, count) >> unused << unused).astype(np.uint16)
    scale[::3] = scale[::3] & 0xFF | rng.choice([0, 1, 8, 246, 254, 255], len(scale[::3])) << 7
    if definition.has_zero_point:
        zero = rng.integers(0, 1 << definition.bits, count)
    else:
        # Minima near their scales, and far away.
        distance = rng.choice([-300, -20, -10, -1, 0, 3, 8, 15, 16, 17, 30], count)
        exponents = ((scale >> 7 & 255) + distance).clip(0, 255)
        zero = exponents << 7 | rng.integers(0, 128, count) | rng.integers(0, 2, count) << 15
    spikes = None
    if definition.spikes:
        low_index = rng.integers(0, definition.group, count)
        high_index = (low_index + rng.integers(1, definition.group, count)) % definition.group
        spikes = Spikes(
            low=rng.integers(0, 1 << 16, count).astype(np.uint16),
            high=rng.integers(0, 1 << 16, count).astype(np.uint16),
            low_index=low_index.astype(np.uint8),
            high_index=high_index.astype(np.uint8),
        )
    codes = rng.integers(0, 1 << definition.bits, (count, definition.group))
    return QuantizedGroups(
        scale=scale, zero=zero.astype(np.uint16), codes=codes.astype(np.uint8), spikes=spikes
    )
