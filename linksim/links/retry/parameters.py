"""What a link layer with retry is made of, how its wires err, and what a run of it found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.links.retry.draws import threshold_of
from linksim.units import ceil_div

Protocol = Literal["go-back-n", "per-packet"]

UCIE_SEQUENCE_BITS = 8
UCIE_TIMER_FLITS = 375
"""UCIe Specification 3.0, chapter 3: 8-bit sequence numbers, replay timer of 375 flit times."""


@dataclass(frozen=True, kw_only=True)
class RetryLink:
    """Both directions of a link whose flits are sent again until they arrive whole.

    Time is cut into slots of one flit, the same for both directions. Every *ack_slots*-th flit of
    the other direction carries the number that the receiver waits for, as an Ack or a Nak.

    Raises LinksimError for values that make no link, a window that confuses sequence numbers, and a
    replay timer that ends before an answer can be there.
    """

    flit_ps: int
    """Time a flit occupies the wire."""
    flight_ps: int
    """One way from the end of a flit to the receiver's verdict, the same in both directions."""
    protocol: Protocol = "go-back-n"
    sequence_bits: int = UCIE_SEQUENCE_BITS
    window_flits: int | None = None
    """Flits that may wait for an Ack. None: 2^(bits - 1) - 1 under go-back-N, the rule of PCI
    Express' flit mode that UCIe takes over (127 for 8 bits); 2^(bits - 1) per packet."""
    timer_flits: int = UCIE_TIMER_FLITS
    """Slots without progress after which the sender replays."""
    maximum_replays: int = 8
    """Times that the same flit may be replayed; if that is not enough the link has failed."""
    ack_slots: int = 1
    """Slots between two flits that carry an Ack or Nak. UCIe alternates them with flits that carry
    their own number: 2."""
    repeats_nak: bool = False
    """False: a gap is reported by one Nak, as in PCI Express; where it is lost, or the replay is
    damaged again, the timer acts. True: every flit back is a Nak until the replay is there."""

    def __post_init__(self) -> None:
        for name, least in (
            ("flit_ps", 1),
            ("flight_ps", 0),
            ("sequence_bits", 2),
            ("maximum_replays", 1),
            ("ack_slots", 1),
        ):
            if getattr(self, name) < least:
                raise LinksimError(
                    f"retry: {name}: {getattr(self, name)}: expected {least} or more"
                )
        if self.protocol not in ("go-back-n", "per-packet"):
            raise LinksimError(
                f"retry: protocol: {self.protocol!r}: expected go-back-n or per-packet"
            )
        if self.sequence_bits > 20:
            raise LinksimError(f"retry: sequence_bits: {self.sequence_bits}: expected 2 to 20")
        if not 1 <= self.window <= self.largest_window:
            raise LinksimError(
                f"retry: window_flits: {self.window}: expected 1 to {self.largest_window}, or "
                f"{self.protocol} takes an old flit for a new one"
            )
        if self.timer_flits < self.round_trip_slots + self.ack_slots:
            raise LinksimError(
                f"retry: timer_flits: {self.timer_flits}: expected at least "
                f"{self.round_trip_slots + self.ack_slots}, the time until an answer is there"
            )

    @property
    def modulus(self) -> int:
        """How many sequence numbers there are."""
        return 1 << self.sequence_bits

    @property
    def largest_window(self) -> int:
        """Beyond it an old flit could pass for a new one: 2^bits - 1; per packet 2^(bits - 1)."""
        return self.modulus - 1 if self.protocol == "go-back-n" else self.modulus // 2

    @property
    def window(self) -> int:
        """Flits that may wait for an Ack."""
        if self.window_flits is not None:
            return self.window_flits
        return self.modulus // 2 - (self.protocol == "go-back-n")

    @property
    def forward_slots(self) -> int:
        """From a flit's slot to the first slot of the other direction that can answer it."""
        return 1 + ceil_div(self.flight_ps, self.flit_ps)

    @property
    def round_trip_slots(self) -> int:
        """From a flit's slot to the first in which the sender can act upon the answer.

        Up to ack_slots - 1 more where the answer waits for a flit that may carry it.
        """
        return 2 * self.forward_slots


@dataclass(frozen=True, kw_only=True)
class FlitErrors:
    """How the wires of a link err.

    Raises LinksimError for probabilities outside 0 to 1 and bursts shorter than a flit, seeds
    of more than 63 bits.
    """

    event_probability: float
    """That an error event begins in a slot."""
    burst_flits: int = 1
    """Consecutive slots that an event spoils."""
    backward_event_probability: float | None = None
    """The same of the direction of Acks and Naks. None: as forward."""
    seed: int = 0
    link_index: int = 0
    by_flit: bool = False
    """Forward errors are drawn by flit and attempt instead of by slot (see `flit_fails`)."""

    def __post_init__(self) -> None:
        threshold_of(self.event_probability)
        threshold_of(self.backward_probability)
        if self.burst_flits < 1:
            raise LinksimError(f"errors: burst_flits: {self.burst_flits}: expected 1 or more")
        if not 0 <= self.seed < 1 << 63:
            raise LinksimError(f"errors: seed: {self.seed}: expected 0 to 2^63 - 1")

    @property
    def backward_probability(self) -> float:
        """That an error event begins in a slot of the direction of Acks and Naks."""
        given = self.backward_event_probability
        return self.event_probability if given is None else given


@dataclass(frozen=True)
class LinkFailure:
    """Why a link was given up."""

    flit: int
    """The flit that did not get through, counted from 0."""
    replays: int
    """How often it was sent again."""
    at_ps: int

    def __str__(self) -> str:
        return (
            f"the link failed at {self.at_ps / 1e3:.3f} ns: flit {self.flit} was sent again "
            f"{self.replays} times and never acknowledged"
        )


@dataclass(frozen=True)
class RetryResult:
    """What came out of a run; counts are of flits unless said otherwise."""

    flits: int
    """To be sent."""
    delivered: int
    """Handed on by the receiver."""
    lost: int
    """Of those before the last one handed on, how many never were."""
    duplicated: int
    """Handed on a second time."""
    reordered: int
    """Handed on after a later one."""
    slots: int
    """From the start up to the end of the last delivered flit's transmission."""
    elapsed_ps: int
    """When the last flit was handed on."""
    sent: int
    """Transmissions."""
    resent: int
    """Transmissions but the first of each flit."""
    replays: int
    """Times the sender went back, or per packet sent one again."""
    timeouts: int
    """Of them, because the timer ended."""
    damaged: int
    """Transmissions that arrived damaged."""
    discarded: int
    """Transmissions that arrived whole and were of no use."""
    naks: int
    """Naks sent."""
    naks_lost: int
    """Of them, damaged."""
    feedback_lost: int
    """Flits with an Ack or Nak that arrived damaged."""
    idle_slots: int
    """Slots in which nothing was sent, because the window was full."""
    most_replays: int
    """Of one flit."""
    failure: LinkFailure | None
    delivered_ps: NDArray[np.int64] = field(repr=False, compare=False)
    """When each flit was handed on, if recorded: int64 [flits], else [0]."""

    @property
    def slots_per_flit(self) -> float:
        """Slots taken per delivered flit; without errors 1."""
        return self.slots / self.delivered if self.delivered else math.inf
