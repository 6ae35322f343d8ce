"""`index-escape`: its chunk to the bit, every rule of its decoder, and the contract of a codec."""

from __future__ import annotations

import json

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from linksim.codecs import Codebook, IndexEscape, build_codebook, index_escape
from linksim.codecs.chunk import ChunkPlan, ChunkShape
from linksim.codecs.code_families import IndexEscapeCode
from linksim.codecs.index_escape import IndexEscapeCoder
from linksim.codecs.prefix_code import identity_code
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import symbol_view
from tests.conftest import gaussian, gaussian_book

# Ten bf16 values, exponent view, flit payload 32 bytes, indices of 2 bits for 126, 127 and 128:
#
#   symbol  127 126 126 127 128 125 127 124 124 128
#   index     1   0   0   1   2   3   1   3   3   2   -> 41 de, and 0b in the low half of the next
#   escaped                     7d      7c  7c        -> d, 7c, 7c, 7 from the high half on
SHAPE = ChunkShape(symbol_bits=8, rest_bits=8, run_symbols=8192)
CODE = IndexEscapeCode(tuple(2 if symbol in (126, 127, 128) else 10 for symbol in range(256)), 10)
CODES = [identity_code(8), CODE]
SYMBOLS = np.array([127, 126, 126, 127, 128, 125, 127, 124, 124, 128], np.uint8)
REST = np.frombuffer(bytes.fromhex("00c00040801a20cd1a40"), np.uint8)
FRONT, TAIL = bytes.fromhex("092000 41dedbc7c707"), REST.tobytes()
EXAMPLE = FRONT + bytes(13) + TAIL
CODER = IndexEscapeCoder()


def plan(nbytes: int, slot: int = 1, bias: int = 0) -> ChunkPlan:
    return ChunkPlan(*(np.array([n]) for n in (len(SYMBOLS), slot, bias, nbytes)))


