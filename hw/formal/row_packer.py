"""The log-tree packer: every bit of every code word in its place of the flit."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value

from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Property
from hw.formal.small import SmallShape
from hw.huffman.encoder_timing import packer_latency
from hw.huffman.row_packer import BLOCK_BITS, RowPacker
from linksim.codecs.chunk import HEADER_BITS

_LATENCY = packer_latency(4)
"""Of the packer that is proven here."""


class PackedRow(Harness):
    """Bit j of the word in place k stands behind the words before it in its flit.

    A row may go on in the open flit, or open another one at any of its places. What is placed is
    compared bit by bit with a model that knows only where the open flit ends: one bit of one word,
    chosen freely, and one bit that no word covers, which must be zero.
    """

    def __init__(self, shape: SmallShape):
        super().__init__()
        self.shape = shape
        self.dut = RowPacker(shape)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        shape, limit = self.shape, HEADER_BITS + self.shape.max_code_bits
        places = range(shape.values_per_cycle)
        self.free_inputs(m, dut, but={"before"})
        first_of_next = self.free(m, range(shape.values_per_cycle), "first_of_next")
        for k in places:
            self.assume(m, dut.lengths[k] <= shape.max_length)
            self.assume(m, (dut.words[k] >> dut.lengths[k]) == 0)
            m.d.comb += dut.before[k].eq(~dut.opens | (k < first_of_next))

        # The model's row, at the packer's second cycle.
        words = [self._late(m, word, 2, f"word{k}") for k, word in enumerate(dut.words)]
        lengths = [self._late(m, one, 2, f"length{k}") for k, one in enumerate(dut.lengths)]
        before = self._late(m, dut.before, 2, "before")
        opens = self._late(m, dut.opens, 2, "opens")
        ends = [sum(lengths[: k + 1], start=Const(0)) for k in places]
        kept = [Mux(before[k], lengths[k], 0) for k in places]
        cut = Signal(range(shape.row_bits + 1), name="cut_bits_model")
        position = Signal(range(limit + 1), init=HEADER_BITS, name="position_model")
        m.d.comb += cut.eq(Mux(opens, sum(kept, start=Const(0)), ends[-1]))
        self.assume(m, position + cut <= limit)
        m.d.sync += position.eq(Mux(opens, HEADER_BITS + ends[-1] - cut, position + cut))
        self.shown += ["position_model", "cut_bits_model"]
        self.check(m, "total", dut.total == ends[-1], "the row's bits are counted")
        self.check(m, "cut", dut.cut_bits == cut, "so are those before the cut")
        tied = self.spy(m, len(position), "dut.position")
        self.check(m, "position", tied == position, "the packer knows where the open flit ends")
        self.check(m, "limit", position <= limit, "the open flit does not end behind its payload")
        self._check_bits(m, words, lengths, ends, before, opens, cut, position)

    def _late(self, m: Module, value: Value, cycles: int, name: str) -> Signal:
        """*value* so many cycles ago, zero at first: rows that never were are empty."""
        value = Value.cast(value)
        for cycle in range(cycles):
            held = Signal(len(value), name=f"{name}_late{cycle + 1}")
            m.d.sync += held.eq(value)
            value = held
        return value

    def _check_bits(
        self,
        m: Module,
        words: Sequence[Value],
        lengths: Sequence[Value],
        ends: Sequence[Value],
        before: Value,
        opens: Value,
        cut: Value,
        position: Value,
    ) -> None:
        packed, late = self.dut.packed, self.dut.latency - 2
        place = self.constant(m, range(len(words)), "place")
        bit = self.constant(m, range(self.shape.max_length), "bit")
        word, start, length, old = (
            Signal(len(words[0]), name="the_word"),
            Signal(len(ends[-1]), name="the_start"),
            Signal(len(lengths[0]), name="the_length"),
            Signal(name="the_old"),
        )
        with m.Switch(place):
            for k, (one, bits, end) in enumerate(zip(words, lengths, ends, strict=True)):
                with m.Case(k):
                    m.d.comb += [
                        word.eq(one),
                        length.eq(bits),
                        start.eq(end - bits),
                        old.eq(before[k]),
                    ]
        word, start, length, old, opens, cut, position, total = (
            self._late(m, value, late, f"then{number}")
            for number, value in enumerate(
                (word, start, length, old, opens, cut, position, ends[-1])
            )
        )
        low, block_bits = position[:4], BLOCK_BITS
        header_bit = HEADER_BITS % block_bits
        opening = Signal(range(len(packed.bits) + block_bits))
        m.d.comb += opening.eq(Cat(Const(header_bit, 4), packed.split))
        at = Mux(old, low + start, opening + start - cut) + bit
        found = packed.bits.bit_select(at.as_unsigned()[: len(opening)], 1)
        self.show(m, packed.bits, "packed_bits")
        self.show(m, packed.split, "packed_split")
        # What stands in registers that are not reset is forgotten by then.
        full = self.cycle(m, self.dut.latency) == self.dut.latency
        here = full & (bit < length)
        wanted = word.bit_select(bit, 1)
        self.check(m, "bit", ~here | (found == wanted), "bit j of word k is in its place")
        self.check(
            m, "block", ~full | (packed.block == position >> 4), "the row begins in its block"
        )
        self.check(m, "opens", ~full | (packed.opens == opens), "a flit opens when it should")
        self.check(
            m,
            "apart",
            ~full | ~opens | (cut == 0) | (opening >= low + cut),
            "the two flits of a row are kept apart",
        )
        other = self.constant(m, range(len(packed.bits)), "other_bit")
        self.assume(m, other < len(packed.bits))
        in_old = (other >= low) & (other < low + cut)
        in_new = opens & (other >= opening) & (other < opening + total - cut)
        empty = ~packed.bits.bit_select(other, 1)
        self.check(m, "zero", ~full | in_old | in_new | empty, "where no word is, there is zero")
        self.reach(m, "both", opens & here & ~old & (cut != 0))
        self.reach(m, "most", total == self.shape.row_bits)


def _packed(name: str, shape: SmallShape) -> Property:
    def lose(m, packer):
        m.d.comb += packer.packed.bits[20].eq(0)

    def late_split(m, packer):
        with m.If(packer.packed.opens):
            m.d.comb += packer.packed.split.eq(1)

    return Property(
        name=f"row-packer-{name}",
        sentence="code words stand one behind the other in their flits; no bit is lost or doubled",
        build=lambda: PackedRow(shape),
        depth=_LATENCY + 4,
        induction=_LATENCY + 1,
        mutants=(
            statement("one bit is lost", RowPacker, lose),
            statement("a flit opens in another block", RowPacker, late_split),
        ),
    )


def _shape(values_per_cycle: int, max_length: int) -> SmallShape:
    return SmallShape(
        symbol_bits=4,
        rest_bits=0,
        min_length=1,
        max_length=max_length,
        values_per_cycle=values_per_cycle,
        payload_nbytes=20,
        run_symbols=16,
    )


PROPERTIES = (_packed("4x6", _shape(4, 6)),)
