"""Golden model of the link cores: messages and flits by `HuffmanFixed`, and where flits are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook, HuffmanFixed
from linksim.codecs.chunk import HEADER_BITS


@dataclass(frozen=True)
class Message:
    """Values as symbols and rest bytes, and the slot of the codebook they are coded with."""

    symbols: np.ndarray
    rest: np.ndarray
    slot: int = 1


@dataclass(frozen=True)
class Flit:
    """A flit that the codec wrote."""

    start: int
    """Values of the message before it."""
    values: int
    slot: int
    """0 for a raw one."""
    code_bits: int
    payload: bytes


class LinkCodec:
    """`HuffmanFixed` for hardware of *shape* with *books* in slots from 1 up."""

    def __init__(self, books: Sequence[Codebook], shape: LinkShape):
        self.books = tuple(books)
        self.shape = shape
        # A core codes a message with one book; the codec would take the best of all for every flit.
        self._codecs = [
            HuffmanFixed(
                [book],
                "link",
                payload_nbytes=shape.payload_nbytes,
                run_symbols=shape.run_symbols,
            )
            for book in books
        ]

    def lengths(self, message: Message) -> np.ndarray:
        """Code bits of every value."""
        return np.array(self.books[message.slot - 1].lengths)[message.symbols]

    def flits(self, message: Message) -> list[Flit]:
        """The flits of a message, cut and coded by the codec."""
        view = self.books[message.slot - 1].symbol_view
        values = view.join(message.symbols, message.rest)
        nbytes = self.shape.payload_nbytes
        encoded = bytes(self._codecs[message.slot - 1].encode(values))
        lengths = self.lengths(message)
        flits, start = [], 0
        for at in range(0, len(encoded), nbytes):
            payload = bytearray(encoded[at : at + nbytes])
            header = int.from_bytes(payload[:3], "little")
            count, coded = (header & 0x1FFF) + 1, header >> 13 & 0x1F
            slot = message.slot if coded else 0
            payload[:3] = (header & ~(0x1F << 13) | slot << 13).to_bytes(3, "little")
            bits = int(lengths[start : start + count].sum()) if coded else 0
            flits.append(Flit(start, count, slot, bits, bytes(payload)))
            start += count
        return flits

    def gap(self, flit: Flit) -> int:
        """Bits between code words and rest bytes."""
        shape = self.shape
        entries = -(-flit.values // shape.run_symbols) - 1
        tail = flit.values * shape.rest_bits + 8 * shape.table_nbytes(entries)
        return 8 * shape.payload_nbytes - HEADER_BITS - flit.code_bits - tail


def word_fields(shape: LinkShape, flits: Sequence[bytes]) -> list[dict[str, int]]:
    """The fields of every word of a message of *flits*, as `word_layout` names them."""
    words = []
    for index, flit in enumerate(flits):
        for number in range(shape.words_per_flit):
            part = flit[number * shape.word_nbytes : (number + 1) * shape.word_nbytes]
            words.append(
                {
                    "data": int.from_bytes(part, "little"),
                    "end": int(number == shape.words_per_flit - 1),
                    "first": int(index == 0),
                    "last": int(index == len(flits) - 1),
                }
            )
    return words
