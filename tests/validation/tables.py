"""Tables of collectives made from known endpoint figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from linksim.network.protocols import (
    OPS,
    Collective,
    EndpointProtocol,
    EndpointRecord,
    InSwitch,
    fastest_paths,
)
from linksim.validation.table import MeasuredRow

SIZES = tuple(512 << k for k in range(0, 21, 2))


def protocol(
    name: str, line: int, data: int, base_us: float, step_us: float, fraction: float
) -> EndpointProtocol:
    return EndpointProtocol(
        name=name,
        line_nbytes=line,
        data_nbytes=data,
        base_us=base_us,
        step_us=step_us,
        wire_fraction=fraction,
    )


KNOWN = EndpointRecord(
    name="known",
    description="figures that a fit must find again",
    gpus=("G1",),
    link="nvlink4-h100",
    all_to_all_steps=3.2,
    protocols=(
        protocol("LL", 8, 4, 5.0, 0.5, 0.05),
        protocol("LL128", 128, 120, 7.5, 1.2, 0.45),
        protocol("Simple", 128, 128, 22.0, 1.5, 0.8),
    ),
    in_switch=InSwitch(base_us=45.0, wire_fraction=0.7),
)

UNKNOWN = KNOWN.model_copy(
    update={
        "name": "unknown",
        "all_to_all_steps": 1.0,
        "protocols": tuple(
            p.model_copy(update={"base_us": 1.0, "step_us": 1.0, "wire_fraction": 0.1})
            for p in KNOWN.protocols
        ),
        "in_switch": InSwitch(base_us=1.0, wire_fraction=0.1),
    }
)
"""A record of the same form that says nothing of the figures."""


def made_rows(
    record: EndpointRecord = KNOWN, sizes: Sequence[int] = SIZES, n_gpus: Sequence[int] = (4, 8)
) -> list[MeasuredRow]:
    """What *record* says of all collectives, as if it had been measured."""
    collectives = [Collective(op, n, size) for op in OPS for n in n_gpus for size in sizes]
    times = fastest_paths(record, collectives)
    return [
        MeasuredRow(record.gpus[0], collective, time_us)
        for collective, (_, time_us) in zip(collectives, times, strict=True)
    ]


def write_table(path: Path, rows: Sequence[MeasuredRow]) -> Path:
    """*rows* as CSV, all-to-all spelled as nccl-tests does."""
    lines = ["gpu,n_gpus,collective,total_bytes,time_us"]
    for row in rows:
        op = row.collective.op.replace("all_to_all", "alltoall")
        nbytes = row.collective.nbytes
        lines.append(f"{row.gpu},{row.collective.n_gpus},{op},{nbytes},{row.time_us:.6f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_record(path: Path, record: EndpointRecord) -> Path:
    """*record* as a TOML file."""
    lines = [
        f'name = "{record.name}"',
        f'description = "{record.description}"',
        f"gpus = {list(record.gpus)}",
        f'link = "{record.link}"',
        f"all_to_all_steps = {record.all_to_all_steps}",
    ]
    for made in record.protocols:
        lines.append("[[protocols]]")
        lines += [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
            for key, value in made.model_dump().items()
        ]
    if record.in_switch is not None:
        lines.append("[in_switch]")
        lines += [f"{key} = {value}" for key, value in record.in_switch.model_dump().items()]
    path.write_text("\n".join(lines) + "\n")
    return path
