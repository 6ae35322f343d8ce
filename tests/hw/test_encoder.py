"""The encoder writes what the codec writes, to the bit, at any pace."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from hw.huffman import LinkEncoder, LinkShape
from hw.huffman.flit_buffer import most_words
from linksim.codecs import Codebook, CodebookSet, HuffmanFixed
from linksim.traces import Trace
from tests.conftest import gaussian, gaussian_book
from tests.hw.messages import drawn, just_full, steep_book
from tests.hw.simulation import (
    HardwareEncoder,
    Message,
    encode_in_hardware,
    encode_in_software,
    flits_of,
    slot_of,
)
from tests.hw.streams import seldom

BOOKS = {
    "gauss": gaussian_book(),
    "limit12": gaussian_book(max_length=12),
    "steep": steep_book(),
    "universal": CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0],
    "pooled": gaussian_book("pooled"),
    "steep8": steep_book("int8", "pooled"),
}


@cache
def encoder(
    name: str, width: int, payload: int = 240, run: int = 64, words: int | None = None
) -> HardwareEncoder:
    return HardwareEncoder(
        [BOOKS[name]],
        values_per_cycle=width,
        payload_nbytes=payload,
        run_symbols=run,
        words_per_flit=words,
    )


def in_software(name: str, unit: HardwareEncoder, message: Message) -> bytes:
    shape = unit.dut.shape
    return encode_in_software(
        BOOKS[name], message.symbols, message.rest, shape.payload_nbytes, shape.run_symbols
    )


KINDS = st.sampled_from(["well", "badly", "anyhow", "shortest"])
PARTS = st.lists(st.tuples(KINDS, st.integers(0, 150)), max_size=4)
EVERY_SHAPE = [
    ("gauss", 4, 250, 64, None),
    ("steep", 8, 240, 64, 5),
    ("steep", 4, 64, 16, None),
    ("limit12", 16, 64, 16, None),
    ("universal", 32, 240, 64, None),
    ("steep", 32, 248, 32, 1),
    ("pooled", 16, 120, 64, None),
    ("steep8", 8, 64, 16, 2),
]
if "LINKSIM_COCOTB" in os.environ:
    # Minutes of Amaranth's simulator.
    EVERY_SHAPE.append(("gauss", 64, 132, 64, None))


@pytest.mark.parametrize(("name", "width", "payload", "run", "words"), EVERY_SHAPE)
@settings(max_examples=4)
@given(messages=st.lists(PARTS, min_size=1, max_size=4), seed=st.integers(0, 999))
def test_bit_exact(name, width, payload, run, words, messages, seed):
    unit = encoder(name, width, payload, run, words)
    sent = [drawn(BOOKS[name], parts, seed + k) for k, parts in enumerate(messages)]
    outcome = unit.run(sent)
    wanted = [in_software(name, unit, message) for message in sent]
    assert outcome.messages == [message for message in wanted if message]


@settings(max_examples=5)
@given(
    parts=st.lists(PARTS, min_size=1, max_size=3),
    seed=st.integers(0, 999),
    offered=st.integers(1, 5),
    taken=st.integers(1, 5),
)
@pytest.mark.parametrize(
    ("name", "width", "payload", "run"), [("gauss", 4, 64, 64), ("steep", 16, 248, 32)]
)
def test_any_pace(name, width, payload, run, parts, seed, offered, taken):
    unit = encoder(name, width, payload, run)
    sent = [drawn(BOOKS[name], part, seed + k) for k, part in enumerate(parts)]
    outcome = unit.run(sent, offer=seldom(offered, 5, seed), take=seldom(taken, 5, seed + 1))
    wanted = [in_software(name, unit, message) for message in sent]
    assert outcome.messages == [message for message in wanted if message]


@pytest.mark.parametrize("kind", ["well", "badly", "shortest"])
def test_every_length_near_a_boundary(kind):
    """Lengths at which a row, a run or a flit, coded or raw, is just full."""
    unit = encoder("steep", 8, words=5)
    full = {"well": 190, "badly": 118, "shortest": 207}[kind]
    at = [0, 4, 64, 118, 128, 192, full, 2 * full]
    lengths = sorted({max(0, length + step) for length in at for step in range(-3, 4)})
    sent = [drawn(BOOKS["steep"], [(kind, length)], length) for length in lengths]
    outcome = unit.run(sent)
    wanted = [in_software("steep", unit, message) for message in sent]
    assert outcome.messages == [message for message in wanted if message]


@pytest.mark.parametrize("over", [0, 1])
def test_a_flit_full_to_the_last_bit(over):
    """And one that would be a bit over: its last value opens the next flit."""
    unit = encoder("steep", 8, words=5)
    message = just_full(BOOKS["steep"], over)
    wanted = in_software("steep", unit, message)
    first_count = (int.from_bytes(wanted[:2], "little") & 0x1FFF) + 1
    assert (slot_of(wanted), first_count) == (1, 150 - over)
    assert unit.run([message]).messages == [wanted]


def test_every_symbol_and_every_rest_byte():
    unit = encoder("universal", 32)
    symbols = np.arange(256).astype(np.uint8)
    for order in (symbols, symbols[::-1].copy()):
        message = Message(np.repeat(order, 2), np.tile(order, 2))
        assert unit.run([message]).messages == [in_software("universal", unit, message)]


def test_a_chunk_ends_at_8192_symbols():
    """The count in the header has 13 bits, and large flits of 1-bit codes would exceed it."""
    unit = encoder("steep8", 16, 1280)
    message = drawn(BOOKS["steep8"], [("shortest", 8192 + 70)], 0)
    wanted = in_software("steep8", unit, message)
    assert [slot_of(flit) for flit in flits_of(wanted, 1280)] == [1, 0]
    assert unit.run([message]).messages == [wanted]


def test_the_last_row_may_be_empty():
    unit = encoder("gauss", 4, 64, 64)
    messages = []
    for count in (0, 4, 64, 300):
        symbols, rest = BOOKS["gauss"].symbol_view.split(gaussian(count))
        messages.append(Message(symbols, rest, row_counts=(*[4] * (count // 4), 0)))
    wanted = [in_software("gauss", unit, message) for message in messages]
    assert unit.run(messages).messages == wanted[1:]


def test_a_short_row_ends_its_message():
    """Marked or not; and an empty one in the middle is no row."""
    unit = encoder("gauss", 4, 64, 64)
    symbols, rest = BOOKS["gauss"].symbol_view.split(gaussian(151))
    counts = (4, 0, 4, 4, 0, *[4] * 20, 3, *[4] * 14)
    message = Message(symbols, rest, row_counts=counts)
    parts = [Message(symbols[:95], rest[:95]), Message(symbols[95:], rest[95:])]
    assert unit.run([message]).messages == [in_software("gauss", unit, part) for part in parts]


def test_bundled_trace(bundled_trace: Path):
    """Some tensors of every kind, with the shipped codebook."""
    trace = Trace.open(bundled_trace)
    unit = encoder("universal", 32)
    seen: set[str] = set()
    for name, entry in trace.manifest.tensors.items():
        if entry.kind in seen or entry.dtype != "bf16":
            continue
        seen.add(entry.kind)
        values = trace.tensor(name).reshape(-1)[:1500]
        symbols, rest = BOOKS["universal"].symbol_view.split(values)
        got, cycles = encode_in_hardware(unit, symbols, rest)
        assert got == encode_in_software(BOOKS["universal"], symbols, rest, 240, 64), entry.kind
        assert cycles <= -(-len(values) // 32) + unit.dut.latency + 2 + 4
    assert len(seen) > 5


def test_messages_with_different_codebooks():
    scales = (0.02, 1.0, 50.0)
    books = [gaussian_book(scale=scale) for scale in scales]
    unit = HardwareEncoder(books, values_per_cycle=8, words_per_flit=4)
    drawn_at = [(3, 900), (1, 11), (2, 700), (1, 801)]
    tensors = [gaussian(count, seed=count, scale=scales[slot - 1]) for slot, count in drawn_at]
    sent = [
        Message.of(books[slot - 1], values, slot)
        for (slot, _), values in zip(drawn_at, tensors, strict=True)
    ]
    outcome = unit.run(sent)
    codec = HuffmanFixed(books, "link")
    for message, values, got in zip(sent, tensors, outcome.messages, strict=True):
        book = books[message.slot - 1]
        assert got == encode_in_software(book, message.symbols, message.rest, 240, 64, message.slot)
        assert np.array_equal(codec.decode(got).view(np.uint16), values.view(np.uint16))
    used = {slot_of(flit) for got in outcome.messages for flit in flits_of(got, 240)}
    assert used == {0, 1, 2, 3}


@pytest.mark.parametrize(("width", "words"), [(8, 13), (16, 7), (32, 3)])
def test_it_stalls_only_between_messages(width, words):
    """And there at most words_per_flit - 1 cycles, if a message has rows enough for its words."""
    unit = encoder("universal", width, words=words)
    counts = [width * (3 * words + 20 // width) + extra for extra in (0, 1, 2, width - 1, 7)] * 3
    sent = [
        drawn(BOOKS["universal"], [("anyhow" if count % 2 else "badly", count)], count)
        for count in counts
    ]
    outcome = unit.run(sent)
    assert outcome.messages == [in_software("universal", unit, message) for message in sent]
    # A row that waits is the one that would push the end of a message out, some rows later.
    assert outcome.stalls <= (words - 1) * len(sent)
    one = unit.run([drawn(BOOKS["universal"], [("anyhow", 900), ("badly", 900)], 3)])
    assert one.stalls == 0


@pytest.mark.parametrize("width", [4, 8, 16])
def test_with_one_word_per_flit_it_never_stalls(width):
    """A row every cycle, whatever the lengths of messages; every flit *latency* after its row."""
    unit = encoder("universal", width, words=1)
    counts = [1, 1, 1, 2 * width + 1, 119, 1, 400, 119, 118 + 2 * width, 3, 1]
    sent = [drawn(BOOKS["universal"], [("anyhow", count)], count) for count in counts]
    outcome = unit.run(sent)
    rows = sum(-(-count // width) for count in counts)
    assert outcome.stalls == 0
    assert outcome.row_cycles == list(range(rows))
    assert outcome.word_cycles[-1] == rows - 1 + unit.dut.latency + 1
    assert outcome.messages == [in_software("universal", unit, message) for message in sent]


def test_gaps_within_a_message_cost_nothing():
    """Every third row comes: the words leave as the rows allow, and none is lost at the end."""
    unit = encoder("gauss", 4, 64, 64)
    symbols, rest = BOOKS["gauss"].symbol_view.split(gaussian(300))
    message = Message(symbols, rest)
    outcome = unit.run([message, message], offer=lambda cycle: cycle % 3 == 0)
    assert outcome.messages == [in_software("gauss", unit, message)] * 2
    assert outcome.row_cycles == list(range(0, 3 * 150, 3))


def test_reset_forgets_the_message():
    """One cycle of reset, in the middle of a flit."""
    unit = HardwareEncoder([BOOKS["gauss"]], values_per_cycle=4, payload_nbytes=64)
    symbols, rest = BOOKS["gauss"].symbol_view.split(gaussian(300))
    message = Message(symbols, rest)
    wanted = in_software("gauss", unit, message)
    for cycle in (2, 9, 12, 31):
        unit.reset_at = cycle
        outcome = unit.run([message, message])
        assert outcome.messages[-1] == wanted


@pytest.mark.parametrize(
    ("name", "width", "payload", "run", "words"),
    [("gauss", 4, 64, 64, 5), ("gauss", 16, 128, 64, None), ("steep8", 4, 64, 64, None)],
)
def test_nothing_from_before_a_reset_comes_out(name, width, payload, run, words):
    """Registers for rows are not reset; what is in them must neither leave nor touch a flit.

    The last shape holds its rows in a memory.
    """
    unit = HardwareEncoder(
        [BOOKS[name]],
        values_per_cycle=width,
        payload_nbytes=payload,
        run_symbols=run,
        words_per_flit=words,
    )
    latency = unit.dut.latency
    message = drawn(BOOKS[name], [("badly", 99), ("shortest", width * (latency + 10))], 5)
    after = drawn(BOOKS[name], [("anyhow", 3 * width + 1)], 6)
    for unit.reset_at in (latency // 2, latency - 2, latency + 6):
        outcome = unit.run([message, after])
        # What is offered after the reset is a message of its own.
        taken = width * sum(cycle <= unit.reset_at for cycle in outcome.row_cycles)
        rest = Message(message.symbols[taken:], message.rest[taken:])
        assert outcome.messages == [in_software(name, unit, one) for one in (rest, after)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"values_per_cycle": 3}, "values_per_cycle is 3: expected 4, 8, 16, 32, 64"),
        ({"payload_nbytes": 60}, "payload_nbytes is 60: expected 64 to 4096"),
        ({"payload_nbytes": 60}, "payload_nbytes is 60"),
        ({"payload_nbytes": 4100}, "payload_nbytes is 4100"),
        ({"run_symbols": 48}, "run_symbols is 48: expected a power of two"),
        ({"values_per_cycle": 64, "run_symbols": 32}, "a row of 64 values could reach two entry"),
        ({"values_per_cycle": 32, "payload_nbytes": 64}, "a row of 32 could close two flits"),
        ({"words_per_flit": 0}, "words_per_flit is 0"),
        ({"codebooks": []}, "0 codebooks: expected 1 to 8"),
        ({"codebooks": [BOOKS["gauss"]] * 9}, "9 codebooks"),
        ({"codebooks": [BOOKS["gauss"], BOOKS["pooled"]]}, "different number formats or views"),
        ({"codebooks": [BOOKS["gauss"], BOOKS["limit12"]]}, "different max_length"),
        ({"codebooks": [BOOKS["gauss"].of_family("dual-length")]}, "of family 'dual-length'"),
        (
            {"codebooks": [Codebook("some", "bf16", "exponent", "any", (1,) * 2 + (0,) * 254)]},
            "has no code for symbol 2",
        ),
    ],
)
def test_refuses(changes, reason):
    defaults = {"values_per_cycle": 4, "payload_nbytes": 240, "run_symbols": 64}
    with pytest.raises(ValueError, match=reason):
        LinkShape.of(**{"codebooks": [BOOKS["gauss"]], **defaults, **changes})


def test_refuses_words_that_would_not_leave_in_time():
    shape = LinkShape.of([BOOKS["gauss"]], values_per_cycle=32, payload_nbytes=240, run_symbols=64)
    assert most_words(shape) == 3
    with pytest.raises(ValueError, match="words_per_flit is 4: a flit of this encoder leaves in"):
        LinkEncoder(codebooks=[BOOKS["gauss"]], values_per_cycle=32, words_per_flit=4)
