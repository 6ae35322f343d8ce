"""How many values of a block count, and whether the flit keeps the rules of the format."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import pick
from hw.huffman.flit_plan import most_entries, plan_layout
from hw.huffman.shape import LinkShape
from hw.huffman.start_finder import CHUNK_BITS
from linksim.codecs.chunk import HEADER_BITS, RAW_SLOT


class FlitChecks(wiring.Component):
    """Counts the values of a flit down, and holds it against its entry points, gap and end.

    A flit is refused for: what its plan says; bits that begin no code word; a run that does not
    begin where the table says; code words that end behind the body; bits set between them and its
    end; table bits set behind the last entry. That the table points into the code words follows.

    *count* is combinational; the verdict comes 2 cycles after the block.

    Members
    -------
    begin: In, the next block is the first of a flit with *plan*. plan: In, see `plan_layout`.
    tail: In, the last bytes of its payload, as many as a table may have.
    valid: In, there is a block. last: In, it is the flit's last one.
    starts, bits: In, where code words begin in it, and its bits. found: In, how many do.
    skipped: In, by slot, slots before it in which none begins.
    unknown: In, slots whose bits begin no code word.
    body_chunks: In, how many of its chunks belong to the body.
    complete: In, its last code word ends with it.
    count: Out, values of the block that belong to the flit.
    refused: Out, the flit of the block two cycles before breaks a rule, as far as it is known.
    """

    latency = 2

    def __init__(self, shape: LinkShape, *, books: int, bits_per_cycle: int, slot_bits: int):
        self.shape = shape
        self.slot_bits = slot_bits
        self.slots = slots = bits_per_cycle // slot_bits
        self.table_nbytes = shape.table_nbytes(most_entries(shape))
        super().__init__(
            {
                "begin": In(1),
                "plan": In(plan_layout(shape, books)),
                "tail": In(8 * self.table_nbytes),
                "valid": In(1),
                "last": In(1),
                "starts": In(bits_per_cycle),
                "bits": In(bits_per_cycle),
                "found": In(range(slots + 1)),
                "skipped": In(data.ArrayLayout(range(slots), slots)),
                "unknown": In(slots),
                "body_chunks": In(range(bits_per_cycle // CHUNK_BITS + 1)),
                "complete": In(1),
                "count": Out(range(slots + 1)),
                "refused": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        remaining = Signal.like(self.plan.values)
        more = Signal()
        m.d.comb += [
            more.eq(self.found > remaining),
            self.count.eq(Mux(more, remaining, self.found)),
        ]
        with m.If(self.begin):
            m.d.sync += remaining.eq(self.plan.values)
        with m.Elif(self.valid):
            m.d.sync += remaining.eq(Mux(more, 0, remaining - self.found))
        broken = [*self._end(m, remaining, more), *self._runs(m, remaining, more)]
        found = Signal(len(broken))
        first = Signal(init=1)
        plan_refused, refused = Signal(), Signal()
        m.d.sync += found.eq(Cat(*broken) & self.valid.replicate(len(broken)))
        # What the plan says comes with the first block, and the verdict is kept until the next one.
        with m.If(self.begin):
            m.d.sync += [first.eq(1), plan_refused.eq(self.plan.refused)]
        with m.Elif(self.valid):
            m.d.sync += first.eq(0)
        m.d.comb += refused.eq(found.any())
        anew, before = Signal(), Signal()
        m.d.sync += [anew.eq(first & self.valid), before.eq(plan_refused)]
        m.d.sync += self.refused.eq(refused | Mux(anew, before, self.refused))
        return m

    def _end(self, m: Module, remaining: Signal, more: Signal) -> list[Value]:
        """Rules of the end of the code words, by block."""
        ended = Signal()
        with m.If(self.begin):
            m.d.sync += ended.eq(0)
        with m.Elif(self.valid & more):
            m.d.sync += ended.eq(1)
        gap, unknown = [], []
        for slot in range(self.slots):
            # Code words of the flit that begin before the slot: the one after the last ends it.
            before = Signal(range(self.slots), name=f"before{slot}")
            m.d.comb += before.eq(slot - self.skipped[slot])
            beyond, at_end = Signal(name=f"beyond{slot}"), Signal(name=f"at_end{slot}")
            m.d.comb += [
                beyond.eq(ended | (before > remaining)),
                at_end.eq(before == remaining),
            ]
            unknown.append(self.unknown[slot] & ~beyond & ~at_end)
            first = slot * self.slot_bits
            for bit in range(first, first + self.slot_bits):
                gap.append(beyond | (at_end & self.starts[first : bit + 1].any()))
        bits = self.bits & Cat(*gap)
        chunks = len(self.bits) // CHUNK_BITS
        set_bits = [
            bits.word_select(chunk, CHUNK_BITS).any() & (self.body_chunks > chunk)
            for chunk in range(chunks)
        ]
        ends_with = ended | more | ((self.found == remaining) & self.complete)
        kept = [
            ends_with if chunk == chunks else gap[chunk * CHUNK_BITS]
            for chunk in range(1, chunks + 1)
        ]
        within = Cat(
            *((self.body_chunks == chunk) & inside for chunk, inside in enumerate(kept, start=1))
        ).any()
        return [*set_bits, self.last & ~within, Cat(*unknown).any()]

    def _runs(self, m: Module, remaining: Signal, more: Signal) -> list[Value]:
        """Rules of the entry points, by block."""
        shape = self.shape
        entries = most_entries(shape)
        if not entries:
            return []
        run, entry_bits = shape.run_symbols, shape.entry_bits
        tables = [
            Const(self.table_nbytes - shape.table_nbytes(k), range(self.table_nbytes + 1))
            for k in range(entries + 1)
        ]
        table = Signal(8 * self.table_nbytes)
        coded, passes = Signal(), Signal()
        # Bits from the block to the next run's first code word; negative where that was missed.
        until = Signal(signed((shape.payload_bits + (1 << entry_bits)).bit_length() + 1))
        # Values from the block to it. It is counted down by all code words found: behind the flit's
        # last value no run is looked for.
        to_end = Signal(range(-self.slots, run + 1))
        opening, following = Signal.like(table), Signal.like(table)
        m.d.comb += [
            opening.eq(self.tail >> Cat(Const(0, 3), pick(tables, Cat(self.plan.entries, 0)))),
            passes.eq(coded & (to_end < self.found) & (to_end < remaining)),
            following.eq(Mux(passes, table >> entry_bits, table)),
        ]
        entry = table[entry_bits : 2 * entry_bits]
        with m.If(self.begin):
            m.d.sync += [
                to_end.eq(run),
                coded.eq(self.plan.slot != RAW_SLOT),
                until.eq(HEADER_BITS + opening[:entry_bits]),
                table.eq(opening),
            ]
        with m.Elif(self.valid):
            m.d.sync += [
                coded.eq(coded & ~more),
                to_end.eq(Mux(passes, to_end + run - self.found, to_end - self.found)),
                until.eq(
                    Mux(passes, until + entry - len(self.bits), until - len(self.bits)),
                ),
                table.eq(following),
            ]
        slot_log2 = self.slot_bits.bit_length() - 1
        place = until[: (len(self.bits) - 1).bit_length()]
        slot = place[slot_log2:]
        before = slot - pick([*self.skipped], Cat(slot, 0))
        hit = (
            (until >= 0)
            & (until < len(self.bits))
            & pick(list(self.starts), place)
            & (before == to_end)
        )
        return [passes & ~hit, self.last & following.any()]
