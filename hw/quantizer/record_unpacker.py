"""Decoded bytes into the fields of their records, row by row of codes, for a dequantizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.quantizer.layouts import check_values_per_cycle, code_row_layout, shared_fields
from hw.quantizer.record_packer import WORD_BITS, check_bytes_per_cycle
from linksim.codecs.quantize import GroupQuantizer, bf16
from linksim.codecs.quantize.records import BLOCK

WORD_NBYTES = WORD_BITS // 8


def decoded_bytes_layout(bytes_per_cycle: int) -> data.StructLayout:
    """A row of bytes as a decoder of one byte a symbol gives it; any row may be short or empty.

    symbols: the bytes, *count* of them from place 0 up. rest: nothing. last: the message ends with
    this row. error: the message is damaged. flit_end: of no interest here.
    """
    return data.StructLayout(
        {
            "symbols": data.ArrayLayout(8, bytes_per_cycle),
            "rest": data.ArrayLayout(0, bytes_per_cycle),
            "count": range(bytes_per_cycle + 1),
            "flit_end": 1,
            "last": 1,
            "error": 1,
        }
    )


def unpacked_layout(definition: GroupQuantizer, values_per_cycle: int) -> data.StructLayout:
    """`code_row_layout`, and with the last row of a message whether the message was damaged."""
    members = {name: field.shape for name, field in code_row_layout(definition, values_per_cycle)}
    return data.StructLayout({**members, "error": 1})


def fields_of(definition: GroupQuantizer, metadata: Value) -> dict[str, Value]:
    """The fields of a group's metadata, all bits of them, by name."""
    fields, start = {}, 0
    for name, width in definition.records.metadata:
        fields[name] = metadata[start : start + width]
        start += width
    fields["scale"] = Cat(C(0, definition.records.scale_shift), fields["scale"])
    return fields


def breaks_a_rule(definition: GroupQuantizer, metadata: Value) -> Value:
    """Whether a group's metadata is none: rules 2, 3, 4 and 6 of `docs/quantizer.md`.

    Of rule 3, as far as the scale has a sign bit that travels or lies outside its exponents.
    """
    fields = fields_of(definition, metadata)
    scale = fields["scale"]
    exponent = scale[bf16.FRACTION_BITS :]
    exponents = definition.records.scale_exponents
    allowed = (exponent >= exponents[0]) & (exponent <= exponents[-1])
    poisoned = scale == bf16.NAN
    broken = ~(allowed | poisoned)
    if "reserved" in fields:
        broken |= fields["reserved"].any()
    if definition.has_zero_point:
        broken |= fields["zero"][definition.bits :].any()
    else:
        broken |= fields["zero"][bf16.FRACTION_BITS : 15].all() & ~poisoned
    if definition.spikes:
        index_bits = (definition.group - 1).bit_length()
        low, high = fields["low_index"], fields["high_index"]
        broken |= (low | high)[index_bits:].any() | (low == high)
    return broken


def codes_of_block(bits: int, planes: Sequence[int], block: Value) -> list[Value]:
    """The codes of 32 values from their planes."""
    parts: list[list[Value]] = [[] for _ in range(BLOCK)]
    start = 0
    for width in planes:
        for place, found in enumerate(parts):
            found.insert(0, block[start + place * width :][:width])
        start += BLOCK * width
    return [Cat(*found) for found in parts]


@dataclass(frozen=True)
class _Place:
    """Where in a record the row at hand lies."""

    first: Signal
    """The metadata is at the ring's head, in front of the codes."""
    second: Signal
    """It is of the second group."""
    row: Signal
    """Number of the row among the 32 values whose planes lie together."""
    row_ends: Signal
    """It is the last row of those."""
    record_ends: Signal
    """It is the last row of its record."""


