"""The golden model of the link decoders: what the codec says of every single flit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook, HuffmanFixed
from linksim.errors import LinksimError
from tests.hw.cocotb.link_model import word_fields
from tests.hw.cocotb.packing import Packing
from tests.hw.cocotb.scoreboard import Model, Output
from tests.hw.cocotb.stream import Transfer


@dataclass(frozen=True)
class Decoded:
    """What is made of a flit. A refused one has no values that count."""

    symbols: tuple[int, ...]
    rest: tuple[int, ...]
    last: bool
    refused: bool
    rule: str = ""
    """Why the codec refuses it."""


class DecoderModel(Model):
    """Words of flits in, rows of values out; a flit is a message of its own."""

    def __init__(self, core: Any):
        self.shape: LinkShape = core.shape
        self.books: tuple[Codebook, ...] = core.codebooks
        self.words = Packing(core.i.payload.shape())
        self.rows = Packing(core.o.payload.shape())
        self.places = self.rows.places["symbols"].elements
        """Most values of a row."""
        self.view = self.books[0].symbol_view
        self._codec = HuffmanFixed(
            list(self.books),
            "link",
            payload_nbytes=self.shape.payload_nbytes,
            run_symbols=self.shape.run_symbols,
            exponent_bias=True,
        )

    def inputs(self, messages: Sequence[Sequence[bytes]]) -> list[int]:
        """The words of *messages*, each a list of flits."""
        return [
            self.words.pack(fields)
            for flits in messages
            for fields in word_fields(self.shape, flits)
        ]

    def payload(self, words: Sequence[int]) -> bytes:
        """The flit that words hold."""
        parts = [self.words.unpack(word)["data"] for word in words]
        joined = b"".join(part.to_bytes(self.shape.word_nbytes, "little") for part in parts)
        return joined[: self.shape.payload_nbytes]

    def completes(self, payloads: Sequence[int]) -> bool:
        return bool(self.words.unpack(payloads[-1])["end"])

    def expected(self, message: Sequence[int]) -> list[Decoded]:
        last = bool(self.words.unpack(message[-1])["last"])
        return [self.decoded(self.payload(message), last)]

    def decoded(self, flit: bytes, last: bool) -> Decoded:
        """What the codec says of *flit*."""
        try:
            symbols, rest = self.view.split(self._codec.decode(flit))
        except LinksimError as error:
            return Decoded((), (), last, True, str(error))
        return Decoded(tuple(symbols.tolist()), tuple(rest.tolist()), last, False)

    def collector(self) -> Callable[[Transfer], Output | None]:
        symbols: list[int] = []
        rest: list[int] = []
        transfers: list[Transfer] = []

        def collect(transfer: Transfer) -> Output | None:
            row = self.rows.unpack(transfer.payload)
            count, end = row["count"], bool(row["flit_end"])
            assert count <= self.places, f"a row of {count} values"
            assert count or end, "a row without values that ends nothing"
            assert end or not (row["last"] or row["error"]), "a verdict before a flit's end"
            symbols.extend(row["symbols"][:count])
            rest.extend(row["rest"][:count])
            transfers.append(transfer)
            if not end:
                return None
            flit = Decoded(tuple(symbols), tuple(rest), bool(row["last"]), bool(row["error"]))
            output = Output(flit, transfers.copy())
            for kept in (symbols, rest, transfers):
                kept.clear()
            return output

        return collect

    def agree(self, wanted: Decoded, got: Decoded) -> bool:
        if (wanted.refused, wanted.last) != (got.refused, got.last):
            return False
        return wanted.refused or (wanted.symbols, wanted.rest) == (got.symbols, got.rest)
