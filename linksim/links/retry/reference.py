"""The readable reference of the compiled protocols: senders, receivers and what passes between.

Both protocols share the wires. Time is cut into slots of `flit_ps`; a flit sent in one is judged
`flight_ps` after its end. In every slot, in this order: the sender takes the answer that has come,
looks at its timer, sends a flit if it may; the receiver judges the flit that has come, and sends
its answer if the flit that goes back may carry one. What comes just at a slot's start is in time.

**Go-back-N.** A flit carries its number modulo 2^bits. The receiver hands on a whole flit with the
number it waits for and drops all others. Every answer acknowledges all flits before that number. A
damaged flit opens a gap: one answer (with *repeats_nak* every one until the flit is there) is a
Nak. The sender goes back to the first flit without an Ack when it hears a Nak, unless that was sent
before its last replay could arrive, and when *timer_flits* slots passed since the last Ack that
told it something new, since the last replay, and since it sent a flit with all others acknowledged.
Nothing is sent in an idle slot.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from linksim.links.retry.draws import flit_fails, slot_fails, threshold_of, wire_key
from linksim.links.retry.parameters import FlitErrors, LinkFailure, RetryLink, RetryResult


@dataclass(frozen=True)
class Flit:
    """What goes forward. The receiver may look at *number* and *payload* only."""

    index: int
    number: int
    payload: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What goes back: the number that the receiver waits for, and what it found since."""

    number: int
    nak: bool = False
    damaged_slots: tuple[int, ...] = ()
    """Per packet: slots since the last answer whose flit was damaged, and whose was whole."""
    whole_slots: tuple[int, ...] = ()


class Channel:
    """Both wires; what arrives damaged arrives as None."""

    def __init__(self, errors: FlitErrors):
        self._errors = errors
        self._attempts: Counter[int] = Counter()
        self._key = np.uint64(wire_key(errors.seed, errors.link_index, False))
        self._backward_key = np.uint64(wire_key(errors.seed, errors.link_index, True))

    def carry(self, slot: int, flit: Flit, *, wanted: bool) -> Flit | None:
        """*flit*, sent in *slot*; *wanted*: the receiver would take it if it came whole."""
        errors, threshold = self._errors, threshold_of(self._errors.event_probability)
        if errors.by_flit:
            attempt = self._attempts[flit.index]
            fails = wanted and flit_fails(
                errors.seed, errors.link_index, flit.index, attempt, threshold
            )
            self._attempts[flit.index] += fails
        else:
            fails = slot_fails(self._key, slot, threshold, errors.burst_flits)
        return None if fails else flit

    def carry_back(self, slot: int, answer: Answer) -> Answer | None:
        """*answer*, sent in *slot* of the direction back."""
        threshold = threshold_of(self._errors.backward_probability)
        fails = slot_fails(self._backward_key, slot, threshold, self._errors.burst_flits)
        return None if fails else answer


@dataclass
class Log:
    """What happened, counted, and every flit that was handed on with its time."""

    counts: Counter[str] = field(default_factory=Counter)
    handed_on: list[Flit] = field(default_factory=list)
    times_ps: list[int] = field(default_factory=list)
    most_replays: int = 0
    failure: LinkFailure | None = None

    def hand_on(self, flit: Flit, at_ps: int) -> None:
        """The receiver lets *flit* through."""
        self.handed_on.append(flit)
        self.times_ps.append(at_ps)


class GoBackNSender:
    """Keeps every flit until it is acknowledged."""

    def __init__(self, link: RetryLink, payloads: Sequence[bytes], log: Log):
        self._link, self._payloads, self._log = link, payloads, log
        self._acked = self._next = self._opened = 0
        self._replays = 0
        self._timer_ps = 0
        self._replay_ps: int | None = None

    def hear(self, answer: Answer | None, now_ps: int) -> None:
        """Take the answer that has come; None: it was damaged."""
        if answer is None:
            return
        advance = (answer.number - self._acked) % self._link.modulus
        if advance > self._opened - self._acked:
            return
        if advance:
            self._acked += advance
            self._next = max(self._next, self._acked)
            self._timer_ps = now_ps
            self._replays = 0
        round_trip_ps = self._link.round_trip_slots * self._link.flit_ps
        stale = self._replay_ps is not None and now_ps - self._replay_ps < round_trip_ps
        if answer.nak and not stale and self._acked < self._opened:
            self._go_back(now_ps)

    def watch_timer(self, now_ps: int) -> None:
        """Go back if nothing was heard for too long."""
        limit_ps = self._link.timer_flits * self._link.flit_ps
        if self._acked < self._opened and now_ps - self._timer_ps >= limit_ps:
            self._log.counts["timeouts"] += 1
            self._go_back(now_ps)

    def _go_back(self, now_ps: int) -> None:
        if self._replays == self._link.maximum_replays:
            self._log.failure = LinkFailure(self._acked, self._replays, now_ps)
            return
        self._replays += 1
        self._log.most_replays = max(self._log.most_replays, self._replays)
        self._log.counts["replays"] += 1
        self._next = self._acked
        self._replay_ps = self._timer_ps = now_ps

    def send(self, now_ps: int) -> Flit | None:
        """The flit of this slot; None: nothing may be sent."""
        index = self._next
        if index >= len(self._payloads) or index - self._acked >= self._link.window:
            return None
        if self._acked == self._opened:
            self._timer_ps = now_ps
        self._log.counts["resent"] += index < self._opened
        self._next += 1
        self._opened = max(self._opened, self._next)
        return Flit(index, index % self._link.modulus, self._payloads[index])


