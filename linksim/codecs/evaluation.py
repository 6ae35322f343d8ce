"""What a codec makes of a tensor, beside its Shannon entropy and its own Huffman code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from linksim.codecs.base import TensorCodec
from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, Codebook
from linksim.codecs.distortion import Distortion, distortion, total_distortion
from linksim.codecs.fixed import HuffmanFixed
from linksim.codecs.prefix_code import package_merge
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, format_of
from linksim.tensors.histograms import entropy_bits, histogram
from linksim.tensors.views import SymbolView


@dataclass(frozen=True)
class Evaluation:
    """One tensor, or the sum of several, under one codec. Sizes in bytes.

    `encoded_nbytes` is the length of a real encoding that was decoded again and compared, bit for
    bit unless the codec is lossy. `huffman_nbytes` is the same message format with the tensor's own
    Huffman code, whose codebook is not counted. `shannon_nbytes` is the entropy of the view's coded
    symbols and of its rest bytes, with no framing at all.
    """

    name: str
    kind: str
    tensors: int
    values: int
    raw_nbytes: int
    encoded_nbytes: int
    huffman_nbytes: int
    shannon_nbytes: float
    framing_nbytes: int
    """Part of `encoded_nbytes`: headers, codebooks, chunk index and entry points."""
    distortion: Distortion | None = None
    """What a lossy codec changed."""

    @property
    def bits_per_value(self) -> float:
        """Encoded bits per value."""
        return 8 * self.encoded_nbytes / max(1, self.values)

    @property
    def saved_percent(self) -> float:
        """Share of the raw bytes saved, in percent; negative where the codec expands."""
        return 100 * (1 - self.encoded_nbytes / max(1, self.raw_nbytes))

    @property
    def gap_to_huffman_percent(self) -> float:
        """Encoded bytes above the tensor's own Huffman code, in percent."""
        return 100 * (self.encoded_nbytes / max(1, self.huffman_nbytes) - 1)

    @property
    def gap_to_shannon_percent(self) -> float:
        """Encoded bytes above the Shannon bound, in percent."""
        return 100 * (self.encoded_nbytes / max(1e-9, self.shannon_nbytes) - 1)

    @property
    def framing_percent(self) -> float:
        """Framing in percent of the Shannon bound."""
        return 100 * self.framing_nbytes / max(1e-9, self.shannon_nbytes)

    def document(self) -> dict[str, Any]:
        """All fields and derived figures, JSON-able; those of distortion for a lossy codec."""
        fields = asdict(self)
        del fields["distortion"]
        changed = {} if self.distortion is None else self.distortion.document()
        return fields | {
            "bits_per_value": round(self.bits_per_value, 5),
            "shannon_bits_per_value": round(8 * self.shannon_nbytes / max(1, self.values), 5),
            "huffman_bits_per_value": round(8 * self.huffman_nbytes / max(1, self.values), 5),
            "saved_percent": round(self.saved_percent, 4),
            "gap_to_huffman_percent": round(self.gap_to_huffman_percent, 4),
            "gap_to_shannon_percent": round(self.gap_to_shannon_percent, 4),
            "framing_percent": round(self.framing_percent, 4),
            **changed,
        }


def evaluate(
    name: str, kind: str, values: Tensor, codec: TensorCodec, view: SymbolView
) -> Evaluation:
    """Encode *values*, decode them, compare them, and hold the size against the bounds.

    Raises LinksimError if a lossless round trip is not exact, a lossy one is not that of
    `round_trip`, or `encoded_nbytes` is not the encoded size.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    encoded = codec.encode(flat)
    # Raw values below 8 bits end in padding bits that may look like one value more.
    decoded = codec.decode(encoded)[: flat.size]
    if decoded.tobytes() != codec.round_trip(flat).tobytes():
        raise LinksimError(f"{name}: codec {codec.codec_id} does not give back the same bits")
    if codec.encoded_nbytes(flat) != len(encoded):
        raise LinksimError(
            f"{name}: codec {codec.codec_id} foretells {codec.encoded_nbytes(flat)} bytes but "
            f"writes {len(encoded)}"
        )
    fmt = format_of(flat)
    return Evaluation(
        name,
        kind,
        1,
        flat.size,
        fmt.nbytes(flat.size),
        len(encoded),
        own_huffman(flat, view, codec).encoded_nbytes(flat) if flat.size else len(encoded),
        shannon_nbytes(flat, view),
        codec.framing_nbytes(flat),
        None if codec.lossless else distortion(flat, decoded),
    )


def shannon_nbytes(values: Tensor, view: SymbolView) -> float:
    """Order-0 entropy of *values* under *view*, in bytes: coded symbols and rest bytes."""
    symbols, rest = view.split(values)
    bits = len(symbols) * entropy_bits(histogram(symbols, view.alphabet))
    return (bits + len(rest) * entropy_bits(histogram(rest))) / 8


def own_huffman(values: Tensor, view: SymbolView, like: TensorCodec) -> HuffmanFixed:
    """The codec with *values*' own Huffman code in the message format of *like*."""
    counts = histogram(view.split(values)[0], view.alphabet)
    lengths = tuple(package_merge(counts, DEFAULT_MAX_LENGTH))
    book = Codebook("own", view.fmt.name, view.name, "own", lengths)
    keep = ("profile", "chunk_symbols", "payload_nbytes")
    shared = {key: value for key, value in like.get_config().items() if key in keep}
    return HuffmanFixed([book], **shared)


def total(name: str, kind: str, parts: Iterable[Evaluation]) -> Evaluation:
    """The sum of *parts* as one evaluation."""
    listed = list(parts)
    changed = [p.distortion for p in listed if p.distortion is not None]
    return Evaluation(
        name,
        kind,
        sum(p.tensors for p in listed),
        sum(p.values for p in listed),
        sum(p.raw_nbytes for p in listed),
        sum(p.encoded_nbytes for p in listed),
        sum(p.huffman_nbytes for p in listed),
        sum(p.shannon_nbytes for p in listed),
        sum(p.framing_nbytes for p in listed),
        total_distortion(changed) if changed else None,
    )
