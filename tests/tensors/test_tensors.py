from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from linksim.codecs import Raw
from linksim.errors import LinksimError
from linksim.tensors.dtypes import FORMAT_NAMES, cast, format_of, number_format
from linksim.tensors.files import read_tensors
from linksim.tensors.histograms import (
    chunk_histograms,
    entropy_bits,
    histogram,
    kl_divergence_bits,
)
from linksim.tensors.views import VIEW_NAMES, symbol_view

PATTERNS = hnp.arrays(np.uint16, st.integers(0, 300))


@given(PATTERNS, st.sampled_from(FORMAT_NAMES), st.sampled_from(VIEW_NAMES))
def test_views_round_trip_every_pattern(patterns: np.ndarray, dtype: str, view: str) -> None:
    fmt = number_format(dtype)
    if fmt.bits < 16 and view != "pooled":
        with pytest.raises(LinksimError, match="16-bit"):
            symbol_view(view, fmt)
        return
    narrow = (patterns & ((1 << fmt.bits) - 1)).astype(np.uint16 if fmt.bits == 16 else np.uint8)
    values = narrow.view(fmt.numpy)
    chosen = symbol_view(view, fmt)
    symbols, rest = chosen.split(values)
    assert symbols.size == values.size * chosen.symbols_per_value
    assert symbols.size == 0 or symbols.max() < chosen.alphabet
    assert chosen.join(symbols, rest).tobytes() == values.tobytes()


def test_exponent_view_of_bf16_is_the_exponent() -> None:
    values = np.array([1.0, -2.0, 0.0, 1.5], ml_dtypes.bfloat16)
    symbols, rest = symbol_view("exponent", number_format("bf16")).split(values)
    assert symbols.tolist() == [127, 128, 0, 127]
    assert rest.tolist() == [0x00, 0x80, 0x00, 0x40]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(LinksimError, match="unknown dtype 'fp7'.*bf16"):
        number_format("fp7")
    with pytest.raises(LinksimError, match="unknown view 'nibbles'.*pooled"):
        symbol_view("nibbles", number_format("bf16"))
    with pytest.raises(LinksimError, match="float64 is not supported"):
        format_of(np.zeros(3))
    with pytest.raises(LinksimError, match="cast from int32 to bf16"):
        cast(np.zeros(3, np.int32), "bf16")


@given(hnp.arrays(np.uint8, st.integers(0, 2000)), st.integers(1, 700))
def test_histograms_count(symbols: np.ndarray, chunk: int) -> None:
    assert histogram(symbols).tolist() == np.bincount(symbols, minlength=256).tolist()
    rows = chunk_histograms(symbols, chunk)
    for row, start in zip(rows, range(0, symbols.size, chunk), strict=True):
        expected = np.bincount(symbols[start : start + chunk], minlength=256)
        assert row.tolist() == expected.tolist()


def test_entropy_and_divergence_of_known_distributions() -> None:
    assert entropy_bits(np.array([5, 5, 5, 5])) == pytest.approx(2.0)
    assert entropy_bits(np.array([7, 0])) == 0.0
    assert entropy_bits(np.zeros(4)) == 0.0
    assert kl_divergence_bits(np.array([1, 1]), np.array([1, 1])) == pytest.approx(0.0)
    # D([1/2, 1/2] || [1/4, 3/4]) = 1/2 log2 2 + 1/2 log2 2/3
    assert kl_divergence_bits(np.array([2, 2]), np.array([1, 3])) == pytest.approx(0.2075, abs=1e-4)


def test_gaussian_bf16_has_the_published_pooled_entropy() -> None:
    # N(0, 1) in bf16, both bytes pooled: about 6.2 bits; arXiv 2601.10673 has 6.26 on Gemma.
    values = np.random.default_rng(1).standard_normal(1 << 18).astype(ml_dtypes.bfloat16)
    symbols, _ = symbol_view("pooled", number_format("bf16")).split(values)
    assert entropy_bits(histogram(symbols)) == pytest.approx(6.19, abs=0.02)


class TestFiles:
    def test_reads_all_three_types(self, tmp_path: Path) -> None:
        values = np.arange(6, dtype=np.float16).reshape(2, 3)
        save_file({"b": values, "a": values.astype(ml_dtypes.bfloat16)}, tmp_path / "t.safetensors")
        np.save(tmp_path / "one.npy", values)
        np.savez(tmp_path / "two.npz", x=values)
        assert list(read_tensors(tmp_path / "t.safetensors")) == ["a", "b"]
        assert read_tensors(tmp_path / "one.npy")["one"].shape == (2, 3)
        assert read_tensors(tmp_path / "two.npz")["x"].tolist() == values.tolist()

    @pytest.mark.parametrize("keep", [0, 4, 20, 70])
    def test_truncated_files_are_named(self, tmp_path: Path, keep: int) -> None:
        save_file({"a": np.zeros(100, np.float16)}, tmp_path / "t.safetensors")
        np.save(tmp_path / "one.npy", np.zeros(100))
        np.savez(tmp_path / "two.npz", x=np.zeros(100))
        for name in ("t.safetensors", "one.npy", "two.npz"):
            path = tmp_path / name
            path.write_bytes(path.read_bytes()[:keep])
            with pytest.raises(LinksimError, match=f"{name}: not a whole"):
                read_tensors(path)

    def test_a_pickle_is_never_loaded(self, tmp_path: Path) -> None:
        np.save(tmp_path / "bad.npy", np.array([{"code": 1}], object), allow_pickle=True)
        with pytest.raises(LinksimError, match=r"bad\.npy"):
            read_tensors(tmp_path / "bad.npy")

    def test_missing_and_unknown_files_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(LinksimError, match=r"gone\.npy: cannot be read"):
            read_tensors(tmp_path / "gone.npy")
        with pytest.raises(LinksimError, match=r"file type '\.pt'"):
            read_tensors(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["e3m2", "e2m3", "e2m1"])
def test_bits_above_the_width_of_a_format_are_refused(name: str) -> None:
    fmt = number_format(name)
    stray = np.array([1, 1 << fmt.bits, 0xFF], np.uint8).view(fmt.numpy)
    with pytest.raises(LinksimError, match=f"{name}: value 1 is 0x.0: expected at most"):
        symbol_view("pooled", fmt).split(stray)
    with pytest.raises(LinksimError, match="value 1"):
        Raw(name).encode(stray)
