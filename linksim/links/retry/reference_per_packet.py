"""The readable reference of per-packet retry, on the wires of `linksim.links.retry.reference`.

An answer carries the number that the receiver waits for, which acknowledges all packets before it,
and a verdict on every slot since the last answer: a packet came whole, came damaged, or none was
sent. The sender remembers what it sent in which slot. A packet whose slot was damaged is sent again
as soon as possible, before new ones; so is one of which nothing was heard for *timer_flits* slots
since it was sent last. The receiver keeps whole packets of the window until all before them are
there, and hands them on in order.

How NVLink does it is not published; this stands for its class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from linksim.links.retry.parameters import LinkFailure, RetryLink
from linksim.links.retry.reference import Answer, Flit, Log


@dataclass
class _Packet:
    """A packet that may have to be sent again."""

    flit: Flit
    sent_in: int
    acknowledged: bool = False
    waits: bool = False
    replays: int = 0


class PerPacketSender:
    """Keeps every packet until it is acknowledged."""

    def __init__(self, link: RetryLink, payloads: Sequence[bytes], log: Log):
        self._link, self._payloads, self._log = link, payloads, log
        self._acked = self._next = 0
        self._packets: dict[int, _Packet] = {}
        self._waiting: deque[_Packet] = deque()
        self._sent_in: dict[int, _Packet] = {}

    def hear(self, answer: Answer | None, now_ps: int) -> None:
        """Take the answer that has come; None: it was damaged."""
        if answer is None:
            return
        advance = (answer.number - self._acked) % self._link.modulus
        for index in range(self._acked, self._acked + advance):
            self._packets.pop(index).acknowledged = True
        self._acked += advance
        for slot in answer.whole_slots:
            self._sent_in[slot].acknowledged = True
        for slot in answer.damaged_slots:
            packet = self._sent_in[slot]
            if packet.sent_in == slot and not packet.acknowledged:
                self._let_wait(packet)

    def watch_timer(self, now_ps: int) -> None:
        """Send again what was sent a timer ago, if nothing was heard of it."""
        slot = now_ps // self._link.flit_ps - self._link.timer_flits
        packet = self._sent_in.get(slot)
        if packet and packet.sent_in == slot and not (packet.acknowledged or packet.waits):
            self._log.counts["timeouts"] += 1
            self._let_wait(packet)

    def _let_wait(self, packet: _Packet) -> None:
        if not packet.waits:
            packet.waits = True
            self._waiting.append(packet)

    def send(self, now_ps: int) -> Flit | None:
        """The packet of this slot; None: nothing may be sent."""
        slot = now_ps // self._link.flit_ps
        while self._waiting:
            packet = self._waiting.popleft()
            if packet.acknowledged:
                packet.waits = False
                continue
            if packet.replays == self._link.maximum_replays:
                self._log.failure = LinkFailure(packet.flit.index, packet.replays, now_ps)
                return None
            packet.replays += 1
            packet.waits, packet.sent_in = False, slot
            self._log.most_replays = max(self._log.most_replays, packet.replays)
            self._log.counts["replays"] += 1
            self._log.counts["resent"] += 1
            self._sent_in[slot] = packet
            return packet.flit
        index = self._next
        if index >= len(self._payloads) or index - self._acked >= self._link.window:
            return None
        flit = Flit(index, index % self._link.modulus, self._payloads[index])
        self._packets[index] = self._sent_in[slot] = _Packet(flit, slot)
        self._next += 1
        return flit


class PerPacketReceiver:
    """Takes packets in any order within the window, hands them on in theirs."""

    def __init__(self, link: RetryLink, log: Log):
        self._link, self._log = link, log
        self._expected = 0
        self._held: dict[int, Flit] = {}
        self._damaged: list[int] = []
        self._whole: list[int] = []

    @property
    def taken(self) -> int:
        """Packets handed on so far."""
        return self._expected

    def wants(self, flit: Flit) -> bool:
        """Whether *flit* is in the window and not there yet."""
        return self._in_window(flit.number) and flit.number not in self._held

    def _in_window(self, number: int) -> bool:
        return (number - self._expected) % self._link.modulus < self._link.window

    def take(self, flit: Flit | None, slot: int, now_ps: int) -> None:
        """Judge what came of *slot*; None: it was damaged."""
        if flit is None:
            self._damaged.append(slot)
            self._log.counts["naks"] += 1
            return
        self._whole.append(slot)
        if not self.wants(flit):
            self._log.counts["discarded"] += 1
            return
        self._held[flit.number] = flit
        while (number := self._expected % self._link.modulus) in self._held:
            self._log.hand_on(self._held.pop(number), now_ps)
            self._expected += 1

    def answer(self) -> Answer:
        """What the next flit back carries."""
        number = self._expected % self._link.modulus
        answer = Answer(number, False, tuple(self._damaged), tuple(self._whole))
        self._damaged, self._whole = [], []
        return answer
