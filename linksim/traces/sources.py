"""One way to walk tensors, whether they come from traces or from tensor files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linksim.errors import LinksimError
from linksim.tensors.dtypes import FORMAT_NAMES, Tensor, cast, format_of, number_format
from linksim.tensors.files import read_tensors
from linksim.traces.store import Trace


@dataclass(frozen=True)
class SourceTensor:
    """A tensor with what codebooks are chosen by."""

    name: str
    file: str
    """Name of the trace folder or tensor file."""
    kind: str
    batch: int
    layer: int | None
    values: Tensor
    origin: str = ""
    """What produced a trace's tensors, as its model card says; empty for a file's."""


def tensors_of(paths: list[Path], dtype: str | None = None) -> Iterator[SourceTensor]:
    """Tensors of *paths* (trace folders or .safetensors/.npy/.npz files) in order.

    *dtype* casts floats to that format; without it every tensor must be of a supported one.
    The kind of a file's tensor is made from its key.
    """
    if dtype is not None:
        number_format(dtype)
    for path in paths:
        if not path.exists():
            raise LinksimError(f"{path}: no such file or trace folder")
        if path.is_dir():
            trace = Trace.open(path)
            origin = f"Trace {trace.manifest.name}: {trace.manifest.model.what_it_is}"
            for name, record in trace.manifest.tensors.items():
                values = in_format(trace.tensor(name), dtype, f"{path}: tensor {name!r}")
                of = (record.kind, record.batch, record.layer)
                yield SourceTensor(name, path.name, *of, values, origin)
        else:
            for key, values in read_tensors(path).items():
                values = in_format(values, dtype, f"{path}: tensor {key!r}")
                name = f"{path.stem}/{key}"
                yield SourceTensor(name, path.name, kind_of_key(key), 0, None, values)


def kind_of_key(key: str) -> str:
    """A legal tensor kind made of *key*: lower case, `_` for all but letters and digits."""
    slug = re.sub(r"[^a-z0-9_]", "_", key.lower())
    return slug if re.match(r"[a-z]", slug) else f"tensor_{slug}"


def in_format(stored: Tensor, dtype: str | None, where: str) -> Tensor:
    """*stored* cast to *dtype*, or as it is; LinksimError with *where* if it has no format."""
    if dtype is None and stored.dtype.kind == "f" and stored.dtype.itemsize > 2:
        raise LinksimError(
            f"{where} is {stored.dtype}: expected --dtype, the format to cast it to: one of "
            f"{', '.join(FORMAT_NAMES)}"
        )
    try:
        values = stored if dtype is None else cast(stored, dtype)
        format_of(values)
    except LinksimError as error:
        raise LinksimError(f"{where}: {error}") from None
    return values
