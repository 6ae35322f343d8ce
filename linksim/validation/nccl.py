"""Endpoint protocols fitted on some rows of a table, and judged on others by the simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from linksim.errors import LinksimError
from linksim.links import LinkPreset
from linksim.network import EngineName
from linksim.network.protocols import (
    EndpointRecord,
    compatible_link,
    endpoint_names,
    endpoint_record,
    fastest_paths,
    simulate_collective,
)
from linksim.units import PS_PER_US
from linksim.validation.errors import ErrorSummary
from linksim.validation.fitting import STARTS, Fit, fit
from linksim.validation.selectors import RowSelector
from linksim.validation.table import MeasuredRow

NO_FIT = "none"
"""In place of a selector: judge a record's figures as they are."""

CARRY_OVER = (
    ("n=4", "n=8"),
    ("n=8", "n=4"),
    ("sizes=even", "sizes=odd"),
    ("sizes=odd", "sizes=even"),
    ("sizes=..16MiB", "sizes=32MiB.."),
)
"""Selectors of rows to fit and to judge: what is not seen are GPU counts, sizes between those
seen, and sizes beyond them."""

Progress = Callable[[MeasuredRow], None]


@dataclass(frozen=True)
class JudgedRow:
    """A measured row, simulated."""

    row: MeasuredRow
    held_out: bool
    """Whether the fit has not seen it."""
    path: str
    """The protocol taken, or in-switch."""
    closed_form_us: float
    simulated_us: float

    @property
    def error(self) -> float:
        """Signed relative error of the simulation."""
        return self.simulated_us / self.row.time_us - 1


@dataclass(frozen=True)
class CarryOver:
    """A fit on some rows judged on others, by the closed form."""

    fitted: str
    """Selector of the rows fitted; likewise the rows judged."""
    judged: str
    fitted_rows: int
    errors: ErrorSummary


@dataclass(frozen=True)
class GpuReport:
    """The judgement on one GPU model."""

    gpu: str
    fit: Fit | None
    """None: the record's own figures were judged."""
    record: EndpointRecord
    link: LinkPreset
    """As simulated."""
    preset_flight_ps: int
    """Flight of the link's preset; that of `link` is less where the measured steps are too short
    for it."""
    rows: tuple[JudgedRow, ...]
    carry_over: tuple[CarryOver, ...]

    @property
    def flight_is_cut(self) -> bool:
        """Whether the measured steps refute the latency of the link's preset."""
        return self.link.flight_ps < self.preset_flight_ps

    @property
    def largest_form_difference(self) -> float:
        """Largest |simulated / closed form - 1| of its rows."""
        return max(abs(row.simulated_us / row.closed_form_us - 1) for row in self.rows)


@dataclass(frozen=True)
class NcclReport:
    """The judgement on a table."""

    fit: str
    """Selector of the rows fitted."""
    hold_out: str
    engine: EngineName
    gpus: tuple[GpuReport, ...]
    left_out: Mapping[str, int]
    """Rows of GPUs that no endpoint record names."""


def records_by_gpu(references: Sequence[str]) -> dict[str, EndpointRecord]:
    """Endpoint records by the GPUs they name: those shipped, and *references* before them.

    LinksimError for a reference that is no record, and for one that names no GPU.
    """
    found: dict[str, EndpointRecord] = {}
    for reference in (*endpoint_names(), *references):
        record = endpoint_record(reference)
        if not record.gpus:
            raise LinksimError(f"{reference}: endpoint {record.name!r} names no gpus")
        found.update(dict.fromkeys(record.gpus, record))
    return found


@dataclass(frozen=True)
class _Choice:
    """Rows to fit and rows to judge."""

    fit: RowSelector | None
    hold_out: RowSelector

    def split(self, rows: Sequence[MeasuredRow]) -> tuple[list[MeasuredRow], list[MeasuredRow]]:
        fitted = [] if self.fit is None else self.fit.pick(rows)
        held_out = self.hold_out.pick(rows)
        both = set(fitted) & set(held_out)
        if both:
            raise LinksimError(
                f"{len(both)} rows are both fitted and held out: expected selectors without a row "
                "in common"
            )
        return fitted, held_out


