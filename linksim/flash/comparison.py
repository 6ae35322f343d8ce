"""Two-step, ring and hierarchical all-reduce at equal bits, on a trace's partial sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.flash.addends import Addends
from linksim.flash.collectives import ALGORITHMS, CodedCollective, all_reduce
from linksim.flash.quality import Deviation, exact_sum

ALL_KINDS = "all"


@dataclass(frozen=True)
class Grid:
    """The quantizers and algorithms that are compared."""

    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    groups: tuple[int, ...] = (32, 128)
    zeros: tuple[str, ...] = ("point", "min")
    spikes: tuple[bool, ...] = (False, True)
    algorithms: tuple[str, ...] = tuple(ALGORITHMS)

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name):
                raise LinksimError(f"no {field.name} to compare: expected one or more")
        for algorithm in self.algorithms:
            if algorithm not in ALGORITHMS:
                expected = ", ".join(ALGORITHMS)
                raise LinksimError(f"algorithm {algorithm!r}: expected one of {expected}")
        self.quantizers()

    def quantizers(self) -> list[GroupQuantizer]:
        """Every quantizer; LinksimError for parameters that make none."""
        chosen = product(self.groups, self.zeros, self.spikes, self.bits)
        return [
            GroupQuantizer(bits=bits, group=group, zero=zero, spikes=spikes)
            for group, zero, spikes, bits in chosen
        ]


@dataclass(frozen=True)
class Finding:
    """One algorithm with one quantizer, over all tensors of one kind."""

    algorithm: str
    bits: int
    """16: bf16 as it is, not quantized; then `group` is 0 and `zero` empty."""
    group: int
    zero: str
    spikes: bool
    kind: str
    snr_db: float
    """Of the sums that ranks end with, against the exact sums."""
    max_error_in_rms: float
    """Largest error in root mean squares of the exact sums."""
    max_error: float
    passes: int
    wire_nbytes: int
    wire_values: int

    @property
    def bits_per_value(self) -> float:
        """Bits on the wire per value sent."""
        return 8 * self.wire_nbytes / self.wire_values


def halves(ranks: Sequence[str]) -> list[list[str]]:
    """*ranks* in two groups for the hierarchical algorithm; LinksimError for an odd number."""
    if len(ranks) % 2:
        raise LinksimError(
            f"all-reduce of {len(ranks)} ranks: hierarchical cuts them in two halves: expected an "
            "even number, or other algorithms"
        )
    middle = len(ranks) // 2
    return [list(ranks[:middle]), list(ranks[middle:])]


def compare(found: Sequence[Addends], grid: Grid) -> Iterator[list[Finding]]:
    """For every algorithm and quantizer, bf16 as it is first, its findings: one a kind, then all.

    All ranks end with the same sums, so that one rank's are judged.
    """
    exact = [exact_sum(one.tensors.values()) for one in found]
    quantizers: Iterable[GroupQuantizer | None] = [None, *grid.quantizers()]
    for quantizer, algorithm in product(quantizers, grid.algorithms):
        kinds: dict[str, list[tuple[Deviation, CodedCollective]]] = {}
        for one, total in zip(found, exact, strict=True):
            groups = halves(list(one.tensors)) if algorithm == "hierarchical" else None
            made = all_reduce(one.tensors, quantizer, algorithm=algorithm, groups=groups)
            outcome = (Deviation.of(total, next(iter(made.result.values()))), made)
            kinds.setdefault(one.kind, []).append(outcome)
        kinds[ALL_KINDS] = [outcome for outcomes in kinds.values() for outcome in outcomes]
        yield [_finding(algorithm, quantizer, *pair) for pair in kinds.items()]


def _finding(
    algorithm: str,
    quantizer: GroupQuantizer | None,
    kind: str,
    outcomes: list[tuple[Deviation, CodedCollective]],
) -> Finding:
    total = sum((deviation for deviation, _ in outcomes), Deviation())
    return Finding(
        algorithm=algorithm,
        bits=16 if quantizer is None else quantizer.bits,
        group=0 if quantizer is None else quantizer.group,
        zero="" if quantizer is None else quantizer.zero,
        spikes=quantizer is not None and quantizer.spikes,
        kind=kind,
        snr_db=total.snr_db,
        max_error_in_rms=total.largest_in_rms,
        max_error=total.largest,
        passes=max(made.passes for _, made in outcomes),
        wire_nbytes=sum(made.nbytes for _, made in outcomes),
        wire_values=sum(made.values for _, made in outcomes),
    )


def document(findings: Sequence[Finding], **about: Any) -> dict[str, Any]:
    """What `--json` prints: *about*, then a table of all findings."""
    columns = [field.name for field in fields(Finding)]
    rows = [
        [*(_plain(getattr(finding, name)) for name in columns), round(finding.bits_per_value, 4)]
        for finding in findings
    ]
    return {**about, "columns": [*columns, "bits_per_value"], "rows": rows}


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    # JSON has no infinity: the error of a result that is exact.
    return float(f"{value:.6g}") if abs(value) < float("inf") else None
