"""Encoder and decoder as one: what goes in comes out."""

from __future__ import annotations

from amaranth import Array, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import wiring

from hw.formal.contract import contract, leak
from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Property
from hw.formal.small import SmallBook, small_shapes
from hw.huffman import LinkEncoder
from hw.huffman.row_packer import RowPacker
from hw.huffman.speculative_decoder import SpeculativeDecoder
from hw.huffman.word_buffer import WordBuffer

BOOK = SmallBook((2, 2, 3, *[5] * 9, *[6] * 4), max_length=6)


def small_encoder(values_per_cycle: int, payload_nbytes: int) -> LinkEncoder:
    """An encoder of symbols of 4 bits."""
    with small_shapes():
        return LinkEncoder(
            codebooks=[BOOK],
            values_per_cycle=values_per_cycle,
            payload_nbytes=payload_nbytes,
            run_symbols=8,
        )


def small_decoder(encoder: LinkEncoder) -> SpeculativeDecoder:
    """A decoder for what *encoder* writes."""
    shape = encoder.shape
    with small_shapes():
        return SpeculativeDecoder(
            codebooks=[BOOK],
            values_per_cycle=shape.values_per_cycle,
            payload_nbytes=shape.payload_nbytes,
            run_symbols=shape.run_symbols,
            words_per_flit=shape.words_per_flit,
        )


class RoundTrip(Harness):
    """One message of up to *most* values through both cores.

    One value, at a place of free choice, is kept on its way in and compared on its way out. The
    message ends where it ended, no flit is refused, and everything is out after *cycles*.
    """

    def __init__(self, *, values_per_cycle: int, payload_nbytes: int, most: int, cycles: int):
        super().__init__()
        self.encoder = small_encoder(values_per_cycle, payload_nbytes)
        self.decoder = small_decoder(self.encoder)
        self.most = most
        # With registers of any value at first, the proof takes several times as long.
        self.any_start = False
        self.cycles = cycles

    def describe(self, m: Module) -> None:
        m.submodules.encoder = encoder = self.encoder
        m.submodules.decoder = decoder = self.decoder
        wiring.connect(m, encoder.o, decoder.i)
        length = self.constant(m, range(self.most + 1), "length")
        which = self.constant(m, range(self.most), "which")
        self.assume(m, (length != 0) & (length <= self.most) & (which < length))
        kept = self._send(m, length, which)
        out, received = decoder.o.payload, Signal(range(self.most + 64), name="received")
        valid = self.show(m, decoder.o.valid, "o_valid")
        self.show(m, out, "o_payload")
        finished = Signal(name="finished")
        m.d.comb += decoder.o.ready.eq(1)
        with m.If(valid):
            m.d.sync += [received.eq(received + out.count), finished.eq(finished | out.last)]
        self.shown += ["received", "finished"]
        here = valid & (received <= which) & (which < received + out.count)
        place = (which - received).as_unsigned()[: range(len(out.symbols)).stop.bit_length() - 1]
        found = Array(out.symbols)[place]
        self.check(m, "same", ~here | (found == kept), "every value comes out as it went in")
        self.check(m, "no_error", ~(valid & out.error), "no flit is refused")
        ends = received + out.count == length
        self.check(m, "length", ~(valid & out.last) | ends, "the message ends where it ended")
        self.check(m, "once", ~(valid & finished), "nothing comes behind it")
        late = self.cycle(m, self.cycles) == self.cycles
        self.check(m, "in_time", ~late | finished, "all of it is out in time")
        slot = encoder.o.payload.data[13:18]
        self.show(m, encoder.o.valid, "word_valid")
        self.show(m, encoder.o.payload.data, "word")
        coded = Signal(name="coded")
        with m.If(encoder.o.valid & (slot != 0)):
            m.d.sync += coded.eq(1)
        self.reach(m, "coded", finished & coded)
        self.reach(m, "longest", finished & (length == self.most))

    def _send(self, m: Module, length: Value, which: Value) -> Signal:
        """The message, row by row without gaps; the value that is followed."""
        row = self.encoder.i.payload
        width = len(row.symbols)
        sent = Signal(range(self.most + width + 1), name="sent")
        self.shown.append("sent")
        symbols = [self.free(m, len(row.symbols[k]), f"symbol{k}") for k in range(width)]
        left = length - sent
        m.d.comb += [
            self.encoder.i.valid.eq(~ResetSignal() & (sent < length)),
            row.count.eq(Mux(left < width, left, width)),
            row.last.eq(left <= width),
            row.slot.eq(1),
            *(place.eq(symbol) for place, symbol in zip(row.symbols, symbols, strict=True)),
        ]
        kept = Signal(len(symbols[0]), name="kept", reset_less=True)
        self.shown.append("kept")
        with m.If(self.encoder.i.valid & self.encoder.i.ready):
            m.d.sync += sent.eq(sent + row.count)
            with m.If((which >= sent) & (which < sent + width)):
                place = (which - sent).as_unsigned()[: width.bit_length() - 1]
                m.d.sync += kept.eq(Array(symbols)[place])
        return kept


def _flip(m: Module, packer: RowPacker) -> None:
    m.d.comb += packer.packed.bits[10].eq(0)


def _round_trip(name: str, **sizes: int) -> Property:
    return Property(
        name=f"round-trip-{name}",
        sentence=f"every message of up to {sizes['most']} symbols of 4 bits, in flits of "
        f"{sizes['payload_nbytes']} bytes, is decoded as it was before it was encoded",
        build=lambda: RoundTrip(**sizes),
        depth=sizes["cycles"] + 2,
        mutants=(statement("one bit of the packer is lost", RowPacker, _flip),),
    )


def _withdraw(m: Module, component: wiring.Component) -> None:
    with m.If(~component.o.ready):
        m.d.sync += component.o.valid.eq(0)


PROPERTIES = (
    contract(
        "encoder",
        lambda: small_encoder(4, 8),
        statement("an offered word is withdrawn", WordBuffer, _withdraw),
        depth=22,
    ),
    contract(
        "speculative-decoder",
        lambda: small_decoder(small_encoder(4, 8)),
        leak(SpeculativeDecoder),
        depth=20,
    ),
    _round_trip("w4", values_per_cycle=4, payload_nbytes=6, most=8, cycles=40),
)