def validate_nccl(
    table: Sequence[MeasuredRow],
    records: Mapping[str, EndpointRecord],
    *,
    fit_rows: str,
    hold_out_rows: str,
    engine: EngineName = "fast",
    carry_over: bool = True,
    starts: int = STARTS,
    progress: Progress = lambda row: None,
) -> NcclReport:
    """Fit *records* on the rows *fit_rows* of *table* and simulate these and *hold_out_rows*.

    Selectors as `RowSelector`, or `none` for *fit_rows*. *progress* is called before each row that
    is simulated. LinksimError for selectors that make no sense or meet no rows, rows both fitted
    and held out, too few rows to fit, and a table of no GPU that has a record.
    """
    fitting = None if fit_rows == NO_FIT else RowSelector.parse(fit_rows)
    choice = _Choice(fitting, RowSelector.parse(hold_out_rows))
    _, held_out = choice.split(table)
    if not held_out:
        raise LinksimError(f"rows {hold_out_rows!r}: no row of the table is held out")
    names = list(dict.fromkeys(row.gpu for row in table))
    known = [gpu for gpu in names if gpu in records]
    if not known:
        raise LinksimError(
            f"no endpoint record names a GPU of the table ({', '.join(names)}): expected one of "
            f"{', '.join(sorted(records))}, or a record that does"
        )
    reports = []
    for gpu in known:
        rows = [row for row in table if row.gpu == gpu]
        if choice.hold_out.pick(rows):
            reports.append(_judge(records[gpu], rows, choice, engine, carry_over, starts, progress))
    left_out = {gpu: sum(row.gpu == gpu for row in table) for gpu in names if gpu not in records}
    return NcclReport(fit_rows, hold_out_rows, engine, tuple(reports), left_out)


def _judge(
    record: EndpointRecord,
    rows: Sequence[MeasuredRow],
    choice: _Choice,
    engine: EngineName,
    carry_over: bool,
    starts: int,
    progress: Progress,
) -> GpuReport:
    fitted, held_out = choice.split(rows)
    made = None if choice.fit is None else fit(record, fitted, starts=starts)
    carried = carry_overs(record, rows, starts=starts) if carry_over and made else ()
    record = record if made is None else made.record
    link = compatible_link(record, record.link_preset)
    judged = []
    unseen = set(held_out)
    chosen = {*fitted, *held_out}
    paths = fastest_paths(record, [row.collective for row in rows])
    for row, (path, closed_form_us) in zip(rows, paths, strict=True):
        if row in chosen:
            progress(row)
            simulated = simulate_collective(record, row.collective, engine=engine, link=link)
            simulated_us = simulated.time_ps / PS_PER_US
            judged.append(JudgedRow(row, row in unseen, path, closed_form_us, simulated_us))
    flight_ps = record.link_preset.flight_ps
    return GpuReport(rows[0].gpu, made, record, link, flight_ps, tuple(judged), carried)


def carry_overs(
    record: EndpointRecord, rows: Sequence[MeasuredRow], *, starts: int = STARTS
) -> tuple[CarryOver, ...]:
    """Fits of *record* on parts of one GPU's *rows*, judged by the closed form on other parts.

    A part that has too few rows to fit, or none to judge, is left out.
    """
    made = []
    for fitted, judged in CARRY_OVER:
        seen, unseen = (RowSelector.parse(text).pick(rows) for text in (fitted, judged))
        if not unseen:
            continue
        try:
            found = fit(record, seen, starts=starts)
        except LinksimError:
            continue
        paths = fastest_paths(found.record, [row.collective for row in unseen])
        errors = ErrorSummary.of([us for _, us in paths], [row.time_us for row in unseen])
        made.append(CarryOver(fitted, judged, len(seen), errors))
    return tuple(made)
