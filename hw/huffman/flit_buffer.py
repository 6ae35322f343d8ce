"""The flit buffer: rows gather in it, and closed flits leave it word by word."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.layouts import header_layout, word_layout
from hw.huffman.shape import LinkShape


def closing_layout(shape: LinkShape, slot_bits: int) -> data.StructLayout:
    """What is known of a flit when it closes.

    values: how many it has. coded: or raw. slot, first, last: its message's slot, and whether the
    message begins or ends with it.
    """
    return data.StructLayout(
        {
            "values": range(shape.max_values + 1),
            "coded": 1,
            "slot": slot_bits,
            "first": 1,
            "last": 1,
        }
    )


def most_words(shape: LinkShape) -> int:
    """Into how many words a flit can be cut for `FlitBuffer`."""
    return max(n for n in range(1, shape.closing_distance + 1) if _leaves_in_time(shape, n))


def _leaves_in_time(shape: LinkShape, words: int) -> bool:
    """Whether no word gets anything of the next flit before it leaves, nor of its own after."""
    if words == 1:
        return True
    nbytes = -(-shape.payload_nbytes // words)
    if (words - 1) * nbytes >= shape.payload_nbytes:
        return False
    if 24 + shape.row_bits > 8 * nbytes:
        return False
    if not shape.rest_bits:
        return True
    end = shape.payload_nbytes - shape.table_nbytes(shape.max_entries)
    return all(
        end - shape.values_per_cycle * (words - 1 - number) >= (number + 1) * nbytes
        for number in range(words - 1)
    )


class FlitBuffer(wiring.Component):
    """One payload of bits, in which an open flit gathers while the words of the last one leave.

    Word number k leaves k cycles after the code words that close the flit have come. By then its
    rest bytes are there too, though they come *words_per_flit* - 1 cycles behind the code words:
    those of the last rows stand at the end of the payload. And no bit of the next flit has reached
    it: its code words start at the beginning, and its rest bytes come late. So a payload is
    buffered once and not twice. Flits close at least *words_per_flit* cycles apart.

    Latency 0 from the row that closes a flit to its first word.

    Members
    -------
    moves: In; while it is low the next four are zero, and nothing leaves.
    codes, next_codes: In, what a row adds to the open flit, and opens the next one with.
    rest, next_rest: In, the same for rest bytes, of the row *words_per_flit* - 1 cycles before.
    closes: In, the open flit closes with the row of *codes*.
    closing, table: In, that flit, and the last bytes of its payload; kept until the next closes.
    valid, word: Out, a word leaves, see `word_layout`.
    """

    def __init__(self, shape: LinkShape, *, slot_bits: int, code_bits: int, opening_bits: int):
        self.shape = shape
        if not _leaves_in_time(shape, shape.words_per_flit) or (
            shape.words_per_flit > shape.closing_distance
        ):
            raise ValueError(
                f"words_per_flit is {shape.words_per_flit}: a flit of this encoder leaves in at "
                f"most {most_words(shape)} words"
            )
        super().__init__(
            {
                "moves": In(1),
                "codes": In(code_bits),
                "next_codes": In(opening_bits),
                "rest": In(shape.payload_bits),
                "next_rest": In(shape.payload_bits),
                "closes": In(1),
                "closing": In(closing_layout(shape, slot_bits)),
                "table": In(8 * shape.table_nbytes(shape.max_entries)),
                "valid": Out(1),
                "word": Out(word_layout(shape)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        count, word_bits = shape.words_per_flit, 8 * shape.word_nbytes
        leaving = [self.closes & self.moves]
        due = self.closes
        for number in range(1, count):
            held = Signal(name=f"due{number}")
            with m.If(self.moves):
                m.d.sync += held.eq(due)
            due = held
            leaving.append(held & self.moves)

        size = count * word_bits

        def words(bits: Value) -> list[Value]:
            padded = Cat(bits, Const(0, size - len(bits)))
            return [padded[at : at + word_bits] for at in range(0, size, word_bits)]

        frame = words(self._frame(m))
        codes, next_codes = words(self.codes), words(self.next_codes)
        rest, next_rest = words(self.rest), words(self.next_rest)
        shown = Const(0, word_bits)
        for number in range(count):
            kept = Signal(word_bits, name=f"kept{number}")
            leaves = leaving[number].replicate(word_bits)
            ready = kept | rest[number]
            late = next_codes[number] | next_rest[number]
            if number == 0:
                # The code words that close a flit may stand in its first word: it leaves now.
                ready |= codes[0]
            else:
                late |= codes[number]
            m.d.sync += kept.eq((ready & ~leaves) | late)
            shown |= (ready | frame[number]) & leaves
        m.d.comb += [
            self.valid.eq(Cat(*leaving).any()),
            self.word.data.eq(shown),
            self.word.end.eq(leaving[-1]),
            self.word.first.eq(self.closing.first),
            self.word.last.eq(self.closing.last),
        ]
        return m

    def _frame(self, m: Module) -> Value:
        """Header and table, in the payload."""
        closing = self.closing
        header = Signal(header_layout())
        m.d.comb += [
            header.values_less_one.eq(closing.values - 1),
            header.slot.eq(Mux(closing.coded, closing.slot, 0)),
        ]
        between = self.shape.payload_bits - len(Value.cast(header)) - len(self.table)
        return Cat(header, Const(0, between), self.table)
