"""Codebooks as hard-wired logic: from a symbol to its code word and length."""

from __future__ import annotations

from collections.abc import Sequence

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
    symbol: In. slot: In.
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
        with m.Switch(self.slot):
            for slot, book in enumerate(self.codebooks, start=1):
                with m.Case(slot):
                    self._look_up(m, book)
        return m

    def _look_up(self, m: Module, book: Codebook) -> None:
        # Two levels of 4 bits, so that a simulator compares 16 + 16 times and not 256.
        low_bits = min(4, len(self.symbol))
        low, high = self.symbol[:low_bits], self.symbol[low_bits:]
        words = [int(word) for word in book.code.words]
        with m.Switch(high):
            for first in range(0, len(words), 1 << low_bits):
                with m.Case(first >> low_bits), m.Switch(low):
                    for symbol in range(first, first + (1 << low_bits)):
                        with m.Case(symbol - first):
                            m.d.comb += self.word.eq(words[symbol])
                            m.d.comb += self.length.eq(book.lengths[symbol])
