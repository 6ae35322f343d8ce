"""What both coders refuse, and in which words: every rule of docs/format.md, hostile claims."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from linksim.codecs import HuffmanFixed, HuffmanThreeStage
from linksim.codecs.chunk import ChunkPlan, ChunkShape
from linksim.codecs.chunked import REFERENCE
from linksim.codecs.compiled import CompiledCoder
from linksim.codecs.prefix_code import PrefixCode, identity_code
from linksim.errors import LinksimError
from tests.codecs.test_chunk import CODES, EXAMPLE, SHAPE
from tests.codecs.test_compiled import outcome, small_codecs, small_message
from tests.conftest import gaussian_book


def changed(message: bytes, changes: dict[int, int]) -> bytes:
    data = bytearray(message)
    for index, value in changes.items():
        data[index] = value
    return bytes(data)


LINK, BULK = None, np.array([10])


@pytest.mark.parametrize(
    ("chunk", "counts", "rule"),
    [
        (b"\x09\x20", LINK, "2 bytes are shorter than a header"),
        (changed(EXAMPLE, {1: 0x40}), LINK, "codebook slot 2 is unknown: there are 1 books"),
        (changed(EXAMPLE, {1: 0, 2: 4}), LINK, "a raw chunk has an exponent bias"),
        (changed(EXAMPLE, {0: 0xFF}), LINK, "256 symbols do not fit 32 bytes"),
        (changed(EXAMPLE, {31: 0x83}), LINK, "bits set beyond its last entry"),
        (changed(EXAMPLE, {30: 0xFF, 31: 0x0F}), LINK, "does not end at its entry point"),
        (EXAMPLE[:5] + EXAMPLE[20:30] + b"\x3f\x0f", LINK, "points past the code words"),
        (changed(EXAMPLE, {30: 0x47}), LINK, "a run does not end at its entry point"),
        (changed(EXAMPLE, {3: 0xFF, 4: 0xFF}), LINK, "bits that begin no code word"),
        (EXAMPLE[:6] + EXAMPLE[20:], LINK, "the code words run into the rest bytes"),
        (EXAMPLE[:7] + b"\0" + EXAMPLE[20:], BULK, "it is longer than its contents"),
        (changed(EXAMPLE, {10: 1}), LINK, "bits are set in the gap"),
        (changed(EXAMPLE, {6: 0x0B}), LINK, "bits are set in the gap"),
        (EXAMPLE[:7] + EXAMPLE[20:], np.array([11]), "it holds 10 symbols: expected 11"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 5])
def test_each_rule_has_the_references_words(
    chunk: bytes, counts: np.ndarray | None, rule: str, before: int
) -> None:
    """Also behind whole chunks, where four are decoded at a time."""
    good = EXAMPLE if counts is None else EXAMPLE[:7] + EXAMPLE[20:]
    parts = [good] * before + [chunk]
    data = np.frombuffer(b"".join(parts), np.uint8)
    ends = np.cumsum([len(part) for part in parts])
    held = None if counts is None else np.array([10] * before + [int(counts[0])])
    said = []
    for realisation in (REFERENCE, CompiledCoder(), CompiledCoder(2)):
        with pytest.raises(LinksimError) as raised:
            realisation.decode(SHAPE, data, ends, CODES, held)
        said.append(str(raised.value))
    assert len(set(said)) == 1
    assert said[0].startswith(f"chunk {before}: ")
    assert rule in said[0]


def test_a_word_that_does_not_exist_is_refused_wherever_it_stands() -> None:
    """A code of one symbol, an incomplete one and one without any word."""
    shape = ChunkShape(8, 0, 16)
    for lengths in ((1,), (3, 3, 4), ()):
        code = PrefixCode((*lengths, *[0] * (256 - len(lengths))), 16)
        shape_codes = [identity_code(8), code]
        for count in (1, 15, 64, 200):
            data = np.zeros(3 + 2 * count + shape.table_nbytes(count, code, 1), np.uint8)
            data[:3] = count - 1, 1 << 5, 0
            data[3 : 3 + 2 * count] = 0xFF
            ends = np.array([len(data)])
            for realisation in (REFERENCE, CompiledCoder()):
                with pytest.raises(LinksimError, match="chunk 0: bits that begin no code word"):
                    realisation.decode(shape, data, ends, shape_codes, None)


def test_chunks_of_other_sizes_than_they_must_have_are_told_apart() -> None:
    """Four chunks of 16, 16, 32 and 0 wanted symbols hold as many as four of 16."""
    shape = ChunkShape(8, 0, 16)
    chunk = b"\x0f\0\0" + bytes(range(16))
    data = np.frombuffer(chunk * 4, np.uint8)
    ends = np.arange(1, 5) * len(chunk)
    for counts in ([16, 16, 15, 17], [16, 17, 15, 16]):
        for realisation in (REFERENCE, CompiledCoder()):
            with pytest.raises(LinksimError, match="it holds 16 symbols: expected 1[57]"):
                realisation.decode(shape, data, ends, [identity_code(8)], np.array(counts))


@pytest.mark.parametrize("profile", ["bulk", "link"])
def test_a_claim_takes_no_more_memory_than_the_message_can_hold(profile: str) -> None:
    chunks = 4000
    codec = HuffmanFixed([gaussian_book()], profile, payload_nbytes=16)
    chunk = b"\xff\x3f\0".ljust(16, b"\0")
    message = chunk * chunks
    if profile == "bulk":
        index = (np.arange(1, chunks + 1) * 16).astype("<u4").tobytes()
        message = (chunks * 8192).to_bytes(8, "little") + index + message
    tracemalloc.start()
    with pytest.raises(LinksimError, match="chunk 0: 8192 symbols do not fit 16 bytes"):
        codec.decode(message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(message)


def test_a_plan_for_a_book_without_the_symbol_is_refused_in_the_same_words() -> None:
    code = PrefixCode((1, 1, *[0] * 254), 16)
    symbols = np.array([0, 1, 1, 0, 7, 1], np.uint8)
    arrays = [np.array(part, np.int64) for part in ([3, 3], [1, 1], [0, 0], [4, 4])]
    arguments: Any = (
        ChunkShape(8, 0, 16), symbols, symbols[:0], [identity_code(8), code], ChunkPlan(*arrays)
    )  # fmt: skip
    for realisation in (REFERENCE, CompiledCoder()):
        with pytest.raises(LinksimError, match="symbol 7 has no code in slot 1"):
            realisation.encode(*arguments)


def index_of(ends: list[int]) -> Callable[[bytes], bytes]:
    """Puts *ends* over the chunk index of a fixed bulk message."""
    index = np.array(ends, "<u4").tobytes()
    return lambda message: message[:8] + index + message[8 + len(index) :]


@pytest.mark.parametrize("realisation", [REFERENCE, CompiledCoder()], ids=["numpy", "compiled"])
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (index_of([2**32 - 1]), "the chunk index does not describe"),
        (index_of([0]), "the chunk index does not describe"),
        (index_of([60, 30]), "the chunk index does not describe"),
        (index_of([30, 30]), "the chunk index does not describe"),
        (lambda m: m + b"\0", "the chunk index does not describe"),
        (lambda m: b"\xff\xff\xff\xff" + m[4:], "the message ends inside its chunk index"),
        (lambda m: m[:12], "the message ends inside its chunk index"),
        (lambda m: m[:7], "7 bytes are no message header"),
        (lambda m: m[:4] + b"\x01" + m[5:], "header says version 1"),
        (lambda m: m[:5] + b"\x02" + m[6:], "flags 2"),
        (lambda m: m[:6] + b"\x01" + m[7:], "reserved 1"),
    ],
)
def test_hostile_headers_and_indices_are_named(
    realisation: Any, damage: Callable[[bytes], bytes], problem: str
) -> None:
    codec = small_codecs()[0]
    message = damage(small_message(codec))
    codec.coder = realisation
    with pytest.raises(LinksimError, match=f"codec huffman-fixed: .*{problem}"):
        codec.decode(message)


@pytest.mark.parametrize("profile", ["bulk", "link"])
def test_hostile_travelling_codebooks_are_named(profile: str) -> None:
    codec = HuffmanThreeStage("e2m1", "pooled", profile, payload_nbytes=24)
    message = small_message(codec)
    start = 8 if profile == "bulk" else 0
    with pytest.raises(LinksimError, match=r"huffman-three-stage: codebook: .*Kraft"):
        codec.decode(changed(message, {start + i: 0x11 for i in range(8)}))
    without_words = changed(message, {start + i: 0 for i in range(8)})
    ends = {outcome(codec, without_words, each) for each in (REFERENCE, CompiledCoder())}
    assert len(ends) == 1
    assert "chunk 0: " in str(ends.pop().refusal)
    if profile == "link":
        with pytest.raises(LinksimError, match="bits are set behind the codebook"):
            codec.decode(changed(message, {8: 1}))
        with pytest.raises(LinksimError, match="no chunk follows the codebook"):
            codec.decode(message[:24])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lengths": [1] * 256}, "codebook 'hostile': .*Kraft"),
        ({"lengths": [17, *[16] * 255]}, "codebook 'hostile': .*expected 0 to 16 bits"),
        ({"lengths": [-1, *[16] * 255]}, "codebook 'hostile': .*expected 0 to 16 bits"),
        ({"lengths": [9] * 256, "max_length": 8}, "codebook 'hostile': .*expected 0 to 8 bits"),
        ({"lengths": [8] * 255}, "codebook 'hostile': lengths has 255 entries"),
        ({"max_length": 17}, "codebook 'hostile': max_length is 17"),
        ({"max_length": 0}, "codebook 'hostile': max_length is 0"),
    ],
)
def test_hostile_books_of_a_configuration_are_named(change: dict[str, Any], problem: str) -> None:
    hostile = {"name": "hostile", "dtype": "bf16", "view": "exponent", "kind": "any"}
    with pytest.raises(LinksimError, match=problem):
        HuffmanFixed([{**hostile, "lengths": [8] * 256, **change}])


@pytest.mark.parametrize("run", [0, -16, 8, 24, 16384])
def test_runs_are_powers_of_two_that_a_chunk_can_hold(run: int) -> None:
    if run == 0:
        assert HuffmanFixed([gaussian_book()], run_symbols=run).run_symbols == 2048
        return
    with pytest.raises(LinksimError, match=f"run_symbols is {run}: expected a power of two"):
        HuffmanFixed([gaussian_book()], run_symbols=run)
