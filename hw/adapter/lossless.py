"""Values in, flits out, and back: the lossless ends of a link."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.huffman import LinkEncoder
from hw.huffman.layouts import decoded_layout, row_layout
from hw.huffman.speculative_decoder import SpeculativeDecoder
from hw.link_port import LinkReceiver, LinkTransmitter
from hw.link_port.flit_format import PAYLOAD_NBYTES
from hw.link_port.transmitter import flit_word_layout
from linksim.codecs import Codebook


class LosslessSender(wiring.Component):
    """Huffman encoder and link port: rows of values in, flits of 256 bytes out.

    **Throughput**: a row and a flit word of 64 bytes a cycle, whichever takes longer.
    **Latency**: *latency* cycles from the row that closes a flit to the first word of that flit.
    **Back-pressure**: that of its parts; a word offered stays until it is taken.

    Parameters
    ----------
    codebooks: 1 to 8 books of one number format and view, numbered from slot 1.
    values_per_cycle: W, 4, 8, 16, 32 or 64.
    run_symbols: q, values between two entry points.

    Raises
    ------
    ValueError where no such encoder can be built.

    Members
    -------
    i: In, stream of rows, `row_layout` of the encoder. o: Out, stream of `flit_word_layout`.
    """

    def __init__(
        self, *, codebooks: Sequence[Codebook], values_per_cycle: int, run_symbols: int = 64
    ):
        self.encoder = LinkEncoder(
            codebooks=codebooks,
            values_per_cycle=values_per_cycle,
            payload_nbytes=PAYLOAD_NBYTES,
            run_symbols=run_symbols,
        )
        self.shape = self.encoder.shape
        self.transmitter = LinkTransmitter(self.shape)
        self.latency = self.encoder.latency + self.transmitter.latency
        super().__init__(
            {
                "i": In(stream.Signature(row_layout(self.shape, self.encoder.slot_bits))),
                "o": Out(stream.Signature(flit_word_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.encoder, m.submodules.transmitter = self.encoder, self.transmitter
        connect(m, flipped(self.i), self.encoder.i)
        connect(m, self.encoder.o, self.transmitter.i)
        connect(m, self.transmitter.o, flipped(self.o))
        return m


class LosslessReceiver(wiring.Component):
    """Link port and speculative decoder: flits of 256 bytes in, rows of values out.

    Damaged flits and those out of order are dropped by the port, see `LinkReceiver`; `error` of a
    row says that the sender broke the format.

    Parameters
    ----------
    codebooks, values_per_cycle, run_symbols: as those of the sender.
    bits_per_cycle: code bits that the decoder takes apart in a cycle.
    flits: flits that the port's store holds.

    Raises
    ------
    ValueError where no such decoder can be built.

    Members
    -------
    i: In, stream of `flit_word_layout`. o: Out, stream of rows, `decoded_layout`.
    refused, expected: Out, see `LinkReceiver`.
    """

    def __init__(
        self,
        *,
        codebooks: Sequence[Codebook],
        values_per_cycle: int,
        run_symbols: int = 64,
        bits_per_cycle: int | None = None,
        flits: int = 4,
    ):
        self.decoder = SpeculativeDecoder(
            codebooks=codebooks,
            values_per_cycle=values_per_cycle,
            payload_nbytes=PAYLOAD_NBYTES,
            run_symbols=run_symbols,
            words_per_flit=4,
            bits_per_cycle=bits_per_cycle,
        )
        self.shape = self.decoder.shape
        self.port = LinkReceiver(self.shape, flits=flits)
        self.latency = self.port.latency + self.decoder.latency
        super().__init__(
            {
                "i": In(stream.Signature(flit_word_layout())),
                "o": Out(stream.Signature(decoded_layout(self.shape))),
                "refused": Out(1),
                "expected": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.port, m.submodules.decoder = self.port, self.decoder
        connect(m, flipped(self.i), self.port.i)
        connect(m, self.port.o, self.decoder.i)
        connect(m, self.decoder.o, flipped(self.o))
        m.d.comb += [self.refused.eq(self.port.refused), self.expected.eq(self.port.expected)]
        return m
