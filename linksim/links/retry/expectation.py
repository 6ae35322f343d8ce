"""Expected time of a flit under go-back-N, in closed form.

All flits are there from the start and the window never fills while nothing is wrong. Times are in
slots. Let e be the probability that an error event begins in a slot, B the slots it spoils, p = 1 -
(1 - e)^B that a slot is spoiled, D the round trip from a damaged flit to the replay, T the timer.

X, the slots from the end of one flit's last transmission to the end of the next one's, is 1 if that
one arrives whole at once. It does not with probability e: the slot before was whole, so no event
reaches into this one, it must begin in it. The replay comes D or more slots later; if B <= D, no
event of before reaches it, and it is damaged with probability p, as is each one after it.

- A Nak in every flit back (`repeats_nak`), none lost: every failure costs D, so
  E[X] = 1 + e D / (1 - p). For B = 1 that is the classic (1 + (D - 1) p) / (1 - p) of go-back-N
  with D flits in a round trip (Lin, Costello, Miller: Automatic-repeat-request error-control
  schemes, IEEE Communications Magazine 22(12), 1984). A lost Nak adds the wait for the next one.
- One Nak per gap: the first failure costs D, or with a lost Nak the timer, which counts from the
  Ack of the flit before; every damaged replay costs T. With f = 1 - (1 - e)^B of the other
  direction, E[X] = 1 + e ((1 - f) D + f (T + D - 1 + ...)) + e p / (1 - p) T. The dots are the wait
  for an Ack that is not lost.

How long losses last in the other direction follows from the Markov chain of how many slots are
still spoiled. Where not every flit carries an Ack or Nak, D depends on the slot's place between two
of them, and X is averaged over the stationary distribution of places, a second chain.

Left out, as they need hundreds of lost answers in a row: a timer that ends though nothing was
damaged, and one that ends before any of repeated Naks is heard. Failure of the link is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.links.retry.parameters import FlitErrors, RetryLink

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Expectation:
    """Mean and standard deviation of X, the slots that a delivered flit takes."""

    slots_per_flit: float
    deviation_slots: float
    failures: float
    """Expected gaps per flit."""
    timers: float
    """Expected ends of the replay timer per flit."""
    timer_slots: int

    def interval(self, flits: int, confidence: float = 0.99) -> tuple[float, float]:
        """Where the mean of *flits* flits lies with probability *confidence*, in slots.

        By the central limit theorem if a hundred gaps, and a hundred ends of the timer where it can
        end, are expected; else by the distribution of their Poisson numbers.
        """
        tail = (1 - confidence) / 2
        rarest = self.timers if self.timers else self.failures
        if flits * rarest >= _MANY or not self.failures:
            half = NormalDist().inv_cdf(1 - tail) * self.deviation_slots / math.sqrt(flits)
            return self.slots_per_flit - half, self.slots_per_flit + half
        trip = (self.slots_per_flit - 1 - self.timers * self.timer_slots) / self.failures
        gaps, gap_weights = _poisson(flits * self.failures)
        ends, end_weights = _poisson(flits * self.timers)
        slots = (trip * gaps[:, None] + self.timer_slots * ends).ravel()
        order = np.argsort(slots)
        below = np.cumsum((gap_weights[:, None] * end_weights).ravel()[order])
        places = np.searchsorted(below, (tail, 1 - tail)).clip(max=len(order) - 1)
        low, high = slots[order][places]
        # Half a gap to either side: the sum comes in steps.
        return 1 + float(low - trip / 2) / flits, 1 + float(high + trip / 2) / flits


_MANY = 100


def _poisson(mean: float) -> tuple[Vector, Vector]:
    """Numbers within eight deviations of *mean* (a thousand of them at most) and their shares."""
    reach = 8 * math.sqrt(mean) + 8
    step = max(1, round(reach / 500))
    numbers = np.arange(max(0, int(mean - reach)), mean + reach, step)
    if not mean:
        return np.zeros(1), np.ones(1)
    logs = numbers * math.log(mean) - np.array([math.lgamma(number + 1) for number in numbers])
    shares = np.exp(logs - logs.max())
    return np.asarray(numbers, np.float64), np.asarray(shares / shares.sum())


@dataclass(frozen=True)
class _Outage:
    """Slots from a flit's first damaged transmission to the whole one."""

    mean: float
    square: float
    timers: float
    """Expected ends of the replay timer."""
    places: Vector
    """Distribution of the place of the whole one: float64 [ack_slots]."""


def go_back_n_expectation(link: RetryLink, errors: FlitErrors) -> Expectation:
    """The expectation for *link* under *errors*.

    LinksimError where the derivation does not hold: another protocol, a burst longer than the round
    trip, a window shorter than it, no flit ever arriving whole.
    """
    _check(link, errors)
    acks = _Answers(link, errors)
    places = range(link.ack_slots)
    outages = [_outage(link, errors, acks, place) for place in places]
    begins = errors.event_probability
    step = np.zeros((link.ack_slots, link.ack_slots))
    for place in places:
        step[place, (place + 1) % link.ack_slots] += 1 - begins
        step[place] += begins * np.roll(outages[place].places, 1)
    weights = _stationary(step)
    mean = begins * sum(w * o.mean for w, o in zip(weights, outages, strict=True))
    square = begins * sum(w * o.square for w, o in zip(weights, outages, strict=True))
    timers = begins * sum(w * o.timers for w, o in zip(weights, outages, strict=True))
    deviation = math.sqrt(max(0.0, square - mean**2))
    return Expectation(float(1 + mean), deviation, begins, float(timers), link.timer_flits)


def per_packet_bound(errors: FlitErrors) -> float:
    """Slots per delivered packet if every damaged one cost one slot: 1 / (1 - p)."""
    return 1 / (1 - spoiled_share(errors.event_probability, errors.burst_flits))


