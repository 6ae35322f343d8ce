"""The study of how codebooks age: figures, tables and a JSON document of histogram archives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linksim.errors import LinksimError
from linksim.studies.aging import RunAging, aging
from linksim.studies.aging_figures import (
    aging_figure,
    kl_figure,
    layers_figure,
    run_title,
    shown_books,
)
from linksim.traces.histograms import HistogramArchive, RecordCard

FIGURE_VIEW = "pooled"
"""View of the heat maps: both bytes of a value in one alphabet, as in arXiv 2601.10673."""

Table = tuple[str, tuple[str, ...], list[tuple[object, ...]]]
"""Title, columns, rows."""


def aging_study(archives: Sequence[HistogramArchive], out: Path) -> dict[str, Any]:
    """Write `kl.png`, `aging.png` and `layers.png` to folder *out*; return all figures, JSON-able.

    Heat maps are of the first archive recorded shard by shard. LinksimError if there is none.
    """
    runs = [aging(archive) for archive in archives]
    write_figures(runs, out)
    return study_document(runs)


def study_document(runs: Sequence[RunAging]) -> dict[str, Any]:
    """The figures of all *runs*, JSON-able."""
    return {"runs": [run.document() for run in runs]}


def write_figures(runs: Sequence[RunAging], out: Path) -> tuple[Path, ...]:
    """Write the three figures to folder *out*, made if missing; returns their paths."""
    check_archives([run.card for run in runs])
    sharded = next(run for run in runs if run.card.shard_steps)
    view = next((v for v in sharded.views if v.view == FIGURE_VIEW), sharded.views[0])
    first = sharded.card.shard_steps[0]
    out.mkdir(parents=True, exist_ok=True)
    paths = tuple(out / f"{name}.png" for name in ("kl", "aging", "layers"))
    shards = [found for found in view.over_shards if found.step == first]
    kl_figure(sharded.card, shards, view.view, paths[0])
    aging_figure(runs, paths[1])
    step = sharded.card.steps[0]
    layers = [found for found in view.over_layers if found.step == step]
    layers_figure(sharded.card, layers, view.view, paths[2])
    return paths


def check_archives(cards: Sequence[RecordCard]) -> None:
    """LinksimError unless the archives of *cards* can be studied together."""
    if not any(card.shard_steps for card in cards):
        raise LinksimError("no archive was recorded shard by shard: expected one with shard_steps")
    for card in cards:
        if len(card.steps) < 2:
            raise LinksimError(
                f"{card.model}: steps: only step {card.steps[0]} was recorded: expected two or more"
            )
        if card.views != cards[0].views:
            raise LinksimError(
                f"{card.model}: views: {', '.join(card.views)}: expected "
                f"{', '.join(cards[0].views)} as in the first archive"
            )


def study_tables(runs: Sequence[RunAging]) -> list[Table]:
    """The tables of all *runs*: shards, steps and layers, by view."""
    tables: list[Table] = []
    for run in runs:
        for view in run.card.views:
            tables += _shard_tables(run, view)
            tables += [_step_table(run, view, built) for built in shown_books(run.card)]
            tables.append(_layer_table(run, view))
    return tables


def _shard_tables(run: RunAging, view: str) -> list[Table]:
    columns: tuple[str, ...] = (
        "kind",
        "KL mean, bit",
        "KL max, bit",
        "by sampling, bit",
        "one book, mean",
        "one book, max",
        "book per layer, mean",
        "book per layer, max",
    )
    tables: list[Table] = []
    for step in run.card.shard_steps:
        rows: list[tuple[object, ...]] = [
            (
                found.kind,
                f"{found.divergence_bits.mean():.4f}",
                f"{found.divergence_bits.max():.4f}",
                f"{found.sampling_bits:.4f}",
                *(
                    f"{value:+.2f} %"
                    for cost in (found.over_huffman_percent, found.layer_book_percent)
                    for value in (cost.mean(), cost.max())
                ),
            )
            for found in run.view(view).over_shards
            if found.step == step
        ]
        title = f"{run_title(run.card)}: shards at step {step} against their average, {view}"
        tables.append((title, columns, rows))
    return tables


def _step_table(run: RunAging, view: str, built: int) -> Table:
    curves = {aged.kind: aged.curve(built) for aged in run.view(view).over_steps}
    ages, _ = next(iter(curves.values()))
    columns = ("kind", *(f"age {age}" for age in ages))
    rows: list[tuple[object, ...]] = [
        (kind, *(f"{cost:+.2f}" for cost in percent)) for kind, (_, percent) in curves.items()
    ]
    title = (
        f"{run_title(run.card)}: book of step {built}, {view}, above own Huffman in percent by age "
        "in steps"
    )
    return title, columns, rows


def _layer_table(run: RunAging, view: str) -> Table:
    columns = (
        "kind",
        "step",
        "another layer's book, mean",
        "another layer's book, max",
        "one book for all, mean",
        "one book for all, max",
    )
    rows: list[tuple[object, ...]] = [
        (
            found.kind,
            found.step,
            *(
                f"{value:+.2f} %"
                for cost in (found.foreign_percent, found.average_percent)
                for value in ((cost.mean(), cost.max()) if cost.size else (0.0, 0.0))
            ),
        )
        for found in run.view(view).over_layers
    ]
    return f"{run_title(run.card)}: layers over own Huffman, {view}", columns, rows
