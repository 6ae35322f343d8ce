"""What a run is judged by."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from linksim.engines import EngineRecord
from linksim.network import RunResult, TransferResult
from linksim.units import gbytes_per_s


@dataclass(frozen=True)
class RunMetrics:
    """Figures of one run. Times in ps, sizes in bytes.

    An *event* is a whole send or collective: its latency runs from its first hop being ready to its
    last hop being delivered. A *transfer* is one hop on one link; its queueing, encode, wire and
    decode shares add up to its latency.
    """

    run: str
    codec: str
    engine: str | None
    transfers: int
    events: int
    raw_nbytes: int
    encoded_nbytes: int
    wire_nbytes: int
    """Flits or packets, headers, CRC and padding included."""
    event_p50_ps: int
    event_p95_ps: int
    event_p99_ps: int
    event_max_ps: int
    queueing_ps: float
    """Mean per transfer, as the three below."""
    encode_ps: float
    wire_ps: float
    decode_ps: float
    credit_stall_ps: int
    replays: int
    """Flits sent again, all links."""
    makespan_ps: int
    effective_gbytes_per_s: float
    """Uncompressed bytes over time under way, all transfers together."""
    link_utilization: float
    """Of the busiest link, over the makespan."""
    bottleneck: str
    link_energy_pj: float | None
    engine_energy_pj: float | None
    engine_area_um2: float | None
    """Encoder and decoder of one direction of one link."""
    snr_db: float | None = None
    """Signal to noise ratio, in dB, of what communications end with. None: nothing is changed, or
    a sweep."""

    @property
    def saved_percent(self) -> float:
        """Share of the uncompressed bytes that the codec saves, before flits."""
        return 100 * (1 - self.encoded_nbytes / max(1, self.raw_nbytes))

    def document(self) -> dict[str, Any]:
        """All fields and derived figures, JSON-able."""
        return asdict(self) | {"saved_percent": round(self.saved_percent, 3)}


def measure(
    run: str,
    codec: str,
    engine: EngineRecord | None,
    result: RunResult,
    snr_db: float | None = None,
) -> RunMetrics:
    """Sum up *result*; *snr_db* of what arrived, where the codec is lossy."""
    transfers = result.transfers
    latencies = np.array(list(event_latencies_ps(transfers).values()), np.int64)
    shares = {
        name: float(np.mean([getattr(t, name) for t in transfers]))
        for name in ("queueing_ps", "encode_ps", "wire_ps", "decode_ps")
    }
    raw_nbytes = sum(t.raw_nbytes for t in transfers)
    areas = (engine.encoder_area_um2, engine.decoder_area_um2) if engine else (0.0,)
    return RunMetrics(
        run=run,
        codec=codec,
        engine=engine.name if engine else None,
        transfers=len(transfers),
        events=len(latencies),
        raw_nbytes=raw_nbytes,
        encoded_nbytes=sum(t.encoded_nbytes for t in transfers),
        wire_nbytes=sum(t.wire_nbytes for t in transfers),
        event_p50_ps=_percentile(latencies, 50),
        event_p95_ps=_percentile(latencies, 95),
        event_p99_ps=_percentile(latencies, 99),
        event_max_ps=int(latencies.max()),
        **shares,
        credit_stall_ps=sum(link.credit_stall_ps for link in result.links),
        replays=sum(link.replays for link in result.links),
        makespan_ps=result.makespan_ps,
        effective_gbytes_per_s=gbytes_per_s(
            raw_nbytes, sum(t.delivered_ps - t.ready_ps for t in transfers)
        ),
        link_utilization=max(link.utilization for link in result.links),
        bottleneck=result.bottleneck,
        link_energy_pj=_sum_known(link.energy_pj for link in result.links),
        engine_energy_pj=_sum_known(link.engine_energy_pj for link in result.links),
        engine_area_um2=_sum_known(areas),
        snr_db=snr_db,
    )


def event_latencies_ps(transfers: tuple[TransferResult, ...]) -> dict[str, int]:
    """Latency of every event: first hop ready to last hop delivered."""
    ready: dict[str, int] = {}
    delivered: dict[str, int] = defaultdict(int)
    for transfer in transfers:
        ready[transfer.event] = min(ready.get(transfer.event, transfer.ready_ps), transfer.ready_ps)
        delivered[transfer.event] = max(delivered[transfer.event], transfer.delivered_ps)
    return {event: delivered[event] - ready[event] for event in ready}


def _percentile(values: np.ndarray[Any, np.dtype[np.int64]], percent: float) -> int:
    """The smallest value that at least *percent* of the values do not exceed."""
    return int(np.percentile(values, percent, method="inverted_cdf"))


def _sum_known(values: Any) -> float | None:
    listed = list(values)
    return None if any(value is None for value in listed) else float(sum(listed))
