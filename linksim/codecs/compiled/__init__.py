"""The chunk format compiled by numba: the same bytes as the NumPy reference, at memory speeds."""

from linksim.codecs.compiled.coder import CompiledCoder

__all__ = ["CompiledCoder"]
