"""Write the golden vectors of a codec case that has none yet; existing ones are never touched.

    python -m tests.golden.write

Vectors are only ever added: what a released codec once wrote must decode for ever.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from linksim.codecs import (
    Ans,
    BlockFloat,
    DualLength,
    FloatQuantize,
    HuffmanFixed,
    IndexEscape,
    QuadLength,
    Quantize,
    QuantizeHuffman,
    TensorCodec,
    ZlibHuffman,
    Zstd,
)
from linksim.codecs.block_formats import FORMS
from linksim.codecs.quantize import GroupQuantizer
from linksim.tensors.dtypes import Tensor
from tests.codecs.test_composed import code_book
from tests.conftest import gaussian, gaussian_book

GOLDEN = Path(__file__).resolve().parent


def edge_values() -> Tensor:
    """Two scales, noise and special values, so that slots, biases and raw chunks all occur."""
    special = np.array([0x7F80, 0xFF80, 0x7FC1, 0xFFFF, 0x0000, 0x8000, 0x0001, 0x8001], np.uint16)
    noise = np.random.default_rng(11).integers(0, 1 << 16, 700).astype(np.uint16)
    values = gaussian(1500)
    parts = [special.view(values.dtype), noise.view(values.dtype), values, gaussian(900, scale=2.5)]
    return np.concatenate(parts)


def cases() -> dict[str, TensorCodec]:
    """Codec by folder."""
    book, wide = gaussian_book(), gaussian_book(scale=30.0)
    codes = code_book(GroupQuantizer(bits=4, group=32))
    pooled, planes = gaussian_book("pooled"), gaussian_book("byte-planes")
    return {
        "huffman-fixed/04": HuffmanFixed(
            [book, wide], chunk_symbols=512, run_symbols=64, checksum=True, exponent_bias=True
        ),
        "huffman-fixed/05": HuffmanFixed([planes], run_symbols=256),
        "huffman-fixed/06": HuffmanFixed([book, wide], "link", exponent_bias=True),
        "dual-length/00": DualLength([pooled], chunk_symbols=1024),
        "dual-length/01": DualLength([book], "link", payload_nbytes=240),
        "quad-length/00": QuadLength([pooled], chunk_symbols=1024),
        "quad-length/01": QuadLength([book], "link", payload_nbytes=64),
        "index-escape/00": IndexEscape([pooled], chunk_symbols=1024),
        "index-escape/01": IndexEscape([book], "link", payload_nbytes=64),
        "ans/00": Ans([wide, book]),
        "ans/01": Ans([pooled]),
        "zstd/00": Zstd("bf16", "exponent"),
        "zstd/01": Zstd("bf16", "pooled", level=19),
        "zlib-huffman/00": ZlibHuffman("bf16", "byte-planes"),
        "quantize/00": Quantize(bits=4, group=128, spikes=True),
        "quantize/01": Quantize(bits=3, group=32, checksum=True),
        "quantize+huffman-fixed/00": QuantizeHuffman([codes], bits=4, group=32),
        "quantize+huffman-fixed/01": QuantizeHuffman([codes], spikes=True, checksum=True),
        "float-quantize/00": FloatQuantize(bits=5, group=100, scale="log8"),
        "float-quantize/01": FloatQuantize(bits=3, group=64, symmetric=True, scale="fp16"),
        **{f"block-float/{index:02}": BlockFloat(format=f) for index, f in enumerate(FORMS)},
        "quantize/02": Quantize(bits=7, group=64, zero="min"),
    }


def main() -> None:
    """Write what is missing."""
    values = edge_values()
    for name, codec in cases().items():
        folder = GOLDEN / name
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(codec.get_config()) + "\n")
        np.save(folder / "patterns.npy", codec.number_format.patterns(values))
        (folder / "encoded.bin").write_bytes(codec.encode(values))
        if not codec.lossless:
            np.save(folder / "decoded.npy", codec.number_format.patterns(codec.round_trip(values)))
        print(f"{name}: {len(codec.encode(values))} bytes")


if __name__ == "__main__":
    main()
