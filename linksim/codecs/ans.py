"""Asymmetric numeral systems with fixed codebooks: what a code without whole bits would save.

It takes the codebooks of `huffman-fixed` and codes with the frequencies that they were made from,
through constriction's rANS coder: 64 bits of state, words of 32 bits, probabilities of 24 bits. The
message is that of `linksim.codecs.rivals`; its coded symbols are the coder's words, u32
little-endian, in the order in which constriction gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from linksim.codecs.chunk import MAX_SLOTS
from linksim.codecs.codebook import Codebook
from linksim.codecs.rivals import Bytes, LibraryCodec
from linksim.errors import LinksimError
from linksim.tensors.histograms import histogram

INITIAL_WORDS = np.array([0, 1], np.uint32)
"""A state of 2**32, the least that the coder keeps while it has words. From constriction's own
start, an empty state, symbols would be free until the state has grown."""
BLOCK_SYMBOLS = 1 << 16


class Ans(LibraryCodec):
    """rANS with the best of the given codebooks per message, 1 to 31 of one view and dtype.

    Dicts are accepted in place of codebooks, as a config holds. Raises LinksimError for a codebook
    without frequencies.
    """

    codec_id = "ans"
    takes_codebooks = True

    def __init__(self, codebooks: Sequence[Codebook | dict[str, Any]]):
        books = tuple(_book(book) for book in codebooks)
        if not 1 <= len(books) <= MAX_SLOTS:
            raise LinksimError(
                f"codec {self.codec_id}: {len(books)} codebooks: expected 1 to {MAX_SLOTS}"
            )
        if len({(book.dtype, book.view) for book in books}) != 1:
            raise LinksimError(f"codec {self.codec_id}: codebooks of different dtypes or views")
        for book in books:
            if not book.frequencies:
                raise LinksimError(
                    f"codec {self.codec_id}: codebook {book.name!r} has no frequencies to code "
                    "with: build it again"
                )
        super().__init__(books[0].dtype, books[0].view)
        self.codebooks = books

    def get_config(self) -> dict[str, Any]:
        """The configuration, codebooks and all."""
        books = [
            {**asdict(b), "lengths": list(b.lengths), "frequencies": list(b.frequencies)}
            for b in self.codebooks
        ]
        return {"id": self.codec_id, "codebooks": books}

    @cached_property
    def _probabilities(self) -> NDArray[np.float64]:
        """Of every symbol in every book, float64 [books, alphabet]."""
        counts = np.array([book.frequencies for book in self.codebooks], np.float64)
        return np.asarray(counts / counts.sum(axis=1, keepdims=True), np.float64)

    @cached_property
    def _models(self) -> list[Any]:
        # Every symbol gets at least 2**-24, so every symbol can be coded.
        return [
            constriction.stream.model.Categorical(p, perfect=False) for p in self._probabilities
        ]

    def _code(self, symbols: Bytes) -> tuple[bytes, int]:
        counts = histogram(symbols, self.symbol_view.alphabet)
        book = int((-np.log2(self._probabilities) @ counts).argmin())
        coder = constriction.stream.stack.AnsCoder(INITIAL_WORDS)
        coder.encode_reverse(symbols.astype(np.int32), self._models[book])
        return coder.get_compressed().astype("<u4").tobytes(), book + 1

    def _read(self, coded: Bytes, count: int, book: int) -> Bytes:
        if not 1 <= book <= len(self.codebooks):
            raise LinksimError(f"codebook {book} is unknown: there are {len(self.codebooks)}")
        if len(coded) % 4:
            raise LinksimError(f"{len(coded)} bytes are no whole words of 32 bits")
        try:
            words = np.frombuffer(coded.tobytes(), "<u4").astype(np.uint32)
            coder = constriction.stream.stack.AnsCoder(words)
        except ValueError as error:
            raise LinksimError(f"the symbols are no words of ANS: {error}") from None
        blocks = []
        for start in range(0, count, BLOCK_SYMBOLS):
            # Symbols can be had of a coder that has run out, without end.
            if coder.num_words() < len(INITIAL_WORDS):
                break
            amount = min(BLOCK_SYMBOLS, count - start)
            blocks.append(coder.decode(self._models[book - 1], amount).astype(np.uint8))
        if len(blocks) * BLOCK_SYMBOLS < count or coder.get_compressed().tolist() != [0, 1]:
            raise LinksimError(f"the words of ANS do not hold exactly {count} symbols")
        return np.concatenate(blocks)


def _book(book: Codebook | dict[str, Any]) -> Codebook:
    if isinstance(book, Codebook):
        return book
    lists: dict[str, Any] = {
        key: tuple(book[key]) for key in ("lengths", "frequencies") if key in book
    }
    return Codebook(**{**book, **lists})
