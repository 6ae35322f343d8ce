"""`linksim replay`: scenarios over a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from linksim.cli.output import console, messages, print_json, print_table
from linksim.errors import LinksimError
from linksim.network import ENGINES, EngineName
from linksim.replay.run import ScenarioResult, replay, write_results
from linksim.replay.scenario import Scenario, load_scenario
from linksim.reports.tables import (
    REPLAY_COLUMNS,
    replay_rows,
    summary_markdown,
    sweep_remark,
)
from linksim.reports.timeline import write_timeline
from linksim.traces.store import Trace, write_json
from linksim.writing import written_whole


def replay_command(
    scenarios: Annotated[list[Path], typer.Argument(help="Scenario files (TOML).")],
    trace: Annotated[Path, typer.Option(help="Trace folder.")] = Path("traces/bundled"),
    out: Annotated[
        Path | None, typer.Option(help="Folder for summary.json, CSVs and figures.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="fast, or reference: the same times by the readable model, slowly.")
    ] = "fast",
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Write NAME/RUN.timeline.json for Perfetto too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay scenarios over a trace: bytes, latencies and what limits, codec by codec."""
    loaded = [load_scenario(path) for path in scenarios]
    names = [scenario.name for scenario in loaded]
    for path, name in zip(scenarios, names, strict=True):
        if names.count(name) > 1:
            raise LinksimError(f"{path}: name: two scenarios are called {name!r}")
    if engine not in ENGINES:
        raise LinksimError(f"unknown engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if timeline and out is None:
        raise LinksimError("--timeline needs --out: a folder to write to")
    if out is not None:
        _check_folder(out)
    opened = Trace.open(trace)
    results = _replay_all(dict(zip(scenarios, loaded, strict=True)), opened, engine)
    if out is not None:
        _write_all(results, opened, out)
    if out is not None and timeline:
        _write_timelines(results, out)
    if as_json:
        print_json([result.document() for result in results])
        return
    card = opened.manifest.model
    console.print(f"Trace {opened.manifest.name}: {card.what_it_is}", markup=False, soft_wrap=True)
    for result in results:
        if result.scenario.sweep is None:
            print_table(result.scenario.title, REPLAY_COLUMNS, replay_rows(result))
        else:
            console.print(
                f"{result.scenario.title}: {sweep_remark(result)}", markup=False, soft_wrap=True
            )
    if out is not None:
        where = f"Summary, messages, links and figures are in {out}"
        console.print(where, markup=False, soft_wrap=True)


def _check_folder(out: Path) -> None:
    """Refuse an output that can be no folder before any time is spent."""
    there = next(path for path in (out, *out.parents) if path.exists())
    if not there.is_dir():
        raise LinksimError(f"{there}: not a folder, so no results can go to {out}")


def _replay_all(
    scenarios: dict[Path, Scenario], trace: Trace, engine: EngineName
) -> list[ScenarioResult]:
    description = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), description, TimeElapsedColumn())
    results = []
    quiet = not messages.is_terminal
    with Progress(*columns, console=messages, transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=None)
        for index, (path, scenario) in enumerate(scenarios.items(), 1):
            head = f"[{index}/{len(scenarios)}] {scenario.title}"

            def show(run: str, flits: int, head: str = head) -> None:
                progress.update(task, description=f"{head}: {run}, {flits} flits")

            try:
                results.append(replay(scenario, trace, show, engine))
            except LinksimError as error:
                raise LinksimError(f"{path}: {error}") from None
    return results


def _write_timelines(results: list[ScenarioResult], out: Path) -> None:
    for result in results:
        for run, found in result.results.items():
            write_timeline(found, out / result.scenario.name / f"{run}.timeline.json")


def _write_all(results: list[ScenarioResult], trace: Trace, out: Path) -> None:
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.reports.figures import bytes_figure, latency_figure, sweep_figure

    swept = [result for result in results if result.scenario.sweep is not None]
    replayed = [result for result in results if result.scenario.sweep is None]
    for result in results:
        folder = out / result.scenario.name
        write_results(result, folder)
        if result in swept:
            sweep_figure([result], folder / "sweep.png")
        else:
            latency_figure([result], folder / "latency.png")
    card = trace.manifest.model
    page = summary_markdown(results, f"{trace.manifest.name}: {card.what_it_is}")
    with written_whole(out / "summary.md") as part:
        part.write_text(page, encoding="utf-8")
    write_json(out / "summary.json", [result.document() for result in results])
    if swept:
        sweep_figure(swept, out / "sweep.png")
    if replayed:
        latency_figure(replayed, out / "latency.png")
        bytes_figure(replayed, out / "bytes.png")
