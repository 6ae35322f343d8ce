"""The decoder's parts: code words read back, their starts found, windows of a ring."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value

from hw.formal.harness import Harness
from hw.formal.mutants import attribute, statement
from hw.formal.prove import Property
from hw.formal.small import SmallBook, SmallShape
from hw.huffman.canonical import BitRuns, CanonicalCode
from hw.huffman.code_rom import CodeRom
from hw.huffman.ring_window import RingWindow
from hw.huffman.start_finder import HEADER_CHUNKS, StartFinder
from linksim.codecs import Codebook, CodebookSet

STEEP = SmallBook((1, 2, 3, 5, 6, 6, 6, 6), max_length=6)
"""Not all bits begin a code word."""
FLAT = SmallBook((3, 3, 2, 4, 4, 3, 3, 3), max_length=6)


class WordsReadBack(Harness):
    """The word of every symbol, whatever follows it, is read as that symbol."""

    def __init__(self, book: Codebook):
        super().__init__()
        self.book = book
        self.rom = CodeRom([book], slot_bits=1)

    def describe(self, m: Module) -> None:
        m.submodules.rom = rom = self.rom
        symbol = self.free(m, len(rom.symbol), "symbol")
        following = self.free(m, rom.max_length, "following")
        m.d.comb += [rom.slot.eq(1), rom.symbol.eq(symbol)]
        window = Signal(rom.max_length)
        m.d.comb += window.eq(rom.word | (following << rom.length))
        self.show(m, window, "window")
        self.show(m, rom.length, "length")
        code = CanonicalCode(self.book)
        hits, none = code.at(BitRuns(m, window, "ones"), 0)
        found = self.show(m, code.symbol(window, hits, len(symbol)), "found")
        self.check(m, "symbol", found == symbol, "the symbol that was coded is read")
        hit = Cat(*((bits == rom.length) == hits[bits] for bits in hits))
        self.check(m, "length", hit.all(), "its length, and no other, is found")
        self.check(m, "word", ~none, "a code word is recognised as one")
        self.reach(m, "longest", rom.length == rom.max_length)


class WindowOfRing(Harness):
    """Unit u of the window is unit start + u of the ring, round its end."""

    def __init__(self, *, ring_bits: int, unit_bits: int, window_bits: int, registered: bool):
        super().__init__()
        self.dut = RingWindow(
            ring_bits=ring_bits,
            unit_bits=unit_bits,
            window_bits=window_bits,
            registered=registered,
        )

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        self.assume(m, dut.start < dut.units)
        bit = self.constant(m, range(len(dut.window)), "bit")
        self.assume(m, bit < len(dut.window))
        ring = self.delayed(m, dut.ring, dut.latency, "ring")
        start = self.delayed(m, dut.start, dut.latency, "start")
        full = self.cycle(m, dut.latency) == dut.latency if dut.latency else Const(1)
        place = start * dut.unit_bits + bit
        turned = Mux(place >= len(dut.ring), place - len(dut.ring), place)
        wanted = ring.bit_select(turned[: len(dut.ring).bit_length()], 1)
        found = self.show(m, dut.window.bit_select(bit, 1), "found")
        self.check(m, "window", ~full | (found == wanted), "the window is read where it begins")
        self.reach(m, "round", full & found & (place >= len(dut.ring)))


class StartsFound(Harness):
    """The starts are those that a walk from code word to code word finds.

    The walk is the definition: from the first start of a block on, by the length of the word that
    begins there, bit by bit. Bits that begin no word pass for one of the longest.
    """

    def __init__(self, books: Sequence[Codebook], *, bits_per_cycle: int):
        super().__init__()
        self.books = list(books)
        view = books[0].symbol_view
        shape = SmallShape(
            symbol_bits=view.symbol_bits,
            rest_bits=view.rest_bits,
            min_length=1,
            max_length=books[0].max_length,
            values_per_cycle=4,
            payload_nbytes=64,
            run_symbols=16,
        )
        self.dut = StartFinder(
            self.books,
            shape,
            bits_per_cycle=bits_per_cycle,
            book_bits=len(books).bit_length(),
        )

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        bits = len(dut.starts)
        self.assume(m, dut.book <= len(self.books))
        self.assume(m, dut.header_chunks <= HEADER_CHUNKS)
        window = self.delayed(m, dut.window, dut.latency, "window")
        slot = self.delayed(m, dut.book, dut.latency, "slot")
        header = self.delayed(m, dut.header_chunks, dut.latency, "headers")
        valid = self.delayed(m, dut.valid, dut.latency, "valid")
        filled = self.cycle(m, dut.latency) == dut.latency
        carried = Signal(range(dut.max_length), name="carried")
        first = Signal(range(max(dut.max_length, 8 * HEADER_CHUNKS + 1)), name="first")
        m.d.comb += first.eq(Mux(header == 0, carried, header * 8))
        begins = [Signal(name=f"begins{bit}") for bit in range(bits)]
        lengths = [self._length(m, window[bit : bit + dut.max_length], slot) for bit in range(bits)]
        for bit, begin in enumerate(begins):
            arriving = [
                begins[bit - n] & (lengths[bit - n] == n)
                for n in range(1, min(bit, dut.max_length) + 1)
            ]
            m.d.comb += begin.eq((first == bit) | Cat(*arriving).any())
        behind = Signal(range(dut.max_length), name="behind")
        for bit, begin in enumerate(begins):
            with m.If(begin & (bit + lengths[bit] >= bits)):
                m.d.comb += behind.eq(bit + lengths[bit] - bits)
        # Before the first header nobody knows where a code word begins.
        known = Signal(name="known")
        with m.If(valid & filled):
            m.d.sync += [carried.eq(behind), known.eq(known | (header != 0))]
        found = self.show(m, dut.starts, "starts")
        wanted = self.show(m, Cat(*begins), "wanted")
        self.shown += ["first", "behind", "carried"]
        counted = filled & valid & (known | (header != 0))
        self.check(m, "starts", ~counted | (found == wanted), "code words begin where they do")
        offset = Mux(valid, behind, carried)
        self.check(
            m,
            "offset",
            ~filled | ~(known | counted) | (dut.offset == offset),
            "the last one ends where it does",
        )
        self.check(
            m, "carried", carried < dut.max_length, "no word reaches further than it is long"
        )
        self.check(m, "known", filled | ~known, "nothing is known before the pipeline is full")
        self.reach(m, "across", counted & (header == 0) & (carried != 0) & (behind != 0))

    def _length(self, m: Module, window: Value, slot: Value) -> Signal:
        """Length of the code word that begins *window*, from the codec's decoding table."""
        length = Signal(range(self.dut.max_length + 1))
        with m.Switch(slot):
            with m.Case(0):
                m.d.comb += length.eq(self.books[0].symbol_view.symbol_bits)
            for number, book in enumerate(self.books, start=1):
                _, table = book.code.decode_table
                longest = max(book.lengths)
                with m.Case(number):
                    m.d.comb += length.eq(Array(int(n) or longest for n in table)[window])
        return length


