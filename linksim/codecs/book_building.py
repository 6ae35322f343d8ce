"""Codebooks from tensors: one per number format and kind, and per layer where asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, Codebook, CodebookSet, build_codebook
from linksim.codecs.composed import code_view, quantized_symbols
from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, coded_format, format_of
from linksim.tensors.histograms import Histogram, histogram
from linksim.tensors.views import SymbolView, symbol_view


@dataclass
class BookBuilder:
    """Collects histograms tensor by tensor and then makes the codebooks of one view.

    Tensors of formats that the view is not defined for are left out.
    """

    view: str
    max_length: int = DEFAULT_MAX_LENGTH
    per_layer: bool = False
    quantizer: GroupQuantizer | None = None
    """Count the codes that it makes of bf16 tensors, not the values' symbols; *view* is pooled."""
    histograms: dict[tuple[str, str, int], list[Histogram]] = field(default_factory=dict)
    """By dtype, kind and layer; -1 where layers are not told apart."""

    def add(self, kind: str, values: Tensor, layer: int | None = None) -> None:
        """Count the symbols of *values* towards the book of *kind* (and *layer*)."""
        symbols, view = self._symbols(values)
        if view is not None and values.size:
            counts = histogram(symbols, view.alphabet)
            key = (view.fmt.name, kind, layer if self.per_layer and layer is not None else -1)
            self.histograms.setdefault(key, []).append(counts)

    def _symbols(self, values: Tensor) -> tuple[NDArray[np.uint8], SymbolView | None]:
        """Symbols of *values* and their view; none where the book is not for their format."""
        fmt = format_of(values)
        if self.quantizer is not None and fmt.name == "bf16":
            return quantized_symbols(self.quantizer, values), code_view(self.quantizer.bits)
        if self.quantizer is not None or (fmt.bits != 16 and self.view != "pooled"):
            return np.empty(0, np.uint8), None
        view = symbol_view(self.view, fmt)
        return view.split(values)[0], view

    def books(self, source: str) -> tuple[Codebook, ...]:
        """One codebook per histogram key; *source* says where the tensors came from."""
        return tuple(
            build_codebook(
                f"{kind}.{dtype}.{self.view}"
                if layer < 0
                else f"{kind}.l{layer}.{dtype}.{self.view}",
                symbol_view(self.view, coded_format(dtype)),
                kind,
                counted,
                max_length=self.max_length,
                layer=None if layer < 0 else layer,
                source=f"{source}: {len(counted)} tensors",
            )
            for (dtype, kind, layer), counted in sorted(self.histograms.items())
        )


def build_books(
    tensors: Iterable[tuple[str, int | None, Tensor]],
    views: Iterable[str],
    source: str,
    *,
    max_length: int = DEFAULT_MAX_LENGTH,
    per_layer: bool = False,
    quantizers: Iterable[GroupQuantizer] = (),
) -> CodebookSet:
    """Codebooks of every view in *views* from (kind, layer, values) triples.

    And for the codes that every one of *quantizers* makes of bf16 values.
    """
    builders = [BookBuilder(view, max_length, per_layer) for view in views]
    builders += [BookBuilder("pooled", max_length, per_layer, each) for each in quantizers]
    for kind, layer, values in tensors:
        for builder in builders:
            builder.add(kind, values, layer)
    books = tuple(book for builder in builders for book in builder.books(source))
    if not books:
        raise LinksimError(f"{source}: no tensors to build codebooks from")
    return CodebookSet(books)
