"""A run as a timeline in the trace-event format, which Perfetto and chrome://tracing open.

Format: "Trace Event Format", Google, 2016. Times there are microseconds; a picosecond is 1e-6 of
one, so they are written with six decimals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linksim.network import ComputeResult, RunResult, TransferResult
from linksim.writing import written_whole

Event = dict[str, Any]

_COMPUTE_TRACK = 0


def write_timeline(result: RunResult, path: Path) -> None:
    """Write *result* to *path* (.json): computing by rank, messages by sender."""
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit": "ns", "traceEvents": [\n')
        file.write(",\n".join(json.dumps(event) for event in trace_events(result)))
        file.write("\n]}\n")


def trace_events(result: RunResult) -> Iterator[Event]:
    """The events of *result*.

    Every node is a process. A rank's computing is a slice on its track `compute`. A message is an
    asynchronous slice of its sender from ready to delivered, in three parts: `before the wire`
    (queueing, coding), `network` (first flit's start to last flit's arrival) and `decode`; its
    arguments hold sizes and shares.
    """
    nodes = [node for link in result.links for node in (link.source, link.destination)]
    nodes += [compute.rank for compute in result.computes]
    numbers = {node: number for number, node in enumerate(dict.fromkeys(nodes), 1)}
    for node, number in numbers.items():
        yield _named("process_name", number, _COMPUTE_TRACK, node)
        yield _named("thread_name", number, _COMPUTE_TRACK, "compute")
    for compute in result.computes:
        yield _slice(compute, numbers[compute.rank])
    for place, transfer in enumerate(result.transfers):
        yield from _message(transfer, numbers[transfer.source], place)


def _named(what: str, process: int, track: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": process, "tid": track, "args": {"name": name}}


def _slice(compute: ComputeResult, process: int) -> Event:
    return {
        "ph": "X",
        "name": compute.id,
        "cat": "compute",
        "pid": process,
        "tid": _COMPUTE_TRACK,
        "ts": _us(compute.start_ps),
        "dur": _us(compute.end_ps - compute.start_ps),
        "args": {"ready_ps": compute.ready_ps},
    }


def _message(transfer: TransferResult, process: int, place: int) -> Iterator[Event]:
    arguments = {
        name: getattr(transfer, name)
        for name in (
            "event",
            "destination",
            "hops",
            "raw_nbytes",
            "encoded_nbytes",
            "flits",
            "wire_nbytes",
            "queueing_ps",
            "encode_ps",
            "wire_ps",
            "decode_ps",
            "credit_stall_ps",
            "network_wait_ps",
        )
    }
    whole = f"{transfer.id} to {transfer.destination}"
    parts: tuple[tuple[str, int, int, Event], ...] = (
        (whole, transfer.ready_ps, transfer.delivered_ps, arguments),
        ("before the wire", transfer.ready_ps, transfer.first_flit_ps, {}),
        ("network", transfer.first_flit_ps, transfer.arrived_ps, {}),
        ("decode", transfer.arrived_ps, transfer.delivered_ps, {}),
    )
    for name, start_ps, end_ps, told in parts:
        if name != whole and start_ps == end_ps:
            continue
        common = {"name": name, "cat": "message", "id": place, "pid": process, "tid": 1}
        yield {"ph": "b", "ts": _us(start_ps), **common, "args": told}
        yield {"ph": "e", "ts": _us(end_ps), **common}


def _us(time_ps: int) -> float:
    return round(time_ps / 1e6, 6)
