"""`linksim link` and `linksim engine`: what ships, and what every number rests on."""

from __future__ import annotations

from typing import Annotated

import typer

from linksim.catalogue import Evidence
from linksim.cli.output import console, print_json, print_table
from linksim.engines import EngineRecord, engine_names, engine_record
from linksim.links import (
    FlitFormat,
    LinkFamily,
    LinkPreset,
    link_families,
    link_names,
    link_preset,
)
from linksim.units import format_ps

link_app = typer.Typer(no_args_is_help=True, help="Look at link presets and their evidence.")
engine_app = typer.Typer(no_args_is_help=True, help="Look at engine records and their evidence.")

LINK_COLUMNS = (
    *("link", "GB/s", "payload GB/s", "flit", "flit time", "flight", "credits", "pJ/bit"),
    *("bit errors", "retry"),
)
FORMAT_COLUMNS = ("family", "format", "flit", "header", "CRC", "payload", "efficiency", "up to")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@link_app.command("show")
def show_link(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Links (NAME/FORMAT for another flit format, NAME*n for n of them striped) "
            "or TOML files; default: all, and the formats of every family."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show links; a named one with source and evidence grade of every figure."""
    presets = [link_preset(name) for name in names or link_names()]
    if as_json:
        print_json([_link_document(preset) for preset in presets])
        return
    print_table("Links", LINK_COLUMNS, [_link_row(preset) for preset in presets])
    if names:
        for preset in presets:
            _print_evidence(preset.name, preset.description, preset.evidence)
    else:
        rows = [_format_row(family, part) for family in link_families() for part in family.formats]
        print_table("Flit formats, the first of a family unless named", FORMAT_COLUMNS, rows)


def _link_row(preset: LinkPreset) -> tuple[object, ...]:
    energy, retry = preset.energy_pj_per_bit, preset.retry
    return (
        preset.name,
        f"{preset.bits_per_second / 8e9:.1f}",
        f"{preset.payload_bytes_per_second / 1e9:.1f}",
        f"{preset.flit.payload_nbytes} of {preset.flit.nbytes} B",
        format_ps(preset.flit_ps),
        format_ps(preset.flight_ps),
        preset.credits,
        "not known" if energy is None else energy,
        f"{preset.bit_error_rate:g}",
        "none" if retry is None else retry.protocol,
    )


def _format_row(family: LinkFamily, part: FlitFormat) -> tuple[object, ...]:
    fastest = part.maximum_rate_gtps
    return (
        family.name,
        part.name,
        f"{part.nbytes} B",
        f"{part.header_nbytes} B",
        f"{part.crc_nbytes} B",
        f"{part.payload_nbytes} B",
        f"{100 * part.efficiency:.1f} %",
        "any rate" if fastest is None else f"{fastest:g} GT/s",
    )


def _link_document(preset: LinkPreset) -> dict[str, object]:
    derived = {
        "bits_per_second": preset.bits_per_second,
        "payload_bytes_per_second": preset.payload_bytes_per_second,
        "flit_ps": preset.flit_ps,
        "flight_ps": preset.flight_ps,
        "round_trip_ps": preset.round_trip_ps,
        "full_rate_credits": preset.full_rate_credits,
        "flit_error_rate": preset.flit_error_rate,
    }
    return {**preset.model_dump(mode="json"), "derived": derived}


@engine_app.command("show")
def show_engine(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Records, NAME*n for n copies, or TOML files; default: all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show engine records; a named one with source and evidence grade of every figure."""
    records = [engine_record(name) for name in names or engine_names()]
    if as_json:
        print_json([record.model_dump(mode="json") for record in records])
        return
    columns = ("engine", "codecs", "views", "GB/s", "encode", "decode", "per message", "um2")
    print_table("Engines", columns, [_engine_row(record) for record in records])
    if names:
        for record in records:
            _print_evidence(record.name, record.description, record.evidence)


def _engine_row(record: EngineRecord) -> tuple[object, ...]:
    rate, statistics = record.encoder_bytes_per_second, record.statistics
    areas = (record.encoder_area_um2, record.decoder_area_um2)
    return (
        record.name,
        ", ".join(record.codecs) or "any",
        ", ".join(record.views) or "any",
        "unlimited" if rate is None else f"{rate / 1e9:.0f}",
        f"{record.encoder.latency_cycles} cycles",
        f"{record.decoder.latency_cycles} cycles",
        "-" if statistics is None else f"count, then {statistics.build_cycles} cycles",
        "not known" if None in areas else " + ".join(f"{area:.0f}" for area in areas),
    )


def _print_evidence(name: str, description: str, evidence: tuple[Evidence, ...]) -> None:
    console.print(f"{name}: {description}", markup=False)
    rows = [(entry.field, entry.grade, entry.value, entry.source) for entry in evidence]
    print_table("Evidence", ("figure", "grade", "value", "source"), rows)
