"""Go-back-N as stop and resend: when a flit that arrived damaged is sent again.

A network engine need not simulate the protocol flit by flit. What is sent between a damaged flit
and its replay is discarded, so it may as well not be sent: the sender stops for the time given here
and sends the same flit again. As long as the window does not fill while nothing is wrong, every
flit is handed on at the very picosecond of the full protocol.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from linksim.links.retry.draws import slot_fails


@njit(cache=True, nogil=True)
def outage_ps(settings: Any, start_ps: Any, before_ps: Any, attempt: Any) -> Any:
    """From the start of a transmission that arrives damaged to the start of the next one, in ps.

    *settings*: of `settings_of`, or in compiled code a record with those of its fields that are
    read here. *start_ps*: when it started; the sender's slots go on from there. *before_ps*: when
    the flit before it was sent with success; negative where that is long acknowledged. *attempt*: 0
    for the first transmission of the flit.

    A Nak goes back in the first slot that may carry one, slots counted from time 0; it gets through
    or not as `slot_fails` says of the backward wire. If it does not, or with `repeats_nak` none
    does in time, the timer acts. It counts from *start_ps*, or from the last Ack that told
    something new, if that came later. Without `repeats_nak` a replay that arrives damaged gets no
    second Nak.
    """
    flit_ps = settings.flit_ps
    timer_start_ps = start_ps
    if attempt == 0 and before_ps >= 0:
        slot = _answer_slot(settings, before_ps)
        last = slot + settings.timer
        while slot < last and _lost(settings, slot):
            slot += settings.ack_slots
        timer_start_ps = max(start_ps, _heard_ps(settings, slot, start_ps))
    deadline_ps = timer_start_ps + settings.timer * flit_ps
    if attempt == 0 or settings.repeats_nak:
        slot = _answer_slot(settings, start_ps)
        while True:
            heard_ps = _heard_ps(settings, slot, start_ps)
            if heard_ps > deadline_ps:
                break
            if not _lost(settings, slot):
                return heard_ps - start_ps
            if not settings.repeats_nak:
                break
            slot += settings.ack_slots
    return deadline_ps - start_ps


@njit(cache=True, nogil=True)
def _answer_slot(settings: Any, start_ps: Any) -> Any:
    """First slot back whose flit may answer the one that started at *start_ps*."""
    there_ps = start_ps + settings.flit_ps + settings.flight_ps
    period_ps = settings.ack_slots * settings.flit_ps
    return -(-there_ps // period_ps) * settings.ack_slots


@njit(cache=True, nogil=True)
def _heard_ps(settings: Any, slot: Any, start_ps: Any) -> Any:
    """Start of the sender's slot in which it has the answer sent in *slot*."""
    there_ps = (slot + 1) * settings.flit_ps + settings.flight_ps
    return start_ps - (start_ps - there_ps) // settings.flit_ps * settings.flit_ps


@njit(cache=True, nogil=True)
def _lost(settings: Any, slot: Any) -> Any:
    return slot_fails(settings.backward_key, slot, settings.backward_threshold, settings.burst)
