"""The group quantizer as a codec: messages, what is refused, and the compiled realisation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs import HuffmanFixed, Quantize
from linksim.codecs.evaluation import evaluate
from linksim.codecs.quantize import GroupQuantizer, kernels
from linksim.codecs.quantize.realisations import COMPILED, REFERENCE
from linksim.codecs.selection import CodecChooser
from linksim.codecs.specification import CodecSpecification
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.views import symbol_view
from tests.codecs.test_quantize import EVERY, all_quantizers, label
from tests.codecs.test_quantize_records import EXAMPLE, EXAMPLE_PATTERNS, QUANTIZERS
from tests.conftest import gaussian, gaussian_book
from tests.docs.pages import blocks, text
from tests.golden.quantize import FILE, cases, edge_patterns

BF16 = number_format("bf16").numpy
MESSAGE = bytes.fromhex("28000000 00010000") + EXAMPLE
CODECS = [
    Quantize(bits=q.bits, group=q.group, zero=q.zero, spikes=q.spikes, checksum=bool(index % 2))
    for index, q in enumerate([*all_quantizers(64), *all_quantizers(spikes=True)])
]
ANY = st.sampled_from(CODECS)
EVERYTHING = [
    GroupQuantizer(bits=bits, group=group, zero=zero, spikes=spikes)
    for zero in ("point", "min")
    for bits in range(2, 9)
    for group in (32, 64, 128)
    for spikes in (False, True)
]


@st.composite
def patterns(draw: st.DrawFn) -> np.ndarray:
    """Up to 700 bf16 patterns: any at all, finite ones in a window of exponents, or edges."""
    seed, count = draw(st.integers(0, 1 << 32)), draw(st.integers(0, 700))
    numbers = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["any", "finite", "window", "edges", "constant"]))
    words = numbers.integers(0, 1 << 16, count)
    if kind == "finite":
        words = np.where((words & 0x7F80) == 0x7F80, words & 0xBFFF, words)
    elif kind == "window":
        low = draw(st.integers(0, 254))
        exponents = np.clip(low + numbers.integers(0, draw(st.integers(1, 20)), count), 0, 254)
        words = words & 0x807F | exponents << 7
    elif kind == "edges":
        words = numbers.choice([0, 0x8000, 1, 0x8001, 0x7F, 0x80, 0x7F7F, 0xFF7F], count)
    elif kind == "constant":
        words = np.full(count, words[:1].sum())
    return words.astype(np.uint16)


# The compiled realisation.


@EVERY
@given(words=patterns())
def test_both_realisations_give_the_same_bits(quantizer: GroupQuantizer, words: np.ndarray) -> None:
    records = REFERENCE.encode(quantizer, words)
    assert COMPILED.encode(quantizer, words) == records
    decoded = REFERENCE.decode(quantizer, records, len(words))
    assert COMPILED.decode(quantizer, records, len(words)).tobytes() == decoded.tobytes()
    groups = COMPILED.quantize(quantizer, words)
    assert COMPILED.dequantize(quantizer, groups, len(words)).tobytes() == decoded.tobytes()
    assert quantizer.pack(groups) == records


@pytest.mark.parametrize("quantizer", EVERYTHING, ids=label)
def test_the_edges_are_the_same_for_all_parameters(quantizer: GroupQuantizer) -> None:
    numbers = np.random.default_rng(quantizer.bits)
    low = np.repeat(np.arange(0, 255, 6), 128)
    windows = low + numbers.integers(0, np.repeat(numbers.integers(1, 12, len(low) // 128), 128))
    words = np.clip(windows, 0, 254) << 7 | numbers.integers(0, 1 << 16, len(low)) & 0x807F
    both = np.concatenate([edge_patterns(), words.astype(np.uint16)])
    records = REFERENCE.encode(quantizer, both)
    assert COMPILED.encode(quantizer, both) == records
    decoded = REFERENCE.decode(quantizer, records, len(both))
    assert np.array_equal(COMPILED.decode(quantizer, records, len(both)), decoded)


@pytest.mark.parametrize("name", list(cases()))
def test_the_compiled_realisation_gives_the_golden_vectors(name: str) -> None:
    vectors, quantizer = np.load(FILE), cases()[name]
    words = vectors["patterns"]
    records = vectors[f"{name}.records"].tobytes()
    assert COMPILED.encode(quantizer, words) == records
    decoded = COMPILED.decode(quantizer, records, len(words))
    assert np.array_equal(decoded, vectors[f"{name}.decoded"])


def outcome(call: Callable[[], np.ndarray]) -> tuple[str, bytes]:
    try:
        return "", call().tobytes()
    except LinksimError as error:
        return str(error), b""


@given(quantizer=QUANTIZERS, seed=st.integers(0, 1 << 32), count=st.integers(0, 400))
def test_both_refuse_the_same_records_in_the_same_words(
    quantizer: GroupQuantizer, seed: int, count: int
) -> None:
    """Random bytes, and whole records with a random byte changed."""
    numbers = np.random.default_rng(seed)
    damaged = bytearray(quantizer.pack(quantizer.quantize(gaussian(count).view(np.uint16))))
    if damaged:
        damaged[numbers.integers(len(damaged))] = numbers.integers(256)
    for data in (numbers.bytes(quantizer.packed_nbytes(count)), bytes(damaged), bytes(damaged)[1:]):
        expected = outcome(lambda: REFERENCE.decode(quantizer, data, count))  # noqa: B023
        assert outcome(lambda: COMPILED.decode(quantizer, data, count)) == expected  # noqa: B023


@given(seed=st.integers(0, 1 << 32), zero=st.sampled_from(["point", "min"]))
def test_any_scale_and_zero_decode_as_the_definition_says(seed: int, zero: str) -> None:
    """Groups that no quantizer makes, too: the kernel's float64 is exact for all of them."""
    numbers = np.random.default_rng(seed)
    for bits in (3, 8):
        quantizer = GroupQuantizer(bits=bits, zero=zero)
        words = numbers.integers(0, 1 << 16, 64).astype(np.uint16)
        groups = quantizer.quantize(words)
        groups.scale[:] = numbers.integers(0, 1 << 16, 2)
        top = 1 << 16 if zero == "min" else 1 << bits
        groups.zero[:] = numbers.integers(0, top, 2)
        expected = quantizer.dequantize(groups, 64)
        assert np.array_equal(COMPILED.dequantize(quantizer, groups, 64), expected)


