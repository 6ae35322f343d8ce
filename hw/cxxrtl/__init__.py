"""Cores as compiled C++: millions of cycles, for whole traces."""

from hw.cxxrtl.core import Batch, CompiledCore
from hw.cxxrtl.packing import pack, unpack, word_count

__all__ = ["Batch", "CompiledCore", "pack", "unpack", "word_count"]
