"""The decoder of the link profile that finds code words at every bit at once, in order."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, EnableInserter, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.block_reader import BlockReader, block_layout
from hw.huffman.canonical import pick
from hw.huffman.compactor import Compactor
from hw.huffman.flit_checks import FlitChecks
from hw.huffman.flit_receiver import FlitReceiver, arrival_layout
from hw.huffman.layouts import decoded_layout, word_layout
from hw.huffman.rest_reader import RestReader
from hw.huffman.shape import LinkShape
from hw.huffman.start_finder import CHUNK_BITS, StartFinder, held
from hw.huffman.symbol_finder import SymbolFinder, slot_bits_of
from linksim.codecs import Codebook
from linksim.codecs.chunk import HEADER_BITS

_FIRST_LEVELS = 2
"""Levels of the compactor in its first cycle."""


class SpeculativeDecoder(wiring.Component):
    """Decodes flits of the link profile in order, whatever codec wrote them.

    A block of *bits_per_cycle* bits a cycle is taken apart without knowing where its first code
    word begins; only that goes round from block to block. Each block is a row of the values that
    begin in it. The last row of a flit carries the verdict, and may hold no value. Every flit is
    decoded by itself: one that is refused leaves no trace.

    **Throughput**: a block a cycle, so *bits_per_cycle* / (mean code length) values, up to W. A
    flit takes a cycle for every block up to its rest bytes, so its header alone tells how long; its
    gap is read too. Of the next flit only one word finds room beside it: `speculative_model` tells
    to the cycle what that costs.
    **Latency**: *latency* cycles from the transfer of a flit's first word to its first row being
    offered, if its other words follow at once and no flit is before it. A flit of several words
    begins with its first and waits for its last before a value leaves.
    **Back-pressure**: while a row is offered and not taken the pipeline stands still; `o.valid`
    and `i.ready` are functions of registers.

    Parameters
    ----------
    codebooks: 1 to 8 books of one number format and view, numbered from slot 1.
    values_per_cycle: W, 4, 8, 16, 32 or 64; places of a row.
    payload_nbytes: P, from 64 to 4096. run_symbols: q, values between two entry points.
    words_per_flit: N, words that a flit comes in.
    bits_per_cycle: bits of a block, a multiple of 8. None given: as many as a row always holds.

    Raises
    ------
    ValueError where no such decoder can be built.

    Members
    -------
    i: In, stream of words, see `word_layout`.
    o: Out, stream of rows, see `decoded_layout`.
    """

    def __init__(
        self,
        *,
        codebooks: Sequence[Codebook],
        values_per_cycle: int,
        payload_nbytes: int = 240,
        run_symbols: int = 64,
        words_per_flit: int = 1,
        bits_per_cycle: int | None = None,
    ):
        self.codebooks = tuple(codebooks)
        self.shape = LinkShape.of(
            self.codebooks,
            values_per_cycle=values_per_cycle,
            payload_nbytes=payload_nbytes,
            run_symbols=run_symbols,
            words_per_flit=words_per_flit,
        )
        most = values_per_cycle * slot_bits_of(self.shape)
        self.bits_per_cycle = most if bits_per_cycle is None else bits_per_cycle
        if self.bits_per_cycle % CHUNK_BITS or not 0 < self.bits_per_cycle <= most:
            raise ValueError(
                f"bits_per_cycle is {bits_per_cycle}: expected a multiple of {CHUNK_BITS} up to "
                f"{most}, in which no more than {values_per_cycle} code words begin"
            )
        # Arrival, plan, block; start finder (4), symbols (2), compactor (2); then a row is offered.
        self.latency = 12 + HEADER_BITS // self.bits_per_cycle
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(self.shape))),
                "o": Out(stream.Signature(decoded_layout(self.shape))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = FlitReceiver(self.shape, readers=2)
        front = _Front(self.codebooks, self.shape, self.bits_per_cycle)
        back = _Back(self.codebooks, self.shape, self.bits_per_cycle)
        moves, waits = Signal(), Signal()
        m.submodules.front = EnableInserter(moves & ~waits)(front)
        m.submodules.back = EnableInserter(moves)(back)
        begins = Signal()
        wiring.connect(m, wiring.flipped(self.i), receiver.i)
        ring = Signal(len(Value.cast(receiver.words)))
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            ring.eq(receiver.words),
            front.arrival.eq(receiver.arrived),
            front.arrival_valid.eq(receiver.arrived_valid),
            front.ring.eq(ring),
            front.ahead.eq(receiver.ahead[0]),
            begins.eq(front.valid & front.block.first),
            # Rest bytes and table are in the flit's last words.
            waits.eq(begins & (receiver.ahead[1] < self.shape.words_per_flit)),
            receiver.arrived_taken.eq(front.taken & moves & ~waits),
            receiver.passed[0].eq(front.passed & moves & ~waits),
            receiver.passed[1].eq(begins & moves & ~waits),
            receiver.released.eq(Mux(moves, back.released, 0)),
            back.block_valid.eq(front.valid & ~waits),
            back.block.eq(front.block),
            back.window.eq(front.window),
            back.starts.eq(front.starts),
            back.offset.eq(front.offset),
            back.read.eq(front.read),
            back.ring.eq(ring),
            self.o.valid.eq(back.valid),
            self.o.payload.eq(back.row),
        ]
        return m


class _Front(wiring.Component):
    """From the ring to where code words begin.

    Members
    -------
    arrival, arrival_valid, taken, ring, ahead, passed: see `BlockReader`.
    valid, block, window: Out, a block and the bits behind it. starts, offset: Out, see
    `StartFinder`.
    read: Out, the last block of the oldest flit in the pipeline has been read.
    """

    def __init__(self, codebooks: Sequence[Codebook], shape: LinkShape, bits_per_cycle: int):
        self.codebooks = codebooks
        self.shape = shape
        self.bits_per_cycle = bits_per_cycle
        words = shape.words_per_flit
        super().__init__(
            {
                "arrival": In(arrival_layout(shape)),
                "arrival_valid": In(1),
                "taken": Out(1),
                "ring": In(8 * shape.word_nbytes * (words + 1)),
                "ahead": In(range(words + 2)),
                "passed": Out(1),
                "valid": Out(1),
                "block": Out(block_layout(shape, len(codebooks), bits_per_cycle)),
                "window": Out(bits_per_cycle + shape.max_length - 1),
                "starts": Out(bits_per_cycle),
                "offset": Out(range(shape.max_length)),
                "read": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        books = len(self.codebooks)
        m.submodules.reader = reader = BlockReader(
            self.shape, books=books, bits_per_cycle=self.bits_per_cycle
        )
        m.submodules.finder = finder = StartFinder(
            self.codebooks,
            self.shape,
            bits_per_cycle=self.bits_per_cycle,
            book_bits=len(reader.block.slot),
        )
        m.d.comb += [
            reader.arrival.eq(self.arrival),
            reader.arrival_valid.eq(self.arrival_valid),
            self.taken.eq(reader.taken),
            reader.ring.eq(self.ring),
            reader.ahead.eq(self.ahead),
            self.passed.eq(reader.passed),
            finder.valid.eq(reader.valid),
            finder.book.eq(reader.block.slot),
            finder.window.eq(reader.window),
            finder.header_chunks.eq(reader.block.header_chunks),
            self.starts.eq(finder.starts),
            self.offset.eq(finder.offset),
        ]
        valid, block, window = reader.valid, reader.block, reader.window
        lasts = [valid & block.last]
        for stage in range(finder.latency):
            previous, valid = valid, Signal(name=f"valid{stage}")
            m.d.sync += valid.eq(previous)
            block = held(m, block, f"block{stage}")
            window = held(m, window, f"window{stage}")
            lasts.append(valid & block.last)
        m.d.comb += [
            self.valid.eq(valid),
            self.block.eq(block),
            self.window.eq(window),
            self.read.eq(Cat(*lasts).any()),
        ]
        return m


class _Back(wiring.Component):
    """From where code words begin to rows.

    Members
    -------
    block_valid, block, window, starts, offset: In, a block as it leaves `_Front`.
    read: In, the last block of the oldest flit before this stage has been read from the ring.
    ring: In, all words. released: Out, so many are not needed any more.
    valid, row: Out, a row, see `decoded_layout`.
    """

    def __init__(self, codebooks: Sequence[Codebook], shape: LinkShape, bits_per_cycle: int):
        self.codebooks = codebooks
        self.shape = shape
        self.bits_per_cycle = bits_per_cycle
        words = shape.words_per_flit
        super().__init__(
            {
                "block_valid": In(1),
                "block": In(block_layout(shape, len(codebooks), bits_per_cycle)),
                "window": In(bits_per_cycle + shape.max_length - 1),
                "starts": In(bits_per_cycle),
                "offset": In(range(shape.max_length)),
                "read": In(1),
                "ring": In(8 * shape.word_nbytes * (words + 1)),
                "released": Out(range(words + 1)),
                "valid": Out(1),
                "row": Out(decoded_layout(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape, block = self.shape, self.block
        m.submodules.symbols = symbols = SymbolFinder(
            self.codebooks,
            shape,
            bits_per_cycle=self.bits_per_cycle,
            book_bits=len(block.slot),
        )
        m.d.comb += [
            symbols.starts.eq(self.starts),
            symbols.window.eq(self.window),
            symbols.book.eq(block.slot),
        ]
        first, looked_up, looked_up_last = Signal(), Signal(), Signal()
        m.d.comb += first.eq(self.block_valid & block.first)
        m.d.sync += [
            looked_up.eq(self.block_valid),
            looked_up_last.eq(self.block_valid & block.last),
        ]
        # A cycle later, when the symbols are known and not yet counted.
        begin, valid, flit_end, message_last = Signal(), Signal(), Signal(), Signal()
        plan, bias = held(m, block.plan, "plan1"), Signal.like(block.plan.bias)
        m.d.sync += [begin.eq(first), valid.eq(looked_up), flit_end.eq(looked_up_last)]
        with m.If(first):
            m.d.sync += bias.eq(block.plan.bias)
        with m.If(begin):
            m.d.sync += message_last.eq(plan.last)
        checks = self._checks(m, symbols, begin, plan, valid, flit_end)
        rest = self._rest(m, begin, plan, valid, checks, symbols.found, flit_end)
        m.d.comb += rest.read.eq(self.read | looked_up_last | flit_end)
        row = self._row(m, symbols, bias)

        count = held(m, checks.count, "count1")
        ends = held(m, flit_end, "flit_end1")
        message_ends = held(m, flit_end & message_last, "message_end1")
        any_row = Signal()
        m.d.sync += [
            any_row.eq(valid & (flit_end | (checks.count != 0))),
            self.valid.eq(any_row),
            self.row.count.eq(count),
            self.row.flit_end.eq(ends),
            self.row.last.eq(message_ends),
            self.row.rest.eq(rest.rest),
        ]
        m.d.comb += [
            self.row.symbols.eq(row),
            self.row.error.eq(self.row.flit_end & checks.refused),
        ]
        return m

    def _checks(
        self,
        m: Module,
        symbols: SymbolFinder,
        begin: Value,
        plan: data.View,
        valid: Value,
        last: Value,
    ) -> FlitChecks:
        """The rules, when the code words are counted."""
        shape, block = self.shape, self.block
        m.submodules.checks = checks = FlitChecks(
            shape,
            books=len(self.codebooks),
            bits_per_cycle=self.bits_per_cycle,
            slot_bits=symbols.slot_bits,
        )

        def counted(value: Value, name: str) -> Value:
            return held(m, held(m, value, f"{name}1"), f"{name}2")

        tails = []
        for word in range(shape.words_per_flit + 1):
            end = word * shape.word_nbytes + shape.payload_nbytes
            ring = Cat(self.ring, self.ring)
            tails.append(ring[8 * (end - checks.table_nbytes) : 8 * end])
        m.d.comb += [
            checks.begin.eq(begin),
            checks.plan.eq(plan),
            checks.tail.eq(held(m, pick(tails, block.plan.word), "tail1")),
            checks.valid.eq(valid),
            checks.last.eq(last),
            checks.starts.eq(counted(self.starts, "starts")),
            checks.bits.eq(counted(self.window[: self.bits_per_cycle], "bits")),
            checks.found.eq(symbols.found),
            checks.skipped.eq(symbols.skipped),
            checks.unknown.eq(held(m, symbols.unknown, "unknown2")),
            checks.body_chunks.eq(counted(block.body_chunks, "body_chunks")),
            checks.complete.eq(counted(self.offset == 0, "complete")),
        ]
        return checks

    def _rest(
        self,
        m: Module,
        begin: Value,
        plan: data.View,
        valid: Value,
        checks: FlitChecks,
        found: Value,
        flit_end: Value,
    ) -> RestReader:
        """The row's rest bytes, a cycle later."""
        m.submodules.rest = rest = RestReader(self.shape, books=len(self.codebooks))
        m.d.comb += [
            rest.ring.eq(self.ring),
            rest.begin.eq(begin),
            rest.plan.eq(plan),
            rest.count.eq(Mux(valid, checks.count, 0)),
            rest.found.eq(Mux(valid, found, 0)),
            rest.last.eq(flit_end),
            self.released.eq(rest.released),
        ]
        return rest

    def _row(self, m: Module, symbols: SymbolFinder, bias: Value) -> Value:
        """The symbols, biased and side by side."""
        bits = self.shape.symbol_bits
        m.submodules.compactor = compactor = Compactor(
            places=symbols.slots, unit_bits=bits, first_levels=_FIRST_LEVELS
        )
        filled = Cat(
            self.starts.word_select(slot, symbols.slot_bits).any() for slot in range(symbols.slots)
        )
        biased = [
            held(m, (symbol + bias)[:bits], f"biased{slot}")
            for slot, symbol in enumerate(symbols.symbols)
        ]
        m.d.comb += [
            compactor.units.eq(Cat(*biased)),
            compactor.skipped.eq(symbols.skipped),
            compactor.filled.eq(held(m, held(m, filled, "filled1"), "filled2")),
        ]
        return compactor.row
