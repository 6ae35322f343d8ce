"""What a run is made of: messages with their coding, and computation between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linksim.engines import EngineRecord
from linksim.errors import LinksimError


@dataclass(frozen=True, eq=False)
class Coding:
    """What a codec made of one message, segment by segment.

    A segment is what the codec emits together: a chunk, or a header of no uncompressed bytes.
    Without an engine the message is ready at once and leaves the receiver's buffer at once: no
    codec, or one that is taken to cost nothing. LinksimError for sizes that cannot be.
    """

    raw_nbytes: NDArray[np.int64]
    """Uncompressed bytes of each segment, int64 [k]."""
    wire_nbytes: NDArray[np.int64]
    """Encoded bytes of each segment, int64 [k]."""
    engine: EngineRecord | None = None

    def __post_init__(self) -> None:
        for name, sizes in (("raw_nbytes", self.raw_nbytes), ("wire_nbytes", self.wire_nbytes)):
            if sizes.dtype != np.int64 or sizes.ndim != 1 or (sizes < 0).any():
                raise LinksimError(f"a coding's {name}: expected int64 [k], none negative")
        if self.raw_nbytes.shape != self.wire_nbytes.shape:
            raise LinksimError(
                f"a coding has {self.raw_nbytes.size} raw and {self.wire_nbytes.size} wire sizes: "
                "expected one of each per segment"
            )
        if self.raw_total and not self.wire_total:
            raise LinksimError(f"a coding makes no bytes of {self.raw_total}: expected at least 1")

    @classmethod
    def plain(cls, nbytes: int) -> Coding:
        """A message of *nbytes* that goes uncompressed."""
        sizes = np.array([nbytes], np.int64)
        return cls(sizes, sizes)

    @cached_property
    def raw_total(self) -> int:
        """Uncompressed bytes of the message."""
        return int(self.raw_nbytes.sum())

    @cached_property
    def wire_total(self) -> int:
        """Encoded bytes of the message, before it is padded to whole flits."""
        return int(self.wire_nbytes.sum())


@dataclass(frozen=True, eq=False)
class Transfer:
    """A message from one rank to another, over the link between them."""

    id: str
    source: str
    destination: str
    coding: Coding
    after: tuple[str, ...] = ()
    """Ids of the tasks that must be done before it is ready."""
    event: str = ""
    """The trace event it belongs to."""


@dataclass(frozen=True)
class Compute:
    """A rank is busy for a while."""

    id: str
    rank: str
    duration_ps: int
    after: tuple[str, ...] = ()
    """Ids of the tasks that must be done before it is ready."""

    def __post_init__(self) -> None:
        if self.duration_ps < 0:
            raise LinksimError(f"task {self.id!r}: expected a duration of 0 ps or more")


Task = Transfer | Compute
