"""Golden vectors of the group quantizer; those that exist are never touched.

    python -m tests.golden.quantize

`quantize.npz` has the bit patterns of the values, `patterns`, and per quantizer its records and the
bit patterns they decode to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linksim.codecs.quantize import GroupQuantizer
from tests.conftest import gaussian

FILE = Path(__file__).resolve().parent / "quantize.npz"


def edge_patterns() -> np.ndarray:
    """128 ordinary values, then 32 of each kind of edge, then an open group."""
    ordinary = gaussian(128 + 3 * 32 + 17, seed=5).view(np.uint16)
    outlier = ordinary[128:160].copy()
    outlier[[3, 20]] = 0x4110, 0xC2A0
    noise = np.random.default_rng(6).integers(0, 1 << 16, 32 * 3).astype(np.uint16)
    poisoned = ordinary[160:192].copy()
    poisoned[7] = 0xFF80
    return np.concatenate(
        [
            ordinary[:128],
            outlier,
            np.full(32, 0xBFC3, np.uint16),
            ordinary[192:224] & 0x7FFF,
            noise[:32] & 0x807F,  # zeros and subnormal numbers
            (noise[32:64] & 0x80FF) | 0x7E00,  # near the largest finite number
            (noise[64:96] & 0x8FFF) | 0x1000,  # many binades, where the grid ends
            np.tile(np.array([0x0000, 0x8000], np.uint16), 16),
            poisoned,
            ordinary[224:],
        ]
    )


def cases() -> dict[str, GroupQuantizer]:
    """Quantizers by the name of their vectors."""
    quantizers = [
        *(
            GroupQuantizer(bits=bits, zero=zero)
            for zero in ("point", "min")
            for bits in range(2, 9)
        ),
        *(
            GroupQuantizer(bits=4, group=group, zero="point", spikes=True)
            for group in (32, 64, 128)
        ),
        *(GroupQuantizer(bits=bits, group=128, zero="min", spikes=True) for bits in (2, 7)),
        GroupQuantizer(bits=5, group=64, spikes=True),
        GroupQuantizer(bits=4, group=128),
    ]
    return {f"{q.zero}-b{q.bits}-g{q.group}{'-spikes' if q.spikes else ''}": q for q in quantizers}


def vectors() -> dict[str, np.ndarray]:
    """What the quantizer gives today."""
    patterns = edge_patterns()
    found = {"patterns": patterns}
    for name, quantizer in cases().items():
        groups = quantizer.quantize(patterns)
        found[f"{name}.records"] = np.frombuffer(quantizer.pack(groups), np.uint8)
        found[f"{name}.decoded"] = quantizer.dequantize(groups, len(patterns))
    return found


def main() -> None:
    """Write what is missing."""
    kept = dict(np.load(FILE, allow_pickle=False)) if FILE.exists() else {}
    np.savez_compressed(FILE, **{**vectors(), **kept})
    print(f"{FILE.name}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
