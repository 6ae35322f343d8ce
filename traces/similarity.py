"""How close a trace's symbols are to those of real Gemma tensors.

For every tensor kind, the KL divergence D(real || trace) in bits per symbol: what an ideal code
made for the trace would cost on the real tensor beyond its entropy. Beside it the same for a
Gaussian, which is what a study without traces would use. `pooled` symbols are the bytes of bf16
(two per value), `exponent` symbols the exponents. Trace and Gaussian are first scaled by the power
of two that fits best, so shapes are compared and not scales. The floor is what a sample of the real
tensor's size would show against its own distribution: (symbols seen - 1) / (2 n ln 2).

    python traces/similarity.py traces/bundled --gemma FOLDER [--write]

FOLDER holds real Gemma tensors as .safetensors; `--write` puts the figures on the trace's card.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import ml_dtypes
import numpy as np

from linksim.cli.output import print_table
from linksim.tensors.dtypes import cast, number_format
from linksim.tensors.files import read_safetensors
from linksim.tensors.histograms import histogram, kl_divergence_bits
from linksim.tensors.views import symbol_view
from linksim.traces.store import MANIFEST_NAME, Trace, write_json

BF16 = number_format("bf16")
PAIRS = (
    ("residual", "Gemma 2 9B, layer 31", "gemma2-9b", r".*"),
    ("residual", "Gemma 4 31B, layers 33 and 39", "gemma4-31b", r"residual"),
    ("residual", "Gemma 4 E2B, all layers", "gemma4-e2b", r"residual"),
    ("attention_output_partial", "Gemma 4 E2B, layer 0", "gemma4-e2b", r".*o_proj\.output"),
    ("ffn2_output_partial", "Gemma 4 E2B, layer 0", "gemma4-e2b", r".*mlp\.down_proj\.output"),
    ("ffn1_activation", "Gemma 4 E2B, layer 0", "gemma4-e2b", r".*mlp\.(gate|up)_proj\.output"),
    ("kv_key", "Gemma 4 E2B, layer 0", "gemma4-e2b", r".*k_norm_output"),
    ("kv_value", "Gemma 4 E2B, layer 0", "gemma4-e2b", r".*v_norm_output"),
)
"""Trace kind, what it is compared with, start of the file's name, keys of the tensors."""


def real_values(folder: Path, file: str, keys: str) -> np.ndarray:
    """All real tensors whose key matches, as one flat bf16 array."""
    found = [
        cast(values, "bf16").reshape(-1)
        for path in sorted(folder.glob(f"{file}*.safetensors"))
        for key, values in read_safetensors(path).items()
        if re.fullmatch(keys, key)
    ]
    return np.concatenate(found)


def counts(values: np.ndarray, view: str) -> np.ndarray:
    return histogram(symbol_view(view, BF16).split(values)[0])


def divergence(real: np.ndarray, model: np.ndarray, view: str) -> float:
    """D(real || model) in bits per symbol, *model* scaled by the power of two that fits best."""
    p, wide = counts(real, view), model.astype(np.float32)
    middle = round(np.log2(np.median(np.abs(real.astype(np.float32))) / np.median(np.abs(wide))))
    scaled = ((wide * 2.0**k).astype(BF16.numpy) for k in range(middle - 4, middle + 5))
    return min(kl_divergence_bits(p, counts(values, view)) for values in scaled)


def sampling_floor(real: np.ndarray, view: str) -> float:
    """Expected KL divergence of a sample of this size from its own distribution, in bits."""
    p = counts(real, view)
    return float((np.count_nonzero(p) - 1) / (2 * p.sum() * np.log(2)))


def compare(trace: Trace, folder: Path) -> list[dict[str, object]]:
    rows = []
    for kind, what, file, keys in PAIRS:
        names = [n for n, r in trace.manifest.tensors.items() if r.kind == kind]
        ours = np.concatenate([trace.tensor(name).reshape(-1) for name in names])
        real = real_values(folder, file, keys)
        gauss = np.random.default_rng(0).standard_normal(1 << 20).astype(ml_dtypes.bfloat16)
        row: dict[str, object] = {"kind": kind, "real": what, "real values": real.size}
        for view in ("pooled", "exponent"):
            row[f"{view}: this trace"] = round(divergence(real, ours, view), 4)
            row[f"{view}: a Gaussian"] = round(divergence(real, gauss, view), 4)
            row[f"{view}: floor"] = round(sampling_floor(real, view), 4)
        rows.append(row)
    return rows


def write_card(trace: Trace, rows: list[dict[str, object]]) -> None:
    """Put one fact per row on the trace's model card."""
    path = trace.path / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    facts = manifest["model"]["facts"]
    for row in rows:
        views = ", ".join(
            f"{view} {row[f'{view}: this trace']} (a Gaussian: {row[f'{view}: a Gaussian']}; "
            f"floor {row[f'{view}: floor']})"
            for view in ("pooled", "exponent")
        )
        name = f"KL from {row['real']} to {row['kind']}"
        facts[name] = f"{views} bit/symbol"
    write_json(path, manifest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--gemma", type=Path, required=True, help="folder of real Gemma tensors")
    parser.add_argument("--write", action="store_true", help="write the figures on the card")
    arguments = parser.parse_args()
    trace = Trace.open(arguments.trace)
    rows = compare(trace, arguments.gemma)
    print_table(
        "KL divergence from real Gemma tensors", list(rows[0]), [list(r.values()) for r in rows]
    )
    if arguments.write:
        write_card(trace, rows)


if __name__ == "__main__":
    main()
