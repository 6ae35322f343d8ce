"""A judgement of endpoint protocols as JSON and as tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from linksim.network.protocols import IN_SWITCH
from linksim.validation.errors import ErrorSummary
from linksim.validation.nccl import CarryOver, GpuReport, JudgedRow, NcclReport
from linksim.validation.published import PUBLISHED_ERRORS, PublishedError
from linksim.validation.ring_steps import StepTime

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, columns and rows."""

_ROW = re.compile(r'\{\s*"collective"[^{}]*\}')

ERROR_COLUMNS = ("rows", "median", "p90", "max", "geomean")


def summary(rows: Sequence[JudgedRow]) -> ErrorSummary:
    """Errors of the simulation of *rows* against the measurement."""
    return ErrorSummary.of([row.simulated_us for row in rows], [row.row.time_us for row in rows])


def groups(report: GpuReport) -> Iterator[tuple[str, bool, list[JudgedRow]]]:
    """Name, whether held out, and rows of every group: all of them, then by collective and n."""
    for held_out in (True, False):
        rows = [row for row in report.rows if row.held_out == held_out]
        if rows:
            yield "all", held_out, rows
    kinds = dict.fromkeys((r.row.collective.op, r.row.collective.n_gpus) for r in report.rows)
    for op, n in kinds:
        for held_out in (True, False):
            rows = [
                row
                for row in report.rows
                if (row.row.collective.op, row.row.collective.n_gpus) == (op, n)
                and row.held_out == held_out
            ]
            if rows:
                yield f"{op}, n = {n}", held_out, rows


def beside_published(
    report: GpuReport,
) -> list[tuple[PublishedError, ErrorSummary]]:
    """Published errors for this GPU, each with the held-out rows of the same range."""
    found = []
    for published in PUBLISHED_ERRORS:
        rows = [
            row
            for row in report.rows
            if row.held_out
            and row.row.gpu == published.gpu
            and row.row.collective.op == published.op
            and row.row.collective.n_gpus == published.n_gpus
            and published.smallest_nbytes <= row.row.collective.nbytes <= published.largest_nbytes
        ]
        if rows:
            found.append((published, summary(rows)))
    return found


def document(report: NcclReport, steps: dict[str, StepTime | None]) -> dict[str, Any]:
    """The whole judgement as JSON; *steps* by GPU. Errors are fractions, times us."""
    return {
        "fit": report.fit,
        "hold_out": report.hold_out,
        "engine": report.engine,
        "left_out_rows": dict(report.left_out),
        "gpus": [_gpu_document(gpu, steps.get(gpu.gpu)) for gpu in report.gpus],
    }


def document_json(made: dict[str, Any]) -> str:
    """A `document` as JSON text with one line for each row."""
    text = json.dumps(made, indent=1)
    return _ROW.sub(lambda row: " ".join(row[0].split()), text) + "\n"


def _gpu_document(report: GpuReport, steps: StepTime | None) -> dict[str, Any]:
    record = report.record
    return {
        "gpu": report.gpu,
        "endpoint": record.name,
        "link": record.link,
        "fitted_parameters": 0 if report.fit is None else report.fit.parameters,
        "fitted_rows": 0 if report.fit is None else report.fit.rows,
        "mean_log_error_fitted": None if report.fit is None else report.fit.mean_log_error,
        "protocols": [protocol.model_dump() for protocol in record.protocols],
        "all_to_all_steps": record.all_to_all_steps,
        "in_switch": None if record.in_switch is None else record.in_switch.model_dump(),
        "flight": {
            "preset_ns": report.preset_flight_ps / 1000,
            "simulated_ns": report.link.flight_ps / 1000,
            "refuted_by_steps": report.flight_is_cut,
            "measured_step": None
            if steps is None
            else {**asdict(steps), "largest_flight_us": steps.largest_flight_us},
        },
        "largest_simulated_to_closed_form": report.largest_form_difference,
        "errors": [
            {"group": name, "held_out": held_out, **asdict(summary(rows))}
            for name, held_out, rows in groups(report)
        ],
        "carry_over": [
            {
                "fitted": carried.fitted,
                "fitted_rows": carried.fitted_rows,
                "judged": carried.judged,
                **asdict(carried.errors),
            }
            for carried in report.carry_over
        ],
        "published": [
            {**asdict(published), "held_out_here": asdict(errors)}
            for published, errors in beside_published(report)
        ],
        "rows": [_row_document(row) for row in report.rows],
    }


def _row_document(row: JudgedRow) -> dict[str, Any]:
    return {
        "collective": row.row.collective.op,
        "n_gpus": row.row.collective.n_gpus,
        "total_bytes": row.row.collective.nbytes,
        "held_out": row.held_out,
        "path": row.path,
        "measured_us": row.row.time_us,
        "simulated_us": round(row.simulated_us, 6),
        "error": round(row.error, 6),
    }


