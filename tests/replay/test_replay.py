"""Whole replays against closed forms and against codecs called by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.codecs import HuffmanFixed, HuffmanThreeStage, TensorCodec, build_codebook
from linksim.engines import engine_record
from linksim.errors import LinksimError
from linksim.network import TransferResult
from linksim.replay.run import ScenarioResult, replay
from linksim.replay.schedule import select
from linksim.tensors.dtypes import cast, number_format
from linksim.tensors.histograms import histogram
from linksim.tensors.views import symbol_view
from linksim.traces import Trace, TraceWriter
from linksim.units import ceil_div
from tests.conftest import gaussian
from tests.replay.synthetic import (
    COMPUTE_PS,
    FIXED,
    KV_VALUES,
    LAYERS,
    OFF,
    RANKS,
    RESIDUAL_VALUES,
    THREE_STAGE,
    add_send,
    partial,
    residual,
    ring_messages,
    scenario,
    write_trace,
)

LINKS = {"ucie-advanced-x64-32": (1000, 2010, 256, 250), "nvlink4-h100": (320, 300_000, 144, 128)}
"""Serialization and flight of a flit in ps, its bytes, its payload: from the presets' figures.

256 B over 64 lanes of 32 Gbit/s; 144 B over 36 lanes of 106.25 Gbit/s x 16/17.
"""
EVERY_LINK = pytest.mark.parametrize("link", LINKS)


def transfers(result: ScenarioResult, run: str = "off") -> dict[str, TransferResult]:
    return {transfer.id: transfer for transfer in result.results[run].transfers}


def shares(transfer: TransferResult) -> tuple[int, int, int, int]:
    return transfer.queueing_ps, transfer.encode_ps, transfer.wire_ps, transfer.decode_ps


@EVERY_LINK
def test_codec_off_is_the_plain_link_to_the_picosecond(synthetic_trace: Trace, link: str) -> None:
    flit_ps, flight_ps, flit_nbytes, payload = LINKS[link]
    flits = ceil_div(2 * RESIDUAL_VALUES, payload)
    hop_ps = flits * flit_ps + flight_ps
    result = replay(scenario("pipeline", [OFF], link=link, from_batch=0), synthetic_trace)
    sent = transfers(result)
    for batch in range(3):
        for hop in range(2):
            transfer = sent[f"b{batch}.hop{hop}/send"]
            assert transfer.ready_ps == (batch + hop) * hop_ps
            assert transfer.delivered_ps == (batch + hop + 1) * hop_ps
            assert shares(transfer) == (0, 0, hop_ps, 0)
            assert (transfer.raw_nbytes, transfer.encoded_nbytes) == (6002, 6002)
            assert (transfer.flits, transfer.wire_nbytes) == (flits, flits * flit_nbytes)
    (metrics,) = result.metrics
    assert result.results["off"].makespan_ps == metrics.makespan_ps == 4 * hop_ps
    assert (metrics.event_p50_ps, metrics.event_p99_ps, metrics.event_max_ps) == (hop_ps,) * 3
    assert (metrics.events, metrics.transfers) == (6, 6)
    assert metrics.effective_gbytes_per_s == pytest.approx(6002 * 1e3 / hop_ps)


@EVERY_LINK
def test_messages_ready_at_once_queue_for_the_wire_alone(synthetic_trace: Trace, link: str) -> None:
    flit_ps, flight_ps, _, payload = LINKS[link]
    chosen = scenario("handoff", [OFF], link=link, topology="point-to-point")
    key, value = transfers(replay(chosen, synthetic_trace)).values()
    key_ps, value_ps = (ceil_div(2 * n, payload) * flit_ps for n in KV_VALUES.values())
    assert shares(key) == (0, 0, key_ps + flight_ps, 0)
    assert shares(value) == (key_ps, 0, value_ps + flight_ps, 0)
    assert value.delivered_ps == key_ps + value_ps + flight_ps


@settings(max_examples=15)
@given(counts=st.lists(st.integers(1, 4000), min_size=1, max_size=6))
def test_any_plain_messages_over_one_link_take_their_flits_and_one_flight(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("any") / "trace"
    with TraceWriter(path, "any") as writer:
        for index, count in enumerate(counts):
            writer.add_tensor(f"t{index}", gaussian(count), kind="residual")
            add_send(writer, f"e{index}", ("a", "b"), f"t{index}", "pipeline")
    result = replay(scenario("pipeline", [OFF], from_batch=0), Trace.open(path))
    flits = np.cumsum([ceil_div(2 * count, 250) for count in counts])
    delivered = [transfer.delivered_ps for transfer in transfers(result).values()]
    assert delivered == (flits * 1000 + 2010).tolist()


@EVERY_LINK
@pytest.mark.parametrize("compute", [True, False])
def test_all_reduces_and_computes_alternate_in_closed_form(
    synthetic_trace: Trace, link: str, compute: bool
) -> None:
    flit_ps, flight_ps, _, payload = LINKS[link]
    # 1000 values in three pieces of 334, 333 and 333; all take the same number of flits.
    assert ceil_div(2 * 334, payload) == ceil_div(2 * 333, payload)
    ring_ps = 2 * (len(RANKS) - 1) * (ceil_div(2 * 334, payload) * flit_ps + flight_ps)
    compute_ps = max(COMPUTE_PS.values()) if compute else 0
    chosen = scenario("prefill", [OFF], link=link, topology="ring", from_batch=0, compute=compute)
    result = replay(chosen, synthetic_trace)
    (metrics,) = result.metrics
    assert metrics.events == 3 * LAYERS
    assert metrics.transfers == 3 * LAYERS * 2 * (len(RANKS) - 1) * len(RANKS)
    assert metrics.event_p50_ps == metrics.event_max_ps == ring_ps
    assert metrics.makespan_ps == 3 * LAYERS * (compute_ps + ring_ps)
    assert metrics.queueing_ps == 0


def expected_messages(batch: int, phase: str) -> dict[str, tuple[str, int | None, np.ndarray]]:
    """Kind, layer and values of every message of *batch*, without linksim's collectives."""
    if phase == "pipeline":
        return {f"b{batch}.hop{hop}/send": ("residual", None, residual(batch)) for hop in range(2)}
    return {
        f"b{batch}.l{layer}.sum/{name}": ("ffn2_output_partial", layer, values)
        for layer in range(LAYERS)
        for name, values in ring_messages([partial(batch, layer, r) for r in range(3)]).items()
    }


