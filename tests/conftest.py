"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from linksim.codecs import Codebook, build_codebook
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import symbol_view

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile(
    "linksim", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("linksim")


@pytest.fixture(scope="session")
def real_gemma() -> Path:
    """Folder of real Gemma tensors, beside the checkout; tests that need it skip without it."""
    folder = ROOT.parent / "shared" / "gemma"
    if not folder.is_dir():
        pytest.skip("the real Gemma tensors are not beside this checkout (shared/gemma)")
    return folder


@pytest.fixture(scope="session")
def bundled_trace() -> Path:
    return ROOT / "traces" / "bundled"


def gaussian(count: int, seed: int = 0, scale: float = 0.02) -> np.ndarray:
    """bf16 [count], normal with standard deviation *scale*."""
    draw = np.random.default_rng(seed).standard_normal(count) * scale
    return draw.astype(ml_dtypes.bfloat16)


def gaussian_book(view: str = "exponent", max_length: int = 16, scale: float = 0.02) -> Codebook:
    """A codebook from another seed than `gaussian` draws by default."""
    chosen = symbol_view(view, number_format("bf16"))
    counts = histogram(chosen.split(gaussian(100_000, seed=99, scale=scale))[0])
    return build_codebook(f"gauss.{view}", chosen, "gauss", [counts], max_length=max_length)
