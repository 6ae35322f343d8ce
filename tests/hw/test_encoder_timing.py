"""The cycle model of the encoder gives the cycles of the core, every one."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from hw.huffman.encoder_timing import EncoderTiming, flit_values
from linksim.codecs import Codebook
from tests.conftest import gaussian_book
from tests.hw.messages import drawn, steep_book
from tests.hw.simulation import HardwareEncoder, Message, flits_of

BOOKS = {"steep": steep_book(), "gauss": gaussian_book(), "pooled": gaussian_book("pooled")}
SHAPES = [
    ("steep", 4, 64, 16, None),
    ("gauss", 8, 240, 64, 4),
    ("pooled", 8, 120, 64, None),
    ("steep", 32, 250, 64, None),
    ("steep", 16, 64, 16, 1),
]


@cache
def encoder(name: str, width: int, payload: int, run: int, words: int | None) -> HardwareEncoder:
    return HardwareEncoder(
        [BOOKS[name]],
        values_per_cycle=width,
        payload_nbytes=payload,
        run_symbols=run,
        words_per_flit=words,
    )


def messages(book: Codebook, width: int) -> list[Message]:
    kinds = ("well", "badly", "anyhow", "shortest")
    counts = [2, width, width + 1, 2 * width - 1, 118, 119, 300]
    sent = [drawn(book, [(kinds[k % 4], count)], k) for k, count in enumerate(counts)]
    return [*sent, drawn(book, [("badly", 150), ("shortest", 230), ("anyhow", 41)], 9)]


@pytest.mark.parametrize(("name", "width", "payload", "run", "words"), SHAPES)
def test_every_word_of_every_message(name, width, payload, run, words):
    unit = encoder(name, width, payload, run, words)
    timing = EncoderTiming(unit.dut.shape)
    assert timing.latency == unit.dut.latency
    lengths = np.array(BOOKS[name].lengths)
    for message in messages(BOOKS[name], width):
        flits = flit_values(unit.dut.shape, lengths[message.symbols])
        passage = timing.passage(flits)
        outcome = unit.run([message])
        counts = [
            (int.from_bytes(flit[:2], "little") & 0x1FFF) + 1
            for flit in flits_of(outcome.messages[0], payload)
        ]
        assert flits == counts
        assert passage.rows == outcome.row_cycles
        assert passage.words == outcome.word_cycles


def test_no_values():
    timing = EncoderTiming(encoder(*SHAPES[0]).dut.shape)
    assert flit_values(timing.shape, np.empty(0, np.int64)) == []
    assert timing.passage([]).words == []


def test_first_word_of_the_widest_within_24_cycles():
    """At 32 values a cycle, a book of 12 bits at most, whatever the values."""
    shape = HardwareEncoder([gaussian_book(max_length=12)], values_per_cycle=32).dut.shape
    timing = EncoderTiming(shape)
    for values in range(shape.raw_values, shape.max_values + 1):
        assert timing.passage([values, 118]).words[0] <= 24
