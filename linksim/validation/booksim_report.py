"""What a comparison with BookSim2 found, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from linksim.validation.booksim import (
    LATENCY_TARGET,
    NEAR_SATURATION,
    SATURATION_TARGET,
    BookSimResults,
    LoadedResult,
    latency_summary,
)

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, columns, rows."""


def tables(results: BookSimResults) -> list[Table]:
    """Zero load and saturation by configuration; latency by row; the summary."""
    made = [_ends_table(results), _rows_table(results), _summary_table(results)]
    return [one for one in made if one[2]]


def _ends_table(results: BookSimResults) -> Table:
    columns = (
        "configuration",
        "packet alone, cycles",
        "closed form",
        "saturation, flits/cycle",
        "closed form",
        "error",
    )
    rows: list[tuple[str, ...]] = [
        (
            str(one.configuration),
            f"{one.zero_load_cycles:g}",
            f"{one.configuration.zero_load_cycles}",
            f"{one.saturation_flits_per_cycle:.4f}",
            f"{one.configuration.saturation_flits_per_cycle:.4f}",
            _percent(one.saturation_error),
        )
        for one in results.configurations
    ]
    return "Two BookSim2 routers without load, and with all they take", columns, rows


def _rows_table(results: BookSimResults) -> Table:
    columns = (
        "configuration",
        "offered",
        "of saturation",
        "BookSim2, cycles",
        "linksim",
        "error",
        "BookSim2 carried",
        "error there",
        "scatter",
        "remark",
    )
    return "Mean packet latency under load", columns, [_row(one) for one in results.rows]


def _row(one: LoadedResult) -> tuple[str, ...]:
    row = one.row
    start = (str(row.configuration), f"{row.offered_flits_per_cycle:g}", f"{row.load:.2f}")
    if row.packet_latency_cycles is None:
        says = "unstable in both" if one.unstable else "unstable in BookSim2 alone"
        return (*start, "", "", "", "", "", "", says)
    return (
        *start,
        f"{row.packet_latency_cycles:.2f}",
        f"{one.latency_cycles:.2f}",
        _percent(one.error),
        f"{row.accepted_flits_per_cycle:.4f}",
        _percent(one.error_at_accepted),
        _percent(one.scatter).lstrip("+"),
        _remark(one),
    )


def _remark(one: LoadedResult) -> str:
    said = ["near saturation"] if one.near_saturation else []
    if one.unstable:
        said.append("unstable in linksim")
    elif one.error is not None and abs(one.error) > LATENCY_TARGET and not said:
        said.append(f"beyond {100 * LATENCY_TARGET:.0f} %")
    return ", ".join(said)


def _summary_table(results: BookSimResults) -> Table:
    columns = ("rows", "count", "load", "median", "p90", "max", "geomean", "within 10 %")
    rows: list[tuple[str, ...]] = []
    for name, near in (("below saturation", False), ("near saturation", True)):
        chosen = results.stable(near_saturation=near)
        for load, at_accepted in (("offered", False), ("BookSim2 carried", True)):
            summary = latency_summary(chosen, at_accepted=at_accepted)
            if summary is None:
                continue
            figures = (summary.median, summary.p90, summary.max, summary.geomean)
            within = within_target(chosen, at_accepted=at_accepted)
            shares = [f"{100 * figure:.1f} %" for figure in figures]
            rows.append((name, str(summary.rows), load, *shares, str(within)))
    return "Error of mean packet latency", columns, rows


def within_target(rows: Sequence[LoadedResult], *, at_accepted: bool) -> int:
    """How many of *rows* are within `LATENCY_TARGET`."""
    errors = [one.error_at_accepted if at_accepted else one.error for one in rows]
    return sum(error is not None and abs(error) <= LATENCY_TARGET for error in errors)


def remarks(results: BookSimResults) -> list[str]:
    """What a reader has to know beside the tables, a sentence or two each."""
    alone = [one for one in results.configurations if not one.zero_load_waits_cycles]
    waiting = [one for one in results.configurations if one.zero_load_waits_cycles]
    worst = max(abs(one.saturation_error) for one in results.configurations)
    said = [
        f"A packet alone takes exactly the closed form in {len(alone)} of "
        f"{len(results.configurations)} configurations"
        + "".join(
            f"; {one.configuration}: {one.zero_load_waits_cycles:g} cycles more, waiting for "
            "credits"
            for one in waiting
        )
        + ".",
        f"Saturation is at most {100 * worst:.2f} % off the closed form (target: "
        f"{100 * SATURATION_TARGET:.0f} %).",
    ]
    if unstable := results.unstable_rows:
        agreed = sum(one.unstable for one in unstable)
        said.append(f"{agreed} of {len(unstable)} rows unstable in BookSim2 are so here.")
    if results.stable(near_saturation=True):
        said.append(
            f"Above {NEAR_SATURATION:g} of saturation a mean is mostly chance. Scatter is the "
            f"standard deviation of one over {results.options.sample_cycles} cycles of a source, "
            "about as many as a row of BookSim2 has; beyond saturation it grows with the run."
        )
    return said


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.1f} %"
