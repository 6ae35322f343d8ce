"""Flits for the decoders: right ones of every kind, and wrong ones for every rule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from linksim.codecs.chunk import HEADER_BITS, MAX_BIAS, MIN_BIAS, ChunkShape, encode_chunk
from linksim.codecs.prefix_code import identity_code
from tests.hw.cocotb.decoder_model import DecoderModel
from tests.hw.cocotb.link_model import LinkCodec, Message
from tests.hw.cocotb.link_stimuli import LinkStimuli

SLOT_AT, BIAS_AT = 13, 18


class DecoderStimuli:
    """Draws messages, each a list of flits; the same seed gives the same ones."""

    def __init__(self, model: DecoderModel, seed: int):
        self.model = model
        self.shape = model.shape
        self.rng = np.random.default_rng(seed)
        self.values = LinkStimuli(LinkCodec(model.books, model.shape), seed)
        view = model.view
        self.chunks = ChunkShape(view.symbol_bits, view.rest_bits, self.shape.run_symbols)
        self.codes = [identity_code(view.symbol_bits), *(book.code for book in model.books)]

    def good(self, count: int) -> Iterator[list[bytes]]:
        """What an encoder writes of directed messages, and of *count* random ones."""
        yield from map(self.flits, self.values.directed())
        yield from map(self.flits, self.values.at_random(count))

    def from_trace(self, values: int, tensors: int | None) -> Iterator[list[bytes]]:
        """What an encoder writes of the bundled trace."""
        yield from map(self.flits, self.values.from_trace(values, tensors))

    def flits(self, message: Message) -> list[bytes]:
        return [flit.payload for flit in self.values.codec.flits(message)]

    def biased(self) -> Iterator[list[bytes]]:
        """A flit for every bias, with symbols at both ends of the alphabet among others."""
        for bias in range(MIN_BIAS, MAX_BIAS + 1):
            for symbols in ([0, 1, 2, 255, 254], self.rng.integers(0, 256, 8)):
                slot = int(self.rng.integers(1, len(self.codes)))
                yield [self.flit(np.array(symbols, np.uint8), slot, bias)]

    def lone(self) -> Iterator[list[bytes]]:
        """Flits of few values, which an encoder would send raw."""
        for slot in range(1, len(self.codes)):
            for count in range(1, 2 * self.shape.values_per_cycle):
                symbols = np.full(count, self.shortest(slot), np.uint8)
                yield [self.flit(symbols, slot)]

    def in_places(self) -> Iterator[list[bytes]]:
        """Every code length behind so many of the shortest words that it gets into every place.

        The first word of a flit may begin in the middle of a block, whose other places it leaves
        empty.
        """
        for slot, of in enumerate(self.values.by_length, start=1):
            for bits in sorted(of):
                for before in range(2 * self.model.places):
                    lengths = [min(of)] * before + [bits] + [min(of)] * 2
                    yield [self.flit(self.values.of_lengths(lengths, slot).symbols, slot)]

    def just_full(self) -> Iterator[list[bytes]]:
        """Flits of the most values, of the shortest words, and without any gap behind them."""
        for slot, of in enumerate(self.values.by_length, start=1):
            codec, shortest = self.values.codec, min(of)
            many = self.values.of_lengths([shortest] * 2 * self.shape.max_values, slot)
            first = codec.flits(many)[0]
            stretched = shortest + codec.gap(first)
            for longer in {stretched, shortest} & set(of):
                lengths = [longer] + [shortest] * (first.values - 1)
                yield [self.flit(self.values.of_lengths(lengths, slot).symbols, slot)]

    def flit(self, symbols: np.ndarray, slot: int, bias: int = 0) -> bytes:
        """One flit of the reference chunk writer, in any slot and with any bias."""
        return encode_chunk(
            self.chunks,
            symbols,
            self.rng.integers(0, 256, len(symbols)).astype(np.uint8),
            slot=slot,
            code=self.codes[slot],
            bias=bias,
            nbytes=self.shape.payload_nbytes,
        )

    def shortest(self, slot: int) -> int:
        lengths = self.model.books[slot - 1].lengths
        return lengths.index(min(lengths))

    def wrong(self, flips: int) -> Iterator[list[bytes]]:
        """Every rule broken on purpose, and *flips* flits with a flipped bit, among right ones."""
        right = self.full_flit()
        for flit in self._broken(right):
            yield [flit]
            yield [right, flit, flit, right]
        bits = 8 * len(right)
        for bit in self.rng.permutation(bits)[:flips]:
            yield [_flipped(right, int(bit)), right]

    def full_flit(self) -> bytes:
        """A coded flit of the first slot with as many values as it takes, some words longer."""
        few = sorted(self.values.by_length[0])[:3]
        lengths = self.rng.choice(few, 4 * self.shape.max_values, p=[0.9, 0.05, 0.05])
        return self.flits(self.values.of_lengths(lengths.tolist(), 1))[0]

    def _broken(self, right: bytes) -> Iterator[bytes]:
        number = int.from_bytes(right, "little")
        size, top = len(right), 8 * len(right)
        values = (number & 0x1FFF) + 1
        entries = (values - 1) // self.shape.run_symbols
        table_at = top - 8 * self.shape.table_nbytes(entries)
        changes = [number & ~(0x1F << SLOT_AT) | slot << SLOT_AT for slot in (4, 16, 31)]
        raw = int.from_bytes(self.flit(np.arange(self.shape.raw_values) % 256, 0), "little")
        changes += [raw | bias << BIAS_AT for bias in (1, 32, 63)]
        changes += [raw + more for more in (1, 100, 8191 - self.shape.raw_values)]
        changes += [raw | 1 << HEADER_BITS + 8 * self.shape.raw_values] if self._raw_gap() else []
        changes += [number + more for more in (8, 200, 8000 - values)]
        for entry in range(entries):
            at = table_at + entry * self.shape.entry_bits
            changes += [number ^ 1 << at, number | ((1 << self.shape.entry_bits) - 1) << at]
        beyond = table_at + entries * self.shape.entry_bits
        changes += [number | 1 << bit for bit in {beyond, top - 1} if bit < top and entries]
        yield from (change.to_bytes(size, "little") for change in changes)
        few = self.flit(np.full(3, self.shortest(1), np.uint8), 1)
        gap_at = HEADER_BITS + 3 * min(self.model.books[0].lengths)
        for bit in (gap_at, gap_at + 9, top - 8 * 3 - 1):
            yield _flipped(few, bit)
        ones = int.from_bytes(few, "little") | 0xFFFF << HEADER_BITS
        yield ones.to_bytes(size, "little")
        yield self._into_the_rest()

    def _raw_gap(self) -> bool:
        shape = self.shape
        return shape.body_bits > shape.raw_values * (shape.symbol_bits + shape.rest_bits)

    def _into_the_rest(self) -> bytes:
        """A flit of the longest words, of which the last one reaches into the rest bytes."""
        shape, book = self.shape, self.model.books[0]
        longest, size = max(book.lengths), shape.payload_nbytes
        count = shape.body_bits // (longest + shape.rest_bits) + 1
        symbols = np.full(count, book.lengths.index(longest), np.uint8)
        wide = encode_chunk(
            self.chunks,
            symbols,
            np.zeros(count, np.uint8),
            slot=1,
            code=self.codes[1],
            nbytes=2 * size,
        )
        table = shape.table_nbytes((count - 1) // shape.run_symbols)
        return wide[: size - table] + wide[2 * size - table :]


def _flipped(flit: bytes, bit: int) -> bytes:
    return (int.from_bytes(flit, "little") ^ 1 << bit).to_bytes(len(flit), "little")
