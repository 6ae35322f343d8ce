"""What flits that came through right, or were refused rightly, did to a decoder."""

from __future__ import annotations

import numpy as np

from linksim.codecs.chunk import HEADER_BITS, MAX_BIAS, MIN_BIAS
from tests.hw.cocotb.cases import Case
from tests.hw.cocotb.coverage import Coverage
from tests.hw.cocotb.decoder_model import Decoded, DecoderModel
from tests.hw.cocotb.scoreboard import Exchange
from tests.hw.cocotb.stream import Transfer

RULES = {
    "slot without codebook": "is unknown",
    "raw with a bias": "a raw chunk has an exponent bias",
    "contents larger than the flit": "do not fit",
    "bits beyond the last entry point": "bits set beyond its last entry",
    "entry point behind the code words": "points past the code words",
    "bits that begin no code word": "begin no code word",
    "run that misses the next entry point": "does not end at its entry point",
    "code words in the rest bytes": "run into the rest bytes",
    "bits set in the gap": "set in the gap",
}
"""Name of every rule of the format that a flit can break, and what the codec says then."""


class DecoderCoverage:
    """Bins of the decoders."""

    def __init__(self, case: Case, model: DecoderModel):
        self.model = model
        shape, books = model.shape, model.books
        self.word_bits = 8 * shape.word_nbytes
        width = model.places
        self.most = self._most_coded()
        fewest = shape.raw_values // shape.run_symbols
        self.coverage = Coverage(
            case.name,
            {
                "code length in place": [
                    f"book {slot}: {length} bits in place {place}"
                    for slot, book in enumerate(books, start=1)
                    for length in sorted(set(book.lengths))
                    for place in range(width)
                ],
                "rule broken": self._rules(),
                "flit": [
                    "raw",
                    "of one value",
                    "of the most values",
                    "behind a refused one",
                    "refused behind a good one",
                    "refused behind a refused one",
                    "first of a message behind a refused last one",
                ],
                "slot": range(len(books) + 1),
                "bias": [*range(MIN_BIAS, MAX_BIAS + 1)],
                "biased symbol": ["wraps below 0", "wraps above the alphabet"],
                "code words end at bit of a word": range(self.word_bits),
                "values modulo a run": range(shape.run_symbols),
                "entry points": range(fewest, (self.most - 1) // shape.run_symbols + 1),
                "values in the last row": range(0 if case.may_end_empty else 1, width + 1),
                "stalled": [
                    "row refused",
                    "row at a flit's end refused",
                    "row of a refused flit refused",
                    "word refused",
                    *[f"bubble before word {number}" for number in range(shape.words_per_flit)],
                ],
            },
        )

    def _most_coded(self) -> int:
        """The most values of a coded flit."""
        shape = self.model.shape
        bits = shape.min_length + shape.rest_bits
        fitting = [
            values
            for values in range(1, shape.max_values + 1)
            if values * bits + 8 * shape.table_nbytes((values - 1) // shape.run_symbols)
            <= shape.body_bits
        ]
        return fitting[-1]

    def _rules(self) -> list[str]:
        """The rules that a flit of this shape can break: some tables have no bits to spare."""
        shape = self.model.shape
        tables = range(1, (self.most - 1) // shape.run_symbols + 1)
        spare = any(entries * shape.entry_bits % 8 for entries in tables)
        return [rule for rule in RULES if spare or rule != "bits beyond the last entry point"]

    def sample(self, exchanges: list[Exchange]) -> None:
        """Count what the transfers of *exchanges* show, seen with the codec's verdicts."""
        before: Decoded | None = None
        last_word: Transfer | None = None
        for exchange in exchanges:
            payloads = [word.payload for word in exchange.inputs]
            flit = self.model.payload(payloads)
            decoded = self.model.expected(payloads)[0]
            self._order(before, decoded)
            self._stalls(exchange, decoded, last_word)
            if decoded.refused:
                rule = next(rule for rule, words in RULES.items() if words in decoded.rule)
                self.coverage.hit("rule broken", rule)
            else:
                self._good(flit, decoded, exchange.outputs[0].transfers)
            before, last_word = decoded, exchange.inputs[-1]

    def _order(self, before: Decoded | None, flit: Decoded) -> None:
        hit = self.coverage.hit
        if before is None:
            return
        if before.refused:
            hit("flit", "refused behind a refused one" if flit.refused else "behind a refused one")
            if before.last and not flit.refused:
                hit("flit", "first of a message behind a refused last one")
        elif flit.refused:
            hit("flit", "refused behind a good one")

    def _stalls(self, exchange: Exchange, flit: Decoded, before: Transfer | None) -> None:
        hit, rows = self.coverage.hit, exchange.outputs[0].transfers
        if any(row.refused for row in rows):
            hit("stalled", "row refused")
        if rows[-1].refused:
            hit("stalled", "row at a flit's end refused")
            if flit.refused:
                hit("stalled", "row of a refused flit refused")
        for number, word in enumerate(exchange.inputs):
            if word.refused:
                hit("stalled", "word refused")
            if before and word.cycle - word.refused > before.cycle + 1:
                hit("stalled", f"bubble before word {number}")
            before = word

    def _good(self, flit: bytes, decoded: Decoded, rows: list[Transfer]) -> None:
        hit, shape = self.coverage.hit, self.model.shape
        header = int.from_bytes(flit[:3], "little")
        slot, bias = header >> 13 & 0x1F, (header >> 18 ^ 0x20) - 0x20
        values = len(decoded.symbols)
        hit("slot", slot)
        hit("values modulo a run", values % shape.run_symbols)
        hit("values in the last row", self._count(rows[-1]))
        if values == 1:
            hit("flit", "of one value")
        if not slot:
            hit("flit", "raw")
            hit("code words end at bit of a word", self._at(values * shape.symbol_bits))
            return
        if values == self.most:
            hit("flit", "of the most values")
        if values > shape.raw_values:
            hit("entry points", (values - 1) // shape.run_symbols)
        hit("bias", bias)
        coded = np.array(decoded.symbols) - bias
        if (coded < 0).any():
            hit("biased symbol", "wraps above the alphabet")
        if (coded > 255).any():
            hit("biased symbol", "wraps below 0")
        lengths = np.array(self.model.books[slot - 1].lengths)[coded % 256]
        hit("code words end at bit of a word", self._at(int(lengths.sum())))
        self._places(slot, lengths.tolist(), rows)

    def _at(self, bits: int) -> int:
        return (HEADER_BITS + bits) % self.word_bits

    def _count(self, row: Transfer) -> int:
        return self.model.rows.unpack(row.payload)["count"]

    def _places(self, slot: int, lengths: list[int], rows: list[Transfer]) -> None:
        """Every value in the place of the row that it left in."""
        index = 0
        for row in rows:
            for place in range(self._count(row)):
                name = f"book {slot}: {lengths[index]} bits in place {place}"
                self.coverage.hit("code length in place", name)
                index += 1
