"""What an encoder or decoder is built for, validated, and the constants that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linksim.codecs import Codebook
from linksim.codecs.chunk import HEADER_BITS, MAX_CHUNK_SYMBOLS

VALUES_PER_CYCLE = (4, 8, 16, 32, 64)
MAX_BOOKS = 8


@dataclass(frozen=True)
class LinkShape:
    """Parameters of an encoder or decoder. Raises ValueError for those that make none.

    A *value* is one coded symbol with its rest bits; in the pooled view of a 16-bit format that is
    one byte of a number.
    """

    symbol_bits: int
    rest_bits: int
    min_length: int
    max_length: int
    values_per_cycle: int
    payload_nbytes: int
    run_symbols: int
    words_per_flit: int = 1

    @classmethod
    def of(
        cls,
        codebooks: Sequence[Codebook],
        *,
        values_per_cycle: int,
        payload_nbytes: int,
        run_symbols: int,
        words_per_flit: int = 1,
    ) -> LinkShape:
        """The shape that *codebooks* ask for; all of one number format, view and length limit."""
        if not 1 <= len(codebooks) <= MAX_BOOKS:
            raise ValueError(f"{len(codebooks)} codebooks: expected 1 to {MAX_BOOKS}")
        if len({(book.dtype, book.view) for book in codebooks}) != 1:
            raise ValueError("codebooks of different number formats or views")
        if len({book.max_length for book in codebooks}) != 1:
            raise ValueError(
                "codebooks of different max_length: their entry points would differ in width"
            )
        for book in codebooks:
            if book.family != "huffman":
                raise ValueError(
                    f"codebook {book.name!r} is of family {book.family!r}: expected huffman"
                )
            if 0 in book.lengths:
                raise ValueError(
                    f"codebook {book.name!r} has no code for symbol {book.lengths.index(0)}: "
                    "expected a code for every symbol"
                )
        view = codebooks[0].symbol_view
        return cls(
            symbol_bits=view.symbol_bits,
            rest_bits=view.rest_bits,
            min_length=min(min(book.lengths) for book in codebooks),
            max_length=codebooks[0].max_length,
            values_per_cycle=values_per_cycle,
            payload_nbytes=payload_nbytes,
            run_symbols=run_symbols,
            words_per_flit=words_per_flit,
        )

    def __post_init__(self) -> None:
        if self.values_per_cycle not in VALUES_PER_CYCLE:
            listed = ", ".join(map(str, VALUES_PER_CYCLE))
            raise ValueError(f"values_per_cycle is {self.values_per_cycle}: expected {listed}")
        if not 64 <= self.payload_nbytes <= 4096:
            raise ValueError(f"payload_nbytes is {self.payload_nbytes}: expected 64 to 4096")
        if not 1 <= self.words_per_flit <= self.payload_nbytes:
            raise ValueError(
                f"words_per_flit is {self.words_per_flit}: expected 1 to {self.payload_nbytes}"
            )
        q = self.run_symbols
        if not 16 <= q <= MAX_CHUNK_SYMBOLS or q & (q - 1):
            raise ValueError(
                f"run_symbols is {q}: expected a power of two, 16 to {MAX_CHUNK_SYMBOLS}"
            )
        if q < self.values_per_cycle:
            raise ValueError(
                f"run_symbols is {q}: a row of {self.values_per_cycle} values could reach two "
                "entry points, and the table takes one a cycle"
            )
        if self.raw_values < self.values_per_cycle:
            raise ValueError(
                f"a raw flit of {self.payload_nbytes} bytes holds {self.raw_values} values: a row "
                f"of {self.values_per_cycle} could close two flits, and one leaves a cycle"
            )

    @property
    def word_nbytes(self) -> int:
        """Bytes of a word; the last word of a flit is zero above the payload."""
        return -(-self.payload_nbytes // self.words_per_flit)

    @property
    def payload_bits(self) -> int:
        """Bits of one flit payload."""
        return 8 * self.payload_nbytes

    @property
    def body_bits(self) -> int:
        """Bits of a payload behind the header."""
        return self.payload_bits - HEADER_BITS

    @property
    def raw_values(self) -> int:
        """Values that a raw flit holds; a flit that holds more is coded."""
        return min(self.body_bits // (self.symbol_bits + self.rest_bits), MAX_CHUNK_SYMBOLS)

    @property
    def max_values(self) -> int:
        """No flit holds more values than this."""
        coded = self.body_bits // (self.min_length + self.rest_bits)
        return max(self.raw_values, min(coded, MAX_CHUNK_SYMBOLS))

    @property
    def entry_bits(self) -> int:
        """Width of an entry point."""
        return (self.run_symbols * self.max_length).bit_length()

    @property
    def max_entries(self) -> int:
        """Most entry points a flit has."""
        return (self.max_values - 1) // self.run_symbols

    def table_nbytes(self, entries: int) -> int:
        """Bytes of a table of *entries* entry points."""
        return (entries * self.entry_bits + 7) // 8

    @property
    def row_bits(self) -> int:
        """Most code bits of a row."""
        return self.values_per_cycle * self.max_length

    @property
    def closing_distance(self) -> int:
        """Least number of rows from one flit that closes because it is full to the next."""
        width = self.values_per_cycle
        return -(-(self.raw_values - width + 1) // width)

    @property
    def flit_rows(self) -> int:
        """Most rows from the one a flit opens in to its last, or to the one that is cut."""
        return (self.max_values + self.values_per_cycle - 1) // self.values_per_cycle

    @property
    def max_code_bits(self) -> int:
        """Most bits of code words in a flit, or of symbols in a raw one."""
        raw = self.raw_values * self.symbol_bits
        if self.max_values == self.raw_values:
            return raw
        return max(raw, self.body_bits - (self.raw_values + 1) * self.rest_bits)

    @property
    def max_spent(self) -> int:
        """Most code and rest bits of an open flit: one that will go raw may overflow its code."""
        overflowing = (self.raw_values + self.values_per_cycle) * (self.max_length + self.rest_bits)
        return max(self.payload_bits, overflowing)
