"""Every algorithm's result, bit for bit the NumPy sum in the order that it documents."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.network.collectives import ALGORITHMS, Schedule, carry, expand, schedule
from tests.network.addition_orders import ORDERS, plus_for

BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [BF16, np.dtype(np.float32)]


def make(n: int, size: int, dtype: np.dtype, seed: int = 0) -> dict[str, np.ndarray]:
    """Values of very different sizes, so that every order of additions gives another sum."""
    rng = np.random.default_rng(seed)
    return {
        f"r{i}": (rng.standard_normal(size) * 2.0 ** rng.integers(-6, 6, size)).astype(dtype)
        for i in range(n)
    }


def expected_sum(op, algorithm, tensors, groups=None, *, keep_float32=False):
    values = list(tensors.values())
    dtype = values[0].dtype
    if groups is not None:
        values = [[tensors[rank] for rank in group] for group in groups]
    plus = plus_for(dtype, keep_float32=keep_float32)
    return ORDERS[op, algorithm](values, plus).astype(dtype)


def check_sum(op, tensors, expected, result):
    """*result* is *expected* on every rank, or each rank's piece of it, to the bit."""
    whole = [expected] * len(tensors)
    pieces = np.array_split(expected, len(tensors)) if op == "reduce_scatter" else whole
    assert list(result) == list(tensors)
    for values, piece in zip(result.values(), pieces, strict=True):
        assert values.dtype == piece.dtype
        assert values.tobytes() == piece.tobytes()


def group(draw, ranks: list[str], algorithm: str) -> list[list[str]] | None:
    """The ranks in any order, cut into groups of any size that fits."""
    if algorithm != "hierarchical":
        return None
    n = len(ranks)
    size = draw(st.sampled_from([k for k in range(1, n + 1) if n % k == 0]))
    mixed = draw(st.permutations(ranks))
    return [list(mixed[i : i + size]) for i in range(0, n, size)]


@pytest.mark.parametrize(("op", "algorithm"), list(ORDERS))
@given(data=st.data())
def test_sums_are_those_of_numpy_in_the_documented_order(op, algorithm, data):
    n = data.draw(st.integers(2, 9), "ranks")
    size = data.draw(st.integers(0, 40), "size")
    dtype = data.draw(st.sampled_from(DTYPES), "dtype")
    tensors = make(n, size, dtype, data.draw(st.integers(0, 9), "seed"))
    groups = group(data.draw, list(tensors), algorithm)
    chunk = data.draw(st.none() | st.integers(1, 12), "chunk")
    keep = data.draw(st.booleans(), "keep float32")
    result = expand(
        op,
        list(tensors),
        tensors,
        algorithm=algorithm,
        chunk_nbytes=chunk and chunk * dtype.itemsize,
        groups=groups,
        keep_float32=keep,
    ).result
    check_sum(op, tensors, expected_sum(op, algorithm, tensors, groups, keep_float32=keep), result)


def test_every_algorithm_that_sums_has_an_order():
    sums = {op: names for op, names in ALGORITHMS.items() if op in ("all_reduce", "reduce_scatter")}
    assert set(ORDERS) == {(op, name) for op, names in sums.items() for name in names}


def test_orders_differ_so_the_check_can_tell():
    tensors = make(8, 64, BF16)
    ranks = list(tensors)
    sums = {
        algorithm: expected_sum(
            "all_reduce",
            algorithm,
            tensors,
            [ranks[:4], ranks[4:]] if algorithm == "hierarchical" else None,
        ).tobytes()
        for algorithm in ALGORITHMS["all_reduce"]
    }
    for one, other in combinations(sums, 2):
        assert (sums[one] == sums[other]) == ({one, other} == {"direct", "in-switch"})


@pytest.mark.parametrize("algorithm", ["tree", "direct", "in-switch", "halving-doubling"])
def test_keeping_float32_is_another_sum_for_bf16_and_the_same_for_float32(algorithm):
    for dtype in DTYPES:
        tensors = make(8, 64, dtype)
        one, other = (
            expand("all_reduce", list(tensors), tensors, algorithm=algorithm, keep_float32=keep)
            for keep in (False, True)
        )
        assert (one.result["r0"].tobytes() == other.result["r0"].tobytes()) == (dtype != BF16)
        assert {hop.values.dtype for hop in other.hops} == {dtype}


