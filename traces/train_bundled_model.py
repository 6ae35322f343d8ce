"""Train the small Gemma-architecture model whose trace is bundled with linksim.

The model is a Hugging Face `GemmaForCausalLM` over raw bytes (vocabulary 256). It is *not* Google's
Gemma: it has Gemma's architecture and nothing of its weights. The bundled checkpoint was made by

    MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
    python traces/train_bundled_model.py --text classic_books_en.txt --out traces/bundled-model

(the two variables keep the C library from returning and re-faulting memory at every step, which
halves the time on Linux). It writes a checkpoint directory (`config.json`, `model.safetensors` in
bfloat16) and `training.json`, the card: data, split, steps, seeds, optimizer, held-out bits per
byte. With `--write-held-out FILE` instead of `--out` it writes the text that the model never sees,
on which the bundled trace was captured.

Optimizer: Muon (momentum orthogonalised by a Newton-Schulz iteration, Jordan et al. 2024) for the
matrices of the blocks with the update scale of Moonlight (arXiv 2502.16982), AdamW for embedding
and norms. `torch.optim.Muon` computes in bfloat16, which CPUs without bf16 units emulate about 50
times slower than float32, hence the float32 version below.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from transformers import GemmaConfig, GemmaForCausalLM

HELD_OUT_BLOCK_BYTES = 65536
"""The text is cut into blocks of this size; a seeded 2 % of them is never trained on."""

SAMPLE_BYTES = 8192
"""Held-out bytes scored on the way; the card's score is of all of them, by the weights as saved."""