def spoiled_share(event_probability: float, burst_flits: int) -> float:
    """Share of slots that are spoiled: 1 - (1 - e)^B."""
    if event_probability >= 1:
        return 1.0
    return -math.expm1(burst_flits * math.log1p(-event_probability))


def _check(link: RetryLink, errors: FlitErrors) -> None:
    if link.protocol != "go-back-n":
        raise LinksimError(f"expectation: protocol: {link.protocol}: expected go-back-n")
    if errors.burst_flits > link.round_trip_slots:
        raise LinksimError(
            f"expectation: burst_flits: {errors.burst_flits}: expected at most the round trip, "
            f"{link.round_trip_slots} flits"
        )
    longest = link.round_trip_slots + link.ack_slots - 1
    if link.window < longest:
        raise LinksimError(
            f"expectation: window_flits: {link.window}: expected at least {longest}, or the link "
            "stands still without errors"
        )
    if max(errors.event_probability, errors.backward_probability) >= 1:
        raise LinksimError("expectation: every flit is damaged: expected a probability below 1")


class _Answers:
    """The direction of Acks and Naks: which of its flits are lost, from one answer to the next.

    The state is the number of slots still spoiled, this one included; 0 is a whole one.
    """

    def __init__(self, link: RetryLink, errors: FlitErrors):
        begins, burst = errors.backward_probability, errors.burst_flits
        slot = np.zeros((burst + 1, burst + 1))
        for left in range(burst + 1):
            slot[left, burst] += begins
            slot[left, max(left - 1, 0)] += 1 - begins
        self.always = _stationary(slot)
        self.step: Vector = np.linalg.matrix_power(slot, link.ack_slots)
        still_lost = self.step[1:, 1:]
        wait = np.linalg.solve(np.eye(burst) - still_lost, np.ones(burst))
        again = np.linalg.solve(np.eye(burst) - still_lost, wait + still_lost @ wait)
        self.wait: Vector = np.concatenate(([0.0], wait))
        """Expected answers from a lost one to a whole one, by state."""
        self.wait_square: Vector = np.concatenate(([0.0], again))


def _outage(link: RetryLink, errors: FlitErrors, acks: _Answers, place: int) -> _Outage:
    """Outage that begins in a slot at *place*: so many slots behind one with an answer."""
    spoiled = errors.event_probability
    if not errors.by_flit:
        spoiled = spoiled_share(spoiled, errors.burst_flits)
    return (_with_every_nak if link.repeats_nak else _with_one_nak)(link, spoiled, acks, place)


def _with_every_nak(link: RetryLink, spoiled: float, acks: _Answers, place: int) -> _Outage:
    """Failures one after the other, each of a round trip and the wait for a Nak."""
    period = link.ack_slots
    later = link.forward_slots % period
    wait = period * float(acks.always @ acks.wait)
    variance = period**2 * float(acks.always @ acks.wait_square) - wait**2
    first, next_one = (_round_trip(link, at) + wait for at in (place, later))
    more = spoiled / (1 - spoiled)
    more_square = spoiled * (1 + spoiled) / (1 - spoiled) ** 2
    square = (
        first**2 + 2 * first * more * next_one + more_square * next_one**2 + (1 + more) * variance
    )
    return _Outage(first + more * next_one, square, 0.0, np.eye(period)[later])


def _with_one_nak(link: RetryLink, spoiled: float, acks: _Answers, place: int) -> _Outage:
    """One Nak; where it is lost, and for every damaged replay, the timer."""
    period, timer, trip = link.ack_slots, link.timer_flits, _round_trip(link, place)
    whole, lost = acks.always.copy(), acks.always.copy()
    whole[1:], lost[0] = 0, 0
    ways = [(float(whole[0]), float(trip), trip)]
    if (place - 1 + link.forward_slots) % period == 0:
        # The flit before was acknowledged by the answer before the Nak.
        acked = float((whole @ acks.step)[1:].sum())
        ways.append((acked, float(trip - period + timer), trip + timer))
        lost = lost @ acks.step
        lost[0] = 0
    if share := float(lost.sum()):
        wait = period * float(lost @ acks.wait) / share
        ways.append((share, trip + wait + timer, trip + timer))
    more = timer * spoiled / (1 - spoiled)
    more_square = timer**2 * spoiled * (1 + spoiled) / (1 - spoiled) ** 2
    mean = square = 0.0
    places = np.zeros(period)
    for share, slots, moved in ways:
        mean += share * (slots + more)
        square += share * (slots**2 + 2 * slots * more + more_square)
        places += share * _after_timers(period, place + moved, timer, spoiled)
    timers = 1 - ways[0][0] + more / timer
    return _Outage(mean, square, timers, places)


def _after_timers(period: int, place: int, timer: int, spoiled: float) -> Vector:
    """Where a replay at *place* gets through that is damaged with probability *spoiled* each."""
    places = np.zeros(period)
    moved = np.zeros((period, period))
    for at in range(period):
        moved[at, (at + timer) % period] = spoiled
    places[place % period] = 1 - spoiled
    return np.asarray(np.linalg.solve((np.eye(period) - moved).T, places))


def _round_trip(link: RetryLink, place: int) -> int:
    """From a damaged flit at *place* to its replay, if the first Nak is heard."""
    return link.round_trip_slots + (-(place + link.forward_slots)) % link.ack_slots


def _stationary(step: Vector) -> Vector:
    """The distribution that *step* [n, n], rows summing to 1, leaves as it is."""
    count = len(step)
    equations = np.vstack([step.T - np.eye(count), np.ones(count)])
    return np.asarray(np.linalg.lstsq(equations, np.eye(count + 1)[count], rcond=None)[0])
