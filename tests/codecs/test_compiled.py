"""The compiled coder is the reference, bit for bit: its bytes, its values and its refusals."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.benchmarks import fuzz_cases
from linksim.benchmarks.fuzz import run_fuzz
from linksim.benchmarks.fuzz_worker import BLOCK, command
from linksim.codecs import Codebook, HuffmanFixed, HuffmanThreeStage
from linksim.codecs.chunk import ChunkShape
from linksim.codecs.chunked import REFERENCE, ChunkedCodec
from linksim.codecs.compiled import CompiledCoder, coder, decoding, runs
from linksim.codecs.planning import plan_bulk
from linksim.codecs.prefix_code import PrefixCode, identity_code, package_merge
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.views import symbol_view
from tests.conftest import gaussian, gaussian_book

FORMS = [
    ("bf16", "exponent"),
    ("bf16", "pooled"),
    ("bf16", "byte-planes"),
    ("fp16", "exponent"),
    ("e4m3", "pooled"),
    ("int8", "pooled"),
    ("e3m2", "pooled"),
    ("e2m1", "pooled"),
]
CUTS = [(1, 16), (7, 16), (16, 16), (100, 16), (64, 16), (512, 64), (512, 512), (8192, 2048)]
"""Symbols per chunk and per run."""


def book(dtype: str, view: str, centre: float = 0.47, max_length: int = 16) -> Codebook:
    """A book for symbols that crowd round *centre* of the alphabet."""
    alphabet = symbol_view(view, number_format(dtype)).alphabet
    distance = np.abs(np.arange(alphabet) - int(centre * alphabet))
    counts = (1e5 * np.exp(-12 * distance / alphabet)).astype(np.int64) + 1
    lengths = tuple(package_merge(counts, max_length))
    return Codebook(f"book {centre}", dtype, view, "any", lengths, max_length)


def gappy_book(dtype: str, view: str) -> Codebook:
    """A book that lacks codes for every other symbol and for the highest ones."""
    lengths = list(book(dtype, view).lengths)
    lengths[1::2] = [0] * len(lengths[1::2])
    lengths[-4:] = [0] * 4
    return Codebook("gaps", dtype, view, "any", tuple(lengths), 16)


def values_of(codec: ChunkedCodec, count: int, seed: int) -> np.ndarray:
    """*count* values: a third crowding, a third of any bit pattern, a third equal."""
    random = np.random.default_rng([seed, count])
    fmt = codec.number_format
    bits = fmt.bits
    patterns = random.integers(0, 1 << bits, count)
    crowded = (random.standard_normal(count) * (1 << bits) / 40 + (1 << bits) * 0.47).astype(int)
    patterns = np.where(np.arange(count) % 3000 < 1000, crowded % (1 << bits), patterns)
    patterns = np.where(np.arange(count) % 3000 > 2000, patterns[:1].sum(), patterns)
    return patterns.astype(np.uint16 if bits == 16 else np.uint8).view(fmt.numpy)


@dataclass(frozen=True)
class Outcome:
    refusal: str | None
    values: bytes


def outcome(codec: ChunkedCodec, message: bytes, realisation: Any) -> Outcome:
    """What *realisation* makes of *message*."""
    codec.coder = realisation
    try:
        return Outcome(None, codec.decode(message).tobytes())
    except LinksimError as error:
        return Outcome(str(error), b"")


def assert_equal_coders(codec: ChunkedCodec, values: np.ndarray, threads: int) -> None:
    codec.coder = REFERENCE
    expected = codec.encode(values)
    codec.coder = CompiledCoder(threads)
    assert codec.encode(values) == expected
    assert codec.decode(expected).tobytes() == values.tobytes()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four chunks to a block, so that small messages go to several threads."""
    monkeypatch.setattr(coder, "LEAST_BLOCK", 1)
    monkeypatch.setattr(coder, "MOST_BLOCK", 1)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("chunk", "run"), CUTS)