def codec_by_hand(
    codec: str, view: str, profile: str, phase: str, layer: int | None, payload: int
) -> TensorCodec:
    """The codec a message should get: its book counted on the messages of batches 0 and 1."""
    chosen = symbol_view(view, number_format("bf16"))
    if codec == "huffman-three-stage":
        return HuffmanThreeStage("bf16", view, profile, payload_nbytes=payload)
    counts = [
        histogram(chosen.split(values)[0])
        for batch in range(2)
        for _, of_layer, values in expected_messages(batch, phase).values()
        if of_layer == layer
    ]
    book = build_codebook("by-hand", chosen, "any", counts)
    return HuffmanFixed([book], profile, payload_nbytes=payload)


@pytest.mark.parametrize("phase", ["pipeline", "prefill"])
@pytest.mark.parametrize("view", ["exponent", "pooled"])
@pytest.mark.parametrize("profile", ["link", "bulk"])
@pytest.mark.parametrize("codec", ["huffman-fixed", "huffman-three-stage"])
def test_sizes_are_those_of_real_encodings_of_the_hops_values(
    synthetic_trace: Trace, phase: str, view: str, profile: str, codec: str
) -> None:
    run = {"name": "coded", "codec": codec, "engine": "ideal", "view": view, "profile": profile}
    sent = transfers(replay(scenario(phase, [OFF, run]), synthetic_trace), "coded")
    expected = expected_messages(2, phase)
    assert set(sent) == set(expected)
    for name, (_, layer, values) in expected.items():
        by_hand = codec_by_hand(codec, view, profile, phase, layer, payload=250)
        encoded = by_hand.encode(values)
        assert by_hand.decode(encoded).tobytes() == values.tobytes()
        assert sent[name].raw_nbytes == values.nbytes
        assert sent[name].encoded_nbytes == by_hand.encoded_nbytes(values) == len(encoded)
        assert sent[name].flits == ceil_div(len(encoded), 250)


