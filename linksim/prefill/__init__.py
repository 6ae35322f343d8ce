"""Time to first token: a roofline for computing, the simulated network for all-reduces."""

from linksim.prefill.all_reduce import (
    HierarchicalSum,
    LibrarySum,
    LosslessSum,
    Method,
    TwoStepSum,
    all_reduce_ps,
    all_to_all_ps,
    lossless_method,
)
from linksim.prefill.boxes import Box, box
from linksim.prefill.cards import (
    BoxCard,
    GpuCard,
    ModelCard,
    box_card,
    box_names,
    gpu_card,
    gpu_names,
    model_card,
    model_names,
)
from linksim.prefill.first_token import FirstToken, first_token
from linksim.prefill.kernels import kernel_record
from linksim.prefill.roofline import Operation, Prompts, compute_ps, layer_operations

__all__ = [
    "Box",
    "BoxCard",
    "FirstToken",
    "GpuCard",
    "HierarchicalSum",
    "LibrarySum",
    "LosslessSum",
    "Method",
    "ModelCard",
    "Operation",
    "Prompts",
    "TwoStepSum",
    "all_reduce_ps",
    "all_to_all_ps",
    "box",
    "box_card",
    "box_names",
    "compute_ps",
    "first_token",
    "gpu_card",
    "gpu_names",
    "kernel_record",
    "layer_operations",
    "lossless_method",
    "model_card",
    "model_names",
]
