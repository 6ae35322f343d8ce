"""`linksim trace`: look at, check, capture and import traces."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from linksim.cli.output import console, messages, print_json, print_table
from linksim.cli.record import record_command
from linksim.errors import LinksimError
from linksim.tensors.dtypes import FORMAT_NAMES, number_format
from linksim.traces.importers import import_dumps
from linksim.traces.store import Trace
from linksim.traces.summary import KindSummary, count_events, summarize
from linksim.traces.verify import verify
from linksim.units import format_bytes

if TYPE_CHECKING:
    from linksim.traces.capture import CaptureSettings

app = typer.Typer(no_args_is_help=True, help="Look at, check, capture and import traces.")
app.command("record")(record_command)

TracePath = Annotated[Path, typer.Argument(help="Trace folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option("--out", help="Trace folder to write.")]
Name = Annotated[str | None, typer.Option(help="Name of the trace; default: the source's name.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing trace.")]


@app.command("verify")
def verify_command(path: TracePath, as_json: AsJson = False) -> None:
    """Check every reference, shape, dtype, checksum, and that dependencies are acyclic."""
    trace = Trace.open(path)
    verify(trace)
    ops = Counter(event.op for event in trace.manifest.events)
    if as_json:
        print_json({"path": str(path), "tensors": len(trace.manifest.tensors), "events": dict(ops)})
    else:
        counted = ", ".join(f"{count} {op}" for op, count in ops.items()) or "no events"
        _print_line(f"{path}: whole: {len(trace.manifest.tensors)} tensors, {counted}")


@app.command("info")
def info_command(path: TracePath, as_json: AsJson = False) -> None:
    """Show what the tensors are, how large and how random, and the events that move them."""
    trace = Trace.open(path)
    kinds, events = summarize(trace), count_events(trace.manifest)
    model = trace.manifest.model
    if as_json:
        print_json(
            {
                "name": trace.manifest.name,
                "model": model.model_dump(mode="json"),
                "seeds": trace.manifest.seeds,
                "kinds": [asdict(kind) for kind in kinds],
                "events": [{"phase": p, "op": op, "count": count} for p, op, count in events],
            }
        )
        return
    print_table(f"{trace.manifest.name}: {model.what_it_is}", _KIND_COLUMNS, _kind_rows(kinds))
    print_table("Events by phase", ("phase", "op", "events"), events)
    card = [("architecture", model.architecture), *model.facts.items()]
    card += [(f"seed: {use}", seed) for use, seed in trace.manifest.seeds.items()]
    print_table("Model card", ("fact", "value"), [row for row in card if row[1] != ""])


_KIND_COLUMNS = (
    "kind",
    "dtype",
    "tensors",
    "layers",
    "batches",
    "shapes",
    "values",
    "size",
    "entropy, bit/byte",
    "exponent, bit",
)


def _kind_rows(kinds: list[KindSummary]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for kind in kinds:
        shapes = dict.fromkeys(str(list(s)) for s in (kind.smallest_shape, kind.largest_shape))
        exponent = kind.exponent_entropy_bits
        # Formats below 8 bits have no bytes: their symbols are whole values.
        unit = " (per value)" if number_format(kind.dtype).bits < 8 else ""
        rows.append(
            (
                kind.kind,
                kind.dtype,
                kind.tensors,
                kind.layers or "-",
                kind.batches,
                " to ".join(shapes),
                kind.values,
                format_bytes(kind.nbytes),
                f"{kind.pooled_entropy_bits:.3f}{unit}",
                "-" if exponent is None else f"{exponent:.3f}",
            )
        )
    return rows


def _print_written(path: Path, as_json: bool) -> None:
    manifest = Trace.open(path).manifest
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    tensors, events = len(manifest.tensors), len(manifest.events)
    if as_json:
        counted = [{"phase": p, "op": op, "count": n} for p, op, n in count_events(manifest)]
        print_json({"path": str(path), "nbytes": size, "tensors": tensors, "events": counted})
        return
    _print_line(f"{path}: {format_bytes(size)}, {tensors} tensors, {events} events")
    for phase, op, count in count_events(manifest):
        _print_line(f"  {phase}: {count} {op}")


def _print_line(text: str) -> None:
    """Print *text* as it is: a bracket in a path is no markup, a long path is not wrapped."""
    console.print(text, markup=False, soft_wrap=True)


@app.command("import")
def import_command(
    files: Annotated[list[Path], typer.Argument(help="Dumps: .safetensors, .npy or .npz files.")],
    out: Out,
    kind: Annotated[
        str | None, typer.Option(help="Kind of all tensors; default: made of each tensor's key.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help=f"Cast floats to this format ({', '.join(FORMAT_NAMES)}); float32 and float64 "
            "need it."
        ),
    ] = None,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a trace of tensor dumps: one tensor per entry, one send per tensor."""
    import_dumps(files, out, kind=kind, dtype=dtype, name=name, overwrite=overwrite)
    _print_written(out, as_json)


