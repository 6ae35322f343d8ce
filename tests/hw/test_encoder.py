"""The encoder writes what the codec writes, to the bit, at any pace."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from hw.huffman import LinkShape
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
    seldom,
    slot_of,
)

BOOKS = {
    "gauss": gaussian_book(),
    "limit12": gaussian_book(max_length=12),
    "steep": steep_book(),
    "universal": CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0],
    "pooled": gaussian_book("pooled"),
    "steep8": steep_book("int8", "pooled"),
}


@cache
def encoder(name: str, width: int, payload: int = 240, run: int = 64) -> HardwareEncoder:
    return HardwareEncoder(
        [BOOKS[name]], values_per_cycle=width, payload_nbytes=payload, run_symbols=run
    )


def in_software(name: str, unit: HardwareEncoder, message: Message) -> bytes:
    shape = unit.dut.shape
    return encode_in_software(
        BOOKS[name], message.symbols, message.rest, shape.payload_nbytes, shape.run_symbols
    )


KINDS = st.sampled_from(["well", "badly", "anyhow", "shortest"])
PARTS = st.lists(st.tuples(KINDS, st.integers(0, 150)), max_size=4)
EVERY_SHAPE = [
    ("gauss", 4, 240, 64),
    ("steep", 8, 240, 64),
    ("steep", 4, 64, 16),
    ("limit12", 16, 64, 16),
    ("universal", 32, 240, 64),
    ("steep", 32, 248, 32),
    ("pooled", 16, 120, 64),
    ("steep8", 8, 64, 16),
    ("gauss", 64, 132, 64),
]


@pytest.mark.parametrize(("name", "width", "payload", "run"), EVERY_SHAPE)
@settings(max_examples=6)
@given(messages=st.lists(PARTS, min_size=1, max_size=4), seed=st.integers(0, 999))
def test_bit_exact(name, width, payload, run, messages, seed):
    unit = encoder(name, width, payload, run)
    sent = [drawn(BOOKS[name], parts, seed + k) for k, parts in enumerate(messages)]
    outcome = unit.run(sent)
    wanted = [in_software(name, unit, message) for message in sent]
    assert outcome.messages == [message for message in wanted if message]
    assert outcome.stalls == 0


@settings(max_examples=6)
@given(
    parts=st.lists(PARTS, min_size=1, max_size=3),
    seed=st.integers(0, 999),
    offered=st.integers(1, 5),
    taken=st.integers(1, 5),
)
@pytest.mark.parametrize(
    ("name", "width", "payload", "run"), [("gauss", 4, 64, 64), ("steep", 32, 248, 32)]
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
    unit = encoder("steep", 4)
    full = {"well": 190, "badly": 118, "shortest": 207}[kind]
    at = [0, 4, 64, 118, 128, 192, full, 2 * full]
    lengths = sorted({max(0, length + step) for length in at for step in range(-3, 4)})
    sent = [drawn(BOOKS["steep"], [(kind, length)], length) for length in lengths]
    outcome = unit.run(sent)
    wanted = [in_software("steep", unit, message) for message in sent]
    assert outcome.messages == [message for message in wanted if message]
    assert outcome.stalls == 0


@pytest.mark.parametrize("over", [0, 1])
def test_a_flit_full_to_the_last_bit(over):
    """And one that would be a bit over: its last value opens the next flit."""
    unit = encoder("steep", 8)
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


def test_rows_need_not_be_full():
    unit = encoder("gauss", 8)
    symbols, rest = BOOKS["gauss"].symbol_view.split(gaussian(700))
    counts = np.random.default_rng(3).integers(0, 9, 400)
    counts = tuple(counts[: np.searchsorted(np.cumsum(counts), 700)].tolist())
    message = Message(symbols, rest, row_counts=(*counts, 700 - sum(counts), 0))
    outcome = unit.run([message, message])
    assert outcome.messages == [in_software("gauss", unit, message)] * 2
    assert outcome.stalls == 0


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
        assert cycles == -(-len(values) // 32) + unit.dut.latency + 1
    assert len(seen) > 5


def test_messages_with_different_codebooks():
    scales = (0.02, 1.0, 50.0)
    books = [gaussian_book(scale=scale) for scale in scales]
    unit = HardwareEncoder(books, values_per_cycle=8)
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


@pytest.mark.parametrize("width", [4, 8, 16, 32])
def test_it_never_stalls_by_itself(width):
    """A row every cycle, whatever the lengths of messages; every flit *latency* after its row."""
    unit = encoder("universal", width)
    latency = unit.dut.latency
    counts = [1, 1, 1, 2 * width + 1, 119, 1, 700, 119, 118 + 2 * width, 3, 1]
    sent = [drawn(BOOKS["universal"], [("anyhow", count)], count) for count in counts]
    outcome = unit.run(sent)
    rows = sum(-(-count // width) for count in counts)
    assert outcome.stalls == 0
    assert outcome.row_cycles == list(range(rows))
    assert outcome.flit_cycles[-1] == rows - 1 + latency + 1
    assert outcome.messages == [in_software("universal", unit, message) for message in sent]


def test_latency_of_the_first_flit():
    unit = encoder("gauss", 4)
    symbols, rest = BOOKS["gauss"].symbol_view.split(gaussian(1000))
    outcome = unit.run([Message(symbols, rest)])
    header = int.from_bytes(outcome.messages[0][:2], "little")
    first_flit_values = (header & 0x1FFF) + 1
    assert outcome.flit_cycles[0] == first_flit_values // 4 + unit.dut.latency


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
    ("changes", "reason"),
    [
        ({"values_per_cycle": 3}, "values_per_cycle is 3: expected 4, 8, 16, 32, 64"),
        ({"payload_nbytes": 60}, "payload_nbytes is 60: expected 64 to 4096"),
        ({"payload_nbytes": 60}, "payload_nbytes is 60"),
        ({"payload_nbytes": 4100}, "payload_nbytes is 4100"),
        ({"run_symbols": 48}, "run_symbols is 48: expected a power of two"),
        ({"values_per_cycle": 64, "run_symbols": 32}, "a row of 64 values could reach two entry"),
        ({"values_per_cycle": 32, "payload_nbytes": 64}, "a row of 32 could close two flits"),
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
