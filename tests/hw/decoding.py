"""Flits into a decoder and values out of it, beside what the software says of the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.huffman.shape import LinkShape
from hw.huffman.speculative_model import TimedFlit
from linksim.codecs import Codebook, HuffmanFixed
from linksim.errors import LinksimError
from tests.hw.streams import Transfers


def words_of(shape: LinkShape, message: bytes) -> list[dict[str, int]]:
    """The words in which the flits of *message* come."""
    size, nbytes = shape.payload_nbytes, shape.word_nbytes
    assert len(message) % size == 0
    words = []
    for start in range(0, len(message), size):
        flit = message[start : start + size]
        for number in range(shape.words_per_flit):
            part = flit[number * nbytes : (number + 1) * nbytes]
            words.append(
                {
                    "data": int.from_bytes(part, "little"),
                    "end": number == shape.words_per_flit - 1,
                    "first": start == 0,
                    "last": start + size == len(message),
                }
            )
    return words


@dataclass(frozen=True)
class DecodedFlit:
    """What came out between two ends of a flit."""

    symbols: list[int]
    rest: list[int]
    error: bool
    last: bool
    rows: int

    def agrees(self, other: DecodedFlit) -> bool:
        """Whether both say the same: refused, or accepted with the same values."""
        if self.error or other.error:
            return self.error == other.error
        return (self.symbols, self.rest) == (other.symbols, other.rest)


def flits_from(shape: LinkShape, transfers: Transfers) -> list[DecodedFlit]:
    """The flits that the rows make."""
    flits: list[DecodedFlit] = []
    symbols: list[int] = []
    rest: list[int] = []
    rows = 0
    for _, row in transfers.given:
        rows += 1
        count = int(row.count)
        assert count <= shape.values_per_cycle
        assert count or row.flit_end, "an empty row that ends nothing"
        symbols += [int(row.symbols[place]) for place in range(count)]
        if shape.rest_bits:
            rest += [int(row.rest[place]) for place in range(count)]
        if not row.flit_end:
            assert not row.error, "a verdict before the end of the flit"
            assert not row.last, "the message ends before the flit"
            continue
        flits.append(DecodedFlit(symbols, rest, bool(row.error), bool(row.last), rows))
        symbols, rest, rows = [], [], 0
    assert not rows, "a flit without end"
    return flits


class SoftwareDecoder:
    """What the codec says of single flits."""

    def __init__(self, codebooks: Sequence[Codebook], shape: LinkShape):
        self.view = codebooks[0].symbol_view
        self.codec = HuffmanFixed(
            list(codebooks),
            "link",
            payload_nbytes=shape.payload_nbytes,
            run_symbols=shape.run_symbols,
            exponent_bias=True,
        )

    def flit(self, flit: bytes) -> DecodedFlit:
        """*flit* as a message of its own."""
        try:
            symbols, rest = self.view.split(self.codec.decode(flit))
        except LinksimError:
            return DecodedFlit([], [], True, True, 0)
        return DecodedFlit(symbols.tolist(), rest.tolist(), False, True, 0)


def cut(message: bytes, nbytes: int) -> list[bytes]:
    """*message* in pieces of *nbytes*."""
    return [message[start : start + nbytes] for start in range(0, len(message), nbytes)]


def flipped(flit: bytes, bit: int) -> bytes:
    """*flit* with one bit the other way round."""
    changed = bytearray(flit)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def noisy(flit: bytes, rng: np.random.Generator) -> bytes:
    """*flit* with a few bits drawn anew, most of them near its ends."""
    bits = len(flit) * 8
    spots = [rng.integers(0, 24), rng.integers(24, bits), bits - 1 - rng.integers(0, 64)]
    for spot in rng.choice(spots, rng.integers(1, 4)):
        flit = flipped(flit, int(spot))
    return flit


def timed(codebooks: Sequence[Codebook], shape: LinkShape, flit: bytes) -> TimedFlit:
    """A sound flit as the model of the decoder's time takes it."""
    header = int.from_bytes(flit[:3], "little")
    slot, bias = header >> 13 & 0x1F, (header >> 18 ^ 32) - 32
    symbols = np.array(SoftwareDecoder(codebooks, shape).flit(flit).symbols)
    if not slot:
        return TimedFlit(np.full(len(symbols), shape.symbol_bits), True)
    lengths = np.array(codebooks[slot - 1].lengths)
    return TimedFlit(lengths[(symbols - bias) % len(lengths)], False)
