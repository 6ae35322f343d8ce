"""A message as numbers for compiled code, what a transport finds of it, and what a transport is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from linksim.network.messages import Transfer
from linksim.network.network import Network, Pair

Int64 = NDArray[np.int64]
NEVER = np.iinfo(np.int64).max
"""A time that does not come."""


@dataclass(eq=False)
class Message:
    """A transfer that is ready to be sent (times in ps)."""

    transfer: Transfer
    order: int
    """Place of the transfer among the run's tasks: who goes first where two come at one time."""
    links: tuple[int, ...]
    """The route, as places in the network's links."""
    flits: int
    ready_ps: int
    coding_start_ps: int
    ready_flits: Int64
    """Flits whose bytes are out when each encoded segment is out, rising: int64 [k]."""
    ready_at_ps: Int64
    """When that is: int64 [k]."""
    needed_flits: Int64
    """Flits that the decoder needs for each segment, rising: int64 [k]; empty without an engine."""
    occupancy_ps: Int64
    """Time each segment holds a decoder core: int64 [k]."""
    decoder_latency_ps: int

    @property
    def first_bytes_ps(self) -> int:
        """When the first flit's bytes are out of the encoder."""
        return int(self.ready_at_ps[np.searchsorted(self.ready_flits, 1)])


@dataclass(eq=False)
class Passed:
    """What a transport found of a message (times in ps), see `linksim.network.summary.Times`."""

    message: Message
    turn_ps: int
    first_flit_ps: int
    sent_ps: int
    starved_ps: int
    credit_stall_ps: int
    arrived_ps: int
    delivered_ps: int

    @property
    def transfer(self) -> Transfer:
        """The transfer itself."""
        return self.message.transfer

    @property
    def flits(self) -> int:
        """Flits that it takes."""
        return self.message.flits

    @property
    def ready_ps(self) -> int:
        """When it was ready to be coded or sent."""
        return self.message.ready_ps

    @property
    def coding_start_ps(self) -> int:
        """When its coding began."""
        return self.message.coding_start_ps

    @property
    def first_bytes_ps(self) -> int:
        """When the first flit's bytes were out of the encoder."""
        return self.message.first_bytes_ps


class Transport(Protocol):
    """Carries messages over a network, as the reference's links, buffers and destinations do.

    Built from the network, decoder copies by link (0: no decoder), the seed of bit errors and
    whether to record flits.
    """

    def __init__(
        self, network: Network, decoders: Sequence[int], *, seed: int, record_flits: bool
    ) -> None: ...

    def submit(self, message: Message) -> None:
        """Take a message of one flit or more at its `ready_ps`; none comes earlier than another
        before it, and those of one time come in the order of their tasks."""

    def advance(self, limit_ps: int) -> list[Passed]:
        """Carry on until a message is known to be delivered, or before links decide at *limit_ps*.

        Everything that happens at *limit_ps* but the links' decisions is done; what is submitted at
        that time takes part in them. *limit_ps* never falls. NEVER: until nothing moves any more.
        Messages found may be delivered later than *limit_ps*.
        """

    def load(self, link: int) -> tuple[int, int, int, int]:
        """Flits, replays, credit stall in ps, and the decoder cores' work in ps of one link."""

    def blocked(self) -> list[tuple[Pair, Pair]]:
        """Of every receive buffer with flits that wait: their link, and the one they wait for."""

    def flit_starts(self) -> Any:
        """Start, task, hop and flit of every flit on every link, where recorded: int64 [n, 4]."""
