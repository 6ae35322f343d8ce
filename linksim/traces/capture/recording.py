"""Recording histograms over a training run: how symbols move from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import Histogram, histogram
from linksim.tensors.views import symbol_view
from linksim.traces.capture.checkpoint import Checkpoint
from linksim.traces.capture.optimizer import MasterAdamW
from linksim.traces.capture.text import TokenizedText, tokenize
from linksim.traces.capture.training import StepRecorder, TrainingTensor
from linksim.traces.histograms import (
    ALPHABET,
    HistogramArchive,
    RecordCard,
    layers_of_shards,
)

KINDS = tuple(
    f"{group}_{quantity}"
    for quantity in ("weight", "activation", "weight_gradient", "activation_gradient")
    for group in ("ffn1", "ffn2")
)
"""The eight kinds of arXiv 2601.10673."""

REPLICATED_KINDS = ("ffn2_activation_gradient",)
"""Every shard sees the gradient of the summed FFN2 output whole."""

VIEWS = ("pooled", "exponent")

FINE_TUNING_RATE = 2e-5
FROM_SCRATCH_RATE = 1e-3

Progress = Callable[[str], None]
"""Called with what was just finished, once per step."""


def rising_powers(steps: int) -> tuple[int, ...]:
    """0, 1, 2, 4, ... below *steps*, and *steps*."""
    powers = {1 << exponent for exponent in range(steps.bit_length())}
    return tuple(sorted({0, steps} | {power for power in powers if power < steps}))


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """The options of `linksim trace record`; LinksimError names the option that is wrong."""

    checkpoint: Path
    """Directory with `config.json` and, unless training from scratch, weights."""
    text: Path
    """Text file; step i reads the i-th of its evenly spread slices."""
    steps: int = 256
    """Updates of the weights; step 0 is before the first."""
    tokens: int = 128
    """Tokens per step; one step is one sequence, the loss covers its second half."""
    shards: int = 64
    """Shards of the FFN width; arXiv 2601.10673 uses 64."""
    from_scratch: bool = False
    """Start from random weights instead of the checkpoint's."""
    learning_rate: float | None = None
    """None: 2e-5, from scratch 1e-3."""
    record_steps: tuple[int, ...] | None = None
    """Steps whose histograms are kept; None: 0, 1, 2, 4, ... and the last."""
    shard_steps: tuple[int, ...] = (0,)
    """Recorded steps whose histograms are kept shard by shard, too."""
    seed: int = 0

    def __post_init__(self) -> None:
        for flag, value, least in (
            ("--steps", self.steps, 1),
            ("--tokens", self.tokens, 2),
            ("--shards", self.shards, 1),
            ("--seed", self.seed, 0),
        ):
            if value < least:
                raise LinksimError(f"{flag} {value}: expected at least {least}")
        if not 0 < self.rate <= 1:
            raise LinksimError(f"--learning-rate {self.rate}: expected above 0 and at most 1")
        if not self.recorded:
            raise LinksimError("--record-steps: expected at least one step")
        for step in self.recorded:
            if not 0 <= step <= self.steps:
                raise LinksimError(f"--record-steps {step}: expected 0 to {self.steps} (--steps)")
        for step in self.shard_steps:
            if step not in self.recorded:
                listed = ", ".join(map(str, self.recorded))
                raise LinksimError(f"--shard-steps {step}: expected recorded steps: {listed}")

    @property
    def rate(self) -> float:
        """The learning rate used."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FROM_SCRATCH_RATE if self.from_scratch else FINE_TUNING_RATE

    @property
    def recorded(self) -> tuple[int, ...]:
        """The recorded steps, rising."""
        if self.record_steps is None:
            return rising_powers(self.steps)
        return tuple(sorted(set(self.record_steps)))


def record(
    settings: RecordSettings, progress: Progress = lambda finished: None
) -> HistogramArchive:
    """Train as *settings* say and count symbols on the way; LinksimError for bad input.

    Same settings, checkpoint, text, library versions and thread count give the same histograms.
    """
    checkpoint = Checkpoint.open(settings.checkpoint)
    if checkpoint.geometry.ffn % settings.shards:
        raise LinksimError(
            f"{settings.checkpoint / 'config.json'}: intermediate_size: "
            f"{checkpoint.geometry.ffn} is not a multiple of --shards {settings.shards}"
        )
    last = settings.recorded[-1]
    text = tokenize(
        settings.text,
        settings.checkpoint,
        checkpoint.geometry.vocabulary,
        tokens=settings.tokens,
        # By --steps and not by the last recorded step, which would move every slice.
        count=settings.steps + 1,
    )
    torch.manual_seed(settings.seed)
    model = _random_model(checkpoint) if settings.from_scratch else checkpoint.load()
    model.train()
    optimizer = MasterAdamW(model, settings.rate)
    layers = range(checkpoint.geometry.layers)
    counter = _Counter(len(layers), settings.shards)
    losses = []
    for step in range(last + 1):
        wanted = step in settings.recorded
        every_shard = range(settings.shards) if wanted else ()
        recorder = StepRecorder(model, layers, settings.shards, every_shard)
        loss = recorder.run(model, text.slices[step])
        if not math.isfinite(loss):
            raise LinksimError(
                f"step {step}: the loss is {loss}: expected a --learning-rate below {settings.rate}"
            )
        if wanted:
            counter.add(recorder.tensors, keep_shards=step in settings.shard_steps)
            losses.append(round(loss, 6))
        # No tensor is recorded behind the last update, so it is not made.
        if step < last:
            optimizer.step()
        progress(f"step {step}, loss {loss:.3f}")
    return counter.archive(_card(settings, checkpoint, text, losses))


def _random_model(checkpoint: Checkpoint) -> Any:
    """A model of the checkpoint's shape with the library's random initial weights, bfloat16."""
    model_class = getattr(transformers, checkpoint.architecture)
    config = model_class.config_class.from_pretrained(checkpoint.path, attn_implementation="eager")
    return model_class(config).to(torch.bfloat16)


class _Counter:
    """Collects the histograms of one step after the other."""

    def __init__(self, layers: int, shards: int):
        self._shape = (len(KINDS), layers, shards, ALPHABET)
        self._views = {name: symbol_view(name, number_format("bf16")) for name in VIEWS}
        self._layers: dict[str, list[Histogram]] = {name: [] for name in VIEWS}
        self._shards: dict[str, list[Histogram]] = {name: [] for name in VIEWS}

    def add(self, tensors: Sequence[TrainingTensor], *, keep_shards: bool) -> None:
        """Count the symbols of all *tensors* of one step."""
        for name, view in self._views.items():
            shards = np.zeros(self._shape, np.int64)
            for tensor in tensors:
                shard = slice(None) if tensor.shard is None else tensor.shard.index
                counts = histogram(view.split(tensor.values)[0], ALPHABET)
                shards[KINDS.index(tensor.kind), tensor.layer, shard] += counts
            self._layers[name].append(layers_of_shards(shards, KINDS, REPLICATED_KINDS))
            if keep_shards:
                self._shards[name].append(shards)

    def archive(self, card: RecordCard) -> HistogramArchive:
        """All that was counted."""
        none = np.zeros((0, *self._shape), np.int64)
        return HistogramArchive(
            card,
            {view: np.stack(counts) for view, counts in self._layers.items()},
            {view: np.stack(c) if c else none for view, c in self._shards.items()},
        )


def _card(
    settings: RecordSettings, checkpoint: Checkpoint, text: TokenizedText, losses: list[float]
) -> RecordCard:
    name = checkpoint.path.resolve().name
    told = str(checkpoint.training.get("what_it_is", name))
    return RecordCard(
        model=name,
        what_it_is=f"{name}'s shape from random weights" if settings.from_scratch else told,
        architecture=checkpoint.architecture,
        start="random weights" if settings.from_scratch else "checkpoint",
        text_file=text.name,
        text_sha256=text.sha256,
        tokens=settings.tokens,
        seed=settings.seed,
        learning_rate=settings.rate,
        optimizer="AdamW on float32 master weights, loss on the second half of the sequence",
        torch_version=torch.__version__,
        transformers_version=transformers.__version__,
        views=VIEWS,
        kinds=KINDS,
        layers=checkpoint.geometry.layers,
        shards=settings.shards,
        steps=settings.recorded,
        shard_steps=tuple(sorted(set(settings.shard_steps))),
        replicated_kinds=REPLICATED_KINDS,
        losses=tuple(losses),
    )
