"""Replaying a scenario: the same messages under every run, and what came of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from linksim import __version__
from linksim.codecs import CodebookSet, is_lossless, takes_codebooks
from linksim.codecs.book_building import build_books
from linksim.codecs.distortion import distortion, total_distortion
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.links import LinkPreset, link_preset
from linksim.network import EngineName, LinkResult, RunResult, TransferResult, simulate
from linksim.replay.metrics import RunMetrics, measure
from linksim.replay.scenario import Scenario, engine_of
from linksim.replay.schedule import Workload, select, sweep
from linksim.replay.topologies import network_of
from linksim.tensors.dtypes import format_of
from linksim.traces.store import MANIFEST_NAME, Trace, write_json
from linksim.traces.verify import check_schedule
from linksim.writing import written_whole

Progress = Callable[[str, int], None]
"""Called with the run's name and the flits simulated so far."""


@dataclass(frozen=True)
class ScenarioResult:
    """All runs of one scenario over one trace."""

    scenario: Scenario
    trace_name: str
    link: LinkPreset
    metrics: tuple[RunMetrics, ...]
    results: Mapping[str, RunResult]
    """By run name."""
    what_it_is: str = ""
    """What produced the trace's tensors, as its model card says."""

    def document(self) -> dict[str, Any]:
        """Summary, JSON-able."""
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.title,
            "linksim": __version__,
            "trace": self.trace_name,
            "what_it_is": self.what_it_is,
            "link": self.link.model_dump(mode="json"),
            "select": self.scenario.select.model_dump(),
            "runs": [metrics.document() for metrics in self.metrics],
        }


def replay(
    scenario: Scenario,
    trace: Trace,
    progress: Progress | None = None,
    engine_name: EngineName = "fast",
) -> ScenarioResult:
    """Replay *scenario* on *trace*, codebooks built on the trace's earlier batches.

    *engine_name*: what computes the flits' times, see `linksim.network.simulate`.
    """
    try:
        check_schedule(trace.manifest)
    except LinksimError as error:
        raise LinksimError(f"{trace.path / MANIFEST_NAME}: {error}") from None
    link = link_preset(scenario.link)
    engines = {run.name: engine_of(run) for run in scenario.run}
    workload = _exact_workload(scenario, trace)
    books = _books(scenario, trace)
    network = network_of(scenario.topology, scenario.network, workload.ranks, link)
    results, metrics = {}, []
    for run in scenario.run:
        engine = engines[run.name]
        chooser = CodecChooser(
            run.codec, run.view, run.profile, books=books, payload_nbytes=link.flit.payload_nbytes
        )
        own = _workload(scenario, trace, workload, chooser)
        tasks = list(own.tasks(chooser, engine))
        notify = None if progress is None else _named(progress, run.name)
        results[run.name] = simulate(tasks, network, progress=notify, engine=engine_name)
        snr_db = None if own is workload else _snr_db(workload, own)
        metrics.append(measure(run.name, run.codec, engine, results[run.name], snr_db))
    name, card = trace.manifest.name, trace.manifest.model
    return ScenarioResult(scenario, name, link, tuple(metrics), results, card.what_it_is)


def _workload(scenario: Scenario, trace: Trace, exact: Workload, chooser: CodecChooser) -> Workload:
    """What a run moves: the exact values, or what its lossy codec makes of them hop by hop."""
    if scenario.sweep is not None or is_lossless(chooser.codec):
        return exact
    return select(trace, scenario.select, scenario.collectives, lossy=chooser)


def _snr_db(exact: Workload, lossy: Workload) -> float | None:
    """Signal to noise ratio of all that communications end with, all ranks together."""
    return total_distortion(
        distortion(values, lossy.arrived[event][rank])
        for event, ranks in exact.arrived.items()
        for rank, values in ranks.items()
    ).snr_db


def _exact_workload(scenario: Scenario, trace: Trace) -> Workload:
    if scenario.sweep is None:
        return select(trace, scenario.select, scenario.collectives)
    wanted, from_batch = scenario.sweep, scenario.select.from_batch
    return sweep(trace, wanted.kind, wanted.message_nbytes, from_batch)


def _named(progress: Progress, name: str) -> Callable[[int], None]:
    return lambda flits: progress(name, flits)


def _books(scenario: Scenario, trace: Trace) -> CodebookSet | None:
    """Codebooks from what crossed the links in the earlier batches, partial sums and all."""
    views = {run.view for run in scenario.run if takes_codebooks(run.codec)}
    if not views:
        return None
    crossed = select(trace, scenario.select, scenario.collectives, earlier=True).messages
    if any(format_of(message.hop.values).bits < 16 for message in crossed):
        views.add("pooled")
    return build_books(
        ((message.kind, message.layer, message.hop.values) for message in crossed),
        sorted(views),
        f"{trace.manifest.name}, {scenario.select.phase} before batch {scenario.select.from_batch}",
        per_layer=scenario.codebooks == "layer" and scenario.sweep is None,
        quantizers=[q for run in scenario.run if (q := CodecChooser(run.codec).quantizer)],
    )


def write_results(result: ScenarioResult, out: Path) -> None:
    """Write `summary.json`, `messages.csv` and `links.csv` to the folder *out*."""
    out.mkdir(parents=True, exist_ok=True)
    _write_csv(out / "messages.csv", result, TransferResult, lambda run: run.transfers)
    _write_csv(out / "links.csv", result, LinkResult, lambda run: run.links)
    write_json(out / "summary.json", result.document())


def _write_csv(
    path: Path,
    result: ScenarioResult,
    row_type: type[TransferResult] | type[LinkResult],
    rows_of: Callable[[RunResult], tuple[Any, ...]],
) -> None:
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["run", *(field.name for field in fields(row_type))])
        writer.writeheader()
        for name, run in result.results.items():
            for row in rows_of(run):
                writer.writerow({"run": name, **asdict(row)})
