"""The schema of a trace's `manifest.json` (docs/reference/trace-format.md)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format

FORMAT = "linksim-trace"
VERSION = 1
"""The only schema version this release reads and writes."""

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
"""Identifiers of tensors, events and ranks: letters, digits, `.`, `_` and `-`."""

Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
"""Tensor kind, a codebook is chosen by it: `residual`, `ffn2_output_partial`, `kv_key`, ..."""

_FILE_PATTERN = r"^[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-][A-Za-z0-9_.\-]*)*\.safetensors$"


def legal_name(text: str, limit: int = 180) -> str:
    """*text* made a legal `Name` of at most *limit* characters: all others become `-`."""
    name = re.sub(r"[^A-Za-z0-9_.\-]", "-", text)[:limit].strip("-.")
    return name if re.match(r"[A-Za-z0-9]", name) else f"x{name}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(_Strict):
    """Which part of a full tensor a stored tensor is: shard *index* of *count* along *axis*.

    Without an axis the shards are addends: the full tensor is their sum, not their concatenation.
    """

    axis: int | None = Field(default=None, ge=0)
    index: int = Field(ge=0)
    count: int = Field(ge=1)


class TensorRecord(_Strict):
    """One stored tensor: where its values lie and what they are."""

    file: Annotated[str, Field(pattern=_FILE_PATTERN)]
    """Path below the trace folder, with forward slashes; no part starts with a dot."""
    key: str
    """Key inside the safetensors file."""
    dtype: str
    """Number format by linksim's name (`bf16`)."""
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    kind: Kind
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the values' bytes in C order."""
    batch: int = Field(default=0, ge=0)
    """Books are built on earlier batches and judged on later ones."""
    layer: int | None = Field(default=None, ge=0)
    shard: Shard | None = None

    @field_validator("dtype")
    @classmethod
    def _is_known(cls, dtype: str) -> str:
        try:
            return number_format(dtype).name
        except LinksimError as error:
            raise ValueError(str(error)) from None


class _Event(_Strict):
    id: Name
    after: tuple[Name, ...] = ()
    """Events that must have finished before this one starts."""
    phase: Kind = "prefill"
    """`prefill`, `handoff`, `training`, ...: scenarios select events by phase and op."""
    batch: int = Field(default=0, ge=0)


class ComputeEvent(_Event):
    """A rank is busy for a while; nothing crosses a link."""

    op: Literal["compute"]
    rank: Name
    duration_ps: int = Field(ge=0)


class CommunicationEvent(_Event):
    """Tensors cross links among *ranks*.

    `tensors` maps a rank to what it contributes: `send` (ranks are source, destination) and
    `broadcast` have the first rank's tensor alone; `all_reduce` and `reduce_scatter` one addend per
    rank, all of one shape; `all_gather` one shard per rank; `all_to_all` one send buffer per rank,
    cut evenly on axis 0.
    """

    op: Literal["send", "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast"]
    ranks: tuple[Name, ...] = Field(min_length=2)
    tensors: dict[Name, Name]

    @model_validator(mode="after")
    def _ranks_carry_tensors(self) -> CommunicationEvent:
        if len(set(self.ranks)) != len(self.ranks):
            raise ValueError(f"event {self.id!r}: a rank is named twice")
        if self.op == "send" and len(self.ranks) != 2:
            raise ValueError(f"event {self.id!r}: a send has two ranks, source and destination")
        carriers = self.ranks[:1] if self.op in ("send", "broadcast") else self.ranks
        if set(self.tensors) != set(carriers):
            raise ValueError(f"event {self.id!r}: tensors must name exactly the ranks {carriers}")
        return self


Event = Annotated[ComputeEvent | CommunicationEvent, Field(discriminator="op")]


class ModelCard(_Strict):
    """What produced the tensors, in words a reader can judge them by."""

    name: str
    what_it_is: str
    architecture: str = ""
    facts: dict[str, str | int | float | bool] = {}
    """Layers, widths, training data, held-out score, KL divergences, ..."""


class Manifest(_Strict):
    """A whole trace but for its tensor values."""

    format: Literal["linksim-trace"]
    version: Literal[1]
    name: Name
    model: ModelCard
    seeds: dict[str, int] = {}
    tensors: dict[Name, TensorRecord]
    events: tuple[Event, ...] = ()
