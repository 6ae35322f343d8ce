"""Cards: the shapes of models, what a GPU can do, and boxes of GPUs, each with its evidence."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import model_validator

from linksim.catalogue import Catalogue, Record, Text, number, whole

Count = Annotated[int, whole("a whole number from 1 to 1e7", 1, 10**7)]
Gpus = Annotated[int, whole("2 to 64 GPUs", 2, 64)]
Tflops = Annotated[float, number("TFLOP/s from 1 to 1e6", 1, 1e6)]
GbytesPerSecond = Annotated[float, number("GB/s from 1 to 1e6", 1, 1e6)]
Share = Annotated[float, number("a share from 0.01 to 1", 0.01, 1)]
Microseconds = Annotated[float, number("microseconds from 0 to 1e4", 0, 1e4)]

BF16_NBYTES = 2
"""Bytes of a value: weights, activations and what is summed are bf16 throughout."""


class ModelCard(Record):
    """The shape of a decoder-only transformer with gated FFN and grouped-query attention."""

    layers: Count
    hidden: Count
    """Width of the residual stream."""
    ffn: Count
    """Width between the FFN's matrices: gate, up and down."""
    heads: Count
    kv_heads: Count
    head_size: Count
    vocabulary: Count
    norms_per_layer: Count
    """RMS norms: 2 in LLaMA, 4 in Gemma 2."""

    @model_validator(mode="after")
    def _heads_share_keys(self) -> ModelCard:
        if self.heads % self.kv_heads:
            raise ValueError(
                f"expected heads ({self.heads}) to be a multiple of kv_heads ({self.kv_heads})"
            )
        return self

    def all_reduce_nbytes(self, tokens: int) -> int:
        """Bytes of the tensor that every GPU adds in one all-reduce over *tokens* tokens."""
        return tokens * self.hidden * BF16_NBYTES


class GpuCard(Record):
    """What a GPU can do: published peaks, and shares of them that are taken to be reached."""

    bf16_tflops: Tflops
    """Dense, from the tensor cores."""
    matmul_share: Share
    """Of that peak, in large matrix products."""
    memory_gbytes_per_s: GbytesPerSecond
    memory_share: Share
    """Of that bandwidth, in kernels that read and write in order."""
    kernel_us: Microseconds
    """Time of a kernel beyond its bytes: start, synchronization, end."""

    @property
    def flops_per_second(self) -> float:
        """Reached in matrix products."""
        return self.bf16_tflops * 1e12 * self.matmul_share

    @property
    def memory_bytes_per_second(self) -> float:
        """Reached, reading and writing together."""
        return self.memory_gbytes_per_s * 1e9 * self.memory_share


class BoxCard(Record):
    """GPUs, what joins them, and the library's endpoints."""

    gpu: Text
    gpus: Gpus
    endpoint: Text
    """Endpoint record, whose link is that of every GPU."""
    topology: Literal["switched", "pcie-tree"]
    """`switched`: every GPU at one switch; `pcie-tree`: half of them at each of two roots."""
    wire: Literal["fitted", "lines"]
    """Share of the link that data gets: `fitted` as in the endpoint record; `lines` all but what
    the protocols' flags take."""

    @model_validator(mode="after")
    def _sides_are_equal(self) -> BoxCard:
        if self.topology == "pcie-tree" and self.gpus % 2:
            raise ValueError(f"a PCIe tree has two equal sides: got gpus = {self.gpus}")
        return self


_FOLDER = files("linksim.prefill") / "records"
_MODELS = Catalogue(ModelCard, _FOLDER / "models", "model")
_GPUS = Catalogue(GpuCard, _FOLDER / "gpus", "GPU")
_BOXES = Catalogue(BoxCard, _FOLDER / "boxes", "box")


def model_names() -> tuple[str, ...]:
    """Names of the shipped model cards, sorted."""
    return _MODELS.names()


def model_card(reference: str | Path) -> ModelCard:
    """The model *reference* names, shipped or a TOML file; LinksimError if something is wrong."""
    return _MODELS.get(reference)


def gpu_names() -> tuple[str, ...]:
    """Names of the shipped GPU cards, sorted."""
    return _GPUS.names()


def gpu_card(reference: str | Path) -> GpuCard:
    """The GPU *reference* names, shipped or a TOML file; LinksimError if something is wrong."""
    return _GPUS.get(reference)


def box_names() -> tuple[str, ...]:
    """Names of the shipped box cards, sorted."""
    return _BOXES.names()


def box_card(reference: str | Path) -> BoxCard:
    """The box *reference* names, shipped or a TOML file; LinksimError if something is wrong."""
    return _BOXES.get(reference)
