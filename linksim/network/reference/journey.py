"""A message on its way: over all of its links, and over one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from linksim.network.messages import Transfer
from linksim.network.network import Pair

if TYPE_CHECKING:
    from linksim.network.reference.buffer import ReceiveBuffer


@dataclass(eq=False)
class Journey:
    """A transfer on its way, and what is known of it so far (times in ps)."""

    transfer: Transfer
    order: int
    """Place of the transfer among the run's tasks: who goes first where two come at one time."""
    route: tuple[Pair, ...]
    flits: int
    ready_ps: int
    coding_start_ps: int
    flit_ready_ps: list[int]
    """When the last payload byte of each flit is there."""
    turn_ps: int = 0
    """When the first link came to it."""
    first_flit_ps: int = 0
    sent_ps: int = 0
    """When its last flit has left the first link's transmitter."""
    starved_ps: int = 0
    """Time the first link waited for the bytes of flits after the first."""
    credit_stall_ps: int = 0
    """Time its flits waited for nothing but a credit at the first link."""
    arrived: int = 0
    """Flits at the destination so far."""
    arrived_ps: int = 0

    @property
    def first_bytes_ps(self) -> int:
        """When the first flit's bytes are out of the encoder."""
        return self.flit_ready_ps[0] if self.flits else self.ready_ps


@dataclass(eq=False)
class Passage:
    """A message's way over one link: which of its flits are there to be sent, and which were."""

    journey: Journey
    hop: int
    """Place of the link on the message's route."""
    requested_ps: int
    """When it asked for a virtual channel."""
    available_ps: list[int]
    """When each flit that is known of can be sent, in order."""
    buffer: ReceiveBuffer | None = None
    """What its flits leave when they are sent; None: they start here."""
    channel: int = -1
    """The virtual channel it has on this link; -1: none yet."""
    sent: int = 0
    free_ps: int = 0
    """When its flit before this one had left the transmitter, or it got its virtual channel."""

    @property
    def next_ps(self) -> int | None:
        """When its next flit can be sent; None where that is not known yet, or all are sent."""
        return self.available_ps[self.sent] if self.sent < len(self.available_ps) else None
