"""Supervised fine-tuning steps: sharded FFN weights, activations and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from linksim.tensors.dtypes import Tensor
from linksim.traces.capture.shards import (
    ForwardHook,
    row_parallel_partial,
    shard_slices,
    to_numpy,
)
from linksim.traces.manifest import Shard

_IGNORED_LABEL = -100
"""Label that transformers' loss leaves out."""


@dataclass(frozen=True)
class TrainingTensor:
    """One recorded tensor of a fine-tuning step, bfloat16."""

    layer: int
    name: str
    """Matrix and quantity: `gate.weight`, `down.activation_gradient`, ..."""
    kind: str
    values: Tensor
    shard: Shard | None


class StepRecorder:
    """Keeps the FFN tensors of chosen layers and shards during one fine-tuning step.

    Kinds follow arXiv 2601.10673: FFN1 is gate and up projection (sharded by output features),
    FFN2 the down projection (sharded by input features).
    """

    def __init__(self, model: Any, layers: Sequence[int], shards: int, recorded: Sequence[int]):
        self._mlps = {layer: model.model.layers[layer].mlp for layer in layers}
        self._recorded = recorded
        self._shards = shards
        width = next(iter(self._mlps.values())).down_proj.weight.shape[1]
        self._features = shard_slices(width, shards)
        self.tensors: list[TrainingTensor] = []

    def run(self, model: Any, token_ids: torch.Tensor) -> float:
        """Forward and backward over *token_ids*, int64 [1, tokens]; returns the loss in nats.

        The loss covers the second half of the sequence, the response. Afterwards `tensors` is
        complete and every parameter of *model* holds its gradient.
        """
        labels = token_ids.clone()
        labels[:, : token_ids.shape[1] // 2] = _IGNORED_LABEL
        with ExitStack() as stack:
            for layer, mlp in self._mlps.items():
                for matrix in ("gate", "up"):
                    hook = self._ffn1_hook(layer, matrix)
                    module = getattr(mlp, f"{matrix}_proj")
                    stack.callback(module.register_forward_hook(hook).remove)
                stack.callback(mlp.down_proj.register_forward_hook(self._ffn2_hook(layer)).remove)
            loss = model(input_ids=token_ids, labels=labels, use_cache=False).loss
            loss.backward()
        self._keep_weights()
        return float(loss.detach())

    def _keep_shards(
        self,
        layer: int,
        name: str,
        kind: str,
        part: Callable[[slice], torch.Tensor],
        axis: int | None,
    ) -> None:
        for index in self._recorded:
            values = to_numpy(part(self._features[index]))
            shard = Shard(axis=axis, index=index, count=self._shards)
            self.tensors.append(TrainingTensor(layer, name, kind, values, shard))

    def _ffn1_hook(self, layer: int, matrix: str) -> ForwardHook:
        def keep(values: torch.Tensor, quantity: str) -> None:
            name, kind = f"{matrix}.{quantity}", f"ffn1_{quantity}"
            self._keep_shards(layer, name, kind, lambda features: values[0, :, features], 1)

        def hook(
            module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
        ) -> None:
            keep(output, "activation")
            _on_gradient(output, lambda gradient: keep(gradient, "activation_gradient"))

        return hook

    def _ffn2_hook(self, layer: int) -> ForwardHook:
        def keep_gradient(gradient: torch.Tensor) -> None:
            # Every shard sees the same gradient of the summed output, so one copy says it all.
            self.tensors.append(
                TrainingTensor(
                    layer,
                    "down.activation_gradient",
                    "ffn2_activation_gradient",
                    to_numpy(gradient[0]),
                    None,
                )
            )

        def hook(
            module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
        ) -> None:
            source, weight = inputs[0][0].detach(), module.get_parameter("weight").detach()
            self._keep_shards(
                layer,
                "down.activation",
                "ffn2_activation",
                lambda features: row_parallel_partial(source, weight, features),
                None,
            )
            _on_gradient(output, keep_gradient)

        return hook

    def _keep_weights(self) -> None:
        for layer, mlp in self._mlps.items():
            for matrix, group, axis in (
                ("gate", "ffn1", 0),
                ("up", "ffn1", 0),
                ("down", "ffn2", 1),
            ):
                weight = getattr(mlp, f"{matrix}_proj").weight
                for quantity, values in (("weight", weight), ("weight_gradient", weight.grad)):
                    self._keep_shards(
                        layer,
                        f"{matrix}.{quantity}",
                        f"{group}_{quantity}",
                        _slicer(values, axis),
                        axis,
                    )


def _on_gradient(output: Any, keep: Callable[[torch.Tensor], None]) -> None:
    output.register_hook(keep)


def _slicer(values: torch.Tensor, axis: int) -> Callable[[slice], torch.Tensor]:
    return lambda features: values[features] if axis == 0 else values[:, features]
