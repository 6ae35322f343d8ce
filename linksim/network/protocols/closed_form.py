"""The time of a collective by its endpoint protocols, in closed form.

For a protocol with base time *b*, step time *s* and wire fraction *f*, on a link of payload rate R:

    t = b + steps * s + wire_nbytes / (R * f)

and the collective takes the smallest over its protocols. The in-switch all-reduce of a size *S*, in
c chunks, takes b + (1 + 1 / c) * S / (R * f): a chunk goes down while the next comes up. Steps and
bytes are those of the ring (all-to-all: of direct messages), as in NCCL's own cost model
(src/graph/tuning.cc). Many parameter sets are worked out at once, for fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.network.protocols.record import EndpointRecord

Floats = NDArray[np.float64]

OPS = ("all_gather", "all_reduce", "all_to_all", "reduce_scatter")
"""Collectives that endpoint protocols are modelled for."""

IN_SWITCH = "in-switch"
"""Name of the path through a switch that reduces, beside the names of protocols."""

IN_SWITCH_CHUNKS = 256
"""Chunks of an in-switch all-reduce."""


@dataclass(frozen=True)
class Collective:
    """A collective among GPUs. LinksimError for an unknown op, or too few GPUs or bytes."""

    op: str
    n_gpus: int
    nbytes: int
    """As nccl-tests counts: all-reduce, the tensor; all-gather, the gathered result;
    reduce-scatter and all-to-all, the data of one GPU before."""

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise LinksimError(f"unknown collective {self.op!r}: expected one of {', '.join(OPS)}")
        if self.n_gpus < 2:
            raise LinksimError(f"{self.op}: expected 2 GPUs or more, got {self.n_gpus}")
        if self.nbytes < 1:
            raise LinksimError(f"{self.op}: expected 1 byte or more, got {self.nbytes}")


def ring_steps(op: str, n_gpus: int) -> int:
    """Dependent steps of the ring: n - 1, twice that for all-reduce; an all-to-all has no ring."""
    return {"all_reduce": 2 * (n_gpus - 1), "all_to_all": 0}.get(op, n_gpus - 1)


def wire_nbytes(op: str, n_gpus: int, nbytes: int) -> float:
    """Bytes that every GPU sends: S (n - 1) / n, twice that for all-reduce."""
    return nbytes * (n_gpus - 1) / n_gpus * (2 if op == "all_reduce" else 1)


@dataclass(frozen=True, eq=False)
class Loads:
    """What collectives ask of their endpoints, one entry per collective: float64 [k] each."""

    ring_steps: Floats
    is_all_to_all: Floats
    """1 or 0."""
    wire_us: Floats
    """Time of the bytes that a GPU sends, at the link's full payload rate."""
    in_switch_us: Floats
    """The same for the path through the switch; infinite where there is none."""


def loads(collectives: Sequence[Collective], payload_bytes_per_second: float) -> Loads:
    """The loads of *collectives* on a link of *payload_bytes_per_second*."""
    us_per_byte = 1e6 / payload_bytes_per_second
    wire = [wire_nbytes(c.op, c.n_gpus, c.nbytes) for c in collectives]
    filling = 1 + 1 / IN_SWITCH_CHUNKS
    through_switch = [c.nbytes * filling if c.op == "all_reduce" else np.inf for c in collectives]
    return Loads(
        np.array([ring_steps(c.op, c.n_gpus) for c in collectives], float),
        np.array([c.op == "all_to_all" for c in collectives], float),
        np.array(wire, float) * us_per_byte,
        np.array(through_switch, float) * us_per_byte,
    )


@dataclass(frozen=True, eq=False)
class Parameters:
    """Endpoint parameters, *p* sets of them for q protocols."""

    base_us: Floats
    """[p, q], likewise the next two."""
    step_us: Floats
    wire_fraction: Floats
    all_to_all_steps: Floats
    """[p]."""
    in_switch: tuple[Floats, Floats] | None
    """Base time in us and wire fraction, [p] each."""

    @classmethod
    def of(cls, record: EndpointRecord) -> Parameters:
        """The one set that *record* holds."""
        protocols, in_switch = record.protocols, record.in_switch
        return cls(
            np.array([[protocol.base_us for protocol in protocols]]),
            np.array([[protocol.step_us for protocol in protocols]]),
            np.array([[protocol.wire_fraction for protocol in protocols]]),
            np.array([record.all_to_all_steps]),
            None
            if in_switch is None
            else (np.array([in_switch.base_us]), np.array([in_switch.wire_fraction])),
        )


def path_times_us(parameters: Parameters, load: Loads) -> Iterator[Floats]:
    """Path by path, the time of every collective on it: us, [p, k].

    The protocols in their order, then in-switch if there is one.
    """
    steps = load.ring_steps + parameters.all_to_all_steps[:, None] * load.is_all_to_all
    for protocol in range(parameters.base_us.shape[1]):
        base, step, fraction = (
            of[:, protocol, None]
            for of in (parameters.base_us, parameters.step_us, parameters.wire_fraction)
        )
        yield base + steps * step + load.wire_us / fraction
    if parameters.in_switch is not None:
        base, fraction = (of[:, None] for of in parameters.in_switch)
        yield base + load.in_switch_us / fraction


def fastest_us(parameters: Parameters, load: Loads) -> Floats:
    """Time of every collective on the path that is fastest for it: us, [p, k]."""
    return reduce(np.minimum, path_times_us(parameters, load))


def path_names(record: EndpointRecord) -> tuple[str, ...]:
    """Names of the paths of `path_times_us`, in its order."""
    names = tuple(protocol.name for protocol in record.protocols)
    return names if record.in_switch is None else (*names, IN_SWITCH)


def fastest_paths(
    record: EndpointRecord, collectives: Sequence[Collective]
) -> list[tuple[str, float]]:
    """For each of *collectives* the path a tuner takes by this form, and its time in us."""
    load = loads(collectives, record.link_preset.payload_bytes_per_second)
    times = np.concatenate(list(path_times_us(Parameters.of(record), load)))
    names = path_names(record)
    return [(names[int(column.argmin())], float(column.min())) for column in times.T]
