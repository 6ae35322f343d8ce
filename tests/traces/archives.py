"""Small histogram archives made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from linksim.tensors.histograms import Histogram
from linksim.traces.histograms import ALPHABET, HistogramArchive, RecordCard, layers_of_shards

KINDS = ("ffn1_weight", "ffn2_activation_gradient")
REPLICATED = ("ffn2_activation_gradient",)
CARD: dict[str, Any] = {
    "model": "handmade",
    "what_it_is": "counts written by hand",
    "architecture": "GemmaForCausalLM",
    "start": "checkpoint",
    "text_file": "text.txt",
    "text_sha256": "0" * 64,
    "tokens": 16,
    "seed": 3,
    "learning_rate": 1e-3,
    "optimizer": "none",
    "torch_version": "2.0",
    "transformers_version": "5.0",
    "views": ("pooled",),
    "kinds": KINDS,
    "layers": 3,
    "shards": 4,
    "steps": (0, 1, 4),
    "shard_steps": (0,),
    "replicated_kinds": REPLICATED,
    "losses": (3.0, 2.0, 1.0),
}
SHARDS_SHAPE = (len(KINDS), CARD["layers"], CARD["shards"], ALPHABET)


def card(**changes: Any) -> RecordCard:
    return RecordCard(**(CARD | changes))


def random_shards(seed: int) -> Histogram:
    """int64 [kinds, layers, shards, 256]; the replicated kind has equal shards."""
    draw = np.random.default_rng(seed)
    shards = draw.integers(1, 400, SHARDS_SHAPE)
    shards[KINDS.index(REPLICATED[0])] = draw.integers(1, 90_000, (3, 1, ALPHABET))
    return shards


def archive_of(steps: Mapping[int, Histogram], **changes: Any) -> HistogramArchive:
    """An archive of int64 [kinds, layers, shards, 256] by step, shards kept at step 0."""
    layers = np.stack([layers_of_shards(s, KINDS, REPLICATED) for s in steps.values()])
    described = card(steps=tuple(steps), losses=(1.0,) * len(steps), **changes)
    kept = [steps[step] for step in described.shard_steps]
    shards = np.stack(kept) if kept else np.zeros((0, *SHARDS_SHAPE), np.int64)
    return HistogramArchive(described, {"pooled": layers}, {"pooled": shards})


def random_archive(**changes: Any) -> HistogramArchive:
    return archive_of({step: random_shards(step) for step in (0, 1, 4)}, **changes)
