"""Codecs: a tensor to bytes and back, with the exact size known before encoding.

Importing this package registers every codec with numcodecs, so `numcodecs.get_codec(config)` makes
any of them.
"""

from numcodecs.registry import register_codec

from linksim.codecs.ans import Ans
from linksim.codecs.base import Segments, TensorCodec
from linksim.codecs.codebook import Codebook, CodebookSet, build_codebook
from linksim.codecs.fixed import DualLength, FixedCodec, HuffmanFixed, QuadLength
from linksim.codecs.index_escape import IndexEscape
from linksim.codecs.raw import Raw
from linksim.codecs.rivals import ZlibHuffman, Zstd
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
    )
}
"""Every codec by its id."""

for _codec in CODECS.values():
    register_codec(_codec, _codec.registered_as)


def codec_class(codec_id: str) -> type[TensorCodec]:
    """The codec called *codec_id*; LinksimError names the known ones."""
    if codec_id not in CODECS:
        raise LinksimError(f"unknown codec {codec_id!r}: expected one of {', '.join(CODECS)}")
    return CODECS[codec_id]


def takes_codebooks(codec_id: str) -> bool:
    """Whether the codec called *codec_id* codes with books that both ends hold."""
    return codec_class(codec_id).takes_codebooks


__all__ = [
    "CODECS",
    "Ans",
    "Codebook",
    "CodebookSet",
    "DualLength",
    "FixedCodec",
    "HuffmanFixed",
    "HuffmanThreeStage",
    "IndexEscape",
    "QuadLength",
    "Raw",
    "Segments",
    "TensorCodec",
    "ZlibHuffman",
    "Zstd",
    "build_codebook",
    "codec_class",
    "takes_codebooks",
]
