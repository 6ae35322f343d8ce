"""The optimizer of the fine-tuning steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


class MasterAdamW:
    """AdamW on float32 copies of a bfloat16 model's parameters.

    A small learning rate moves a bfloat16 weight by less than its rounding step, so the sum is
    kept in float32 and the model gets its rounded value (mixed precision, arXiv 1710.03740).
    """

    def __init__(self, model: Any, learning_rate: float):
        self._parameters = list(model.parameters())
        self._masters = [parameter.detach().float() for parameter in self._parameters]
        self._optimizer = torch.optim.AdamW(self._masters, lr=learning_rate, foreach=False)

    def step(self) -> None:
        """Apply the model's gradients, drop them, and round the new weights into the model."""
        for parameter, master in self._pairs():
            if parameter.grad is not None:
                master.grad, parameter.grad = parameter.grad.float(), None
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            for parameter, master in self._pairs():
                parameter.copy_(master)

    def _pairs(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return zip(self._parameters, self._masters, strict=True)