@pytest.mark.parametrize(("dtype", "view"), FORMS)
def test_bulk_messages_are_the_references(dtype: str, view: str, chunk: int, run: int) -> None:
    sizes = {run + 1, chunk, 5 * chunk + 1}
    if (dtype, view) == FORMS[0]:
        sizes |= {0, 1, 8, run - 1, run, 4 * run - 1, 4 * run, 4 * run + 1, chunk - 1, chunk + 1}
        sizes |= {4 * chunk - 1, 4 * chunk, 4 * chunk + 1}
    for size in sorted(sizes):
        for books in ([book(dtype, view)], [gappy_book(dtype, view), book(dtype, view, 0.7, 8)]):
            biased = len(books) > 1
            codec = HuffmanFixed(books, "bulk", chunk, run_symbols=run, exponent_bias=biased)
            assert_equal_coders(codec, values_of(codec, size, 1), 1 + size % 3)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("payload", [16, 64, 240])
@pytest.mark.parametrize(("dtype", "view"), FORMS)
def test_link_messages_are_the_references(dtype: str, view: str, payload: int) -> None:
    for threads, size in ((1, 1), (1, 63), (2, 700), (3, 1500)):
        for books in ([book(dtype, view)], [gappy_book(dtype, view), book(dtype, view, 0.7, 8)]):
            codec = HuffmanFixed(books, "link", payload_nbytes=payload)
            assert_equal_coders(codec, values_of(codec, size, 2), threads)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("profile", ["bulk", "link"])
@pytest.mark.parametrize("view", ["pooled", "byte-planes", "exponent"])
def test_every_bf16_pattern(view: str, profile: str, threads: int) -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(number_format("bf16").numpy)
    for codec in (
        HuffmanFixed([gaussian_book(view)], profile, run_symbols=64),
        HuffmanThreeStage("bf16", view, profile, run_symbols=64),
    ):
        assert_equal_coders(codec, values, threads)


@pytest.mark.parametrize("last", [1, 3, 7, 8, 9])
def test_a_short_last_chunk_does_not_disturb_what_lies_behind_it(last: int) -> None:
    """What is written ahead in a fast loop must stay inside the block's symbols."""
    codec = HuffmanFixed([gaussian_book()])
    values = gaussian(5 * 8192 + last)
    for threads in (1, 2):
        codec.coder = CompiledCoder(threads)
        assert codec.decode(codec.encode(values)).tobytes() == values.tobytes()


@st.composite
def codes(draw: st.DrawFn) -> PrefixCode:
    """Codes of any shape: limits 8 to 16, complete or not, down to no word at all."""
    limit = draw(st.integers(8, 16))
    base = draw(st.sampled_from([1, 2, 10]))
    counts = [base ** draw(st.integers(0, 12)) if draw(st.booleans()) else 0 for _ in range(24)]
    lengths = package_merge([*counts, *[0] * 232], limit)
    for symbol in draw(st.lists(st.integers(0, 23), max_size=3)):
        lengths[symbol] = 0
    return PrefixCode(tuple(lengths), limit)


