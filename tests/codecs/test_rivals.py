"""`zstd`, `zlib-huffman` and `ans`: the contract of a codec, and bytes that nobody can trust."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from linksim.codecs import (
    Ans,
    Codebook,
    CodebookSet,
    HuffmanFixed,
    TensorCodec,
    ZlibHuffman,
    Zstd,
    ans,
    build_codebook,
    takes_codebooks,
)
from linksim.codecs.rivals import HEADER, LibraryCodec
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import VIEW_NAMES, symbol_view
from tests.conftest import gaussian, gaussian_book
from tests.replay.command import linksim
from tests.replay.synthetic import scenario_document, write_toml, write_trace

BOOKS = {view: gaussian_book(view) for view in VIEW_NAMES}


def narrow_book(dtype: str) -> Codebook:
    """A book that makes symbol 3 frequent, for a format that has the pooled view alone."""
    view = symbol_view("pooled", number_format(dtype))
    return build_codebook(
        "narrow", view, "k", [histogram(np.full(900, 3, np.uint8), view.alphabet)]
    )


BF16: list[LibraryCodec] = [
    codec
    for view in VIEW_NAMES
    for codec in (
        Zstd("bf16", view),
        ZlibHuffman("bf16", view),
        Ans([gaussian_book(view, scale=30.0), BOOKS[view]]),
    )
]
NARROW: list[LibraryCodec] = [
    codec
    for dtype in ("e4m3", "e3m2", "e2m1")
    for codec in (Zstd(dtype, "pooled"), ZlibHuffman(dtype, "pooled"), Ans([narrow_book(dtype)]))
]
EVERY_CODEC = pytest.mark.parametrize(
    "codec", BF16 + NARROW, ids=lambda c: f"{c.codec_id}-{c.dtype}-{c.view}"
)
ONE_OF_EACH = pytest.mark.parametrize("codec", BF16[-3:], ids=lambda c: c.codec_id)


THREES = np.where(np.arange(200) % 9, 3, 2).astype(np.uint16)


def any_values(codec: TensorCodec, patterns: np.ndarray) -> np.ndarray:
    fmt = codec.number_format
    if fmt.bits == 16:
        return patterns.view(fmt.numpy)
    return (patterns & ((1 << fmt.bits) - 1)).astype(np.uint8).view(fmt.numpy)


def check_sizes(codec: LibraryCodec, values: np.ndarray) -> bytes:
    encoded = codec.encode(values)
    assert codec.decode(encoded).tobytes() == values.tobytes()
    assert codec.encoded_nbytes(values) == len(encoded)
    assert codec.segments(values).wire_nbytes.sum() == len(encoded)
    assert codec.segments(values).raw_nbytes.sum() == codec.number_format.nbytes(values.size)
    assert len(encoded) <= codec.framing_nbytes(values) + codec.number_format.nbytes(values.size)
    return encoded


@EVERY_CODEC
@given(
    patterns=hnp.arrays(np.uint16, st.integers(0, 800)),
    repeated=hnp.arrays(np.uint16, st.integers(0, 20)),
)
def test_any_bit_pattern_round_trips_at_the_foretold_size(
    codec: LibraryCodec, patterns: np.ndarray, repeated: np.ndarray
) -> None:
    check_sizes(codec, any_values(codec, np.concatenate([patterns, np.repeat(repeated, 50)])))


@EVERY_CODEC
@pytest.mark.parametrize("count", [0, 1, 2])
def test_messages_of_hardly_anything(codec: LibraryCodec, count: int) -> None:
    encoded = check_sizes(codec, any_values(codec, np.zeros(count, np.uint16)))
    assert len(encoded) == HEADER.size + codec.number_format.nbytes(count)


@pytest.mark.parametrize("codec", BF16, ids=lambda c: f"{c.codec_id}-{c.view}")
def test_typical_values_shrink(codec: LibraryCodec) -> None:
    values = gaussian(20_000).reshape(100, 200)
    encoded = codec.encode(values)
    out = np.empty_like(values)
    assert codec.decode(encoded, out=out) is out
    assert out.tobytes() == values.tobytes()
    assert len(encoded) < 0.82 * values.nbytes
    with pytest.raises(LinksimError, match="got float32: expected bf16"):
        codec.encode(np.zeros(4, np.float32))


@EVERY_CODEC
def test_configuration_round_trips(codec: LibraryCodec) -> None:
    again = numcodecs.get_codec(json.loads(json.dumps(codec.get_config())))
    assert type(again) is type(codec)
    assert again == codec
    values = any_values(codec, np.arange(3000, dtype=np.uint16) % 7)
    assert again.encode(values) == codec.encode(values)


def test_the_zstd_of_numcodecs_stays_what_it_is() -> None:
    assert type(numcodecs.get_codec({"id": "zstd"})) is numcodecs.Zstd


def test_symbols_that_are_not_coded_take_their_own_width() -> None:
    """Values 1, 2 and 15 of a 4-bit format: n 3, version 0, not coded, no book, zero, m 2."""
    codec = Zstd("e2m1", "pooled")
    message = bytes.fromhex("03000000 00 01 00 00 02000000 210f")
    values = np.array([1, 2, 15], np.uint8).view(codec.number_format.numpy)
    assert codec.encode(values) == message
    assert codec.decode(message).tobytes() == values.tobytes()


@EVERY_CODEC
def test_truncation_at_every_byte_is_refused(codec: LibraryCodec) -> None:
    for values in (np.arange(60) % 3 + 1, np.arange(60) * 1091):
        encoded = codec.encode(any_values(codec, values.astype(np.uint16)))
        for length in range(len(encoded)):
            with pytest.raises(LinksimError, match=f"^codec {codec.codec_id}: "):
                codec.decode(encoded[:length])
        with pytest.raises(LinksimError, match=f"^codec {codec.codec_id}: "):
            codec.decode(encoded + b"\0")


@EVERY_CODEC
def test_every_flipped_bit_is_refused_or_decodes_to_something(codec: LibraryCodec) -> None:
    """Streams of zlib and zstd have bits without meaning; those of ans have none."""
    patterns = np.tile(gaussian(20).view(np.uint16), 10) if codec.dtype == "bf16" else THREES
    values = any_values(codec, patterns)
    encoded = codec.encode(values)
    assert not encoded[5]
    for bit in range(len(encoded) * 8):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << (bit % 8)
        try:
            decoded = codec.decode(bytes(damaged))
        except LinksimError as error:
            assert str(error).startswith(f"codec {codec.codec_id}: ")
            continue
        assert decoded.dtype == values.dtype
        assert codec.codec_id != "ans" or decoded.tobytes() != values.tobytes()


@EVERY_CODEC
@given(data=st.data())
def test_garbage_behind_a_fitting_header_never_crashes(
    codec: LibraryCodec, data: st.DataObject
) -> None:
    coded = data.draw(st.binary(max_size=60))
    start = data.draw(st.sampled_from([b"", bytes.fromhex("28b52ffd2064"), b"\1\0\0\0\1\0\0\0"]))
    count = data.draw(st.sampled_from([100, 2, 1 << 20]))
    flags, book = data.draw(st.sampled_from([0, 1])), data.draw(st.integers(0, 3))
    try:
        decoded = codec.decode(message(codec, start + coded, count, flags=flags, book=book))
    except LinksimError as error:
        assert str(error).startswith(f"codec {codec.codec_id}: ")
        return
    assert len(decoded) * codec.symbol_view.symbols_per_value == count


def message(
    codec: LibraryCodec, coded: bytes, count: int, *, flags: int = 0, book: int = 0, zero: int = 0
) -> bytes:
    rest = bytes(count * codec.symbol_view.rest_bits // 8)
    return HEADER.pack(count, 0, flags, book, zero, len(coded)) + coded + rest


POOLED = {"zstd": Zstd("bf16", "pooled"), "zlib-huffman": ZlibHuffman("bf16", "pooled")} | {
    "ans": Ans([BOOKS["pooled"]])
}
E2M1 = {"zstd": Zstd("e2m1", "pooled"), "zlib-huffman": ZlibHuffman("e2m1", "pooled")}
FRAME = bytes(numcodecs.zstd.compress(bytes(100), 1))
DEFLATE = zlib.compress(bytes(100), wbits=-15)
_deflate = zlib.compressobj(wbits=-15)
UNENDED = _deflate.compress(bytes(60)) + _deflate.flush(zlib.Z_SYNC_FLUSH)
"""All 60 zeros, but no last block."""


@pytest.mark.parametrize(
    ("codec", "data", "problem"),
    [
        (POOLED["zstd"], bytes(11), "11 bytes are no message header"),
        (POOLED["zstd"], bytes(4) + b"\1" + bytes(7), "version 1"),
        (POOLED["zstd"], message(POOLED["zstd"], b"", 0, flags=2), "flags 2"),
        (POOLED["zstd"], message(POOLED["zstd"], b"", 0, zero=1), "reserved 1"),
        (POOLED["zstd"], message(POOLED["zstd"], b"a", 1, flags=1), "1 symbols are no whole"),
        (POOLED["zstd"], message(POOLED["zstd"], b"a", 2)[:-1], "12 bytes do not hold 1 bytes"),
        (POOLED["zstd"], message(POOLED["zstd"], b"a", 2, flags=1), "expected 2 bytes"),
        (POOLED["zstd"], message(POOLED["zstd"], b"ab", 2, flags=1, book=1), "and codebook 0"),
        (POOLED["zstd"], message(POOLED["zstd"], b"ab", 2), "which saves nothing"),
        (POOLED["zstd"], message(POOLED["zstd"], b"", 0), "which saves nothing"),
        (E2M1["zstd"], message(E2M1["zstd"], b"\1\x10", 3, flags=1), "behind the last symbol"),
        (POOLED["zstd"], message(POOLED["zstd"], FRAME[:-4] + b"\x10\1\0\1", 100), "corruption"),
        (POOLED["zstd"], message(POOLED["zstd"], FRAME, 100, book=1), "codebook 1 is unknown"),
        (POOLED["zstd"], message(POOLED["zstd"], b"abcd", 100), "no Zstandard frame"),
        (POOLED["zstd"], message(POOLED["zstd"], FRAME, 102), "does not say that it holds 102"),
        (POOLED["zstd"], message(POOLED["zstd"], FRAME * 2, 100), "not exactly one"),
        (POOLED["zstd"], message(POOLED["zstd"], FRAME[:-1], 100), "not exactly one"),
        (
            POOLED["zlib-huffman"],
            message(POOLED["zlib-huffman"], DEFLATE, 100, book=1),
            "codebook 1 is unknown",
        ),
        (
            POOLED["zlib-huffman"],
            message(POOLED["zlib-huffman"], b"\7abc", 30),
            "no deflate stream",
        ),
        (POOLED["zlib-huffman"], message(POOLED["zlib-huffman"], b"a", 10), "do not fit 1 bytes"),
        *(
            (
                POOLED["zlib-huffman"],
                message(POOLED["zlib-huffman"], coded, count),
                f"does not hold exactly {count}",
            )
            for coded, count in (
                (DEFLATE.ljust(20, b"\0"), 100),
                (DEFLATE.ljust(20, b"\0"), 98),
                (DEFLATE.ljust(20, b"\0"), 102),
                (UNENDED, 60),
            )
        ),
        (POOLED["ans"], message(POOLED["ans"], b"abcd", 100), "codebook 0 is unknown: there are 1"),
        (POOLED["ans"], message(POOLED["ans"], b"abcd", 100, book=2), "codebook 2 is unknown"),
        (POOLED["ans"], message(POOLED["ans"], b"abc", 100, book=1), "no whole words"),
        (POOLED["ans"], message(POOLED["ans"], bytes(8), 100, book=1), "no words of ANS"),
        (POOLED["ans"], message(POOLED["ans"], b"", 100, book=1), "hold exactly 100 symbols"),
        (
            POOLED["ans"],
            message(POOLED["ans"], b"\0\0\0\0\1\0\0\0", 100, book=1),
            "hold exactly 100 symbols",
        ),
    ],
)
def test_each_rule_is_enforced(codec: LibraryCodec, data: bytes, problem: str) -> None:
    with pytest.raises(LinksimError, match=f"^codec {codec.codec_id}: .*{problem}"):
        codec.decode(data)


@pytest.mark.parametrize("codec", E2M1.values(), ids=lambda c: c.codec_id)
def test_a_coded_byte_that_is_no_symbol_is_refused(codec: LibraryCodec) -> None:
    coded, _ = codec._code(np.full(100, 16, np.uint8))
    with pytest.raises(LinksimError, match="a symbol is 16: expected less than 16"):
        codec.decode(message(codec, coded, 100))


LARGE = 1 << 26


def claiming(count: int, frame: bytes) -> bytes:
    """The one-segment Zstandard frame *frame*, which now says that it holds *count* bytes."""
    header = {0: 2, 1: 3, 2: 5, 3: 9}[frame[4] >> 6]
    return frame[:4] + b"\xa0" + count.to_bytes(4, "little") + frame[4 + header :]


@pytest.mark.parametrize(
    ("codec", "coded", "count"),
    [
        (POOLED["zstd"], bytes(numcodecs.zstd.compress(bytes(LARGE), 1)), 4000),
        (POOLED["zstd"], claiming(4000, bytes(numcodecs.zstd.compress(bytes(LARGE), 1))), 4000),
        (POOLED["zstd"], FRAME, 0xFFFFFFFE),
        (POOLED["zstd"], claiming(0xFFFFFFFE, FRAME), 0xFFFFFFFE),
        (POOLED["zstd"], claiming(120_000, FRAME), 120_000),
        (POOLED["zlib-huffman"], zlib.compress(bytes(LARGE), wbits=-15), 100_000),
        (POOLED["zlib-huffman"], zlib.compress(bytes(LARGE), wbits=-15), LARGE),
        (POOLED["ans"], bytes(np.array([7, 9, 11], "<u4")), 0xFFFFFFFE),
    ],
)
def test_a_message_that_claims_to_be_huge_takes_no_memory(
    codec: LibraryCodec, coded: bytes, count: int
) -> None:
    book = int(codec.codec_id == "ans")
    tracemalloc.start()
    try:
        with pytest.raises(LinksimError, match=f"^codec {codec.codec_id}: "):
            codec.decode(message(codec, coded, count, book=book))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def cross_entropy_nbytes(codec: Ans, values: np.ndarray) -> float:
    """Bytes of *values* at the frequencies of the only codebook, rest bytes as they are."""
    symbols, rest = codec.symbol_view.split(values)
    frequencies = np.array(codec.codebooks[0].frequencies)
    return float(-np.log2(frequencies / frequencies.sum())[symbols].sum()) / 8 + len(rest)


@pytest.mark.parametrize("view", VIEW_NAMES)
@pytest.mark.parametrize("scale", [0.02, 0.05])
def test_ans_is_within_a_thousandth_of_the_cross_entropy(view: str, scale: float) -> None:
    values, codec = gaussian(100_000, scale=scale), Ans([BOOKS[view]])
    size = codec.encoded_nbytes(values)
    rest_nbytes = len(codec.symbol_view.split(values)[1])
    bound = cross_entropy_nbytes(codec, values) - rest_nbytes
    assert bound < size - rest_nbytes < 1.001 * bound
    if scale == 0.02:
        # On the book's own distribution; on others either may be luckier.
        assert size < HuffmanFixed([BOOKS[view]]).encoded_nbytes(values)


def check_no_symbol_is_free() -> None:
    """Zeros are coded first, and the first symbol of the alphabet moves an empty state nowhere."""
    values, codec = gaussian(10_000), Ans([BOOKS["exponent"]])
    values[8000:] = 0
    assert codec.encoded_nbytes(values) >= cross_entropy_nbytes(codec, values)
    assert codec.decode(codec.encode(values)).tobytes() == values.tobytes()


def test_ans_gives_no_symbol_for_free(monkeypatch: pytest.MonkeyPatch) -> None:
    check_no_symbol_is_free()
    monkeypatch.setattr(ans, "INITIAL_WORDS", np.empty(0, np.uint32))
    with pytest.raises(AssertionError):
        check_no_symbol_is_free()


def test_ans_can_code_a_symbol_that_it_gives_no_share() -> None:
    view = symbol_view("exponent", number_format("bf16"))
    counts = np.zeros(256, np.int64)
    counts[120] = 10**15
    codec = Ans([build_codebook("one", view, "k", [counts])])
    values = np.repeat(np.arange(256) << 7, 2).astype(np.uint16).view(gaussian(0).dtype)
    common = np.full(60_000, 120 << 7, np.uint16).view(values.dtype)
    both = np.concatenate([values, common])
    encoded = codec.encode(both)
    assert not encoded[5]
    assert codec.decode(encoded).tobytes() == both.tobytes()


def test_ans_takes_the_better_book_for_a_message() -> None:
    near, far = gaussian(5000), gaussian(5000, scale=30.0)
    codec = Ans([BOOKS["exponent"], gaussian_book(scale=30.0)])
    assert [codec.encode(values)[6] for values in (near, far)] == [1, 2]
    assert codec.encoded_nbytes(near) == Ans(codec.codebooks[:1]).encoded_nbytes(near)
    wrong_book = bytearray(codec.encode(near))
    wrong_book[6] = 2
    with pytest.raises(LinksimError, match="hold exactly"):
        codec.decode(bytes(wrong_book))


@pytest.mark.parametrize(
    ("books", "problem"),
    [
        ([], "0 codebooks: expected 1 to 31"),
        ([BOOKS["exponent"]] * 32, "32 codebooks"),
        ([BOOKS["exponent"], BOOKS["pooled"]], "different dtypes or views"),
        (
            [Codebook("bare", "bf16", "exponent", "k", BOOKS["exponent"].lengths)],
            "codebook 'bare' has no frequencies to code with: build it again",
        ),
    ],
)
def test_books_that_ans_cannot_use_are_refused(books: list[Codebook], problem: str) -> None:
    with pytest.raises(LinksimError, match=f"codec ans: .*{problem}"):
        Ans(books)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(LinksimError, match="codec zstd: level is 23"):
        Zstd(level=23)
    with pytest.raises(LinksimError, match="unknown view"):
        ZlibHuffman("bf16", "nibbles")


@ONE_OF_EACH
def test_the_chooser_makes_them_for_the_bulk_profile_alone(codec: LibraryCodec) -> None:
    name, values = codec.codec_id, gaussian(4000)
    books = CodebookSet((BOOKS["exponent"],)) if takes_codebooks(name) else None
    assert takes_codebooks(name) == (name == "ans")
    made, view = CodecChooser(name, books=books).codec_for("t", "k", None, values)
    assert (type(made), view.name) == (type(codec), "exponent")
    no_link = f"codec {name} has no link profile: use --profile bulk"
    with pytest.raises(LinksimError, match=no_link):
        CodecChooser(name, profile="link", books=books).codec_for("t", "k", None, values)
    if name == "ans":
        two = [("a", values), ("b", gaussian(4000, seed=1))]
        with pytest.raises(LinksimError, match=no_link):
            CodecChooser(name, profile="link").leave_one_out(two)
        chooser = CodecChooser(name)
        chooser.leave_one_out(two)
        assert chooser.codec_for("a", "k", None, values)[0].get_config()["id"] == "ans"


@ONE_OF_EACH
def test_a_scenario_with_them_needs_the_bulk_profile(codec: LibraryCodec, tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "trace").path
    off = {"name": "off", "codec": "raw"}
    for profile, code in (("bulk", 0), ("link", 2)):
        run = {"name": "rival", "codec": codec.codec_id, "engine": "ideal", "profile": profile}
        scene = write_toml(tmp_path / "s.toml", scenario_document(run=[off, run]))
        finished = linksim("replay", scene, "--trace", trace)
        assert finished.code == code, finished
    finished.refused(f"codec {codec.codec_id} has no link profile: use --profile bulk")