@EVERY_LINK
def test_an_ideal_engine_is_the_plain_replay_of_smaller_messages(
    synthetic_trace: Trace, link: str
) -> None:
    flit_ps, flight_ps, flit_nbytes, payload = LINKS[link]
    result = replay(scenario("pipeline", link=link), synthetic_trace)
    codec = codec_by_hand("huffman-fixed", "exponent", "link", "pipeline", None, payload)
    flits = ceil_div(len(codec.encode(residual(2))), payload)
    assert flits < ceil_div(2 * RESIDUAL_VALUES, payload)
    hop_ps = flits * flit_ps + flight_ps
    for hop in range(2):
        transfer = transfers(result, "fixed")[f"b2.hop{hop}/send"]
        assert (transfer.flits, transfer.wire_nbytes) == (flits, flits * flit_nbytes)
        assert transfer.encoded_nbytes == flits * payload
        assert transfer.delivered_ps == (hop + 1) * hop_ps
        assert shares(transfer) == (0, 0, hop_ps, 0)
    assert result.metrics[1].engine == "ideal"
    assert result.metrics[1].makespan_ps == 2 * hop_ps


def test_a_book_of_layer_or_kind_is_what_codes(synthetic_trace: Trace) -> None:
    # The layers differ eightfold in scale, so one book for both is worse than one for each.
    runs = [OFF, {**FIXED, "profile": "bulk"}]
    of = {
        books: replay(scenario("prefill", runs, codebooks=books), synthetic_trace).metrics[1]
        for books in ("layer", "kind")
    }
    assert of["layer"].encoded_nbytes < of["kind"].encoded_nbytes < of["kind"].raw_nbytes


def saved_percent(trace: Trace) -> float:
    """What a fixed book saves on batch 2 of the pipeline phase, bulk profile."""
    result = replay(scenario("pipeline", [OFF, {**FIXED, "profile": "bulk"}]), trace)
    return result.metrics[1].saved_percent


def test_codebooks_are_never_built_on_the_replayed_batches(
    tmp_path: Path, synthetic_trace: Trace
) -> None:
    changed = write_trace(tmp_path / "changed", scales=(0.02, 0.02, 2e6))
    # A book that had seen batch 2 would shrink it; this is what the test below would not let pass.
    everything = [
        m.hop.values for m in select(changed, scenario("pipeline", from_batch=0).select).messages
    ]
    view = symbol_view("exponent", number_format("bf16"))
    counts = [histogram(view.split(values)[0]) for values in everything]
    seen_it = HuffmanFixed([build_codebook("all", view, "all", counts)])
    assert seen_it.encoded_nbytes(residual(2, 2e6)) < 0.8 * 2 * RESIDUAL_VALUES

    assert saved_percent(synthetic_trace) > 25
    assert saved_percent(changed) <= 0


def test_the_replayed_batches_have_no_say_in_what_earlier_ones_cost(tmp_path: Path) -> None:
    traces = [write_trace(tmp_path / f"{last}", scales=(0.02, 0.02, last)) for last in (0.02, 50.0)]
    chosen = scenario("pipeline", from_batch=1)
    first, second = (
        transfers(replay(chosen, trace), "fixed")["b1.hop0/send"].encoded_nbytes for trace in traces
    )
    assert first == second < 2 * RESIDUAL_VALUES


ENGINE = """
name = "counts"
description = "Codes for nothing once the codebook is built."
codecs = ["huffman-three-stage"]
[encoder]
latency_cycles = 0
bytes_per_cycle = "unlimited"
clock_hz = 1_000_000_000
[decoder]
latency_cycles = 0
bytes_per_cycle = "unlimited"
clock_hz = 1_000_000_000
[statistics]
count_bytes_per_cycle = 64
build_cycles = 768
"""


def test_three_stage_pays_for_counting_building_and_the_codebook(
    synthetic_trace: Trace, tmp_path: Path
) -> None:
    file = tmp_path / "counts.toml"
    file.write_text(ENGINE)
    runs = [OFF, THREE_STAGE, {**THREE_STAGE, "name": "counting", "engine": str(file)}]
    result = replay(scenario("pipeline", runs), synthetic_trace)
    free = transfers(result, "three-stage")["b2.hop0/send"]
    paid = transfers(result, "counting")["b2.hop0/send"]
    # Counting 6002 bytes at 64 per cycle and 768 cycles of building, at 1 GHz.
    assert paid.encode_ps == (94 + 768) * 1000
    assert free.encode_ps == 0
    assert paid.delivered_ps == free.delivered_ps + paid.encode_ps
    assert paid.encoded_nbytes == free.encoded_nbytes
    # The codebook takes a flit of its own in front of the chunks.
    codec = HuffmanThreeStage("bf16", "exponent", "link", payload_nbytes=250)
    segments = codec.segments(residual(2))
    assert (segments.raw_nbytes[0], segments.wire_nbytes[0]) == (0, 250)
    assert free.flits == len(segments.wire_nbytes)