def tables(report: NcclReport) -> Iterator[Table]:
    """What a person wants to see, most important first."""
    yield (
        "Held-out rows, simulated against measured",
        ("GPU", "fitted parameters", "on rows", *ERROR_COLUMNS),
        [_overall_row(gpu) for gpu in report.gpus],
    )
    yield (
        "By collective and GPUs",
        ("group", "seen by the fit", *ERROR_COLUMNS),
        [
            (f"{gpu.gpu}, {name}", "no" if held_out else "yes", *_error_cells(summary(rows)))
            for gpu in report.gpus
            for name, held_out, rows in groups(gpu)
            if held_out or name == "all"
        ],
    )
    yield (
        "Endpoint figures",
        ("GPU", "path", "base, us", "step, us", "wire fraction", "carries", "rows that take it"),
        [row for gpu in report.gpus for row in _figure_rows(gpu)],
    )
    carried = [_carried_row(gpu, of) for gpu in report.gpus for of in gpu.carry_over]
    if carried:
        yield (
            "Carry-over to rows not seen, by the closed form",
            ("fitted", "judged", "fitted rows", *ERROR_COLUMNS),
            carried,
        )
    beside = [_beside_row(*pair) for gpu in report.gpus for pair in beside_published(gpu)]
    if beside:
        yield (
            "Geometric mean error beside a published configuration",
            ("H100", "ASTRA-sim, validated configuration", "here, held out", "rows"),
            beside,
        )


def _carried_row(report: GpuReport, carried: CarryOver) -> tuple[str, ...]:
    fitted = f"{report.gpu}: {carried.fitted}"
    return fitted, carried.judged, str(carried.fitted_rows), *_error_cells(carried.errors)


def _beside_row(published: PublishedError, errors: ErrorSummary) -> tuple[str, ...]:
    sizes = "up to 256 KiB" if published.smallest_nbytes == 1 else "from 1 MiB on"
    return (
        f"{published.op}, n = {published.n_gpus}, {sizes}",
        f"{100 * published.geomean:.0f} %",
        f"{100 * errors.geomean:.1f} %",
        str(errors.rows),
    )


def _overall_row(report: GpuReport) -> tuple[str, ...]:
    held_out = [row for row in report.rows if row.held_out]
    fitted = ("0", "0")
    if report.fit is not None:
        fitted = (str(report.fit.parameters), str(report.fit.rows))
    return (report.gpu, *fitted, *_error_cells(summary(held_out)))


def _error_cells(errors: ErrorSummary) -> tuple[str, ...]:
    shares = (errors.median, errors.p90, errors.max, errors.geomean)
    return (str(errors.rows), *(f"{100 * share:.1f} %" for share in shares))


def _figure_rows(report: GpuReport) -> Iterator[tuple[str, ...]]:
    taken = [row.path for row in report.rows]
    for protocol in report.record.protocols:
        yield (
            report.gpu,
            protocol.name,
            f"{protocol.base_us:g}",
            f"{protocol.step_us:g}",
            f"{protocol.wire_fraction:g}",
            f"{protocol.data_nbytes} of {protocol.line_nbytes} B",
            str(taken.count(protocol.name)),
        )
    in_switch = report.record.in_switch
    if in_switch is not None:
        figures = f"{in_switch.base_us:g}", "-", f"{in_switch.wire_fraction:g}"
        yield report.gpu, IN_SWITCH, *figures, "-", str(taken.count(IN_SWITCH))
    steps = f"{report.record.all_to_all_steps:g} steps"
    yield report.gpu, "all-to-all", "-", steps, "-", "-", "-"


def remarks(report: NcclReport, steps: dict[str, StepTime | None]) -> Iterator[str]:
    """What the tables do not say, a sentence each."""
    for gpu in report.gpus:
        record = gpu.record
        yield (
            f"{gpu.gpu}: the link is {record.link} as its preset says, not fitted; the simulation "
            f"is within {100 * gpu.largest_form_difference:.2g} % of the closed form that was "
            "fitted."
        )
        measured = steps.get(gpu.gpu)
        if measured is not None:
            low, high = measured.smallest_us, measured.largest_us
            yield (
                f"{gpu.gpu}: a ring step takes {measured.median_us:.3f} us (all-reduce less a half "
                f"of it, {measured.differences} times: {low:.3f} to {high:.3f}), software and two "
                f"links, so a link's flight is below {1000 * measured.largest_flight_us:.0f} ns."
            )
        if gpu.flight_is_cut:
            yield (
                f"{gpu.gpu}: the {gpu.preset_flight_ps / 1000:g} ns of {record.link} are refuted; "
                f"simulated with {gpu.link.flight_ps / 1000:g} ns, the most that leaves no step "
                "less than no time."
            )
    for name, count in report.left_out.items():
        yield f"{name}: {count} rows are left out, since no endpoint record names that GPU."
