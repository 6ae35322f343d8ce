"""What a trace holds: sizes and entropies by tensor kind, events by phase and op."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import entropy_bits, histogram
from linksim.tensors.views import symbol_view
from linksim.traces.manifest import Manifest
from linksim.traces.store import Trace


@dataclass(frozen=True)
class KindSummary:
    """All tensors of one kind and number format."""

    kind: str
    dtype: str
    tensors: int
    layers: int
    """Different layers; 0 if none is stated."""
    batches: int
    smallest_shape: tuple[int, ...]
    """Shape of a tensor with the fewest values."""
    largest_shape: tuple[int, ...]
    values: int
    nbytes: int
    """Tightly packed, as on a wire."""
    pooled_entropy_bits: float
    """Shannon entropy per symbol of the pooled view: per byte, or per value below 8 bits."""
    exponent_entropy_bits: float | None
    """Shannon entropy per symbol of the exponent view; None for formats below 16 bits."""


def summarize(trace: Trace) -> list[KindSummary]:
    """One summary per kind and number format, in the order in which the kinds first occur."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, record in trace.manifest.tensors.items():
        groups.setdefault((record.kind, record.dtype), []).append(name)
    return [_summarize(trace, kind, dtype, names) for (kind, dtype), names in groups.items()]


def _summarize(trace: Trace, kind: str, dtype: str, names: list[str]) -> KindSummary:
    tensors = [(trace.record(name), trace.tensor(name)) for name in names]
    fmt = number_format(dtype)
    entropies = {}
    for view_name in ("pooled", "exponent") if fmt.bits == 16 else ("pooled",):
        view = symbol_view(view_name, fmt)
        counts = np.zeros(view.alphabet, np.int64)
        for _, values in tensors:
            counts += histogram(view.split(values)[0], view.alphabet)
        entropies[view_name] = entropy_bits(counts)
    by_size = sorted((values for _, values in tensors), key=lambda values: values.size)
    return KindSummary(
        kind=kind,
        dtype=dtype,
        tensors=len(names),
        layers=len({record.layer for record, _ in tensors} - {None}),
        batches=len({record.batch for record, _ in tensors}),
        smallest_shape=by_size[0].shape,
        largest_shape=by_size[-1].shape,
        values=sum(values.size for values in by_size),
        nbytes=sum(fmt.nbytes(values.size) for values in by_size),
        pooled_entropy_bits=entropies["pooled"],
        exponent_entropy_bits=entropies.get("exponent"),
    )


def count_events(manifest: Manifest) -> list[tuple[str, str, int]]:
    """(phase, op, number of events), in the order in which they first occur."""
    counts = Counter((event.phase, event.op) for event in manifest.events)
    return [(phase, op, count) for (phase, op), count in counts.items()]
