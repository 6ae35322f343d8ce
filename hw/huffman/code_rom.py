"""Codebooks as hard-wired logic: from a symbol to its code word and length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from linksim.codecs import Codebook


class CodeRom(wiring.Component):
    """One look-up a cycle, in any of the books.

    Combinational: latency 0. A slot without book gives a word of length 0.

    Parameters
    ----------
    codebooks: the books; the first is slot 1, as on the wire.
    slot_bits: width of the slot.

    Members
    -------
    symbol: In. slot: In, ignored where there is one book.
    word: Out, the code word, first bit lowest, zero above. length: Out, its bits.
    """

    def __init__(self, codebooks: Sequence[Codebook], *, slot_bits: int):
        self.codebooks = tuple(codebooks)
        self.max_length = max(book.max_length for book in codebooks)
        super().__init__(
            {
                "symbol": In(codebooks[0].symbol_view.symbol_bits),
                "slot": In(slot_bits),
                "word": Out(self.max_length),
                "length": Out(range(self.max_length + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()

        def look_up(book: Codebook) -> None:
            words = [int(word) for word in book.code.words]

            def statements(symbol: int) -> list:
                return [self.word.eq(words[symbol]), self.length.eq(book.lengths[symbol])]

            _switch(m, self.symbol, statements)

        _of_slot(m, self.codebooks, self.slot, look_up)
        return m


class CostRom(wiring.Component):
    """What a value takes of a flit: the length of its code word and its rest bits.

    Combinational: latency 0.

    Members
    -------
    symbol: In. slot: In, ignored where there is one book. cost: Out, bits.
    """

    def __init__(self, codebooks: Sequence[Codebook], *, slot_bits: int):
        self.codebooks = tuple(codebooks)
        view = codebooks[0].symbol_view
        self.rest_bits = view.rest_bits
        max_length = max(book.max_length for book in codebooks)
        super().__init__(
            {
                "symbol": In(view.symbol_bits),
                "slot": In(slot_bits),
                "cost": Out(range(max_length + view.rest_bits + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()

        def look_up(book: Codebook) -> None:
            def statements(symbol: int) -> list:
                return [self.cost.eq(book.lengths[symbol] + self.rest_bits)]

            _switch(m, self.symbol, statements)

        _of_slot(m, self.codebooks, self.slot, look_up)
        return m


def _of_slot(m: Module, codebooks, slot, look_up: Callable[[Codebook], None]) -> None:
    if len(codebooks) == 1:
        look_up(codebooks[0])
        return
    with m.Switch(slot):
        for number, book in enumerate(codebooks, start=1):
            with m.Case(number):
                look_up(book)


def _switch(m: Module, symbol, statements: Callable[[int], list]) -> None:
    # Two levels of 4 bits, so that a simulator compares 16 + 16 times and not 256.
    low_bits = min(4, len(symbol))
    low, high = symbol[:low_bits], symbol[low_bits:]
    with m.Switch(high):
        for first in range(0, 1 << len(symbol), 1 << low_bits):
            with m.Case(first >> low_bits), m.Switch(low):
                for number in range(first, first + (1 << low_bits)):
                    with m.Case(number - first):
                        m.d.comb += statements(number)
