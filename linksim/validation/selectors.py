"""Which rows of a table: a small language for `--fit` and `--hold-out`.

A selector is terms KEY=VALUES with spaces between them, all of which must hold; VALUES are one or
more with commas between them, any of which may hold. `all` is every row.

    sizes=even n=4,8        every second size of each series, from its smallest on
    sizes=odd               the others
    sizes=64KiB..8MiB       sizes from 64 KiB to 8 MiB; either end may be left open
    collective=all_reduce gpu=H100_SXM

A series is the sizes measured of one collective on one GPU model and number of GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from linksim.errors import LinksimError
from linksim.network.protocols import OPS
from linksim.validation.table import MeasuredRow

_Holds = Callable[[MeasuredRow, int], bool]
"""Whether a row is meant, given its place in its series (0 is the smallest size)."""

_SIZE = re.compile(r"(\d{1,15})(B|KiB|MiB|GiB)?")
_SCALE = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_KEYS = "sizes=..., n=..., collective=..., gpu=... or all"


@dataclass(frozen=True)
class RowSelector:
    """A selector of rows, as written and as understood."""

    text: str
    _terms: tuple[tuple[_Holds, ...], ...]
    """For each term its values, any of which may hold."""

    @classmethod
    def parse(cls, text: str) -> RowSelector:
        """Understand *text*; LinksimError in one sentence for what is no selector."""
        words = text.split()
        if not words:
            raise LinksimError(f"rows {text!r}: expected terms {_KEYS}")
        if words == ["all"]:
            return cls("all", ())
        keys = [word.partition("=")[0] for word in words]
        for key in keys:
            if keys.count(key) > 1:
                raise LinksimError(f"rows {text!r}: {key} is given twice: expected one term of it")
        return cls(" ".join(words), tuple(_term(word, text) for word in words))

    def pick(self, rows: Sequence[MeasuredRow]) -> list[MeasuredRow]:
        """Those of *rows* that are meant, in their order."""
        places = _places(rows)
        return [
            row
            for row, place in zip(rows, places, strict=True)
            if all(any(holds(row, place) for holds in values) for values in self._terms)
        ]


def _places(rows: Sequence[MeasuredRow]) -> list[int]:
    """The place of every row in its series, by size."""
    series: dict[tuple[str, str, int], list[int]] = {}
    keys = [(row.gpu, row.collective.op, row.collective.n_gpus) for row in rows]
    for key, row in zip(keys, rows, strict=True):
        series.setdefault(key, []).append(row.collective.nbytes)
    ordered = {key: sorted(sizes) for key, sizes in series.items()}
    return [ordered[key].index(row.collective.nbytes) for key, row in zip(keys, rows, strict=True)]


def _term(word: str, text: str) -> tuple[_Holds, ...]:
    key, equals, values = word.partition("=")
    if not equals or key not in _VALUES:
        raise LinksimError(f"rows {text!r}: {word!r} is no term: expected {_KEYS}")
    try:
        return tuple(_VALUES[key](value) for value in values.split(","))
    except LinksimError as error:
        raise LinksimError(f"rows {text!r}: {error}") from None


def _sizes(value: str) -> _Holds:
    if value in ("even", "odd"):
        parity = int(value == "odd")
        return lambda row, place: place % 2 == parity
    low, dots, high = value.partition("..")
    if not dots:
        size = _nbytes(value)
        return lambda row, place: row.collective.nbytes == size
    smallest, largest = _nbytes(low) if low else 0, _nbytes(high) if high else 1 << 62
    if smallest > largest:
        raise LinksimError(f"sizes {value!r}: expected the smaller one first")
    return lambda row, place: smallest <= row.collective.nbytes <= largest


def _nbytes(value: str) -> int:
    found = _SIZE.fullmatch(value)
    if found is None:
        raise LinksimError(
            f"size {value!r}: expected even, odd, a size such as 64KiB, or a range such as "
            "64KiB..8MiB"
        )
    return int(found[1]) * _SCALE[found[2]]


def _n_gpus(value: str) -> _Holds:
    if not (value.isascii() and value.isdecimal() and len(value) < 7):
        raise LinksimError(f"n {value!r}: expected a number of GPUs")
    n = int(value)
    return lambda row, place: row.collective.n_gpus == n


def _collective(value: str) -> _Holds:
    if value not in OPS:
        raise LinksimError(f"unknown collective {value!r}: expected one of {', '.join(OPS)}")
    return lambda row, place: row.collective.op == value


def _gpu(value: str) -> _Holds:
    if not value:
        raise LinksimError("gpu= names none: expected a GPU of the table")
    return lambda row, place: row.gpu == value


_VALUES: dict[str, Callable[[str], _Holds]] = {
    "sizes": _sizes,
    "n": _n_gpus,
    "collective": _collective,
    "gpu": _gpu,
}
