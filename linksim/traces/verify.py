"""What `linksim trace verify` checks beyond the schema."""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter

from linksim.errors import LinksimError
from linksim.traces.manifest import CommunicationEvent, Manifest
from linksim.traces.store import MANIFEST_NAME, Trace


def check_schedule(manifest: Manifest) -> None:
    """Check references and shapes of all events and that dependencies are acyclic."""
    counts = Counter(event.id for event in manifest.events)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise LinksimError(f"event {twice[0]!r}: two events have this id")
    for event in manifest.events:
        for other in event.after:
            if other not in counts:
                raise LinksimError(f"event {event.id!r}: after: no event is called {other!r}")
        if isinstance(event, CommunicationEvent):
            _check_tensors(event, manifest)
    try:
        TopologicalSorter({e.id: e.after for e in manifest.events}).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise LinksimError(f"events: after: dependencies form a cycle: {cycle}") from None


def _check_tensors(event: CommunicationEvent, manifest: Manifest) -> None:
    for rank, name in event.tensors.items():
        if name not in manifest.tensors:
            raise LinksimError(f"event {event.id!r}: tensors.{rank}: no tensor is called {name!r}")
    records = [manifest.tensors[name] for name in event.tensors.values()]
    first = records[0]
    for record in records:
        if record.dtype != first.dtype:
            raise LinksimError(
                f"event {event.id!r}: tensors: dtypes {first.dtype} and {record.dtype} are mixed"
            )
        if event.op != "all_gather" and record.shape != first.shape:
            raise LinksimError(
                f"event {event.id!r}: tensors: shapes {first.shape} and {record.shape} differ: "
                f"{event.op} expects one shape"
            )
    if event.op == "all_to_all" and (not first.shape or first.shape[0] % len(event.ranks)):
        raise LinksimError(
            f"event {event.id!r}: tensors: axis 0 of shape {first.shape} is not a multiple of "
            f"{len(event.ranks)} ranks, as all_to_all expects"
        )


def verify(trace: Trace) -> None:
    """Check every reference, shape, dtype, checksum and the schedule; LinksimError if one fails."""
    try:
        check_schedule(trace.manifest)
    except LinksimError as error:
        raise LinksimError(f"{trace.path / MANIFEST_NAME}: {error}") from None
    for name, record in trace.manifest.tensors.items():
        if record.shard and record.shard.index >= record.shard.count:
            raise LinksimError(
                f"{trace.path / MANIFEST_NAME}: tensors.{name}.shard.index: "
                f"{record.shard.index} is not below count {record.shard.count}"
            )
        trace.tensor(name)