@settings(max_examples=60)
@given(
    books=st.lists(codes(), min_size=1, max_size=3),
    parts=st.lists(st.tuples(st.integers(0, 23), st.integers(1, 90)), max_size=8),
    run=st.sampled_from([16, 64, 256, 8192]),
    chunk=st.sampled_from([1, 7, 64, 100, 512]),
    rest_bits=st.sampled_from([0, 8]),
    use_bias=st.booleans(),
    seed=st.integers(0, 1 << 20),
)
def test_any_code_and_any_symbols(
    books: list[PrefixCode],
    parts: list[tuple[int, int]],
    run: int,
    chunk: int,
    rest_bits: int,
    use_bias: bool,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    pieces = [np.full(count, symbol) for symbol, count in parts]
    pieces += [random.integers(0, 24, int(random.integers(300)))]
    symbols = np.concatenate(pieces).astype(np.uint8)
    rest = random.integers(0, 256, len(symbols) if rest_bits else 0).astype(np.uint8)
    shape = ChunkShape(8, rest_bits, run)
    all_codes = [identity_code(8), *books]
    plan = plan_bulk(shape, symbols, all_codes, chunk, use_bias)
    expected = REFERENCE.encode(shape, symbols, rest, all_codes, plan)
    compiled = CompiledCoder()
    assert compiled.encode(shape, symbols, rest, all_codes, plan).tobytes() == expected.tobytes()
    ends = np.cumsum(plan.nbytes)
    decoded = compiled.decode(shape, expected, ends, all_codes, plan.counts)
    assert [part.tobytes() for part in decoded] == [symbols.tobytes(), rest.tobytes()]


def alike(ours: Outcome, theirs: Outcome) -> bool:
    """Equal values, or a refusal of the same chunk in the same words.

    Where several chunks are broken, as by a wrong index, the two may name different ones.
    """
    chunks = [re.search(r"chunk (\d+)", each.refusal or "") for each in (ours, theirs)]
    if chunks[0] and chunks[1] and chunks[0][1] != chunks[1][1]:
        return True
    return ours == theirs


def small_codecs() -> list[ChunkedCodec]:
    steep, other = book("bf16", "exponent"), book("bf16", "exponent", 0.6, 9)
    return [
        HuffmanFixed([steep], chunk_symbols=16, run_symbols=16),
        HuffmanFixed([steep, other], chunk_symbols=70, run_symbols=16, exponent_bias=True),
        HuffmanFixed([book("bf16", "pooled")], "link", payload_nbytes=48, run_symbols=16),
        HuffmanThreeStage("e2m1", "pooled", chunk_symbols=16, run_symbols=16),
        HuffmanThreeStage("e2m1", "pooled", "link", payload_nbytes=24, run_symbols=16),
        HuffmanThreeStage("e3m2", "pooled", chunk_symbols=40, run_symbols=16, checksum=True),
    ]


def small_message(codec: ChunkedCodec) -> bytes:
    """Five chunks of 16 symbols, or what 75 values give."""
    if codec.number_format.bits < 8:
        patterns = np.random.default_rng(5).integers(0, 3, 75).astype(np.uint8)
        return codec.encode(patterns.view(codec.number_format.numpy))
    return codec.encode(gaussian(75))


@pytest.mark.parametrize("which", range(len(small_codecs())))
def test_every_truncation_and_every_flipped_bit_ends_alike(which: int) -> None:
    compiled, reference = small_codecs()[which], small_codecs()[which]
    message = small_message(compiled)
    hostile = [message[:size] for size in range(len(message))]
    for bit in range(len(message) * 8):
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << (bit % 8)
        hostile.append(bytes(flipped))
    refused = 0
    for data in hostile:
        ours, theirs = (
            outcome(compiled, data, CompiledCoder()),
            outcome(reference, data, REFERENCE),
        )
        assert alike(ours, theirs), data.hex()
        refused += ours.refusal is not None
    assert refused > len(message)


MUTANT_DRIVER = """
import importlib.util, pathlib, sys
copies = {path.stem: str(path) for path in pathlib.Path(FOLDER).glob("*.py")}
class Finder:
    def find_spec(self, name, path=None, target=None):
        copy = name.startswith("linksim.") and copies.get(name.rpartition(".")[2])
        return importlib.util.spec_from_file_location(name, copy) if copy else None
sys.meta_path.insert(0, Finder())
from linksim.benchmarks.fuzz_worker import main
main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="guard pages need Linux")
def test_a_kernel_without_its_bounds_check_is_caught(tmp_path: Path) -> None:
    """The guards see what they should: here a kernel that may load past the message's end.

    It and all that calls it are compiled anew from copies.
    """
    for module in (runs, decoding, fuzz_cases):
        source = Path(module.__file__)
        text = source.read_text()
        if module is runs:
            for check, count in ((", ahead // _STEP_BITS + 1)", 1), ("steps < 1 or ahead < 0", 2)):
                assert text.count(check) == count
            text = text.replace(", ahead // _STEP_BITS + 1)", ", 1 << 20)")
            text = text.replace("steps < 1 or ahead < 0", "steps < 1")
        (tmp_path / source.name).write_text(text)
    driver = MUTANT_DRIVER.replace("FOLDER", repr(str(tmp_path)))
    report = run_fuzz(
        BLOCK,
        seed=1,
        first=3 * BLOCK,
        workers=1,
        worker_command=lambda job: [sys.executable, "-c", driver, *command(job)[-1:]],
    )
    assert [finding["kind"] for finding in report.findings] == ["decoder"]
    assert "touched memory outside: signal 11" in report.findings[0]["what"]
    assert bytes.fromhex(report.findings[0]["message"])
