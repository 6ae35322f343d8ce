"""Events to hops: values, order and what waits for what; sweeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linksim.errors import LinksimError
from linksim.network import Compute
from linksim.replay.run import replay
from linksim.replay.scenario import Selection
from linksim.replay.schedule import select, sweep
from linksim.tensors.dtypes import cast
from linksim.traces import Trace, TraceWriter
from linksim.traces.manifest import CommunicationEvent
from tests.conftest import gaussian
from tests.replay.synthetic import (
    COMPUTE_PS,
    LAYERS,
    RANKS,
    RESIDUAL_VALUES,
    partial,
    residual,
    ring_messages,
    same_bits,
    scenario,
)


def test_hops_of_an_all_reduce_carry_the_true_partial_sums(synthetic_trace: Trace) -> None:
    messages = select(synthetic_trace, Selection(phase="prefill", from_batch=2)).messages
    carried = {message.id: message for message in messages}
    assert len(carried) == LAYERS * 12
    for layer in range(LAYERS):
        addends = [partial(2, layer, rank) for rank in range(3)]
        for name, values in ring_messages(addends).items():
            message = carried[f"b2.l{layer}.sum/{name}"]
            assert same_bits(message.hop, values)
            assert (message.kind, message.layer) == ("ffn2_output_partial", layer)
        # Not the addends themselves: the second hop of a ring is a sum.
        second = carried[f"b2.l{layer}.sum/rs1.gpu2"].hop
        assert not any(same_bits(second, np.array_split(a.reshape(-1), 3)[0]) for a in addends)


def test_first_hops_wait_for_the_event_and_later_ones_for_what_they_forward(
    synthetic_trace: Trace,
) -> None:
    workload = select(synthetic_trace, Selection(phase="prefill"))
    waits = {message.id: set(message.after) for message in workload.messages}
    waits |= {compute.id: set(compute.after) for compute in workload.computes}
    computes = {f"b1.l0.compute.{rank}" for rank in RANKS}
    for index, rank in enumerate(RANKS):
        previous = RANKS[index - 1]
        assert waits[f"b1.l0.sum/rs0.{rank}"] == computes
        assert waits[f"b1.l0.sum/rs1.{rank}"] == {f"b1.l0.sum/rs0.{previous}"}
        assert waits[f"b1.l0.sum/ag0.{rank}"] == {f"b1.l0.sum/rs1.{previous}"}
        assert waits[f"b1.l0.sum/ag1.{rank}"] == {f"b1.l0.sum/ag0.{previous}"}
        # A compute waits for every hop of the sum before it, across batches too.
        for later, earlier in (("b1.l1", "b1.l0"), ("b1.l0", "b0.l1")):
            hops = {f"{earlier}.sum/{s}.{r}" for s in ("rs0", "rs1", "ag0", "ag1") for r in RANKS}
            assert waits[f"{later}.compute.{rank}"] == hops
        assert waits[f"b0.l0.compute.{rank}"] == set()


def test_what_is_not_selected_counts_as_done(synthetic_trace: Trace) -> None:
    later = select(synthetic_trace, Selection(phase="prefill", from_batch=2))
    assert {compute.after for compute in later.computes if ".l0." in compute.id} == {()}
    # The handoff waits for the last all-reduce, which is of another phase.
    handoff = select(synthetic_trace, Selection(phase="handoff"))
    assert {message.after for message in handoff.messages} == {()}
    assert handoff.computes == ()
    pipeline = select(synthetic_trace, Selection(phase="pipeline", from_batch=1)).messages
    assert {message.id: message.after for message in pipeline} == {
        "b1.hop0/send": (),
        "b1.hop1/send": ("b1.hop0/send",),
        "b2.hop0/send": ("b1.hop0/send",),
        "b2.hop1/send": ("b2.hop0/send",),
    }


def test_earlier_batches_are_exactly_the_others(synthetic_trace: Trace) -> None:
    for from_batch in range(4):
        selection = Selection(phase="pipeline", from_batch=from_batch)
        ids = []
        for earlier in (True, False):
            empty = from_batch == (0 if earlier else 3)
            if empty:
                with pytest.raises(LinksimError, match=r"select\.from_batch"):
                    select(synthetic_trace, selection, earlier=earlier)
            else:
                workload = select(synthetic_trace, selection, earlier=earlier)
                ids += [message.event for message in workload.messages]
                batches = {int(message.event[1]) for message in workload.messages}
                assert batches == set(range(3)[:from_batch] if earlier else range(3)[from_batch:])
        assert sorted(ids) == sorted(f"b{b}.hop{h}" for b in range(3) for h in range(2))


def test_ranks_come_in_ring_order(synthetic_trace: Trace) -> None:
    assert select(synthetic_trace, Selection(phase="prefill")).ranks == RANKS
    assert select(synthetic_trace, Selection(phase="handoff")).ranks == ("prefill", "decode")


@pytest.mark.parametrize("compute", [True, False])
def test_computes_keep_their_place_but_not_always_their_time(
    synthetic_trace: Trace, compute: bool
) -> None:
    computes = select(synthetic_trace, Selection(phase="prefill", compute=compute)).computes
    assert len(computes) == 3 * LAYERS * len(RANKS)
    for task in computes:
        assert isinstance(task, Compute)
        assert task.duration_ps == (COMPUTE_PS[task.rank] if compute else 0)


SIZES = (64, 6002, 100, 4 * RESIDUAL_VALUES + 2)


def test_a_sweep_sends_one_message_after_the_other(synthetic_trace: Trace) -> None:
    workload = sweep(synthetic_trace, "residual", SIZES, from_batch=1)
    assert [message.event for message in workload.messages] == [str(n) for n in SIZES]
    before: tuple[str, ...] = ()
    # Batches 1 and 2 end to end, and from the start again.
    pool = np.concatenate([residual(1), residual(2)])
    endless = np.concatenate([pool, pool])
    for message, nbytes in zip(workload.messages, SIZES, strict=True):
        assert message.after == before
        assert same_bits(message.hop, endless[: nbytes // 2])
        assert message.hop.values.nbytes == nbytes
        before = (message.id,)
    assert workload.computes == ()
    assert workload.ranks == ("source", "destination")


def test_a_swept_replay_is_one_plain_message_at_a_time(synthetic_trace: Trace) -> None:
    chosen = scenario(
        "pipeline",
        topology="point-to-point",
        sweep={"kind": "residual", "message_nbytes": [250, 252, 5000]},
    )
    off, fixed = replay(chosen, synthetic_trace).results.values()
    assert [t.delivered_ps - t.ready_ps for t in off.transfers] == [3010, 4010, 22010]
    assert [t.queueing_ps for t in (*off.transfers, *fixed.transfers)] == [0] * 6
    assert [t.raw_nbytes for t in fixed.transfers] == [250, 252, 5000]
    assert fixed.transfers[2].flits < off.transfers[2].flits


def test_a_sweep_of_six_bit_values_counts_packed_bytes(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "fp6", "fp6") as writer:
        writer.add_tensor("t", cast(gaussian(900), "e3m2"), kind="k")
    message = sweep(Trace.open(tmp_path / "fp6"), "k", (300, 600), 0).messages[0]
    assert message.hop.values.size == 400


def test_a_sweep_over_mixed_dtypes_is_refused(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "mixed", "mixed") as writer:
        for dtype in ("bf16", "fp16"):
            writer.add_tensor(dtype, cast(gaussian(9), dtype), kind="k")
    with pytest.raises(LinksimError, match=r"sweep\.kind: tensors of 'k' have different dtypes"):
        sweep(Trace.open(tmp_path / "mixed"), "k", (64, 128), 0)


def test_an_event_that_sends_nothing_passes_its_dependencies_on(tmp_path: Path) -> None:
    """Fewer values than ranks leave empty pieces; an event of none but those still orders."""
    with TraceWriter(tmp_path / "t", "t") as writer:
        writer.add_tensor("full", gaussian(64), kind="residual")
        writer.add_tensor("empty", gaussian(0), kind="residual")
        for name, tensor, after in (
            ("a", "full", ()),
            ("b", "empty", ("a",)),
            ("c", "full", ("b",)),
        ):
            send = CommunicationEvent(
                op="send", id=name, ranks=("x", "y"), tensors={"x": tensor}, after=after
            )
            writer.add_event(send)
    workload = select(Trace.open(tmp_path / "t"), Selection(phase="prefill"))
    waits = {message.event: message.after for message in workload.messages}
    assert "b" not in waits
    assert waits["c"] == tuple(m.id for m in workload.messages if m.event == "a")
