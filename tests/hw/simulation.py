"""The encoder in Amaranth's simulator, wrapped as functions from values to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hw.huffman import LinkEncoder
from linksim.codecs import Codebook, HuffmanFixed
from tests.hw.streams import Pattern, StreamSimulation, always


@dataclass(frozen=True)
class Message:
    """Symbols and rest bytes as a view splits them; *row_counts* gives rows other than full."""

    symbols: np.ndarray
    rest: np.ndarray
    slot: int = 1
    row_counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, book: Codebook, values: np.ndarray, slot: int = 1) -> Message:
        return cls(*book.symbol_view.split(values), slot)


@dataclass
class Outcome:
    """What came out: the bytes of every message that has any, and when."""

    messages: list[bytes] = field(default_factory=list)
    row_cycles: list[int] = field(default_factory=list)
    """Cycle in which each row was taken."""
    word_cycles: list[int] = field(default_factory=list)
    """Cycle in which each word was taken."""
    waits: list[int] = field(default_factory=list)
    """Cycles in which a row was offered and not taken."""

    @property
    def stalls(self) -> int:
        return len(self.waits)


class HardwareEncoder:
    """One encoder, elaborated once; every call of `run` starts it from reset."""

    reset_at: int | None = None
    """Cycle in which it is reset; what came out of an unfinished message is forgotten then."""

    def __init__(self, codebooks: Sequence[Codebook], **parameters):
        self.dut = LinkEncoder(codebooks=codebooks, **parameters)
        self.simulation = StreamSimulation(self.dut)

    def run(
        self,
        messages: Sequence[Message],
        offer: Pattern = always,
        take: Pattern = always,
    ) -> Outcome:
        rows = [row for message in messages for row in self._rows(message)]
        self.simulation.reset_at = self.reset_at
        transfers = self.simulation.run(rows, offer, take, idle=self.dut.latency + 3)
        return Outcome(
            self._messages(transfers.given),
            transfers.taken,
            [cycle for cycle, _ in transfers.given],
            transfers.waits,
        )

    def _rows(self, message: Message) -> list[dict]:
        width = self.dut.shape.values_per_cycle
        total = len(message.symbols)
        counts = list(message.row_counts) or [width] * (total // width)
        if sum(counts) < total or not counts:
            counts.append(total - sum(counts))
        rows, start = [], 0
        for count in counts:
            part = slice(start, start + count)
            # Places that hold no value hold anything.
            symbols = [*message.symbols[part].tolist(), *[0xA5] * (width - count)]
            rest = [*message.rest[part].tolist(), *[0x5A] * (width - count)]
            mask = (1 << self.dut.shape.symbol_bits) - 1
            rows.append(
                {
                    "symbols": [symbol & mask for symbol in symbols],
                    "rest": rest[:width] if self.dut.shape.rest_bits else [0] * width,
                    "count": count,
                    "last": 0,
                    "slot": message.slot,
                }
            )
            start += count
        rows[-1]["last"] = 1
        return rows

    def _messages(self, given: list[tuple[int, Any]]) -> list[bytes]:
        """The messages in the words that came out, each checked for its marks."""
        words = self.dut.shape.words_per_flit
        messages: list[bytes] = []
        current, flit = b"", []
        awaits_reset = self.reset_at is not None
        for cycle, word in given:
            if awaits_reset and cycle > self.reset_at:
                current, flit, awaits_reset = b"", [], False
            flit.append(word)
            assert bool(word.first) == (not current), "first"
            assert bool(word.end) == (len(flit) == words), "end"
            if word.end:
                current += self._payload(flit)
                flit = []
                if word.last:
                    messages.append(current)
                    current = b""
        assert awaits_reset or not (current or flit), "the last flit was not marked as such"
        return messages

    def _payload(self, words: list[Any]) -> bytes:
        """Of one flit."""
        assert len({(word.first, word.last) for word in words}) == 1, "first and last of a flit"
        size, nbytes = self.dut.shape.word_nbytes, self.dut.shape.payload_nbytes
        payload = b"".join(int(word.data).to_bytes(size, "little") for word in words)
        assert not any(payload[nbytes:]), "bits above the payload"
        return payload[:nbytes]


def encode_in_hardware(
    encoder: HardwareEncoder, symbols: np.ndarray, rest: np.ndarray, **patterns
) -> tuple[bytes, int]:
    """The message of *symbols* and *rest*, and the cycles from its first row to its last word."""
    outcome = encoder.run([Message(symbols, rest)], **patterns)
    assert len(outcome.messages) <= 1
    message = b"".join(outcome.messages)
    return message, outcome.word_cycles[-1] - outcome.row_cycles[0] + 1 if message else 0


def flits_of(message: bytes, payload_nbytes: int) -> list[bytes]:
    return [
        message[start : start + payload_nbytes] for start in range(0, len(message), payload_nbytes)
    ]


def slot_of(flit: bytes) -> int:
    return flit[1] >> 5 | (flit[2] & 3) << 3


def encode_in_software(
    book: Codebook,
    symbols: np.ndarray,
    rest: np.ndarray,
    payload_nbytes: int,
    run_symbols: int,
    slot: int = 1,
) -> bytes:
    """What `HuffmanFixed` writes with *book*; its coded flits name *slot*."""
    codec = HuffmanFixed([book], "link", payload_nbytes=payload_nbytes, run_symbols=run_symbols)
    message = bytearray(codec.encode(book.symbol_view.join(symbols, rest)))
    for start in range(0, len(message), payload_nbytes):
        if slot_of(message[start : start + 3]):
            message[start + 1] = message[start + 1] & 0x1F | (slot & 7) << 5
            message[start + 2] |= slot >> 3
    return bytes(message)
