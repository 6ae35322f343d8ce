"""Handing flits on, compiled: the end-to-end check of what the receiver lets through."""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(cache=True, nogil=True)
def hand_on(state: Any, settings: Any, flit: Any, slot: Any, seen: Any, delivered_ps: Any) -> None:
    """Hand *flit* on, known by its true number, which no receiver may look at before.

    *slot* is the one of the transmission that let it be handed on; *seen* holds the flits handed on
    lately, each at the remainder of its number.
    """
    place = flit & (len(seen) - 1)
    state.last_taken_slot = slot
    if seen[place] == flit:
        state.duplicated += 1
        return
    seen[place] = flit
    state.distinct += 1
    if flit < state.highest:
        state.reordered += 1
    else:
        state.highest = flit + 1
    if flit < len(delivered_ps):
        delivered_ps[flit] = (slot + 1) * settings.flit_ps + settings.flight_ps
