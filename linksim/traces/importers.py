"""Making a trace of tensor dumps: .safetensors, .npy and .npz files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import safetensors

from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.files import read_tensors
from linksim.traces.manifest import CommunicationEvent, ModelCard, legal_name
from linksim.traces.sources import in_format, kind_of_key
from linksim.traces.store import TraceWriter

Facts = dict[str, str | int | float | bool]


def import_dumps(
    files: Sequence[Path],
    out: Path,
    *,
    kind: str | None = None,
    dtype: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write every tensor of *files* to the trace folder *out*, whole or not at all.

    Tensors are of *kind*, or of the kind that `kind_of_key` makes of their key; their batch is the
    running number among tensors of one kind. *dtype* casts floats to that format and is required
    for float32 and float64. The schedule sends one tensor after the other from rank `source` to
    rank `destination`, phase `import`. LinksimError names file and tensor.
    """
    if not files:
        raise LinksimError("no files to import: expected .safetensors, .npy or .npz")
    if dtype is not None:
        number_format(dtype)
    name = name or legal_name(files[0].stem)
    batches: Counter[str] = Counter()
    taken: set[str] = set()
    after: tuple[str, ...] = ()
    with TraceWriter(out, name, overwrite=overwrite) as writer:
        for file in files:
            for key, stored in read_tensors(file).items():
                values = in_format(stored, dtype, f"{file}: tensor {key!r}")
                tensor_kind = kind or kind_of_key(key)
                tensor = _unique(legal_name(f"{file.stem}.{key}"), taken)
                batch = batches[tensor_kind]
                batches[tensor_kind] += 1
                writer.add_tensor(tensor, values, kind=tensor_kind, batch=batch)
                after = (_send(writer, tensor, batch, after),)
        if not taken:
            raise LinksimError(f"{files[0]}: no tensors: expected at least one")
        writer.model = _model_card(name, files)


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}.{number}", number + 1
    taken.add(candidate)
    return candidate


def _send(writer: TraceWriter, tensor: str, batch: int, after: tuple[str, ...]) -> str:
    return writer.add_event(
        CommunicationEvent(
            op="send",
            id=f"{tensor}.send",
            ranks=("source", "destination"),
            tensors={"source": tensor},
            after=after,
            phase="import",
            batch=batch,
        )
    )


def _model_card(name: str, files: Sequence[Path]) -> ModelCard:
    facts: Facts = {}
    for file in files:
        # One file's metadata goes by its own keys (source, licence, model); several would collide.
        prefix = f"{file.name} " if len(files) > 1 else ""
        facts |= {f"{prefix}{key}": value for key, value in _metadata(file).items()}
        facts[f"{prefix}file_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    names = ", ".join(file.name for file in files)
    return ModelCard(name=name, what_it_is=f"imported from {names}", facts=facts)


def _metadata(file: Path) -> dict[str, str]:
    """The string map in a safetensors header; empty for other files."""
    if file.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(file, framework="numpy") as opened:
        return dict(opened.metadata() or {})
