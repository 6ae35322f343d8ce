"""Quantized collectives: values, bytes and passes, for every algorithm that schedules know."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.flash import all_reduce, coded
from linksim.flash.collectives import ALGORITHMS
from linksim.flash.quality import Deviation, exact_sum
from linksim.network.collectives import ALGORITHMS as SCHEDULED
from linksim.network.collectives import carry, schedule
from tests.conftest import gaussian

BF16 = ml_dtypes.bfloat16
QUANTIZERS = st.builds(
    GroupQuantizer,
    bits=st.integers(2, 8),
    group=st.sampled_from((32, 64, 128)),
    zero=st.sampled_from(("point", "min")),
    spikes=st.booleans(),
)


def tensors_of(count: int, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {f"gpu{i}": gaussian(size, seed=100 * seed + i, scale=1.0) for i in range(count)}


def halves(ranks: list[str]) -> list[list[str]]:
    return [ranks[: len(ranks) // 2], ranks[len(ranks) // 2 :]]


def plan_of(algorithm: str, tensors: dict[str, np.ndarray], op: str = "all_reduce"):  # type: ignore[no-untyped-def]
    ranks = list(tensors)
    groups = halves(ranks) if algorithm == "hierarchical" else None
    size = next(iter(tensors.values())).size
    return schedule(op, ranks=ranks, elements=size, algorithm=algorithm, groups=groups)


def round_trip(quantizer: GroupQuantizer, values: np.ndarray) -> np.ndarray:
    """By the definition: what the records of *values* decode to."""
    message = quantizer.pack(quantizer.quantize(values.view(np.uint16)))
    assert len(message) == quantizer.packed_nbytes(values.size)
    decoded = quantizer.dequantize(quantizer.unpack(message, values.size), values.size)
    return decoded.view(BF16)


@given(
    quantizer=QUANTIZERS,
    algorithm=st.sampled_from(SCHEDULED["all_reduce"]),
    half=st.integers(1, 4),
    size=st.integers(0, 700),
    seed=st.integers(0, 5),
)
def test_all_ranks_end_with_the_same_bits(
    quantizer: GroupQuantizer, algorithm: str, half: int, size: int, seed: int
) -> None:
    tensors = tensors_of(2 * half, size, seed)
    made = coded(plan_of(algorithm, tensors), tensors, quantizer)
    first, *others = [values.tobytes() for values in made.result.values()]
    assert len(made.result) == 2 * half
    assert len(first) == 2 * size
    assert set(others) <= {first}


def by_hand(tensors: dict[str, np.ndarray], quantizer: GroupQuantizer) -> np.ndarray:
    """The two-step all-reduce in its own words."""
    pieces = [np.array_split(tensor, len(tensors)) for tensor in tensors.values()]
    sums = []
    for owner in range(len(tensors)):
        total = np.zeros(pieces[0][owner].shape, np.float32)
        for rank in range(len(tensors)):
            addend = pieces[rank][owner]
            # What a rank has itself never crosses a link.
            arrived = addend if rank == owner else round_trip(quantizer, addend)
            total = arrived.astype(np.float32) + total if rank else arrived.astype(np.float32)
        sums.append(round_trip(quantizer, total.astype(BF16)))
    return np.concatenate(sums)


@given(quantizer=QUANTIZERS, ranks=st.integers(2, 5), size=st.integers(0, 500))
def test_two_step_is_what_it_says(quantizer: GroupQuantizer, ranks: int, size: int) -> None:
    tensors = tensors_of(ranks, size)
    made = all_reduce(tensors, quantizer)
    assert made.result["gpu0"].tobytes() == by_hand(tensors, quantizer).tobytes()


def test_a_result_off_by_one_bit_is_noticed() -> None:
    quantizer = GroupQuantizer(bits=4)
    tensors = tensors_of(3, 200)
    expected = by_hand(tensors, quantizer)
    assert by_hand(tensors, replace(quantizer, bits=5)).tobytes() != expected.tobytes()
    tensors["gpu1"].view(np.uint16)[77] ^= 0x40
    assert all_reduce(tensors, quantizer).result["gpu0"].tobytes() != expected.tobytes()


@pytest.mark.parametrize("algorithm", ["direct", "ring"])
def test_addends_are_those_of_carry(algorithm: str) -> None:
    """Reduce-scatter has no finished values on the way, so a plain round trip says the same."""
    quantizer = GroupQuantizer(bits=3, spikes=True)
    tensors = tensors_of(4, 515)
    plan = plan_of(algorithm, tensors, "reduce_scatter")
    made = coded(plan, tensors, quantizer)
    carried = carry(plan, tensors, lambda v: round_trip(quantizer, v), keep_float32=True)
    for rank in tensors:
        assert made.result[rank].tobytes() == carried.result[rank].tobytes()


@pytest.mark.parametrize("op", ["all_reduce", "reduce_scatter", "all_gather", "all_to_all"])
def test_without_a_quantizer_it_is_carry(op: str) -> None:
    tensors = tensors_of(6, 421)
    for algorithm in SCHEDULED[op]:
        plan = plan_of(algorithm, tensors, op)
        made, carried = coded(plan, tensors, None), carry(plan, tensors, keep_float32=True)
        assert made.nbytes == 2 * plan.sent_elements
        assert made.passes == 0
        for rank in tensors:
            assert made.result[rank].tobytes() == carried.result[rank].tobytes(), algorithm


@given(quantizer=QUANTIZERS, ranks=st.integers(2, 9))
def test_passes_are_two_and_n(quantizer: GroupQuantizer, ranks: int) -> None:
    """Flash Communication, table 1: two passes in two steps, N in a ring."""
    tensors = tensors_of(ranks, 40 * ranks)
    assert all_reduce(tensors, quantizer).passes == 2
    assert all_reduce(tensors, quantizer, algorithm="ring").passes == ranks


@pytest.mark.parametrize(("members", "groups"), [(2, 2), (4, 2), (2, 3), (3, 3)])
def test_passes_of_a_hierarchy(members: int, groups: int) -> None:
    """g - 1 and m - 1 additions in the rings, and the finished sum."""
    tensors = tensors_of(members * groups, 720)
    ranks = list(tensors)
    split = [ranks[k * members : (k + 1) * members] for k in range(groups)]
    made = all_reduce(tensors, GroupQuantizer(bits=4), algorithm="hierarchical", groups=split)
    assert made.passes == members + groups - 1


@given(quantizer=QUANTIZERS, ranks=st.integers(2, 6), size=st.integers(0, 900))
def test_bytes_are_those_of_the_records(quantizer: GroupQuantizer, ranks: int, size: int) -> None:
    tensors = tensors_of(ranks, size)
    for algorithm in ("two-step", "ring"):
        made = all_reduce(tensors, quantizer, algorithm=algorithm)
        sizes = [len(piece) for piece in np.array_split(np.arange(size), ranks)]
        each = sum(quantizer.packed_nbytes(count) for count in sizes)
        # Every piece is sent n - 1 times as an addend or partial sum, and n - 1 times finished.
        assert made.nbytes == 2 * (ranks - 1) * each
        assert made.values == 2 * (ranks - 1) * size


def test_a_hierarchy_hands_on_the_bytes_that_came() -> None:
    quantizer = GroupQuantizer(bits=5)
    tensors = tensors_of(4, 4 * 37)
    made = coded(plan_of("hierarchical", tensors), tensors, quantizer)
    forwarded = [message for message in made.messages if message.is_forwarded]
    # Halves of 74 values, summed across in two pieces of 37: two runs with padding of their own.
    assert {message.values for message in forwarded} == {74}
    assert {message.nbytes for message in forwarded} == {2 * quantizer.packed_nbytes(37)}


def test_an_all_to_all_is_quantized_once_but_for_what_stays() -> None:
    quantizer = GroupQuantizer(bits=4, group=64)
    tensors = tensors_of(3, 600)
    made = coded(plan_of("direct", tensors, "all_to_all"), tensors, quantizer)
    pieces = {rank: np.array_split(tensor, 3) for rank, tensor in tensors.items()}
    for j, rank in enumerate(tensors):
        expected = [
            pieces[source][j] if source == rank else round_trip(quantizer, pieces[source][j])
            for source in tensors
        ]
        assert made.result[rank].tobytes() == np.concatenate(expected).tobytes()
    assert made.passes == 1
    assert made.nbytes == 6 * quantizer.packed_nbytes(200)


@given(ranks=st.sampled_from((4, 8)), bits=st.integers(2, 6), seed=st.integers(0, 3))
def test_fewer_passes_err_less(ranks: int, bits: int, seed: int) -> None:
    tensors = tensors_of(ranks, 4096, seed)
    exact = exact_sum(tensors.values())
    quantizer = GroupQuantizer(bits=bits)
    snr = {}
    for name in ALGORITHMS:
        groups = halves(list(tensors)) if name == "hierarchical" else None
        made = all_reduce(tensors, quantizer, algorithm=name, groups=groups)
        snr[name] = Deviation.of(exact, made.result["gpu0"]).snr_db
    assert snr["two-step"] > snr["hierarchical"] > snr["ring"]


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_by_how_much_is_what_counting_says(ranks: int) -> None:
    """A pass over a sum of k like addends brings noise in proportion to k.

    Two steps: n - 1 addends and the sum of n, 2 n - 1. A ring: sums of 1 to n. Two halves of n / 2:
    in each a ring's sums of 1 to n / 2 - 1 addends, then both halves' sums of n / 2 once, then n;
    but of every piece one half's sum stays where it is.
    """
    tensors = tensors_of(ranks, 1 << 16)
    exact = exact_sum(tensors.values())
    half = ranks // 2
    noise = {
        "two-step": 2 * ranks - 1,
        "ring": ranks * (ranks + 1) / 2,
        "hierarchical": half * (half - 1) + half + ranks,
    }
    snr = {}
    for name in noise:
        groups = halves(list(tensors)) if name == "hierarchical" else None
        made = all_reduce(tensors, GroupQuantizer(bits=5), algorithm=name, groups=groups)
        snr[name] = Deviation.of(exact, made.result["gpu0"]).snr_db
    for name in noise:
        expected = 10 * np.log10(noise[name] / noise["two-step"])
        assert snr["two-step"] - snr[name] == pytest.approx(expected, abs=0.1)


def test_one_nan_poisons_its_group_alone() -> None:
    tensors = tensors_of(2, 256)
    tensors["gpu0"][5] = np.nan
    for algorithm in ("two-step", "ring"):
        result = all_reduce(tensors, GroupQuantizer(bits=4), algorithm=algorithm).result["gpu1"]
        assert np.flatnonzero(np.isnan(result.astype(np.float32))).tolist() == list(range(32))


def test_bad_input_is_refused() -> None:
    tensors = tensors_of(2, 64)
    quantizer = GroupQuantizer(bits=4)
    with pytest.raises(LinksimError, match="expected one of two-step, ring, hierarchical"):
        all_reduce(tensors, quantizer, algorithm="tree")
    with pytest.raises(LinksimError, match="'gpu1': expected 64 values of bf16"):
        all_reduce({**tensors, "gpu1": gaussian(63)}, quantizer)
    with pytest.raises(LinksimError, match="'gpu1': expected 64 values of bf16"):
        all_reduce({**tensors, "gpu1": np.zeros(64, np.float32)}, quantizer)
    with pytest.raises(LinksimError, match="two or more ranks"):
        all_reduce(tensors_of(1, 8), quantizer)


def test_a_message_that_cuts_what_was_coded_as_one_is_refused() -> None:
    ranks = [f"gpu{i}" for i in range(4)]
    plan = schedule(
        "all_reduce",
        ranks=ranks,
        elements=4 * 90,
        algorithm="hierarchical",
        groups=halves(ranks),
        chunk_elements=64,
    )
    with pytest.raises(LinksimError, match="cuts values that were coded as one run"):
        coded(plan, tensors_of(4, 4 * 90), GroupQuantizer(bits=4))


def test_deviations_add_up() -> None:
    exact, result = np.array([3.0, -4.0, 0.0]), np.array([3.0, -3.5, 0.25], np.float32)
    parts = Deviation.of(exact[:2], result[:2]) + Deviation.of(exact[2:], result[2:])
    whole = Deviation.of(exact, result)
    assert parts == whole
    assert whole.snr_db == pytest.approx(10 * np.log10(25 / 0.3125))
    assert whole.largest_in_rms == pytest.approx(0.5 / np.sqrt(25 / 3))
    assert Deviation.of(exact, exact).snr_db == np.inf
