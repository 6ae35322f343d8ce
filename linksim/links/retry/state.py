"""What the compiled protocols know between two slots, and what stays the same all along."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from linksim.links.retry.draws import threshold_of, wire_key
from linksim.links.retry.parameters import FlitErrors, LinkFailure, RetryLink, RetryResult

STATE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "slot",  # the slot to come
            "next",  # flit that the sender sends next
            "opened",  # flits sent at least once
            "acked",  # flits before it are acknowledged
            "timer_start",  # slot in which the replay timer began to count
            "replay_start",  # slot in which the last replay began
            "replays_of_oldest",  # replays without an Ack between them
            "waiting",  # per packet: packets that wait to be sent again
            "waiting_head",  # per packet: place of the first of them in their ring
            "expected",  # flits that the receiver took in order
            "refusing",  # 1: it found a gap and waits for the flit that fills it
            "nak_pending",  # 1: the next flit back is a Nak
            "attempt",  # damaged attempts at the flit that it waits for
            "event",  # last slot in which an error event began
            "backward_event",  # the same of the other direction
            "highest",  # one above the last flit handed on, by its true number
            "distinct",  # flits handed on, each counted once
            "duplicated",
            "reordered",
            "last_taken_slot",  # slot of the transmission that let the last flit be handed on
            "sent",
            "resent",
            "replays",
            "timeouts",
            "damaged",
            "discarded",
            "naks",
            "naks_lost",
            "feedback_lost",
            "idle",
            "most_replays",
            "failed",  # flit that was given up, or -1
            "failed_replays",
            "failed_slot",
        )
    ]
)
LONG_AGO = -(1 << 62)


class Settings(NamedTuple):
    """What stays the same during a run, as compiled code wants it (slots are flit times)."""

    flits: int
    window: int
    mask: int
    """Sequence numbers less one."""
    timer: int
    maximum_replays: int
    ack_slots: int
    repeats_nak: bool
    forward_slots: int
    flit_ps: int
    flight_ps: int
    burst: int
    threshold: Any
    backward_threshold: Any
    key: Any
    backward_key: Any
    by_flit: bool
    seed: int
    link_index: int


def settings_of(link: RetryLink, errors: FlitErrors, flits: int) -> Settings:
    """The settings of a run of *flits*."""
    return Settings(
        flits=flits,
        window=link.window,
        mask=link.modulus - 1,
        timer=link.timer_flits,
        maximum_replays=link.maximum_replays,
        ack_slots=link.ack_slots,
        repeats_nak=link.repeats_nak,
        forward_slots=link.forward_slots,
        flit_ps=link.flit_ps,
        flight_ps=link.flight_ps,
        burst=errors.burst_flits,
        threshold=threshold_of(errors.event_probability),
        backward_threshold=threshold_of(errors.backward_probability),
        key=np.uint64(wire_key(errors.seed, errors.link_index, False)),
        backward_key=np.uint64(wire_key(errors.seed, errors.link_index, True)),
        by_flit=errors.by_flit,
        seed=errors.seed,
        link_index=errors.link_index,
    )


def first_state() -> NDArray[np.void]:
    """The state before slot 0: `STATE` [1]."""
    state = np.zeros(1, STATE)
    state["event"] = state["backward_event"] = state["replay_start"] = LONG_AGO
    state["failed"] = -1
    return state


def ring(least: int, value: int = -1) -> NDArray[np.int64]:
    """A ring of at least *least* places, a power of two, filled with *value*: int64 [n]."""
    return np.full(1 << max(1, (least - 1).bit_length()), value, np.int64)


def result_of(
    state: NDArray[np.void], settings: Settings, delivered_ps: NDArray[np.int64]
) -> RetryResult:
    """What *state* says at the end of a run."""
    last = {name: int(state[name][0]) for name in STATE.names or ()}
    failure = None
    if last["failed"] >= 0:
        at_ps = last["failed_slot"] * settings.flit_ps
        failure = LinkFailure(last["failed"], last["failed_replays"], at_ps)
    through = last["highest"] if failure else settings.flits
    slots = last["last_taken_slot"] + 1 if last["distinct"] else 0
    counted = (
        "duplicated", "reordered", "sent", "resent", "replays", "timeouts", "damaged",
        "discarded", "naks", "naks_lost", "feedback_lost", "most_replays",
    )  # fmt: skip
    return RetryResult(
        flits=settings.flits,
        delivered=last["distinct"],
        lost=through - last["distinct"],
        slots=slots,
        elapsed_ps=slots * settings.flit_ps + settings.flight_ps if slots else 0,
        idle_slots=last["idle"],
        failure=failure,
        delivered_ps=delivered_ps,
        **{name: last[name] for name in counted},
    )
