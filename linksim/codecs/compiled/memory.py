"""Loads and stores of machine words at addresses, which numba has no expression for.

Addresses are int64, of bytes of arrays that the caller holds (`array.ctypes.data`); nothing is
checked: callers must have proved that all bytes lie inside the array. Passing addresses and not
arrays keeps numba's reference counting out of inner loops. Words are little-endian, whatever the
machine; loads give uint64.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_intrinsic: Any = intrinsic
_copy: Any = cgutils.raw_memcpy


def _load(address: Any, bits: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
        word = builder.load(pointer)
        word.align = 1
        if bits > 8 and sys.byteorder != "little":
            word = builder.bswap(word)
        return word if bits == 64 else builder.zext(word, ir.IntType(64))

    return types.uint64(types.int64), generate


def _store(bits: int, highest_first: bool = False) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
        word = arguments[1] if bits == 64 else builder.trunc(arguments[1], ir.IntType(bits))
        if bits > 8 and highest_first == (sys.byteorder == "little"):
            word = builder.bswap(word)
        stored = builder.store(word, pointer)
        stored.align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


@_intrinsic
def load8(typing_context: Any, address: Any) -> Any:
    """The byte at *address*."""
    return _load(address, 8)


@_intrinsic
def load16(typing_context: Any, address: Any) -> Any:
    """Two bytes from *address* on."""
    return _load(address, 16)


@_intrinsic
def load32(typing_context: Any, address: Any) -> Any:
    """Four bytes from *address* on."""
    return _load(address, 32)


@_intrinsic
def load64(typing_context: Any, address: Any) -> Any:
    """Eight bytes from *address* on."""
    return _load(address, 64)


@_intrinsic
def store8(typing_context: Any, address: Any, word: Any) -> Any:
    """Write the low byte of uint64 *word* to *address*."""
    return _store(8)


@_intrinsic
def store64(typing_context: Any, address: Any, word: Any) -> Any:
    """Write uint64 *word* over eight bytes from *address* on, lowest byte first."""
    return _store(64)


@_intrinsic
def store64_highest_first(typing_context: Any, address: Any, word: Any) -> Any:
    """Write uint64 *word* over eight bytes from *address* on, highest byte first."""
    return _store(64, highest_first=True)


@_intrinsic
def copy_bytes(typing_context: Any, source: Any, target: Any, count: Any) -> Any:
    """Copy *count* bytes from address *source* on to address *target* on; they must not overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        origin, place = (builder.inttoptr(a, ir.IntType(8).as_pointer()) for a in arguments[:2])
        _copy(builder, place, origin, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@_intrinsic
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """How many bits of uint64 *word*, which is not 0, are zero above its highest set one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate
