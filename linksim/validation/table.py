"""Tables of measured collectives: CSV with gpu, n_gpus, collective, total_bytes and time_us."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from linksim.errors import LinksimError
from linksim.network.protocols import Collective

COLUMNS = ("gpu", "n_gpus", "collective", "total_bytes", "time_us")

_ALIASES = {"alltoall": "all_to_all"}
"""What nccl-tests calls a collective, where its name here is another."""


@dataclass(frozen=True)
class MeasuredRow:
    """One measured collective."""

    gpu: str
    collective: Collective
    time_us: float
    library: str = ""
    """What was measured, and its version; empty where the table does not say."""


def read_table(path: Path) -> list[MeasuredRow]:
    """The rows of the CSV file *path*, in its order; columns beyond those needed are ignored.

    LinksimError in one sentence, with the line, for a file that is not text, a column that is
    missing, a value that cannot be, and a collective that is measured twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = _read(csv.DictReader(file), str(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise LinksimError(f"{path}: not a CSV table: {error}") from None
    if not rows:
        raise LinksimError(f"{path}: a table without rows")
    return rows


def _read(reader: csv.DictReader[str], where: str) -> list[MeasuredRow]:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise LinksimError(
            f"{where}: column {missing[0]} is missing: expected {', '.join(COLUMNS)}"
        )
    lines: dict[tuple[str, Collective], int] = {}
    rows = []
    for fields in reader:
        line = f"{where}: line {reader.line_num}"
        try:
            row = _row(fields)
        except LinksimError as error:
            raise LinksimError(f"{line}: {error}") from None
        key = row.gpu, row.collective
        if key in lines:
            raise LinksimError(f"{line}: measures the same as line {lines[key]}")
        lines[key] = reader.line_num
        rows.append(row)
    return rows


def _row(fields: Mapping[str, str | None]) -> MeasuredRow:
    def text(name: str) -> str:
        value = (fields[name] or "").strip()
        if not value:
            raise LinksimError(f"{name} is empty")
        return value

    def count(name: str) -> int:
        value = text(name)
        if not (value.isascii() and value.isdecimal() and len(value) < 16):
            raise LinksimError(f"{name} = {value!r}: expected a whole number")
        return int(value)

    op = text("collective")
    collective = Collective(_ALIASES.get(op, op), count("n_gpus"), count("total_bytes"))
    return MeasuredRow(
        text("gpu"), collective, _microseconds(text("time_us")), fields.get("library") or ""
    )


def _microseconds(value: str) -> float:
    try:
        time_us = float(value)
    except ValueError:
        time_us = math.nan
    if not 0 < time_us < math.inf:
        raise LinksimError(f"time_us = {value!r}: expected microseconds above 0")
    return time_us
