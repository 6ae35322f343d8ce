"""The single-stage Huffman encoder of the link profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from amaranth import EnableInserter, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.assembler import FlitAssembler
from hw.huffman.flit_buffer import FlitBuffer, most_words
from hw.huffman.layouts import row_layout, word_layout
from hw.huffman.planner import FlitPlanner
from hw.huffman.shape import LinkShape
from hw.huffman.word_buffer import WordBuffer
from linksim.codecs import Codebook


class LinkEncoder(wiring.Component):
    """Codes messages into flits, bit for bit as `HuffmanFixed([book], "link")` does.

    Every flit is coded, or raw where that holds at least as many values; the last one of a message
    is padded with zeros. A message of no values is no flits. The header carries the message's slot,
    and exponent bias 0.

    **Input**: all rows of a message are full but its last. A short row ends its message, marked or
    not, and an empty row that is not marked is ignored. Gaps between rows are of no consequence,
    but while a message is unfinished the encoder moves only when a row comes: what it holds of the
    message waits.

    **Throughput**: a row a cycle. While the output is not blocked `i.ready` falls only where two
    flits would close fewer than *words_per_flit* rows apart. Full flits never do; the last flit of
    a message and the one before may, so a message waits at most *words_per_flit* - 1 cycles, plus
    what its flits take to leave if they are more than its rows have time for. With one word per
    flit it never falls.

    **Latency**: *latency* cycles from the transfer of a row to the first word of the flit that it
    closes being offered, one more for the last flit of a message, and one for each further word.

    **Back-pressure**: words wait in two registers; behind them everything stands still. `i.ready`
    and all enables depend on registers only, besides `i.valid`.

    Parameters
    ----------
    codebooks: 1 to 8 books of one number format and view, numbered from slot 1.
    values_per_cycle: W, 4, 8, 16, 32 or 64.
    payload_nbytes: P, from 64 to 4096.
    run_symbols: q, values between two entry points.
    words_per_flit: N, in how many words a flit leaves; without it, in as many as it can.

    Raises
    ------
    ValueError where no such encoder can be built, among others where a row could close two flits.

    Members
    -------
    i: In, stream of rows, see `row_layout`.
    o: Out, stream of words of flits, see `word_layout`.
    """

    def __init__(
        self,
        *,
        codebooks: Sequence[Codebook],
        values_per_cycle: int,
        payload_nbytes: int = 240,
        run_symbols: int = 64,
        words_per_flit: int | None = None,
    ):
        self.codebooks = tuple(codebooks)
        shape = LinkShape.of(
            self.codebooks,
            values_per_cycle=values_per_cycle,
            payload_nbytes=payload_nbytes,
            run_symbols=run_symbols,
        )
        words = most_words(shape) if words_per_flit is None else words_per_flit
        self.shape = replace(shape, words_per_flit=words)
        self.slot_bits = len(self.codebooks).bit_length()
        self.planner = FlitPlanner(self.codebooks, self.shape, slot_bits=self.slot_bits)
        self.assembler = FlitAssembler(self.codebooks, self.shape, slot_bits=self.slot_bits)
        self.buffer = FlitBuffer(
            self.shape,
            slot_bits=self.slot_bits,
            code_bits=len(self.assembler.codes),
            opening_bits=len(self.assembler.next_codes),
        )
        # The last cycle is that of the output register.
        self.latency = self.planner.latency + self.assembler.latency + 1
        super().__init__(
            {
                "i": In(stream.Signature(row_layout(self.shape, self.slot_bits))),
                "o": Out(stream.Signature(word_layout(self.shape))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        planner, assembler, buffer = self.planner, self.assembler, self.buffer
        moves, advance = Signal(), Signal()
        m.submodules.planner = EnableInserter(advance)(planner)
        m.submodules.assembler = EnableInserter(moves)(assembler)
        m.submodules.buffer = buffer
        m.submodules.words = words = WordBuffer(self.shape)
        wiring.connect(m, wiring.flipped(self.o), words.o)
        m.d.comb += [
            moves.eq(words.moves),
            assembler.moves.eq(moves),
            assembler.valid.eq(advance),
            assembler.planned.eq(planner.planned),
            buffer.moves.eq(moves),
            words.valid.eq(buffer.valid),
            words.word.eq(buffer.word),
        ]
        for name in ("codes", "next_codes", "rest", "next_rest", "closes", "closing", "table"):
            m.d.comb += getattr(buffer, name).eq(getattr(assembler, name))
        blocked = self._too_early(m, moves, advance)
        m.d.comb += self.i.ready.eq(moves & ~blocked)
        self._take(m, advance)
        return m

    def _take(self, m: Module, advance: Signal) -> None:
        """A row into the planner; none of a message's rows is followed by a gap."""
        row, planner = self.i.payload, self.planner
        inside, counts, last = Signal(), Signal(), Signal()
        m.d.comb += [
            counts.eq(row.count != 0),
            last.eq(row.last | (counts & (row.count != self.shape.values_per_cycle))),
            planner.row.eq(row),
            planner.row.count.eq(Mux(self.i.valid, row.count, 0)),
            planner.first.eq(self.i.valid & ~inside & counts),
            planner.ends.eq(self.i.valid & last & (inside | counts)),
            advance.eq(self.i.ready & (~inside | (self.i.valid & (counts | last)))),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += inside.eq((inside | counts) & ~last)

    def _too_early(self, m: Module, moves: Signal, advance: Signal) -> Signal:
        """Whether the row that would leave the planner closes a flit while the last one leaves."""
        words = self.shape.words_per_flit
        early = Signal()
        if words == 1:
            return early
        cut = self.planner.planned.cut
        closes = cut.ended | cut.cut
        # Cycles until another flit may close.
        left = Signal(range(words))
        m.d.comb += early.eq(closes & (left != 0))
        with m.If(advance & closes):
            m.d.sync += left.eq(words - 1)
        with m.Elif(moves & (left != 0)):
            m.d.sync += left.eq(left - 1)
        return early
