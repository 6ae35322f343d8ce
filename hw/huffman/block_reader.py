"""The bodies of the flits in the ring, block by block."""

from __future__ import annotations

from math import gcd

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import pick
from hw.huffman.flit_plan import FlitPlanner, plan_layout
from hw.huffman.flit_receiver import arrival_layout
from hw.huffman.ring_window import RingWindow
from hw.huffman.shape import LinkShape
from hw.huffman.start_finder import CHUNK_BITS, HEADER_CHUNKS
from linksim.units import ceil_div


def block_layout(shape: LinkShape, books: int, bits_per_cycle: int) -> data.StructLayout:
    """What is known of a block.

    plan: of its flit, for the first block. slot: its flit's. first, last: of its flit.
    header_chunks: so many of its first chunks are header.
    body_chunks: so many of its first chunks belong to the body; all of them but in the last block.
    """
    chunks = bits_per_cycle // CHUNK_BITS
    plan = plan_layout(shape, books)
    return data.StructLayout(
        {
            "plan": plan,
            "slot": range(books + 1),
            "first": 1,
            "last": 1,
            "header_chunks": range(HEADER_CHUNKS + 1),
            "body_chunks": range(chunks + 1),
        }
    )


class BlockReader(wiring.Component):
    """Reads a block a cycle, of one flit after the other, as soon as its words are there.

    A flit takes as many cycles as its body has blocks, whatever they hold: the gap is read too, for
    it must be zero. A flit whose header is refused takes one.

    **Latency**: 3 cycles from `arrived` to the flit's first block.

    Members
    -------
    arrival, arrival_valid: In, and taken: Out, the next flit's header, as `FlitReceiver` has it.
    ring: In, all words. ahead: In, words that are there from the current flit on.
    passed: Out, the last block was read.
    valid: Out. block: Out, see `block_layout`.
    window: Out, the block's bits and the *max_length* - 1 behind it.
    """

    latency = 3

    def __init__(self, shape: LinkShape, *, books: int, bits_per_cycle: int):
        self.shape = shape
        self.books = books
        self.bits_per_cycle = bits_per_cycle
        self.slots = shape.words_per_flit + 1
        self.word_bits = 8 * shape.word_nbytes
        super().__init__(
            {
                "arrival": In(arrival_layout(shape)),
                "arrival_valid": In(1),
                "taken": Out(1),
                "ring": In(self.slots * self.word_bits),
                "ahead": In(range(self.slots + 1)),
                "passed": Out(1),
                "valid": Out(1),
                "block": Out(block_layout(shape, books, bits_per_cycle)),
                "window": Out(bits_per_cycle + shape.max_length - 1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chunks = self.bits_per_cycle // CHUNK_BITS
        m.submodules.planner = planner = FlitPlanner(self.shape, books=self.books)
        next_plan = Signal(planner.plan.shape())
        next_valid = Signal()
        plan = Signal(planner.plan.shape())
        active, first, last = Signal(), Signal(), Signal()
        left = Signal.like(plan.body_nbytes)
        number = Signal(range(ceil_div(self.shape.payload_nbytes, chunks)))
        headers = Signal(range(HEADER_CHUNKS + 1))
        proceed, follow = Signal(), Signal()
        m.d.comb += [
            planner.arrival.eq(self.arrival),
            self.taken.eq(self.arrival_valid & (~next_valid | follow)),
            last.eq(left <= chunks),
            proceed.eq(active & self._there(number, last)),
            self.passed.eq(proceed & last),
            follow.eq(next_valid & (~active | self.passed)),
        ]
        with m.If(self.taken):
            m.d.sync += [next_plan.eq(planner.plan), next_valid.eq(1)]
        with m.Elif(follow):
            m.d.sync += next_valid.eq(0)
        with m.If(follow):
            m.d.sync += [
                plan.eq(next_plan),
                active.eq(1),
                first.eq(1),
                left.eq(next_plan.body_nbytes),
                number.eq(0),
                headers.eq(HEADER_CHUNKS),
            ]
        with m.Elif(self.passed):
            m.d.sync += active.eq(0)
        with m.Elif(proceed):
            m.d.sync += [
                first.eq(0),
                left.eq(left - chunks),
                number.eq(number + 1),
                headers.eq(Mux(headers > chunks, headers - chunks, 0)),
            ]
        m.d.sync += self.valid.eq(proceed)
        block = self.block
        m.d.sync += [
            block.plan.eq(plan),
            block.slot.eq(plan.slot),
            block.first.eq(first),
            block.last.eq(last),
            block.header_chunks.eq(Mux(headers > chunks, chunks, headers)),
            block.body_chunks.eq(Mux(last, left, chunks)),
        ]
        self._read(m, next_plan, follow, proceed)
        return m

    def _there(self, number: Signal, last: Signal) -> Signal:
        """Whether the words are there that block *number* and the bits behind it need."""
        words = self.shape.words_per_flit
        needed = [
            min(
                words,
                ceil_div((k + 1) * self.bits_per_cycle + self.shape.max_length - 1, self.word_bits),
            )
            for k in range(1 << len(number))
        ]
        return self.ahead >= Mux(
            last, words, pick([Const(n, range(words + 1)) for n in needed], number)
        )

    def _read(self, m: Module, next_plan: Signal, follow: Signal, proceed: Signal) -> None:
        unit_bits = gcd(self.bits_per_cycle, self.word_bits)
        m.submodules.ring_window = window = RingWindow(
            ring_bits=self.slots * self.word_bits,
            unit_bits=unit_bits,
            window_bits=len(self.window),
            registered=False,
        )
        start = Signal.like(window.start)
        onward = Signal(range(2 * window.units))
        m.d.comb += onward.eq(start + self.bits_per_cycle // unit_bits)
        begins = [
            Const(k * self.word_bits // unit_bits, range(window.units)) for k in range(self.slots)
        ]
        with m.If(follow):
            m.d.sync += start.eq(pick(begins, next_plan.word))
        with m.Elif(proceed):
            m.d.sync += start.eq(Mux(onward >= window.units, onward - window.units, onward))
        m.d.comb += [window.ring.eq(self.ring), window.start.eq(start)]
        m.d.sync += self.window.eq(window.window)
