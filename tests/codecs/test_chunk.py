"""The chunk layout against its worked example, and hostile chunks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs.chunk import ChunkShape, encode_chunk
from linksim.codecs.chunk_decoding import decode_chunks
from linksim.codecs.prefix_code import PrefixCode, identity_code, package_merge
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.views import symbol_view

# docs/format.md: ten bf16 values, exponent view, flit payload 32 bytes, runs of 4, codes
# 127 `0`, 126 `10`, 124 `1100`, 125 `1101`, 128 `1110` of at most 12 bits.
SHAPE = ChunkShape(symbol_bits=8, rest_bits=8, run_symbols=4)
LENGTHS = {127: 1, 126: 2, 124: 4, 125: 4, 128: 4}
CODE = PrefixCode(tuple(LENGTHS.get(symbol, 0) for symbol in range(256)), 12)
PATTERNS = np.array(
    [0x3F80, 0xBF40, 0x3F00, 0x3FC0, 0xC000, 0x3E9A, 0x3FA0, 0xBE4D, 0x3E1A, 0x4040], np.uint16
)
VALUES = PATTERNS.view(number_format("bf16").numpy)
SYMBOLS, REST = symbol_view("exponent", number_format("bf16")).split(VALUES)
EXAMPLE = bytes.fromhex("092000caad9903" + "00" * 13 + "00c00040801a20cd1a404603")
CODES = [identity_code(8), CODE]


def test_worked_example() -> None:
    assert encode_chunk(SHAPE, SYMBOLS, REST, slot=1, code=CODE, nbytes=32) == EXAMPLE
    symbols, rest = decode_chunks(SHAPE, [EXAMPLE], CODES, None)
    assert symbols.tolist() == SYMBOLS.tolist()
    assert rest.tolist() == REST.tolist()


@pytest.mark.parametrize("bit", range(len(EXAMPLE) * 8))
def test_every_flipped_bit_is_refused_or_changes_the_values(bit: int) -> None:
    """No flip goes unseen: it breaks a rule or at least one value differs."""
    damaged = bytearray(EXAMPLE)
    damaged[bit // 8] ^= 1 << (bit % 8)
    try:
        symbols, rest = decode_chunks(SHAPE, [bytes(damaged)], CODES, None)
    except LinksimError:
        return
    same = len(symbols) == len(SYMBOLS) and symbols.tolist() == SYMBOLS.tolist()
    assert not (same and rest.tolist() == REST.tolist())


def damaged(changes: dict[int, int]) -> bytes:
    chunk = bytearray(EXAMPLE)
    for index, value in changes.items():
        chunk[index] = value
    return bytes(chunk)


@pytest.mark.parametrize(
    ("chunk", "rule"),
    [
        (b"\x09\x20", "shorter than a header"),
        (damaged({1: 0x40}), "slot 2 is unknown"),
        (damaged({0: 0xFF}), "do not fit"),
        (damaged({10: 1}), "gap"),
        (damaged({31: 0x83}), "beyond its last entry"),
        (damaged({30: 0x47}), "does not end at its entry point"),
        (damaged({3: 0xFF, 4: 0xFF}), "begin no code word"),
        (EXAMPLE[:7] + EXAMPLE[20:], None),
        (EXAMPLE[:6] + EXAMPLE[20:], "rest bytes|entry point|past the code"),
    ],
)
def test_each_rule_is_enforced(chunk: bytes, rule: str | None) -> None:
    if rule is None:
        assert decode_chunks(SHAPE, [chunk], CODES, np.array([10]))[0].tolist() == SYMBOLS.tolist()
        return
    with pytest.raises(LinksimError, match=rule):
        decode_chunks(SHAPE, [chunk], CODES, None)


def test_an_unpadded_chunk_has_its_exact_size() -> None:
    with pytest.raises(LinksimError, match="longer than its contents"):
        decode_chunks(SHAPE, [EXAMPLE], CODES, np.array([10]))


@given(st.binary(max_size=80))
def test_garbage_never_crashes(data: bytes) -> None:
    try:
        symbols, rest = decode_chunks(SHAPE, [data], CODES, None)
    except LinksimError:
        return
    assert len(symbols) == len(rest)


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=400),
    st.integers(-32, 31),
    st.sampled_from([0, 8]),
    st.integers(1, 100),
)
def test_round_trip_with_any_bias_and_run(
    listed: list[int], bias: int, rest_bits: int, run: int
) -> None:
    symbols = np.array(listed, np.uint8)
    rest = symbols[::-1].copy() if rest_bits else np.empty(0, np.uint8)
    shape = ChunkShape(8, rest_bits, run)
    code = PrefixCode(
        tuple(package_merge(np.bincount((symbols.astype(int) - bias) % 256, minlength=256), 16)), 16
    )
    chunk = encode_chunk(shape, symbols, rest, slot=1, code=code, bias=bias)
    decoded = decode_chunks(
        shape, [chunk, chunk], [identity_code(8), code], np.full(2, len(symbols))
    )
    assert decoded[0].tolist() == listed * 2
    assert decoded[1].tolist() == rest.tolist() * 2
