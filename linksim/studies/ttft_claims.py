"""What others state and measured about quantized all-reduces, beside which the study stands."""

from __future__ import annotations

from dataclasses import dataclass

from linksim.catalogue import Grade

V1 = "Flash Communication, arXiv 2412.04964"
V2 = "FlashCommunication V2, arXiv 2508.03760"


@dataclass(frozen=True)
class Claim:
    """One figure, and which of the study's figures it is held against."""

    what: str
    figure: str
    source: str
    grade: Grade
    measure: str
    """`share`: communication in bf16 prefill; `all-reduce`, `first-token` and `all-to-all`: times
    faster than bf16; `size`: smallest message from which a format pays."""
    boxes: tuple[str, ...]
    formats: tuple[str, ...]


CLAIMS = (
    Claim(
        "communication in prefill, 4 x L40, LLaMA-3-70B, 8 x 1024 tokens",
        "up to 65 %",
        f"{V1}, Fig. 1, quoted by a primer",
        "second-hand",
        "share",
        ("l40-4-wire", "l40-4-host"),
        ("bf16",),
    ),
    Claim(
        "communication in prefill, 4 x A100, the same",
        "20 %",
        f"{V1}, Fig. 1, quoted by a primer",
        "second-hand",
        "share",
        ("a100-4", "a100-8"),
        ("bf16",),
    ),
    Claim(
        "communication faster, L40",
        "more than 3x",
        f"{V1}, abstract (which GPUs is not said)",
        "read in the source",
        "all-reduce",
        ("l40-4-wire", "l40-4-host"),
        ("INT4",),
    ),
    Claim(
        "time to first token, L40",
        "2x",
        f"{V1}, abstract (which GPUs is not said)",
        "read in the source",
        "first-token",
        ("l40-4-wire", "l40-4-host"),
        ("INT4",),
    ),
    Claim(
        "all-reduce faster, NVLink and PCIe",
        "at most 3.2x",
        f"{V2}, abstract",
        "read in the source",
        "all-reduce",
        ("l40-4-wire", "l40-4-host", "a100-8", "h100-8"),
        ("INT2+SR", "INT2+SR sides"),
    ),
    Claim(
        "all-to-all faster",
        "at most 2x",
        f"{V2}, abstract",
        "read in the source",
        "all-to-all",
        ("l40-4-wire", "l40-4-host", "a100-8", "h100-8"),
        ("INT8", "INT4"),
    ),
    Claim(
        "time to first token, Llama-3.3-70B on 4 GPUs with NVLink, int8 and fp8",
        "1.03x to 1.08x",
        "vLLM pull request 39783",
        "read in the source",
        "first-token",
        ("a100-4", "h100-4"),
        ("INT8",),
    ),
    Claim(
        "size below which INT4 loses, MI300X and MI325X",
        "about 1 to 2 MiB",
        "vLLM quick_all_reduce.py at 02cdf876 and ROCm/aiter pull request 4970",
        "read in the source",
        "size",
        ("a100-4", "a100-8", "h100-4", "h100-8"),
        ("INT4",),
    ),
)
