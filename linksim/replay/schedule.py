"""A trace's events as tasks for the network: hops with values, then hops with coded sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from linksim.codecs.selection import CodecChooser
from linksim.engines import EngineRecord
from linksim.errors import LinksimError
from linksim.network import Coding, Compute, Expansion, Hop, Task, Transfer, expand
from linksim.network.collectives.expansion import Values
from linksim.replay.scenario import Collectives, Selection
from linksim.tensors.dtypes import format_of
from linksim.traces.manifest import CommunicationEvent, ComputeEvent, Event, TensorRecord
from linksim.traces.store import Trace

_DEFAULTS = Collectives()


@dataclass(frozen=True)
class Message:
    """One hop of an event: its values, and the tasks it waits for."""

    id: str
    event: str
    kind: str
    layer: int | None
    hop: Hop
    after: tuple[str, ...]


@dataclass(frozen=True)
class Workload:
    """What a selection of a trace moves, before any codec is chosen."""

    computes: tuple[Compute, ...]
    messages: tuple[Message, ...]
    arrived: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    """What every communication ends with, by event and rank; empty for a sweep."""

    @property
    def ranks(self) -> tuple[str, ...]:
        """All ranks, in order of first appearance."""
        named = [rank for m in self.messages for rank in (m.hop.source, m.hop.destination)]
        return tuple(dict.fromkeys(named))

    def tasks(self, chooser: CodecChooser, engine: EngineRecord | None) -> Iterator[Task]:
        """All tasks, each message with what the chosen codec makes of its values."""
        yield from self.computes
        for message in self.messages:
            hop = message.hop
            yield Transfer(
                id=message.id,
                source=hop.source,
                destination=hop.destination,
                coding=_coding(message, chooser, engine),
                after=message.after,
                event=message.event,
            )


def _coding(message: Message, chooser: CodecChooser, engine: EngineRecord | None) -> Coding:
    values = message.hop.values
    if engine is None:
        return Coding.plain(format_of(values).nbytes(values.size))
    codec, view = chooser.codec_for(message.id, message.kind, message.layer, values)
    if engine.views and view.name not in engine.views:
        # Formats of at most 8 bits have the pooled view alone, whatever the run asks for.
        raise LinksimError(
            f"message {message.id!r}: engine {engine.name!r} is stated for views "
            f"{', '.join(engine.views)}: {view.fmt.name} values have {view.name!r} alone"
        )
    segments = codec.segments(values)
    return Coding(segments.raw_nbytes, segments.wire_nbytes, engine)


def select(
    trace: Trace,
    selection: Selection,
    collectives: Collectives = _DEFAULTS,
    *,
    earlier: bool = False,
    lossy: CodecChooser | None = None,
) -> Workload:
    """The events of *trace* that *selection* names, expanded into hops with their true values.

    *collectives* says by which algorithms. *earlier* takes the batches before the selection's,
    those that codebooks are built on. With *lossy* every hop's values arrive as its codec leaves
    them, and are added and sent on so.

    A hop that starts its event waits for everything the event waits for; a dependency on an event
    outside the selection counts as done.
    """
    chosen = [event for event in trace.manifest.events if _is_selected(event, selection, earlier)]
    if not any(isinstance(event, CommunicationEvent) for event in chosen):
        raise _nothing_selected(trace, selection, earlier)
    expanded = {
        event.id: _expand(trace, event, collectives, lossy)
        for event in chosen
        if isinstance(event, CommunicationEvent)
    }
    hops = {name: expansion.hops for name, expansion in expanded.items()}
    parts = {name: tuple(f"{name}/{hop.id}" for hop in of) for name, of in hops.items()}
    parts |= {e.id: (e.id,) for e in chosen if isinstance(e, ComputeEvent)}
    after = {e.id: e.after for e in chosen}

    def ends(name: str) -> tuple[str, ...]:
        """Tasks that end event *name*: an event without any ends as those before it do."""
        return parts.get(name) or tuple(p for other in after.get(name, ()) for p in ends(other))

    waits = {e.id: tuple(p for name in e.after for p in ends(name)) for e in chosen}
    return Workload(
        tuple(
            Compute(e.id, e.rank, e.duration_ps if selection.compute else 0, waits[e.id])
            for e in chosen
            if isinstance(e, ComputeEvent)
        ),
        tuple(
            Message(
                f"{event.id}/{hop.id}",
                event.id,
                _record(trace, event).kind,
                _record(trace, event).layer,
                hop,
                tuple(f"{event.id}/{name}" for name in hop.after) or waits[event.id],
            )
            for event in chosen
            if isinstance(event, CommunicationEvent)
            for hop in hops[event.id]
        ),
        {name: expansion.result for name, expansion in expanded.items()},
    )


def _nothing_selected(trace: Trace, selection: Selection, earlier: bool) -> LinksimError:
    batches: dict[str, set[int]] = {}
    for event in trace.communications():
        batches.setdefault(event.phase, set()).add(event.batch)
    if selection.phase not in batches:
        known = ", ".join(sorted(batches)) or "none"
        return LinksimError(
            f"{trace.path}: select.phase: nothing is communicated in phase {selection.phase!r}: "
            f"the trace has phases {known}"
        )
    wanted = f"before batch {selection.from_batch} to build codebooks on"
    if not earlier:
        wanted = f"from batch {selection.from_batch} on"
    known = ", ".join(str(batch) for batch in sorted(batches[selection.phase]))
    return LinksimError(
        f"{trace.path}: select.from_batch: phase {selection.phase!r} has nothing {wanted}: its "
        f"batches are {known}"
    )


def _is_selected(event: Event, selection: Selection, earlier: bool) -> bool:
    in_batches = (event.batch < selection.from_batch) == earlier
    return event.phase == selection.phase and in_batches


def _expand(
    trace: Trace,
    event: CommunicationEvent,
    collectives: Collectives,
    lossy: CodecChooser | None,
) -> Expansion:
    tensors = {rank: trace.tensor(name) for rank, name in event.tensors.items()}
    record = _record(trace, event)

    def round_trip(values: Values) -> Values:
        if lossy is None:
            return values
        codec, _ = lossy.codec_for(event.id, record.kind, record.layer, values)
        return codec.round_trip(values)

    return expand(event.op, event.ranks, tensors, round_trip, **collectives.options(event.op))


def _record(trace: Trace, event: CommunicationEvent) -> TensorRecord:
    """The record of the first tensor: an event's tensors are of one kind and layer."""
    return trace.record(next(iter(event.tensors.values())))


