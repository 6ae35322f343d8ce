"""Decoding runs of code words, compiled.

Four runs are decoded side by side; every look-up sees twelve stream bits and gives up to six
symbols. Where codes are so long that it would mostly give one, eight runs go in lockstep. Nothing
outside the arrays is read or written, whatever the message holds: a step's load is proved to lie
inside the message before it, what is nearer to the end is left to a guarded reader.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.codecs.compiled.memory import (
    leading_zeros,
    load8,
    load16,
    load32,
    load64,
    store8,
    store64,
    store64_highest_first,
)
from linksim.codecs.compiled.tables import LONG_BITS, LOOKUP_BITS, SINGLE_BITS

LANES = 4
_LOOKUPS = 4
"""Look-ups per refill: 4 x 12 bits and a shift of up to 7 fit 64 bits."""
_STEP_BITS = (_LOOKUPS - 1) * LOOKUP_BITS + LONG_BITS
"""A step takes no more, even if its last look-up fails and a long word is read instead."""
_WIDE_MOST = 3
"""Codes whose look-ups give at most so many symbols mostly give one."""
_MARKER = np.uint64(1 << 63)
_SINGLE_MASK = np.uint64((1 << SINGLE_BITS) - 1)
_MASK = np.uint64((1 << LOOKUP_BITS) - 1)
_LONG_MASK = np.uint64((1 << LONG_BITS) - 1)
_BYTE = np.uint64(0xFF)
_THREE, _SEVEN, _EIGHT = np.uint64(3), np.uint64(7), np.uint64(8)
_SIXTY_THREE, _TOP = np.uint64(63), np.uint64(56)


@njit(inline="always")
def _step(data: Any, bit: Any, place: Any, lookup: Any) -> Any:
    """Four look-ups from *bit* on; new positions, and 0 where the last look-up found nothing."""
    window = load64(data + np.int64(bit >> _THREE)) >> (bit & _SEVEN)
    found = load64(lookup + 8 * np.int64(window & _MASK))
    window >>= found & _SIXTY_THREE
    store64_highest_first(place, found)
    # Low bytes add up the bits used, second bytes the symbols: neither can pass 255.
    total = found
    found = load64(lookup + 8 * np.int64(window & _MASK))
    window >>= found & _SIXTY_THREE
    store64_highest_first(place + np.int64((total >> _EIGHT) & _BYTE), found)
    total += found
    found = load64(lookup + 8 * np.int64(window & _MASK))
    window >>= found & _SIXTY_THREE
    store64_highest_first(place + np.int64((total >> _EIGHT) & _BYTE), found)
    total += found
    found = load64(lookup + 8 * np.int64(window & _MASK))
    store64_highest_first(place + np.int64((total >> _EIGHT) & _BYTE), found)
    total += found
    return bit + (total & _BYTE), place + np.int64((total >> _EIGHT) & _BYTE), found


@njit(cache=True, nogil=True)
def _guarded_window(data: Any, size: Any, bit: Any) -> Any:
    """At least 16 bits from *bit* on; what is behind byte *size* of *data* reads as zero."""
    byte = np.int64(bit >> _THREE)
    if byte + 4 <= size:
        return load32(data + byte) >> (bit & _SEVEN)
    window = np.uint64(0)
    for index in range(3):
        if byte + index < size:
            window |= load8(data + byte + index) << np.uint64(8 * index)
    return window >> (bit & _SEVEN)


@njit(cache=True, nogil=True)
def _one(data: Any, size: Any, bit: Any, place: Any, long: Any) -> Any:
    """One symbol; bit 0 where no word begins so."""
    found = load16(long + 2 * np.int64(_guarded_window(data, size, bit) & _LONG_MASK))
    store8(place, found)
    length = found >> _EIGHT
    return bit + length if length else np.uint64(0), place + 1


@njit(cache=True, nogil=True)
def _finish_run(
    data: Any,
    size: Any,
    bit: Any,
    place: Any,
    stop: Any,
    lookup: Any,
    long: Any,
    lengths: Any,
    most: Any,
) -> Any:
    """Decode up to address *stop*; the bit behind the run, 0 where bits begin no word."""
    while stop - place >= (_LOOKUPS - 1) * most + 8 and np.int64(bit >> _THREE) + 8 <= size:
        bit, place, found = _step(data, bit, place, lookup)
        if found == 0:
            bit, place = _one(data, size, bit, place, long)
            if bit == 0:
                return bit
    while place < stop:
        window = _guarded_window(data, size, bit)
        found = load64(lookup + 8 * np.int64(window & _MASK))
        count = np.int64((found >> _EIGHT) & _BYTE)
        if count == 0:
            bit, place = _one(data, size, bit, place, long)
            if bit == 0:
                return bit
        else:
            for _ in range(min(count, stop - place)):
                symbol = found >> _TOP
                store8(place, symbol)
                bit += load8(lengths + np.int64(symbol))
                found <<= _EIGHT
                place += 1
    return bit


@njit(inline="always")
def _careful_step(data: Any, bit: Any, place: Any, stop: Any, lookup: Any) -> Any:
    """One look-up, taken only if all its symbols lie before *stop*; 0 where it finds nothing."""
    window = load64(data + np.int64(bit >> _THREE)) >> (bit & _SEVEN)
    found = load64(lookup + 8 * np.int64(window & _MASK))
    store64_highest_first(place, found)
    taken = found if place <= stop else np.uint64(0)
    return bit + (taken & _BYTE), place + np.int64((taken >> _EIGHT) & _BYTE), found


@njit(cache=True, nogil=True)
def _unstall(data: Any, size: Any, bit: Any, place: Any, found: Any, long: Any) -> Any:
    """A word longer than the look-up, read alone."""
    if found == 0:
        return _one(data, size, bit, place, long)
    return bit, place


@njit(inline="always")
def _single_step(data: Any, bit: Any, place: Any, single: Any) -> Any:
    """Four symbols, one look-up each; bits they take, and 0 where the last look-up found none."""
    # The marker sinks as the window is shifted: its place tells how far.
    window = load64(data + np.int64(bit >> _THREE)) >> (bit & _SEVEN) | _MARKER
    found = load16(single + 2 * np.int64(window & _SINGLE_MASK))
    window >>= found & _SIXTY_THREE
    store8(place, found >> _EIGHT)
    found = load16(single + 2 * np.int64(window & _SINGLE_MASK))
    window >>= found & _SIXTY_THREE
    store8(place + 1, found >> _EIGHT)
    found = load16(single + 2 * np.int64(window & _SINGLE_MASK))
    window >>= found & _SIXTY_THREE
    store8(place + 2, found >> _EIGHT)
    found = load16(single + 2 * np.int64(window & _SINGLE_MASK))
    window >>= found & _SIXTY_THREE
    store8(place + 3, found >> _EIGHT)
    return leading_zeros(window), found


@njit(cache=True, nogil=True)
def _slowly(data: Any, size: Any, bit: Any, used: Any, found: Any, place: Any, long: Any) -> Any:
    """Behind a `_single_step`: the next bit. Where it stalled, four symbols, however long.

    0 where bits begin no word.
    """
    if found:
        return bit + used
    for _ in range(_LOOKUPS):
        bit, place = _one(data, size, bit, place, long)
        if bit == 0:
            return bit
    return bit


@njit(cache=True, nogil=True)
def decode_eight_wide(
    data: Any,
    size: Any,
    starts: Any,
    ends: Any,
    next_start: Any,
    place: Any,
    next_place: Any,
    run: Any,
    lookup: Any,
    long: Any,
    lengths: Any,
    most: Any,
) -> Any:
    """Twice four runs, the second four right behind the first, for which `is_wide`: in lockstep.

    A look-up waits for the one before; eight lanes keep the processor busy meanwhile. Otherwise as
    `decode_four`, but nothing behind a run is written.
    """
    single = lookup + 8 * (1 << LOOKUP_BITS)
    last_load = (size - 8) * 8
    bit0, bit1 = load64(starts), load64(starts + next_start)
    bit2, bit3 = load64(starts + 2 * next_start), load64(starts + 3 * next_start)
    bit4, bit5 = load64(starts + 8), load64(starts + 8 + next_start)
    bit6, bit7 = load64(starts + 8 + 2 * next_start), load64(starts + 8 + 3 * next_start)
    place1, place2, place3 = place + next_place, place + 2 * next_place, place + 3 * next_place
    done = np.int64(0)
    while True:
        farthest = max(max(max(bit0, bit1), max(bit2, bit3)), max(max(bit4, bit5), max(bit6, bit7)))
        ahead = last_load - np.int64(farthest)
        steps = min((run - done) // _LOOKUPS, ahead // (_LOOKUPS * LONG_BITS) + 1)
        if steps < 1 or ahead < 0:
            break
        while steps > 0:
            used0, found0 = _single_step(data, bit0, place + done, single)
            used1, found1 = _single_step(data, bit1, place1 + done, single)
            used2, found2 = _single_step(data, bit2, place2 + done, single)
            used3, found3 = _single_step(data, bit3, place3 + done, single)
            used4, found4 = _single_step(data, bit4, place + run + done, single)
            used5, found5 = _single_step(data, bit5, place1 + run + done, single)
            used6, found6 = _single_step(data, bit6, place2 + run + done, single)
            used7, found7 = _single_step(data, bit7, place3 + run + done, single)
            stalled = (found0 == 0) | (found1 == 0) | (found2 == 0) | (found3 == 0)
            if stalled | (found4 == 0) | (found5 == 0) | (found6 == 0) | (found7 == 0):
                bit0 = _slowly(data, size, bit0, used0, found0, place + done, long)
                bit1 = _slowly(data, size, bit1, used1, found1, place1 + done, long)
                bit2 = _slowly(data, size, bit2, used2, found2, place2 + done, long)
                bit3 = _slowly(data, size, bit3, used3, found3, place3 + done, long)
                bit4 = _slowly(data, size, bit4, used4, found4, place + run + done, long)
                bit5 = _slowly(data, size, bit5, used5, found5, place1 + run + done, long)
                bit6 = _slowly(data, size, bit6, used6, found6, place2 + run + done, long)
                bit7 = _slowly(data, size, bit7, used7, found7, place3 + run + done, long)
                first, second = min(min(bit0, bit1), min(bit2, bit3)), min(bit4, bit5)
                if min(min(first, second), min(bit6, bit7)) == 0:
                    return False
            else:
                bit0, bit1, bit2, bit3 = bit0 + used0, bit1 + used1, bit2 + used2, bit3 + used3
                bit4, bit5, bit6, bit7 = bit4 + used4, bit5 + used5, bit6 + used6, bit7 + used7
            done += _LOOKUPS
            steps -= 1
    whole = True
    for lane, bit in enumerate((bit0, bit1, bit2, bit3, bit4, bit5, bit6, bit7)):
        first = place + (lane & 3) * next_place + (lane >> 2) * run
        bit = _finish_run(data, size, bit, first + done, first + run, lookup, long, lengths, most)
        store64(ends + (lane & 3) * next_start + (lane >> 2) * 8, bit)
        whole &= bit > 0
    return whole


@njit(inline="always")
def is_wide(most: Any) -> Any:
    """Whether look-ups of a code, which give at most *most* symbols, mostly give one."""
    return most <= _WIDE_MOST


@njit(cache=True, nogil=True)
def decode_four(
    data: Any,
    size: Any,
    starts: Any,
    ends: Any,
    next_start: Any,
    place: Any,
    next_place: Any,
    run: Any,
    lookup: Any,
    long: Any,
    lengths: Any,
    most: Any,
    overshoot: Any,
) -> Any:
    """Four runs of *run* symbols; False where bits begin no word.

    They begin at the bits that lie *next_start* bytes apart from *starts* on, their symbols go to
    places *next_place* apart, and where they end is put to *ends* as they begin. *overshoot* says
    that the eight bytes behind the fourth run may be written, too.
    """
    bit0, bit1 = load64(starts), load64(starts + next_start)
    bit2, bit3 = load64(starts + 2 * next_start), load64(starts + 3 * next_start)
    place0, place1 = place, place + next_place
    place2, place3 = place + 2 * next_place, place + 3 * next_place
    stop0, stop1, stop2, stop3 = place0 + run, place1 + run, place2 + run, place3 + run
    last_load = (size - 8) * 8
    while True:
        left = min(min(stop0 - place0, stop1 - place1), min(stop2 - place2, stop3 - place3))
        ahead = last_load - np.int64(max(max(bit0, bit1), max(bit2, bit3)))
        steps = min((left - 8 + most) // (_LOOKUPS * most), ahead // _STEP_BITS + 1)
        if steps < 1 or ahead < 0:
            break
        while steps > 0:
            bit0, place0, found0 = _step(data, bit0, place0, lookup)
            bit1, place1, found1 = _step(data, bit1, place1, lookup)
            bit2, place2, found2 = _step(data, bit2, place2, lookup)
            bit3, place3, found3 = _step(data, bit3, place3, lookup)
            steps -= 1
            if (found0 == 0) | (found1 == 0) | (found2 == 0) | (found3 == 0):
                # The look-up that failed gave no symbols, so one more stays within the step.
                bit0, place0 = _unstall(data, size, bit0, place0, found0, long)
                bit1, place1 = _unstall(data, size, bit1, place1, found1, long)
                bit2, place2 = _unstall(data, size, bit2, place2, found2, long)
                bit3, place3 = _unstall(data, size, bit3, place3, found3, long)
                if min(min(bit0, bit1), min(bit2, bit3)) == 0:
                    return False
    begun = min(min(place0, place1 - next_place), min(place2, place3 - next_place) - 2 * next_place)
    if overshoot and begun >= place + 8:
        # A store may reach up to eight bytes behind a run. If the next run's first symbols are
        # there already, they are put back.
        head1, head2, head3 = load64(stop0), load64(stop1), load64(stop2)
        while True:
            left = max(max(stop0 - place0, stop1 - place1), max(stop2 - place2, stop3 - place3))
            ahead = last_load - np.int64(max(max(bit0, bit1), max(bit2, bit3)))
            if left < most or ahead < 0:
                break
            bit0, place0, found0 = _careful_step(data, bit0, place0, stop0 - most, lookup)
            bit1, place1, found1 = _careful_step(data, bit1, place1, stop1 - most, lookup)
            bit2, place2, found2 = _careful_step(data, bit2, place2, stop2 - most, lookup)
            bit3, place3, found3 = _careful_step(data, bit3, place3, stop3 - most, lookup)
            if min(min(found0, found1), min(found2, found3)) == 0:
                break
        store64(stop0, head1)
        store64(stop1, head2)
        store64(stop2, head3)
    bit0 = _finish_run(data, size, bit0, place0, stop0, lookup, long, lengths, most)
    bit1 = _finish_run(data, size, bit1, place1, stop1, lookup, long, lengths, most)
    bit2 = _finish_run(data, size, bit2, place2, stop2, lookup, long, lengths, most)
    bit3 = _finish_run(data, size, bit3, place3, stop3, lookup, long, lengths, most)
    store64(ends, bit0)
    store64(ends + next_start, bit1)
    store64(ends + 2 * next_start, bit2)
    store64(ends + 3 * next_start, bit3)
    return min(min(bit0, bit1), min(bit2, bit3)) > 0


@njit(cache=True, nogil=True)
def decode_runs(
    data: Any,
    size: Any,
    count: Any,
    run_symbols: Any,
    starts: Any,
    ends: Any,
    place: Any,
    lookup: Any,
    long: Any,
    lengths: Any,
    most: Any,
    room: Any,
) -> Any:
    """All runs of a chunk; False where bits begin no word.

    *room* is how many bytes behind its symbols may be written because they are decoded later.
    """
    done = np.int64(0)
    while done < count:
        if done + LANES * run_symbols <= count:
            overshoot = done + LANES * run_symbols + 8 <= count + room
            if not decode_four(
                data,
                size,
                starts,
                ends,
                8,
                place + done,
                run_symbols,
                run_symbols,
                lookup,
                long,
                lengths,
                most,
                overshoot,
            ):
                return False
            starts += 8 * LANES
            ends += 8 * LANES
            done += LANES * run_symbols
        else:
            stop = min(done + run_symbols, count)
            bit = _finish_run(
                data, size, load64(starts), place + done, place + stop, lookup, long, lengths, most
            )
            if bit == 0:
                return False
            store64(ends, bit)
            starts += 8
            ends += 8
            done = stop
    return True
