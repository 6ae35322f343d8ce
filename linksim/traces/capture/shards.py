"""Slices of weights and activations as tensor-parallel and sharded training cut them."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import torch
from torch.nn.functional import linear

from linksim.tensors.dtypes import Tensor

ForwardHook = Callable[[torch.nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]
"""What `register_forward_hook` calls with module, positional inputs and output."""


def shard_slices(width: int, count: int) -> list[slice]:
    """*count* equal slices of *width* features; *width* is a multiple of *count*."""
    step = width // count
    return [slice(index * step, (index + 1) * step) for index in range(count)]


def row_parallel_partial(
    inputs: torch.Tensor, weight: torch.Tensor, features: slice
) -> torch.Tensor:
    """What the rank that owns *features* adds to a row-parallel linear layer's output.

    *inputs* [tokens, in] and *weight* [out, in] in bfloat16 give bfloat16 [tokens, out]; the
    matrix product accumulates wider and is rounded once. A bias belongs to no rank: Megatron-LM
    adds it after the all-reduce (arXiv 1909.08053, RowParallelLinear).
    """
    return linear(inputs[:, features], weight[:, features])


def to_numpy(tensor: torch.Tensor) -> Tensor:
    """A copy of a bfloat16 *tensor* as a NumPy array of ml_dtypes' bfloat16, same shape."""
    copied = tensor.detach().clone(memory_format=torch.contiguous_format)
    return copied.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
