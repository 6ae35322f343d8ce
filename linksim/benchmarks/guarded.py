"""Buffers between two pages that may not be touched: an access outside ends the process.

They make what a kernel without bounds checks does wrong visible at once, reads included.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.units import ceil_div

Bytes = NDArray[np.uint8]
_NO_ACCESS = 0  # PROT_NONE, which Python's mmap has no name for


def check_platform() -> None:
    """LinksimError where the system is none that the guards are known to work on."""
    if not sys.platform.startswith("linux"):
        raise LinksimError(f"guard pages: {sys.platform} is not supported: expected Linux")


class GuardedBuffer:
    """Room for bytes right in front of and right behind a page that may not be touched.

    `first(n)` abuts the page below, `last(n)` the one above; both are views of the same memory.
    """

    def __init__(self, capacity: int):
        check_platform()
        page = mmap.PAGESIZE
        inner = max(1, ceil_div(capacity, page)) * page
        # The arrays below keep the mapping alive; it is unmapped, guards and all, with the last.
        self._mapping = mmap.mmap(-1, inner + 2 * page)
        whole: Bytes = np.frombuffer(self._mapping, np.uint8)
        self.bytes: Bytes = whole[page : page + inner]
        """All bytes between the two guards, at least *capacity*."""
        for guard in (whole[:page], whole[page + inner :]):
            _forbid(guard)

    def first(self, count: int) -> Bytes:
        """The first *count* bytes: nothing in front of them may be touched."""
        return self.bytes[: self._checked(count)]

    def last(self, count: int) -> Bytes:
        """The last *count* bytes: nothing behind them may be touched."""
        return self.bytes[len(self.bytes) - self._checked(count) :]

    def _checked(self, count: int) -> int:
        if not 0 <= count <= len(self.bytes):
            raise LinksimError(f"{count} bytes: expected 0 to {len(self.bytes)}")
        return count


def _forbid(pages: Bytes) -> None:
    """Let every access to *pages* end the process with signal 11."""
    protect: Any = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(pages.ctypes.data, pages.size, _NO_ACCESS):
        raise OSError(ctypes.get_errno(), "cannot protect guard pages")
