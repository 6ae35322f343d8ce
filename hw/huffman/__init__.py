"""The single-stage Huffman encoder of the link profile."""

from hw.huffman.encoder import LinkEncoder
from hw.huffman.shape import EncoderShape

__all__ = ["EncoderShape", "LinkEncoder"]
