"""Collectives: the values on every hop and at every end."""

from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest

from linksim.errors import LinksimError
from linksim.network import collectives, expand

DTYPES = [ml_dtypes.bfloat16, np.float16, np.float32, ml_dtypes.float8_e4m3fn]


def make(n, size, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return {f"r{i}": rng.standard_normal(size).astype(dtype) for i in range(n)}


def in_ring_order(tensors: Sequence[np.ndarray]) -> np.ndarray:
    """The documented order of addition, written out piece by piece."""
    n, dtype = len(tensors), tensors[0].dtype
    pieces = [np.array_split(tensor.reshape(-1), n) for tensor in tensors]
    sums = []
    for j in range(n):
        total = pieces[(j + 1) % n][j]
        for k in range(2, n + 1):
            addend = pieces[(j + k) % n][j]
            total = (total.astype(np.float32) + addend.astype(np.float32)).astype(dtype)
        sums.append(total)
    return np.concatenate(sums)


def bits(values):
    return values.view(f"u{values.dtype.itemsize}")


def check_all_reduce(n, size, dtype):
    tensors = make(n, size, dtype)
    expected = in_ring_order(list(tensors.values()))
    for values in expand("all_reduce", list(tensors), tensors).result.values():
        np.testing.assert_array_equal(bits(values), bits(expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [0, 1, 7, 64, (5, 13)])
def test_all_reduce_is_the_numpy_sum_in_ring_order_on_every_rank(n, size, dtype):
    check_all_reduce(n, size, dtype)


def test_the_check_catches_a_wrong_partial_sum(monkeypatch):
    def in_dtype(received, own):
        return (received * np.array(1.01, own.dtype)) + own

    monkeypatch.setattr(collectives.expansion, "add", in_dtype)
    with pytest.raises(AssertionError):
        check_all_reduce(4, 64, ml_dtypes.bfloat16)


def test_the_order_of_addition_matters_so_the_check_can_tell():
    tensors = make(4, 64, ml_dtypes.bfloat16)
    forwards = in_ring_order(list(tensors.values()))
    backwards = in_ring_order(list(tensors.values())[::-1])
    assert (forwards != backwards).any()


def test_reduce_hops_carry_the_partial_sum_so_far():
    tensors = {f"r{i}": np.full(4, 10.0**i, np.float32) for i in range(4)}
    hops = {hop.id: hop for hop in expand("all_reduce", list(tensors), tensors).hops}
    # Piece 3 starts at rank 0 and comes home to rank 3.
    assert hops["rs0.r0"].values.tolist() == [1.0]
    assert hops["rs1.r1"].values.tolist() == [11.0]
    assert hops["rs2.r2"].values.tolist() == [111.0]
    assert hops["ag0.r3"].values.tolist() == [1111.0]
    assert hops["rs0.r0"].after == ()
    assert hops["rs2.r2"].after == ("rs1.r1",)
    assert hops["ag0.r3"].after == ("rs2.r2",)
    assert hops["ag1.r0"].after == ("ag0.r3",)
    assert len(hops) == 2 * 3 * 4


def test_hops_run_along_the_ring_and_wait_only_for_earlier_ones():
    tensors = make(5, 50, np.float32)
    ranks = list(tensors)
    for op in ("all_reduce", "reduce_scatter", "all_gather"):
        known = set()
        for hop in expand(op, ranks, tensors).hops:
            assert ranks.index(hop.destination) == (ranks.index(hop.source) + 1) % 5
            assert set(hop.after) <= known
            known.add(hop.id)


def test_reduce_scatter_leaves_each_rank_its_piece():
    tensors = make(3, 10, np.float32)
    expected = np.array_split(in_ring_order(list(tensors.values())), 3)
    result = expand("reduce_scatter", list(tensors), tensors).result
    for piece, values in zip(expected, result.values(), strict=True):
        np.testing.assert_array_equal(values, piece)


def test_all_gather_joins_shards_of_any_size():
    tensors = {rank: np.arange(i, dtype=np.int8) for i, rank in enumerate("abc")}
    expansion = expand("all_gather", "abc", tensors)
    for values in expansion.result.values():
        assert values.tolist() == [0, 0, 1]
    assert all(hop.values.size for hop in expansion.hops)


def test_all_to_all_transposes():
    tensors = {rank: np.array([[10 * i + j] * 2 for j in range(3)]) for i, rank in enumerate("abc")}
    expansion = expand("all_to_all", "abc", tensors)
    assert expansion.result["b"].tolist() == [1, 1, 11, 11, 21, 21]
    assert {(hop.source, hop.destination) for hop in expansion.hops} == {
        (a, b) for a in "abc" for b in "abc" if a != b
    }
    assert all(hop.after == () for hop in expansion.hops)


def test_send():
    tensor = np.arange(6, dtype=np.float32).reshape(2, 3)
    expansion = expand("send", ("a", "b"), {"a": tensor})
    assert expansion.hops[0].values.tolist() == list(range(6))
    assert expansion.result["b"].tolist() == list(range(6))


def test_pieces_of_no_values_are_not_sent():
    tensors = make(4, 2, np.float32)
    expansion = expand("all_reduce", list(tensors), tensors)
    assert len(expansion.hops) == 2 * 2 * 3  # two pieces, each 3 hops round the ring twice
    assert expand("send", ("a", "b"), {"a": np.zeros(0, np.float32)}).hops == ()


def test_a_lossy_codec_acts_on_every_hop():
    tensors = {rank: np.array([1.6, 1.6], np.float32) for rank in "ab"}
    result = expand("all_reduce", "ab", tensors, np.floor).result
    # Each rank adds floor(1.6) to its own 1.6, keeps the 2.6 it owns and receives a floor of it.
    assert result["a"].tolist() == pytest.approx([2.6, 2.0])
    assert result["b"].tolist() == pytest.approx([2.0, 2.6])


F = np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("op", "ranks", "tensors", "expected"),
    [
        ("gossip", "ab", {"a": F, "b": F}, "unknown collective 'gossip'"),
        ("all_reduce", "ab", {"a": F}, "rank 'b' has no tensor"),
        ("all_reduce", "ab", {"a": F, "b": F[:3]}, "expected tensors that match"),
        ("all_gather", "ab", {"a": F, "b": F.astype(np.float16)}, "expected tensors that match"),
        ("all_reduce", "ab", {"a": F.astype(np.int8), "b": F.astype(np.int8)}, "int8 has no sum"),
        ("send", "abc", {"a": F}, "expected two ranks"),
        ("all_gather", "a", {"a": F}, "two or more ranks"),
        ("all_gather", "aa", {"a": F}, "each named once"),
    ],
)
def test_bad_collectives(op, ranks, tensors, expected):
    with pytest.raises(LinksimError, match=expected):
        expand(op, ranks, tensors)
