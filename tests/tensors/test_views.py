"""Cutting values into symbols and joining them: the compiled loops against the formulas."""

from __future__ import annotations

import numpy as np
import pytest

from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.views import symbol_view

ALL_PATTERNS = np.arange(1 << 16, dtype=np.uint16)
FORMULAS = {
    "byte-planes": (ALL_PATTERNS >> 8, ALL_PATTERNS & 0xFF),
    "exponent": (
        ALL_PATTERNS >> 7 & 0xFF,
        ALL_PATTERNS >> 8 & 0x80 | ALL_PATTERNS & 0x7F,
    ),
}


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("name", FORMULAS)
def test_every_pattern_is_cut_as_the_formula_says(name: str, dtype: str) -> None:
    fmt = number_format(dtype)
    view = symbol_view(name, fmt)
    symbols, rest = view.split(ALL_PATTERNS.view(fmt.numpy))
    assert symbols.dtype == rest.dtype == np.uint8
    assert np.array_equal(symbols, FORMULAS[name][0])
    assert np.array_equal(rest, FORMULAS[name][1])
    joined = view.join(symbols, rest)
    assert joined.dtype == fmt.numpy
    assert np.array_equal(joined.view(np.uint16), ALL_PATTERNS)


@pytest.mark.parametrize("name", ["pooled", *FORMULAS])
@pytest.mark.parametrize("count", [0, 1, 15, 33])
def test_any_memory_order_and_short_tensors(name: str, count: int) -> None:
    fmt = number_format("bf16")
    view = symbol_view(name, fmt)
    values = ALL_PATTERNS[::-3][: 2 * count].view(fmt.numpy)[::2]
    values.flags.writeable = False
    symbols, rest = view.split(values)
    # Symbols and rest bytes may be parts of larger arrays, and read-only.
    wide = np.repeat(symbols, 2)[::2], np.repeat(rest, 2)[::2]
    for array in wide:
        array.flags.writeable = False
    assert view.join(*wide).tobytes() == values.tobytes()
    room = np.zeros(values.size + 2, fmt.numpy)
    assert view.join(symbols, rest, room[1:-1]).base is room
    assert room[1:-1].tobytes() == values.tobytes()
    assert room[[0, -1]].tobytes() == bytes(4)
    assert view.split(values.reshape(1, -1, 1))[0].tobytes() == symbols.tobytes()


@pytest.mark.parametrize("name", FORMULAS)
def test_unequal_lengths_are_refused(name: str) -> None:
    view = symbol_view(name, number_format("bf16"))
    four, five = np.zeros(4, np.uint8), np.zeros(5, np.uint8)
    for symbols, rest, room in ((four, five, None), (five, four, None), (four, four, five)):
        out = None if room is None else np.zeros(room.size, view.fmt.numpy)
        with pytest.raises(LinksimError, match="expected as many of each"):
            view.join(symbols, rest, out)
