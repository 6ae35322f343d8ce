"""A Gemma model under tensor parallelism whose all-reduces are ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, linear

from linksim.errors import LinksimError
from linksim.network.collectives.expansion import Values
from linksim.traces.capture.checkpoint import Checkpoint
from linksim.traces.capture.shards import shard_slices

AllReduce = Callable[[dict[str, Values]], Values]
"""From the addends of all ranks, bf16, to the sum that every rank ends with, bf16, flat."""


class TensorParallelModel:
    """A byte-level Gemma checkpoint, run as *ranks* tensor-parallel ranks would run it.

    The outputs of attention and feed-forward network are the all-reduced sums of one partial sum
    per rank, as Megatron-LM cuts them (arXiv 1909.08053). Weights are bf16. Products are computed
    in float32, and partial sums rounded to bf16, as bf16 hardware with float32 accumulators does.
    LinksimError for a checkpoint that does not read bytes, or widths that *ranks* does not divide.
    """

    def __init__(self, path: Path, ranks: int, threads: int | None = None) -> None:
        checkpoint = Checkpoint.open(path)
        geometry = checkpoint.geometry
        widths = (geometry.heads * geometry.head_dim, geometry.ffn)
        if ranks < 2 or any(width % ranks for width in widths):
            raise LinksimError(
                f"{path}: {ranks} ranks: expected 2 or more that divide {widths[0]} and {widths[1]}"
            )
        if geometry.vocabulary != 256:
            raise LinksimError(f"{path}: vocabulary of {geometry.vocabulary}: expected 256, bytes")
        if threads is not None:
            torch.set_num_threads(threads)
        self._model = checkpoint.load().float().eval()
        self._ranks = ranks

    def code_lengths(
        self, windows: NDArray[np.uint8], all_reduce: AllReduce, *, at_once: int = 4
    ) -> NDArray[np.float64]:
        """Bits that the model spends on the second half of every window, float64 [windows].

        *windows* is uint8 [windows, context + 1]; each byte is predicted from all before it in its
        window. *at_once* windows share a forward pass and its all-reduces.
        """
        half = (windows.shape[1] - 1) // 2
        lengths = []
        with ExitStack() as stack, torch.no_grad():
            for layer in self._model.model.layers:
                for module in (layer.self_attn.o_proj, layer.mlp.down_proj):
                    stack.enter_context(self._reduced(module, all_reduce))
            for first in range(0, len(windows), at_once):
                tokens = torch.from_numpy(windows[first : first + at_once].astype(np.int64))
                output = self._model(input_ids=tokens[:, :-1], use_cache=False)
                logits = output.logits[:, half:].transpose(1, 2)
                nats = cross_entropy(logits, tokens[:, half + 1 :], reduction="none")
                lengths.append(nats.double().sum(dim=1).numpy() / math.log(2))
        return np.concatenate(lengths)

    @contextmanager
    def _reduced(self, module: Any, all_reduce: AllReduce) -> Iterator[None]:
        """Let *module*, a linear layer without bias, give the all-reduced sum of its shards."""
        slices = shard_slices(module.weight.shape[1], self._ranks)
        weights = [module.weight[:, features].contiguous() for features in slices]

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            partials = {
                f"rank{rank}": _bf16(linear(inputs[..., features], weight))
                for rank, (features, weight) in enumerate(zip(slices, weights, strict=True))
            }
            total = torch.from_numpy(all_reduce(partials).astype(np.float32))
            return total.reshape(*inputs.shape[:-1], -1)

        module.forward = forward
        try:
            yield
        finally:
            # The class's own method comes to light again.
            del module.forward


def _bf16(values: torch.Tensor) -> Values:
    return values.to(torch.bfloat16).view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