def _layer_list(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise LinksimError(
            f"--training-layers {text!r}: expected layer numbers such as 0,5"
        ) from None


Checkpoint = Annotated[
    Path,
    typer.Option(
        "--checkpoint", help="Directory of a Gemma 1, 2 or 3 text model in Hugging Face format."
    ),
]
Text = Annotated[Path, typer.Option(help="UTF-8 text file to run the model on.")]
Tokens = Annotated[int, typer.Option(help="Tokens per batch.")]
Batches = Annotated[
    int, typer.Option(help="Batches; each is one slice, spread evenly over the text.")
]
TensorParallel = Annotated[
    int, typer.Option(help="Ranks that share each layer; 1 records no partial sums.")
]
PipelineStages = Annotated[
    int, typer.Option(help="Stages the layers are cut into; 1 records no residuals.")
]
ComputeTflops = Annotated[
    float, typer.Option(help="TFLOP/s of one rank, for modelled compute durations.")
]
TrainingSteps = Annotated[
    int | None, typer.Option(help="Fine-tuning steps, 0 for none; default: one per batch.")
]
TrainingLayers = Annotated[
    str | None, typer.Option(help="Layers recorded while fine-tuning, such as 0,5; default: all.")
]
Shards = Annotated[int, typer.Option(help="Shards of the FFN width while fine-tuning.")]
RecordShards = Annotated[
    int | None, typer.Option(help="Evenly spaced shards that are stored; default: all.")
]
LearningRate = Annotated[float, typer.Option(help="Of the fine-tuning steps (AdamW).")]
Seed = Annotated[int, typer.Option(help="Seed of PyTorch's generator.")]


@app.command("capture")
def capture_command(
    checkpoint: Checkpoint,
    text: Text,
    out: Out,
    tokens: Tokens = 128,
    batches: Batches = 3,
    tensor_parallel: TensorParallel = 4,
    pipeline_stages: PipelineStages = 2,
    compute_tflops: ComputeTflops = 100.0,
    training_steps: TrainingSteps = None,
    training_layers: TrainingLayers = None,
    shards: Shards = 64,
    record_shards: RecordShards = None,
    learning_rate: LearningRate = 2e-5,
    seed: Seed = 0,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Run a local Gemma checkpoint and record what crosses links, with its values.

    Recorded are tensor-parallel partial sums, residuals between pipeline stages, the KV cache
    handed from prefill to decode, and FFN shards of fine-tuning steps. Needs PyTorch and
    transformers (linksim's extra "capture").
    """
    from linksim.traces.capture import CaptureSettings

    settings = CaptureSettings(
        checkpoint=checkpoint,
        text=text,
        tokens=tokens,
        batches=batches,
        tensor_parallel=tensor_parallel,
        pipeline_stages=pipeline_stages,
        compute_tflops=compute_tflops,
        training_steps=training_steps,
        training_layers=_layer_list(training_layers),
        shards=shards,
        record_shards=record_shards,
        learning_rate=learning_rate,
        seed=seed,
    )
    _capture(settings, out, name, overwrite)
    _print_written(out, as_json)


def _capture(settings: CaptureSettings, out: Path, name: str | None, overwrite: bool) -> None:
    from linksim.traces.capture import capture

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not messages.is_terminal
    with Progress(*columns, console=messages, transient=True, disable=hidden) as bar:
        task = bar.add_task("loading", total=settings.batches + settings.steps)
        capture(
            settings,
            out,
            name=name,
            overwrite=overwrite,
            progress=lambda finished: bar.update(task, advance=1, description=finished),
        )
