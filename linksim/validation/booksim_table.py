"""Tables of BookSim2 runs: two routers, one source, one row per configuration and offered load."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from linksim.errors import LinksimError

COLUMNS = (
    "link_latency_cycles",
    "packet_flits",
    "num_vcs",
    "vc_buffer_flits",
    "offered_flits_per_cycle",
    "unstable",
    "packet_latency_cycles",
    "accepted_flits_per_cycle",
)
"""What a table must have; it may have more, which is not looked at."""


@dataclass(frozen=True, order=True)
class Configuration:
    """Two routers joined by a link."""

    link_latency_cycles: int
    packet_flits: int
    num_vcs: int
    vc_buffer_flits: int

    @property
    def saturation_flits_per_cycle(self) -> float:
        """Most flits per cycle, in closed form.

        A virtual channel is limited by the cycle lost between two packets and by its credit loop
        of 2 L + 5 cycles: min(p / (p + 1), b / (2 L + 5)), within 1.4 % of runs of BookSim2.
        Several channels take turns, up to a flit per cycle.
        """
        between_packets = self.packet_flits / (self.packet_flits + 1)
        credit_loop = self.vc_buffer_flits / (2 * self.link_latency_cycles + 5)
        return min(1.0, self.num_vcs * min(between_packets, credit_loop))

    @property
    def zero_load_cycles(self) -> int:
        """Latency of a packet that never waits, nor for credits: 9 + L + (p - 1) cycles."""
        return 9 + self.link_latency_cycles + self.packet_flits - 1

    def __str__(self) -> str:
        return (
            f"L {self.link_latency_cycles}, {_count(self.packet_flits, 'flit')}, "
            f"{_count(self.num_vcs, 'VC')} of {self.vc_buffer_flits}"
        )


@dataclass(frozen=True)
class BookSimRow:
    """One run of BookSim2."""

    configuration: Configuration
    offered_flits_per_cycle: float
    packet_latency_cycles: float | None
    """Mean from a packet's creation to its last flit's ejection. None: the run was unstable."""
    accepted_flits_per_cycle: float | None
    """Flits ejected per node and cycle, None as above. In a stable run what its sample carried."""

    @property
    def load(self) -> float:
        """Offered load as a share of saturation."""
        return self.offered_flits_per_cycle / self.configuration.saturation_flits_per_cycle


def read_table(path: Path) -> list[BookSimRow]:
    """The rows of a CSV file with `COLUMNS`.

    LinksimError in one sentence, with file, line and column, for what is not such a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise LinksimError(f"{path}: expected a CSV table with the column {missing[0]}")
            rows = [_row(_Cells(f"{path}, line {reader.line_num}", cells)) for cells in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise LinksimError(f"{path}: expected a CSV table in UTF-8: {error}") from None
    if not rows:
        raise LinksimError(f"{path}: expected one row or more below the column names")
    return rows


class _Cells:
    """The cells of one line, and where it is."""

    def __init__(self, where: str, cells: dict[str, str]):
        self._where = where
        self._cells = cells

    def whole(self, column: str, low: int, high: int) -> int:
        try:
            value = int(self._cells[column])
        except (TypeError, ValueError):
            value = low - 1
        if not low <= value <= high:
            raise self._bad(column, f"a whole number from {low} to {high}")
        return value

    def number(self, column: str, high: float) -> float:
        try:
            value = float(self._cells[column])
        except (TypeError, ValueError):
            value = 0.0
        if not 0 < value <= high:
            raise self._bad(column, f"a number above 0 and at most {high:g}")
        return value

    def _bad(self, column: str, expected: str) -> LinksimError:
        found = self._cells[column]
        return LinksimError(f"{self._where}: {column} is {found!r}: expected {expected}")


def _row(cells: _Cells) -> BookSimRow:
    configuration = Configuration(
        cells.whole("link_latency_cycles", 1, 10**5),
        cells.whole("packet_flits", 1, 10**4),
        cells.whole("num_vcs", 1, 64),
        cells.whole("vc_buffer_flits", 1, 10**6),
    )
    offered = cells.number("offered_flits_per_cycle", 1)
    if cells.whole("unstable", 0, 1):
        return BookSimRow(configuration, offered, None, None)
    latency = cells.number("packet_latency_cycles", 1e9)
    return BookSimRow(configuration, offered, latency, cells.number("accepted_flits_per_cycle", 1))


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
