"""The checksum of a flit: published values, other implementations, and which errors it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.links.crc import BLOCK_NBYTES, UCIE_CRC, Crc, block_checksum

PUBLISHED = [
    # Check values (of "123456789") from Greg Cook's catalogue of parametrised CRC algorithms.
    ("CRC-16/ARC, which is UCIe's", UCIE_CRC, 0xBB3D),
    ("CRC-16/UMTS, the same from bit 7", Crc(width=16, polynomial=0x8005, reflected=False), 0xFEE8),
    ("CRC-16/MODBUS", Crc(width=16, polynomial=0x8005, initial=0xFFFF), 0x4B37),
    (
        "CRC-32/ISO-HDLC",
        Crc(width=32, polynomial=0x04C11DB7, initial=0xFFFFFFFF, final_xor=0xFFFFFFFF),
        0xCBF43926,
    ),
    ("CRC-8/SMBUS", Crc(width=8, polynomial=0x07, reflected=False), 0xF4),
    (
        "CRC-24/OPENPGP",
        Crc(width=24, polynomial=0x864CFB, initial=0xB704CE, reflected=False),
        0x21CF02,
    ),
]
BODY = bytes(range(126))
GOLDEN = 0xB944
"""Checksum of bytes 0 to 125 and two zeros, by long division below and by Amaranth's model."""
BLOCK_BITS = 8 * BLOCK_NBYTES


def by_long_division(message: bytes) -> int:
    """Remainder of message(x) x^16 over x^16 + x^15 + x^2 + 1, bit by bit."""
    bits = [byte >> place & 1 for byte in message for place in range(8)] + [0] * 16
    for at in range(len(bits) - 16):
        if bits[at]:
            for power in (16, 15, 2, 0):
                bits[at + 16 - power] ^= 1
    return sum(bit << place for place, bit in enumerate(bits[-16:]))


def syndromes(crc: Crc) -> NDArray[np.int64]:
    """What each of the 1024 bits of a protected half flit, checksum included, adds to the check.

    A checksum is linear, so an error goes unseen if and only if those of its bits cancel out.
    """
    bodies = np.zeros((BLOCK_BITS - crc.width, BLOCK_NBYTES), np.uint8)
    for bit, body in enumerate(bodies):
        body[bit // 8] = 1 << bit % 8
    return np.concatenate([crc.checksums(bodies).astype(np.int64), 1 << np.arange(crc.width)])


def unseen(crc: Crc) -> tuple[int, int, int]:
    """Errors of 1, 2 and 3 bits in 128 bytes that *crc* does not find; all are tried."""
    found = syndromes(crc)
    first, second = np.triu_indices(len(found), 1)
    pairs = found[first] ^ found[second]
    places = np.bincount(found, minlength=1 << crc.width)
    # A pair that cancels a third bit is counted at each of its three bits.
    triples = int(places[pairs].sum())
    own = int((pairs == 0).sum())
    return int((found == 0).sum()), own, triples // 3


@pytest.mark.parametrize(("crc", "value"), [pair[1:] for pair in PUBLISHED])
def test_published_check_values(crc: Crc, value: int) -> None:
    assert crc.checksum(b"123456789") == value


def test_golden_vector() -> None:
    assert block_checksum(BODY) == GOLDEN.to_bytes(2, "little")
    assert by_long_division(BODY + bytes(2)) == GOLDEN
    amaranth_crc = pytest.importorskip("amaranth.lib.crc")
    algorithm = amaranth_crc.Algorithm(
        crc_width=16,
        polynomial=0x8005,
        initial_crc=0,
        reflect_input=True,
        reflect_output=True,
        xor_output=0,
    )
    assert algorithm(data_width=8).compute(BODY + bytes(2)) == GOLDEN


@given(st.binary(max_size=60))
def test_the_table_divides(message: bytes) -> None:
    assert UCIE_CRC.checksum(message) == by_long_division(message)


def test_rows_are_checked_one_by_one() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (7, 40), dtype=np.uint8)
    assert UCIE_CRC.checksums(rows).tolist() == [UCIE_CRC.checksum(row.tobytes()) for row in rows]


def test_every_error_of_one_two_and_three_bits_is_found() -> None:
    assert unseen(UCIE_CRC) == (0, 0, 0)


def test_three_flipped_bits_are_found_by_the_checksum_itself() -> None:
    """As above, without use of linearity: random blocks, 20,000 random errors of three bits."""
    rng = np.random.default_rng(3)
    bodies = rng.integers(0, 256, (20_000, 126), dtype=np.uint8)
    blocks = np.zeros((len(bodies), BLOCK_NBYTES), np.uint8)
    blocks[:, :126] = bodies
    sent = UCIE_CRC.checksums(blocks)
    blocks[:, 126], blocks[:, 127] = sent & 0xFF, sent >> 8
    for row in blocks:
        for bit in rng.choice(BLOCK_BITS, 3, replace=False):
            row[bit // 8] ^= 1 << bit % 8
    stated = blocks[:, 126].astype(np.uint32) | blocks[:, 127].astype(np.uint32) << 8
    blocks[:, 126:] = 0
    assert (UCIE_CRC.checksums(blocks) != stated).all()


@pytest.mark.parametrize(
    "polynomial",
    [
        0x8007,  # no multiple of x + 1: some errors of three bits go unseen
        0x8004,  # no x^0: the first bits go unseen
        0xFFFF,  # a divisor of x^17 - 1: two bits 17 apart go unseen
    ],
)
def test_a_wrong_polynomial_is_caught(polynomial: int) -> None:
    wrong = Crc(width=16, polynomial=polynomial)
    assert wrong.checksum(b"123456789") != 0xBB3D
    assert block_checksum(BODY, wrong) != GOLDEN.to_bytes(2, "little")
    assert any(unseen(wrong))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"width": 7, "polynomial": 5}, "width: 7 bits: expected 8 to 32"),
        ({"width": 16, "polynomial": 0x18005}, "polynomial: 0x18005: expected 16 bits"),
        ({"width": 16, "polynomial": 5, "initial": -1}, "initial: -0x1: expected 16 bits"),
    ],
)
def test_refuses(fields: dict[str, int], problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        Crc(**fields)
    with pytest.raises(LinksimError, match="a block of 129 bytes: expected at most 128"):
        block_checksum(bytes(129))
