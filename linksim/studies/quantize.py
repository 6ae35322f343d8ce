"""Bits on the wire against signal to noise, for the quantizers and the formats beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from linksim.codecs.block_formats import FORMS
from linksim.codecs.distortion import Distortion, distortion, total_distortion
from linksim.codecs.selection import CodecChooser
from linksim.codecs.specification import CodecSpecification
from linksim.errors import LinksimError
from linksim.traces.sources import SourceTensor

BITS = tuple(range(2, 9))
HARD_FAMILY, HARD_BITS = "int, g = 32", 4
"""By what a tensor kind counts as hard: the fewest decibels of this."""


@dataclass(frozen=True)
class Family:
    """Codecs that differ in bits alone, or formats that stand for themselves."""

    name: str
    codecs: tuple[str, ...]
    """Specifications, as `CodecSpecification.parse` takes them."""


def _of_all_bits(name: str, pattern: str) -> Family:
    return Family(name, tuple(pattern.format(bits=bits) for bits in BITS))


FAMILIES = (
    _of_all_bits("int, g = 32", "quantize:bits={bits},group=32"),
    _of_all_bits("int, g = 128", "quantize:bits={bits},group=128"),
    _of_all_bits("int, g = 128, spikes", "quantize:bits={bits},group=128,spikes=true"),
    _of_all_bits(
        "int, g = 128, spikes, Huffman",
        "quantize+huffman-fixed:bits={bits},group=128,spikes=true",
    ),
    _of_all_bits("int, minimum, g = 32", "quantize:bits={bits},group=32,zero=min"),
    _of_all_bits(
        "symmetric, fp16 scale, g = 32",
        "float-quantize:bits={bits},group=32,symmetric=true,scale=fp16",
    ),
    _of_all_bits(
        "symmetric, bf16 scale, g = 32",
        "float-quantize:bits={bits},group=32,symmetric=true,scale=bf16",
    ),
    _of_all_bits(
        "symmetric, e8m0 scale, g = 32",
        "float-quantize:bits={bits},group=32,symmetric=true,scale=e8m0",
    ),
    _of_all_bits(
        "symmetric, log8 scale, g = 32",
        "float-quantize:bits={bits},group=32,symmetric=true,scale=log8",
    ),
    *(Family(name, (f"block-float:format={name}",)) for name in FORMS),
)
"""What is compared, in the order of tables."""


@dataclass(frozen=True)
class Row:
    """All tensors of a kind under one codec."""

    family: str
    codec: str
    kind: str
    tensors: int
    values: int
    encoded_nbytes: int
    distortion: Distortion

    @property
    def bits_per_value(self) -> float:
        """Bits of the messages per value, headers included."""
        return 8 * self.encoded_nbytes / self.values

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "family": self.family,
            "codec": self.codec,
            "kind": self.kind,
            "tensors": self.tensors,
            "values": self.values,
            "encoded_nbytes": self.encoded_nbytes,
            "bits_per_value": round(self.bits_per_value, 5),
            **self.distortion.document(),
        }


@dataclass(frozen=True)
class Summary:
    """One codec over all kinds, each of which counts the same."""

    family: str
    codec: str
    bits_per_value: float
    """Mean over kinds."""
    median_db: float
    """Median of the kinds' signal to noise ratios; infinite without noise."""
    worst_db: float
    values_lost: int


def study(tensors: Sequence[SourceTensor], families: Sequence[Family] = FAMILIES) -> Iterator[Row]:
    """A row per codec and tensor kind of bf16 *tensors*, which are not empty.

    Codebooks are made for every tensor from all others. LinksimError where there is no tensor, or,
    for codecs with codebooks, only one.
    """
    if not tensors:
        raise LinksimError("no tensor to study: expected values in bf16")
    for family in families:
        for codec in family.codecs:
            yield from _rows(tensors, family.name, codec)


def _rows(tensors: Sequence[SourceTensor], family: str, codec: str) -> Iterator[Row]:
    chooser = CodecChooser(codec)
    if chooser.quantizer is not None:
        chooser.leave_one_out([(tensor.name, tensor.values) for tensor in tensors])
    found: dict[str, list[tuple[int, int, Distortion]]] = {}
    for tensor in tensors:
        flat = np.ascontiguousarray(tensor.values).reshape(-1)
        made, _ = chooser.codec_for(tensor.name, tensor.kind, tensor.layer, flat)
        changed = distortion(flat, made.round_trip(flat))
        found.setdefault(tensor.kind, []).append((flat.size, made.encoded_nbytes(flat), changed))
    for kind, parts in found.items():
        yield Row(
            family,
            codec,
            kind,
            len(parts),
            sum(values for values, _, _ in parts),
            sum(nbytes for _, nbytes, _ in parts),
            total_distortion(changed for _, _, changed in parts),
        )


def decibels(row: Row) -> float:
    """The signal to noise ratio of *row*; infinite without noise."""
    ratio = row.distortion.snr_db
    return float("inf") if ratio is None else ratio


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """One summary per codec, in order of first appearance."""
    found = []
    for codec in dict.fromkeys(row.codec for row in rows):
        of = [row for row in rows if row.codec == codec]
        found.append(
            Summary(
                of[0].family,
                codec,
                sum(row.bits_per_value for row in of) / len(of),
                median(decibels(row) for row in of),
                min(decibels(row) for row in of),
                sum(row.distortion.values_lost for row in of),
            )
        )
    return found


def hardest_kind(rows: Sequence[Row]) -> str:
    """The kind that the plain quantizer of 4 bits changes most, relative to its size."""
    judged = [
        row
        for row in rows
        if row.family == HARD_FAMILY
        and CodecSpecification.parse(row.codec).options["bits"] == HARD_BITS
    ]
    return min(judged, key=decibels).kind


def shown(ratio: float) -> str:
    """A ratio in decibels as tables have it."""
    return "exact" if np.isinf(ratio) else f"{ratio:.1f}"


COLUMNS = ("codec", "bits/value", "SNR dB, median kind", "worst kind", "values lost")


def table(found: Sequence[Summary]) -> list[tuple[object, ...]]:
    """Rows of `COLUMNS`."""
    return [
        (
            one.codec,
            f"{one.bits_per_value:.3f}",
            shown(one.median_db),
            shown(one.worst_db),
            one.values_lost,
        )
        for one in found
    ]


def markdown(rows: Sequence[Row], origin: str) -> str:
    """The page: a table over all kinds, and one with every kind."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    lines = ["# Bits on the wire against signal to noise", "", origin, ""]
    lines += _markdown_table(COLUMNS, table(summaries(rows)))
    lines += ["## By tensor kind, dB", ""]
    by = {(row.codec, row.kind): shown(decibels(row)) for row in rows}
    body = [
        (codec, *(by[codec, kind] for kind in kinds))
        for codec in dict.fromkeys(row.codec for row in rows)
    ]
    lines += _markdown_table(("codec", *kinds), body)
    return "\n".join(lines)


def _markdown_table(columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> list[str]:
    head = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return [*head, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]