def test_keeping_float32_makes_no_difference_to_a_ring():
    tensors = make(8, 64, BF16)
    one, other = (
        expand("all_reduce", list(tensors), tensors, keep_float32=keep) for keep in (False, True)
    )
    assert one.result["r0"].tobytes() == other.result["r0"].tobytes()


@pytest.mark.parametrize("algorithm", ALGORITHMS["all_gather"])
@given(data=st.data())
def test_all_gather_joins_shards_of_any_size(algorithm, data):
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=2, max_size=9))
    chunk = data.draw(st.none() | st.integers(1, 12))
    tensors = {f"r{i}": np.arange(size) + 10 * i for i, size in enumerate(sizes)}
    result = expand(
        "all_gather",
        list(tensors),
        tensors,
        algorithm=algorithm,
        chunk_nbytes=chunk and 8 * chunk,
    ).result
    assert list(result) == list(tensors)
    for values in result.values():
        np.testing.assert_array_equal(values, np.concatenate(list(tensors.values())))


@pytest.mark.parametrize("algorithm", ALGORITHMS["broadcast"])
@given(n=st.integers(2, 9), size=st.integers(0, 30), chunk=st.none() | st.integers(1, 12))
def test_broadcast_gives_all_the_first_ranks_tensor(algorithm, n, size, chunk):
    ranks = [f"r{i}" for i in range(n)]
    tensor = np.arange(size, dtype=np.int8)
    result = expand(
        "broadcast", ranks, {"r0": tensor}, algorithm=algorithm, chunk_nbytes=chunk
    ).result
    assert list(result) == ranks
    for values in result.values():
        np.testing.assert_array_equal(values, tensor)


@given(data=st.data())
def test_all_to_all_transposes_whatever_each_rank_has(data):
    n = data.draw(st.integers(2, 6))
    shapes = data.draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=n, max_size=n)
    )
    chunk = data.draw(st.none() | st.integers(1, 12))
    tensors = {
        f"r{i}": np.arange(rows * width, dtype=np.int16).reshape(rows, width) + 100 * i
        for i, (rows, width) in enumerate(shapes)
    }
    result = expand("all_to_all", list(tensors), tensors, chunk_nbytes=chunk and 2 * chunk).result
    cuts = [np.array_split(tensor, n) for tensor in tensors.values()]
    for j, values in enumerate(result.values()):
        expected = np.concatenate([pieces[j].reshape(-1) for pieces in cuts])
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("keep_float32", [False, True])
@pytest.mark.parametrize(("op", "algorithm"), list(ORDERS))
def test_hops_keep_the_values_they_had_and_those_are_what_is_coded(op, algorithm, keep_float32):
    tensors = make(6, 40, BF16)
    ranks = list(tensors)
    coded = []

    def record(values):
        coded.append(values.tobytes())
        return values

    hops = expand(
        op,
        ranks,
        tensors,
        record,
        algorithm=algorithm,
        chunk_nbytes=10,
        groups=[ranks[:3], ranks[3:]] if algorithm == "hierarchical" else None,
        keep_float32=keep_float32,
    ).hops
    assert [hop.values.tobytes() for hop in hops] == coded
    for rank, tensor in make(6, 40, BF16).items():
        assert tensors[rank].tobytes() == tensor.tobytes(), "the rank's own tensor has changed"


def test_partial_sums_go_up_a_tree_and_the_total_comes_down():
    tensors = {f"r{i}": np.full(2, 10.0**i, np.float32) for i in range(5)}
    hops = expand("all_reduce", list(tensors), tensors, algorithm="tree").hops
    sent = {(hop.source, hop.destination): hop.values[0] for hop in hops}
    up = {("r3", "r1"): 1e3, ("r4", "r1"): 1e4, ("r1", "r0"): 11010, ("r2", "r0"): 100}
    down = {(parent, child): 11111 for child, parent in up}
    assert sent == up | down


