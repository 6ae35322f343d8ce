"""One directed link as SimPy processes: encoder, transmitter, wire, receive buffer, decoder."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import simpy

from linksim.engines import EngineRecord
from linksim.links import LinkPreset
from linksim.network.endpoints import Cores, Credits, Encoder
from linksim.network.messages import Coding, Transfer
from linksim.network.results import LinkResult, TransferResult

Process = Generator[simpy.Event, Any, None]


@dataclass
class _Message:
    """A transfer on its way, and what is known of it so far (times in ps)."""

    transfer: Transfer
    flits: int
    ready_ps: int
    coding_start_ps: int
    flit_ready_ps: list[int]
    """When the last payload byte of each flit is there."""
    turn_ps: int = 0
    """When the transmitter came to it."""
    first_flit_ps: int = 0
    sent_ps: int = 0
    starved_ps: int = 0
    """Time the wire waited for the bytes of flits after the first."""
    credit_stall_ps: int = 0
    arrived: int = 0
    """Flits in the receiver so far."""
    arrived_ps: int = 0


class Channel:
    """A directed link with the engines at its ends.

    Messages are sent in the order of `submit`, the flits of one without a gap for another. A flit
    starts when its last payload byte is there, a credit is at hand and the wire is free; it holds
    the wire for `flit_ps` and is in the receiver's buffer `flight_ps` later. A flit that leaves the
    buffer sends its credit back, `flight_ps` on the way.

    Without an engine flits leave the buffer at once. With one, the decoder has room for the
    segments its cores work on and for the one being gathered: flits of that one leave the buffer,
    later ones stay in it. A gathered segment waits for a free core, holds it for its occupancy and
    is out a latency later. Since gathering empties the buffer of any segment the decoder lacks,
    segments larger than the buffer pass, and the channel cannot deadlock.
    """

    def __init__(
        self,
        env: simpy.Environment,
        preset: LinkPreset,
        engine: EngineRecord | None,
        deliver: Callable[[TransferResult], None],
        sent: Callable[[], None],
    ):
        """*deliver* takes every message's result, *sent* is called after every flit."""
        self._env = env
        self._preset = preset
        self._engine = engine
        self._deliver = deliver
        self._sent = sent
        self._results: list[TransferResult] = []
        self._coded_nbytes = 0
        self._flit_ps = preset.flit_ps
        self._flight_ps = preset.flight_ps
        self._credits = Credits(env, preset.credits)
        self._outbox = simpy.Store(env)
        self._inbox = simpy.Store(env)
        self._arrival = env.event()
        env.process(self._transmit())
        if engine is not None:
            self._encoder = Encoder(engine)
            self._decoder = Cores(engine.replicas)
            env.process(self._receive(engine))

    def submit(self, transfer: Transfer) -> None:
        """Take a transfer that is ready now. An empty message is delivered at once, for nothing."""
        now_ps, coding = int(self._env.now), transfer.coding
        flits = self._preset.flits(coding.wire_total)
        if coding.engine is None or not flits:
            message = _Message(transfer, flits, now_ps, now_ps, [now_ps] * flits)
        else:
            self._coded_nbytes += coding.raw_total
            start_ps, out_ps = self._encoder.encode(now_ps, coding.raw_nbytes.tolist())
            message = _Message(transfer, flits, now_ps, start_ps, self._flit_times(coding, out_ps))
        if flits:
            self._outbox.put(message)
        else:
            message.turn_ps = message.first_flit_ps = message.sent_ps = now_ps
            message.arrived_ps = now_ps
            self._finish(message)

    def _flit_times(self, coding: Coding, out_ps: list[int]) -> list[int]:
        """When each flit's last payload byte is out, given when each segment is: ps, [flits]."""
        ends = coding.wire_nbytes.cumsum()
        payload = self._preset.flit.payload_nbytes
        last_bytes = np.arange(payload, ends[-1] + payload, payload).clip(max=ends[-1])
        segments = np.searchsorted(ends, last_bytes)
        return [out_ps[segment] for segment in segments.tolist()]

    def _transmit(self) -> Process:
        while True:
            message: _Message = yield self._outbox.get()
            message.turn_ps = int(self._env.now)
            if message.transfer.coding.engine is not None:
                self._inbox.put(message)
            for flit in range(message.flits):
                yield from self._send(message, flit)
            message.sent_ps = int(self._env.now)

    def _send(self, message: _Message, flit: int) -> Process:
        env = self._env
        missing_ps = message.flit_ready_ps[flit] - int(env.now)
        if missing_ps > 0:
            yield env.timeout(missing_ps)
            message.starved_ps += missing_ps if flit else 0
        if not self._credits.free:
            asked_ps = int(env.now)
            yield self._credits.one()
            message.credit_stall_ps += int(env.now) - asked_ps
        self._credits.free -= 1
        if flit == 0:
            message.first_flit_ps = int(env.now)
        yield env.timeout(self._flit_ps)
        self._sent()
        self._later(self._flight_ps, partial(self._arrive, message))

    def _arrive(self, message: _Message) -> None:
        message.arrived += 1
        message.arrived_ps = int(self._env.now)
        if message.transfer.coding.engine is None:
            self._return_credits(1)
            if message.arrived == message.flits:
                self._finish(message)
        elif not self._arrival.triggered:
            self._arrival.succeed()

    def _receive(self, engine: EngineRecord) -> Process:
        """Gather segments and hand them to the decoder's cores, message by message."""
        env, stage = self._env, engine.decoder
        while True:
            message: _Message = yield self._inbox.get()
            coding = message.transfer.coding
            gathered, out_ps = 0, int(env.now)
            for end, nbytes in zip(
                coding.wire_nbytes.cumsum().tolist(), coding.raw_nbytes.tolist(), strict=True
            ):
                needed = self._preset.flits(end)
                while gathered < needed:
                    if message.arrived == gathered:
                        self._arrival = env.event()
                        yield self._arrival
                    pulled = min(message.arrived, needed) - gathered
                    self._return_credits(pulled)
                    gathered += pulled
                occupancy_ps = stage.occupancy_ps(nbytes)
                start_ps = self._decoder.take(int(env.now), occupancy_ps)
                if start_ps > env.now:
                    yield env.timeout(start_ps - int(env.now))
                out_ps = max(out_ps, start_ps + occupancy_ps + stage.latency_ps)
            self._later(out_ps - int(env.now), partial(self._finish, message))

    def _return_credits(self, count: int) -> None:
        self._later(self._flight_ps, partial(self._credits.give, count))

    def _later(self, delay_ps: int, action: Callable[[], None]) -> None:
        self._env.timeout(delay_ps).callbacks = [lambda _: action()]

    def _finish(self, message: _Message) -> None:
        transfer, delivered_ps = message.transfer, int(self._env.now)
        bytes_ps = message.flit_ready_ps[0] if message.flits else message.ready_ps
        could_start_ps = max(bytes_ps, message.turn_ps)
        stall_before_ps = message.first_flit_ps - could_start_ps
        on_wire_ps = message.arrived_ps - message.first_flit_ps
        result = TransferResult(
            id=transfer.id,
            event=transfer.event,
            source=transfer.source,
            destination=transfer.destination,
            raw_nbytes=transfer.coding.raw_total,
            encoded_nbytes=transfer.coding.wire_total,
            flits=message.flits,
            wire_nbytes=message.flits * self._preset.flit.nbytes,
            ready_ps=message.ready_ps,
            first_flit_ps=message.first_flit_ps,
            last_flit_sent_ps=message.sent_ps,
            arrived_ps=message.arrived_ps,
            delivered_ps=delivered_ps,
            queueing_ps=message.coding_start_ps - message.ready_ps + could_start_ps - bytes_ps,
            encode_ps=bytes_ps - message.coding_start_ps + message.starved_ps,
            wire_ps=stall_before_ps + on_wire_ps - message.starved_ps,
            decode_ps=delivered_ps - message.arrived_ps,
            credit_stall_ps=message.credit_stall_ps,
        )
        self._results.append(result)
        self._deliver(result)

    def result(self, source: str, destination: str, makespan_ps: int) -> LinkResult:
        """Load of the link *source* to *destination* over a run of *makespan_ps*."""
        results, engine = self._results, self._engine
        flits = sum(result.flits for result in results)
        busy_ps = flits * self._flit_ps
        return LinkResult(
            source=source,
            destination=destination,
            preset=self._preset.name,
            transfers=len(results),
            raw_nbytes=sum(result.raw_nbytes for result in results),
            encoded_nbytes=sum(result.encoded_nbytes for result in results),
            wire_nbytes=flits * self._preset.flit.nbytes,
            busy_ps=busy_ps,
            credit_stall_ps=sum(result.credit_stall_ps for result in results),
            statistics_busy_ps=0 if engine is None else self._encoder.statistics_busy_ps,
            encoder_busy_ps=0 if engine is None else self._encoder.busy_ps,
            decoder_busy_ps=0 if engine is None else self._decoder.busy_ps,
            utilization=busy_ps / makespan_ps if makespan_ps else 0.0,
            energy_pj=self._preset.energy_pj(flits),
            engine_energy_pj=0.0 if engine is None else engine.energy_pj(self._coded_nbytes),
        )
