"""The memories of a lane pool, each kind a module of its own, to be mapped to macros."""

from __future__ import annotations

from amaranth import Cat, Module, Shape
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.shape import LinkShape


class FlitMemory(wiring.Component):
    """Whole flits, written word by word. Read data follow the address by a cycle.

    Members
    -------
    write: In. write_slot, write_word, write_data: In. read: In. slot: In. flit: Out.
    """

    def __init__(self, shape: LinkShape, *, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "write": In(1),
                "write_slot": In(range(depth)),
                "write_word": In(range(shape.words_per_flit)),
                "write_data": In(8 * shape.word_nbytes),
                "read": In(1),
                "slot": In(range(depth)),
                "flit": Out(shape.payload_bits),
            }
        )

    @property
    def bits(self) -> int:
        return self.depth * self.shape.words_per_flit * 8 * self.shape.word_nbytes

    def elaborate(self, platform):
        m = Module()
        words = []
        for word in range(self.shape.words_per_flit):
            bank = memory.Memory(shape=8 * self.shape.word_nbytes, depth=self.depth, init=[])
            m.submodules[f"word{word}"] = bank
            write, read = bank.write_port(), bank.read_port()
            m.d.comb += [
                write.en.eq(self.write & (self.write_word == word)),
                write.addr.eq(self.write_slot),
                write.data.eq(self.write_data),
                read.en.eq(self.read),
                read.addr.eq(self.slot),
            ]
            words.append(read.data)
        m.d.comb += self.flit.eq(Cat(*words))
        return m


class RecordMemory(wiring.Component):
    """One record an address, written and read once a cycle; read data follow by a cycle.

    Members
    -------
    write, write_address, write_data: In. *Lanes* of the data have a write bit each.
    read: In. address: In. data: Out.
    """

    def __init__(
        self, record: data.StructLayout | int, *, depth: int, granularity: int | None = None
    ):
        self.depth = depth
        self.granularity = granularity
        self.width = Shape.cast(record).width
        lanes = 1 if granularity is None else self.width // granularity
        super().__init__(
            {
                "write": In(lanes),
                "write_address": In(range(depth)),
                "write_data": In(self.width),
                "read": In(1),
                "address": In(range(depth)),
                "data": Out(record),
            }
        )

    @property
    def bits(self) -> int:
        return self.depth * self.width

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = bank = memory.Memory(shape=self.width, depth=self.depth, init=[])
        write, read = bank.write_port(granularity=self.granularity), bank.read_port()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.en.eq(self.read),
            read.addr.eq(self.address),
            self.data.eq(read.data),
        ]
        return m
