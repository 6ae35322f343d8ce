"""When the encoder's words leave, computed from code lengths alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.huffman.shape import LinkShape


def cost_registers(values_per_cycle: int) -> tuple[int, ...]:
    """Levels of the cutter's sums of costs, from 1, behind which registers stand."""
    levels = (values_per_cycle - 1).bit_length()
    if levels <= 3:
        return (1, levels)
    return tuple(sorted({2, 4, levels}))


def cutter_latency(values_per_cycle: int) -> int:
    """Cycles from a row to where its flits are cut: sums, comparison."""
    return len(cost_registers(values_per_cycle)) + 1


def length_registers(values_per_cycle: int) -> tuple[int, ...]:
    """Levels of the packer's sums of lengths, from 1, behind which registers stand."""
    levels = (values_per_cycle - 1).bit_length()
    return (levels,) if levels <= 3 else ((levels + 1) // 2, levels)


def sums_latency(values_per_cycle: int) -> int:
    """Cycles from a row whose flits are known to its sums of lengths."""
    return 1 + len(length_registers(values_per_cycle))


def tree_registers(values_per_cycle: int) -> tuple[int, ...]:
    """Levels of the packer's tree, from 1, behind which registers stand."""
    levels = (values_per_cycle - 1).bit_length()
    if levels == 2:
        return (1, 2)
    return tuple(range(2 - levels % 2, levels + 1, 2))


def packer_latency(values_per_cycle: int) -> int:
    """Cycles from a row whose flits are known to its bits: look-up, sums, places, tree."""
    return sums_latency(values_per_cycle) + 1 + len(tree_registers(values_per_cycle))


def flit_values(shape: LinkShape, lengths: NDArray[np.integer]) -> list[int]:
    """How many values every flit of a message holds, from the code length of each value."""
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    most = np.arange(1, shape.max_values + 1)
    framing = most * shape.rest_bits + np.array(
        [8 * shape.table_nbytes((count - 1) // shape.run_symbols) for count in most]
    )
    flits, start, total = [], 0, len(lengths)
    while start < total:
        bits = ends[start + 1 : start + 1 + shape.max_values] - ends[start]
        fitting = int(np.count_nonzero(bits + framing[: len(bits)] <= shape.body_bits))
        flits.append(max(fitting, min(shape.raw_values, total - start)))
        start += flits[-1]
    return flits


@dataclass(frozen=True)
class Passage:
    """Cycles from the one in which a message's first row is taken, which is 0."""

    rows: list[int]
    """In which each row is taken."""
    words: list[int]
    """In which each word is taken."""


@dataclass(frozen=True)
class EncoderTiming:
    """The encoder's cycles for a message that is offered row upon row, from idle, and whose words
    are taken at once: exactly those of the core.

    A row leaves the planner a fixed number of rows after it came, but not where it would close a
    flit less than *words_per_flit* cycles after the last one closed.
    """

    shape: LinkShape

    @property
    def holds(self) -> int:
        """Rows between the one that comes and the one that leaves the planner."""
        return cutter_latency(self.shape.values_per_cycle) + self.shape.flit_rows

    @property
    def latency(self) -> int:
        """From the row that closes a flit to the flit's first word."""
        return self.holds + packer_latency(self.shape.values_per_cycle) + 1

    def passage(self, flits: Sequence[int]) -> Passage:
        """For a message of flits of so many values, see `flit_values`."""
        width, words = self.shape.values_per_cycle, self.shape.words_per_flit
        if not flits:
            return Passage([], [])
        ends = np.cumsum(flits)
        rows = -(-int(ends[-1]) // width)
        # A flit closes in the row that the next one opens in; the last one behind the last row.
        closing = [*(int(end) // width for end in ends[:-1]), rows]
        moved: list[int] = []
        last, closed = -words, iter(closing)
        due = next(closed)
        for step in range(rows + 1 + self.holds):
            cycle = moved[-1] + 1 if moved else 0
            if step - self.holds == due:
                cycle = last = max(cycle, last + words)
                due = next(closed, -1)
            moved.append(cycle)
        behind = self.latency - self.holds
        leaving = [moved[row + self.holds] + behind for row in closing]
        return Passage(moved[:rows], [cycle + k for cycle in leaving for k in range(words)])
