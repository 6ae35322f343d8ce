"""Quantizing and then Huffman coding: sizes, books, refusals, and the plain way out."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.codecs import Codebook, CodebookSet, Quantize, QuantizeHuffman, build_codebook
from linksim.codecs.book_building import build_books
from linksim.codecs.composed import code_view, quantized_symbols
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.tensors.dtypes import cast, coded_format, number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import symbol_view
from tests.codecs.test_quantized import patterns
from tests.conftest import gaussian, gaussian_book
from tests.replay.command import linksim
from tests.replay.synthetic import residual, write_trace

BF16 = number_format("bf16").numpy


def code_book(quantizer: GroupQuantizer, scale: float = 0.02) -> Codebook:
    """A book for the codes of another seed than `gaussian` draws by default."""
    symbols = quantized_symbols(quantizer, gaussian(50_000, seed=99, scale=scale))
    counts = histogram(symbols, 1 << quantizer.bits)
    return build_codebook("gauss", code_view(quantizer.bits), "gauss", [counts])


def composed(
    bits: int = 4,
    group: int = 128,
    zero: str = "point",
    spikes: bool = False,
    checksum: bool = False,
) -> QuantizeHuffman:
    book = code_book(GroupQuantizer(bits=bits, group=group, zero=zero, spikes=spikes))
    return QuantizeHuffman(
        [book], bits=bits, group=group, zero=zero, spikes=spikes, checksum=checksum
    )


CODECS = [
    composed(bits, group, zero, spikes, checksum=spikes)
    for zero in ("point", "min")
    for bits in range(2, 9)
    for group, spikes in ((32, False), (128, True))
]


def plain(codec: QuantizeHuffman) -> Quantize:
    q = codec.quantizer
    return Quantize(
        bits=q.bits, group=q.group, zero=q.zero, spikes=q.spikes, checksum=codec.checksum
    )


@settings(max_examples=250)
@given(codec=st.sampled_from(CODECS), words=patterns(), ordinary=st.booleans())
def test_values_are_those_of_quantize_at_the_foretold_size(
    codec: QuantizeHuffman, words: np.ndarray, ordinary: bool
) -> None:
    values = gaussian(len(words)) if ordinary else words.view(BF16)
    message, other = codec.encode(values), plain(codec)
    assert codec.decode(message).tobytes() == other.decode(other.encode(values)).tobytes()
    assert codec.encoded_nbytes(values) == len(message) <= other.encoded_nbytes(values)
    segments = codec.segments(values)
    assert segments.wire_nbytes.sum() == len(message)
    assert segments.raw_nbytes.sum() == values.nbytes
    assert codec.round_trip(values).tobytes() == codec.decode(message).tobytes()
    assert 8 <= codec.framing_nbytes(values) <= len(message)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zero", ["point", "min"])
def test_the_size_is_what_the_page_says(bits: int, zero: str) -> None:
    """Header, metadata, inner header and index, three bytes and entry points per chunk, words."""
    codec, values = composed(bits, 128, zero), gaussian(20_000)
    symbols = quantized_symbols(codec.quantizer, values)
    lengths = np.array(codec.code.codebooks[0].lengths)
    metadata_nbytes = 157 * (2 if zero == "point" and bits <= 4 else 4)
    size = 8 + metadata_nbytes + 8 + 4 * 3
    for chunk in np.split(symbols, [8192, 16384]):
        runs = -(-len(chunk) // 2048) - 1
        table = -(-runs * (2048 * 16).bit_length() // 8)
        size += 3 + -(-int(lengths[chunk].sum()) // 8) + table
    assert codec.encoded_nbytes(values) == size
    assert struct.unpack("<IBBH", codec.encode(values)[:8])[3] == 1


def test_zero_is_always_symbol_0_with_a_zero_point() -> None:
    values = gaussian(4096)
    values[::3] = 0
    for bits in (2, 5, 8):
        quantizer = GroupQuantizer(bits=bits, group=64)
        assert not quantized_symbols(quantizer, values)[::3].any()
        assert quantized_symbols(quantizer, values).max() < 1 << bits


def test_codes_that_would_grow_travel_plain() -> None:
    codec = composed(4, 32)
    numbers = np.random.default_rng(1)
    ends = numbers.choice([-1, 1], 4992) * numbers.uniform(0.7, 1, 4992)
    spread = ends.astype(BF16)
    for values in (spread, gaussian(0)):
        message = codec.encode(values)
        assert message == plain(codec).encode(values)
        assert codec.segments(values).wire_nbytes.tolist() == (
            plain(codec).segments(values).wire_nbytes.tolist()
        )
        assert codec.framing_nbytes(values) == plain(codec).framing_nbytes(values)
        assert codec.decode(message).tobytes() == codec.round_trip(values).tobytes()


def test_a_short_message_is_coded_because_records_are_filled_up() -> None:
    codec = composed(4, 32)
    assert len(codec.encode(gaussian(3))) < 30 < len(plain(codec).encode(gaussian(3)))


def test_the_best_book_is_taken_chunk_by_chunk() -> None:
    quantizer = GroupQuantizer(bits=4, group=128)
    sparse = gaussian(8192)
    sparse[np.arange(8192) % 16 > 0] *= np.array(2**-8, BF16)
    both = np.concatenate([sparse, gaussian(8192)])
    counts = histogram(quantized_symbols(quantizer, sparse), 16)
    books = [code_book(quantizer), build_codebook("sparse", code_view(4), "sparse", [counts])]
    one, two = QuantizeHuffman(books[:1]), QuantizeHuffman(books)
    assert two.encoded_nbytes(both) < one.encoded_nbytes(both) - 1000
    assert two.decode(two.encode(both)).tobytes() == one.round_trip(both).tobytes()


def test_configuration_round_trips() -> None:
    codec = composed(5, 64, "min", True, checksum=True)
    again = numcodecs.get_codec(json.loads(json.dumps(codec.get_config())))
    assert again == codec
    assert again.encode(gaussian(3000)) == codec.encode(gaussian(3000))


def test_books_for_other_codes_are_refused() -> None:
    book = code_book(GroupQuantizer(bits=5))
    with pytest.raises(LinksimError, match="codebooks for uint5: expected uint4"):
        QuantizeHuffman([book], bits=4)
    with pytest.raises(LinksimError, match="codebooks for bf16: expected uint4"):
        QuantizeHuffman([gaussian_book()])
    with pytest.raises(LinksimError, match="0 codebooks"):
        QuantizeHuffman([])


CODEC, VALUES = composed(), gaussian(1000)
MESSAGE = CODEC.encode(VALUES)


def put(index: int, part: bytes) -> bytes:
    return MESSAGE[:index] + part + MESSAGE[index + len(part) :]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", "0 bytes are no message header"),
        (MESSAGE[:20], "12 bytes of coded codes: expected 16 or more and less than 528 for 1000"),
        (MESSAGE[:30], "codec huffman-fixed: 6 bytes are no message header"),
        (MESSAGE[:-1], "codec huffman-fixed: the chunk index does not describe"),
        (MESSAGE + b"\0", "codec huffman-fixed: the chunk index does not describe"),
        (MESSAGE + bytes(200), "bytes of coded codes: expected 16 or more and less than 528"),
        (put(0, b"\xe7"), "1000 codes: expected 999"),
        (put(3, b"\xff"), "bytes of coded codes: expected"),
        (put(6, b"\0"), "bytes: expected 528 for 1000 values"),
        (put(6, b"\2"), "flags 2: expected 0, 0x12, 0"),
        (put(9, b"\0"), "group 0, scale"),
        (put(24, b"\0\0\0\0"), "codec huffman-fixed: .*"),
    ],
)
def test_what_no_encoder_wrote_is_named(message: bytes, problem: str) -> None:
    with pytest.raises(LinksimError, match=rf"^codec quantize\+huffman-fixed: .*{problem}"):
        CODEC.decode(message)


@given(data=st.data())
def test_damage_is_refused_or_decodes_to_as_many_values(data: st.DataObject) -> None:
    message = bytearray(MESSAGE)
    bit = data.draw(st.integers(0, 8 * len(message) - 1))
    message[bit // 8] ^= 1 << bit % 8
    try:
        assert CODEC.decode(bytes(message)).shape == (1000,)
    except LinksimError as error:
        assert "codec quantize+huffman-fixed: " in str(error)


def test_a_checksum_sees_every_flipped_bit() -> None:
    codec = composed(checksum=True)
    message = codec.encode(gaussian(300))
    for bit in range(0, 8 * len(message), 5):
        damaged = bytearray(message)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LinksimError, match="quantize"):
            codec.decode(bytes(damaged))


# Books from earlier tensors.


def test_books_are_built_from_codes_and_chosen_by_kind() -> None:
    quantizer = GroupQuantizer(bits=4, group=32)
    tensors = [("a", 0, gaussian(3000)), ("b", 1, gaussian(3000, 1)), ("b", 1, gaussian(0))]
    others = [("c", None, gaussian(100).astype(np.float16))]
    books = build_books([*tensors, *others], [], "test", quantizers=[quantizer])
    assert [(b.kind, b.dtype, b.view) for b in books.books] == [
        ("a", "uint4", "pooled"),
        ("b", "uint4", "pooled"),
    ]
    chooser = CodecChooser("quantize+huffman-fixed:bits=4,group=32", books=books)
    codec, view = chooser.codec_for("t", "b", 1, gaussian(50, 2))
    assert isinstance(codec, QuantizeHuffman)
    assert (codec.quantizer, codec.code.codebooks) == (quantizer, (books.books[1],))
    assert view.name == "exponent"
    with pytest.raises(LinksimError, match="no codebook is for view 'pooled' of uint5"):
        CodecChooser("quantize+huffman-fixed:bits=5", books=books).codec_for("t", "b", 1, VALUES)
    with pytest.raises(LinksimError, match="needs codebooks"):
        CodecChooser("quantize+huffman-fixed").codec_for("t", "b", 1, VALUES)


def test_the_commands_build_books_and_use_them(tmp_path: Path) -> None:
    trace, file = write_trace(tmp_path / "trace").path, tmp_path / "books.json"
    name = "quantize+huffman-fixed:bits=3,group=32,spikes=true"
    build = ("codebook", "build", trace, "-o", file, "--before", 2)
    assert "9 books" not in linksim(*build, "--codec", name).out
    document = linksim(
        "codec", "eval", trace, "--codec", name, "--codebooks", file, "--from", 2, "--json"
    ).json()
    books = CodebookSet.load(file).select("uint3", "pooled", "residual")
    codec = QuantizeHuffman(books, bits=3, group=32, spikes=True)
    found = {tensor["name"]: tensor for tensor in document["tensors"]}["b2.residual"]
    assert found["encoded_nbytes"] == len(codec.encode(residual(2)))
    assert 10 < found["snr_db"] < 30
    shown = linksim("codec", "eval", trace, "--codec", name, "--codebooks", "others")
    assert (shown.code, shown.err) == (0, "")
    linksim(*build, "--codec", "quantize").refused("--codec quantize: expected one that quantizes")


# Formats of codes.


def test_codes_have_formats_that_no_trace_or_cast_knows() -> None:
    assert [coded_format(f"uint{bits}").bits for bits in range(2, 9)] == list(range(2, 9))
    assert coded_format("bf16") is number_format("bf16")
    for name in ("uint4", "uint9"):
        with pytest.raises(LinksimError, match=f"unknown dtype '{name}'"):
            cast(np.zeros(3, np.float32), name)
    with pytest.raises(LinksimError, match="unknown dtype 'uint9'"):
        coded_format("uint9")
    assert symbol_view("pooled", coded_format("uint3")).alphabet == 8
