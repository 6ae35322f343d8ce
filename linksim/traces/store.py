"""Opening and writing trace folders."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save

from linksim.errors import LinksimError, first_problem
from linksim.tensors.dtypes import Tensor, format_of, number_format
from linksim.tensors.files import read_safetensors
from linksim.traces.manifest import (
    FORMAT,
    VERSION,
    CommunicationEvent,
    Event,
    Manifest,
    ModelCard,
    Name,
    Shard,
    TensorRecord,
)
from linksim.writing import written_whole

MANIFEST_NAME = "manifest.json"


class Trace:
    """A trace folder opened for reading; tensor values are read when first asked for."""

    def __init__(self, path: Path, manifest: Manifest):
        self.path = path
        self.manifest = manifest
        self._file = lru_cache(maxsize=None)(read_safetensors)

    @classmethod
    def open(cls, path: Path) -> Trace:
        """Open the trace folder *path*; LinksimError names the file and field that is wrong."""
        file = path / MANIFEST_NAME
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LinksimError(f"{file}: cannot be read as a trace manifest: {reason}") from None
        try:
            return cls(path, Manifest.model_validate_json(text))
        except ValidationError as error:
            raise LinksimError(f"{file}: {first_problem(error)}") from None

    def tensor(self, name: str) -> Tensor:
        """Values of tensor *name* in its own dtype and shape.

        LinksimError if file, dtype, shape or checksum are not what the manifest says.
        """
        record = self.record(name)
        where = f"{self.path / record.file}: tensor {record.key!r}"
        stored = self._file(self.path / record.file)
        if record.key not in stored:
            raise LinksimError(f"{where} is missing: the manifest names it for {name!r}")
        values, fmt = stored[record.key], number_format(record.dtype)
        if values.dtype != fmt.numpy:
            if fmt.safetensors != "U8" or values.dtype != np.uint8:
                raise LinksimError(f"{where} is {values.dtype}: expected {record.dtype}")
            values = values.view(fmt.numpy)
        if values.shape != record.shape:
            raise LinksimError(f"{where} has shape {values.shape}: expected {record.shape}")
        if values_sha256(values) != record.sha256:
            raise LinksimError(f"{where}: its values do not match sha256 in the manifest")
        return values

    def record(self, name: str) -> TensorRecord:
        """The manifest's record of tensor *name*."""
        if name not in self.manifest.tensors:
            raise LinksimError(f"{self.path / MANIFEST_NAME}: no tensor is called {name!r}")
        return self.manifest.tensors[name]

    def communications(self) -> list[CommunicationEvent]:
        """All events that cross links, in manifest order."""
        return [e for e in self.manifest.events if isinstance(e, CommunicationEvent)]


def values_sha256(values: Tensor) -> str:
    """SHA-256 of the values' bytes in C order, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


class TraceWriter:
    """Writes a trace folder as a whole or not at all.

    Use as a context manager: files go to `PATH.part`, which is renamed to PATH on success and
    removed on failure. An existing PATH is an error unless *overwrite*, and even then unless it is
    a trace.
    """

    def __init__(self, path: Path, name: str, *, overwrite: bool = False):
        if path.exists() and not overwrite:
            raise LinksimError(f"{path}: exists already; remove it or choose another --out")
        if path.exists() and not (path / MANIFEST_NAME).is_file():
            raise LinksimError(f"{path}: not a trace folder, so it is not overwritten")
        try:
            TypeAdapter(Name).validate_python(name)
        except ValidationError as error:
            raise LinksimError(f"{path}: name {name!r}: {first_problem(error)}") from None
        self.path = path
        self.name = name
        self._target = path.resolve()
        self._part = self._target.with_name(self._target.name + ".part")
        self._values: dict[str, dict[str, Tensor]] = {}
        self._records: dict[str, TensorRecord] = {}
        self._events: list[Event] = []
        self.model = ModelCard(name=name, what_it_is="unknown")
        self.seeds: dict[str, int] = {}

    def __enter__(self) -> TraceWriter:
        try:
            if self._part.exists():
                shutil.rmtree(self._part)
            self._part.mkdir(parents=True)
        except OSError as error:
            raise LinksimError(f"{self.path}: cannot be written: {error.strerror}") from None
        return self

    def add_tensor(
        self,
        name: str,
        values: Tensor,
        *,
        kind: str,
        file: str = "tensors.safetensors",
        batch: int = 0,
        layer: int | None = None,
        shard: Shard | None = None,
    ) -> str:
        """Add *values* (any supported dtype and shape) as tensor *name*; returns *name*."""
        if name in self._records:
            raise LinksimError(f"{self.path}: two tensors are called {name!r}")
        fmt = format_of(values)
        values = np.ascontiguousarray(values)
        try:
            self._records[name] = TensorRecord(
                file=file,
                key=name,
                dtype=fmt.name,
                shape=values.shape,
                kind=kind,
                sha256=values_sha256(values),
                batch=batch,
                layer=layer,
                shard=shard,
            )
        except ValidationError as error:
            raise LinksimError(f"{self.path}: tensor {name!r}: {first_problem(error)}") from None
        stored = values.view(np.uint8) if fmt.safetensors == "U8" else values
        self._values.setdefault(file, {})[name] = stored
        return name

    def add_event(self, event: Event) -> str:
        """Add *event* to the schedule; returns its id."""
        self._events.append(event)
        return event.id

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._write()
        except OSError as problem:
            raise LinksimError(f"{self.path}: cannot be written: {problem.strerror}") from None
        except ValidationError as problem:
            raise LinksimError(f"{self.path}: {first_problem(problem)}") from None
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def _write(self) -> None:
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            name=self.name,
            model=self.model,
            seeds=self.seeds,
            tensors=self._records,
            events=tuple(self._events),
        )
        for file, tensors in self._values.items():
            target = self._part / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(save(tensors))
        write_json(self._part / MANIFEST_NAME, manifest.model_dump(mode="json", exclude_none=True))
        if self._target.exists():
            shutil.rmtree(self._target)
        self._part.replace(self._target)


def write_json(path: Path, document: Any) -> None:
    """Write *document* as indented JSON through a temporary name."""
    with written_whole(path) as part:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
