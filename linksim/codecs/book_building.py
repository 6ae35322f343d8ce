"""Codebooks from tensors: one per number format and kind, from the tensors' average histogram."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, Codebook, CodebookSet, build_codebook
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, format_of, number_format
from linksim.tensors.histograms import Histogram, histogram
from linksim.tensors.views import symbol_view


@dataclass
class BookBuilder:
    """Collects histograms tensor by tensor and then makes the codebooks of one view.

    Tensors of formats that the view is not defined for are left out and counted in `skipped`.
    """

    view: str
    max_length: int = DEFAULT_MAX_LENGTH
    skipped: int = 0
    histograms: dict[tuple[str, str], list[Histogram]] = field(default_factory=dict)
    """By (dtype, kind)."""

    def add(self, kind: str, values: Tensor) -> None:
        """Count the symbols of *values* towards the book of *kind*."""
        fmt = format_of(values)
        if fmt.bits != 16 and self.view != "pooled":
            self.skipped += 1
            return
        view = symbol_view(self.view, fmt)
        if values.size:
            counts = histogram(view.split(values)[0], view.alphabet)
            self.histograms.setdefault((fmt.name, kind), []).append(counts)

    def books(self, source: str) -> tuple[Codebook, ...]:
        """One codebook per dtype and kind; *source* says where the tensors came from."""
        return tuple(
            build_codebook(
                f"{kind}.{dtype}.{self.view}",
                symbol_view(self.view, number_format(dtype)),
                kind,
                counted,
                max_length=self.max_length,
                source=f"{source}: {len(counted)} tensors",
            )
            for (dtype, kind), counted in sorted(self.histograms.items())
        )


def build_books(
    tensors: Iterable[tuple[str, Tensor]],
    views: Iterable[str],
    source: str,
    max_length: int = DEFAULT_MAX_LENGTH,
) -> CodebookSet:
    """Codebooks of every view in *views* from (kind, values) pairs, one per dtype and kind."""
    builders = [BookBuilder(view, max_length) for view in views]
    for kind, values in tensors:
        for builder in builders:
            builder.add(kind, values)
    books = tuple(book for builder in builders for book in builder.books(source))
    if not books:
        raise LinksimError(f"{source}: no tensors to build codebooks from")
    return CodebookSet(books)
