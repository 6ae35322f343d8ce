"""The widths of a Gemma model, what they cost in operations, and how stages cut them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from linksim.units import ceil_div


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Widths of a decoder-only Gemma model."""

    layers: int
    hidden: int
    ffn: int
    """Inner width of the feed-forward network."""
    heads: int
    """Query heads."""
    kv_heads: int
    head_dim: int
    vocabulary: int

    @classmethod
    def of_config(cls, config: Any) -> Geometry:
        """The widths in a transformers Gemma configuration."""
        return cls(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            ffn=config.intermediate_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            vocabulary=config.vocab_size,
        )

    def attention_flops(self, tokens: int, ranks: int = 1) -> int:
        """Floating-point operations of one rank in one attention block over *tokens* tokens.

        A multiply-add counts as two. The causal half of the score matrix counts; norms, rotary
        embedding and softmax do not. Ranks beyond the number of KV heads replicate them.
        """
        query_width = self.heads // ranks * self.head_dim
        kv_width = ceil_div(self.kv_heads, ranks) * self.head_dim
        projections = 2 * tokens * self.hidden * (2 * query_width + 2 * kv_width)
        return projections + 2 * tokens * (tokens + 1) * query_width

    def ffn_flops(self, tokens: int, ranks: int = 1) -> int:
        """Operations of one rank in one feed-forward block: three matrices, 2 per multiply-add."""
        return 6 * tokens * self.hidden * (self.ffn // ranks)

    def layer_flops(self, tokens: int) -> int:
        """Operations of one whole layer on one device."""
        return self.attention_flops(tokens) + self.ffn_flops(tokens)

    def stages(self, count: int) -> list[range]:
        """The layers of each of *count* pipeline stages, cut as evenly as whole layers allow."""
        cuts = [self.layers * stage // count for stage in range(count + 1)]
        return [range(first, last) for first, last in pairwise(cuts)]


@dataclass(frozen=True)
class Clock:
    """Turns operations into modelled time: operations / (*tflops* x 1e12) seconds."""

    tflops: float

    def duration_ps(self, flops: int) -> int:
        """Nearest whole picosecond that *flops* operations take."""
        return round(flops / self.tflops)
