"""Codebooks: a prefix code and what it codes, agreed beforehand by both ends of a link."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from linksim.codecs.code_families import family_code, family_lengths
from linksim.codecs.prefix_code import PrefixCode
from linksim.errors import LinksimError, first_problem
from linksim.tensors.dtypes import coded_format
from linksim.tensors.views import SymbolView, symbol_view
from linksim.writing import written_whole

DEFAULT_MAX_LENGTH = 16
"""Every symbol must stay codable, so unseen ones eat code space: 16 bits keep that below 0.4 %."""

SMOOTHING = "one count added to every symbol"

ANY_KIND = "any"
"""Kind of a book that was made for tensors of every kind."""

SHIPPED = "shipped:"
"""What the name of shipped codebooks begins with, where the name of a file may stand too."""


@dataclass(frozen=True)
class Codebook:
    """A prefix code for one view of one number format. Immutable and hashable."""

    name: str
    dtype: str
    view: str
    kind: str
    """Tensor kind it was made for (`residual`, `ffn1_weight`, ...)."""
    lengths: tuple[int, ...]
    max_length: int = DEFAULT_MAX_LENGTH
    layer: int | None = None
    """Layer it was made for; None: all."""
    source: str = ""
    """Which tensors its histogram came from."""
    smoothing: str = ""
    family: str = "huffman"
    """Code family, see `linksim.codecs.code_families`."""
    frequencies: tuple[int, ...] = ()
    """Smoothed counts the lengths were made from, one per symbol; empty where not known."""

    def __post_init__(self) -> None:
        alphabet = self.symbol_view.alphabet
        for name, listed in (("lengths", self.lengths), ("frequencies", self.frequencies)):
            if len(listed) != alphabet and (listed or name == "lengths"):
                raise LinksimError(
                    f"codebook {self.name!r}: {name} has {len(listed)} entries: expected "
                    f"{alphabet} for view {self.view!r} of {self.dtype}"
                )
        if any(count < 1 for count in self.frequencies):
            raise LinksimError(f"codebook {self.name!r}: frequencies: expected at least 1 each")
        _ = self.code

    @cached_property
    def code(self) -> PrefixCode:
        """The prefix code; LinksimError names the codebook where the lengths make none."""
        try:
            return family_code(self.family, self.lengths, self.max_length)
        except LinksimError as error:
            raise LinksimError(f"codebook {self.name!r}: {error}") from None

    def of_family(self, family: str, max_length: int = DEFAULT_MAX_LENGTH) -> Codebook:
        """The same distribution in another code; LinksimError where it is not known.

        *max_length* limits a huffman code; the other families have the lengths they have.
        """
        if family == self.family and (family != "huffman" or max_length == self.max_length):
            return self
        if not self.frequencies:
            raise LinksimError(
                f"codebook {self.name!r} holds a {self.family} code and no frequencies to make a "
                f"{family} code of at most {max_length} bits from: build it again"
            )
        counts = np.array(self.frequencies, np.int64)
        lengths = family_lengths(family, counts, max_length)
        limit = max_length if family == "huffman" else max(lengths)
        return replace(self, lengths=lengths, max_length=limit, family=family)

    @cached_property
    def symbol_view(self) -> SymbolView:
        """The view of the number format whose symbols the book codes."""
        return symbol_view(self.view, coded_format(self.dtype))


def average_distribution(histograms: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Mean of the probability distributions of *histograms*, as in arXiv 2601.10673.

    Every non-empty tensor counts the same, however long it is.
    """
    filled = [counts / counts.sum() for counts in histograms if counts.sum()]
    if not filled:
        raise LinksimError("a codebook needs at least one tensor that is not empty")
    return np.asarray(np.mean(filled, axis=0), np.float64)


def build_codebook(
    name: str,
    view: SymbolView,
    kind: str,
    histograms: list[NDArray[np.int64]],
    *,
    max_length: int = DEFAULT_MAX_LENGTH,
    layer: int | None = None,
    source: str = "",
) -> Codebook:
    """The codebook for the average distribution of *histograms*, each int64 [alphabet].

    One count is added to every symbol, so that later tensors can always be coded.
    """
    total = sum(int(counts.sum()) for counts in histograms)
    counts = np.rint(average_distribution(histograms) * total).astype(np.int64) + 1
    return Codebook(
        name,
        view.fmt.name,
        view.name,
        kind,
        family_lengths("huffman", counts, max_length),
        max_length,
        layer,
        source,
        SMOOTHING,
        frequencies=tuple(counts.tolist()),
    )


