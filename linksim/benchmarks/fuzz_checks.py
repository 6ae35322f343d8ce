"""Fuzz cases against the NumPy reference: decoded chunks, encoded chunks and whole messages.

Every check takes a seed and a case's number and says what it found: nothing, or a sentence and all
that is needed to see it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from linksim.benchmarks.fuzz_cases import Bytes, Corpus, Kernel, Room, decode_cases
from linksim.benchmarks.fuzz_targets import (
    Target,
    drawn,
    listed_code,
    peaked_code,
    rest_bytes,
)
from linksim.benchmarks.guarded import GuardedBuffer
from linksim.codecs.chunk import encode_chunks
from linksim.codecs.chunked import REFERENCE, ChunkedCodec
from linksim.codecs.codebook import Codebook
from linksim.codecs.compiled import CompiledCoder
from linksim.codecs.compiled.coder import block_encoder, capacity, unsized_plan
from linksim.codecs.fixed import HuffmanFixed
from linksim.codecs.three_stage import HuffmanThreeStage
from linksim.errors import LinksimError

Finding = dict[str, Any]
MOST_ENCODED = 700
"""Symbols of an encoder case at most."""


@dataclass(frozen=True)
class Outcome:
    """What a decoder made of a message: an error's text, or arrays as bytes."""

    refusal: str | None
    values: tuple[bytes, ...] = ()


def outcome(decode: Callable[[], tuple[NDArray[Any], ...]]) -> Outcome:
    """What *decode* gives; anything but a LinksimError is not caught."""
    try:
        return Outcome(None, tuple(part.tobytes() for part in decode()))
    except LinksimError as error:
        return Outcome(str(error))


def difference(compiled: Outcome, reference: Outcome) -> str | None:
    """How two outcomes differ, as a sentence; texts of refusals may."""
    if (compiled.refusal is None) != (reference.refusal is None):
        return (
            f"compiled: {compiled.refusal or 'accepted'}; "
            f"reference: {reference.refusal or 'accepted'}"
        )
    return None if compiled.values == reference.values else "the values differ"


def check_decoder(
    target: Target, corpus: Corpus, kernel: Kernel, room: Room, seed: int, case: int
) -> Finding | None:
    """Decode *case* by the kernel, the compiled coder and the reference; what is not the same."""
    decode_cases(corpus, kernel, room, seed, case, case + 1)
    bad, nbytes, chunks, symbols, ends = (int(part) for part in room.result)
    low = bool(ends & 2)
    held = symbols if target.shape.rest_bits else 0
    decoded = (_part(room.symbols, symbols, low), _part(room.rest, held, low))
    by_kernel = Outcome(f"refused, chunk {bad}") if bad >= 0 else outcome(lambda: decoded)
    message = room.work[:nbytes].copy()
    bounds, counts = room.bounds[1 : chunks + 1].copy(), room.counts[:chunks].copy()
    wanted = counts if kernel.exact else None
    arguments = target.shape, message, bounds, target.codes, wanted
    made: Finding = {
        "message": message.tobytes().hex(),
        "chunk_ends": bounds.tolist(),
        "symbols_expected": counts.tolist() if kernel.exact else None,
    }
    try:
        reference = outcome(lambda: REFERENCE.decode(*arguments))
        compiled = outcome(lambda: CompiledCoder().decode(*arguments))
    except Exception as error:
        return {**made, "what": f"{type(error).__name__}: {error}"}
    found = difference(by_kernel, reference) or difference(compiled, reference)
    return None if found is None else {**made, "what": found}


def _part(buffer: Bytes, count: int, low: bool) -> Bytes:
    return buffer[:count] if low else buffer[len(buffer) - count :]


class EncoderCheck:
    """The compiled encoder between guards, its output exactly as large as it asks for."""

    def __init__(self) -> None:
        self._symbols, self._rest = GuardedBuffer(MOST_ENCODED), GuardedBuffer(MOST_ENCODED)
        self._out = GuardedBuffer(1 << 16)

    def check(self, target: Target, seed: int, case: int) -> Finding | None:
        """Encode random symbols; the bytes must be the reference's."""
        random = np.random.default_rng([seed, case, 1])
        count = int(random.integers(1, MOST_ENCODED + 1))
        symbols, rest = self._symbols.last(count), self._rest.last(count)
        symbols[:] = _mixture(target, count, random)
        rest = rest if target.shape.rest_bits else rest[:0]
        rest[:] = rest_bytes(target, count, random)
        plan = target.plan(symbols)
        one_book = len(target.books) == 1 and not target.payload_nbytes and not target.use_bias
        given = unsized_plan(count, target.chunk_symbols) if one_book else plan
        shape, codes = target.shape, target.codes
        out = self._out.last(capacity(shape, given, 0, len(given.counts)))
        nbytes = block_encoder(shape, codes, given)(0, len(given.counts), symbols, rest, out)
        wanted = encode_chunks(shape, symbols, rest, codes, plan)
        if out[:nbytes].tobytes() == wanted.tobytes() and (given.nbytes == plan.nbytes).all():
            return None
        return {
            "what": "the encoders' bytes differ",
            "symbols": symbols.tobytes().hex(),
            "rest": rest.tobytes().hex(),
            "compiled": out[:nbytes].tobytes().hex(),
            "reference": wanted.tobytes().hex(),
        }


