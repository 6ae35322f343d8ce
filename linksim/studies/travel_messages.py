"""Tensors as messages of one bf16 matrix each, by model and site.

A *site* is one tensor of a model (the residual stream after one layer, the output of one module).
Its messages are the same tensor on different prompts, so they show how a codebook carries over to
other prompts; other sites and models show how it carries further.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor
from linksim.traces.sources import SourceTensor, tensors_of

PROMPT = re.compile(r"(?:^|(?P<site>.*)\.)[^.]*\.?prompt_\w+$")
"""Key of a file's entry that is one prompt of a tensor."""


@dataclass(frozen=True)
class Message:
    """One tensor that is sent as one message."""

    model: str
    """Stem of the tensor file, or name of the trace."""
    site: str
    name: str
    values: Tensor
    """bf16 [rows, channels]."""
    origin: str = ""
    """What produced a trace's tensors; empty for a file's."""

    @property
    def key(self) -> tuple[str, str]:
        """Model and site."""
        return self.model, self.site

    @cached_property
    def row_digests(self) -> tuple[bytes, ...]:
        """A digest of every row's bits, to know a row again."""
        return tuple(sha256(row.tobytes()).digest() for row in self.values)

    def new_rows(self, judged: Message) -> NDArray[np.bool_]:
        """Which rows do not occur in *judged*, bool [rows].

        Prompts share their first tokens, and some modules pass their input on: a book that has
        seen a row must not be judged on it.
        """
        seen = set(judged.row_digests)
        return np.array([digest not in seen for digest in self.row_digests], bool)


def messages_of(sources: Sequence[Path]) -> list[Message]:
    """The non-empty tensors of *sources* (files or traces) as messages, rounded to bf16.

    Of a file, entries called `...prompt_NN` are prompts of one site; an entry of three axes is
    [prompts, sites, channels] and gives two messages per site, even and odd prompts; every other
    entry is a site of one message, its last axis the channels. Copies of an entry are left out.
    Of a trace, a kind is a site and all its tensors of a batch are one message.
    """
    order = {path.stem: place for place, path in enumerate(sources)}
    if len(order) < len(sources):
        raise LinksimError(f"sources {', '.join(map(str, sources))}: expected different names")
    tensors = list(tensors_of(list(sources), "bf16"))
    messages = _of_traces(t for t in tensors if t.origin)
    seen: set[tuple[str, bytes]] = set()
    for tensor in (t for t in tensors if not t.origin and t.values.size):
        digest = sha256(tensor.values.tobytes()).digest()
        if (tensor.file, digest) not in seen:
            seen.add((tensor.file, digest))
            messages += _of_entry(tensor)
    if not messages:
        raise LinksimError(f"{sources[0] if sources else 'no sources'}: no tensor to judge")
    return sorted(messages, key=lambda message: order[message.model])


def _of_entry(tensor: SourceTensor) -> list[Message]:
    model, key = tensor.name.split("/", 1)
    values = tensor.values
    prompt = PROMPT.match(key)
    if values.ndim == 3 and len(values) > 1:
        return [
            Message(model, f"{key}.{site}", f"{key}.{site}.{half}", values[first::2, site])
            for site in range(values.shape[1])
            for first, half in enumerate(("even", "odd"))
        ]
    rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
    site = (prompt["site"] or "prompts") if prompt else key
    return [Message(model, site, key, rows)]


def _of_traces(tensors: Iterable[SourceTensor]) -> list[Message]:
    batches: dict[tuple[str, str, int], list[SourceTensor]] = {}
    for tensor in tensors:
        if tensor.values.size:
            batches.setdefault((tensor.file, tensor.kind, tensor.batch), []).append(tensor)
    messages = []
    for (trace, kind, batch), found in batches.items():
        same_width = len({t.values.shape[-1] for t in found}) == 1
        width = found[0].values.shape[-1] if same_width else 1
        rows = np.concatenate([t.values.reshape(-1, width) for t in found])
        name = f"{kind}.batch{batch}"
        messages.append(Message(Path(trace).stem, kind, name, rows, found[0].origin))
    return messages
