"""Catalogues of TOML records: what linksim ships, what a user brings, and the evidence for both."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from linksim.errors import LinksimError

Grade = Literal["measured", "read in the source", "second-hand", "derived", "unverified"]
"""How far a number can be trusted, best first."""


def _fold(text: str) -> str:
    return " ".join(text.split())


Text = Annotated[str, AfterValidator(_fold), Field(min_length=1)]
"""Prose; its line breaks are folded to spaces."""


class Strict(BaseModel):
    """Base of everything read from a record: immutable, and no field beyond those declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(Strict):
    """What one number of a record rests on."""

    field: str
    """The number's field, dotted (`encoder.latency_cycles`)."""
    value: Text
    """The figure as its source gives it, with the unit and the conversion if there was one."""
    source: Text
    """Specification, paper, repository or command."""
    grade: Grade


class Record(Strict):
    """A named set of model inputs, each with its evidence."""

    name: Text
    description: Text
    evidence: tuple[Evidence, ...] = ()


def number(expected: str, low: float, high: float) -> BeforeValidator:
    """Validator of a number from *low* to *high*, for use in `Annotated`.

    *expected* says in words what belongs there, unit included; it is what a user reads when a
    string, a NaN or a slip of units is found instead.
    """
    return _checked(expected, lambda value: type(value) in (int, float) and low <= value <= high)


def whole(expected: str, low: int, high: int, or_word: str | None = None) -> BeforeValidator:
    """As `number`, for an integer; the string *or_word* is allowed in its place."""

    def good(value: Any) -> bool:
        if isinstance(value, str):
            return value == or_word
        return type(value) is int and low <= value <= high

    return _checked(expected, good)


def _checked(expected: str, good: Callable[[Any], bool]) -> BeforeValidator:
    def check(value: object) -> object:
        if not good(value):
            raise ValueError(f"expected {expected}")
        return value

    return BeforeValidator(check)


R = TypeVar("R", bound=Record)


class Catalogue(Generic[R]):
    """The records of one kind that ship in *folder*, and the reader of users' own."""

    def __init__(self, model: type[R], folder: Traversable, noun: str):
        self._model = model
        self._folder = folder
        self._noun = noun

    def names(self) -> tuple[str, ...]:
        """Names of the shipped records, sorted."""
        files = (entry.name for entry in self._folder.iterdir())
        return tuple(sorted(name[:-5] for name in files if name.endswith(".toml")))

    def get(self, reference: str | Path) -> R:
        """The shipped record called *reference*, or that in the TOML file *reference* names.

        A `Path`, or a string with a folder or `.toml` in it, is a file. LinksimError in one
        sentence for an unknown name and for a file that is missing, not TOML or wrong in a field.
        """
        if isinstance(reference, Path) or "/" in reference or reference.endswith(".toml"):
            return self._read(str(reference), Path(reference).read_bytes)
        if reference not in self.names():
            known = ", ".join(self.names())
            raise LinksimError(
                f"unknown {self._noun} {reference!r}: expected one of {known}, "
                "or the path of a .toml file"
            )
        return self._read(f"{reference}.toml", (self._folder / f"{reference}.toml").read_bytes)

    def _read(self, file: str, read_bytes: Callable[[], bytes]) -> R:
        try:
            document = tomllib.loads(read_bytes().decode())
        except OSError as error:
            raise LinksimError(f"{file}: cannot read the {self._noun}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise LinksimError(f"{file}: not a TOML file: {error}") from None
        try:
            return self._model.model_validate(document)
        except ValidationError as error:
            raise LinksimError(f"{file}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    """The first thing wrong with a record: field, what was found, what was expected."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the record"
    if first["type"] == "missing":
        return f"field {field} is missing"
    if first["type"] == "extra_forbidden":
        return f"unknown field {field}"
    message = first["msg"].removeprefix("Value error, ")
    found: Any = first["input"]
    return f"{field}: {message}" if isinstance(found, dict) else f"{field} = {found!r}: {message}"