def _mixture(target: Target, count: int, random: np.random.Generator) -> Bytes:
    """Symbols of several distributions, one behind the other, and the highest symbol now and then.

    The highest is where NaN and infinity are in the views of floats.
    """
    parts = [
        drawn(target, count, random, int(random.integers(len(target.books) + 2))) for _ in range(2)
    ]
    cut = int(random.integers(count + 1))
    mixed = np.concatenate([parts[0][:cut], parts[1][cut:]])
    if random.integers(3) == 0:
        mixed[random.random(count) < random.random()] = (1 << target.shape.symbol_bits) - 1
    return mixed


class MessageCheck:
    """Whole messages through codecs: headers, indices, codebooks and checksums included."""

    def __init__(self) -> None:
        steep, flat = peaked_code(8), peaked_code(8, 12, 0.05)
        small, lone = peaked_code(4, 8), listed_code(8, (1,))

        def make() -> list[ChunkedCodec]:
            exponent = [
                Codebook(f"fuzz {i}", "bf16", "exponent", "any", code.lengths, code.max_length)
                for i, code in enumerate((steep, flat, lone))
            ]
            pooled = Codebook("fuzz", "bf16", "pooled", "any", flat.lengths, flat.max_length)
            e2m1 = Codebook("fuzz", "e2m1", "pooled", "any", small.lengths, small.max_length)
            return [
                HuffmanFixed(exponent[:1], chunk_symbols=64, run_symbols=16),
                HuffmanFixed(exponent, chunk_symbols=100, run_symbols=16, exponent_bias=True),
                HuffmanFixed([pooled], chunk_symbols=101, run_symbols=16, checksum=True),
                HuffmanFixed([e2m1], chunk_symbols=33, run_symbols=16),
                HuffmanFixed(exponent, "link", payload_nbytes=32, run_symbols=16),
                HuffmanThreeStage(chunk_symbols=64, run_symbols=16),
                HuffmanThreeStage(chunk_symbols=64, run_symbols=16, checksum=True),
                HuffmanThreeStage("e2m1", "pooled", chunk_symbols=33, run_symbols=16),
                HuffmanThreeStage("bf16", "exponent", "link", payload_nbytes=64),
            ]

        self.codecs, self._references = make(), make()
        for codec in self._references:
            codec.coder = REFERENCE
        random = np.random.default_rng(2)
        self._messages = [
            [codec.encode(_values(codec, count, random)) for count in (0, 1, 63, 64, 65, 330)]
            for codec in self.codecs
        ]

    def check(self, seed: int, case: int) -> tuple[bool, Finding | None]:
        """Whether a hostile message is accepted, and what is wrong with that."""
        random = np.random.default_rng([seed, case, 2])
        which = int(random.integers(len(self.codecs)))
        codec, reference = self.codecs[which], self._references[which]
        messages = self._messages[which]
        message = _damaged(messages, random)
        if codec.checksum and random.integers(2) and len(message) >= 4:
            message = message[:-4] + google_crc32c.value(message[:-4]).to_bytes(4, "little")
        made = {"codec": f"{codec!r:.400}", "message": message.hex()}
        try:
            compiled = outcome(lambda: (codec.decode(message),))
            wanted = outcome(lambda: (reference.decode(message),))
        except Exception as error:
            return False, {**made, "what": f"{type(error).__name__}: {error}"}
        found = difference(compiled, wanted)
        return compiled.refusal is None, None if found is None else {**made, "what": found}


def _values(codec: ChunkedCodec, count: int, random: np.random.Generator) -> NDArray[Any]:
    if codec.symbol_view.symbol_bits < 8:
        return random.integers(0, 16, count).astype(np.uint8).view(codec.number_format.numpy)
    return (random.standard_normal(count) * 0.02).astype(codec.number_format.numpy)


def _damaged(messages: list[bytes], random: np.random.Generator) -> bytes:
    """One of *messages* after one to three edits."""
    data = bytearray(messages[int(random.integers(len(messages)))])
    for _ in range(int(random.integers(1, 4))):
        kind, size = int(random.integers(6)), len(data)
        at = int(random.integers(size + 1))
        if kind == 0:
            del data[at:]
        elif kind == 1:
            other = messages[int(random.integers(len(messages)))]
            data[at : at + 24] = other[at : at + 24]
        elif kind == 2:
            data[at:at] = random.bytes(int(random.integers(1, 5)))
        elif kind == 3 and size >= 4:
            word = int(random.choice([0, 1, 2**31, 2**32 - 1, size, int(random.integers(2**32))]))
            at = min(at, size - 4) if random.integers(2) else 0
            data[at : at + 4] = word.to_bytes(4, "little")
        elif at < size:
            # Headers, codebooks and indices stand in front.
            at = at % 64 if random.integers(2) and at % 64 < size else at
            data[at] ^= 1 << int(random.integers(8))
    return bytes(data)
