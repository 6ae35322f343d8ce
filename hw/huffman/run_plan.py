"""Sizes that all parts of a lane pool agree on, and the records they exchange."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import signed
from amaranth.lib import data

from hw.huffman.shape import LinkShape

UNIT_BITS = 16
"""A lane takes so many bits at once into its window."""
WORD_BITS = 2 * UNIT_BITS
"""Word of a run memory."""
WINDOW_WORDS = 4
"""Words that are cut out of a flit at once, and written one a cycle."""
WINDOW_BITS = WINDOW_WORDS * WORD_BITS
LANES_PER_FEEDER = 4
BAYS = 2
"""Runs a lane can hold: one in work, one loaded or waiting to be read."""
MAX_LENGTH = 12
"""Longest code word: with longer ones a lane could run dry between two words."""
MAX_ROW_VALUES = 64
"""A row is two of every lane's values where that is no more."""
RECEIVED_FLITS = 4
"""Flits that come in or wait for their runs to be handed out."""
STORED_FLITS = 32
"""Flits whose rest bytes are kept until their values leave."""


@dataclass(frozen=True)
class RunPlan:
    """What follows from the shape of the link and the number of books. Raises ValueError.

    *shape.values_per_cycle* is the number of lanes.
    """

    shape: LinkShape
    books: int

    def __post_init__(self) -> None:
        shape = self.shape
        if shape.max_length > MAX_LENGTH:
            raise ValueError(
                f"codebooks of max_length {shape.max_length}: expected at most {MAX_LENGTH}, "
                "or a lane could run dry"
            )
        if self.head_bits > UNIT_BITS:
            raise ValueError(
                f"runs of {shape.run_symbols} values in {self.books} books take a head of "
                f"{self.head_bits} bits: expected at most {UNIT_BITS}"
            )
        if self.table_nbytes > self.last_word_nbytes:
            raise ValueError(
                f"an entry-point table of {self.table_nbytes} bytes: expected at most the "
                f"{self.last_word_nbytes} bytes of a flit's last word"
            )

    @property
    def lanes(self) -> int:
        return self.shape.values_per_cycle

    @property
    def feeders(self) -> int:
        return self.lanes // LANES_PER_FEEDER

    @property
    def units(self) -> int:
        """Window cutters, each at the service of up to four feeders in turn."""
        return -(-self.feeders // WINDOW_WORDS)

    @property
    def lane_bits(self) -> int:
        return (self.lanes - 1).bit_length()

    @property
    def left_bits(self) -> int:
        """Width of a number of values of a run, less one."""
        return (self.shape.run_symbols - 1).bit_length()

    @property
    def book_bits(self) -> int:
        return self.books.bit_length()

    @property
    def head_bits(self) -> int:
        return self.left_bits + 4 + 1 + self.book_bits

    @property
    def area_words(self) -> int:
        """Words of a run memory that one run may take; any entry point stays inside."""
        return max((1 << self.shape.entry_bits) // WORD_BITS, WINDOW_WORDS)

    @property
    def area_windows(self) -> int:
        return self.area_words // WINDOW_WORDS

    @property
    def parts(self) -> int:
        """A run fills every bank of the reorder memory so often."""
        return self.shape.run_symbols // self.lanes

    @property
    def row_parts(self) -> int:
        """So many of them leave in one row."""
        wide = 2 * self.lanes <= min(MAX_ROW_VALUES, self.shape.raw_values)
        return 2 if wide and self.parts > 1 else 1

    @property
    def row_values(self) -> int:
        """Places of a row."""
        return self.lanes * self.row_parts

    @property
    def rows(self) -> int:
        """Rows of a full run."""
        return self.parts // self.row_parts

    @property
    def most_values(self) -> int:
        """No flit that passes the parser's checks holds more: one bit per symbol must fit."""
        return self.shape.body_bits // (1 + self.shape.rest_bits)

    @property
    def most_entries(self) -> int:
        return (self.most_values - 1) // self.shape.run_symbols

    @property
    def table_nbytes(self) -> int:
        return self.shape.table_nbytes(self.most_entries)

    @property
    def last_word_nbytes(self) -> int:
        """Bytes of the payload in the last word of a flit."""
        shape = self.shape
        return shape.payload_nbytes - (shape.words_per_flit - 1) * shape.word_nbytes

    @property
    def position_bits(self) -> int:
        """Width of a bit position in a flit."""
        return self.shape.payload_bits.bit_length()

    @property
    def byte_bits(self) -> int:
        """Width of a byte position in a flit."""
        return self.shape.payload_nbytes.bit_length()

    def head_layout(self) -> data.StructLayout:
        """What stands before the code bits of a run in a run memory.

        left: its values, less one. unused: bits of its last unit beyond the run. last: it is the
        flit's last one, and may end before its bits do. book: 0 is raw.
        """
        return data.StructLayout(
            {"left": self.left_bits, "unused": 4, "last": 1, "book": self.book_bits}
        )

    def word_layout(self) -> data.StructLayout:
        """A word of a run memory. end: the run's last. single: only its low unit counts."""
        return data.StructLayout({"bits": WORD_BITS, "end": 1, "single": 1})

    def flit_layout(self) -> data.StructLayout:
        """What is known of a flit as a whole while it is decoded."""
        return data.StructLayout(
            {"slot": range(STORED_FLITS), "bias": signed(6), "last": 1, "broken": 1, "void": 1}
        )

    def run_layout(self) -> data.StructLayout:
        """A run on its way to a lane: where its bits are, counted with the head."""
        return data.StructLayout(
            {
                "slot": range(STORED_FLITS),
                "position": self.position_bits,
                "bits": self.position_bits,
                "head": self.head_layout(),
            }
        )

    def order_layout(self) -> data.StructLayout:
        """A run whose values leave in their turn. rest: byte of the flit where its rest begins.

        end: the flit's last run.
        """
        return data.StructLayout(
            {
                "lane": self.lane_bits,
                "bay": 1,
                "left": self.left_bits,
                "rest": self.byte_bits,
                "end": 1,
                "flit": self.flit_layout(),
            }
        )
