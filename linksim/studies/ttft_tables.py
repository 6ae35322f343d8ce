"""The tables of the study of the time to first token."""

from __future__ import annotations

from collections.abc import Sequence

from linksim.studies.ttft import PLAIN, FirstTokenRow, Timing, TtftStudy
from linksim.studies.ttft_claims import CLAIMS, Claim
from linksim.units import format_bytes_binary, format_ps

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Columns and rows."""


def first_token_table(study: TtftStudy, model: str) -> Rows:
    """Every box and format with *model*: where the time goes, and how much faster it is."""
    columns = (
        "box",
        "format",
        "bits a value",
        "one all-reduce",
        "all-reduce",
        "computing",
        "communication",
        "share",
        "first token",
        "faster",
    )
    rows: list[tuple[str, ...]] = [
        (
            row.box,
            row.format,
            f"{study.bits_per_value[_wire_format(row.format)]:.2f}",
            format_ps(row.found.all_reduce_ps),
            f"{row.plain.all_reduce_ps / row.found.all_reduce_ps:.2f}x",
            format_ps(row.found.compute_ps),
            format_ps(row.found.communication_ps),
            f"{100 * row.found.communication_share:.1f} %",
            format_ps(row.found.total_ps),
            f"{row.speedup:.2f}x",
        )
        for row in study.first_tokens
        if row.model == model
    ]
    return columns, rows


def models_table(study: TtftStudy, formats: Sequence[str]) -> Rows:
    """Every model and box: share of communication in bf16, and *formats* against it."""
    columns = ("model", "box", "first token, bf16", "share", *formats)
    found = {(row.model, row.box, row.format): row for row in study.first_tokens}
    rows = []
    for model in study.options.models:
        for name in study.options.boxes:
            plain = found[model, name, PLAIN]
            rows.append(
                (
                    model,
                    name,
                    format_ps(plain.found.total_ps),
                    f"{100 * plain.found.communication_share:.1f} %",
                    *(f"{found[model, name, fmt].speedup:.2f}x" for fmt in formats),
                )
            )
    return columns, rows


def pays_table(study: TtftStudy) -> Rows:
    """The smallest swept size from which a format is faster than bf16, by box."""
    formats = tuple(dict.fromkeys(t.format for t in study.timings if t.format != PLAIN))
    rows = []
    for name in study.options.boxes:
        known = study.formats(name)
        rows.append((name, *(_size(study, name, fmt) if fmt in known else "" for fmt in formats)))
    return ("box", *formats), rows


def sweep_table(study: TtftStudy, box: str) -> Rows:
    """Every swept size on *box*: time in bf16, and how often as fast the formats are."""
    formats = study.formats(box)
    found = {(t.format, t.nbytes): t for t in study.timings if t.box == box}
    rows = [
        (
            format_bytes_binary(nbytes),
            format_ps(found[PLAIN, nbytes].time_ps),
            *(f"{found[fmt, nbytes].speedup:.2f}" for fmt in formats[1:]),
        )
        for nbytes in study.options.sizes
    ]
    return ("size", PLAIN, *formats[1:]), rows


def all_to_all_table(study: TtftStudy) -> Rows:
    """All-to-alls of the largest swept size: how often as fast the formats are."""
    formats = tuple(dict.fromkeys(t.format for t in study.all_to_alls))
    found = {(t.box, t.format): t for t in study.all_to_alls}
    rows = [
        (
            name,
            format_ps(found[name, PLAIN].time_ps),
            *(f"{found[name, fmt].speedup:.2f}x" for fmt in formats[1:]),
        )
        for name in study.options.boxes
    ]
    return ("box", *formats), rows


def assumption_table(study: TtftStudy) -> Rows:
    """Share of communication in the first model's bf16 prefill, by share of the matrix peak."""
    peaks = tuple(dict.fromkeys(peak for _, peak, _ in study.shares))
    found = {(name, peak): share for name, peak, share in study.shares}
    rows = [
        (name, *(f"{100 * found[name, peak]:.1f} %" for peak in peaks))
        for name in study.options.boxes
    ]
    return ("box", *(f"{peak:g} of the peak" for peak in peaks)), rows


def claim_table(study: TtftStudy) -> Rows:
    """Every claim and what the study has beside it."""
    rows: list[tuple[str, ...]] = [
        (claim.what, claim.figure, f"{claim.source} ({claim.grade})", _beside(study, claim))
        for claim in CLAIMS
    ]
    return ("what", "stated", "source", "here"), rows


def study_markdown(study: TtftStudy) -> str:
    """The study as a page of tables."""
    options = study.options
    prompts = options.prompts
    first = options.models[0]
    parts = [
        "# Time to first token",
        f"{prompts.batch} prompts of {prompts.tokens} tokens, groups of {options.group} values, "
        f"overlap {options.overlap:g}. Lossless: {100 * (1 - float(study.coded_share)):.1f} % "
        f"saved on the all-reduces of trace {study.trace_name}. Nothing is measured on a GPU here; "
        "see docs/ttft.md.",
        f"## {first}",
        _markdown(first_token_table(study, first)),
        "## All models",
        _markdown(models_table(study, _common_formats(study))),
        "## Smallest swept size from which a format pays",
        _markdown(pays_table(study)),
        "## Beside what others state",
        _markdown(claim_table(study)),
        f"## What the share of the matrix peak does to communication's share, {first}",
        _markdown(assumption_table(study)),
        f"## All-to-all of {format_bytes_binary(options.sizes[-1])}",
        _markdown(all_to_all_table(study)),
    ]
    for name in options.boxes:
        parts += [f"## All-reduces on {name}: times as fast", _markdown(sweep_table(study, name))]
    return "\n\n".join(parts) + "\n"


def _common_formats(study: TtftStudy) -> tuple[str, ...]:
    """Formats that every box has, without bf16."""
    known = [study.formats(name) for name in study.options.boxes]
    return tuple(fmt for fmt in known[0][1:] if all(fmt in others for others in known))


def _wire_format(name: str) -> str:
    return name.split(" ", 1)[0]


def _size(study: TtftStudy, box: str, fmt: str) -> str:
    nbytes = study.pays_from(box, fmt)
    return "never" if nbytes is None else format_bytes_binary(nbytes)


def _beside(study: TtftStudy, claim: Claim) -> str:
    found = []
    for name in claim.boxes:
        for fmt in claim.formats:
            value = _measure(study, claim.measure, name, fmt)
            if value is not None:
                found.append(f"{name} {fmt}: {value}")
    return "; ".join(found) or "not studied"


def _measure(study: TtftStudy, measure: str, box: str, fmt: str) -> str | None:
    """What *study* has for *measure*, or None where box or format were not studied."""
    if box not in study.options.boxes or fmt not in study.formats(box):
        return None
    if measure == "size":
        return _size(study, box, fmt)
    if measure == "all-to-all":
        return _largest([t for t in study.all_to_alls if (t.box, t.format) == (box, fmt)])
    rows = [row for row in study.first_tokens if (row.box, row.format) == (box, fmt)]
    first: FirstTokenRow = rows[0]
    if measure == "share":
        return f"{100 * first.found.communication_share:.1f} %"
    if measure == "all-reduce":
        return f"{first.plain.all_reduce_ps / first.found.all_reduce_ps:.2f}x"
    return f"{first.speedup:.2f}x"


def _largest(timings: Sequence[Timing]) -> str | None:
    return f"{timings[-1].speedup:.2f}x" if timings else None


def _markdown(table: Rows) -> str:
    columns, rows = table
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
