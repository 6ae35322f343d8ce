"""What the speed benchmark codes: values of a trace, seeded and real ones, in several forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, cast, number_format
from linksim.tensors.files import read_tensors
from linksim.tensors.scaling import scaled_cast
from linksim.tensors.views import symbol_view
from linksim.traces.sources import tensors_of

Bytes = NDArray[np.uint8]

FORMS = ("bf16 high byte", "bf16 exponent", "e4m3", "int8 group 128")
"""What is coded of the values, each as bytes: see `bytes_of`."""
TRACE_KINDS = ("ffn2_output_partial", "ffn2_activation", "ffn1_weight")
GROUP = 128
"""Values that share a scale in int8."""
CHANNELS = 4096
GAUSSIAN_SCALE = 0.02
SEEDED_VALUES = 1 << 22
"""Different values of a seeded source; longer messages repeat them."""
GELU_CUBIC = 0.044715


@dataclass(frozen=True)
class Source:
    """bf16 values [n] to code, and others of their kind [m] that codebooks are made of."""

    name: str
    what_it_is: str
    values: Tensor
    earlier: Tensor


def trace_sources(trace: Path) -> Iterator[Source]:
    """Kinds of the trace in folder *trace*: books from all batches but the last, which is coded."""
    tensors = [tensor for tensor in tensors_of([trace], "bf16") if tensor.values.size]
    last = max((tensor.batch for tensor in tensors), default=0)
    for kind in TRACE_KINDS:
        chosen = [tensor for tensor in tensors if tensor.kind == kind]
        earlier = [tensor.values.reshape(-1) for tensor in chosen if tensor.batch < last]
        values = [tensor.values.reshape(-1) for tensor in chosen if tensor.batch == last]
        if earlier and values:
            name = kind.replace("_", " ").replace("ffn", "FFN")
            what = f"trace {trace.name}, batch {last}; codebook from the batches before"
            yield Source(name, what, np.concatenate(values), np.concatenate(earlier))


def seeded_sources(value_count: int = SEEDED_VALUES) -> Iterator[Source]:
    """Gaussian weights and GELU activations; the codebook's values have another seed."""
    what = "seed 2; codebook from seed 1"
    weights = [_gaussian(seed, value_count).astype(ml_dtypes.bfloat16) for seed in (2, 1)]
    yield Source("Gaussian weights", f"N(0, {GAUSSIAN_SCALE}), {what}", *weights)
    activations = [_gelu(seed, value_count).astype(ml_dtypes.bfloat16) for seed in (2, 1)]
    yield Source("GELU activations", f"tanh-GELU of N(0, 1), channel scales, {what}", *activations)


def _gaussian(seed: int, count: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed).standard_normal(count, dtype=np.float32)
    return draw * np.float32(GAUSSIAN_SCALE)


def _gelu(seed: int, count: int) -> NDArray[np.float32]:
    """tanh-GELU of N(0, 1), times a scale per channel that is log-normal and the same for all."""
    x = np.random.default_rng(seed).standard_normal(count, dtype=np.float32)
    gelu = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi, dtype=np.float32) * (x + GELU_CUBIC * x**3)))
    scales = np.random.default_rng(0).lognormal(0, 0.5, CHANNELS).astype(np.float32)
    return np.asarray(gelu * np.resize(scales, count), np.float32)


def real_sources(folder: Path) -> Iterator[Source]:
    """Tensors of the .safetensors files in *folder*: the second half of each file is coded."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise LinksimError(f"{folder}: no .safetensors files: expected a folder of Gemma tensors")
    for path in paths:
        parts = [cast(part, "bf16").reshape(-1) for part in read_tensors(path).values()]
        values = np.concatenate(parts)
        half = values.size // 2
        if half:
            what = f"second half of {path.name}; codebook from the first"
            yield Source(path.stem, what, values[half:], values[:half])


def bytes_of(source: Source, form: str) -> tuple[Bytes, Bytes]:
    """Values and earlier values of *source* as the bytes of *form*, uint8 [n] and [m]."""
    both = np.concatenate([source.values, source.earlier])
    if form.startswith("bf16"):
        view = "byte-planes" if form == "bf16 high byte" else "exponent"
        coded = symbol_view(view, number_format("bf16")).split(both)[0]
    elif form == "e4m3":
        # One scale for both, as a sender chooses it that made the codebook, too.
        coded = scaled_cast(both, "e4m3").view(np.uint8)
    else:
        coded = group_int8(both).view(np.uint8)
    return coded[: source.values.size], coded[source.values.size :]


def group_int8(values: Tensor) -> NDArray[np.int8]:
    """*values* [n] quantised to int8 with a scale per GROUP: the largest magnitude becomes 127."""
    wide = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    padded = np.pad(wide, (0, -wide.size % GROUP)).reshape(-1, GROUP)
    largest = np.abs(padded).max(axis=1, keepdims=True)
    scaled = padded / np.where(largest > 0, largest, 1) * 127
    return np.rint(scaled).astype(np.int8).reshape(-1)[: wide.size]
