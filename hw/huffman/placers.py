"""From rows to their places in the flit payload, without state."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.huffman.arithmetic import rotated
from hw.huffman.row_packer import BLOCK_BITS, packed_layout
from hw.huffman.shape import LinkShape
from linksim.codecs.chunk import HEADER_BITS


def code_region_bits(shape: LinkShape) -> int:
    """Bits of a payload that header and code words can take."""
    return HEADER_BITS + shape.max_code_bits


class CodePlacer(wiring.Component):
    """Shifts the two parts of a packed row by whole blocks: into the open flit and the next one.

    The part for the open flit turns in a ring of a power of two of blocks, where such a ring is
    smaller than the code region. Combinational: latency 0.

    Members
    -------
    moves: In; while it is low both outputs are zero.
    packed: In, see `packed_layout`.
    placed: Out, what joins the open flit. opening: Out, what the flit that opens begins with, zero
    where none does. Both from bit 0 of the payload.
    """

    def __init__(self, shape: LinkShape):
        self.shape = shape
        self.opening_bits = min(HEADER_BITS + shape.row_bits, code_region_bits(shape))
        super().__init__(
            {
                "moves": In(1),
                "packed": In(packed_layout(shape)),
                "placed": Out(code_region_bits(shape)),
                "opening": Out(self.opening_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        packed = self.packed
        region_blocks = -(-len(self.placed) // BLOCK_BITS)
        row_blocks = -(-(BLOCK_BITS - 1 + self.shape.row_bits) // BLOCK_BITS)
        ring_blocks = 1 << ceil_log2(row_blocks)
        kept = self._kept(m)
        if ring_blocks >= region_blocks:
            row = kept & self.moves.replicate(len(kept))
            m.d.comb += self.placed.eq(row << Cat(Const(0, 4), packed.block))
        else:
            ring_bits = ring_blocks * BLOCK_BITS
            turns = packed.block[: ceil_log2(ring_blocks)]
            row = Cat(kept, Const(0, max(0, ring_bits - len(kept))))[:ring_bits]
            ring = Signal(ring_bits)
            m.d.comb += ring.eq(rotated(m, row, turns, BLOCK_BITS, "turned"))
            parts = []
            for block in range(region_blocks):
                at = block % ring_blocks * BLOCK_BITS
                reached = Signal(name=f"reached{block}")
                behind = packed.block > block - ring_blocks if block >= ring_blocks else 1
                m.d.comb += reached.eq(self.moves & (packed.block <= block) & behind)
                parts.append(ring[at : at + BLOCK_BITS] & reached.replicate(BLOCK_BITS))
            m.d.comb += self.placed.eq(Cat(*parts))

        start_bit = HEADER_BITS % BLOCK_BITS
        opening = (packed.bits >> Cat(Const(0, 4), packed.split))[start_bit:]
        gate = (packed.opens & self.moves).replicate(len(opening))
        m.d.comb += self.opening.eq(Cat(Const(0, HEADER_BITS), opening & gate))
        return m

    def _kept(self, m: Module) -> Signal:
        """The row without what belongs to the next flit."""
        packed = self.packed
        kept = Signal.like(packed.bits)
        start_bit = HEADER_BITS % BLOCK_BITS
        mask = []
        for block in range(-(-len(kept) // BLOCK_BITS)):
            whole, begun = Signal(name=f"whole{block}"), Signal(name=f"begun{block}")
            m.d.comb += [
                whole.eq(~packed.opens | (packed.split > block)),
                begun.eq(whole | (packed.split == block)),
            ]
            mask += [begun] * start_bit + [whole] * (BLOCK_BITS - start_bit)
        m.d.comb += kept.eq(packed.bits & Cat(*mask))
        return kept


def rest_row_layout(shape: LinkShape) -> data.StructLayout:
    """A row of rest bytes.

    rest: one per place. count: values of the row. opens: a flit opens in it, with *place*.
    address: byte of that flit's payload for place 0 of the row, modulo a power of two.
    """
    width = shape.values_per_cycle
    return data.StructLayout(
        {
            "rest": data.ArrayLayout(shape.rest_bits, width),
            "count": range(width + 1),
            "opens": 1,
            "place": range(width),
            "address": ceil_log2(shape.payload_nbytes + width),
        }
    )


class RestPlacer(wiring.Component):
    """Turns the two parts of a row of rest bytes to where they belong in their flits.

    One row a cycle, the same cycle; it keeps the address of the open flit's next row.

    Members
    -------
    moves: In; while it is low both outputs are zero.
    row: In, see `rest_row_layout`.
    placed: Out, what joins the open flit. opening: Out, what the next one begins with.
    Both from byte 0 of the payload.
    """

    def __init__(self, shape: LinkShape):
        self.shape = shape
        super().__init__(
            {
                "moves": In(1),
                "row": In(rest_row_layout(shape)),
                "placed": Out(shape.payload_bits),
                "opening": Out(shape.payload_bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row = self.row
        width = self.shape.values_per_cycle
        address = Signal.like(row.address)
        with m.If(row.opens | (row.count != 0)):
            m.d.sync += address.eq(Mux(row.opens, row.address, address) + width)
        before = [~row.opens | (row.place > place) for place in range(width)]
        filled = [row.count > place for place in range(width)]
        m.d.comb += [
            self.placed.eq(
                self._placed(
                    m, [a & b for a, b in zip(filled, before, strict=True)], address, "old"
                )
            ),
            self.opening.eq(
                self._placed(
                    m, [a & ~b for a, b in zip(filled, before, strict=True)], row.address, "new"
                )
            ),
        ]
        return m

    def _placed(self, m: Module, places: list[Value], address: Value, name: str) -> Value:
        """The bytes of *places* in the payload."""
        shape = self.shape
        width, bits = shape.values_per_cycle, shape.rest_bits
        lanes = ceil_log2(width)
        lane, block = address[:lanes], address[lanes:]
        row = Cat(*(Mux(one, byte, 0) for one, byte in zip(places, self.row.rest, strict=True)))
        ring = Signal(width * bits, name=f"ring_{name}")
        m.d.comb += ring.eq(rotated(m, row, lane, bits, f"turned_{name}"))
        ahead = Signal(width, name=f"ahead_{name}")
        m.d.comb += ahead.eq(Cat(*(lane <= number for number in range(width))))
        # No rest byte stands so low, however many there are.
        lowest = max(
            3, shape.payload_nbytes - shape.table_nbytes(shape.max_entries) - shape.max_values
        )
        blocks = -(-shape.payload_nbytes // width)
        most = (1 << len(block)) - 1
        here, before = Signal(blocks, name=f"here_{name}"), Signal(blocks, name=f"before_{name}")
        m.d.comb += [
            here.eq(Cat(self.moves & (block == number) for number in range(blocks))),
            before.eq(Cat(self.moves & (block == (number - 1 & most)) for number in range(blocks))),
        ]
        payload: list[Value] = []
        for byte in range(shape.payload_nbytes):
            number, at = divmod(byte, width)
            one = Signal(name=f"reaches_{name}{byte}")
            m.d.comb += one.eq(Mux(ahead[at], here[number], before[number]))
            value = ring[at * bits : (at + 1) * bits] & one.replicate(bits)
            payload.append(value if byte >= lowest else Const(0, bits))
        return Cat(*payload)
