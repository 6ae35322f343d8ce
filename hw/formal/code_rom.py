"""The code ROM: no word begins another, so what it writes can be read in one way only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Cat, Const, Module

from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Property
from hw.huffman.code_rom import CodeRom
from linksim.codecs import Codebook, CodebookSet


class PrefixFree(Harness):
    """For every slot and every two symbols: neither's word begins the other's."""

    def __init__(self, books: Sequence[Codebook]):
        super().__init__()
        self.books = books
        self.roms = [CodeRom(books, slot_bits=len(books).bit_length()) for _ in range(2)]

    def describe(self, m: Module) -> None:
        first, second = self.roms
        m.submodules += self.roms
        slot = self.free(m, len(first.slot), "slot")
        self.assume(m, (slot >= 1) & (slot <= len(self.books)))
        symbols = [self.free(m, len(first.symbol), f"symbol{k}") for k in range(2)]
        self.assume(m, symbols[0] != symbols[1])
        for k, (rom, symbol) in enumerate(zip(self.roms, symbols, strict=True)):
            m.d.comb += [rom.slot.eq(slot), rom.symbol.eq(symbol)]
            self.show(m, rom.word, f"word{k}")
            self.show(m, rom.length, f"length{k}")
        inside = Cat(*(Const(k, 5) < first.length for k in range(first.max_length)))
        same = ((first.word ^ second.word) & inside) == 0
        self.check(
            m, "prefix", ~same | (first.length > second.length), "no word begins another one"
        )
        self.check(m, "length", first.length != 0, "every symbol has a word")
        self.check(m, "above", (first.word & ~inside) == 0, "a word is zero above its length")
        self.reach(m, "longest", first.length == first.max_length)


def _properties() -> tuple[Property, ...]:
    book = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
    frequent = int(np.argmin(book.lengths))

    def flip(m, rom):
        with m.If(rom.symbol == frequent):
            m.d.comb += rom.word.eq(int(book.code.words[frequent]) ^ 1)

    return (
        Property(
            name="code-rom",
            sentence="in the shipped codebook no symbol's word begins another's",
            build=lambda: PrefixFree([book]),
            depth=2,
            whole=True,
            mutants=(statement("one bit of one word", CodeRom, flip),),
        ),
    )


PROPERTIES = _properties()
