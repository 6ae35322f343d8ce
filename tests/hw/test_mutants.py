"""Encoders that are broken on purpose: each of the comparisons must notice."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from amaranth import Const

from hw.formal.mutants import with_statement
from hw.huffman.code_rom import CodeRom
from hw.huffman.entry_points import EntryPointTable
from hw.huffman.flit_buffer import FlitBuffer
from hw.huffman.flit_cutter import FlitCutter
from hw.huffman.placers import CodePlacer, RestPlacer
from hw.huffman.planner import FlitPlanner
from hw.huffman.row_packer import RowPacker
from hw.huffman.shape import LinkShape
from hw.huffman.word_buffer import WordBuffer
from tests.hw.messages import drawn, just_full, steep_book
from tests.hw.simulation import HardwareEncoder, encode_in_software
from tests.hw.streams import seldom

BOOK = steep_book()


def flip_word_bit(m, rom) -> None:
    """One bit of one entry: that of the most frequent symbol."""
    symbol = int(np.argmin(BOOK.lengths))
    with m.If(rom.symbol == symbol):
        m.d.comb += rom.word.eq(int(BOOK.code.words[symbol]) ^ 1)


def stuck_entry_bit(m, table) -> None:
    with m.If(table.closes & table.coded):
        m.d.sync += table.table[-1].eq(1)


def late_end(m, cutter) -> None:
    m.d.sync += cutter.row.ended.eq(0)


def cut_a_place_off(m, cutter) -> None:
    m.d.sync += cutter.row.place[0].eq(0)


def stuck_record(m, planner) -> None:
    m.d.comb += planner.planned.values[0].eq(1)


def stuck_split(m, packer) -> None:
    m.d.comb += packer.packed.split[0].eq(0)


def keep_old_bits(m, placer) -> None:
    with m.If(placer.packed.opens):
        m.d.comb += placer.opening[24].eq(1)


def turned_rest(m, placer) -> None:
    with m.If(placer.row.opens):
        m.d.comb += placer.placed[-40:-32].eq(0)


def padding(m, buffer) -> None:
    with m.If(buffer.closing.last):
        m.d.comb += buffer.word.data[7].eq(1)


def lose_spare(m, words) -> None:
    with m.If(words.valid & ~words.moves):
        m.d.sync += words.o.valid.eq(0)
    with m.If(words.o.valid & ~words.o.ready):
        m.d.comb += words.moves.eq(1)


STATEMENTS = [
    (CodeRom, flip_word_bit),
    (EntryPointTable, stuck_entry_bit),
    (FlitCutter, late_end),
    (FlitCutter, cut_a_place_off),
    (FlitPlanner, stuck_record),
    (RowPacker, stuck_split),
    (CodePlacer, keep_old_bits),
    (RestPlacer, turned_rest),
    (FlitBuffer, padding),
    (WordBuffer, lose_spare),
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
    unit = HardwareEncoder([BOOK], values_per_cycle=8, words_per_flit=4)
    try:
        return unit.run(sent, take=seldom(4, 5, 1)).messages == wanted
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


def forgets_across_a_reset() -> bool:
    """Whether the rows before a reset leave no trace in those after it."""
    unit = HardwareEncoder([BOOK], values_per_cycle=4, payload_nbytes=64, words_per_flit=5)
    unit.reset_at = unit.dut.latency + 6
    message = drawn(BOOK, [("badly", 4 * (unit.dut.latency + 10))], 3)
    try:
        outcome = unit.run([message])
    except AssertionError:
        return False
    taken = 4 * sum(cycle <= unit.reset_at for cycle in outcome.row_cycles)
    rest = encode_in_software(BOOK, message.symbols[taken:], message.rest[taken:], 64, 64)
    return outcome.messages == [rest]


def test_the_sound_one_forgets():
    assert forgets_across_a_reset()


@pytest.mark.parametrize("part", ["planner", "assembler"])
def test_what_does_not_wait_after_a_reset_is_caught(part, monkeypatch):
    monkeypatch.setattr(f"hw.huffman.{part}.settled", lambda m, cycles: Const(1))
    assert not forgets_across_a_reset()
