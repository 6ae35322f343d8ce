"""Codecs: a tensor to bytes and back, with the exact size known before encoding.

Importing this package registers every codec with numcodecs, so `numcodecs.get_codec(config)` makes
any of them.
"""

from numcodecs.registry import register_codec

from linksim.codecs.ans import Ans
from linksim.codecs.base import Segments, TensorCodec
from linksim.codecs.block_formats import BlockFloat
from linksim.codecs.codebook import Codebook, CodebookSet, build_codebook
from linksim.codecs.composed import QuantizeHuffman
from linksim.codecs.fixed import DualLength, FixedCodec, HuffmanFixed, QuadLength
from linksim.codecs.index_escape import IndexEscape
from linksim.codecs.quantized import Quantize
from linksim.codecs.quantized_float import FloatQuantize
from linksim.codecs.raw import Raw
from linksim.codecs.rivals import ZlibHuffman, Zstd
from linksim.codecs.specification import CodecSpecification
from linksim.codecs.three_stage import HuffmanThreeStage
from linksim.errors import LinksimError

CODECS: dict[str, type[TensorCodec]] = {
    codec.codec_id: codec
    for codec in (
        Raw,
        HuffmanFixed,
        HuffmanThreeStage,
        DualLength,
        QuadLength,
        IndexEscape,
        Ans,
        Zstd,
        ZlibHuffman,
        Quantize,
        QuantizeHuffman,
        FloatQuantize,
        BlockFloat,
    )
}
"""Every codec by its id."""

for _codec in CODECS.values():
    register_codec(_codec, _codec.registered_as)


def codec_class(specification: str) -> type[TensorCodec]:
    """The codec that *specification* names, with options or without; LinksimError names them."""
    codec_id = CodecSpecification.parse(specification).codec_id
    if codec_id not in CODECS:
        raise LinksimError(f"unknown codec {codec_id!r}: expected one of {', '.join(CODECS)}")
    return CODECS[codec_id]


def takes_codebooks(specification: str) -> bool:
    """Whether the codec that *specification* names codes with books that both ends hold."""
    return codec_class(specification).takes_codebooks


def is_lossless(specification: str) -> bool:
    """Whether the codec that *specification* names gives back every bit."""
    return codec_class(specification).lossless


__all__ = [
    "CODECS",
    "Ans",
    "BlockFloat",
    "Codebook",
    "CodebookSet",
    "CodecSpecification",
    "DualLength",
    "FixedCodec",
    "FloatQuantize",
    "HuffmanFixed",
    "HuffmanThreeStage",
    "IndexEscape",
    "QuadLength",
    "Quantize",
    "QuantizeHuffman",
    "Raw",
    "Segments",
    "TensorCodec",
    "ZlibHuffman",
    "Zstd",
    "build_codebook",
    "codec_class",
    "is_lossless",
    "takes_codebooks",
]
