"""Prefill of one batch: partial sums, stage outputs and KV cache through forward hooks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from linksim.tensors.dtypes import Tensor
from linksim.traces.capture.shards import (
    ForwardHook,
    row_parallel_partial,
    shard_slices,
    to_numpy,
)


@dataclass
class InferenceTensors:
    """What one prefill yields, all bfloat16, by layer."""

    attention_partials: dict[int, list[Tensor]] = field(default_factory=dict)
    """Per rank, [tokens, hidden]: that rank's addend to the attention output."""
    ffn2_partials: dict[int, list[Tensor]] = field(default_factory=dict)
    """Per rank, [tokens, hidden]: that rank's addend to the feed-forward output."""
    residuals: dict[int, Tensor] = field(default_factory=dict)
    """[tokens, hidden] behind each layer asked for."""
    keys: dict[int, Tensor] = field(default_factory=dict)
    """[kv_heads, cached tokens, head_dim]; sliding-window layers cache their window only."""
    values: dict[int, Tensor] = field(default_factory=dict)
    """Like `keys`."""


def run_inference(
    model: Any, token_ids: torch.Tensor, *, tensor_parallel: int, residual_layers: Iterable[int]
) -> InferenceTensors:
    """Prefill *model* with *token_ids*, int64 [1, tokens], and keep what would cross links.

    The model itself runs unsharded; each rank's partial sum is computed beside it from the same
    inputs and weights.
    """
    kept = InferenceTensors()
    layers = model.model.layers
    with ExitStack() as stack, torch.no_grad():
        if tensor_parallel > 1:
            for index, layer in enumerate(layers):
                for module, partials in (
                    (layer.self_attn.o_proj, kept.attention_partials),
                    (layer.mlp.down_proj, kept.ffn2_partials),
                ):
                    hook = _partials_hook(partials, index, tensor_parallel)
                    stack.callback(module.register_forward_hook(hook).remove)
        for index in residual_layers:
            hook = _residual_hook(kept.residuals, index)
            stack.callback(layers[index].register_forward_hook(hook).remove)
        cache = model.model(input_ids=token_ids, use_cache=True).past_key_values
    for index in range(len(layers)):
        kept.keys[index] = to_numpy(cache.layers[index].keys[0])
        kept.values[index] = to_numpy(cache.layers[index].values[0])
    return kept


def _partials_hook(partials: dict[int, list[Tensor]], layer: int, ranks: int) -> ForwardHook:
    def hook(
        module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> None:
        weight: Any = module.weight
        partials[layer] = [
            to_numpy(row_parallel_partial(inputs[0][0], weight, features))
            for features in shard_slices(weight.shape[1], ranks)
        ]

    return hook


def _residual_hook(residuals: dict[int, Tensor], layer: int) -> ForwardHook:
    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        # transformers 4 returns the hidden states in a tuple from some layers.
        hidden = output[0] if isinstance(output, tuple) else output
        residuals[layer] = to_numpy(hidden[0])

    return hook