class GoBackNReceiver:
    """Takes flits in order, drops what it does not wait for."""

    def __init__(self, link: RetryLink, log: Log):
        self._link, self._log = link, log
        self._expected = 0
        self._refusing = self._nak_pending = False

    @property
    def taken(self) -> int:
        """Flits handed on so far."""
        return self._expected

    def wants(self, flit: Flit) -> bool:
        """Whether *flit* is the one waited for."""
        return flit.index == self._expected

    def take(self, flit: Flit | None, slot: int, now_ps: int) -> None:
        """Judge what came of *slot*; None: it was damaged."""
        if flit is None:
            self._nak_pending |= not self._refusing
            self._refusing = True
        elif flit.number == self._expected % self._link.modulus:
            self._log.hand_on(flit, now_ps)
            self._expected += 1
            self._refusing = self._nak_pending = False
        else:
            self._log.counts["discarded"] += 1

    def answer(self) -> Answer:
        """What the next flit back carries."""
        nak = self._nak_pending
        self._nak_pending = nak and self._link.repeats_nak
        self._log.counts["naks"] += nak
        return Answer(self._expected % self._link.modulus, nak)


def run_reference(
    link: RetryLink, payloads: Sequence[bytes], channel: Channel
) -> tuple[RetryResult, list[Flit]]:
    """Send *payloads*, all there from the start; returns what was found and what was handed on."""
    from linksim.links.retry.reference_per_packet import PerPacketReceiver, PerPacketSender

    log = Log()
    sender: GoBackNSender | PerPacketSender
    receiver: GoBackNReceiver | PerPacketReceiver
    if link.protocol == "go-back-n":
        sender, receiver = GoBackNSender(link, payloads, log), GoBackNReceiver(link, log)
    else:
        sender, receiver = PerPacketSender(link, payloads, log), PerPacketReceiver(link, log)
    flits: deque[tuple[int, int, Flit]] = deque()
    answers: deque[tuple[int, Answer | None]] = deque()
    slot = 0
    while receiver.taken < len(payloads):
        now_ps = slot * link.flit_ps
        there_ps = now_ps + link.flit_ps + link.flight_ps
        while answers and answers[0][0] <= now_ps:
            sender.hear(answers.popleft()[1], now_ps)
        sender.watch_timer(now_ps)
        sent = sender.send(now_ps) if log.failure is None else None
        if log.failure is not None:
            break
        log.counts["idle_slots"] += sent is None
        if sent is not None:
            log.counts["sent"] += 1
            flits.append((there_ps, slot, sent))
        while flits and flits[0][0] <= now_ps:
            came_ps, sent_in, flit = flits.popleft()
            whole = channel.carry(sent_in, flit, wanted=receiver.wants(flit))
            log.counts["damaged"] += whole is None
            receiver.take(whole, sent_in, came_ps)
        if slot % link.ack_slots == 0:
            answer = receiver.answer()
            carried = channel.carry_back(slot, answer)
            if carried is None:
                log.counts["feedback_lost"] += 1
                log.counts["naks_lost"] += answer.nak + len(answer.damaged_slots)
            answers.append((there_ps, carried))
        slot += 1
    return _result(link, len(payloads), log), log.handed_on


def _result(link: RetryLink, flits: int, log: Log) -> RetryResult:
    order = [flit.index for flit in log.handed_on]
    highest = max(order, default=-1) + 1
    first = dict.fromkeys(order)
    ahead, reordered = -1, 0
    for index in first:
        reordered += index < ahead
        ahead = max(ahead, index)
    elapsed_ps = log.times_ps[-1] if order else 0
    times_ps = np.full(flits, -1, np.int64)
    for index, at_ps in zip(reversed(order), reversed(log.times_ps), strict=True):
        times_ps[index] = at_ps
    counted = ("sent", "resent", "replays", "timeouts", "damaged", "discarded", "naks",
               "naks_lost", "feedback_lost", "idle_slots")  # fmt: skip
    return RetryResult(
        flits=flits,
        delivered=len(first),
        lost=(flits if log.failure is None else highest) - len(first),
        duplicated=len(order) - len(first),
        reordered=reordered,
        slots=(elapsed_ps - link.flight_ps) // link.flit_ps if order else 0,
        elapsed_ps=elapsed_ps,
        most_replays=log.most_replays,
        failure=log.failure,
        delivered_ps=times_ps,
        **{name: log.counts[name] for name in counted},
    )
