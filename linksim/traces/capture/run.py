"""The whole capture: checkpoint and text in, trace folder out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from linksim.traces.capture.checkpoint import Checkpoint
from linksim.traces.capture.geometry import Clock
from linksim.traces.capture.inference import run_inference
from linksim.traces.capture.optimizer import MasterAdamW
from linksim.traces.capture.phases import PhaseRecorder, tensor_file
from linksim.traces.capture.settings import CaptureSettings
from linksim.traces.capture.text import TokenizedText, tokenize
from linksim.traces.capture.training import StepRecorder, TrainingTensor
from linksim.traces.manifest import CommunicationEvent, ModelCard, legal_name
from linksim.traces.store import TraceWriter

Progress = Callable[[str], None]
"""Called with what was just finished: once per batch and once per fine-tuning step."""


def capture(
    settings: CaptureSettings,
    out: Path,
    *,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress = lambda finished: None,
) -> None:
    """Write the trace folder *out*, whole or not at all; LinksimError for bad input.

    Same settings, checkpoint, text, library versions and thread count give the same bytes.
    """
    checkpoint = Checkpoint.open(settings.checkpoint)
    settings.check_fits(checkpoint.geometry)
    name = name or legal_name(settings.checkpoint.resolve().name)
    with TraceWriter(out, name, overwrite=overwrite) as writer:
        text = tokenize(
            settings.text,
            settings.checkpoint,
            checkpoint.geometry.vocabulary,
            tokens=settings.tokens,
            count=settings.slices,
        )
        writer.model = _model_card(name, settings, checkpoint, text)
        writer.seeds = {"capture": settings.seed}
        torch.manual_seed(settings.seed)
        model = checkpoint.load()
        # Inference first: fine-tuning moves the weights.
        _capture_inference(writer, model, settings, checkpoint, text, progress)
        if settings.steps:
            _capture_training(writer, model, settings, checkpoint, text, progress)


def _capture_inference(
    writer: TraceWriter,
    model: Any,
    settings: CaptureSettings,
    checkpoint: Checkpoint,
    text: TokenizedText,
    progress: Progress,
) -> None:
    geometry = checkpoint.geometry
    recorder = PhaseRecorder(writer, geometry, Clock(settings.compute_tflops), settings.tokens)
    stages = geometry.stages(settings.pipeline_stages)
    for batch in range(settings.batches):
        kept = run_inference(
            model,
            text.slices[batch],
            tensor_parallel=settings.tensor_parallel,
            residual_layers=[stage[-1] for stage in stages[:-1]],
        )
        recorder.prefill(batch, kept)
        if settings.pipeline_stages > 1:
            recorder.pipeline(batch, kept, settings.pipeline_stages)
        recorder.handoff(batch, kept)
        progress(f"inference batch {batch}")


def _capture_training(
    writer: TraceWriter,
    model: Any,
    settings: CaptureSettings,
    checkpoint: Checkpoint,
    text: TokenizedText,
    progress: Progress,
) -> None:
    model.train()
    layers = settings.recorded_layers(checkpoint.geometry)
    optimizer = MasterAdamW(model, settings.learning_rate) if settings.steps > 1 else None
    gathered: str | None = None
    for step in range(settings.steps):
        recorder = StepRecorder(model, layers, settings.shards, settings.recorded_shards)
        loss = recorder.run(model, text.slices[step])
        gathered = _record_step(writer, step, recorder.tensors, gathered)
        # No tensor is recorded behind the last update, so it is not made.
        if optimizer and step < settings.steps - 1:
            optimizer.step()
        progress(f"fine-tuning step {step}, loss {loss:.3f}")


def _record_step(
    writer: TraceWriter, step: int, tensors: list[TrainingTensor], after: str | None
) -> str | None:
    """Add one step's tensors and its weight gathers, a chain behind *after*; returns its end."""
    weights: dict[tuple[int, str], dict[str, str]] = {}
    for tensor in tensors:
        rank = f"shard{tensor.shard.index}" if tensor.shard else None
        name = f"b{step}.l{tensor.layer}.{tensor.name}" + (f".{rank}" if rank else "")
        writer.add_tensor(
            name,
            tensor.values,
            kind=tensor.kind,
            file=tensor_file(step, "training"),
            batch=step,
            layer=tensor.layer,
            shard=tensor.shard,
        )
        if rank and tensor.kind in ("ffn1_weight", "ffn2_weight"):
            weights.setdefault((tensor.layer, tensor.name), {})[rank] = name
    for (layer, matrix), shards in weights.items():
        if len(shards) < 2:
            continue
        after = writer.add_event(
            CommunicationEvent(
                op="all_gather",
                id=f"b{step}.l{layer}.{matrix}.all_gather",
                ranks=tuple(shards),
                tensors=shards,
                after=(after,) if after else (),
                phase="training",
                batch=step,
            )
        )
    return after


def _model_card(
    name: str, settings: CaptureSettings, checkpoint: Checkpoint, text: TokenizedText
) -> ModelCard:
    told = dict(checkpoint.training)
    told.pop("architecture", None)
    origin = f"captured from {settings.checkpoint.resolve().name}"
    what_it_is = str(told.pop("what_it_is", origin))
    facts: dict[str, str | int | float | bool] = {
        **told,
        **asdict(checkpoint.geometry),
        "dtype": "bf16",
        "tokens_per_batch": settings.tokens,
        "batches": settings.batches,
        "tensor_parallel": settings.tensor_parallel,
        "pipeline_stages": settings.pipeline_stages,
        "compute_durations": (
            f"modelled: matrix operations / ({settings.compute_tflops:g} x 1e12 per second)"
        ),
        "fine_tuning_steps": settings.steps,
        "text_file": text.name,
        "text_sha256": text.sha256,
        "tokenizer": text.tokenizer,
        "torch_version": torch.__version__,
        "transformers_version": transformers.__version__,
    }
    if settings.steps:
        facts |= {
            "fine_tuning_optimizer": "AdamW on float32 master weights, loss on the second half",
            "fine_tuning_learning_rate": settings.learning_rate,
            "shards": settings.shards,
            "recorded_shards": len(settings.recorded_shards),
        }
    return ModelCard(
        name=name, what_it_is=what_it_is, architecture=checkpoint.architecture, facts=facts
    )