def split_text(text: bytes, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut *text* into training and held-out bytes, both uint8 [bytes], by whole blocks."""
    data = np.frombuffer(text, np.uint8)
    blocks = [
        data[start : start + HELD_OUT_BLOCK_BYTES]
        for start in range(0, len(data), HELD_OUT_BLOCK_BYTES)
    ]
    order = np.random.default_rng(seed).permutation(len(blocks))
    held_out = set(order[: max(1, round(0.02 * len(blocks)))].tolist())
    train = np.concatenate([b for i, b in enumerate(blocks) if i not in held_out])
    return train, np.concatenate([blocks[i] for i in sorted(held_out)])


def orthogonalised(matrix: Tensor) -> Tensor:
    """Approximate U V^T of *matrix* = U S V^T by five Newton-Schulz steps.

    The steps are run on the small Gram matrix: each multiplies the iterate by a polynomial in it,
    so the long side is touched only twice.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    total = torch.eye(len(gram))
    for _ in range(5):
        step = a * torch.eye(len(gram)) + b * gram + c * (gram @ gram)
        total = step @ total
        gram = step @ gram @ step
        gram = 0.5 * (gram + gram.T)
    result = total @ wide
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


class Muon(torch.optim.Optimizer):
    """Muon in float32 for 2-D weights; every update has the root mean square 0.2 x lr."""

    def __init__(self, params: list[Tensor], lr: float, momentum: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                buffer = state.setdefault("momentum", torch.zeros_like(weight))
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonalised(weight.grad.lerp(buffer, group["momentum"]))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update, alpha=-0.2 * group["lr"] * math.sqrt(max(weight.shape)))


@torch.no_grad()
def bits_per_byte(model: GemmaForCausalLM, data: np.ndarray, context: int) -> float:
    """Mean bits per byte of *data*, uint8 [n], each predicted from at least context/2 bytes.

    Windows of *context* bytes move by half a window; only the second half is scored.
    """
    model.eval()
    half = context // 2
    starts = range(0, len(data) - context - 1, half)
    nats = count = 0.0
    for first in range(0, len(starts), 8):
        rows = np.stack([data[s : s + context + 1] for s in starts[first : first + 8]])
        tokens = torch.from_numpy(rows.astype(np.int64))
        logits = model(input_ids=tokens[:, :-1]).logits[:, half:].flatten(0, 1)
        targets = tokens[:, 1 + half :].flatten()
        nats += float(torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum"))
        count += len(targets)
    model.train()
    return nats / count / math.log(2)


def build_model(arguments: argparse.Namespace) -> GemmaForCausalLM:
    config = GemmaConfig(
        vocab_size=256,
        hidden_size=arguments.hidden,
        intermediate_size=arguments.ffn,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.hidden // 64,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GemmaForCausalLM(config)


def save(model: GemmaForCausalLM, card: dict[str, object], out: Path) -> None:
    """Write checkpoint and card under a temporary name, then rename."""
    part = out.with_name(out.name + ".part")
    model.save_pretrained(part)
    from safetensors.torch import load_file, save_file

    weights = {k: v.to(torch.bfloat16) for k, v in load_file(part / "model.safetensors").items()}
    save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((part / "config.json").read_text())
    config["dtype"] = "bfloat16"
    (part / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (part / "training.json").write_text(json.dumps(card, indent=2) + "\n")
    if out.exists():
        for old in out.iterdir():
            old.unlink()
        out.rmdir()
    part.rename(out)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="UTF-8 text to train on")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="checkpoint directory to write")
    target.add_argument("--write-held-out", type=Path, help="only write the held-out text here")
    parser.add_argument("--steps", type=int, default=1150)
    parser.add_argument("--batch", type=int, default=8, help="sequences per step")
    parser.add_argument("--context", type=int, default=512, help="bytes per sequence")
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--ffn", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--save-every", type=int, default=50)
    return parser.parse_args()


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    draw = np.random.default_rng(arguments.seed)
    text = arguments.text.read_bytes()
    data, held_out = split_text(text, arguments.seed)
    model = build_model(arguments)
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    outer = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [
        Muon(inner, lr=arguments.learning_rate, momentum=0.95, weight_decay=0.05),
        torch.optim.AdamW(outer, lr=arguments.learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    card: dict[str, object] = {
        "architecture": "GemmaForCausalLM",
        "what_it_is": "Gemma's architecture trained from scratch on bytes; not Google's weights",
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": "public-domain English books, 13.3 MB of UTF-8",
        "data_sha256": hashlib.sha256(text).hexdigest(),
        "split": f"a seeded 2 % of blocks of {HELD_OUT_BLOCK_BYTES} bytes is held out",
        "optimizer": "Muon (blocks), AdamW (embedding, norms); float32; linear warm-up and decay",
        "settings": {
            k: v for k, v in vars(arguments).items() if k not in ("text", "out", "write_held_out")
        },
        "seed": arguments.seed,
    }
    warm_up = max(1, arguments.steps // 50)
    started, losses, log = time.monotonic(), [], []
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=1) as progress:
        task = progress.add_task("training", total=arguments.steps)
        for step in range(1, arguments.steps + 1):
            left = (arguments.steps + 1 - step) / (arguments.steps - warm_up + 1)
            scale = min(step / warm_up, left)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = arguments.learning_rate * scale
            starts = draw.integers(0, len(data) - arguments.context - 1, arguments.batch)
            rows = np.stack([data[s : s + arguments.context + 1] for s in starts])
            tokens = torch.from_numpy(rows.astype(np.int64))
            logits = model(input_ids=tokens[:, :-1], use_cache=False).logits.flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(outer, 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item() / math.log(2))
            progress.update(task, advance=1, description=f"{np.mean(losses[-20:]):.3f} bit/byte")
            last = step == arguments.steps
            if step % arguments.save_every == 0 or last:
                sample = bits_per_byte(model, held_out[:SAMPLE_BYTES], arguments.context)
                entry = {
                    "step": step,
                    "train_bits_per_byte": round(float(np.mean(losses[-50:])), 4),
                    "held_out_sample_bits_per_byte": round(sample, 4),
                    "minutes": round((time.monotonic() - started) / 60, 1),
                }
                log.append(entry)
                print(json.dumps(entry), flush=True)
                card["steps"] = step
                card["trained_bytes"] = step * arguments.batch * arguments.context
                if last:
                    model.to(torch.bfloat16).to(torch.float32)
                    score = bits_per_byte(model, held_out, arguments.context)
                    card["held_out_bytes"] = len(held_out)
                    card["held_out_bits_per_byte"] = round(score, 4)
                save(model, card | {"log": log}, arguments.out)


def main() -> None:
    arguments = parse_arguments()
    if arguments.write_held_out is None:
        train(arguments)
        return
    _, held_out = split_text(arguments.text.read_bytes(), arguments.seed)
    arguments.write_held_out.write_bytes(held_out.tobytes())


if __name__ == "__main__":
    main()
