"""Histogram archives: how often every symbol occurred, by training step, kind, layer and shard."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from linksim.errors import LinksimError, first_problem
from linksim.tensors.dtypes import number_format
from linksim.tensors.histograms import Histogram
from linksim.tensors.views import SymbolView, symbol_view
from linksim.traces.manifest import Kind
from linksim.writing import written_whole

FORMAT = "linksim-histograms"
VERSION = 1
"""The only schema version this release reads and writes."""

ALPHABET = 256
MAX_COUNT_BYTES = 4
MAX_NBYTES = 1 << 30
"""Largest archive that is unpacked: a small file must not fill the memory."""

Count = Annotated[int, Field(ge=1)]
View = Literal["pooled", "byte-planes", "exponent"]
Step = Annotated[int, Field(ge=0)]


class RecordCard(BaseModel):
    """What an archive holds, and how it was recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["linksim-histograms"] = "linksim-histograms"
    version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    model: str = Field(min_length=1)
    """Name of the checkpoint folder."""
    what_it_is: str
    architecture: str
    start: Literal["checkpoint", "random weights"]
    """Weights of step 0."""
    text_file: str
    """Name of the text file, without folders."""
    text_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tokens: Count
    """Tokens per step; one step is one sequence."""
    seed: Step
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    optimizer: str
    torch_version: str
    transformers_version: str
    dtype: Literal["bf16"] = "bf16"
    views: Annotated[tuple[View, ...], Field(min_length=1)]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)]
    layers: Count
    shards: Count
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    """Recorded steps, rising. Step t is what was there after t updates of the weights."""
    shard_steps: tuple[Step, ...]
    """Those of `steps` whose histograms are also there shard by shard."""
    replicated_kinds: tuple[Kind, ...] = ()
    """Kinds of which every shard holds the whole tensor: shards are copies, not parts."""
    losses: tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
    """Loss in nats at each of `steps`."""

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        for name, axis in (("steps", self.steps), ("shard_steps", self.shard_steps)):
            if list(axis) != sorted(set(axis)):
                raise ValueError(f"{name}: expected rising numbers")
        if not set(self.shard_steps) <= set(self.steps):
            raise ValueError("shard_steps: expected some of steps")
        if not set(self.replicated_kinds) <= set(self.kinds):
            raise ValueError("replicated_kinds: expected some of kinds")
        for field, names in (("views", self.views), ("kinds", self.kinds)):
            if len(set(names)) != len(names):
                raise ValueError(f"{field}: expected different names")
        if len(self.losses) != len(self.steps):
            raise ValueError(f"losses: expected {len(self.steps)}, one for each of steps")
        return self

    def symbol_view(self, name: str) -> SymbolView:
        """The view called *name* of the recorded number format."""
        return symbol_view(name, number_format(self.dtype))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape in the file of every array but for its first axis, the bytes of a count."""
        kinds, whole_only = len(self.kinds), len(self.steps) - len(self.shard_steps)
        layers = (kinds, self.layers, ALPHABET, whole_only)
        shards = (len(self.shard_steps), kinds, self.layers, ALPHABET, self.shards)
        return {
            **{f"layers_{view}": layers for view in self.views},
            **{f"shards_{view}": shards for view in self.views},
        }


@dataclass(frozen=True)
class HistogramArchive:
    """Counts per symbol of the tensors of a training run, without their values."""

    card: RecordCard
    layers: Mapping[str, Histogram]
    """By view: int64 [steps, kinds, layers, 256], of a layer's whole tensors."""
    shards: Mapping[str, Histogram]
    """By view: int64 [shard steps, kinds, layers, shards, 256]."""

    def layer_counts(self, view: str, step: int, kind: str) -> Histogram:
        """int64 [layers, 256] of one *kind* at one recorded *step*."""
        counts: Histogram = self.layers[view][self.card.steps.index(step), self._kind(kind)]
        return counts

    def shard_counts(self, view: str, step: int, kind: str) -> Histogram:
        """int64 [layers, shards, 256] of one *kind* at one of `shard_steps`."""
        counts: Histogram = self.shards[view][self.card.shard_steps.index(step), self._kind(kind)]
        return counts

    def _kind(self, kind: str) -> int:
        return self.card.kinds.index(kind)

    def save(self, path: Path) -> None:
        """Write one `.npz` that `numpy.load` reads, whole or not at all.

        Equal archives give equal bytes. `metadata` is the card as JSON, uint8 [bytes].
        `layers_<view>` is uint8 [4 or fewer, kinds, layers, 256, steps] and `shards_<view>` is
        uint8 [4 or fewer, shard steps, kinds, layers, 256, shards]: the bytes of the counts, low
        byte first, each byte an array of its own, which compresses best. Layers of shard steps are
        left out, because their shards say the same.
        """
        card = self.card
        whole_only = [i for i, step in enumerate(card.steps) if step not in card.shard_steps]
        arrays = {"metadata": np.frombuffer(card.model_dump_json().encode(), np.uint8)}
        for view in card.views:
            counts = np.moveaxis(self.layers[view][whole_only], 0, -1)
            arrays[f"layers_{view}"] = _byte_planes(counts)
            arrays[f"shards_{view}"] = _byte_planes(np.swapaxes(self.shards[view], -1, -2))
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part, zipfile.ZipFile(part, "w") as archive:
            for name, array in arrays.items():
                # A ZipInfo made from a name alone bears the same date in every archive.
                member = zipfile.ZipInfo(f"{name}.npy")
                member.compress_type = zipfile.ZIP_LZMA
                with archive.open(member, "w") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> HistogramArchive:
        """Read an archive; LinksimError names the file and the field that is wrong."""
        try:
            arrays = _read_arrays(path)
            card = _card(arrays)
            shards: dict[str, Histogram] = {
                view: np.swapaxes(_counts(arrays, card, f"shards_{view}"), -1, -2)
                for view in card.views
            }
            layers: dict[str, Histogram] = {
                view: _with_shard_steps(_counts(arrays, card, f"layers_{view}"), shards[view], card)
                for view in card.views
            }
        except ValidationError as error:
            raise LinksimError(f"{path}: metadata: {first_problem(error)}") from None
        except LinksimError as error:
            raise LinksimError(f"{path}: {error}") from None
        return cls(card, layers, shards)


