"""Which flits arrive damaged: random numbers that depend on nothing but what they are drawn for.

A draw is the splitmix64 hash (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
OOPSLA 2014) of a seed, a wire and a count, so any engine that asks for the same flit gets the same
answer, in any order. Two kinds of draws are made:

- by slot: every flit slot of a wire may begin an error event, which spoils that slot and the
  following ones of a burst (`slot_fails`);
- by flit and attempt (`flit_fails`), for engines whose slots differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from linksim.errors import LinksimError

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
_ATTEMPT_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_ONE, _27, _30, _31 = np.uint64(1), np.uint64(27), np.uint64(30), np.uint64(31)


def threshold_of(probability: float) -> np.uint64:
    """What a draw of 63 bits must stay below for an event of *probability*: 0 to 2^63.

    LinksimError for what is no probability.
    """
    if not 0 <= probability <= 1:
        raise LinksimError(f"a probability of {probability}: expected 0 to 1")
    return np.uint64(round(probability * 2**63))


@njit(inline="always")
def _mixed(value: Any) -> Any:
    value = (value ^ (value >> _30)) * _FIRST_FACTOR
    value = (value ^ (value >> _27)) * _SECOND_FACTOR
    return value ^ (value >> _31)


@njit(cache=True, nogil=True)
def wire_key(seed: int, link_index: int, backward: bool) -> Any:
    """Key of one direction of a link: uint64. *backward* is the direction of Acks and Naks."""
    wire = np.uint64(2 * link_index + backward)
    return _mixed(_mixed(np.uint64(seed) + _GOLDEN_GAMMA) + (wire + _ONE) * _GOLDEN_GAMMA)


@njit(cache=True, nogil=True, inline="always")
def event_begins(key: Any, slot: Any, threshold: Any) -> Any:
    """Whether an error event begins in *slot* of the wire of *key*."""
    return _mixed(key + (np.uint64(slot) + _ONE) * _GOLDEN_GAMMA) >> _ONE < threshold


@njit(cache=True, nogil=True)
def slot_fails(key: Any, slot: int, threshold: Any, burst_flits: int) -> bool:
    """Whether a flit in *slot* is damaged: an event began in it or less than a burst before."""
    for begin in range(max(0, slot - burst_flits + 1), slot + 1):
        if event_begins(key, begin, threshold):
            return True
    return False


@njit(cache=True, nogil=True)
def flit_fails(
    seed: int, link_index: int, flit_sequence: int, attempt: int, threshold: Any
) -> bool:
    """Whether attempt *attempt* (0: the first) at a link's *flit_sequence*-th flit arrives damaged.

    Only attempts count that the receiver waits for; what go-back-N discards needs no draw. Under
    go-back-N a burst no longer than the round trip is one such failure: the flits behind the first
    damaged one are discarded whether they are damaged or not, and the replay comes after the burst.
    So a burst is drawn as one event, with the probability of an event.
    """
    key = _mixed(wire_key(seed, link_index, False) + np.uint64(attempt) * _ATTEMPT_FACTOR)
    return bool(event_begins(key, flit_sequence, threshold))
