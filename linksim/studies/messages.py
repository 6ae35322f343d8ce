"""Tensors of one kind joined to messages, as a sender batches what is too small to send alone.

A link pays per message, so a sender does not send 8 KiB shards one by one. The rule here:

1. Only tensors of one kind, one number format and one batch share a message. Layers follow each
   other, and within a layer its shards, in the order of the trace.
2. A message is closed as soon as it holds the wanted number of bytes.
3. What is then left of a layer joins the layer's last message. A layer that holds too little by
   itself shares a message with the layers behind it.
4. What is left at the end of the batch joins the batch's last message; where there is none, it is
   a message below the wanted size.

A message spans at most 31 layers, because a message can name 31 codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linksim.codecs.chunk import MAX_SLOTS
from linksim.tensors.dtypes import Tensor, format_of
from linksim.traces.sources import SourceTensor

MESSAGE_NBYTES = 64 * 1024
"""Uncompressed bytes that a message of the studies holds at least."""


@dataclass(frozen=True)
class Message:
    """Tensors of one kind, format and batch that are sent together."""

    parts: tuple[SourceTensor, ...]
    values: Tensor
    """The values of all parts, one behind the other in C order; [n]."""

    @property
    def name(self) -> str:
        """Name of the first part, and how many follow it."""
        more = f" and {len(self.parts) - 1} more" if len(self.parts) > 1 else ""
        return f"{self.parts[0].name}{more}"

    @property
    def layers(self) -> tuple[int | None, ...]:
        """Layers of the parts, each once, in order."""
        return tuple(dict.fromkeys(part.layer for part in self.parts))

    @property
    def nbytes(self) -> int:
        """Uncompressed bytes, tightly packed."""
        return format_of(self.values).nbytes(self.values.size)

    def split(self, values: Tensor) -> list[Tensor]:
        """The tensors of *values* [n], which a decoder gave back, in their shapes."""
        ends = np.cumsum([part.values.size for part in self.parts])[:-1]
        cut = np.split(values, ends)
        return [
            piece.reshape(part.values.shape) for piece, part in zip(cut, self.parts, strict=True)
        ]


def join_tensors(
    tensors: Sequence[SourceTensor], minimum_nbytes: int = MESSAGE_NBYTES
) -> list[Message]:
    """Messages of *tensors*, all of one kind and number format; empty tensors are left out."""
    grouped: dict[int, dict[int | None, list[SourceTensor]]] = {}
    for tensor in tensors:
        if tensor.values.size:
            grouped.setdefault(tensor.batch, {}).setdefault(tensor.layer, []).append(tensor)
    return [
        Message(tuple(parts), np.concatenate([part.values.reshape(-1) for part in parts]))
        for by_layer in grouped.values()
        for parts in _join_layers(by_layer, minimum_nbytes)
    ]


def _join_layers(
    by_layer: dict[int | None, list[SourceTensor]], minimum_nbytes: int
) -> list[list[SourceTensor]]:
    """The parts of every message of one batch."""
    closed: list[list[SourceTensor]] = []
    waiting: list[SourceTensor] = []
    for layer, of_layer in by_layer.items():
        if len({part.layer for part in waiting}) == MAX_SLOTS:
            closed.append(waiting)
            waiting = []
        for tensor in of_layer:
            waiting.append(tensor)
            if _nbytes(waiting) >= minimum_nbytes:
                closed.append(waiting)
                waiting = []
        if closed and {part.layer for part in closed[-1] + waiting} == {layer}:
            closed[-1] += waiting
            waiting = []
    if closed and len({part.layer for part in closed[-1] + waiting}) <= MAX_SLOTS:
        closed[-1] += waiting
        waiting = []
    return closed + ([waiting] if waiting else [])


def _nbytes(tensors: Sequence[SourceTensor]) -> int:
    return format_of(tensors[0].values).nbytes(sum(tensor.values.size for tensor in tensors))
