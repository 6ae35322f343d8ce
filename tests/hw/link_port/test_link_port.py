"""The two ends of the link port against the Python model of a flit."""

from __future__ import annotations

import numpy as np
import pytest

from hw.huffman.shape import LinkShape
from hw.link_port import LinkReceiver, LinkTransmitter, checksum
from hw.link_port.flit_format import PAYLOAD_NBYTES, WORD_NBYTES, Flit, framed, unframed
from tests.hw.streams import StreamSimulation, always, seldom


def shape_of(words_per_flit: int) -> LinkShape:
    return LinkShape(
        symbol_bits=8,
        rest_bits=8,
        min_length=2,
        max_length=12,
        values_per_cycle=4,
        payload_nbytes=PAYLOAD_NBYTES,
        run_symbols=64,
        words_per_flit=words_per_flit,
    )


def random_flits(count: int, seed: int) -> list[Flit]:
    rng = np.random.default_rng(seed)
    return [
        Flit(
            rng.integers(0, 256, PAYLOAD_NBYTES, dtype=np.uint8).tobytes(),
            number % 256,
            bool(rng.integers(2)),
            bool(rng.integers(2)),
        )
        for number in range(count)
    ]


def payload_words(shape: LinkShape, flits: list[Flit]) -> list[dict]:
    size = shape.word_nbytes
    return [
        {
            "data": int.from_bytes(flit.payload[start : start + size], "little"),
            "end": start + size >= PAYLOAD_NBYTES,
            "first": flit.first,
            "last": flit.last,
        }
        for flit in flits
        for start in range(0, PAYLOAD_NBYTES, size)
    ]


def flit_words(flits: list[bytes]) -> list[dict]:
    return [
        {
            "data": int.from_bytes(flit[start : start + WORD_NBYTES], "little"),
            "end": start + WORD_NBYTES >= len(flit),
        }
        for flit in flits
        for start in range(0, len(flit), WORD_NBYTES)
    ]


def payloads(given: list, shape: LinkShape) -> list[tuple[bytes, bool, bool]]:
    """Payloads, first and last as they leave the receiver."""
    found, current = [], b""
    for _, word in given:
        current += int(word.data).to_bytes(shape.word_nbytes, "little")
        if word.end:
            assert not any(current[PAYLOAD_NBYTES:])
            found.append((current[:PAYLOAD_NBYTES], bool(word.first), bool(word.last)))
            current = b""
    assert not current
    return found


def test_model_checks_itself():
    flit = random_flits(1, seed=1)[0]
    wire = framed(flit)
    assert len(wire) == 256
    assert unframed(wire) == flit
    for bit in range(8 * len(wire)):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        assert unframed(bytes(damaged)) is None


@pytest.mark.parametrize("words_per_flit", [1, 3, 4, 7, 25])
@pytest.mark.parametrize(
    ("offer", "take"), [(always, always), (seldom(1, 3, 1), always), (always, seldom(1, 3, 2))]
)
def test_transmitter(words_per_flit, offer, take):
    shape = shape_of(words_per_flit)
    flits = random_flits(9, seed=words_per_flit)
    simulation = StreamSimulation(LinkTransmitter(shape))
    transfers = simulation.run(payload_words(shape, flits), offer, take, idle=20)
    wire = b"".join(int(word.data).to_bytes(WORD_NBYTES, "little") for _, word in transfers.given)
    assert wire == b"".join(map(framed, flits))
    assert [bool(word.end) for _, word in transfers.given] == [False, False, False, True] * 9


@pytest.mark.parametrize("words_per_flit", [1, 3, 4, 7, 25])
@pytest.mark.parametrize(
    ("offer", "take"), [(always, always), (seldom(1, 3, 1), always), (always, seldom(1, 3, 2))]
)
def test_receiver(words_per_flit, offer, take):
    shape = shape_of(words_per_flit)
    flits = random_flits(9, seed=words_per_flit)
    simulation = StreamSimulation(LinkReceiver(shape))
    transfers = simulation.run(flit_words([framed(flit) for flit in flits]), offer, take, idle=40)
    expected = [(flit.payload, flit.first, flit.last) for flit in flits]
    assert payloads(transfers.given, shape) == expected


def test_both_run_at_full_rate():
    shape = shape_of(3)
    flits = random_flits(40, seed=3)
    transmitter = StreamSimulation(LinkTransmitter(shape))
    sent = transmitter.run(payload_words(shape, flits), idle=20)
    cycles = [cycle for cycle, _ in sent.given]
    assert cycles == list(range(cycles[0], cycles[0] + 160))
    # The first flit word needs one payload word, so its way is the latency alone.
    assert cycles[0] - sent.taken[0] == LinkTransmitter.latency

    receiver = StreamSimulation(LinkReceiver(shape))
    got = receiver.run(flit_words([framed(flit) for flit in flits]), idle=40)
    assert got.stalls == 0
    assert got.given[0][0] - got.taken[3] == receiver.dut.latency == 6


@pytest.mark.parametrize("take", [always, seldom(1, 2, 5)])
def test_receiver_drops_what_is_damaged_or_out_of_order(take):
    shape = shape_of(3)
    flits = random_flits(12, seed=7)
    wire = [framed(flit) for flit in flits]
    damaged = bytearray(wire[2])
    damaged[200] ^= 4
    # 2 is damaged, so 3 comes too early; then all again from 2;
    # 4 comes twice, and 6 is cut short at first.
    sequence = [
        *wire[:2],
        bytes(damaged),
        wire[3],
        *wire[2:5],
        wire[4],
        wire[5],
        wire[6][:128],
        *wire[6:],
    ]
    words = flit_words(sequence)
    transfers = StreamSimulation(LinkReceiver(shape)).run(words, take=take, idle=60)
    expected = [(flit.payload, flit.first, flit.last) for flit in flits]
    assert payloads(transfers.given, shape) == expected


def test_every_flipped_bit_is_refused():
    shape = shape_of(3)
    flit = framed(random_flits(1, seed=9)[0])
    rng = np.random.default_rng(9)
    sequence = []
    for bit in [0, 8, 15, *rng.integers(0, 2048, 40).tolist()]:
        damaged = bytearray(flit)
        damaged[bit // 8] ^= 1 << bit % 8
        sequence.append(bytes(damaged))
    transfers = StreamSimulation(LinkReceiver(shape)).run(flit_words(sequence), idle=40)
    assert transfers.given == []


@pytest.mark.parametrize("parity", [0, 9])
def test_a_wrong_parity_is_caught(monkeypatch, parity):
    masks = list(checksum._parity_masks())
    masks[parity] ^= 1 << 77
    monkeypatch.setattr(checksum, "_parity_masks", lambda: tuple(masks))
    shape = shape_of(3)
    flits = random_flits(4, seed=2)
    transfers = StreamSimulation(LinkTransmitter(shape)).run(payload_words(shape, flits), idle=20)
    wire = b"".join(int(word.data).to_bytes(WORD_NBYTES, "little") for _, word in transfers.given)
    assert wire != b"".join(map(framed, flits))


def test_refuses():
    with pytest.raises(ValueError, match="payload_nbytes is 240: a flit carries 250"):
        LinkTransmitter(
            LinkShape(
                symbol_bits=8,
                rest_bits=8,
                min_length=2,
                max_length=12,
                values_per_cycle=4,
                payload_nbytes=240,
                run_symbols=64,
            )
        )
    with pytest.raises(ValueError, match="flits is 3: expected a power of two"):
        LinkReceiver(shape_of(3), flits=3)
