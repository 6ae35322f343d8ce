"""The single-stage Huffman encoder of the link profile."""

from hw.huffman.encoder import LinkEncoder
from hw.huffman.shape import LinkShape

__all__ = ["LinkEncoder", "LinkShape"]
