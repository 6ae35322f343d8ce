"""Tiny random Gemma checkpoints for tests; import only where PyTorch is present."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers

WIDTHS = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
GENERATIONS = {"Gemma": {}, "Gemma2": {"sliding_window": 8}, "Gemma3": {"sliding_window": 8}}
CONFIGS = {"Gemma": "GemmaConfig", "Gemma2": "Gemma2Config", "Gemma3": "Gemma3TextConfig"}


def write_checkpoint(path: Path, generation: str = "Gemma", **changes: object) -> Path:
    """Write a random bfloat16 checkpoint of *generation* without a tokenizer to *path*."""
    widths = WIDTHS | GENERATIONS[generation] | changes
    torch.manual_seed(7)
    config = getattr(transformers, CONFIGS[generation])(**widths)
    model = getattr(transformers, f"{generation}ForCausalLM")(config).to(torch.bfloat16)
    model.save_pretrained(path)
    return path


def write_text(path: Path, length: int = 400) -> Path:
    """Write *length* bytes of text that does not repeat every few bytes."""
    words = " ".join(str(number * number) for number in range(length))
    path.write_text(words[:length])
    return path