def layers_of_shards(
    shards: Histogram, kinds: Sequence[str], replicated_kinds: Sequence[str]
) -> Histogram:
    """Counts of whole layers, int64 [..., kinds, layers, 256], from those of their shards.

    *shards* is int64 [..., kinds, layers, shards, 256]. A layer is the sum of its shards, and for
    replicated kinds any one of them.
    """
    whole: Histogram = shards.sum(axis=-2)
    for kind in replicated_kinds:
        index = kinds.index(kind)
        whole[..., index, :, :] = shards[..., index, :, 0, :]
    return whole


def _with_shard_steps(layers: Histogram, shards: Histogram, card: RecordCard) -> Histogram:
    """All layers, int64 [steps, kinds, layers, 256], of the two parts of a file."""
    whole = np.empty((len(card.steps), *layers.shape[:-1]), np.int64)
    from_shards = np.isin(card.steps, card.shard_steps)
    whole[~from_shards] = np.moveaxis(layers, -1, 0)
    whole[from_shards] = layers_of_shards(shards, card.kinds, card.replicated_kinds)
    return whole


def _byte_planes(counts: Histogram) -> NDArray[np.uint8]:
    """The bytes of *counts*, low first, along a new first axis; uint8 [bytes, ...]."""
    width = max(1, (int(counts.max(initial=0)).bit_length() + 7) // 8)
    return np.stack([(counts >> 8 * plane).astype(np.uint8) for plane in range(width)])


_UNREADABLE = (
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as members:
            nbytes = sum(member.file_size for member in members.infolist())
        if nbytes > MAX_NBYTES:
            raise LinksimError(f"holds {nbytes} bytes: expected at most {MAX_NBYTES}")
        with np.load(path, allow_pickle=False) as loaded:
            # What is no array comes as bytes.
            return {name: np.asarray(loaded[name]) for name in loaded.files}
    except OSError as error:
        raise LinksimError(f"cannot be read: {error.strerror or error}") from None
    except _UNREADABLE as error:
        raise LinksimError(f"not a whole histogram archive (.npz): {error}") from None


def _card(arrays: Mapping[str, NDArray[Any]]) -> RecordCard:
    text = arrays.get("metadata")
    if text is None or text.dtype != np.uint8 or text.ndim != 1:
        raise LinksimError("metadata: expected JSON as one array of uint8")
    return RecordCard.model_validate_json(text.tobytes())


def _counts(arrays: Mapping[str, NDArray[Any]], card: RecordCard, name: str) -> NDArray[np.int64]:
    """The counts of array *name*, int64, with the axes they have in the file."""
    planes, shape = arrays.get(name), card.shapes()[name]
    if planes is None:
        raise LinksimError(f"{name}: is missing")
    if planes.dtype != np.uint8:
        raise LinksimError(f"{name}: dtype {planes.dtype}: expected uint8")
    if planes.ndim == 0 or planes.shape[1:] != shape or not 1 <= len(planes) <= MAX_COUNT_BYTES:
        raise LinksimError(
            f"{name}: shape {list(planes.shape)}: expected {[f'1 to {MAX_COUNT_BYTES}', *shape]}"
        )
    counts = np.zeros(shape, np.int64)
    for plane, values in enumerate(planes):
        counts |= values.astype(np.int64) << 8 * plane
    alphabet_axis = -2 if name.startswith("shards_") else 2
    if not counts.sum(axis=alphabet_axis).all():
        raise LinksimError(f"{name}: a histogram is empty")
    return counts
