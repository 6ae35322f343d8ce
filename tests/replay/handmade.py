"""Results put together by hand, so that every figure in a table is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linksim.links import link_preset
from linksim.network import LinkResult, RunResult, TransferResult
from linksim.replay.metrics import measure
from linksim.replay.run import ScenarioResult
from tests.replay.synthetic import FIXED, OFF, scenario


def transfer(
    event: str = "e",
    *,
    ready: int = 0,
    shares: tuple[int, int, int, int] = (0, 0, 100, 0),
    raw: int = 1000,
    encoded: int | None = None,
    name: str = "send",
) -> TransferResult:
    """One hop of *event*; *shares* are queueing, encode, wire and decode in ps."""
    delivered = ready + sum(shares)
    return TransferResult(
        id=f"{event}/{name}",
        event=event,
        source="a",
        destination="b",
        hops=1,
        raw_nbytes=raw,
        encoded_nbytes=raw if encoded is None else encoded,
        flits=4,
        wire_nbytes=1024,
        ready_ps=ready,
        first_flit_ps=ready + shares[0] + shares[1],
        last_flit_sent_ps=delivered - shares[3],
        arrived_ps=delivered - shares[3],
        delivered_ps=delivered,
        queueing_ps=shares[0],
        encode_ps=shares[1],
        wire_ps=shares[2],
        decode_ps=shares[3],
        credit_stall_ps=0,
        network_wait_ps=0,
    )


def run_result(
    transfers: Sequence[TransferResult], energy: float | None = None, **link: Any
) -> RunResult:
    """A run of *transfers* over the one link a to b; *link* are fields of its result."""
    makespan = max(t.delivered_ps for t in transfers)
    busy = sum(t.wire_ps for t in transfers)
    fields: dict[str, Any] = {
        "source": "a",
        "destination": "b",
        "preset": "test",
        "transfers": len(transfers),
        "raw_nbytes": sum(t.raw_nbytes for t in transfers),
        "encoded_nbytes": sum(t.encoded_nbytes for t in transfers),
        "wire_nbytes": sum(t.wire_nbytes for t in transfers),
        "replays": 0,
        "busy_ps": busy,
        "credit_stall_ps": 0,
        "statistics_busy_ps": 0,
        "encoder_busy_ps": 0,
        "decoder_busy_ps": 0,
        "utilization": busy / makespan,
        "energy_pj": energy,
        "engine_energy_pj": None,
    }
    return RunResult(tuple(transfers), (), (LinkResult(**fields | link),), makespan)


def scenario_result(runs: dict[str, RunResult], **changes: Any) -> ScenarioResult:
    """*runs* by name, the first of them codec off."""
    named = [{**(FIXED if index else OFF), "name": name} for index, name in enumerate(runs)]
    chosen = scenario("pipeline", named, **changes)
    metrics = [measure(run.name, run.codec, None, runs[run.name]) for run in chosen.run]
    return ScenarioResult(chosen, "by-hand", link_preset(chosen.link), tuple(metrics), runs)


def swept(latencies: dict[str, dict[int, int]], **changes: Any) -> ScenarioResult:
    """A sweep: per run the latency in ps of every message size in bytes."""
    runs = {
        run: run_result([transfer(str(n), shares=(0, 0, ps, 0), raw=n) for n, ps in of.items()])
        for run, of in latencies.items()
    }
    sizes = sorted(next(iter(latencies.values())))
    return scenario_result(runs, sweep={"kind": "residual", "message_nbytes": sizes}, **changes)