@pytest.mark.parametrize("copies", [1, 8])
def test_shipped_engines_start_when_their_records_say(synthetic_trace: Trace, copies: int) -> None:
    runs = [
        OFF,
        {**FIXED, "engine": f"single-stage-w32*{copies}"},
        {**THREE_STAGE, "engine": f"three-stage-w32*{copies}"},
    ]
    result = replay(scenario("pipeline", runs), synthetic_trace)
    codec = codec_by_hand("huffman-fixed", "exponent", "link", "pipeline", None, 250)
    first_chunk = ceil_div(int(codec.segments(residual(2)).raw_nbytes[0]), 64)
    single = transfers(result, "fixed")["b2.hop0/send"]
    assert single.first_flit_ps - single.ready_ps == (first_chunk + 17) * 1000
    # Counted on all copies; the codebook leaves first and stands for no bytes.
    three = transfers(result, "three-stage")["b2.hop0/send"]
    counting = ceil_div(2 * RESIDUAL_VALUES, 64 * copies)
    assert three.first_flit_ps - three.ready_ps == (counting + 768 + 17) * 1000
    for metrics, name in zip(result.metrics[1:], ("single", "three"), strict=True):
        record = engine_record(f"{name}-stage-w32*{copies}")
        assert metrics.engine == record.name
        area = record.encoder_area_um2
        assert metrics.engine_area_um2 == (area and area + (record.decoder_area_um2 or 0))
    assert result.metrics[1].engine_area_um2 == pytest.approx(copies * (9474 + 9448))


def test_a_view_that_the_engine_is_not_stated_for_is_refused_by_dtype(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "fp8", "fp8") as writer:
        for batch in range(2):
            name = f"t{batch}"
            writer.add_tensor(name, cast(gaussian(500), "e4m3"), kind="residual", batch=batch)
            add_send(writer, f"e{batch}", ("a", "b"), name, "pipeline", batch)
    trace = Trace.open(tmp_path / "fp8")
    stated = {**FIXED, "engine": "single-stage-w32"}
    with pytest.raises(LinksimError, match="'single-stage-w32' is stated for views exponent"):
        replay(scenario("pipeline", [OFF, stated], from_batch=1), trace)
    assert replay(scenario("pipeline", from_batch=1), trace).metrics[1].raw_nbytes == 500


def test_progress_names_the_run_and_counts_flits(synthetic_trace: Trace) -> None:
    said: list[tuple[str, int]] = []
    result = replay(scenario("pipeline"), synthetic_trace, lambda *state: said.append(state))
    for run in ("off", "fixed"):
        counts = [flits for name, flits in said if name == run]
        assert counts == sorted(counts)
        assert counts[-1] == sum(t.flits for t in result.results[run].transfers)


def test_both_engines_give_the_same_results(synthetic_trace: Trace) -> None:
    for phase in ("pipeline", "prefill"):
        fast, reference = (
            replay(scenario(phase, topology="fully-connected"), synthetic_trace, engine_name=name)
            for name in ("fast", "reference")
        )
        assert fast.results == reference.results


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"phase": "decode"}, "select.phase: .*'decode': the trace has phases handoff, pipeline"),
        ({"from_batch": 3}, r"select.from_batch: .*'pipeline' .*from batch 3 on: .*0, 1, 2"),
        ({"from_batch": 0}, r"select.from_batch: .* before batch 0 to build codebooks on: .*0, 1"),
        ({"phase": "prefill", "topology": "point-to-point"}, "topology: .*expected 2 ranks, got 3"),
        (
            {"topology": "point-to-point", "sweep": {"kind": "kv", "message_nbytes": [64, 128]}},
            "sweep.kind: no 'kv' from batch 2 on: .*ffn2_output_partial",
        ),
    ],
)
def test_what_the_trace_does_not_have_is_named(
    synthetic_trace: Trace, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(LinksimError, match=problem) as caught:
        replay(scenario(**changes), synthetic_trace)
    assert "\n" not in str(caught.value)
    if "topology:" not in problem:
        assert str(caught.value).startswith(f"{synthetic_trace.path}: ")
