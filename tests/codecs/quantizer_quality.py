"""How near quantized tensors come to their values: the tables of docs/quantizer.md.

python -m tests.codecs.quantizer_quality traces/bundled
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from linksim.codecs.quantize import GroupQuantizer
from linksim.tensors.dtypes import number_format
from linksim.traces.store import Trace

BITS = (2, 3, 4, 5, 6, 8)
FORMS = ((32, False), (32, True), (128, False), (128, True))
"""Group and whether spikes are kept, as they stand in a cell."""


def numbers(patterns: np.ndarray) -> np.ndarray:
    """float64 of bf16 bit patterns."""
    return (patterns.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def rounded_to_bf16(values: np.ndarray) -> np.ndarray:
    """float64 of *values* after rounding to bf16."""
    return values.astype(number_format("bf16").numpy).astype(np.float64)


def reference(quantizer: GroupQuantizer, patterns: np.ndarray) -> np.ndarray:
    """What exact arithmetic makes of finite values: float64 scale, zero and rounding, bf16 out.

    The zero point of "point" is rounded, for 0 is a level there; nothing else is but the codes.
    """
    values = numbers(patterns).reshape(-1, quantizer.group)
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    if quantizer.zero == "point":
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = (high - low) / quantizer.top_code
    scale[scale == 0] = 1
    origin = np.round(low / scale) * scale if quantizer.zero == "point" else low
    codes = np.round((values - origin) / scale).clip(0, quantizer.top_code)
    return rounded_to_bf16(origin + codes * scale).reshape(-1)


def decibels(signal: float, noise: float) -> float:
    """Signal to noise ratio; infinite where there is no noise."""
    return 10 * float(np.log10(signal / noise)) if noise else float("inf")


def signal_and_noise(quantizer: GroupQuantizer, patterns: np.ndarray) -> tuple[float, float]:
    """Sums of squares of the values and of what quantizing changes in them."""
    decoded = quantizer.dequantize(quantizer.quantize(patterns), len(patterns))
    values = numbers(patterns)
    return float(np.square(values).sum()), float(np.square(numbers(decoded) - values).sum())


def patterns_by_kind(path: Path) -> dict[str, list[np.ndarray]]:
    """The bit patterns of all bf16 tensors of the trace *path*, by tensor kind."""
    trace = Trace.open(path)
    kinds: dict[str, list[np.ndarray]] = defaultdict(list)
    for name, record in sorted(trace.manifest.tensors.items()):
        if record.dtype == "bf16":
            kinds[record.kind].append(number_format("bf16").patterns(trace.tensor(name)))
    return dict(kinds)


def kind_row(tensors: list[np.ndarray]) -> list[str]:
    """A cell per code width: the ratio for every form, over all values of the kind."""
    cells = []
    for bits in BITS:
        ratios = []
        for group, spikes in FORMS:
            quantizer = GroupQuantizer(bits=bits, group=group, spikes=spikes)
            sums = np.array([signal_and_noise(quantizer, tensor) for tensor in tensors])
            ratios.append(f"{decibels(*sums.sum(axis=0)):.1f}")
        cells.append(" ".join(ratios))
    return cells


def main() -> None:
    """Print the table of SNR by tensor kind of the trace named on the command line."""
    print("| kind |" + "".join(f" b = {bits} |" for bits in BITS))
    print("|---|" + "---|" * len(BITS))
    for kind, tensors in sorted(patterns_by_kind(Path(sys.argv[1])).items()):
        print(f"| `{kind}` | " + " | ".join(kind_row(tensors)) + " |", flush=True)


if __name__ == "__main__":
    main()
