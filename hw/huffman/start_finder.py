"""Where code words begin in a block of the stream, found at every bit at once."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.canonical import BitRuns, CanonicalCode, gathered, pick
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook
from linksim.codecs.chunk import HEADER_BITS, RAW_SLOT

CHUNK_BITS = 8
"""Bits of a chunk: the header ends with one, and so does a body, which is whole bytes."""
GROUP_CHUNKS = 4
"""Chunks that are one step in the loop from block to block."""
HEADER_CHUNKS = HEADER_BITS // CHUNK_BITS

_Map = list[Value | int]
"""By offset of the first code word in a stretch of the stream, the offset behind it."""
_Reached = dict[tuple[int, int], Signal]
"""By first code word and later bit of a chunk: whether a code word begins there too."""


def held(m: Module, value: Value, name: str) -> Signal:
    """*value* a cycle later."""
    register = Signal.like(value, name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


class StartFinder(wiring.Component):
    """Finds code words without knowing where the first one begins, and settles that at the end.

    The length of the code word that would begin at a bit is found at every bit. They make of every
    chunk a map from the offset of its first code word to that behind its last; maps of neighbouring
    chunks are joined to one per group; and only the offset itself goes round from block to block.

    Latency 4 cycles, one block a cycle; it never waits. Header chunks hold no code words: behind
    them the first one begins at offset 0, whatever the block before said.

    Members
    -------
    valid: In, there is a block. book: In, its slot of a codebook.
    window: In, the bits of the block and of the *max_length* - 1 behind it.
    header_chunks: In, how many chunks of the block are header.
    starts: Out, a bit per bit of the block, 1 where a code word begins; for a valid block.
    offset: Out, bits of the next block that the last code word takes.
    """

    latency = 4

    def __init__(
        self,
        codebooks: Sequence[Codebook],
        shape: LinkShape,
        *,
        bits_per_cycle: int,
        book_bits: int,
    ):
        self.codes = [CanonicalCode(book) for book in codebooks]
        self.shape = shape
        self.chunks = bits_per_cycle // CHUNK_BITS
        self.max_length = shape.max_length
        super().__init__(
            {
                "valid": In(1),
                "book": In(book_bits),
                "window": In(bits_per_cycle + self.max_length - 1),
                "header_chunks": In(range(HEADER_CHUNKS + 1)),
                "starts": Out(bits_per_cycle),
                "offset": Out(range(self.max_length)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        hits = self._hits(m)
        reached, exits = [], []
        for chunk in range(self.chunks):
            within, behind = self._chunk(hits[chunk * CHUNK_BITS : (chunk + 1) * CHUNK_BITS])
            if chunk < HEADER_CHUNKS:
                code = self.header_chunks <= chunk
                behind = [value & code.replicate(len(value)) for value in behind]
            reached.append(
                {
                    (entry, bit): held(m, value, f"reached{chunk}_{entry}_{bit}")
                    for (entry, bit), value in within.items()
                }
            )
            exits.append([held(m, value, f"exit{chunk}_{e}") for e, value in enumerate(behind)])
        headers = held(m, self.header_chunks, "headers1")
        entries, exits, reached = self._settle(m, headers, exits, reached)
        headers = held(m, held(m, headers, "headers2"), "headers3")
        self._mark(m, headers, entries, exits, reached)
        return m

    def _hits(self, m: Module) -> list[dict[int, Value]]:
        """For every bit, by length, whether a code word of it would begin there."""
        runs = BitRuns(m, self.window, "ones")
        every_bit = []
        for bit in range(len(self.starts)):
            found: dict[int, list[Value]] = {}
            for number, code in enumerate(self.codes, start=1):
                for length, hit in code.at(runs, bit)[0].items():
                    found.setdefault(length, []).append(hit & (self.book == number))
            raw = self.book == RAW_SLOT
            found.setdefault(self.shape.symbol_bits, []).append(raw)
            lengths = {}
            for length, hit in found.items():
                lengths[length] = Signal(name=f"hit{bit}_{length}")
                m.d.comb += lengths[length].eq(Cat(*hit).any())
            every_bit.append(lengths)
        return every_bit

    def _chunk(
        self, hits: Sequence[dict[int, Value]]
    ) -> tuple[dict[tuple[int, int], Value], list[Value]]:
        """Of a chunk: by first code word and bit, whether one begins there; and the offsets behind.

        Pairs that no lengths reach are left out.
        """
        width = len(self.offset)
        leaving = [
            gathered(
                [
                    (hit, Const(bit + length - CHUNK_BITS, width))
                    for length, hit in lengths.items()
                    if bit + length > CHUNK_BITS
                ],
                width,
            )
            for bit, lengths in enumerate(hits)
        ]
        within: dict[tuple[int, int], Value] = {}
        behind = []
        for entry in range(min(CHUNK_BITS, self.max_length)):
            begins: dict[int, Value] = {entry: Const(1)}
            for bit in range(entry + 1, CHUNK_BITS):
                paths = [
                    begins[bit - length] & hit for length, hit in self._arriving(hits, begins, bit)
                ]
                if paths:
                    begins[bit] = within[entry, bit] = Cat(*paths).any()
            behind.append(gathered([(begin, leaving[bit]) for bit, begin in begins.items()], width))
        return within, behind

    @staticmethod
    def _arriving(
        hits: Sequence[dict[int, Value]], begins: dict[int, Value], bit: int
    ) -> list[tuple[int, Value]]:
        return [
            (length, hit)
            for start in begins
            for length, hit in hits[start].items()
            if start + length == bit
        ]

    def _whole(self, exits: Sequence[Value]) -> _Map:
        """A chunk's map for every offset: beyond the chunk it only comes nearer."""
        return [*exits, *range(self.max_length - len(exits))]

    def _joined(self, maps: Sequence[_Map]) -> _Map:
        """Neighbouring maps as one."""
        if len(maps) == 1:
            return maps[0]
        half = len(maps) // 2
        first, second = self._joined(maps[:half]), self._joined(maps[half:])
        return [self._through(second, offset) for offset in first]

    def _through(self, onward: _Map, offset: Value | int) -> Value | int:
        """The offset behind a stretch of map *onward* that code words reach into by *offset*."""
        if isinstance(offset, int):
            return onward[offset]
        choices = [Const(v, len(self.offset)) if isinstance(v, int) else v for v in onward]
        return pick(choices, offset)

    def _groups(self) -> list[range]:
        return [
            range(first, min(first + GROUP_CHUNKS, self.chunks))
            for first in range(0, self.chunks, GROUP_CHUNKS)
        ]

    def _settle(
        self, m: Module, headers: Value, exits: list[list[Signal]], reached: list[_Reached]
    ) -> tuple[list[list[Value]], list[list[Signal]], list[_Reached]]:
        """Join the chunks' maps, then follow them: the offsets into the groups' first chunks.

        The fourth chunk's is left to the next cycle.

        What is known of the chunks is handed on beside it.
        """
        valid = Signal()
        m.d.sync += valid.eq(held(m, self.valid, "valid1"))
        offset = Signal.like(self.offset)
        group_maps = [self._group_map(m, group, headers, exits) for group in self._groups()]
        pair_maps = [self._pair_map(m, group, exits) for group in self._groups()]
        exits, reached = self._handed_on(m, exits, reached, 2)
        here: Value = offset
        entries = []
        for group, group_map, pair_map in zip(self._groups(), group_maps, pair_maps, strict=True):
            onward = [self._whole(exits[group[0]]), pair_map][: len(group) - 1]
            into = [here, *(self._through(chunk_map, here) for chunk_map in onward)]
            entries.append([held(m, v, f"entry{group[0] + k}") for k, v in enumerate(into)])
            behind = Signal.like(offset, name=f"behind{group[0]}")
            m.d.comb += behind.eq(self._through(group_map, here))
            here = behind
        with m.If(valid):
            m.d.sync += offset.eq(here)
        m.d.sync += self.offset.eq(offset)
        return entries, *self._handed_on(m, exits, reached, 3)

    def _pair_map(self, m: Module, group: range, exits: list[list[Signal]]) -> _Map:
        """The maps of a group's first two chunks as one, registered; none where they are all."""
        if len(group) <= 2:
            return []
        joined = self._joined([self._whole(exits[chunk]) for chunk in group[:2]])
        return [
            value if isinstance(value, int) else held(m, value, f"pair{group[0]}_{entry}")
            for entry, value in enumerate(joined)
        ]

    def _group_map(
        self, m: Module, group: range, headers: Value, exits: list[list[Signal]]
    ) -> _Map:
        """The maps of a group's chunks as one, registered."""
        joined = self._joined([self._whole(exits[chunk]) for chunk in group])
        if len(group) == 1 and group[0] < HEADER_CHUNKS:
            # The only case in which an offset from before the flit could pass the header.
            code = (headers <= group[0]).replicate(len(self.offset))
            joined = [Const(v, len(self.offset)) if isinstance(v, int) else v for v in joined]
            joined = [value & code for value in joined]
        return [
            value if isinstance(value, int) else held(m, value, f"joined{group[0]}_{entry}")
            for entry, value in enumerate(joined)
        ]

    @staticmethod
    def _handed_on(
        m: Module, exits: list[list[Signal]], reached: list[_Reached], stage: int
    ) -> tuple[list[list[Signal]], list[_Reached]]:
        """The chunks' maps a cycle later; what nobody asks for then is optimised away."""
        return [
            [held(m, value, f"exit{chunk}_{entry}_{stage}") for entry, value in enumerate(values)]
            for chunk, values in enumerate(exits)
        ], [
            {
                (entry, bit): held(m, value, f"reached{chunk}_{entry}_{bit}_{stage}")
                for (entry, bit), value in pairs.items()
            }
            for chunk, pairs in enumerate(reached)
        ]

    def _mark(
        self,
        m: Module,
        headers: Value,
        entries: list[list[Value]],
        exits: list[list[Signal]],
        reached: list[_Reached],
    ) -> None:
        """With the offset into every group known, tell where code words begin."""
        for group, known in zip(self._groups(), entries, strict=True):
            entry: Value = known[0]
            for place, chunk in enumerate(group):
                if place < len(known):
                    entry = known[place]
                else:
                    onward = Signal.like(self.offset, name=f"into{chunk}")
                    m.d.comb += onward.eq(self._through(self._whole(exits[chunk - 1]), entry))
                    entry = onward
                self._mark_chunk(m, chunk, headers, entry, reached[chunk], len(exits[chunk]))

    def _mark_chunk(
        self,
        m: Module,
        chunk: int,
        headers: Value,
        entry: Value,
        reached: _Reached,
        entry_count: int,
    ) -> None:
        begins = [Signal(name=f"enters{chunk}_{e}") for e in range(entry_count)]
        m.d.comb += [begin.eq(entry == e) for e, begin in enumerate(begins)]
        marks = []
        for bit in range(CHUNK_BITS):
            paths = [begins[bit]] if bit < entry_count else []
            paths += [begins[e] & value for (e, b), value in reached.items() if b == bit]
            marks.append(Cat(*paths).any())
        code = headers <= chunk if chunk < HEADER_CHUNKS else Const(1)
        low = chunk * CHUNK_BITS
        m.d.sync += self.starts[low : low + CHUNK_BITS].eq(Mux(code, Cat(*marks), 0))