def decode(chunk: bytes, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    data = np.frombuffer(chunk, np.uint8)
    counts = None if count is None else np.array([count])
    return CODER.decode(SHAPE, data, np.array([len(chunk)]), CODES, counts)


def test_worked_example() -> None:
    assert CODER.encode(SHAPE, SYMBOLS, REST, CODES, plan(32)).tobytes() == EXAMPLE
    assert CODER.encode(SHAPE, SYMBOLS, REST, CODES, plan(19)).tobytes() == FRONT + TAIL
    for chunk, count in ((EXAMPLE, None), (FRONT + TAIL, None), (FRONT + TAIL, 10)):
        symbols, rest = decode(chunk, count)
        assert symbols.tolist() == SYMBOLS.tolist()
        assert rest.tolist() == REST.tolist()


def test_a_bias_is_taken_from_symbols_before_they_are_indexed() -> None:
    shifted = (SYMBOLS + 3).astype(np.uint8)
    chunk = CODER.encode(SHAPE, shifted, REST, CODES, plan(32, bias=3)).tobytes()
    assert chunk == EXAMPLE[:2] + b"\x0c" + EXAMPLE[3:]
    assert decode(chunk)[0].tolist() == shifted.tolist()


def test_a_raw_chunk_is_that_of_every_codec() -> None:
    chunk = CODER.encode(SHAPE, SYMBOLS, REST, CODES, plan(23, slot=0)).tobytes()
    assert chunk == b"\x09\x00\x00" + SYMBOLS.tobytes() + TAIL
    assert decode(chunk, 10)[0].tolist() == SYMBOLS.tolist()


def test_escapes_in_another_order_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant that both its ends agree on: only the example tells that it is another format."""
    of, numbers_of = index_escape._bits_of, index_escape._numbers_of

    def reversed_bits_of(numbers: np.ndarray, width: int) -> np.ndarray:
        return of(numbers[::-1] if width == 8 else numbers, width)

    def reversed_numbers_of(bits: np.ndarray, width: int) -> np.ndarray:
        return numbers_of(bits, width)[:: -1 if width == 8 else 1]

    monkeypatch.setattr(index_escape, "_bits_of", reversed_bits_of)
    monkeypatch.setattr(index_escape, "_numbers_of", reversed_numbers_of)
    chunk = CODER.encode(SHAPE, SYMBOLS, REST, CODES, plan(32)).tobytes()
    assert decode(chunk)[0].tolist() == SYMBOLS.tolist()
    with pytest.raises(AssertionError):
        test_worked_example()


@pytest.mark.parametrize("padded", [True, False], ids=["link", "bulk"])
def test_every_flipped_bit_is_refused_or_changes_the_values(padded: bool) -> None:
    chunk, count = (EXAMPLE, None) if padded else (FRONT + TAIL, 10)
    for bit in range(len(chunk) * 8):
        damaged = bytearray(chunk)
        damaged[bit // 8] ^= 1 << (bit % 8)
        try:
            symbols, rest = decode(bytes(damaged), count)
        except LinksimError:
            continue
        assert (symbols.tolist(), rest.tolist()) != (SYMBOLS.tolist(), REST.tolist())


def changed(changes: dict[int, int], chunk: bytes = EXAMPLE) -> bytes:
    damaged = bytearray(chunk)
    for index, value in changes.items():
        damaged[index] = value
    return bytes(damaged)


RAW = b"\x09\x00\x00" + SYMBOLS.tobytes() + TAIL


@pytest.mark.parametrize(
    ("chunk", "count", "rule"),
    [
        (b"\x09\x20", None, "2 bytes are shorter than a header"),
        (changed({1: 0x40}), None, "slot 2 is unknown: there are 1 books"),
        (changed({2: 0x04}, RAW), None, "a raw chunk has an exponent bias"),
        (FRONT + TAIL, 9, "it holds 10 symbols: expected 9"),
        (changed({0: 0x1A}), None, "27 symbols do not fit 32 bytes"),
        (RAW[:-1], None, "10 symbols do not fit 22 bytes"),
        (FRONT[:8] + TAIL, None, "the escaped symbols run into the rest bytes"),
        (changed({3: 0xFF, 4: 0xFF}, FRONT + TAIL), 10, "run into the rest bytes"),
        (changed({5: 0xEB}), None, "symbol 126 is escaped although it has an index"),
        (changed({8: 0x17}), None, "bits are set in the gap"),
        (changed({21: 0x80}), None, "bits are set in the gap"),
        (FRONT + bytes(1) + TAIL, 10, "it is longer than its contents"),
    ],
)
def test_each_rule_is_enforced(chunk: bytes, count: int | None, rule: str) -> None:
    with pytest.raises(LinksimError, match=f"chunk 0: .*{rule}"):
        decode(chunk, count)


def test_an_escape_of_an_indexed_symbol_is_judged_before_the_bias() -> None:
    """With bias 1 the coded 125 stands for 126, which has an index but not as it is coded."""
    assert decode(changed({2: 0x04}))[0].tolist() == (SYMBOLS + 1).tolist()


@given(st.binary(max_size=80), st.sampled_from([None, 1, 10]))
def test_garbage_never_crashes(data: bytes, count: int | None) -> None:
    try:
        symbols, rest = decode(data, count)
    except LinksimError:
        return
    assert len(symbols) == len(rest) > 0


HOSTILE = hnp.arrays(np.uint16, st.integers(0, 1500)).map(lambda p: p.view(gaussian(0).dtype))
CODEC_OBJECTS = [
    IndexEscape(
        [gaussian_book(view), gaussian_book(view, scale=30.0)],
        profile,
        chunk_symbols=512,
        payload_nbytes=64,
        exponent_bias=bias,
        checksum=bias,
    )
    for view in ("pooled", "byte-planes", "exponent")
    for profile, bias in (("bulk", False), ("bulk", True), ("link", False))
]
EVERY_CODEC = pytest.mark.parametrize("codec", CODEC_OBJECTS)


@EVERY_CODEC
@given(values=HOSTILE, scale=st.sampled_from([0.02, 1.5, 30.0]))
def test_any_bit_pattern_round_trips_at_the_foretold_size(
    codec: IndexEscape, values: np.ndarray, scale: float
) -> None:
    values = np.concatenate([values, gaussian(700, scale=scale)])[: 1 + 2 * len(values)]
    encoded = codec.encode(values)
    assert codec.decode(encoded).tobytes() == values.tobytes()
    assert codec.encoded_nbytes(values) == len(encoded)
    segments = codec.segments(values)
    assert segments.wire_nbytes.sum() == len(encoded)
    assert segments.raw_nbytes.sum() == values.nbytes


@EVERY_CODEC
def test_typical_values_shrink_and_nothing_is_nothing(codec: IndexEscape) -> None:
    values, none = gaussian(20_000).reshape(100, 200), gaussian(0)
    out = np.empty_like(values)
    assert codec.decode(codec.encode(values), out=out) is out
    assert out.tobytes() == values.tobytes()
    assert codec.encoded_nbytes(values) < 0.95 * values.nbytes
    assert len(codec.decode(codec.encode(none))) == 0
    assert codec.encoded_nbytes(none) == len(codec.encode(none))


@EVERY_CODEC
def test_configuration_round_trips(codec: IndexEscape) -> None:
    config = json.loads(json.dumps(codec.get_config()))
    assert "run_symbols" not in config
    again = numcodecs.get_codec(config)
    assert again == codec
    assert again.encode(gaussian(3000)) == codec.encode(gaussian(3000))


@EVERY_CODEC
def test_truncation_at_every_byte_is_refused_or_decodes_to_less(codec: IndexEscape) -> None:
    encoded = codec.encode(gaussian(700))
    for length in range(len(encoded)):
        try:
            decoded = codec.decode(encoded[:length])
        except LinksimError as error:
            assert "codec index-escape" in str(error)
            continue
        # A link message has no end: whole chunks of it are a message.
        assert codec.profile == "link"
        assert length % codec.payload_nbytes == 0
        assert len(decoded) < 700


@EVERY_CODEC
def test_every_flipped_bit_of_a_message_is_refused_or_decodes_to_something_else(
    codec: IndexEscape,
) -> None:
    values = gaussian(90)
    encoded = codec.encode(values)
    for bit in range(len(encoded) * 8):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << (bit % 8)
        try:
            decoded = codec.decode(bytes(damaged))
        except LinksimError as error:
            assert "codec index-escape" in str(error)
            continue
        assert not codec.checksum
        assert decoded.tobytes() != values.tobytes()


@pytest.mark.parametrize("dtype", ["e4m3", "e3m2", "e2m1"])
@pytest.mark.parametrize("profile", ["bulk", "link"])
def test_formats_of_one_byte_and_less(dtype: str, profile: str) -> None:
    fmt = number_format(dtype)
    view = symbol_view("pooled", fmt)
    values = (gaussian(3001).astype(np.float32) * 40).astype(fmt.numpy)
    book: Codebook = build_codebook(
        "b", view, "b", [histogram(view.split(values)[0], view.alphabet)]
    )
    codec = IndexEscape([book], profile)
    encoded = codec.encode(values)
    assert codec.decode(encoded).tobytes() == values.tobytes()
    assert codec.encoded_nbytes(values) == len(encoded)
    assert codec.segments(values).raw_nbytes.sum() == fmt.nbytes(3001)


def test_it_never_has_entry_points() -> None:
    codec = CODEC_OBJECTS[0]
    assert codec.shape.table_nbytes(8192, codec.codebooks[0].code, 1) == 0
    with pytest.raises(TypeError, match="run_symbols"):
        IndexEscape([gaussian_book()], run_symbols=64)  # type: ignore[call-arg]


def test_noise_goes_raw_and_expands_only_by_the_framing() -> None:
    noise = np.random.default_rng(3).integers(0, 1 << 16, 50_000).astype(np.uint16)
    values = noise.view(gaussian(0).dtype)
    assert IndexEscape([gaussian_book()]).encoded_nbytes(values) == values.nbytes + 8 + 7 * 7
