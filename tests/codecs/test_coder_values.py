"""Whole tensors through the compiled coder, block by block and from several threads."""

from __future__ import annotations

import os
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from linksim.codecs import HuffmanFixed
from linksim.codecs.chunked import REFERENCE
from linksim.codecs.compiled import CompiledCoder, coder
from linksim.errors import LinksimError
from tests.conftest import gaussian, gaussian_book

Blocks = Callable[[int], None]


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    """Sets how many symbols a block holds."""

    def set_symbols(count: int) -> None:
        monkeypatch.setattr(coder, "LEAST_BLOCK", count)
        monkeypatch.setattr(coder, "MOST_BLOCK", count)

    return set_symbols


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("view", ["pooled", "byte-planes", "exponent"])
def test_threads_and_blocks_change_no_byte(view: str, threads: int, blocks: Blocks) -> None:
    codec = HuffmanFixed([gaussian_book(view)], chunk_symbols=512, run_symbols=64)
    for count in (0, 1, 511, 512, 9000):
        values = gaussian(count, seed=count)
        codec.coder = REFERENCE
        expected = codec.encode(values)
        codec.coder = CompiledCoder(threads)
        for symbols in (1, 3000, 1 << 20):
            blocks(symbols)
            assert codec.encode(values) == expected
            assert codec.decode(expected).tobytes() == values.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_odd_chunks_of_pooled_bytes(threads: int, blocks: Blocks) -> None:
    codec = HuffmanFixed([gaussian_book("pooled")], chunk_symbols=333)
    codec.coder = CompiledCoder(threads)
    blocks(700)
    values = gaussian(5000)
    assert codec.decode(codec.encode(values)).tobytes() == values.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("view", ["pooled", "exponent"])
def test_the_first_bad_chunk_is_named_as_the_reference_does(
    view: str, threads: int, blocks: Blocks
) -> None:
    codec = HuffmanFixed([gaussian_book(view)], chunk_symbols=512, run_symbols=64)
    message = bytearray(codec.encode(gaussian(8192)))
    chunks = len(codec.symbol_view.split(gaussian(8192))[0]) // 512
    ends = np.frombuffer(message, "<u4", chunks, 8)
    for chunk in (chunks - 1, chunks // 2 + 1, 5):
        # Another symbol count in the header of each of them, from the last to the first.
        first = 8 + 4 * chunks + (int(ends[chunk - 1]) if chunk else 0)
        message[first] ^= 1
        codec.coder = REFERENCE
        with pytest.raises(LinksimError) as expected:
            codec.decode(bytes(message))
        blocks(2048)
        codec.coder = CompiledCoder(threads)
        with pytest.raises(LinksimError) as refused:
            codec.decode(bytes(message))
        assert str(refused.value) == str(expected.value)
        assert f"chunk {chunk}" in str(refused.value)


def test_checksum_covers_header_index_and_chunks() -> None:
    codec = HuffmanFixed([gaussian_book()], checksum=True)
    values = gaussian(20_000)
    message = codec.encode(values)
    assert codec.decode(message).tobytes() == values.tobytes()
    plain = HuffmanFixed([gaussian_book()]).encode(values)
    assert message[8:-4] == plain[8:]
    for place in (0, 9, 20, len(message) // 2, len(message) - 1):
        broken = bytearray(message)
        broken[place] ^= 0x10
        with pytest.raises(LinksimError):
            codec.decode(bytes(broken))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_threads_work_in_a_forked_process(blocks: Blocks) -> None:
    codec = HuffmanFixed([gaussian_book()])
    codec.coder = CompiledCoder(2)
    blocks(8192)
    values = gaussian(100_000)
    message = codec.encode(values)
    child = os.fork()
    if child == 0:
        os._exit(0 if codec.encode(values) == message else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_values_of_eight_bits() -> None:
    values = np.arange(-128, 128, dtype=np.int16).astype(np.int8).repeat(50)
    for dtype in (np.dtype(np.int8), np.dtype(ml_dtypes.float8_e4m3fn)):
        name = "int8" if dtype == np.int8 else "e4m3"
        codec = HuffmanFixed([{**_flat_book(name)}])
        codec.coder = CompiledCoder(2)
        cast = values.view(dtype)
        assert codec.decode(codec.encode(cast)).tobytes() == cast.tobytes()


def _flat_book(dtype: str) -> dict[str, object]:
    return {
        "name": "flat",
        "dtype": dtype,
        "view": "pooled",
        "kind": "any",
        "lengths": (8,) * 256,
    }
