"""Quantized groups into the bytes of their records, as rows for an encoder of byte symbols."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.shape import VALUES_PER_CYCLE
from hw.quantizer.layouts import codes_as_planes, group_layout
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantize.records import BLOCK

WORD_BITS = 32


def byte_row_layout(bytes_per_cycle: int, slot_bits: int) -> data.StructLayout:
    """A row of bytes as an encoder of one byte a symbol takes it.

    symbols: the bytes; places from *count* on are not to be looked at. rest: nothing.
    count: bytes of the row. last: the message ends with this row. slot: codebook of the message.
    """
    return data.StructLayout(
        {
            "symbols": data.ArrayLayout(8, bytes_per_cycle),
            "rest": data.ArrayLayout(0, bytes_per_cycle),
            "count": range(bytes_per_cycle + 1),
            "last": 1,
            "slot": slot_bits,
        }
    )


def check_bytes_per_cycle(bytes_per_cycle: int) -> None:
    """Raises ValueError for a row that no encoder takes."""
    if bytes_per_cycle not in VALUES_PER_CYCLE:
        listed = ", ".join(map(str, VALUES_PER_CYCLE))
        raise ValueError(f"bytes_per_cycle is {bytes_per_cycle}: expected {listed}")


def metadata_of(definition: GroupQuantizer, group: data.View) -> Value:
    """A group's metadata as it lies in its record."""
    parts: list[Value] = []
    for name, width in definition.records.metadata:
        if name == "reserved":
            parts.append(C(0, width))
        elif name == "scale":
            parts.append(group.scale[definition.records.scale_shift :][:width])
        else:
            field = Value.cast(group[name])
            parts.append(Cat(field, C(0, width - len(field))))
    return Cat(*parts)