def sweep(trace: Trace, kind: str, message_nbytes: Sequence[int], from_batch: int) -> Workload:
    """One message of every size, each after the one before, with values of tensors of *kind*.

    The event of a message is its size in bytes.
    """
    chosen = [
        trace.tensor(name).reshape(-1)
        for name, record in trace.manifest.tensors.items()
        if record.kind == kind and record.batch >= from_batch
    ]
    if not sum(values.size for values in chosen):
        kinds = sorted({record.kind for record in trace.manifest.tensors.values()})
        raise LinksimError(
            f"{trace.path}: sweep.kind: no {kind!r} from batch {from_batch} on: the trace has "
            f"{', '.join(kinds)}"
        )
    if len({values.dtype for values in chosen}) > 1:
        raise LinksimError(f"{trace.path}: sweep.kind: tensors of {kind!r} have different dtypes")
    pool = np.concatenate(chosen)
    messages: list[Message] = []
    for nbytes in message_nbytes:
        values = np.resize(pool, nbytes * 8 // format_of(pool).bits)
        after = (messages[-1].id,) if messages else ()
        hop = Hop("0", "source", "destination", values, ())
        messages.append(Message(f"{nbytes}/0", str(nbytes), kind, None, hop, after))
    return Workload((), tuple(messages))
