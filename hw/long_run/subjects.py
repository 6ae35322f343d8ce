"""How a kind of core is fed with a tensor, and what must come out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from amaranth.lib import wiring

from hw.compiled import pack, unpack
from hw.huffman.encoder_timing import EncoderTiming, flit_values
from hw.huffman.speculative_decoder import SpeculativeDecoder
from hw.huffman.speculative_model import TimedFlit, decoding_timeline
from linksim.codecs import HuffmanFixed


@dataclass(frozen=True)
class Foretold:
    """Cycles from the first input of a message on, which is taken in cycle 0."""

    last: int
    """In which the last output is taken."""
    taken: Sequence[int] | None = None
    """In which every input is taken, where the model says so."""
    given: Sequence[int] | None = None
    """In which every output is taken, where the model says so."""

    def difference(self, taken_at: np.ndarray, given_at: np.ndarray) -> int:
        """Largest difference to the cycles measured; a missing transfer is as bad as can be."""
        begin = taken_at[0]
        pairs = [([self.last], given_at[-1:]), (self.taken, taken_at), (self.given, given_at)]
        most = 0
        for modelled, measured in pairs:
            if modelled is None:
                continue
            if len(modelled) != len(measured):
                return int(given_at[-1] - begin)
            most = max(most, int(np.abs(np.array(modelled) - (measured - begin)).max()))
        return most


IDLE_CYCLES = 100
"""More than any latency, and than any pause between two outputs of what is full of values."""


class Subject(Protocol):
    """A core with what the software makes of its input."""

    core: wiring.Component
    width: int
    """Values that pass in a cycle at best."""
    gathers: bool
    """It begins when all of a flit is there."""
    idle: int
    """Cycles without output, once all input is taken, after which no more comes."""

    def payloads(self, values: np.ndarray) -> np.ndarray:
        """One message's payloads for the stream i."""

    def wanted(self, values: np.ndarray) -> bytes:
        """What must come out of the stream o."""

    def given(self, payloads: np.ndarray) -> list[bytes]:
        """The messages in payloads of the stream o, in a form to compare with `wanted`."""

    def foretold(self, values: np.ndarray) -> Foretold | None:
        """When a lone message crosses the streams, as a model has it; None: no model."""


def flat(values: np.ndarray) -> np.ndarray:
    """A tensor as one message's values."""
    return np.ascontiguousarray(values).reshape(-1)


