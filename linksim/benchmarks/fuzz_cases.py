"""Hostile messages, made and decoded in compiled loops.

A case is a valid message with something done to it. Its number and the seed say everything about
it, so that a finding is made again from these two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS
from linksim.codecs.compiled.decoding import chunk_counts, decode_chunks

MAX_CHUNKS = 8
"""Chunks of a message at most; every one may claim to hold 8192 symbols."""
MAX_NBYTES = 1 << 15
MAX_SYMBOLS = MAX_CHUNKS * MAX_CHUNK_SYMBOLS
EDITS = 14
"""Kinds of edits that `_edit` knows."""
_HEADER_NBYTES = 3

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


class Corpus(NamedTuple):
    """Valid messages of chunks, one behind the other.

    Message m lies in data[data_at[m]:data_at[m + 1]]; its chunks end at ends[chunk_at[m]...], from
    its own start, and hold counts[chunk_at[m]...] symbols.
    """

    data: Bytes
    data_at: Integers
    ends: Integers
    counts: Integers
    chunk_at: Integers


class Kernel(NamedTuple):
    """What `decode_chunks` takes beside a message; exact is 1 for bulk chunks."""

    exact: int
    symbol_bits: int
    rest_bits: int
    run_symbols: int
    entry_bits: Integers
    lookups: NDArray[np.uint64]
    longs: NDArray[np.uint16]
    lengths: Bytes
    most: Integers


class Room(NamedTuple):
    """Where a case is made and decoded.

    `message`, `symbols` and `rest` lie between guards; `now` holds the number of the case at work,
    for whoever looks after a crash. `result` is of the last case: the first bad chunk (-1: none),
    its bytes, chunks and symbols, and where it lay: bit 0 set for a message at the lower guard, bit
    1 for symbols and rest bytes there.
    """

    message: Bytes
    symbols: Bytes
    rest: Bytes
    work: Bytes
    bounds: Integers
    counts: Integers
    firsts: Integers
    random: NDArray[np.uint64]
    now: Integers
    result: Integers


@njit(cache=True, nogil=True)
def start_random(random: Any, seed: Any, case: Any) -> None:
    """Begin the random numbers of *case* (splitmix64 of both)."""
    mixed = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(case)
    for _ in range(2):
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    random[0] = mixed | np.uint64(1)


@njit(cache=True, nogil=True)
def below(random: Any, limit: Any) -> Any:
    """A random number from 0 to *limit* - 1 (xorshift64*)."""
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    return np.int64((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(33)) % max(limit, 1)


@njit(cache=True, nogil=True)
def _edit_chunk(kind: Any, room: Any, start: Any, end: Any, chunk: Any) -> None:
    """Edits that know the parts of the chunk at bytes *start* to *end*: header, table, contents."""
    work, random = room.work, room.random
    if end - start < _HEADER_NBYTES:
        return
    header = work[start] | np.int64(work[start + 1]) << 8 | np.int64(work[start + 2]) << 16
    if kind == 0:
        count = (header & 0x1FFF) + 1
        nearby = count + below(random, 5) - 2 if below(random, 2) else below(random, 8192) + 1
        header = header & ~0x1FFF | (min(max(nearby, 1), MAX_CHUNK_SYMBOLS) - 1)
        if below(random, 4):
            room.counts[chunk] = (header & 0x1FFF) + 1
    elif kind == 1:
        header = header & ~(31 << 13) | below(random, 5) << 13
    elif kind == 2:
        header = header & ~(63 << 18) | below(random, 64) << 18
    elif kind == 3:
        at = end - 1 - below(random, min(4, end - start - _HEADER_NBYTES))
        work[at] += below(random, 3) - 1 if below(random, 2) else 1 << below(random, 8)
    else:
        first = start + _HEADER_NBYTES + below(random, end - start - _HEADER_NBYTES)
        stop = first + 1 + below(random, end - first)
        fill = below(random, 3)
        for at in range(first, min(stop, end)):
            work[at] = below(random, 256) if fill == 2 else -fill & 0xFF
    for index in range(_HEADER_NBYTES):
        work[start + index] = header >> (8 * index) & 0xFF


@njit(cache=True, nogil=True)
def _splice(corpus: Any, room: Any, nbytes: Any) -> None:
    """Put a piece of another message over the message of *nbytes* bytes."""
    random = room.random
    other = below(random, corpus.data_at.size - 1)
    first = corpus.data_at[other]
    size = corpus.data_at[other + 1] - first
    source, target = below(random, size), below(random, nbytes)
    for index in range(min(1 + below(random, 64), size - source, nbytes - target)):
        room.work[target + index] = corpus.data[first + source + index]


@njit(cache=True, nogil=True)
def _edit(corpus: Any, room: Any, nbytes: Any, chunks: Any) -> Any:
    """Do one thing to the message of *nbytes* bytes; its new size and number of chunks."""
    work, random, bounds = room.work, room.random, room.bounds
    if chunks == 0:
        return nbytes, chunks
    kind = below(random, EDITS)
    chunk = below(random, chunks)
    if kind < 5:
        _edit_chunk(kind, room, bounds[chunk], bounds[chunk + 1], chunk)
    elif kind < 8:
        work[below(random, nbytes)] ^= 1 << below(random, 8)
    elif kind == 8:
        work[below(random, nbytes)] = below(random, 256)
    elif kind == 9:
        nbytes -= min(nbytes, 1 + below(random, 12 if below(random, 2) else nbytes))
        while chunks > 0 and bounds[chunks - 1] >= nbytes:
            chunks -= 1
        bounds[chunks] = nbytes if chunks else 0
    elif kind == 10:
        _splice(corpus, room, nbytes)
    elif kind == 11:
        more = min(1 + below(random, 12), work.size - nbytes)
        fill = below(random, 2)
        for at in range(nbytes, nbytes + more):
            work[at] = below(random, 256) * fill
        nbytes += more
        bounds[chunks] = nbytes
    elif kind == 12:
        low, high = bounds[chunk], bounds[min(chunk + 2, chunks)]
        if chunk + 2 <= chunks and high - low >= 2:
            moved = bounds[chunk + 1] + below(random, 9) - 4
            bounds[chunk + 1] = min(max(moved, low + 1), high - 1)
    else:
        room.counts[chunk] = 1 + below(random, MAX_CHUNK_SYMBOLS)
    return nbytes, chunks


@njit(cache=True, nogil=True)
def make_case(corpus: Any, room: Any, seed: Any, case: Any) -> Any:
    """Make *case* in room.work, room.bounds and room.counts.

    Returns its bytes, its chunks and random bits that say at which end of the room it goes.
    """
    random, bounds = room.random, room.bounds
    start_random(random, seed, case)
    picked = below(random, corpus.data_at.size - 1)
    first, chunk = corpus.data_at[picked], corpus.chunk_at[picked]
    nbytes = corpus.data_at[picked + 1] - first
    chunks = corpus.chunk_at[picked + 1] - chunk
    room.work[:nbytes] = corpus.data[first : first + nbytes]
    bounds[0] = 0
    for index in range(chunks):
        bounds[index + 1] = corpus.ends[chunk + index]
        room.counts[index] = corpus.counts[chunk + index]
    for _ in range(1 + below(random, 3) * below(random, 2)):
        nbytes, chunks = _edit(corpus, room, nbytes, chunks)
    return nbytes, chunks, below(random, 4)


@njit(cache=True, nogil=True)
def _places(room: Any, exact: Any, nbytes: Any, chunks: Any, ends: Any) -> Any:
    """Put the message between the guards and add up room.firsts; message, symbols, and a flag.

    The flag is False where a chunk is too short to say how many symbols it holds.
    """
    size = room.message.size
    message = room.message[:nbytes] if ends & 1 else room.message[size - nbytes :]
    message[:] = room.work[:nbytes]
    counts, firsts = room.counts[:chunks], room.firsts
    if not exact and chunk_counts(message, room.bounds[: chunks + 1], counts) >= 0:
        return message, np.int64(0), False
    firsts[0] = 0
    for index in range(chunks):
        firsts[index + 1] = firsts[index] + counts[index]
    return message, firsts[chunks], True


@njit(cache=True, nogil=True)
def decode_cases(corpus: Any, kernel: Any, room: Any, seed: Any, first: Any, stop: Any) -> Any:
    """Make the cases from *first* to *stop* between the guards and decode them.

    Returns how many were accepted; what came of the last one is put to room.result.
    """
    accepted = np.int64(0)
    for case in range(first, stop):
        room.now[0] = case
        nbytes, chunks, ends = make_case(corpus, room, seed, case)
        message, total, whole = _places(room, kernel.exact != 0, nbytes, chunks, ends)
        held = total if kernel.rest_bits else 0
        size, rest_size = room.symbols.size, room.rest.size
        bad = np.int64(0)
        if whole:
            bad = np.int64(
                decode_chunks(
                    message,
                    room.bounds[: chunks + 1],
                    room.firsts[: chunks + 1],
                    kernel.exact != 0,
                    kernel.symbol_bits,
                    kernel.rest_bits,
                    kernel.run_symbols,
                    kernel.entry_bits,
                    kernel.lookups,
                    kernel.longs,
                    kernel.lengths,
                    kernel.most,
                    room.symbols[:total] if ends & 2 else room.symbols[size - total :],
                    room.rest[:held] if ends & 2 else room.rest[rest_size - held :],
                )
            )
        accepted += np.int64(bad < 0)
        room.result[0], room.result[1], room.result[2] = bad, nbytes, chunks
        room.result[3], room.result[4] = total, ends
    return accepted