_SHIPPED_FOLDER = files("linksim.codecs") / "books"


class _BookDocument(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    dtype: str
    view: str
    kind: str
    lengths: tuple[int, ...]
    max_length: int
    layer: int | None = None
    source: str = ""
    smoothing: str = ""
    family: str = "huffman"
    frequencies: tuple[int, ...] = ()


class _SetDocument(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: str = Field(pattern="^linksim-codebooks$")
    version: int = Field(ge=1, le=1)
    books: tuple[_BookDocument, ...] = Field(min_length=1)


@dataclass(frozen=True)
class CodebookSet:
    """The codebooks of one file, in file order."""

    books: tuple[Codebook, ...]
    file: str = field(default="", compare=False)
    """Where it was read from, for messages."""

    @classmethod
    def load(cls, path: Path) -> CodebookSet:
        """Read a codebook file; LinksimError names the file and the field that is wrong."""
        return cls._read(str(path), lambda: path.read_text(encoding="utf-8"))

    @classmethod
    def shipped(cls, name: str) -> CodebookSet:
        """The codebooks that ship with linksim as *name*; LinksimError names the known ones."""
        if name not in cls.shipped_names():
            known = ", ".join(cls.shipped_names())
            raise LinksimError(f"no codebooks {name!r} are shipped: expected one of {known}")
        file = _SHIPPED_FOLDER / f"{name}.json"
        return cls._read(f"{SHIPPED}{name}", lambda: file.read_text(encoding="utf-8"))

    @staticmethod
    def shipped_names() -> tuple[str, ...]:
        """Names of the codebooks that ship with linksim, sorted."""
        found = (entry.name for entry in _SHIPPED_FOLDER.iterdir())
        return tuple(sorted(name[:-5] for name in found if name.endswith(".json")))

    @classmethod
    def find(cls, reference: str) -> CodebookSet:
        """The shipped set that `shipped:NAME` names, or the one in the file *reference* names."""
        if reference.startswith(SHIPPED):
            return cls.shipped(reference.removeprefix(SHIPPED))
        return cls.load(Path(reference))

    @classmethod
    def _read(cls, where: str, read_text: Callable[[], str]) -> CodebookSet:
        try:
            document = _SetDocument.model_validate_json(read_text())
            return cls(tuple(Codebook(**dict(book)) for book in document.books), where)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LinksimError(f"{where}: cannot be read as codebooks: {reason}") from None
        except ValidationError as error:
            raise LinksimError(f"{where}: {first_problem(error)}") from None
        except LinksimError as error:
            raise LinksimError(f"{where}: {error}") from None

    def document(self) -> dict[str, Any]:
        """The set as a JSON-able document."""
        books = [_BookDocument(**asdict(book)).model_dump(mode="json") for book in self.books]
        return {"format": "linksim-codebooks", "version": 1, "books": books}

    def save(self, path: Path) -> None:
        """Write the set as JSON, one book per line, through a temporary name."""
        lines = ",\n".join(json.dumps(book) for book in self.document()["books"])
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f'{{"format": "linksim-codebooks", "version": 1, "books": [\n{lines}\n]}}\n'
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")

    def select(
        self, dtype: str, view: str, kind: str, layer: int | None = None
    ) -> tuple[Codebook, ...]:
        """Books for a view of a number format.

        Those of *kind* if there are any, else those made for any kind, else all. Of a kind's books
        the one of *layer* is taken alone if there is one.
        """
        fitting = tuple(b for b in self.books if (b.dtype, b.view) == (dtype, view))
        if not fitting:
            have = sorted({f"{b.view} of {b.dtype}" for b in self.books})
            raise LinksimError(
                f"{self.file + ': ' if self.file else ''}no codebook is for view {view!r} of "
                f"{dtype}: there are books for {', '.join(have)}"
            )
        of_kind = (
            tuple(b for b in fitting if b.kind == kind)
            or tuple(b for b in fitting if b.kind == ANY_KIND)
            or fitting
        )
        of_layer = tuple(b for b in of_kind if b.kind == kind and b.layer == layer)
        return of_layer if layer is not None and of_layer else of_kind