def test_an_in_switch_sum_is_coded_twice():
    tensors = {rank: np.array([1.6], np.float32) for rank in "abc"}
    floors = expand("all_reduce", "abc", tensors, np.floor, algorithm="in-switch")
    assert [float(values[0]) for values in floors.result.values()] == [3, 3, 3]
    # A codec that loses 0.1 whatever it codes: once for each addend and once for the sum.
    lossy = expand(
        "all_reduce", "abc", tensors, lambda v: v - np.float32(0.1), algorithm="in-switch"
    )
    assert [float(v[0]) for v in lossy.result.values()] == pytest.approx([4.4] * 3)


@pytest.mark.parametrize(
    ("dtype", "nbytes", "elements"),
    [(np.float32, 10, 2), (BF16, 2, 1), (ml_dtypes.float4_e2m1fn, 3, 6), (np.int16, 5, 2)],
)
def test_chunks_hold_whole_values_of_their_width_on_a_wire(dtype, nbytes, elements):
    tensor = np.zeros(13, dtype)
    hops = expand("send", "ab", {"a": tensor}, chunk_nbytes=nbytes).hops
    assert {hop.values.size for hop in hops[:-1]} == {elements}
    assert sum(hop.values.size for hop in hops) == 13


@pytest.mark.parametrize("nbytes", [-4, 0, 3])
def test_a_chunk_holds_a_value_at_least(nbytes):
    with pytest.raises(
        LinksimError, match="send: chunks of .* bytes: expected room for one float32"
    ):
        expand("send", "ab", {"a": np.zeros(4, np.float32)}, chunk_nbytes=nbytes)


def test_a_schedule_takes_tensors_of_its_sizes_alone():
    plan = schedule("all_gather", ranks="ab", elements=[2, 3])
    for tensors in ({"a": np.zeros(2)}, {"a": np.zeros(2), "b": np.zeros(2)}):
        with pytest.raises(LinksimError, match="all_gather: rank 'b': expected a tensor of 3 val"):
            carry(plan, tensors)


def with_moves(plan: Schedule, moves) -> Schedule:
    return dataclasses.replace(plan, moves=tuple(moves))


def shifted(part: range) -> range:
    return range(part.start - 1, part.stop - 1) if part.start else range(1, part.stop + 1)


MUTANTS = {
    "dropped": lambda move: None,
    "read elsewhere": lambda m: dataclasses.replace(m, source_range=shifted(m.source_range)),
    "written elsewhere": lambda m: dataclasses.replace(
        m, destination_range=shifted(m.destination_range)
    ),
    "replaced or added": lambda m: dataclasses.replace(m, adds=not m.adds),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize(("op", "algorithm"), list(ORDERS))
@settings(max_examples=20)
@given(data=st.data())
def test_one_wrong_move_is_caught(op, algorithm, mutant, data):
    tensors = make(6, 41, np.dtype(np.float32))
    ranks = list(tensors)
    groups = [ranks[:3], ranks[3:]] if algorithm == "hierarchical" else None
    plan = schedule(
        op, ranks=ranks, elements=41, algorithm=algorithm, chunk_elements=3, groups=groups
    )
    expected = expected_sum(op, algorithm, tensors, groups)
    check_sum(op, tensors, expected, carry(plan, tensors).result)
    k = data.draw(st.integers(0, len(plan.moves) - 1))
    wrong = MUTANTS[mutant](plan.moves[k])
    moves = [*plan.moves[:k], *([wrong] if wrong else []), *plan.moves[k + 1 :]]
    if _is_harmless(plan.moves[k], mutant, 41):
        return
    sizes = {node: size + 1 for node, size in plan.nelements.items()}
    broken = dataclasses.replace(with_moves(plan, moves), nelements=sizes)
    with pytest.raises(AssertionError):
        check_sum(op, tensors, expected, carry(broken, tensors).result)


def _is_harmless(move, mutant: str, elements: int) -> bool:
    """Adding to zeros is as good as replacing them; copying a place to itself does nothing."""
    to_itself = move.source == move.destination and move.source_range == move.destination_range
    into_nothing = not move.adds and (
        move.destination == "switch" or move.destination_range.start >= elements
    )
    return (to_itself and mutant == "dropped") or (into_nothing and mutant == "replaced or added")
