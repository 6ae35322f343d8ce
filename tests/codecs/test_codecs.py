"""The contract every codec keeps, checked on all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from linksim.codecs import CODECS, HuffmanFixed, HuffmanThreeStage, Raw, TensorCodec, codec_class
from linksim.codecs.chunked import ChunkedCodec
from linksim.errors import LinksimError
from linksim.tensors.dtypes import FORMAT_NAMES, number_format
from tests.conftest import gaussian, gaussian_book

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BOOKS = {view: gaussian_book(view) for view in ("pooled", "byte-planes", "exponent")}
CODEC_OBJECTS: list[TensorCodec] = [
    Raw("bf16"),
    *(
        codec
        for view, book in BOOKS.items()
        for profile in ("bulk", "link")
        for codec in (
            HuffmanFixed([book], profile, chunk_symbols=512, payload_nbytes=64),
            HuffmanThreeStage("bf16", view, profile, chunk_symbols=512, payload_nbytes=64),
        )
    ),
    HuffmanFixed([BOOKS["exponent"]], chunk_symbols=512, exponent_bias=True),
]
EVERY_CODEC = pytest.mark.parametrize("codec", CODEC_OBJECTS, ids=lambda c: c.codec_id)

HOSTILE = hnp.arrays(np.uint16, st.integers(0, 1500)).map(lambda p: p.view(gaussian(0).dtype))


@EVERY_CODEC
@given(values=HOSTILE)
def test_any_bit_pattern_round_trips_at_the_foretold_size(
    codec: TensorCodec, values: np.ndarray
) -> None:
    encoded = codec.encode(values)
    assert codec.decode(encoded).tobytes() == values.tobytes()
    assert codec.encoded_nbytes(values) == len(encoded)
    segments = codec.segments(values)
    assert segments.wire_nbytes.sum() == len(encoded)
    assert segments.raw_nbytes.sum() == values.nbytes


@EVERY_CODEC
def test_typical_values_shrink_unless_raw(codec: TensorCodec) -> None:
    values = gaussian(20_000).reshape(100, 200)
    encoded = codec.encode(values)
    out = np.empty_like(values)
    assert codec.decode(encoded, out=out) is out
    assert out.tobytes() == values.tobytes()
    assert (len(encoded) < 0.87 * values.nbytes) == (codec.codec_id != "raw")


@EVERY_CODEC
def test_configuration_round_trips(codec: TensorCodec) -> None:
    config = json.loads(json.dumps(codec.get_config()))
    again = numcodecs.get_codec(config)
    assert again == codec
    assert repr(again) == repr(codec)
    values = gaussian(3000)
    assert again.encode(values) == codec.encode(values)


@EVERY_CODEC
def test_another_dtype_is_refused(codec: TensorCodec) -> None:
    with pytest.raises(LinksimError, match=r"got float32: expected bf16"):
        codec.encode(np.zeros(4, np.float32))


@pytest.mark.parametrize("codec", CODEC_OBJECTS[1:], ids=lambda c: c.codec_id)
@given(data=st.data())
def test_truncation_and_bit_flips_are_refused_or_decode_to_something(
    codec: TensorCodec, data: st.DataObject
) -> None:
    encoded = bytearray(codec.encode(gaussian(1200)))
    if data.draw(st.booleans()):
        del encoded[data.draw(st.integers(0, len(encoded) - 1)) :]
    else:
        bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
        encoded[bit // 8] ^= 1 << (bit % 8)
    try:
        decoded = codec.decode(bytes(encoded))
    except LinksimError as error:
        assert codec.codec_id in str(error)
        return
    assert decoded.dtype == number_format("bf16").numpy


@pytest.mark.parametrize("codec", CODEC_OBJECTS[1::2], ids=lambda c: c.codec_id)
def test_noise_goes_raw_and_expands_only_by_the_framing(codec: ChunkedCodec) -> None:
    noise = np.random.default_rng(3).integers(0, 1 << 16, 50_000).astype(np.uint16)
    values = noise.view(gaussian(0).dtype)
    symbols = len(codec.symbol_view.split(values)[0])
    if codec.profile == "bulk":
        bound = values.nbytes + 8 + 7 * -(-symbols // codec.chunk_symbols)
    else:
        per_flit = (codec.payload_nbytes - 3) * symbols // values.nbytes
        bound = -(-symbols // per_flit) * codec.payload_nbytes
    assert values.nbytes < codec.encoded_nbytes(values) <= bound


@pytest.mark.parametrize("dtype", FORMAT_NAMES)
@pytest.mark.parametrize("profile", ["bulk", "link"])
def test_every_number_format_round_trips(dtype: str, profile: str) -> None:
    fmt = number_format(dtype)
    draw = np.random.default_rng(5).standard_normal(999)
    values = (draw * 40).astype(np.int8) if dtype == "int8" else draw.astype(fmt.numpy)
    codec: TensorCodec
    for codec in (Raw(dtype), HuffmanThreeStage(dtype, "pooled", profile)):
        encoded = codec.encode(values)
        assert codec.decode(encoded)[:999].tobytes() == values.tobytes()
        assert codec.encoded_nbytes(values) == len(encoded)
        assert codec.segments(values).raw_nbytes.sum() == fmt.nbytes(999)


def test_fixed_beats_three_stage_by_the_codebook_on_its_own_distribution() -> None:
    values = gaussian(40_000)
    fixed = HuffmanFixed([BOOKS["exponent"]]).encoded_nbytes(values)
    three_stage = HuffmanThreeStage("bf16", "exponent").encoded_nbytes(values)
    assert 0 < three_stage - fixed <= 128


def test_best_book_is_chosen_chunk_by_chunk() -> None:
    narrow, wide = gaussian(8192, scale=0.02), gaussian(8192, scale=30.0)
    books = [gaussian_book(), gaussian_book(scale=30.0)]
    both = np.concatenate([narrow, wide])
    together = HuffmanFixed(books).encoded_nbytes(both)
    apart = HuffmanFixed(books[:1]).encoded_nbytes(narrow)
    apart += HuffmanFixed(books[1:]).encoded_nbytes(wide)
    assert together == apart - 8


def test_exponent_bias_makes_a_book_serve_another_scale() -> None:
    values = gaussian(8192, scale=0.02 * 16)
    without = HuffmanFixed([BOOKS["exponent"]]).encoded_nbytes(values)
    biased = HuffmanFixed([BOOKS["exponent"]], exponent_bias=True)
    at_home = HuffmanFixed([BOOKS["exponent"]]).encoded_nbytes(gaussian(8192))
    assert biased.encoded_nbytes(values) == at_home < without
    assert biased.decode(biased.encode(values)).tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"profile": "stream"}, "unknown profile 'stream'"),
        ({"chunk_symbols": 0}, "chunk_symbols is 0"),
        ({"payload_nbytes": 5000}, "payload_nbytes is 5000"),
        ({"codebooks": []}, "0 codebooks"),
        ({"codebooks": [BOOKS["pooled"], BOOKS["exponent"]]}, "different dtypes or views"),
    ],
)
def test_bad_parameters_are_refused(change: dict[str, object], problem: str) -> None:
    arguments = {"codebooks": [BOOKS["exponent"]]} | change
    with pytest.raises(LinksimError, match=problem):
        HuffmanFixed(**arguments)  # type: ignore[arg-type]


def test_unknown_codec_is_named() -> None:
    with pytest.raises(LinksimError, match="unknown codec 'lzma'.*huffman-fixed"):
        codec_class("lzma")


@pytest.mark.parametrize("codec_id", CODECS)
def test_golden_messages_decode_for_ever(codec_id: str) -> None:
    """Version 0 of the format: these bytes were written once and are only ever read.

    A codec that is not bit exact need not write them again.
    """
    folders = sorted((GOLDEN / codec_id).iterdir())
    assert folders
    for folder in folders:
        codec = numcodecs.get_codec(json.loads((folder / "config.json").read_text()))
        values = np.load(folder / "patterns.npy").view(number_format(codec.dtype).numpy)
        encoded = (folder / "encoded.bin").read_bytes()
        assert not codec.bit_exact or codec.encode(values) == encoded
        if not codec.lossless:
            values = np.load(folder / "decoded.npy").view(values.dtype)
        assert codec.decode(encoded).tobytes() == values.tobytes()


def test_link_bias_follows_the_scale_and_is_read_from_the_flit() -> None:
    """Scale changes along the message: no bias pays for it in every flit, a followed one once."""
    parts = [gaussian(4000, seed=index, scale=0.02 * 4.0**index) for index in range(5)]
    values = np.concatenate(parts)
    fixed = HuffmanFixed([BOOKS["exponent"]], "link")
    biased = HuffmanFixed([BOOKS["exponent"]], "link", exponent_bias=True)
    at_home = 5 * fixed.encoded_nbytes(parts[0])
    assert at_home - 5 * 240 <= biased.encoded_nbytes(values) < 1.02 * at_home + 10 * 240
    assert 1.05 * biased.encoded_nbytes(values) < fixed.encoded_nbytes(values)
    encoded = biased.encode(values)
    assert len(encoded) == biased.encoded_nbytes(values)
    # The bias is in the flit: a decoder needs no setting to read it.
    assert fixed.decode(encoded).tobytes() == values.tobytes()


def test_first_link_flit_has_the_bias_of_its_first_run() -> None:
    biased = HuffmanFixed([BOOKS["exponent"]], "link", exponent_bias=True)
    encoded = biased.encode(gaussian(500, scale=0.02 * 2.0**5))
    header = int.from_bytes(encoded[:3], "little")
    assert (header >> 13 & 0x1F, header >> 18) == (1, 5)


def test_a_lost_flit_is_seen_where_the_receiver_says_what_it_expects() -> None:
    codec, values = HuffmanFixed([BOOKS["exponent"]], "link"), gaussian(2000)
    encoded = codec.encode(values)
    with pytest.raises(LinksimError, match="holds [0-9]+ values: expected 2000"):
        codec.decode(encoded[240:], out=np.empty_like(values))
