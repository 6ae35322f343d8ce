"""Cores as compiled C++: millions of cycles, for whole traces."""

from hw.compiled.core import Batch, CompiledCore
from hw.compiled.packing import pack, unpack, word_count

__all__ = ["Batch", "CompiledCore", "pack", "unpack", "word_count"]
