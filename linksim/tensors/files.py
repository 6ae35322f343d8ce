"""Reading tensors from .safetensors, .npy and .npz files, and nothing that could run code."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import safetensors

from linksim.errors import LinksimError
from linksim.tensors.dtypes import FORMAT_NAMES, Tensor, number_format

_SAFETENSORS_DTYPES = {
    **{number_format(name).safetensors: number_format(name).numpy for name in FORMAT_NAMES},
    "U8": np.dtype(np.uint8),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
}

TENSOR_SUFFIXES = (".safetensors", ".npy", ".npz")
"""File types that `read_tensors` understands."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by key; LinksimError if it is not a whole one."""
    try:
        entries = safetensors.deserialize(_read_bytes(path))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise LinksimError(f"{path}: not a whole safetensors file: {error}") from None
    tensors = {}
    for key, entry in sorted(entries, key=lambda item: item[0]):
        if entry["dtype"] not in _SAFETENSORS_DTYPES:
            known = ", ".join(_SAFETENSORS_DTYPES)
            raise LinksimError(
                f"{path}: tensor {key!r} has dtype {entry['dtype']}: expected one of {known}"
            )
        dtype = _SAFETENSORS_DTYPES[entry["dtype"]]
        tensors[key] = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors, .npy or .npz file by name (a .npy goes by its stem)."""
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix not in TENSOR_SUFFIXES:
        expected = ", ".join(TENSOR_SUFFIXES)
        raise LinksimError(f"{path}: file type {path.suffix!r}: expected one of {expected}")
    _read_bytes(path, 1)
    try:
        loaded = np.load(path, allow_pickle=False)
        if path.suffix == ".npy":
            return {path.stem: loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise LinksimError(f"{path}: not a whole {path.suffix} file: {error}") from None


def _read_bytes(path: Path, limit: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise LinksimError(f"{path}: cannot be read: {error.strerror}") from None
