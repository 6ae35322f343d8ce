"""Published errors of another simulator against the same kind of measurement."""

from __future__ import annotations

from dataclasses import dataclass

from linksim.catalogue import Grade


@dataclass(frozen=True)
class PublishedError:
    """Geometric mean error of a simulator over collectives of a range of sizes."""

    simulator: str
    gpu: str
    op: str
    n_gpus: int
    smallest_nbytes: int
    largest_nbytes: int
    geomean: float
    """As `ErrorSummary.geomean`: 2.07 stands for a factor of 3.07."""
    source: str
    grade: Grade


_ASTRA = "ASTRA-sim at 518bd51, analytical backend, its HGX-H100-validated configuration"
_SOURCE = (
    "run of that configuration against nccl-tests tables of H100 "
    "(NVIDIA ai-dynamo/aiconfigurator at 095f58a)"
)
_MIB = 1 << 20
_LARGEST = 512 * _MIB

PUBLISHED_ERRORS = tuple(
    PublishedError(_ASTRA, "H100_SXM", op, 8, smallest, largest, geomean, _SOURCE, "measured")
    for op, smallest, largest, geomean in (
        ("all_reduce", 1, _MIB // 4, 2.07),
        ("all_reduce", _MIB, _LARGEST, 0.27),
        ("all_gather", 1, _MIB // 4, 1.28),
        ("all_gather", _MIB, _LARGEST, 0.24),
        ("reduce_scatter", 1, _MIB // 4, 1.41),
        ("reduce_scatter", _MIB, _LARGEST, 0.19),
    )
)
"""Its all-reduce of 256 KiB and less takes 2 waves x 14 steps x (2 x 936.25 + 10) ns = 52.7 us;
measured are 15.6 us."""
