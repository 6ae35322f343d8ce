"""How long a GPU computes in a prefill: a roofline over operations, tensor-parallel.

An operation takes the longer of its arithmetic at the reached peak and its bytes at the reached
memory bandwidth (S. Williams, A. Waterman and D. Patterson, "Roofline", CACM 52(4), 2009). The cut
over GPUs is Megatron-LM's (arXiv 1909.08053): heads and FFN columns are divided, the residual
stream and its norms are not.
"""

from __future__ import annotations

from dataclasses import dataclass

from linksim.errors import LinksimError
from linksim.prefill.cards import BF16_NBYTES, GpuCard, ModelCard
from linksim.units import PS_PER_S, ceil_div


@dataclass(frozen=True)
class Operation:
    """What one GPU does in one kernel or fused group of kernels."""

    name: str
    flops: int
    """Floating-point operations in matrix products; a multiplication and an addition are two."""
    nbytes: int
    """Bytes read from and written to memory, each tensor once."""

    def duration_ps(self, gpu: GpuCard) -> int:
        """Time on *gpu*, to the nearest picosecond."""
        arithmetic = self.flops / gpu.flops_per_second
        memory = self.nbytes / gpu.memory_bytes_per_second
        return round(max(arithmetic, memory) * PS_PER_S)


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What is prefilled at once. LinksimError for less than one prompt, token or GPU."""

    batch: int = 8
    """Prompts."""
    tokens: int = 1024
    """Tokens of each."""

    def __post_init__(self) -> None:
        for name in ("batch", "tokens"):
            if getattr(self, name) < 1:
                raise LinksimError(f"{name}: {getattr(self, name)}: expected 1 or more")

    @property
    def total(self) -> int:
        """Tokens of all prompts."""
        return self.batch * self.tokens


def layer_operations(model: ModelCard, prompts: Prompts, gpus: int) -> tuple[Operation, ...]:
    """The operations of one GPU of *gpus* in one layer. LinksimError for less than one GPU.

    Heads of queries, and those of keys and values, are divided; where they do not go round, some
    GPUs have one more, or keep copies, and the others wait for them. Attention is causal, so half
    of its products are left out, and fused, so its scores never reach memory.
    """
    if gpus < 1:
        raise LinksimError(f"{model.name} over {gpus} GPUs: expected 1 or more")
    rows = prompts.total
    kv_heads = ceil_div(model.kv_heads, gpus)
    queries = ceil_div(model.heads, gpus) * model.head_size
    keys = kv_heads * model.head_size
    ffn = ceil_div(model.ffn, gpus)
    attended = rows * queries * prompts.tokens
    return (
        _matmul("queries, keys, values", rows, model.hidden, queries + 2 * keys),
        # Scores and weighted values: two products of 2 operations each, halved by causality.
        Operation("attention", 2 * attended, rows * (2 * queries + 2 * keys) * BF16_NBYTES),
        _matmul("attention output", rows, queries, model.hidden),
        _matmul("gate and up", rows, model.hidden, 2 * ffn),
        Operation("activation", 0, rows * 3 * ffn * BF16_NBYTES),
        _matmul("down", rows, ffn, model.hidden),
        # A norm reads and writes the stream; two of them are fused with adding to the residual.
        Operation(
            "norms and residual",
            0,
            (2 * model.norms_per_layer + 2 * 2) * rows * model.hidden * BF16_NBYTES,
        ),
    )


def head_operations(model: ModelCard, prompts: Prompts, gpus: int) -> tuple[Operation, ...]:
    """The operations around the layers: embeddings, and the logits of every prompt's last token."""
    columns = ceil_div(model.vocabulary, gpus)
    return (
        Operation("embedding", 0, 2 * prompts.total * model.hidden * BF16_NBYTES),
        _matmul("logits", prompts.batch, model.hidden, columns),
    )


def compute_ps(model: ModelCard, gpu: GpuCard, prompts: Prompts, gpus: int) -> int:
    """Time that every GPU computes from the prompts to the logits of their last tokens."""
    layer = sum(one.duration_ps(gpu) for one in layer_operations(model, prompts, gpus))
    around = sum(one.duration_ps(gpu) for one in head_operations(model, prompts, gpus))
    return model.layers * layer + around


def _matmul(name: str, rows: int, inner: int, columns: int) -> Operation:
    elements = rows * inner + inner * columns + rows * columns
    return Operation(name, 2 * rows * inner * columns, elements * BF16_NBYTES)
