"""Both whole ends of a link, back to back, against codec and quantizer."""

from __future__ import annotations

from functools import cache

import ml_dtypes
import numpy as np
import pytest

from hw.adapter import LosslessReceiver, LosslessSender, QuantizingReceiver, QuantizingSender
from hw.adapter.quantizing import bytes_per_cycle_for, record_codebook
from hw.link_port.flit_format import PAYLOAD_NBYTES, WORD_NBYTES, Flit, framed, unframed
from linksim.codecs import CodebookSet, HuffmanFixed
from linksim.codecs.quantize import GroupQuantizer
from tests.conftest import gaussian
from tests.hw.decoding import flits_from
from tests.hw.streams import StreamSimulation, always, seldom

BOOK = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
PATTERNS = [(always, always), (seldom(1, 2, 1), seldom(1, 3, 2))]


# Elaborated once each, which takes longer than to run them.
@cache
def lossless_ends() -> tuple[StreamSimulation, StreamSimulation]:
    return (
        StreamSimulation(LosslessSender(codebooks=[BOOK], values_per_cycle=4)),
        StreamSimulation(LosslessReceiver(codebooks=[BOOK], values_per_cycle=4)),
    )


@cache
def quantizing_ends(definition: GroupQuantizer) -> tuple[StreamSimulation, StreamSimulation]:
    parameters = {
        "definition": definition,
        "codebooks": [record_codebook(definition)],
        "values_per_cycle": 8,
    }
    return (
        StreamSimulation(QuantizingSender(**parameters)),
        StreamSimulation(QuantizingReceiver(**parameters)),
    )


def flits_of(words: list) -> list[bytes]:
    """256 bytes each, from what a sender gave."""
    wire = b"".join(int(word.data).to_bytes(WORD_NBYTES, "little") for _, word in words)
    return [wire[start : start + 256] for start in range(0, len(wire), 256)]


def payload_of(words: list) -> bytes:
    flits = [unframed(flit) for flit in flits_of(words)]
    assert all(flits)
    assert [flit.number for flit in flits] == list(range(len(flits)))
    assert [flit.first for flit in flits] == [True, *[False] * (len(flits) - 1)]
    assert [flit.last for flit in flits] == [*[False] * (len(flits) - 1), True]
    return b"".join(flit.payload for flit in flits)


def as_inputs(words: list) -> list[dict]:
    return [{"data": int(word.data), "end": int(word.end)} for _, word in words]


def value_rows(values: np.ndarray, width: int) -> list[dict]:
    symbols, rest = BOOK.symbol_view.split(values)
    rows = []
    for start in range(0, len(symbols), width):
        part = slice(start, start + width)
        count = len(symbols[part])
        empty = [0] * (width - count)
        rows.append(
            {
                "symbols": [*symbols[part].tolist(), *empty],
                "rest": [*rest[part].tolist(), *empty],
                "count": count,
                "last": start + width >= len(symbols),
                "slot": 1,
            }
        )
    return rows


@pytest.mark.parametrize(("offer", "take"), PATTERNS)
def test_lossless(offer, take):
    values = np.concatenate([gaussian(190, seed=1), gaussian(140, seed=2, scale=1e30)])
    sender, receiver = lossless_ends()
    sent = sender.run(value_rows(values, 4), offer, take, idle=200)
    codec = HuffmanFixed([BOOK], "link", payload_nbytes=PAYLOAD_NBYTES)
    assert payload_of(sent.given) == codec.encode(values)

    got = receiver.run(as_inputs(sent.given), offer, take, idle=200)
    flits = flits_from(receiver.dut.shape, got)
    assert not any(flit.error for flit in flits)
    assert [flit.last for flit in flits] == [*[False] * (len(flits) - 1), True]
    symbols = np.array([symbol for flit in flits for symbol in flit.symbols], np.uint8)
    rest = np.array([byte for flit in flits for byte in flit.rest], np.uint8)
    assert (BOOK.symbol_view.join(symbols, rest).view(np.uint16) == values.view(np.uint16)).all()


@pytest.mark.parametrize(
    ("definition", "groups"),
    [
        (GroupQuantizer(bits=4), 21),
        (GroupQuantizer(bits=5, group=64, zero="min", spikes=True), 7),
    ],
    ids=str,
)
@pytest.mark.parametrize(("offer", "take"), PATTERNS)
def test_quantizing(definition, groups, offer, take):
    patterns = (
        np.random.default_rng(definition.bits)
        .standard_normal(groups * definition.group)
        .astype(ml_dtypes.bfloat16)
        .view(np.uint16)
    )
    book = record_codebook(definition)
    width = 8
    rows = [
        {"values": patterns[start : start + width].tolist(), "last": start + width == len(patterns)}
        for start in range(0, len(patterns), width)
    ]
    sender, receiver = quantizing_ends(definition)
    sent = sender.run(rows, offer, take, idle=300)
    quantized = definition.quantize(patterns)
    records = np.frombuffer(definition.pack(quantized), np.int8)
    codec = HuffmanFixed([book], "link", payload_nbytes=PAYLOAD_NBYTES)
    assert payload_of(sent.given) == codec.encode(records)

    got = receiver.run(as_inputs(sent.given), offer, take, idle=300)
    values = np.array([list(row.values) for _, row in got.given], np.uint16).reshape(-1)
    assert (values[: len(patterns)] == definition.dequantize(quantized)).all()
    assert not values[len(patterns) :].any()
    assert [bool(row.last) for _, row in got.given] == [*[False] * (len(got.given) - 1), True]
    assert not any(row.error for _, row in got.given)


def test_a_message_that_breaks_the_format_is_said_to_be_damaged():
    """Good flits of bytes that are no records: a scale with an exponent that none has."""
    definition = GroupQuantizer(bits=4)
    book = record_codebook(definition)
    records = np.full(36 * 4, -1, np.int8)
    codec = HuffmanFixed([book], "link", payload_nbytes=PAYLOAD_NBYTES)
    message = codec.encode(records)
    flits = [
        framed(Flit(message[at : at + PAYLOAD_NBYTES], number, at == 0, True))
        for number, at in enumerate(range(0, len(message), PAYLOAD_NBYTES))
    ]
    words = [
        {"data": int.from_bytes(flit[at : at + 64], "little"), "end": at == 192}
        for flit in flits
        for at in range(0, 256, 64)
    ]
    got = quantizing_ends(definition)[1].run(words, idle=300)
    assert [bool(row.error) for _, row in got.given if row.last] == [True]


def test_the_encoder_keeps_up_with_the_quantizer():
    for bits in range(2, 9):
        for group in (32, 64, 128):
            definition = GroupQuantizer(bits=bits, group=group)
            assert bytes_per_cycle_for(definition, 32) * 8 >= definition.bits_per_value * 32
    assert bytes_per_cycle_for(GroupQuantizer(bits=4), 32) == 32
