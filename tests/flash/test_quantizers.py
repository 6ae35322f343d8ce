"""Both kinds of quantizers in collectives: what arrives, and in how many bytes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.codecs import FloatQuantize
from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.flash import all_reduce
from linksim.flash.collectives import ALGORITHMS
from linksim.flash.quantizers import FloatGroups, message_quantizer
from tests.conftest import gaussian

FLOATS = st.builds(
    FloatGroups,
    bits=st.integers(2, 8),
    group=st.sampled_from((1, 32, 100, 128)),
    scale=st.sampled_from(("fp16", "bf16", "e8m0", "log8")),
    symmetric=st.booleans(),
)


def tensors_of(count: int, size: int) -> dict[str, np.ndarray]:
    return {f"gpu{i}": gaussian(size, seed=i, scale=1.0) for i in range(count)}


def codec_of(quantizer: FloatGroups) -> FloatQuantize:
    return FloatQuantize(
        bits=quantizer.bits,
        group=quantizer.group,
        scale=quantizer.scale,
        symmetric=quantizer.symmetric,
    )


@given(quantizer=FLOATS, ranks=st.integers(2, 5), size=st.integers(0, 500))
def test_a_two_step_all_reduce_is_made_of_the_codecs_messages(
    quantizer: FloatGroups, ranks: int, size: int
) -> None:
    codec = codec_of(quantizer)
    tensors = tensors_of(ranks, size)
    pieces = [np.array_split(tensor, ranks) for tensor in tensors.values()]
    sums, nbytes = [], 0
    for owner in range(ranks):
        total = np.zeros(pieces[0][owner].shape, np.float32)
        for rank in range(ranks):
            addend = pieces[rank][owner]
            if rank != owner:
                message = codec.encode(addend)
                nbytes += len(message) - 8
                addend = codec.decode(message)
            total = addend.astype(np.float32) + total
        message = codec.encode(total.astype(ml_dtypes.bfloat16))
        nbytes += (ranks - 1) * (len(message) - 8)
        sums.append(codec.decode(message))
    made = all_reduce(tensors, quantizer)
    # Zeros may differ in sign: the first addend is not added to anything.
    assert np.array_equal(made.result["gpu0"], np.concatenate(sums))
    assert made.nbytes == nbytes
    assert made.passes == (2 if size else 0)


@given(quantizer=FLOATS, algorithm=st.sampled_from(tuple(ALGORITHMS)), size=st.integers(0, 400))
def test_all_ranks_end_with_the_same_bits(
    quantizer: FloatGroups, algorithm: str, size: int
) -> None:
    tensors = tensors_of(4, size)
    groups = [["gpu0", "gpu1"], ["gpu2", "gpu3"]] if algorithm == "hierarchical" else None
    made = all_reduce(tensors, quantizer, algorithm=algorithm, groups=groups)
    assert len({values.tobytes() for values in made.result.values()}) == 1


@pytest.mark.parametrize(
    ("quantizer", "nbytes"),
    [
        # Codes of 32 + 32 + 6 values, each group in whole bytes; scale and minimum.
        (FloatGroups(bits=3, group=32, scale="bf16"), 12 + 12 + 3 + 3 * 4),
        (FloatGroups(bits=3, group=32, scale="log8"), 12 + 12 + 3 + 3 * 3),
        (FloatGroups(bits=3, group=32, scale="fp16", symmetric=True), 12 + 12 + 3 + 3 * 2),
        (FloatGroups(bits=3, group=32, scale="e8m0", symmetric=True), 12 + 12 + 3 + 3 * 1),
        # Records of two groups: 12 bytes of codes and 2 bytes of metadata each.
        (GroupQuantizer(bits=3, group=32), 2 * 2 * 14),
    ],
)
def test_bytes_by_hand(quantizer: FloatGroups | GroupQuantizer, nbytes: int) -> None:
    assert message_quantizer(quantizer).packed_nbytes(70) == nbytes
    assert message_quantizer(quantizer).packed_nbytes(0) == 0


def test_the_scale_format_matters() -> None:
    tensors = tensors_of(4, 4096)
    results = {
        all_reduce(tensors, FloatGroups(bits=3, group=32, scale=scale, symmetric=symmetric))
        .result["gpu0"]
        .tobytes()
        for scale in ("fp16", "bf16", "e8m0", "log8")
        for symmetric in (False, True)
    }
    assert len(results) == 8


def test_what_the_codec_refuses_is_refused() -> None:
    with pytest.raises(LinksimError, match="bits is 9"):
        FloatGroups(bits=9, group=32)
    with pytest.raises(LinksimError, match="scale is 'own'"):
        FloatGroups(bits=4, group=32, scale="own")
