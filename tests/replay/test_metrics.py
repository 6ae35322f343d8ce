"""What the figures of a run mean, on results put together by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.engines import engine_record
from linksim.replay.metrics import event_latencies_ps, measure
from tests.replay.handmade import run_result, transfer


def measured(latencies: list[int]):  # type: ignore[no-untyped-def]
    hops = [transfer(f"e{i}", shares=(0, 0, ps, 0)) for i, ps in enumerate(latencies)]
    return measure("run", "raw", None, run_result(hops))


@pytest.mark.parametrize(
    ("latencies", "p50", "p99"),
    [
        ([7], 7, 7),
        ([10, 20], 10, 20),
        ([30, 10, 20], 20, 30),
        (list(range(1, 101)), 50, 99),
        (list(range(1, 102)), 51, 100),
    ],
)
def test_percentiles_are_latencies_that_occurred(latencies: list[int], p50: int, p99: int) -> None:
    metrics = measured(latencies)
    assert (metrics.event_p50_ps, metrics.event_p99_ps) == (p50, p99)
    assert metrics.event_max_ps == max(latencies)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=300))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(latencies: list[int]) -> None:
    metrics, ordered = measured(latencies), sorted(latencies)
    assert metrics.event_p50_ps == ordered[math.ceil(0.5 * len(ordered)) - 1]
    assert metrics.event_p95_ps == ordered[math.ceil(95 * len(ordered) / 100) - 1]
    assert metrics.event_p99_ps == ordered[math.ceil(99 * len(ordered) / 100) - 1]


def test_an_event_lasts_from_its_first_hop_ready_to_its_last_delivered() -> None:
    hops = (
        transfer("sum", ready=50, shares=(0, 5, 20, 5), name="rs0"),
        transfer("other", ready=0, shares=(0, 0, 1000, 0)),
        transfer("sum", ready=40, shares=(3, 0, 20, 0), name="rs1"),
        transfer("sum", ready=80, shares=(0, 0, 35, 0), name="ag0"),
    )
    assert event_latencies_ps(hops) == {"sum": 115 - 40, "other": 1000}
    metrics = measure("run", "raw", None, run_result(hops))
    assert (metrics.events, metrics.transfers) == (2, 4)


def test_sums_and_means() -> None:
    hops = [
        transfer("a", shares=(10, 20, 300, 40), raw=1000, encoded=700),
        transfer("b", ready=100, shares=(30, 0, 100, 0), raw=500, encoded=350),
    ]
    metrics = measure("fixed", "huffman-fixed", None, run_result(hops, energy=12.5))
    assert (metrics.raw_nbytes, metrics.encoded_nbytes, metrics.wire_nbytes) == (1500, 1050, 2048)
    assert metrics.saved_percent == pytest.approx(30)
    means = (metrics.queueing_ps, metrics.encode_ps, metrics.wire_ps, metrics.decode_ps)
    assert means == (20, 10, 200, 20)
    # 1500 bytes in 370 + 130 ps under way: 3 bytes per ps.
    assert metrics.effective_gbytes_per_s == pytest.approx(3000)
    assert metrics.makespan_ps == 370
    assert metrics.link_utilization == pytest.approx(400 / 370)
    assert metrics.bottleneck == "link"
    assert metrics.link_energy_pj == 12.5
    assert metrics.document()["saved_percent"] == 30


def test_what_is_not_known_stays_so() -> None:
    metrics = measure("off", "raw", None, run_result([transfer()]))
    assert (metrics.link_energy_pj, metrics.engine_energy_pj) == (None, None)
    assert metrics.engine_area_um2 == 0
    single = measure(
        "f", "huffman-fixed", engine_record("single-stage-w32*2"), run_result([transfer()])
    )
    assert single.engine_area_um2 == pytest.approx(2 * (9474 + 9448))
    three = measure(
        "t", "huffman-three-stage", engine_record("three-stage-w32"), run_result([transfer()])
    )
    assert three.engine_area_um2 is None
    assert three.engine == "three-stage-w32"
