"""The log-tree packer: a row's code words one behind the other, where the flit wants them."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.huffman.arithmetic import added, prefix_levels, registered
from hw.huffman.encoder_timing import (
    length_registers,
    packer_latency,
    sums_latency,
    tree_registers,
)
from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import HEADER_BITS

BLOCK_BITS = 16
"""Words are shifted within a block of this many bits, and from then on only by whole blocks."""

_START_BLOCK, _START_BIT = divmod(HEADER_BITS, BLOCK_BITS)


def merged_bits(shape: LinkShape, words: int) -> int:
    """Most bits of *words* merged words: what is before them in their block, and before a cut."""
    return words * shape.max_length + 2 * (BLOCK_BITS - 1)


def packed_layout(shape: LinkShape) -> data.StructLayout:
    """A merged row.

    bits: the code words, zero where there is none. block: block of the flit where the row begins.
    opens: another flit opens in the row. split: its words begin in this block of the row, at the
    bit where code words begin in theirs; all before it belong to the open flit.
    """
    blocks = -(-(HEADER_BITS + shape.max_code_bits) // BLOCK_BITS)
    return data.StructLayout(
        {
            "bits": merged_bits(shape, shape.values_per_cycle),
            "block": range(blocks + 1),
            "opens": 1,
            "split": range(-(-merged_bits(shape, shape.values_per_cycle) // BLOCK_BITS) + 1),
        }
    )


class RowPacker(wiring.Component):
    """A tree that joins two neighbours at a time, with words aligned to the flit from the start.

    Every word is first shifted within its block, by the low bits of its place in the flit. The
    tree then joins segments by the distance of their first blocks, which takes few selections, and
    what is left to do to a merged row is a shift by whole blocks. Words of a flit that opens in
    the row are set a little apart, so that they begin at the bit of a block where code words do.

    Latency *latency* cycles, one row a cycle; it never waits.

    Members
    -------
    words, lengths: In, the row; an empty place has word 0 and length 0.
    opens: In, a flit opens in the row. before: In, a bit per place: its value is before that flit;
    all set where none opens.
    total, cut_bits: Out, code bits of the row, and of it before the flit that opens (of all of it
    where none opens), *sums_latency* cycles after the row. low_bits: Out, at the same time, code
    bits in the places before that at which the open flit began in its first row.
    packed: Out, see `packed_layout`.
    """

    def __init__(self, shape: LinkShape):
        self.shape = shape
        places = shape.values_per_cycle
        self.levels = ceil_log2(places)
        self.registered_after = tree_registers(places)
        self.summed_after = length_registers(places)
        self.sums_latency = sums_latency(places)
        self.latency = packer_latency(places)
        sums = range(shape.row_bits + 1)
        super().__init__(
            {
                "words": In(data.ArrayLayout(shape.max_length, places)),
                "lengths": In(data.ArrayLayout(range(shape.max_length + 1), places)),
                "opens": In(1),
                "before": In(places),
                "total": Out(sums),
                "cut_bits": Out(sums),
                "low_bits": Out(sums),
                "packed": Out(packed_layout(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words, prefixes, before, opens = self._summed(m)
        position = self._position(m, opens)
        low = position[:4]
        cut_low = self.cut_bits[:4]
        # 0, 1 or 2: where the next bit to begin at is, blocks from the block the open flit ends in.
        # None of the row may belong to the open flit; then there is nothing to be apart from.
        gap = Signal(2)
        m.d.comb += gap.eq(Mux(before[0], (low + cut_low + BLOCK_BITS - 1 - _START_BIT) >> 4, 0))
        # Where the values that follow the cut begin, but for the gap.
        apart = Signal(signed(6))
        m.d.comb += apart.eq(_START_BIT - cut_low)

        segments, blocks = [], []
        for place, (word, prefix) in enumerate(zip(words, prefixes, strict=True)):
            bits = 4 + self._distance_bits(place)
            # The gap is known last.
            near = Signal(bits, name=f"near{place}")
            m.d.comb += near.eq(prefix + Mux(before[place], low, apart))
            block = (near[4:] + Mux(before[place], 0, gap))[: bits - 4]
            blocks.append(registered(m, block, f"block{place}"))
            within = registered(m, near[:4], f"within{place}")
            word = registered(m, word, f"word{place}_placed")
            segments.append((word << within)[: self._segment_bits(1)])
        controls = [
            registered(m, value, f"control{number}", reset_less=False)
            for number, value in enumerate((position >> 4, opens, (self.cut_bits >> 4) + gap))
        ]
        distances = self._distances(blocks)
        for level in range(1, self.levels + 1):
            segments = [
                (left | right << Cat(Const(0, 4), distance))[: self._segment_bits(1 << level)]
                for left, right, distance in zip(
                    segments[0::2], segments[1::2], distances.pop(0), strict=True
                )
            ]
            if level in self.registered_after:
                segments = [
                    registered(m, bits, f"bits{level}_{place}")
                    for place, bits in enumerate(segments)
                ]
                distances = [
                    [
                        registered(m, distance, f"distance{level}_{ahead}_{pair}")
                        for pair, distance in enumerate(joins)
                    ]
                    for ahead, joins in enumerate(distances)
                ]
                controls = [
                    registered(m, value, f"control{level}_{number}", reset_less=False)
                    for number, value in enumerate(controls)
                ]
        m.d.comb += [
            self.packed.bits.eq(segments[0]),
            self.packed.block.eq(controls[0]),
            self.packed.opens.eq(controls[1]),
            self.packed.split.eq(controls[2]),
        ]
        return m

    def _summed(self, m: Module) -> tuple[list[Value], list[Value], Signal, Signal]:
        """After the sums: words, code bits before each of them, `before` and `opens`."""
        words = [registered(m, word, f"word{k}") for k, word in enumerate(self.words)]
        lengths = [
            registered(m, length, f"length{k}", reset_less=False)
            for k, length in enumerate(self.lengths)
        ]
        before = registered(m, self.before, "before0")
        opens = registered(m, self.opens, "opens0", reset_less=False)
        start = Signal(len(before), name="start")
        with m.If(opens):
            m.d.sync += start.eq(before)
        sums: list[Value] = lengths
        cut = [Mux(before[k], length, 0) for k, length in enumerate(lengths)]
        first = [Mux(start[k], length, 0) for k, length in enumerate(lengths)]
        level = 0
        for until in self.summed_after:
            sums = prefix_levels(sums, level, until)
            cut, first = added(cut, until - level), added(first, until - level)
            level = until
            if level == self.levels:
                break
            words = [registered(m, word, f"word{k}_{level}") for k, word in enumerate(words)]
            sums = [registered(m, value, f"sum{k}_{level}") for k, value in enumerate(sums)]
            cut = [registered(m, value, f"cut{k}_{level}") for k, value in enumerate(cut)]
            first = [registered(m, value, f"first{k}_{level}") for k, value in enumerate(first)]
            before = registered(m, before, f"before_{level}")
            opens = registered(m, opens, f"opens_{level}", reset_less=False)
        m.d.sync += [
            self.total.eq(sums[-1]),
            self.cut_bits.eq(cut[0]),
            self.low_bits.eq(first[0]),
        ]
        prefixes: list[Value] = [Const(0, 1)]
        for place, value in enumerate(sums[:-1], start=1):
            kept = value[: 4 + self._distance_bits(place)]
            prefixes.append(registered(m, kept, f"prefix{place}"))
        return (
            [registered(m, word, f"word{k}_summed") for k, word in enumerate(words)],
            prefixes,
            registered(m, before, "before_summed"),
            registered(m, opens, "opens_summed", reset_less=False),
        )

    def _position(self, m: Module, opens: Value) -> Signal:
        """Bit of the flit where the row begins."""
        position = Signal(range(HEADER_BITS + self.shape.max_code_bits + 1), init=HEADER_BITS)
        m.d.sync += position.eq(
            Mux(opens, HEADER_BITS + (self.total - self.cut_bits), position + self.total)
        )
        return position

    def _segment_bits(self, words: int) -> int:
        """Most bits of a segment; only one of several words may be cut."""
        return merged_bits(self.shape, words) if words > 1 else self.shape.max_length + 15

    def _most_blocks(self, level: int) -> int:
        """Most blocks from the start of the left segment to that of the right one."""
        return merged_bits(self.shape, 1 << level - 1) >> 4

    def _distance_bits(self, place: int) -> int:
        """How many low bits of a word's block number the joins need that it leads a segment of."""
        if place == 0:
            levels = range(1, self.levels + 1)
        else:
            # It leads the right segment of one join, and the left one of all before.
            levels = range(1, (place & -place).bit_length() + 1)
        return max(self._most_blocks(level).bit_length() for level in levels)

    def _distances(self, blocks: list[Value]) -> list[list[Value]]:
        """For every level its joins: blocks from the start of the left segment to the right one.

        All are known before the first join.
        """
        levels = []
        for level in range(1, self.levels + 1):
            bits, size = self._most_blocks(level).bit_length(), 1 << level
            pairs = zip(blocks[0::size], blocks[size // 2 :: size], strict=True)
            levels.append([(right - left)[:bits] for left, right in pairs])
        return levels
