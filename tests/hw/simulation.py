"""The encoder in Amaranth's simulator, wrapped as functions from values to bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from hw.huffman import LinkEncoder
from linksim.codecs import Codebook, HuffmanFixed

Pattern = Callable[[int], bool]
"""Whether a side takes part in cycle number n."""


def always(cycle: int) -> bool:
    return True


def seldom(numerator: int, denominator: int, seed: int) -> Pattern:
    """Takes part in *numerator* of *denominator* cycles, at random but the same every time."""
    draws = np.random.default_rng(seed).integers(0, denominator, 4096)
    return lambda cycle: bool(draws[cycle % 4096] < numerator)


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
    """Cycle in which `reset` is 1; what came out of an unfinished message is forgotten then."""

    def __init__(self, codebooks: Sequence[Codebook], **parameters):
        self.dut = LinkEncoder(codebooks=codebooks, **parameters)
        self.reset = Signal()
        self.simulator = Simulator(ResetInserter(self.reset)(self.dut))
        self.simulator.add_clock(1e-9)
        self.simulator.add_testbench(self._feed)
        self.simulator.add_testbench(self._collect)
        self.started = False

    def run(
        self,
        messages: Sequence[Message],
        offer: Pattern = always,
        take: Pattern = always,
    ) -> Outcome:
        self.rows = [row for message in messages for row in self._rows(message)]
        self.offer, self.take = offer, take
        self.outcome, self.current = Outcome(), b""
        if self.started:
            self.simulator.reset()
        self.started = True
        self.simulator.run()
        assert not self.current, "the last flit was not marked as such"
        return self.outcome

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

    async def _feed(self, ctx) -> None:
        stream = self.dut.i
        cycle = 0
        for row in self.rows:
            while not self.offer(cycle):
                ctx.set(stream.valid, 0)
                await ctx.tick()
                cycle += 1
            ctx.set(stream.valid, 1)
            ctx.set(stream.payload, row)
            while True:
                _, _, ready = await ctx.tick().sample(stream.ready)
                cycle += 1
                if ready:
                    break
                self.outcome.waits.append(cycle - 1)
            self.outcome.row_cycles.append(cycle - 1)
        ctx.set(stream.valid, 0)

    async def _collect(self, ctx) -> None:
        stream, outcome = self.dut.o, self.outcome
        words, nbytes = self.dut.shape.words_per_flit, self.dut.shape.payload_nbytes
        cycle = idle = 0
        refused: object = None
        flit: list = []
        while len(outcome.row_cycles) < len(self.rows) or idle < self.dut.latency + 3:
            taking = self.take(cycle)
            ctx.set(stream.ready, taking)
            ctx.set(self.reset, cycle == self.reset_at)
            _, _, valid, word = await ctx.tick().sample(stream.valid, stream.payload)
            seen = (word.data, word.end, word.first, word.last)
            if refused is not None:
                assert valid, "an offered word was withdrawn"
                assert seen == refused, "an offered word changed"
            refused = seen if valid and not taking else None
            idle = 0 if valid or len(outcome.row_cycles) < len(self.rows) else idle + 1
            if valid and taking:
                outcome.word_cycles.append(cycle)
                flit.append(word)
                assert bool(word.first) == (not self.current), "first"
                assert bool(word.end) == (len(flit) == words), "end"
                if word.end:
                    self._take_flit(flit, nbytes)
                    flit = []
            if cycle == self.reset_at:
                self.current, flit, refused = b"", [], None
            cycle += 1

    def _take_flit(self, words: list, nbytes: int) -> None:
        assert len({(word.first, word.last) for word in words}) == 1, "first and last of a flit"
        size = self.dut.shape.word_nbytes
        payload = b"".join(int(word.data).to_bytes(size, "little") for word in words)
        assert not any(payload[nbytes:]), "bits above the payload"
        self.current += payload[:nbytes]
        if words[-1].last:
            self.outcome.messages.append(self.current)
            self.current = b""


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
