"""Figures of the papers that the studies stand beside, each with its source and evidence grade.

The unit is the papers' *compressibility*: (S - bits per coded symbol) / S in percent, with S the
width of a symbol, over coded symbols alone and without framing.
"""

from __future__ import annotations

from dataclasses import dataclass

from linksim.catalogue import Grade

SINGLE_STAGE = "arXiv 2601.10673"
DUAL_LENGTH = "arXiv 2602.17849v1"
QUAD_LENGTH = "arXiv 2602.17849v2"

PAPER_KIND = "ffn1_activation"
"""Tensor kind of the papers' worked example: FFN1 activations of Gemma 2B, fine-tuned on TPUs."""

WITHIN_HUFFMAN_PERCENT = 0.5
"""How near fixed codebooks come to a shard's own Huffman code; abstract of arXiv 2601.10673."""
WITHIN_SHANNON_PERCENT = 1.0
"""How near they come to Shannon's bound; abstract of arXiv 2601.10673."""


@dataclass(frozen=True)
class PublishedFigure:
    """One figure of a paper."""

    what: str
    """Codec id of linksim, `own Huffman` or `Shannon`."""
    dtype: str
    view: str
    kind: str
    """Tensor kind it was found on; empty where the source read does not say."""
    compressibility_percent: float
    source: str
    grade: Grade


PUBLISHED = (
    PublishedFigure("Shannon", "bf16", "pooled", PAPER_KIND, 21.7, DUAL_LENGTH, "second-hand"),
    PublishedFigure(
        "own Huffman", "bf16", "pooled", PAPER_KIND, 21.3, DUAL_LENGTH, "read in the source"
    ),
    PublishedFigure(
        "dual-length", "bf16", "pooled", PAPER_KIND, 18.6, DUAL_LENGTH, "read in the source"
    ),
    PublishedFigure("own Huffman", "e4m3", "pooled", "", 15.9, QUAD_LENGTH, "read in the source"),
    PublishedFigure("quad-length", "e4m3", "pooled", "", 13.9, QUAD_LENGTH, "read in the source"),
)
"""Every published figure that the study of Huffman codes can be held against."""

PUBLISHED_ENTROPY_BITS = 6.26
"""About this many bits per byte is the pooled entropy of bf16 FFN1 activations: second-hand, from
notes on arXiv 2602.17849v1, which uses the tensors of arXiv 2601.10673."""
