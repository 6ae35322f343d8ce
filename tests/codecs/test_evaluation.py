import numpy as np
import pytest

from linksim.codecs import HuffmanFixed, Raw
from linksim.codecs.evaluation import evaluate, shannon_nbytes, total
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format
from linksim.tensors.views import symbol_view
from tests.conftest import gaussian, gaussian_book

VIEW = symbol_view("exponent", number_format("bf16"))


def test_figures_of_a_gaussian() -> None:
    values = gaussian(100_000)
    result = evaluate("g", "gauss", values, HuffmanFixed([gaussian_book()]), VIEW)
    # Exponent entropy of a Gaussian is 2.55 bits, the rest byte's 7.97.
    assert 8 * result.shannon_nbytes / result.values == pytest.approx(10.52, abs=0.02)
    assert 0 <= result.gap_to_huffman_percent < 0.1
    assert 0.5 < result.gap_to_shannon_percent < 1.1
    assert result.saved_percent == pytest.approx(33.6, abs=0.3)


def test_sums() -> None:
    values = gaussian(1000)
    one = evaluate("a", "k", values, HuffmanFixed([gaussian_book()]), VIEW)
    both = total("both", "k", [one, one])
    assert (both.tensors, both.values, both.encoded_nbytes) == (2, 2000, 2 * one.encoded_nbytes)
    assert both.gap_to_shannon_percent == pytest.approx(one.gap_to_shannon_percent)


def test_shannon_of_a_constant_is_nothing() -> None:
    assert shannon_nbytes(np.ones_like(gaussian(100)), VIEW) == 0.0


class _Forgetful(Raw):
    """A codec that drops a bit: the evaluation must not believe it."""

    def decode(self, buf: object, out: object = None) -> object:
        values = super().decode(buf).copy()
        values[0] = 0
        return values


class _Boastful(Raw):
    """A codec that foretells too few bytes."""

    def encoded_nbytes(self, values: object) -> int:
        return 1


@pytest.mark.parametrize(
    ("codec", "problem"),
    [(_Forgetful("bf16"), "does not give back"), (_Boastful("bf16"), "foretells 1 bytes")],
)
def test_broken_codecs_are_caught(codec: Raw, problem: str) -> None:
    with pytest.raises(LinksimError, match=problem):
        evaluate("g", "gauss", gaussian(50), codec, VIEW)


def test_leave_one_out_never_sees_the_tensor_itself() -> None:
    chooser = CodecChooser("huffman-fixed")
    tensors = [("a", gaussian(4000)), ("b", gaussian(4000, scale=30.0))]
    chooser.leave_one_out(tensors)
    codec, _ = chooser.codec_for("a", "k", None, tensors[0][1])
    at_home = HuffmanFixed([gaussian_book()])
    assert codec.encoded_nbytes(tensors[0][1]) > 1.1 * at_home.encoded_nbytes(tensors[0][1])
    with pytest.raises(LinksimError, match="expected two"):
        CodecChooser("huffman-fixed").leave_one_out(tensors[:1])


def test_fixed_codec_without_books_says_what_to_do() -> None:
    with pytest.raises(LinksimError, match="--codebooks FILE"):
        CodecChooser("huffman-fixed").codec_for("a", "k", None, gaussian(3))


def test_leave_one_out_with_a_bias_is_scale_free() -> None:
    """Books from tensors of other scales only: the plain average fails, the aligned one serves."""
    tensors = [(f"t{k}", gaussian(50_000, seed=k, scale=0.01 * 4.0**k)) for k in range(4)]
    plain = CodecChooser("huffman-fixed")
    biased = CodecChooser("huffman-fixed", exponent_bias=True)
    for chooser in (plain, biased):
        chooser.leave_one_out(tensors)
    name, values = tensors[0]
    gaps = [
        evaluate(name, "k", values, chooser.codec_for(name, "k", None, values)[0], VIEW)
        for chooser in (plain, biased)
    ]
    assert gaps[0].gap_to_huffman_percent > 5
    assert gaps[1].gap_to_huffman_percent < 0.5