def test_a_broken_kernel_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparisons above fail for a quantizer whose first code is off by one."""
    whole = kernels.quantize

    def broken(*arguments: Any) -> None:
        whole(*arguments)
        arguments[9][0] ^= 1

    monkeypatch.setattr(kernels, "quantize", broken)
    words = gaussian(128).view(np.uint16)
    quantizer = GroupQuantizer(bits=4)
    assert COMPILED.encode(quantizer, words) != REFERENCE.encode(quantizer, words)


# Messages.


def test_worked_example_of_the_page() -> None:
    codec, values = Quantize(bits=3, group=32), EXAMPLE_PATTERNS.view(BF16)
    assert codec.encode(values) == MESSAGE
    (listed,) = [b for language, b in blocks(text("quantizer.md")) if language == "message"]
    assert bytes.fromhex(listed) == MESSAGE
    assert codec.encoded_nbytes(values) == len(MESSAGE) == 36


@given(codec=ANY, words=patterns())
def test_messages_round_trip_at_the_foretold_size(codec: Quantize, words: np.ndarray) -> None:
    values = words.view(BF16)
    message = codec.encode(values)
    assert codec.encoded_nbytes(values) == len(message)
    quantizer = codec.quantizer
    assert len(message) == 8 + quantizer.packed_nbytes(len(words)) + 4 * codec.checksum
    decoded = codec.decode(message)
    expected = quantizer.dequantize(quantizer.quantize(words), len(words))
    assert decoded.view(np.uint16).tobytes() == expected.tobytes()
    assert codec.round_trip(values).tobytes() == decoded.tobytes()
    parts = codec.segments(values)
    assert parts.wire_nbytes.sum() == len(message)
    assert parts.raw_nbytes.sum() == values.nbytes
    assert (parts.wire_nbytes > 0).all()


@pytest.mark.parametrize("count", [0, 1, 512, 513, 10_000])
def test_parts_are_whole_records(count: int) -> None:
    codec = Quantize(bits=3, group=32, checksum=True)
    parts = codec.segments(gaussian(count))
    body = parts.wire_nbytes[1:-1]
    assert parts.wire_nbytes[[0, -1]].tolist() == [8, 4]
    assert (body % codec.quantizer.records.nbytes == 0).all()
    assert len(body) == -(-count // 512)
    assert parts.raw_nbytes.max(initial=0) == min(2 * count, 1024)
    assert codec.framing_nbytes(gaussian(count)) == len(codec.encode(gaussian(count))) - -(
        -count * 3 // 8
    )


def test_shape_and_room_are_kept() -> None:
    codec, values = Quantize(bits=6, group=32), gaussian(600).reshape(20, 30)
    assert codec.round_trip(values).shape == (20, 30)
    out = np.empty_like(values)
    assert codec.decode(codec.encode(values), out=out) is out
    assert out.tobytes() == codec.round_trip(values).tobytes()
    with pytest.raises(LinksimError, match="holds 600 values: expected 599"):
        codec.decode(codec.encode(values), out=np.empty(599, BF16))
    with pytest.raises(LinksimError, match="got float32: expected bf16"):
        codec.encode(np.zeros(3, np.float32))


@pytest.mark.parametrize("codec", CODECS[::3], ids=repr)
def test_configuration_round_trips(codec: Quantize) -> None:
    again = numcodecs.get_codec(json.loads(json.dumps(codec.get_config())))
    assert again == codec
    assert again.encode(gaussian(300)) == codec.encode(gaussian(300))


def changed(index: int, value: int) -> bytes:
    message = bytearray(MESSAGE)
    message[index] = value
    return bytes(message)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", "0 bytes are no message header"),
        (MESSAGE[:7], "7 bytes are no message header"),
        (changed(4, 1), "header says version 1, quantizer 0x01, flags 0: expected 0, 0x01, 0"),
        (changed(5, 2), "quantizer 0x02"),
        (changed(5, 0x81), "quantizer 0x81"),
        (changed(6, 1), "flags 1"),
        (changed(6, 2), "flags 2"),
        (changed(7, 1), "flags 256"),
        (changed(0, 65), "28 bytes: expected 56 for 65 values"),
        (changed(3, 255), "28 bytes: expected [0-9]+ for 4278190120 values"),
        (changed(0, 32), "group 1 is behind the last value"),
        (changed(0, 0), "28 bytes: expected 0 for 0 values"),
        (changed(9, 0), "group 0, scale"),
        (MESSAGE[:-1], "27 bytes: expected 28 for 40 values"),
        (MESSAGE + b"\0", "29 bytes: expected 28 for 40 values"),
    ],
)
def test_what_no_encoder_wrote_is_named(message: bytes, problem: str) -> None:
    with pytest.raises(LinksimError, match=f"^codec quantize: .*{problem}"):
        Quantize(bits=3, group=32).decode(message)


@given(codec=ANY, data=st.data())
def test_damage_is_refused_or_decodes_to_something(codec: Quantize, data: st.DataObject) -> None:
    message = bytearray(codec.encode(gaussian(300)))
    bit = data.draw(st.integers(0, 8 * len(message) - 1))
    message[bit // 8] ^= 1 << bit % 8
    try:
        decoded = codec.decode(bytes(message))
    except LinksimError as error:
        assert "codec quantize: " in str(error)
        return
    assert not codec.checksum
    assert decoded.dtype == BF16


@given(codec=ANY, cut=st.integers(1, 200))
def test_truncation_is_always_refused(codec: Quantize, cut: int) -> None:
    message = codec.encode(gaussian(300))
    with pytest.raises(LinksimError, match="codec quantize"):
        codec.decode(message[:-cut])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"bits": 1}, "bits is 1: expected 2 to 8"),
        ({"group": 48}, "group is 48: expected 32, 64, 128"),
        ({"zero": "none"}, "zero is 'none': expected point or min"),
        ({"dtype": "fp16"}, "dtype is 'fp16': expected 'bf16'"),
    ],
)
def test_bad_parameters_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(LinksimError, match=f"^codec quantize: {problem}"):
        Quantize(**options)


# Choice and evaluation.


def test_a_specification_makes_the_codec() -> None:
    chooser = CodecChooser("quantize:bits=5,group=64,zero=min,spikes=true")
    codec, _ = chooser.codec_for("t", "k", None, gaussian(10))
    assert codec == Quantize(bits=5, group=64, zero="min", spikes=True)
    assert CodecChooser("quantize").codec_for("t", "k", None, gaussian(10))[0] == Quantize()
    fixed = CodecSpecification.parse("huffman-fixed:chunk_symbols=512,checksum=true")
    made = fixed.make(HuffmanFixed, codebooks=[gaussian_book()])
    assert made == HuffmanFixed([gaussian_book()], chunk_symbols=512, checksum=True)


@pytest.mark.parametrize(
    ("specification", "problem"),
    [
        ("quantize:", "'': expected NAME=VALUE"),
        ("quantize:bits", "'bits': expected NAME=VALUE"),
        ("quantize:bits=4,bits=5", "'bits=5': expected NAME=VALUE, every name once"),
        ("quantize:width=4", "no option 'width': expected one of bits, group, zero"),
        ("quantize:dtype=bf16", "no option 'dtype'"),
        ("quantize:bits=four", "bits is 'four': expected a whole number"),
        ("quantize:bits=true", "bits is True: expected a whole number"),
        ("quantize:spikes=1", "spikes is 1: expected true or false"),
        ("quantize:zero=3", "zero is 3: expected a name"),
        ("raw:bits=4", "no option 'bits': expected one of none"),
        ("quantise:bits=4", "unknown codec 'quantise'"),
    ],
)
def test_bad_specifications_are_named(specification: str, problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        CodecChooser(specification).codec_for("t", "k", None, gaussian(10))


def test_a_link_profile_is_refused() -> None:
    with pytest.raises(LinksimError, match="codec quantize has no link profile"):
        CodecChooser("quantize", profile="link").codec_for("t", "k", None, gaussian(10))


def test_evaluation_gives_what_the_codec_changes() -> None:
    values = gaussian(4096)
    values[5] = np.inf
    view = symbol_view("exponent", number_format("bf16"))
    codec = Quantize(bits=4, group=32)
    found = evaluate("t", "k", values, codec, view)
    decoded = codec.decode(codec.encode(values)).astype(float)
    kept = np.arange(4096) >= 32
    errors = (decoded - values.astype(float))[kept]
    signal = np.square(values.astype(float)[kept]).sum()
    assert found.distortion is not None
    assert found.distortion.values_lost == 31
    assert found.distortion.largest_error == np.abs(errors).max()
    assert found.distortion.snr_db == pytest.approx(10 * np.log10(signal / (errors**2).sum()))
    assert 21 < found.document()["snr_db"] < 23
    lossless = evaluate("t", "k", values, HuffmanFixed([gaussian_book()]), view)
    assert "snr_db" not in lossless.document()
    constant = evaluate("t", "k", np.full(64, 1, BF16), Quantize(bits=8, group=32), view)
    assert constant.document()["snr_db"] is None


class _WrongRoundTrip(Quantize):
    def round_trip(self, values: np.ndarray) -> np.ndarray:
        return values


def test_a_codec_whose_round_trip_is_not_what_it_decodes_is_refused() -> None:
    view = symbol_view("exponent", number_format("bf16"))
    with pytest.raises(LinksimError, match="does not give back the same bits"):
        evaluate("t", "k", gaussian(100), _WrongRoundTrip(), view)
