"""Configurations small enough to be proven: alphabets of a few bits, payloads of a few bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from unittest import mock

from hw.huffman.shape import LinkShape
from linksim.codecs.prefix_code import PrefixCode


@dataclass(frozen=True)
class SmallShape(LinkShape):
    """A shape below the least payload and run of the format. Nothing else of it changes."""

    def __post_init__(self) -> None:
        _check_small(self)


def _check_small(shape: LinkShape) -> None:
    if shape.raw_values < shape.values_per_cycle or shape.run_symbols < shape.values_per_cycle:
        raise ValueError("a row could close two flits, or reach two entry points")


@contextmanager
def small_shapes() -> Iterator[None]:
    """Lets cores be built with payloads and runs below the least of the format."""
    with mock.patch.object(LinkShape, "__post_init__", _check_small):
        yield


@dataclass(frozen=True)
class _SmallView:
    """As much of a `SymbolView` as a core asks for."""

    symbol_bits: int
    rest_bits: int


@dataclass(frozen=True)
class SmallBook:
    """A codebook of an alphabet that no number format has."""

    lengths: tuple[int, ...]
    max_length: int
    rest_bits: int = 0
    name: str = "small"
    dtype: str = "small"
    view: str = "pooled"
    family: str = "huffman"

    @property
    def symbol_view(self) -> _SmallView:
        """Widths of symbols and rest."""
        return _SmallView((len(self.lengths) - 1).bit_length(), self.rest_bits)

    @cached_property
    def code(self) -> PrefixCode:
        """The canonical code."""
        return PrefixCode(self.lengths, self.max_length)
