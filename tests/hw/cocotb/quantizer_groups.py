"""Groups of bf16 values for the quantizers: special, hostile, at random, and real."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from linksim.codecs.quantize import GroupQuantizer
from linksim.traces import Trace
from tests.hw.cocotb.link_stimuli import TRACE
from tests.hw.cocotb.quantizer_model import Patterns
from tests.hw.quantizer_stimuli import hostile_groups, patterns_of

SPECIAL = (0, 0x8000, 1, 0x8001, 0x7F, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFC1)


class QuantizerStimuli:
    """Draws messages, each uint16 [groups, group]; the same seed gives the same ones."""

    def __init__(self, definition: GroupQuantizer, seed: int):
        self.group = definition.group
        self.top = definition.top_code
        self.seed = seed
        self.rng = np.random.default_rng(seed)

    def directed(self) -> Iterator[Patterns]:
        """Every special value in every place of a group, and kinds of groups by name."""
        groups = []
        for word in SPECIAL:
            for place in range(self.group):
                group = patterns_of(self.rng.standard_normal(self.group))
                group[place] = word
                groups.append(group)
        yield from self._messages(np.array(groups))
        yield from self._messages(hostile_groups(self.group, self.seed))
        yield from self._messages(np.array(list(self._kinds())))
        yield from self._messages(np.array(list(self._levels())))

    def at_random(self, groups: int) -> Iterator[Patterns]:
        """Normal values of many scales, shifted and cut to one side as it comes."""
        values = self.rng.standard_normal((groups, self.group))
        values = values * np.exp2(self.rng.integers(-100, 100, (groups, 1)))
        side = self.rng.integers(0, 3, (groups, 1))
        values = np.where(side == 0, values, np.where(side == 1, np.abs(values), -np.abs(values)))
        yield from self._messages(patterns_of(values))

    def from_trace(self, groups: int, tensors: int | None) -> Iterator[Patterns]:
        """The first *groups* groups of *tensors* tensors of the bundled trace, or of all."""
        trace = Trace.open(TRACE)
        names = [name for name, one in trace.manifest.tensors.items() if one.dtype == "bf16"]
        step = max(1, len(names) // tensors) if tensors else 1
        for name in names[::step]:
            words = np.ravel(trace.tensor(name)).view(np.uint16)[: groups * self.group]
            yield words[: len(words) // self.group * self.group].reshape(-1, self.group)

    def _kinds(self) -> Iterator[Patterns]:
        group, rng = self.group, self.rng
        for word in (0, 0x8000, 0x3F80, 0xC055, 0x7F7F, 0xFF7F):
            yield np.full(group, word, np.uint16)
        yield rng.integers(0, 2, group).astype(np.uint16) << 15
        yield (0x4110 + rng.integers(0, 2, group)).astype(np.uint16)
        yield rng.integers(1, 0x80, group).astype(np.uint16)
        yield rng.choice([0x7F7F, 0xFF7F], group).astype(np.uint16)
        yield np.resize(np.array([0x7F80, 0xFF80, 0x7FC0, 0x3F80], np.uint16), group)
        yield rng.integers(0x0080, 31 << 7, group).astype(np.uint16)

    def _levels(self) -> Iterator[Patterns]:
        """Groups with every code in every place, and every zero point: ramps of whole steps."""
        for low in range(self.top + 1):
            for turn in range(0, self.group, max(1, self.group // 16)):
                ramp = np.arange(self.group) % (self.top + 1) - low
                yield patterns_of(np.roll(ramp, turn).astype(np.float64))

    def _messages(self, groups: Patterns) -> Iterator[Patterns]:
        """*groups* in messages of one to five."""
        start = 0
        while start < len(groups):
            count = int(self.rng.integers(1, 6))
            yield groups[start : start + count].astype(np.uint16)
            start += count