def padding_metadata(definition: GroupQuantizer) -> int:
    """The metadata of a group of zeros, which fills up a message's last record. Its codes are 0."""
    zeros = definition.quantize(np.zeros(definition.group, np.uint16))
    layout = definition.records
    record = definition.pack(zeros)[: layout.groups * layout.metadata_bits // 8]
    return int.from_bytes(record, "little") & ((1 << layout.metadata_bits) - 1)


@dataclass(frozen=True)
class _Next:
    """The group behind the one at hand."""

    valid: Value
    group: data.View
    take: Signal


class RecordPacker(wiring.Component):
    """Writes the records of groups, byte for byte as `GroupQuantizer.pack` does.

    The parts of a record are its metadata with the planes of the first 32 values, then the planes
    of each 32 more; one part is placed behind what is left of the one before in a cycle. Where a
    record is two groups, its first group waits for the second; a message of an odd number of groups
    is filled up with the group of zeros.

    **Throughput**: 32 values and one row a cycle, whichever takes longer. At the end of a message a
    last row that is not full may cost one cycle.
    **Latency**: *latency* cycles from the transfer of the group that completes a record to the row
    with its last byte being offered, and one more where a full row goes before it.
    **Back-pressure**: `i.ready` depends on `o.ready` in the same cycle; `o.valid` does not.

    Parameters
    ----------
    definition: the quantizer. bytes_per_cycle: bytes of a row, 4, 8, 16, 32 or 64.
    slot_bits: width of the number of a codebook.

    Members
    -------
    i: In, stream of groups, see `group_layout`.
    o: Out, stream of rows, see `byte_row_layout`. All rows of a message but the last are full.
    slot: In, codebook of the messages; it shows in `o`, so it must stand while a message is inside.
    """

    def __init__(self, *, definition: GroupQuantizer, bytes_per_cycle: int, slot_bits: int = 1):
        check_bytes_per_cycle(bytes_per_cycle)
        if slot_bits < 1:
            raise ValueError(f"slot_bits is {slot_bits}: expected 1 or more")
        self.definition = definition
        self.bytes_per_cycle = bytes_per_cycle
        self.layout = definition.records
        self.blocks = definition.group // BLOCK
        # The first group of two cannot leave before the second is here; if that takes several
        # cycles then, a third must have a place to wait, or whoever brings it stalls.
        self.registered = self.layout.groups == 2 and self.blocks > 1
        self.latency = self.blocks * (1 + self.registered) + 1
        self.row_words = 8 * bytes_per_cycle // WORD_BITS
        self.head_words = self.layout.groups * self.layout.metadata_bits // WORD_BITS
        self.part_words = self.head_words + definition.bits
        super().__init__(
            {
                "i": In(stream.Signature(group_layout(definition))),
                "o": Out(stream.Signature(byte_row_layout(bytes_per_cycle, slot_bits))),
                "slot": In(slot_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        insert, first, ends = Signal(), Signal(), Signal()
        room = Signal()
        part = self._part(m, room, insert, first, ends)
        self._rows(m, part, room, insert, first, ends)
        return m

    def _next(self, m: Module) -> _Next:
        take = Signal()
        if not self.registered:
            m.d.comb += self.i.ready.eq(take)
            return _Next(self.i.valid, self.i.payload, take)
        valid = Signal()
        group = Signal(group_layout(self.definition), reset_less=True)
        m.d.comb += self.i.ready.eq(~valid | take)
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), group.eq(self.i.payload)]
        return _Next(valid, group, take)

    def _part(self, m: Module, room: Signal, insert: Signal, first: Signal, ends: Signal) -> Value:
        """The part of a record that is next, and the walk from one to the next.

        *insert*: it is there and there is *room* for it. *first*: it begins with the metadata.
        *ends*: it is the last of its message.
        """
        following = self._next(m)
        group = Signal(group_layout(self.definition), reset_less=True)
        valid, block = Signal(), Signal(range(max(self.blocks, 2)))
        second, padding = Signal(), Signal()
        finished = Signal()
        pairs = self.layout.groups == 2
        alone = Signal()
        m.d.comb += [
            first.eq(~second & (block == 0)),
            alone.eq(group.last & ~second & pairs),
            finished.eq(insert & (block == self.blocks - 1)),
            following.take.eq(~valid | (finished & ~alone)),
            ends.eq(finished & group.last & ~alone),
            insert.eq(valid & room & (~(first & pairs) | alone | following.valid)),
        ]
        with m.If(insert):
            m.d.sync += block.eq(Mux(finished, 0, block + 1))
        with m.If(finished & pairs):
            m.d.sync += [second.eq(~second), padding.eq(alone)]
        with m.If(following.take):
            m.d.sync += [valid.eq(following.valid), group.eq(following.group)]

        head = metadata_of(self.definition, group)
        if pairs:
            other = metadata_of(self.definition, following.group)
            head = Cat(head, Mux(alone, padding_metadata(self.definition), other))
        planes = codes_as_planes(self.definition, group.codes)
        width = BLOCK * self.definition.bits
        body = Signal(width)
        part = Signal(len(head) + width)
        m.d.comb += [
            body.eq(planes.word_select(block, width) & (~padding).replicate(width)),
            part.eq(Mux(first, Cat(head, body), body)),
        ]
        return part

    def _rows(
        self, m: Module, part: Value, room: Signal, insert: Signal, first: Signal, ends: Signal
    ) -> None:
        """Places parts one behind the other and gives away full rows."""
        row_words, row_bits = self.row_words, 8 * self.bytes_per_cycle
        capacity = self.part_words + row_words - 1
        # Zero above what is filled, so that parts are placed by an OR.
        kept = Signal(WORD_BITS * capacity)
        fill = Signal(range(capacity + 1))
        ending, full, closes, pop = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            full.eq(fill >= row_words),
            closes.eq(ending & (fill <= row_words)),
            pop.eq(self.o.valid & self.o.ready),
            # A part is placed where less than a row is left, or the next message begins.
            room.eq(Mux(pop, closes | (~ending & (fill < 2 * row_words)), ~ending & ~full)),
            self.o.valid.eq(full | ending),
            self.o.p.symbols.eq(kept[:row_bits]),
            self.o.p.count.eq(Mux(full, self.bytes_per_cycle, Cat(C(0, 2), fill))),
            self.o.p.last.eq(closes),
            self.o.p.slot.eq(self.slot),
        ]
        # Rows are a power of two of words: what is left behind them is the same with and without
        # the row that leaves now.
        left = fill[: (row_words - 1).bit_length()] & ~ending.replicate(
            (row_words - 1).bit_length()
        )
        placed = (part & insert.replicate(len(part))) << Cat(C(0, 5), left)
        m.d.sync += kept.eq(Mux(pop, kept[row_bits:], kept) | placed)
        words = Mux(first, self.part_words, self.definition.bits)
        stays = Mux(pop, Mux(closes, 0, fill - row_words), fill)
        m.d.sync += fill.eq(stays + Mux(insert, words, 0))
        with m.If(pop & closes):
            m.d.sync += ending.eq(0)
        with m.If(insert & ends):
            m.d.sync += ending.eq(1)
