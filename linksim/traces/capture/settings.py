"""What to capture, and whether a given model can be cut that way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from linksim.errors import LinksimError
from linksim.traces.capture.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class CaptureSettings:
    """The options of `linksim trace capture`; LinksimError names the option that is wrong."""

    checkpoint: Path
    """Directory with `config.json` and `.safetensors` weights."""
    text: Path
    """Text file whose evenly spread slices are the batches."""
    tokens: int = 128
    """Tokens per batch; one batch is one sequence."""
    batches: int = 3
    tensor_parallel: int = 4
    """Ranks that share every layer; 1 records no partial sums."""
    pipeline_stages: int = 2
    """Stages that the layers are cut into; 1 records no residuals."""
    compute_tflops: float = 100.0
    """Rate behind the modelled durations of compute events."""
    training_steps: int | None = None
    """Fine-tuning steps; none given means one per batch."""
    training_layers: tuple[int, ...] | None = None
    """Layers recorded while fine-tuning; none given means all."""
    shards: int = 64
    """Shards of the FFN width while fine-tuning; arXiv 2601.10673 uses 64."""
    record_shards: int | None = None
    """How many evenly spaced shards are stored; none given means all."""
    learning_rate: float = 2e-5
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("tokens", "batches", "tensor_parallel", "pipeline_stages", "shards"):
            if getattr(self, option) < 1:
                raise LinksimError(f"{_flag(option)} {getattr(self, option)}: expected at least 1")
        for option in ("compute_tflops", "learning_rate"):
            value = getattr(self, option)
            if not (value > 0 and math.isfinite(value)):
                raise LinksimError(f"{_flag(option)} {value}: expected a positive number")
        if self.steps < 0 or self.seed < 0:
            option, value = (
                ("training_steps", self.steps) if self.steps < 0 else ("seed", self.seed)
            )
            raise LinksimError(f"{_flag(option)} {value}: expected at least 0")
        if self.steps and self.tokens < 2:
            raise LinksimError("--tokens 1: fine-tuning needs at least 2, prompt and response")
        if self.record_shards is not None and not 1 <= self.record_shards <= self.shards:
            raise LinksimError(
                f"--record-shards {self.record_shards}: expected 1 to {self.shards} (--shards)"
            )

    @property
    def steps(self) -> int:
        """Fine-tuning steps."""
        return self.batches if self.training_steps is None else self.training_steps

    @property
    def slices(self) -> int:
        """Slices of the text that are needed; batch i and fine-tuning step i read slice i."""
        return max(self.batches, self.steps)

    @property
    def recorded_shards(self) -> tuple[int, ...]:
        """Indices of the stored shards, evenly spaced."""
        count = self.record_shards or self.shards
        return tuple(index * self.shards // count for index in range(count))

    def recorded_layers(self, geometry: Geometry) -> tuple[int, ...]:
        """Layers recorded while fine-tuning, in order."""
        if self.training_layers is None:
            return tuple(range(geometry.layers))
        return tuple(sorted(set(self.training_layers)))

    def check_fits(self, geometry: Geometry) -> None:
        """LinksimError if the model of *geometry* cannot be cut as these settings ask."""
        config = f"{self.checkpoint / 'config.json'}"
        if geometry.heads % self.tensor_parallel:
            raise LinksimError(
                f"{config}: num_attention_heads: {geometry.heads} is not a multiple of "
                f"--tensor-parallel {self.tensor_parallel}"
            )
        cuts = [("--tensor-parallel", self.tensor_parallel)]
        cuts += [("--shards", self.shards)] if self.steps else []
        for flag, parts in cuts:
            if geometry.ffn % parts:
                raise LinksimError(
                    f"{config}: intermediate_size: {geometry.ffn} is not a multiple of "
                    f"{flag} {parts}"
                )
        if self.pipeline_stages > geometry.layers:
            raise LinksimError(
                f"{config}: num_hidden_layers: {geometry.layers} layers cannot be cut into "
                f"--pipeline-stages {self.pipeline_stages}"
            )
        for layer in self.training_layers or ():
            if not 0 <= layer < geometry.layers:
                raise LinksimError(
                    f"--training-layers {layer}: expected 0 to {geometry.layers - 1}"
                )


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")
