"""Encoders that are broken on purpose: each of the comparisons must notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from hw.huffman.assembler import FlitAssembler
from hw.huffman.code_rom import CodeRom
from hw.huffman.cutter import FlitCutter
from hw.huffman.entry_points import EntryPointTable
from hw.huffman.row_placer import RowPlacer
from hw.huffman.shape import LinkShape
from tests.hw.messages import drawn, just_full, steep_book
from tests.hw.simulation import HardwareEncoder, encode_in_software

BOOK = steep_book()


def with_statement(cls: type, add: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """*cls*.elaborate with one more statement, which overrules those before."""
    sound = cls.elaborate

    def broken(self, platform):
        m = sound(self, platform)
        add(m, self)
        return m

    return broken


def flip_word_bit(m, rom) -> None:
    """One bit of one entry: that of the most frequent symbol."""
    symbol = int(np.argmin(BOOK.lengths))
    with m.If(rom.symbol == symbol):
        m.d.comb += rom.word.eq(int(BOOK.code.words[symbol]) ^ 1)


def stuck_entry_bit(m, table) -> None:
    m.d.sync += table.table[0].eq(1)


def late_last(m, cutter) -> None:
    m.d.sync += cutter.placement.last.eq(0)


def keep_old_bits(m, placer) -> None:
    m.d.sync += placer.opening[-1].eq(1)


def drop_padding(m, assembler) -> None:
    with m.If(assembler.close & assembler.closing.last):
        m.d.sync += assembler.flit.payload[880:960].eq(-1)


STATEMENTS = [
    (CodeRom, flip_word_bit),
    (EntryPointTable, stuck_entry_bit),
    (FlitCutter, late_last),
    (RowPlacer, keep_old_bits),
    (FlitAssembler, drop_padding),
]
CONSTANTS = [
    ("raw_values", lambda self: 117),
    ("raw_values", lambda self: 119),
    ("body_bits", lambda self: 8 * 240 - 25),
    ("entry_bits", lambda self: 12),
]


def agrees() -> bool:
    mixed = drawn(BOOK, [("well", 500), ("badly", 300), ("anyhow", 200)], 7)
    sent = [mixed, just_full(BOOK, 0)]
    wanted = [encode_in_software(BOOK, m.symbols, m.rest, 240, 64) for m in sent]
    unit = HardwareEncoder([BOOK], values_per_cycle=4)
    try:
        return unit.run(sent).messages == wanted
    except AssertionError:
        return False


def test_the_sound_one_agrees():
    assert agrees()


@pytest.mark.parametrize(("cls", "add"), STATEMENTS)
def test_a_broken_module_is_caught(cls, add, monkeypatch):
    monkeypatch.setattr(cls, "elaborate", with_statement(cls, add))
    assert not agrees()


@pytest.mark.parametrize(("name", "value"), CONSTANTS)
def test_a_wrong_constant_is_caught(name, value, monkeypatch):
    monkeypatch.setattr(LinkShape, name, property(value))
    assert not agrees()


def test_a_table_of_another_size_is_caught(monkeypatch):
    sound = LinkShape.table_nbytes
    monkeypatch.setattr(LinkShape, "table_nbytes", lambda self, k: sound(self, k) + (k == 2))
    assert not agrees()
