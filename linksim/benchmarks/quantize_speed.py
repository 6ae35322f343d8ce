"""How much faster the compiled quantizer is than its definition in NumPy, in turns in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.benchmarks.timing import Timing, take_turns
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantize.realisations import COMPILED, REFERENCE
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format

QUANTIZERS = (
    GroupQuantizer(bits=2, group=32, spikes=True),
    GroupQuantizer(bits=3, group=32),
    GroupQuantizer(bits=4, group=128),
    GroupQuantizer(bits=4, group=128, spikes=True),
    GroupQuantizer(bits=4, group=32, zero="min"),
    GroupQuantizer(bits=5, group=128),
    GroupQuantizer(bits=6, group=128),
    GroupQuantizer(bits=8, group=128),
    GroupQuantizer(bits=8, group=32, zero="min", spikes=True),
)
VALUES = 1 << 20
SEED = 1


@dataclass(frozen=True)
class QuantizerSpeed:
    """Times of one quantizer, by what is done and by which realisation: encode/numpy and so on."""

    quantizer: GroupQuantizer
    values: int
    timings: dict[str, Timing]

    def ratio(self, what: str) -> float:
        """How many times as fast the compiled one *what*s (encode or decode), by median times."""
        return self.timings[f"{what}/numpy"].median_s / self.timings[f"{what}/compiled"].median_s

    def gigabytes_per_second(self, what: str, realisation: str) -> float:
        """Uncompressed bytes per second, by the median time."""
        return 2 * self.values / self.timings[f"{what}/{realisation}"].median_s / 1e9

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "bits": self.quantizer.bits,
            "group": self.quantizer.group,
            "zero": self.quantizer.zero,
            "spikes": self.quantizer.spikes,
            "values": self.values,
            "median_s": {name: timing.median_s for name, timing in self.timings.items()},
            "encode_ratio": round(self.ratio("encode"), 2),
            "decode_ratio": round(self.ratio("decode"), 2),
        }


def normal_patterns(count: int = VALUES) -> NDArray[np.uint16]:
    """uint16 [count]: bf16 patterns of normal values."""
    drawn = np.random.default_rng(SEED).standard_normal(count)
    return drawn.astype(number_format("bf16").numpy).view(np.uint16)


def quantizer_speed(
    quantizer: GroupQuantizer, patterns: NDArray[np.uint16], rounds: int
) -> QuantizerSpeed:
    """Times of records made and read; LinksimError where the two realisations differ in a bit."""
    records = REFERENCE.encode(quantizer, patterns)
    count = len(patterns)
    decoded = REFERENCE.decode(quantizer, records, count)
    if (
        COMPILED.encode(quantizer, patterns) != records
        or COMPILED.decode(quantizer, records, count).tobytes() != decoded.tobytes()
    ):
        raise LinksimError(f"{quantizer}: the two realisations do not give the same bits")
    timings = take_turns(
        {
            "encode/numpy": lambda: REFERENCE.encode(quantizer, patterns),
            "encode/compiled": lambda: COMPILED.encode(quantizer, patterns),
            "decode/numpy": lambda: REFERENCE.decode(quantizer, records, count),
            "decode/compiled": lambda: COMPILED.decode(quantizer, records, count),
        },
        rounds,
    )
    return QuantizerSpeed(quantizer, count, timings)
