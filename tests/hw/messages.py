"""Codebooks and messages that reach the corners of the format."""

from __future__ import annotations

import numpy as np

from linksim.codecs import Codebook
from tests.hw.simulation import Message


def steep_book(dtype: str = "bf16", view: str = "exponent", alphabet: int = 256) -> Codebook:
    """One symbol of 1 bit, then 2, 3 and so on; all others as long as a code may be."""
    short = 8
    long_bits = short + (alphabet - short - 1).bit_length()
    lengths = [long_bits] * alphabet
    for bits in range(1, short + 1):
        lengths[100 % alphabet + bits - 1] = bits
    return Codebook("steep", dtype, view, "any", tuple(lengths))


def drawn(book: Codebook, parts: list[tuple[str, int]], seed: int) -> Message:
    """*parts* are stretches of values that code well, badly, anyhow, or with the shortest code."""
    rng = np.random.default_rng(seed)
    lengths = np.array(book.lengths)
    order = np.argsort(lengths, kind="stable").astype(np.uint8)
    choices = {
        "well": order[: max(2, len(order) // 32)],
        "badly": np.flatnonzero(lengths == lengths.max()).astype(np.uint8),
        "anyhow": order,
        "shortest": order[:1],
    }
    symbols = np.concatenate(
        [np.empty(0, np.uint8), *(rng.choice(choices[kind], count) for kind, count in parts)]
    )
    if book.symbol_view.symbols_per_value == 2:
        symbols = symbols[: len(symbols) // 2 * 2]
    rest = rng.integers(0, 256, len(symbols) if book.symbol_view.rest_bits else 0)
    return Message(symbols, rest.astype(np.uint8))


def just_full(book: Codebook, over: int) -> Message:
    """A steep book's message whose first 150 values take a payload of 240 bytes and *over* bits.

    They leave 8 * 240 - 24 - 24 - 8 * 150 = 672 bits for code words, behind header, table and rest
    bytes. More values follow.
    """
    four, five = book.lengths.index(4), book.lengths.index(5)
    fives = 672 - 4 * 150 + over
    symbols = np.array([five] * fives + [four] * (150 - fives) + [four] * 200, np.uint8)
    return Message(symbols, np.arange(len(symbols)).astype(np.uint8))