def _wrong_limit(sound):
    def at_least(self, start, limit, bits):
        return sound(self, start, limit + (bits == 3), bits)

    return at_least


def _read_back(name: str, book: Codebook) -> Property:
    return Property(
        name=f"read-back-{name}",
        sentence="every code word, whatever bits follow it, is read as the symbol that was coded",
        build=lambda: WordsReadBack(book),
        depth=2,
        whole=True,
        mutants=(
            attribute(
                "one length has a word more", BitRuns, "at_least", _wrong_limit(BitRuns.at_least)
            ),
        ),
    )


def _window(**sizes) -> Property:
    def late(m, window):
        m.d.comb += window.window[-1].eq(0)

    return Property(
        name=f"ring-window-{sizes['ring_bits']}-{sizes['window_bits']}",
        sentence="a window of a ring begins where it should and goes round its end",
        build=lambda: WindowOfRing(**sizes),
        depth=4,
        induction=2,
        mutants=(statement("the last bit is lost", RingWindow, late),),
    )


def _starts(name: str, books: list, bits_per_cycle: int) -> Property:
    def keep(m, finder):
        m.d.sync += finder.starts[-1].eq(0)

    return Property(
        name=f"starts-{name}",
        sentence="code words begin where a walk from one to the next finds them, at every offset",
        build=lambda: StartsFound(books, bits_per_cycle=bits_per_cycle),
        depth=9,
        induction=6,
        mutants=(
            statement("one start is lost", StartFinder, keep),
            attribute(
                "one length has a word more", BitRuns, "at_least", _wrong_limit(BitRuns.at_least)
            ),
        ),
    )


SHIPPED = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
PROPERTIES = (
    _read_back("shipped", SHIPPED),
    _read_back("steep", STEEP),
    _window(ring_bits=40, unit_bits=1, window_bits=11, registered=True),
    _window(ring_bits=56, unit_bits=8, window_bits=32, registered=False),
    _starts("steep", [STEEP], 16),
    _starts("two-books", [STEEP, FLAT], 32),
)
