"""Quantizer, Huffman encoder and link port in one, and the way back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Module
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.adapter.lossless import LosslessReceiver, LosslessSender
from hw.huffman.shape import VALUES_PER_CYCLE
from hw.link_port.transmitter import flit_word_layout
from hw.quantizer.dequantizer import Dequantizer
from hw.quantizer.layouts import row_layout
from hw.quantizer.quantizer import Quantizer
from hw.quantizer.record_packer import RecordPacker
from hw.quantizer.record_unpacker import RecordUnpacker
from linksim.codecs import Codebook
from linksim.codecs.codebook import build_codebook
from linksim.codecs.quantize import GroupQuantizer
from linksim.tensors.dtypes import number_format
from linksim.tensors.views import symbol_view

_BOOK_VALUES, _BOOK_SEED = 1 << 18, 20261121


def record_codebook(definition: GroupQuantizer, *, max_length: int = 12) -> Codebook:
    """A codebook for the bytes of records, from N(0, 1) as most tensors nearly are."""
    values = np.random.default_rng(_BOOK_SEED).standard_normal(_BOOK_VALUES).astype(np.float32)
    patterns = (values.view(np.uint32) >> 16).astype(np.uint16)
    record_bytes = np.frombuffer(definition.pack(definition.quantize(patterns)), np.uint8)
    histogram = np.bincount(record_bytes, minlength=256).astype(np.int64)
    return build_codebook(
        f"records-int{definition.bits}-g{definition.group}",
        symbol_view("pooled", number_format("int8")),
        "any",
        [histogram],
        max_length=max_length,
        source=f"records of {_BOOK_VALUES} values of N(0, 1), seed {_BOOK_SEED}",
    )


def bytes_per_cycle_for(definition: GroupQuantizer, values_per_cycle: int) -> int:
    """The narrowest row of bytes that keeps up with the quantizer's records."""
    needed = definition.bits_per_value * values_per_cycle / 8
    return next(width for width in VALUES_PER_CYCLE if width >= needed)


def dequantized_layout(values_per_cycle: int) -> data.StructLayout:
    """A row of values, the quantizer's `row_layout`, and with the last whether any is damaged."""
    values = row_layout(values_per_cycle).members
    return data.StructLayout({**values, "error": 1})


class QuantizingSender(wiring.Component):
    """Rows of bf16 values in; flits out that carry their quantized groups, Huffman coded.

    The bytes in the flits' payloads are those of `HuffmanFixed(codebooks, "link")` for the records
    that `GroupQuantizer.pack` writes.

    Parameters
    ----------
    definition: the quantizer. codebooks: for the bytes of its records; slot 1 is used.
    values_per_cycle: W, 8, 16 or 32.

    Raises
    ------
    ValueError where no such encoder can be built.

    Members
    -------
    i: In, stream of rows, `row_layout` of the quantizer: a message is whole groups.
    o: Out, stream of `flit_word_layout`.
    """

    def __init__(
        self, *, definition: GroupQuantizer, codebooks: Sequence[Codebook], values_per_cycle: int
    ):
        width = bytes_per_cycle_for(definition, values_per_cycle)
        self.quantizer = Quantizer(definition=definition, values_per_cycle=values_per_cycle)
        self.sender = LosslessSender(codebooks=codebooks, values_per_cycle=width)
        self.packer = RecordPacker(
            definition=definition,
            bytes_per_cycle=width,
            slot_bits=self.sender.encoder.slot_bits,
        )
        super().__init__(
            {
                "i": In(stream.Signature(row_layout(values_per_cycle))),
                "o": Out(stream.Signature(flit_word_layout())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.quantizer, m.submodules.packer = self.quantizer, self.packer
        m.submodules.sender = self.sender
        connect(m, flipped(self.i), self.quantizer.i)
        connect(m, self.quantizer.o, self.packer.i)
        connect(m, self.packer.o, self.sender.i)
        connect(m, self.sender.o, flipped(self.o))
        m.d.comb += self.packer.slot.eq(1)
        return m


class QuantizingReceiver(wiring.Component):
    """Flits in, rows of bf16 values out: what `GroupQuantizer.dequantize` gives.

    The zeros that may fill up a message's last record come out too.

    Parameters
    ----------
    definition, codebooks, values_per_cycle: as those of the sender.
    bits_per_cycle: code bits that the decoder takes apart in a cycle.

    Raises
    ------
    ValueError where no such decoder can be built.

    Members
    -------
    i: In, stream of `flit_word_layout`. o: Out, stream of `dequantized_layout`.
    refused, expected: Out, see `LinkReceiver`.
    """

    def __init__(
        self,
        *,
        definition: GroupQuantizer,
        codebooks: Sequence[Codebook],
        values_per_cycle: int,
        bits_per_cycle: int | None = None,
    ):
        width = bytes_per_cycle_for(definition, values_per_cycle)
        self.receiver = LosslessReceiver(
            codebooks=codebooks, values_per_cycle=width, bits_per_cycle=bits_per_cycle
        )
        self.unpacker = RecordUnpacker(
            definition=definition, bytes_per_cycle=width, values_per_cycle=values_per_cycle
        )
        self.dequantizer = Dequantizer(definition=definition, values_per_cycle=values_per_cycle)
        super().__init__(
            {
                "i": In(stream.Signature(flit_word_layout())),
                "o": Out(stream.Signature(dequantized_layout(values_per_cycle))),
                "refused": Out(1),
                "expected": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver, m.submodules.unpacker = self.receiver, self.unpacker
        m.submodules.dequantizer = self.dequantizer
        codes, values = self.unpacker.o, self.dequantizer
        connect(m, flipped(self.i), self.receiver.i)
        connect(m, self.receiver.o, self.unpacker.i)
        # One verdict for every message inside the dequantizer, which holds a row a cycle.
        depth = self.dequantizer.latency + 2
        m.submodules.verdicts = verdicts = fifo.SyncFIFO(width=1, depth=depth)
        m.d.comb += [
            values.i.valid.eq(codes.valid),
            codes.ready.eq(values.i.ready),
            verdicts.w_en.eq(codes.valid & codes.ready & codes.p.last),
            verdicts.w_data.eq(codes.p.error),
            self.o.valid.eq(values.o.valid),
            self.o.p.values.eq(values.o.p.values),
            self.o.p.last.eq(values.o.p.last),
            self.o.p.error.eq(values.o.p.last & verdicts.r_data),
            values.o.ready.eq(self.o.ready),
            verdicts.r_en.eq(values.o.valid & self.o.ready & values.o.p.last),
            self.refused.eq(self.receiver.refused),
            self.expected.eq(self.receiver.expected),
        ]
        m.d.comb += [values.i.p[name].eq(codes.p[name]) for name, _ in values.i.p.shape()]
        return m
