"""The receive buffers of a node that forwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import simpy

from linksim.network.network import Pair
from linksim.network.reference.journey import Journey, Passage
from linksim.network.reference.link import LinkModel


class ReceiveBuffer:
    """One virtual channel's buffer at the far end of a link, first in, first out.

    A flit can be sent on `forwarding_ps` after it came. The message at the head asks for its next
    link; one behind it does so when the last flit before it has left, from the next picosecond on.
    """

    def __init__(
        self,
        env: simpy.Environment,
        link: LinkModel,
        channel: int,
        forwarding_ps: int,
        links: Mapping[Pair, LinkModel],
    ):
        self._env = env
        self._link = link
        self._channel = channel
        self._forwarding_ps = forwarding_ps
        self._links = links
        self._passages: deque[Passage] = deque()

    def accept(self, journey: Journey) -> None:
        """Take a flit of *journey* that has just arrived."""
        available_ps = int(self._env.now) + self._forwarding_ps
        if not self._passages or self._passages[-1].journey is not journey:
            hop = journey.route.index(self._link.ends) + 1
            self._passages.append(Passage(journey, hop, available_ps, [], self))
            if len(self._passages) == 1:
                self._next_link(self._passages[0]).request(self._passages[0])
        passage = self._passages[-1]
        passage.available_ps.append(available_ps)
        if passage.channel >= 0:
            self._next_link(passage).wake(available_ps)

    def left(self, passage: Passage) -> None:
        """A flit of *passage*, the message at the head, leaves now."""
        now_ps = int(self._env.now)
        self._link.return_credit(
            self._channel, max(now_ps, now_ps + 1 - self._link.preset.flight_ps)
        )
        if passage.sent == passage.journey.flits:
            self._passages.popleft()
            if self._passages:
                head = self._passages[0]
                head.requested_ps = max(head.requested_ps, now_ps + 1)
                self._next_link(head).request(head)

    def wants(self) -> tuple[Pair, Pair] | None:
        """Link that the flits came over and the one they wait for; None where there are none."""
        if not self._passages:
            return None
        return self._link.ends, self._next_link(self._passages[0]).ends

    def _next_link(self, passage: Passage) -> LinkModel:
        return self._links[passage.journey.route[passage.hop]]
