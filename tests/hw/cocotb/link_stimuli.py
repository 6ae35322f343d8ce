"""Messages for the link cores: directed at the corners, adversarial, at random, and real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from linksim.traces import Trace
from tests.hw.cocotb.link_model import LinkCodec, Message

TRACE = Path(__file__).resolve().parents[3] / "traces" / "bundled"


class LinkStimuli:
    """Draws messages for *codec*; the same seed gives the same ones."""

    def __init__(self, codec: LinkCodec, seed: int):
        self.codec = codec
        self.shape = codec.shape
        self.rng = np.random.default_rng(seed)
        self.by_length = [
            {bits: np.flatnonzero(np.array(book.lengths) == bits) for bits in set(book.lengths)}
            for book in codec.books
        ]

    def of_lengths(self, lengths: list[int], slot: int) -> Message:
        """A message whose code words have these lengths, of any symbols that do."""
        of = self.by_length[slot - 1]
        return self._message([int(self.rng.choice(of[bits])) for bits in lengths], slot)

    def directed(self) -> Iterator[Message]:
        """Everything that random draws would seldom meet."""
        for slot, of in enumerate(self.by_length, start=1):
            yield from self._lengths_in_places(slot)
            shortest, longest = min(of), max(of)
            yield self.of_lengths([], slot)
            yield self.of_lengths([longest], slot)
            yield self.of_lengths([longest] * (3 * self.shape.raw_values), slot)
            yield self.of_lengths([shortest] * (2 * self.shape.max_values + 3), slot)
            yield self.of_lengths([shortest, longest] * self.shape.max_values, slot)
            yield from self._whole_flits(slot)
            yield self._raw_between_coded(slot)
            yield self._longest_in_coded(slot)
        yield from self._every_last_bit()
        # Messages of up to two flits, shortest and longest: every number of values at the end.
        for count in range(1, 2 * self.shape.max_values, 3):
            yield self.of_lengths([min(self.by_length[0])] * count, 1)
        for count in range(1, 2 * self.shape.raw_values, 3):
            yield self.of_lengths([max(self.by_length[0])] * count, 1)

    def at_random(self, count: int) -> Iterator[Message]:
        """*count* messages: stretches that code well, badly, anyhow, or with one length."""
        for _ in range(count):
            slot = int(self.rng.integers(1, len(self.by_length) + 1))
            of = self.by_length[slot - 1]
            known = sorted(of)
            lengths: list[int] = []
            for _ in range(int(self.rng.integers(1, 4))):
                kind = self.rng.integers(5)
                size = int(self.rng.integers(1, self.shape.max_values))
                if kind == 4:
                    lengths += [int(self.rng.choice(known))] * (size // 4 + 1)
                    continue
                # Odds 2**-bits, those of a tensor the book is made for; or flat; or the long half.
                odds = [0.5**bits * len(of[bits]) for bits in known]
                if kind == 2:
                    odds = [float(bits > known[len(known) // 2]) for bits in known]
                elif kind == 3:
                    odds = [1.0] * len(known)
                weights = np.array(odds) / sum(odds)
                lengths += self.rng.choice(known, size, p=weights).tolist()
            yield self.of_lengths(lengths, slot)

    def from_trace(self, values: int, tensors: int | None = None) -> Iterator[Message]:
        """The first *values* values of *tensors* tensors of the bundled trace, or of all."""
        view = self.codec.books[0].symbol_view
        trace = Trace.open(TRACE)
        names = [
            name for name, record in trace.manifest.tensors.items() if record.dtype == view.fmt.name
        ]
        step = max(1, len(names) // tensors) if tensors else 1
        for name in names[::step]:
            part = np.ravel(trace.tensor(name))[:values]
            symbols, rest = view.split(np.ascontiguousarray(part))
            yield Message(symbols, rest, int(self.rng.integers(1, len(self.by_length) + 1)))

    def _message(self, symbols: list[int], slot: int) -> Message:
        rest = self.rng.integers(0, 256, len(symbols))
        return Message(np.array(symbols, np.uint8), rest.astype(np.uint8), slot)

    def _lengths_in_places(self, slot: int) -> Iterator[Message]:
        """Every code length in every place of a row, the others as short as possible.

        A flit of them stays coded: one long word, then rows of short ones.
        """
        width, shortest = self.shape.values_per_cycle, min(self.by_length[slot - 1])
        lengths: list[int] = []
        for bits in sorted(self.by_length[slot - 1]):
            for place in range(width):
                row = [shortest] * width
                row[place] = bits
                lengths += row + [shortest] * (width if bits > 8 else 0)
        yield self.of_lengths(lengths, slot)

    def _whole_flits(self, slot: int) -> Iterator[Message]:
        """Messages of exactly one flit, coded and raw, and a value more."""
        shortest = min(self.by_length[slot - 1])
        long_one = self.of_lengths([shortest] * (2 * self.shape.max_values), slot)
        first = self.codec.flits(long_one)[0].values
        longest = max(self.by_length[slot - 1])
        for bits, count in ((shortest, first), (longest, self.shape.raw_values)):
            for more in (0, 1):
                yield self.of_lengths([bits] * (count + more), slot)

    def _every_last_bit(self) -> Iterator[Message]:
        """Coded flits whose last code word ends at every bit of a word.

        They hold one value more than a raw flit would, of words whose lengths add up.
        """
        known = sorted(self.by_length[0])
        count = self.shape.raw_values + 1
        for more in range(8 * self.shape.word_nbytes):
            lengths, left = [], count * known[0] + more
            for behind in reversed(range(count)):
                lengths.append(max(bits for bits in known if bits <= left - behind * known[0]))
                left -= lengths[-1]
            if not left:
                self.rng.shuffle(lengths)
                yield self.of_lengths(lengths, 1)

    def _raw_between_coded(self, slot: int) -> Message:
        of, shape = self.by_length[slot - 1], self.shape
        well = [min(of)] * (2 * shape.max_values)
        badly = [max(of)] * (3 * shape.raw_values)
        return self.of_lengths([*well, *badly, *well, *badly], slot)

    def _longest_in_coded(self, slot: int) -> Message:
        """One row of the longest words among rows of the shortest, at every alignment."""
        width, of = self.shape.values_per_cycle, self.by_length[slot - 1]
        lengths: list[int] = []
        for _ in range(4):
            lengths += [max(of)] * width + [min(of)] * (self.shape.max_values // width * width)
        return self.of_lengths(lengths, slot)
