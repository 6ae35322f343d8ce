"""When a speculative decoder gives its rows: a model of its control, exact to the cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import HEADER_BITS
from linksim.units import ceil_div

_FINDING = 5
"""Cycles from a block being read to where its code words begin being known."""
_GIVING = 2
"""Cycles from there, and the symbols, to the row."""


@dataclass(frozen=True)
class TimedFlit:
    """A sound flit as far as it takes time."""

    lengths: NDArray[np.int64]
    """Bits of its code words; all S in a raw flit."""
    raw: bool

    def body_nbytes(self, shape: LinkShape) -> int:
        """Header and code words, up to the rest bytes."""
        values = len(self.lengths)
        entries = 0 if self.raw else (values - 1) // shape.run_symbols
        rest_nbytes = values * shape.rest_bits // 8
        return shape.payload_nbytes - rest_nbytes - shape.table_nbytes(entries)

    def blocks(self, shape: LinkShape, bits_per_cycle: int) -> int:
        """Cycles that it takes while nothing waits."""
        return ceil_div(8 * self.body_nbytes(shape), bits_per_cycle)

    def rows(self, shape: LinkShape, bits_per_cycle: int) -> list[int]:
        """Values of its blocks."""
        starts = HEADER_BITS + np.cumsum(self.lengths) - self.lengths
        count = self.blocks(shape, bits_per_cycle)
        return np.bincount(starts // bits_per_cycle, minlength=count).tolist()


@dataclass
class Timeline:
    """Cycles from the first word being offered on."""

    taken: list[int] = field(default_factory=list)
    """In which every word is taken."""
    given: list[int] = field(default_factory=list)
    """In which every row is offered, and taken."""


class _Model:
    """The registers that time depends on."""

    def __init__(self, shape: LinkShape, bits_per_cycle: int, flits: Sequence[TimedFlit]):
        self.shape = shape
        self.bits_per_cycle = bits_per_cycle
        self.rows = [flit.rows(shape, bits_per_cycle) for flit in flits]
        self.bodies = [flit.body_nbytes(shape) for flit in flits]
        self.timeline = Timeline()
        self.cycle = 0
        self.words_left = len(flits) * shape.words_per_flit
        self.used = self.word = 0
        self.ahead = [0, 0]
        self.flits_arrived = 0
        self.arrived: int | None = None
        self.planned: int | None = None
        self.reading: int | None = None
        self.block = 0
        # Blocks in the stages of the start finder; the one whose symbols are known; the one whose
        # symbols are counted.
        self.stages: list[tuple[int, int] | None] = [None] * _FINDING
        self.looked_up: tuple[int, int] | None = None
        self.decoded: tuple[int, int] | None = None
        self._issued: tuple[int, int] | None = None
        self.row_flit: int | None = None
        self.passed_words = self.offset = self.counted = 0

    @property
    def busy(self) -> bool:
        """Whether a row is still to come."""
        here = (self.arrived, self.planned, self.reading, self.looked_up, self.decoded)
        waiting = (*here, *self.stages)
        return self.words_left > 0 or any(item is not None for item in waiting)

    def is_last(self, item: tuple[int, int] | None) -> bool:
        """Whether *item* is the last block of its flit."""
        return item is not None and item[1] == len(self.rows[item[0]]) - 1

    def step(self) -> None:
        """One cycle."""
        words = self.shape.words_per_flit
        accepted = bool(
            self.words_left
            and self.used != words + 1
            and not (self.word == 0 and self.arrived is not None)
        )
        found = self.stages[-1]
        begins = found is not None and found[1] == 0
        waits = begins and self.ahead[1] < words
        released = self._give()
        passed = False
        if not waits:
            passed = self._read()
        if self.looked_up is not None and self.looked_up[1] == 0:
            self.row_flit, self.passed_words = self.looked_up[0], 0
            self.offset, self.counted = self.bodies[self.row_flit], 0
        self.decoded, self.looked_up = self.looked_up, None if waits else found
        if not waits:
            self.stages = [self._issued, *self.stages[:-1]]
        self.used += accepted - released
        self.ahead[0] += accepted - words * passed
        self.ahead[1] += accepted - words * (begins and not waits)
        if accepted:
            self._accept()
        self.cycle += 1

    def _accept(self) -> None:
        self.timeline.taken.append(self.cycle)
        self.words_left -= 1
        if self.word == 0:
            self.arrived = self.flits_arrived
            self.flits_arrived += 1
        self.word = (self.word + 1) % self.shape.words_per_flit

    def _read(self) -> bool:
        """Header and blocks; whether a flit's last block was read."""
        self._issued = None
        passed = False
        free = self.reading is None
        if self.reading is not None:
            item = self.reading, self.block
            if self.ahead[0] >= self._needed(item):
                self._issued = item
                self.block += 1
                passed = free = self.is_last(item)
        if free:
            self.reading, self.planned, self.block = self.planned, None, 0
        if self.planned is None:
            self.planned, self.arrived = self.arrived, None
        return passed

    def _needed(self, item: tuple[int, int]) -> int:
        """Words of the flit that must be there to read a block."""
        words = self.shape.words_per_flit
        if self.is_last(item):
            return words
        bits = (item[1] + 1) * self.bits_per_cycle + self.shape.max_length - 1
        return min(words, ceil_div(bits, 8 * self.shape.word_nbytes))

    def _give(self) -> int:
        """The row of the block whose symbols are known; how many words are released with it."""
        words, last = self.shape.words_per_flit, self.is_last(self.decoded)
        read = last or any(self.is_last(item) for item in (self.looked_up, *self.stages))
        released = 0
        if self.row_flit is not None:
            behind = (self.passed_words + 1) * self.shape.word_nbytes
            if last:
                released = words - self.passed_words
                self.row_flit = None
            elif read and self.passed_words < words and self.offset >= behind:
                released = 1
                self.passed_words += 1
        self.offset += self.counted
        self.counted = 0
        if self.decoded is not None:
            count = self.rows[self.decoded[0]][self.decoded[1]]
            self.counted = count if self.shape.rest_bits else 0
            if count or last:
                self.timeline.given.append(self.cycle + _GIVING)
        return released


def decoding_timeline(
    shape: LinkShape, bits_per_cycle: int, flits: Sequence[TimedFlit]
) -> Timeline:
    """When words are taken and rows given if words are always offered and rows always taken.

    Raises ValueError for an empty sequence of flits.
    """
    if not flits:
        raise ValueError("no flits: expected one or more")
    model = _Model(shape, bits_per_cycle, flits)
    while model.busy:
        model.step()
    return model.timeline