def _cut(parts: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    """*parts* cut behind every one that *ends* marks."""
    if not len(ends) or not ends[-1]:
        raise ValueError("the last message has no end")
    return np.split(parts, np.flatnonzero(ends)[:-1] + 1)


class _Huffman:
    """What encoder and decoder share: the codec, and flits as words."""

    def __init__(self, core: Any):
        self.core = core
        self.shape = core.shape
        self.width = core.shape.values_per_cycle
        self.book = core.codebooks[0]
        self.codec = HuffmanFixed(
            [self.book],
            "link",
            payload_nbytes=self.shape.payload_nbytes,
            run_symbols=self.shape.run_symbols,
        )

    def message(self, values: np.ndarray) -> bytes:
        """The message of *values*."""
        return bytes(self.codec.encode(flat(values)))

    def lengths(self, values: np.ndarray) -> np.ndarray:
        """Bits of every value's code word."""
        return np.array(self.book.lengths)[self.book.symbol_view.split(flat(values))[0]]


class EncoderSubject(_Huffman):
    """Rows of values in, words of flits out."""

    gathers = False
    idle = IDLE_CYCLES

    def payloads(self, values: np.ndarray) -> np.ndarray:
        symbols, rest = self.book.symbol_view.split(flat(values))
        width = self.width
        rows = -(-len(symbols) // width)
        counts = np.full(rows, width)
        counts[-1] = len(symbols) - width * (rows - 1)
        last = np.zeros(rows, np.uint8)
        last[-1] = 1
        fields = {"count": counts, "last": last, "slot": np.ones(rows, np.uint8)}
        fields["symbols"] = _filled(symbols, rows, width)
        if self.shape.rest_bits:
            fields["rest"] = _filled(rest, rows, width)
        return pack(self.core.i.payload.shape(), fields)

    def wanted(self, values: np.ndarray) -> bytes:
        return self.message(values)

    def given(self, payloads: np.ndarray) -> list[bytes]:
        fields = unpack(self.core.o.payload.shape(), payloads)
        words = self.shape.words_per_flit
        ends = np.arange(len(payloads)) % words == words - 1
        if len(payloads) % words or not np.array_equal(fields["end"] != 0, ends):
            raise ValueError("a flit has not as many words as it should")
        flits = fields["data"].reshape(len(payloads) // words, -1)[:, : self.shape.payload_nbytes]
        return [message.tobytes() for message in _cut(flits, fields["last"][ends])]

    def foretold(self, values: np.ndarray) -> Foretold | None:
        passage = EncoderTiming(self.shape).passage(flit_values(self.shape, self.lengths(values)))
        return Foretold(passage.words[-1], passage.rows, passage.words)


def _filled(units: np.ndarray, rows: int, width: int) -> np.ndarray:
    """*units* as full rows; places behind the last one hold anything but zero."""
    padded = np.full(rows * width, 0xA5, np.uint8)
    padded[: len(units)] = units
    return padded.reshape(rows, width)


class DecoderSubject(_Huffman):
    """Words of flits in, rows of values out."""

    gathers = True

    def __init__(self, core: Any):
        super().__init__(core)
        # The last flit may hold few values, and a speculative decoder reads its gap too, block by
        # block. A lane gives nothing before the end of a run, and takes a cycle for each value.
        pause = (
            8 * self.shape.payload_nbytes // core.bits_per_cycle
            if isinstance(core, SpeculativeDecoder)
            else self.shape.run_symbols
        )
        self.idle = IDLE_CYCLES + pause

    def payloads(self, values: np.ndarray) -> np.ndarray:
        shape = self.shape
        words, room = shape.words_per_flit, shape.words_per_flit * shape.word_nbytes
        message = np.frombuffer(self.message(values), np.uint8).reshape(-1, shape.payload_nbytes)
        flits = np.zeros((len(message), room), np.uint8)
        flits[:, : shape.payload_nbytes] = message
        number = np.arange(len(flits) * words)
        fields = {
            "data": flits.reshape(-1, shape.word_nbytes),
            "end": number % words == words - 1,
            "first": number < words,
            "last": number >= len(number) - words,
        }
        return pack(self.core.i.payload.shape(), fields)

    def wanted(self, values: np.ndarray) -> bytes:
        return flat(values).tobytes()

    def given(self, payloads: np.ndarray) -> list[bytes]:
        fields = unpack(self.core.o.payload.shape(), payloads)
        if fields["error"].any():
            raise ValueError("the decoder calls a flit broken that the codec wrote")
        messages, row_values = [], fields["symbols"].shape[1]
        for rows in _cut(np.arange(len(payloads)), fields["last"]):
            places = np.arange(row_values) < fields["count"][rows][:, None]
            symbols = fields["symbols"][rows][places].astype(np.uint8)
            rest = fields["rest"][rows][places].astype(np.uint8)
            messages.append(self.book.symbol_view.join(symbols, rest).tobytes())
        return messages

    def foretold(self, values: np.ndarray) -> Foretold | None:
        if not isinstance(self.core, SpeculativeDecoder):
            return None
        flits = self._timed_flits(values)
        timeline = decoding_timeline(self.shape, self.core.bits_per_cycle, flits)
        begin = timeline.taken[0]
        taken, given = ([cycle - begin for cycle in of] for of in (timeline.taken, timeline.given))
        return Foretold(given[-1], taken, given)

    def _timed_flits(self, values: np.ndarray) -> list[TimedFlit]:
        lengths = np.array(self.book.lengths)[self.book.symbol_view.split(flat(values))[0]]
        message = np.frombuffer(self.message(values), np.uint8).reshape(
            -1, self.shape.payload_nbytes
        )
        headers = message[:, :3].astype(np.int64) @ np.array([1, 1 << 8, 1 << 16])
        counts, coded = (headers & 0x1FFF) + 1, headers >> 13 & 31 != 0
        parts = np.split(lengths, np.cumsum(counts)[:-1])
        raw_bits = self.shape.symbol_bits
        return [
            TimedFlit(part, raw=False) if is_coded else TimedFlit(part * 0 + raw_bits, raw=True)
            for part, is_coded in zip(parts, coded, strict=True)
        ]


class _Quantizing:
    """What quantizer and dequantizer share: the definition, and groups as fields."""

    gathers = False
    idle = IDLE_CYCLES

    def __init__(self, core: Any):
        self.core = core
        self.definition = core.definition
        self.width = core.values_per_cycle
        self.rows_per_group = self.definition.group // self.width

    def rows(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """bf16 values as rows, the last group filled up with zeros."""
        group = self.definition.group
        words = np.zeros(-(-values.size // group) * group, np.uint16)
        words[: values.size] = flat(values).view(np.uint16)
        rows = words.reshape(-1, self.width)
        return {"values": rows, "last": _marked(len(rows))}

    def groups(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """The fields of the quantized groups."""
        made = self.definition.quantize(flat(values).view(np.uint16))
        fields = {"scale": made.scale, "zero": made.zero, "codes": made.codes}
        if made.spikes is not None:
            fields |= {name: getattr(made.spikes, name) for name in SPIKE_FIELDS}
        return fields | {"last": _marked(len(made))}


SPIKE_FIELDS = ("low", "high", "low_index", "high_index")


def _marked(count: int) -> np.ndarray:
    """Marks the last of *count*."""
    last = np.zeros(count, np.uint8)
    last[-1:] = 1
    return last


class QuantizerSubject(_Quantizing):
    """Rows of values in, groups of codes out."""

    def payloads(self, values: np.ndarray) -> np.ndarray:
        return pack(self.core.i.payload.shape(), self.rows(values))

    def wanted(self, values: np.ndarray) -> bytes:
        return pack(self.core.o.payload.shape(), self.groups(values)).tobytes()

    def given(self, payloads: np.ndarray) -> list[bytes]:
        last = unpack(self.core.o.payload.shape(), payloads)["last"]
        return [groups.tobytes() for groups in _cut(payloads, last)]

    def foretold(self, values: np.ndarray) -> Foretold | None:
        return Foretold(self.core.cycles(-(-values.size // self.definition.group)))


class DequantizerSubject(_Quantizing):
    """Rows of codes in, rows of values out."""

    def payloads(self, values: np.ndarray) -> np.ndarray:
        groups = self.groups(values)
        codes = groups.pop("codes").reshape(-1, self.width)
        fields = {name: np.repeat(array, self.rows_per_group) for name, array in groups.items()}
        return pack(
            self.core.i.payload.shape(), fields | {"codes": codes, "last": _marked(len(codes))}
        )

    def wanted(self, values: np.ndarray) -> bytes:
        made = self.definition.quantize(flat(values).view(np.uint16))
        return self.definition.dequantize(made).tobytes()

    def given(self, payloads: np.ndarray) -> list[bytes]:
        fields = unpack(self.core.o.payload.shape(), payloads)
        patterns = fields["values"].astype(np.uint16)
        return [rows.tobytes() for rows in _cut(patterns, fields["last"])]

    def foretold(self, values: np.ndarray) -> Foretold | None:
        rows = -(-values.size // self.definition.group) * self.rows_per_group
        taken = np.arange(rows)
        return Foretold(rows - 1 + self.core.latency, taken, taken + self.core.latency)


SUBJECTS: dict[str, type] = {
    "encoder": EncoderSubject,
    "decoder": DecoderSubject,
    "quantizer": QuantizerSubject,
    "dequantizer": DequantizerSubject,
}
"""By the kind of a configuration."""
