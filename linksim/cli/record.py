"""`linksim trace record`: histograms of a training run, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from linksim.cli.output import console, messages, print_json
from linksim.errors import LinksimError
from linksim.units import format_bytes

if TYPE_CHECKING:
    from linksim.traces.capture.recording import RecordSettings
    from linksim.traces.histograms import HistogramArchive


def _step_list(text: str, flag: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise LinksimError(f"{flag} {text!r}: expected step numbers such as 0,1,16") from None


def record_command(
    checkpoint: Annotated[Path, typer.Argument(help="Directory of a Gemma 1, 2 or 3 text model.")],
    text: Annotated[Path, typer.Option(help="UTF-8 text file to train on.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Histogram archive to write (.npz).")],
    steps: Annotated[int, typer.Option(help="Updates of the weights.")] = 256,
    tokens: Annotated[int, typer.Option(help="Tokens per step; one step is one sequence.")] = 128,
    shards: Annotated[int, typer.Option(help="Shards of the FFN width.")] = 64,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Start from random weights.")
    ] = False,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of AdamW; default: 2e-5, from scratch 1e-3.")
    ] = None,
    record_steps: Annotated[
        str | None,
        typer.Option(
            help="Steps to record, such as 0,1,16; default: 0, 1, 2, 4, ... and the last."
        ),
    ] = None,
    shard_steps: Annotated[
        str, typer.Option(help="Those recorded shard by shard, too, such as 0,256, or none.")
    ] = "0",
    seed: Annotated[int, typer.Option(help="Seed of PyTorch's generator.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a local Gemma checkpoint and record histograms of its FFN tensors, not values.

    Recorded are weights, activations and their gradients of FFN1 and FFN2, by layer at every
    recorded step and by shard where asked for. Needs PyTorch and transformers (linksim's extra
    "capture").
    """
    if out.is_dir():
        raise LinksimError(f"{out}: a folder: expected the name of a file to write")
    from linksim.traces.capture.recording import RecordSettings

    settings = RecordSettings(
        checkpoint=checkpoint,
        text=text,
        steps=steps,
        tokens=tokens,
        shards=shards,
        from_scratch=from_scratch,
        learning_rate=learning_rate,
        record_steps=None if record_steps is None else _step_list(record_steps, "--record-steps"),
        shard_steps=() if shard_steps == "none" else _step_list(shard_steps, "--shard-steps"),
        seed=seed,
    )
    archive = _record(settings)
    archive.save(out)
    card, nbytes = archive.card, out.stat().st_size
    if as_json:
        print_json({"path": str(out), "nbytes": nbytes, **card.model_dump(mode="json")})
        return
    console.print(
        f"{out}: {format_bytes(nbytes)}, {len(card.kinds)} kinds, {card.layers} layers, steps "
        f"{', '.join(map(str, card.steps))}; loss {card.losses[0]:.3f} to {card.losses[-1]:.3f}",
        markup=False,
        soft_wrap=True,
    )


def _record(settings: RecordSettings) -> HistogramArchive:
    from linksim.traces.capture.recording import record

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not messages.is_terminal
    with Progress(*columns, console=messages, transient=True, disable=hidden) as bar:
        task = bar.add_task("loading", total=settings.recorded[-1] + 1)
        return record(
            settings,
            progress=lambda finished: bar.update(task, advance=1, description=finished),
        )
