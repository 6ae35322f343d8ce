"""The link encoder's golden model and its coverage: what went in, what must come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw.huffman.encoder import LinkEncoder
from linksim.codecs.chunk import HEADER_BITS
from tests.hw.cocotb.cases import Case
from tests.hw.cocotb.coverage import Coverage
from tests.hw.cocotb.link_model import Flit, LinkCodec, Message, word_fields
from tests.hw.cocotb.packing import Packing
from tests.hw.cocotb.scoreboard import Exchange, Model
from tests.hw.cocotb.stream import Transfer

RUBBISH = 0xA5


class EncoderModel(Model):
    """Rows in, words of flits out."""

    def __init__(self, core: LinkEncoder):
        self.shape = core.shape
        self.codec = LinkCodec(core.codebooks, core.shape)
        self.rows = Packing(core.i.payload.shape())
        self.words = Packing(core.o.payload.shape())

    def inputs(self, messages: Sequence[Message]) -> list[int]:
        """The rows of *messages*, all full but the last one of each."""
        width, rows = self.shape.values_per_cycle, []
        for message in messages:
            total = len(message.symbols)
            for start in range(0, max(total, 1), width):
                symbols = message.symbols[start : start + width].tolist()
                rest = message.rest[start : start + width].tolist()
                # Places that hold no value hold anything.
                empty = [RUBBISH] * (width - len(symbols))
                fields = {
                    "symbols": symbols + empty,
                    "rest": rest + empty,
                    "count": len(symbols),
                    "last": int(start + width >= total),
                    "slot": message.slot,
                }
                rows.append(self.rows.pack(fields))
        return rows

    def message(self, payloads: Sequence[int]) -> Message:
        """The message that rows hold."""
        symbols, rest, slot = [], [], 1
        for row in map(self.rows.unpack, payloads):
            symbols += row["symbols"][: row["count"]]
            rest += row["rest"][: row["count"]]
            slot = row["slot"]
        return Message(np.array(symbols, np.uint8), np.array(rest, np.uint8), slot)

    def completes(self, payloads: Sequence[int]) -> bool:
        return bool(self.rows.unpack(payloads[-1])["last"])

    def expected(self, message: Sequence[int]) -> list[int]:
        flits = [flit.payload for flit in self.codec.flits(self.message(message))]
        return [self.words.pack(fields) for fields in word_fields(self.shape, flits)]

    def describe(self, output: int) -> str:
        word = self.words.unpack(output)
        return f"{word.pop('data'):0{2 * self.shape.word_nbytes}x} {word}"


class EncoderCoverage:
    """What messages that came out right did to the encoder."""

    def __init__(self, case: Case, model: EncoderModel):
        self.model = model
        shape, books = model.shape, model.codec.books
        width, word_bits = shape.values_per_cycle, 8 * shape.word_nbytes
        self.word_bits = word_bits
        places = range(width)
        # A flit that is coded holds more values than a raw one.
        fewest = shape.raw_values // shape.run_symbols
        self.coverage = Coverage(
            case.name,
            {
                "code length in place": [
                    f"book {slot}: {length} bits in place {place}"
                    for slot, book in enumerate(books, start=1)
                    for length in sorted(set(book.lengths))
                    for place in places
                ],
                "row starts at bit of a word": range(word_bits),
                "row and words": ["inside", "to the last bit", "wraps", "wraps twice"][
                    : 4 if shape.row_bits > word_bits else 3
                ],
                "stalled": ["row refused", "word refused", "word refused that a row wraps into"],
                "values in the last row": range(1, width + 1),
                "values in the last flit modulo a run": range(shape.run_symbols),
                "last bits of a message at bit of a word": range(word_bits),
                "row cut by a coded flit after values": places,
                "row cut by a raw flit after values": places,
                "all-longest row": ["in a coded flit", "in a raw flit"],
                "all-shortest row": ["in a coded flit"],
                "flit": ["coded", "raw", "raw after coded", "coded after raw"],
                "gap in a full coded flit": range(8),
                "entry points": range(fewest, shape.max_entries + 1),
                "run ends in place": places,
                "message": [
                    "no value",
                    "one value",
                    "exactly one coded flit",
                    "exactly one raw flit",
                    "raw flits only",
                    "directly behind another",
                    "behind a pause",
                    "in another slot than the one before",
                ],
                "slot": range(1, len(books) + 1),
            },
        )

    def sample(self, exchanges: Sequence[Exchange]) -> None:
        """Count what the transfers of *exchanges* show, seen with the codec's cuts."""
        before: tuple[Transfer, int] | None = None
        for exchange in exchanges:
            rows = exchange.inputs
            words = [output.transfers[0] for output in exchange.outputs]
            message = self.model.message([row.payload for row in rows])
            self._message(message, rows, before)
            if len(message.symbols):
                flits = self.model.codec.flits(message)
                self._flits(message, flits)
                self._rows(message, flits, words)
            self._stalls(rows, words)
            before = rows[-1], message.slot

    def _message(
        self, message: Message, rows: list[Transfer], before: tuple[Transfer, int] | None
    ) -> None:
        hit, width = self.coverage.hit, self.model.shape.values_per_cycle
        total = len(message.symbols)
        if before:
            gap = rows[0].cycle - before[0].cycle
            hit("message", "directly behind another" if gap == 1 else "behind a pause")
            if before[1] != message.slot:
                hit("message", "in another slot than the one before")
        if total < 2:
            hit("message", ["no value", "one value"][total])
        if total:
            hit("values in the last row", (total - 1) % width + 1)
            hit("slot", message.slot)

    def _flits(self, message: Message, flits: list[Flit]) -> None:
        hit, shape, codec = self.coverage.hit, self.model.shape, self.model.codec
        slots = [flit.slot for flit in flits]
        if len(flits) == 1 and flits[0].slot and codec.gap(flits[0]) < 8:
            hit("message", "exactly one coded flit")
        if slots == [0] and flits[0].values == shape.raw_values:
            hit("message", "exactly one raw flit")
        if not any(slots) and len(slots) > 1:
            hit("message", "raw flits only")
        for before, flit in zip([None, *flits], flits, strict=False):
            hit("flit", "coded" if flit.slot else "raw")
            if before and bool(before.slot) != bool(flit.slot):
                hit("flit", "coded after raw" if flit.slot else "raw after coded")
            if flit.slot:
                hit("entry points", -(-flit.values // shape.run_symbols) - 1)
                gap = codec.gap(flit)
                if gap < 8 and flit is not flits[-1]:
                    hit("gap in a full coded flit", gap)
        last = flits[-1]
        hit("values in the last flit modulo a run", last.values % shape.run_symbols)
        width = shape.symbol_bits if not last.slot else None
        bits = last.values * width if width else last.code_bits
        hit("last bits of a message at bit of a word", (HEADER_BITS + bits) % self.word_bits)

    def _rows(self, message: Message, flits: list[Flit], words: list[Transfer]) -> None:
        """Every row in every flit that it has values in."""
        shape, lengths = self.model.shape, self.model.codec.lengths(message)
        width, total = shape.values_per_cycle, len(message.symbols)
        for number, flit in enumerate(flits):
            end, at = flit.start + flit.values, HEADER_BITS
            in_flit = words[number * shape.words_per_flit :]
            for start in range(flit.start - flit.start % width, end, width):
                first, behind = max(start, flit.start), min(start + width, end)
                if flit.slot:
                    self._coded_row(message, lengths[first:behind], first, flit)
                    bits = int(lengths[first:behind].sum())
                else:
                    bits = (behind - first) * shape.symbol_bits
                self._offsets(at, at + bits, in_flit)
                at += bits
                self._row(message, lengths[first:behind], flit)
            if end < total:
                kind = "coded" if flit.slot else "raw"
                self.coverage.hit(f"row cut by a {kind} flit after values", end % width)

    def _coded_row(self, message: Message, lengths: np.ndarray, first: int, flit: Flit) -> None:
        hit, shape = self.coverage.hit, self.model.shape
        for index, length in enumerate(lengths.tolist(), start=first):
            place = index % shape.values_per_cycle
            name = f"book {message.slot}: {length} bits in place {place}"
            hit("code length in place", name)
            in_flit = index - flit.start
            if in_flit and not in_flit % shape.run_symbols:
                hit("run ends in place", place)

    def _row(self, message: Message, lengths: np.ndarray, flit: Flit) -> None:
        hit, shape = self.coverage.hit, self.model.shape
        if len(lengths) < shape.values_per_cycle:
            return
        kind = "in a coded flit" if flit.slot else "in a raw flit"
        book = self.model.codec.books[message.slot - 1]
        if (lengths == max(book.lengths)).all():
            hit("all-longest row", kind)
        if flit.slot and (lengths == min(book.lengths)).all():
            hit("all-shortest row", kind)

    def _offsets(self, start: int, end: int, words: list[Transfer]) -> None:
        """Where a row's bits lie in the words of its flit."""
        hit, size = self.coverage.hit, self.word_bits
        hit("row starts at bit of a word", start % size)
        crossed = (end - 1) // size - start // size
        if crossed:
            hit("row and words", "wraps" if crossed == 1 else "wraps twice")
            if words[start // size].refused:
                hit("stalled", "word refused that a row wraps into")
        else:
            hit("row and words", "to the last bit" if end % size == 0 else "inside")

    def _stalls(self, rows: list[Transfer], words: list[Transfer]) -> None:
        for row in rows:
            if row.refused:
                self.coverage.hit("stalled", "row refused")
        for word in words:
            if word.refused:
                self.coverage.hit("stalled", "word refused")
