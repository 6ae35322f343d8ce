"""A small trace whose every value is known, scenarios over it, and a ring worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from linksim.network import Hop
from linksim.replay.scenario import Scenario
from linksim.traces import Trace, TraceWriter
from linksim.traces.manifest import CommunicationEvent, ComputeEvent, Shard
from tests.conftest import gaussian

RANKS = ("gpu0", "gpu1", "gpu2")
LAYERS = 2
PARTIAL_SHAPE = (25, 40)
"""1000 values: pieces of 334, 333 and 333 for a ring of three."""
RESIDUAL_VALUES = 3001
KV_VALUES = {"key": 700, "value": 900}
COMPUTE_PS = {"gpu0": 40_000, "gpu1": 70_000, "gpu2": 55_000}

OFF = {"name": "off", "codec": "raw"}
FIXED = {"name": "fixed", "codec": "huffman-fixed", "engine": "ideal"}
THREE_STAGE = {"name": "three-stage", "codec": "huffman-three-stage", "engine": "ideal"}


def partial(batch: int, layer: int, rank: int, scale: float = 0.02) -> np.ndarray:
    """One rank's addend; layers differ in scale as those of a model do."""
    seed = 100 * batch + 10 * layer + rank
    return gaussian(1000, seed=seed, scale=scale * (1 + 7 * layer)).reshape(PARTIAL_SHAPE)


def residual(batch: int, scale: float = 0.02) -> np.ndarray:
    return gaussian(RESIDUAL_VALUES, seed=1000 + batch, scale=scale)


def write_trace(path: Path, scales: Sequence[float] = (0.02, 0.02, 0.02)) -> Trace:
    """One batch per scale: all-reduces after computes, pipeline hops, a KV handoff.

    - prefill: in every layer all ranks compute, then sum their partial outputs; a layer waits for
      the layer before it, and a batch for the batch before it.
    - pipeline: gpu0 to gpu1, then gpu1 to gpu2; batches follow each other.
    - handoff: keys and values at once, when the batch's last all-reduce is done.
    """
    with TraceWriter(path, "synthetic") as writer:
        before: tuple[str, ...] = ()
        for batch, scale in enumerate(scales):
            for layer in range(LAYERS):
                before = (_add_layer(writer, batch, layer, scale, before),)
            _add_hops(writer, batch, scale)
            _add_handoff(writer, batch, scale, before)
    return Trace.open(path)


def _add_layer(
    writer: TraceWriter, batch: int, layer: int, scale: float, before: tuple[str, ...]
) -> str:
    place = f"b{batch}.l{layer}"
    for rank in RANKS:
        name = f"{place}.compute.{rank}"
        writer.add_event(
            ComputeEvent(
                op="compute",
                id=name,
                rank=rank,
                duration_ps=COMPUTE_PS[rank],
                after=before,
                phase="prefill",
                batch=batch,
            )
        )
    tensors = {
        rank: writer.add_tensor(
            f"{place}.ffn2.{rank}",
            partial(batch, layer, index, scale),
            kind="ffn2_output_partial",
            file=f"batch{batch}.safetensors",
            batch=batch,
            layer=layer,
            shard=Shard(index=index, count=len(RANKS)),
        )
        for index, rank in enumerate(RANKS)
    }
    return writer.add_event(
        CommunicationEvent(
            op="all_reduce",
            id=f"{place}.sum",
            ranks=RANKS,
            tensors=tensors,
            after=tuple(f"{place}.compute.{rank}" for rank in RANKS),
            phase="prefill",
            batch=batch,
        )
    )


def _add_hops(writer: TraceWriter, batch: int, scale: float) -> None:
    file = f"batch{batch}.safetensors"
    name = writer.add_tensor(
        f"b{batch}.residual", residual(batch, scale), kind="residual", file=file, batch=batch
    )
    for hop, after in enumerate(
        ((f"b{batch - 1}.hop0",) if batch else (), (f"b{batch}.hop0",)),
    ):
        add_send(writer, f"b{batch}.hop{hop}", RANKS[hop : hop + 2], name, "pipeline", batch, after)


def _add_handoff(writer: TraceWriter, batch: int, scale: float, after: tuple[str, ...]) -> None:
    for seed, (part, count) in enumerate(KV_VALUES.items()):
        values = gaussian(count, seed=2000 + 10 * batch + seed, scale=scale)
        name = f"b{batch}.{part}"
        file = f"batch{batch}.safetensors"
        writer.add_tensor(name, values, kind=f"kv_{part}", file=file, batch=batch, layer=0)
        add_send(
            writer, f"b{batch}.send-{part}", ("prefill", "decode"), name, "handoff", batch, after
        )


def add_send(
    writer: TraceWriter,
    event: str,
    ranks: Sequence[str],
    tensor: str,
    phase: str,
    batch: int = 0,
    after: tuple[str, ...] = (),
) -> None:
    """Add the send of *tensor* from the first of *ranks* to the second."""
    writer.add_event(
        CommunicationEvent(
            op="send",
            id=event,
            ranks=tuple(ranks),
            tensors={ranks[0]: tensor},
            after=after,
            phase=phase,
            batch=batch,
        )
    )


def scenario_document(
    phase: str = "pipeline",
    runs: Sequence[Mapping[str, Any]] = (OFF, FIXED),
    *,
    from_batch: int = 2,
    compute: bool = True,
    **changes: Any,
) -> dict[str, Any]:
    """A scenario over the synthetic trace as a TOML document holds it."""
    return {
        "name": "test",
        "title": "Test",
        "link": "ucie-advanced-x64-32",
        "topology": "fully-connected",
        "select": {"phase": phase, "from_batch": from_batch, "compute": compute},
        "run": [dict(run) for run in runs],
        **changes,
    }


def scenario(*arguments: Any, **keywords: Any) -> Scenario:
    """As `scenario_document`, validated."""
    return Scenario.model_validate(scenario_document(*arguments, **keywords))


def write_toml(path: Path, document: Mapping[str, Any]) -> Path:
    """Write *document*: scalars and lists of them, tables, and arrays of tables."""
    plain, tables = [], []
    for key, value in document.items():
        if isinstance(value, Mapping):
            tables.append(f"[{key}]\n" + _lines(value))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            tables += [f"[[{key}]]\n" + _lines(entry) for entry in value]
        else:
            plain.append(_lines({key: value}))
    path.write_text("".join(plain + tables), encoding="utf-8")
    return path


def _lines(table: Mapping[str, Any]) -> str:
    # JSON's scalars and lists of scalars are TOML's too.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def ring_messages(addends: Sequence[np.ndarray], ranks: Sequence[str] = RANKS) -> dict[str, Any]:
    """Values of every hop of a ring all-reduce by its id, worked out piece by piece in NumPy.

    Piece j starts at rank j + 1, every rank on its way adds its own share in float32 and rounds to
    the dtype, and the whole sum then goes round from rank j.
    """
    n, dtype = len(ranks), addends[0].dtype
    pieces = [np.array_split(addend.reshape(-1), n) for addend in addends]
    hops = {}
    for j in range(n):
        total = pieces[(j + 1) % n][j]
        for step in range(n - 1):
            hops[f"rs{step}.{ranks[(j + 1 + step) % n]}"] = total
            own = pieces[(j + 2 + step) % n][j]
            total = (total.astype(np.float32) + own.astype(np.float32)).astype(dtype)
        for step in range(n - 1):
            hops[f"ag{step}.{ranks[(j + step) % n]}"] = total
    return hops


def same_bits(hop: Hop, values: np.ndarray) -> bool:
    return hop.values.dtype == values.dtype and hop.values.tobytes() == values.tobytes()
