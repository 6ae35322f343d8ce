"""Which run of a scenario is best for each class of a trace's messages on the scenario's link.

Times at a class's own size are those of the replay, with all that happens at once in it. From which
size on a run pays is asked of single messages, alone on one link of the scenario.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from linksim.codecs import is_lossless
from linksim.codecs.quantized import LossyCodec
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.flash.quality import Deviation
from linksim.replay.metrics import event_latencies_ps
from linksim.replay.run import ScenarioResult, replay
from linksim.replay.scenario import Collectives, Run, Scenario, Selection, Sweep
from linksim.replay.schedule import Message, select
from linksim.replay.topologies import NetworkShape
from linksim.reports.tables import pays_from
from linksim.studies.advice import Advice, Candidate
from linksim.tensors.dtypes import format_of
from linksim.traces.manifest import CommunicationEvent
from linksim.traces.store import Trace


def advise_scenario(
    scenario: Scenario, trace: Trace, *, snr_floor_db: float, sizes: Sequence[int]
) -> tuple[Advice, ...]:
    """Advice for every class of the events that *scenario* selects: tensor kind and size.

    A lossy run's SNR is that of one coding of what crosses the links. *sizes*, rising, are those of
    single messages. LinksimError if the floor is not a number, there are fewer than two sizes, the
    scenario is a sweep, or the replay refuses it.
    """
    if math.isnan(snr_floor_db):
        raise LinksimError("SNR floor: not a number: expected dB")
    if len(sizes) < 2:
        raise LinksimError(f"sizes: {list(sizes)}: expected two or more")
    if scenario.sweep is not None:
        raise LinksimError(f"scenario {scenario.name!r} is a sweep: expected selected events alone")
    replayed = replay(scenario, trace)
    latencies = {
        name: event_latencies_ps(result.transfers) for name, result in replayed.results.items()
    }
    crossed = select(trace, scenario.select, scenario.collectives).messages
    swept: dict[str, ScenarioResult] = {}
    found = []
    for (kind, nbytes), events in _classes(trace, scenario.select, latencies).items():
        if kind not in swept:
            swept[kind] = _sweep(scenario, trace, kind, sizes)
        ids = {event.id for event in events}
        times = {name: sum(of[one] for one in ids) for name, of in latencies.items()}
        own = [message for message in crossed if message.event in ids]
        snrs = {run.name: _snr_db(run, own) for run in scenario.run}
        ranks = len(events[0].ranks)
        found.append(
            _advice((kind, nbytes, len(events), ranks), times, snrs, snr_floor_db, swept[kind])
        )
    return tuple(found)


def _classes(
    trace: Trace, wanted: Selection, latencies: Mapping[str, Mapping[str, int]]
) -> dict[tuple[str, int], list[CommunicationEvent]]:
    """The events that sent something, by tensor kind and bytes of the first rank's tensor."""
    sent = next(iter(latencies.values()))
    found: dict[tuple[str, int], list[CommunicationEvent]] = {}
    for event in trace.communications():
        if event.id in sent and event.phase == wanted.phase:
            name = next(iter(event.tensors.values()))
            tensor = trace.tensor(name)
            nbytes = format_of(tensor).nbytes(tensor.size)
            found.setdefault((trace.record(name).kind, nbytes), []).append(event)
    return dict(sorted(found.items()))


def _sweep(scenario: Scenario, trace: Trace, kind: str, sizes: Sequence[int]) -> ScenarioResult:
    """Single messages of *kind* in every run of *scenario*, alone on one of its links."""
    single = scenario.model_copy(
        update={
            "sweep": Sweep(kind=kind, message_nbytes=tuple(sizes)),
            "topology": "point-to-point",
            "network": NetworkShape(),
            "collectives": Collectives(),
        }
    )
    return replay(single, trace)


def _snr_db(run: Run, messages: Sequence[Message]) -> float | None:
    """SNR of one coding of *messages* by *run*; None if it is lossless."""
    if is_lossless(run.codec):
        return None
    chooser = CodecChooser(run.codec, run.view, run.profile)
    total = Deviation()
    for message in messages:
        values = message.hop.values
        codec, _ = chooser.codec_for(message.id, message.kind, message.layer, values)
        if not isinstance(codec, LossyCodec):
            raise LinksimError(f"run {run.name!r}: codec {run.codec!r} has no SNR known here")
        total += Deviation.of(values.astype(np.float64), codec.round_trip(values))
    return total.snr_db


def _advice(
    message: tuple[str, int, int, int],
    times: Mapping[str, int],
    snrs: Mapping[str, float | None],
    floor_db: float,
    swept: ScenarioResult,
) -> Advice:
    kind, nbytes, events, ranks = message
    names = list(times)
    candidates = tuple(
        Candidate(
            name,
            snrs[name],
            (snr := snrs[name]) is None or snr >= floor_db,
            times[names[0]] / max(1, times[name]),
            None if name == names[0] else pays_from(swept, name),
        )
        for name in names
    )
    accurate = [one.format for one in candidates if one.is_accurate]
    large = {name: _largest_ps(swept, name) for name in names}
    return Advice(
        kind,
        nbytes,
        events,
        ranks,
        candidates,
        best=min(accurate, key=lambda name: times[name]),
        best_when_large=min(accurate, key=lambda name: large[name]),
    )


def _largest_ps(swept: ScenarioResult, run: str) -> int:
    """Latency of the largest swept message."""
    latencies = event_latencies_ps(swept.results[run].transfers)
    return latencies[max(latencies, key=int)]