class RecordUnpacker(wiring.Component):
    """Reads records, byte for byte what `GroupQuantizer.pack` writes.

    Bytes are gathered in a ring and read from there in whole parts: a record's metadata with the
    planes of its first 32 values, then the planes of each 32 more. The last row of a record is held
    back until another byte follows or the message has ended, so that `last` is always right.

    **Throughput**: a row of codes and a row of bytes a cycle, whichever takes longer; with the
    smallest ring 64 rows of 32 codes of 4 bits take 67 cycles, with the next one 64. After the last
    bytes of a message no more are taken until all of its rows are given.
    **Latency**: *latency* cycle from the transfer of the bytes that complete a row to that row
    being offered.
    **Damage**: `error` comes with `last`: the decoder said so, the message is no whole number of
    records (then a row is added that carries nothing else), or metadata breaks a rule, see
    `breaks_a_rule`. The next message is not affected.
    **Back-pressure**: `i.ready` does not depend on `o.ready`, nor `o.valid`.

    Parameters
    ----------
    definition: the quantizer. bytes_per_cycle: bytes of a row, 4, 8, 16, 32 or 64.
    values_per_cycle: codes of a row, 8, 16 or 32.
    ring_rows: rows of bytes that the ring holds, a power of two; by default the fewest possible.

    Raises
    ------
    ValueError where no such unpacker can be built.

    Members
    -------
    i: In, stream of bytes, see `decoded_bytes_layout`.
    o: Out, stream of codes, see `unpacked_layout`. The group of zeros that may fill up a message's
       last record is given as well.
    """

    latency = 1

    def __init__(
        self,
        *,
        definition: GroupQuantizer,
        bytes_per_cycle: int,
        values_per_cycle: int,
        ring_rows: int | None = None,
    ):
        check_bytes_per_cycle(bytes_per_cycle)
        check_values_per_cycle(values_per_cycle)
        self.definition = definition
        self.bytes_per_cycle = bytes_per_cycle
        self.values_per_cycle = values_per_cycle
        self.layout = definition.records
        self.head_bits = self.layout.groups * self.layout.metadata_bits
        self.block_nbytes = WORD_NBYTES * definition.bits
        self.part_nbytes = self.head_bits // 8 + self.block_nbytes
        # A part, the byte that shows that more follows, and room for a row.
        fewest = 1 << (self.part_nbytes // bytes_per_cycle + 1).bit_length()
        ring_rows = fewest if ring_rows is None else ring_rows
        if ring_rows < fewest or ring_rows & (ring_rows - 1):
            raise ValueError(f"ring_rows is {ring_rows}: expected a power of two from {fewest} on")
        self.ring_nbytes = ring_rows * bytes_per_cycle
        super().__init__(
            {
                "i": In(stream.Signature(decoded_bytes_layout(bytes_per_cycle))),
                "o": Out(stream.Signature(unpacked_layout(definition, values_per_cycle))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self.fill = Signal(range(self.ring_nbytes + 1))
        self.ended, self.suspect = Signal(), Signal()
        accept, give, over = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~self.ended & (self.fill <= self.ring_nbytes - self.bytes_per_cycle)),
            accept.eq(self.i.ready & self.i.valid),
            give.eq(self.o.valid & self.o.ready),
            over.eq(give & self.o.p.last),
        ]
        with m.If(accept):
            m.d.sync += [
                self.ended.eq(self.i.p.last),
                self.suspect.eq(self.suspect | self.i.p.error),
            ]
        ring = self._written(m, accept, over)
        read = Signal(range(self.ring_nbytes // WORD_NBYTES))
        place = self._place(m, give, over)
        head = self._from(m, ring, read, self.part_nbytes)
        metadata = self._offered(m, head, place, give)
        part = Mux(place.first, self.part_nbytes, self.block_nbytes)
        self._verdict(m, part, place, metadata, give)

        taken = Mux(give & place.row_ends, part, 0)
        m.d.sync += [
            read.eq(read + taken[2:]),
            self.fill.eq(self.fill + Mux(accept, self.i.p.count, 0) - taken),
        ]
        with m.If(over):
            m.d.sync += [self.ended.eq(0), self.suspect.eq(0), self.fill.eq(0), read.eq(0)]
        return m

    def _written(self, m: Module, accept: Signal, over: Signal) -> list[Value]:
        """The words of the ring, into which the bytes of rows are written one behind the other."""
        width = self.bytes_per_cycle
        write = Signal(range(self.ring_nbytes))
        lane_bits = (width - 1).bit_length()
        lane, turn = write[:lane_bits], write[lane_bits:]
        with m.If(accept):
            m.d.sync += write.eq(write + self.i.p.count)
        with m.If(over):
            m.d.sync += write.eq(0)
        symbols = [self.i.p.symbols[place] for place in range(width)]
        filled: list[Value] = [accept & (place < self.i.p.count) for place in range(width)]
        for level in range(lane_bits):
            symbols = _turned(m, symbols, 1 << level, lane[level])
            filled = _turned(m, filled, 1 << level, lane[level])
        turns = self.ring_nbytes // width
        at = [_named(m, turn == number, f"turn{number}") for number in range(turns)]
        wrapped = [_named(m, column < lane, f"wrapped{column}") for column in range(width)]
        ring = []
        for place in range(self.ring_nbytes):
            number, column = divmod(place, width)
            byte = Signal(8, name=f"byte{place}", reset_less=True)
            here = Mux(wrapped[column], at[number - 1], at[number])
            with m.If(filled[column] & here):
                m.d.sync += byte.eq(symbols[column])
            ring.append(byte)
        return [Cat(*ring[start : start + 4]) for start in range(0, len(ring), WORD_NBYTES)]

    def _from(self, m: Module, ring: list[Value], read: Signal, nbytes: int) -> Value:
        """*nbytes* of the ring from word *read* on."""
        words, need = ring, nbytes // WORD_NBYTES
        for level in reversed(range(len(read))):
            step = 1 << level
            words = [
                _named(
                    m,
                    Mux(read[level], words[(place + step) % len(words)], words[place % len(words)]),
                    f"read{step}_{place}",
                )
                for place in range(need + step - 1)
            ]
        return Cat(*words[:need])

    def _place(self, m: Module, give: Signal, over: Signal) -> _Place:
        """Counts rows, blocks and groups."""
        rows, blocks = BLOCK // self.values_per_cycle, self.definition.group // BLOCK
        row, block = Signal(range(max(rows, 2))), Signal(range(max(blocks, 2)))
        second, first = Signal(), Signal()
        row_ends, block_ends, record_ends = Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(~second & (block == 0)),
            row_ends.eq(row == rows - 1),
            block_ends.eq(row_ends & (block == blocks - 1)),
            record_ends.eq(block_ends & (second | (self.layout.groups == 1))),
        ]
        with m.If(give):
            m.d.sync += row.eq(Mux(row_ends, 0, row + 1))
            with m.If(row_ends):
                m.d.sync += block.eq(Mux(block_ends, 0, block + 1))
            with m.If(block_ends):
                m.d.sync += second.eq(~second & (self.layout.groups == 2))
        with m.If(over):
            m.d.sync += [row.eq(0), block.eq(0), second.eq(0)]
        return _Place(first, second, row, row_ends, record_ends)

    def _offered(self, m: Module, head: Value, place: _Place, give: Signal) -> Value:
        """Fields and codes of the row at hand; the metadata of its record."""
        saved = Signal(self.head_bits, reset_less=True)
        metadata = Signal(self.head_bits)
        width, bits = BLOCK * self.definition.bits, self.layout.metadata_bits
        block = _named(m, Mux(place.first, head[self.head_bits :], head[:width]), "block")
        m.d.comb += metadata.eq(Mux(place.first, head[: self.head_bits], saved))
        with m.If(give & place.first):
            m.d.sync += saved.eq(metadata)
        own = (
            Mux(place.second, metadata[bits:], metadata[:bits])
            if self.layout.groups == 2
            else metadata
        )
        own = _named(m, own, "own_metadata")
        codes = codes_of_block(self.definition.bits, self.layout.planes, block)
        fields = fields_of(self.definition, own)
        row_bits = self.values_per_cycle * self.definition.bits
        m.d.comb += [
            self.o.p[name].eq(fields[name][:field_bits])
            for name, field_bits in shared_fields(self.definition).items()
        ]
        m.d.comb += self.o.p.codes.eq(Cat(*codes).word_select(place.row, row_bits))
        return metadata

    def _verdict(
        self, m: Module, part: Value, place: _Place, metadata: Value, give: Signal
    ) -> None:
        """What may be given, what is the last of its message, and whether that is damaged."""
        here, more, short, broken = Signal(), Signal(), Signal(), Signal()
        bits = self.layout.metadata_bits
        groups = [metadata[start : start + bits] for start in range(0, self.head_bits, bits)]
        wrong = Cat(*(breaks_a_rule(self.definition, group) for group in groups)).any()
        m.d.comb += [
            here.eq(self.fill >= part),
            more.eq(self.fill > part),
            short.eq(self.ended & ~here),
            broken.eq(place.first & wrong),
            self.o.valid.eq(Mux(place.record_ends, more | self.ended, here | self.ended)),
            self.o.p.last.eq(self.ended & Mux(place.record_ends, ~more, ~here)),
            self.o.p.error.eq(self.o.p.last & (self.suspect | broken | short)),
        ]
        with m.If(give & broken):
            m.d.sync += self.suspect.eq(1)


def _turned(m: Module, lanes: list[Value], step: int, select: Value) -> list[Value]:
    """*lanes* moved up by *step* where *select* is set; those at the top come in at the bottom."""
    return [
        _named(m, Mux(select, lanes[place - step], lane), f"turned{step}_{place}")
        for place, lane in enumerate(lanes)
    ]


def _named(m: Module, value: Value, name: str) -> Signal:
    """*value* in a signal of its own: an expression would be built again at every use."""
    signal = Signal(len(value), name=name)
    m.d.comb += signal.eq(value)
    return signal
