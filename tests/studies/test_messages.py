"""Joining tensors to messages: all of them, in order, large enough, and taken apart again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs import HuffmanFixed
from linksim.studies.messages import MESSAGE_NBYTES, join_tensors
from linksim.tensors.scaling import scale_per_tensor
from linksim.traces.sources import SourceTensor
from tests.conftest import gaussian, gaussian_book


def tensor(name: str, count: int, layer: int | None = 0, batch: int = 2) -> SourceTensor:
    return SourceTensor(name, "trace", "kind", batch, layer, gaussian(count, seed=len(name)))


def layout(tensors: Sequence[SourceTensor], minimum: int) -> list[str]:
    return ["".join(p.name for p in m.parts) for m in join_tensors(tensors, minimum)]


def test_a_message_is_64_kib() -> None:
    assert MESSAGE_NBYTES == 65536


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # (name, values, layer), messages of 200 bytes: 100 bf16 values
        ([("a", 100, 0), ("b", 100, 0)], ["a", "b"]),
        ([("a", 50, 0), ("b", 50, 0), ("c", 50, 1), ("d", 50, 1)], ["ab", "cd"]),
        # What is left of a layer stays with the layer.
        ([("a", 60, 0), ("b", 60, 0), ("c", 60, 0), ("d", 100, 1)], ["abc", "d"]),
        # Layers that are too small share a message.
        ([("a", 40, 0), ("b", 40, 1), ("c", 40, 2), ("d", 40, 3)], ["abcd"]),
        ([("a", 50, 0), ("b", 50, 1), ("c", 50, 2), ("d", 50, 3)], ["ab", "cd"]),
        # What is left at the end joins the last message; all alone it is a short one.
        ([("a", 100, 0), ("b", 10, 1)], ["ab"]),
        ([("a", 10, 0), ("b", 10, 1)], ["ab"]),
        ([("a", 100, None), ("b", 100, None)], ["a", "b"]),
        ([("a", 0, 0)], []),
        ([], []),
    ],
)
def test_what_shares_a_message(
    sizes: list[tuple[str, int, int | None]], expected: list[str]
) -> None:
    assert layout([tensor(*size) for size in sizes], 200) == expected


def test_batches_never_share_a_message() -> None:
    tensors = [tensor("a", 10, 0, 2), tensor("b", 10, 0, 3), tensor("c", 10, 1, 2)]
    assert layout(tensors, 200) == ["ac", "b"]


def test_narrow_values_count_at_their_width() -> None:
    values = scale_per_tensor(gaussian(100), "e2m1").values
    parts = [SourceTensor(str(i), "trace", "kind", 0, 0, values) for i in range(4)]
    assert [m.nbytes for m in join_tensors(parts, 100)] == [100, 100]


def test_a_message_spans_as_many_layers_as_it_can_name_books() -> None:
    found = join_tensors([tensor(f"t{i}", 1, i) for i in range(70)], 1000)
    assert [len(message.layers) for message in found] == [31, 31, 8]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 5), st.integers(2, 3)), max_size=30))
def test_every_tensor_is_sent_once_and_messages_are_large(
    sizes: list[tuple[int, int, int]],
) -> None:
    tensors = [tensor(f"{i}.", n, layer, batch) for i, (n, layer, batch) in enumerate(sizes)]
    found = join_tensors(tensors, 200)
    sent = [part.name for message in found for part in message.parts]
    assert sorted(sent) == sorted(t.name for t in tensors if t.values.size)
    for batch in (2, 3):
        of_batch = [m for m in found if m.parts[0].batch == batch]
        assert all(part.batch == batch for m in of_batch for part in m.parts)
        if sum(m.nbytes for m in of_batch) >= 200:
            assert min(m.nbytes for m in of_batch) >= 200


def test_a_joined_message_decodes_to_the_same_tensors() -> None:
    tensors = [tensor("a", 3000, 0), tensor("bb", 500, 1), tensor("ccc", 41, 1)]
    tensors[1] = SourceTensor("bb", "trace", "kind", 2, 1, gaussian(500, 7).reshape(5, 100))
    (message,) = join_tensors(tensors)
    codec = HuffmanFixed([gaussian_book()])
    decoded = message.split(codec.decode(codec.encode(message.values)))
    for part, values in zip(tensors, decoded, strict=True):
        assert values.shape == part.values.shape
        assert values.tobytes() == part.values.tobytes()
    assert message.name == "a and 2 more"
    assert message.nbytes == sum(part.values.nbytes for part in tensors)


def test_order_within_a_message_is_that_of_the_trace() -> None:
    tensors = [tensor("a", 5, 1), tensor("b", 5, 0), tensor("c", 5, 1)]
    (message,) = join_tensors(tensors)
    assert [part.name for part in message.parts] == ["a", "c", "b"]
    assert np.array_equal(message.values[:5], tensors[0].values)
