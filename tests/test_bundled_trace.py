"""The bundled trace and real Gemma tensors: exact sizes, exact values, books that travel."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from linksim.codecs import Codebook, CodebookSet, HuffmanFixed, HuffmanThreeStage, Raw, TensorCodec
from linksim.codecs.book_building import build_books
from linksim.codecs.evaluation import Evaluation, evaluate, own_huffman, total
from linksim.tensors.dtypes import Tensor, format_of, number_format
from linksim.tensors.views import SymbolView, symbol_view
from linksim.traces import Trace
from linksim.traces.verify import verify
from tests.conftest import ROOT, gaussian
from tests.replay.command import linksim

FROM_BATCH = 2
"""Books are built on the batches before this one."""
MAX_GAP_PERCENT = 0.5
MAX_FOLDER_NBYTES = 24_000_000
LINK_SAMPLE = 12


@dataclass(frozen=True)
class Stored:
    """One tensor of the bundled trace."""

    name: str
    kind: str
    layer: int | None
    batch: int
    values: Tensor

    @property
    def view(self) -> SymbolView:
        """The exponent view, or the pooled one of formats that have no other."""
        fmt = format_of(self.values)
        return symbol_view("exponent" if fmt.bits == 16 else "pooled", fmt)


@pytest.fixture(scope="module")
def bundled(bundled_trace: Path) -> Trace:
    if not bundled_trace.is_dir():
        pytest.skip(f"the bundled trace is not there: {bundled_trace}")
    return Trace.open(bundled_trace)


@pytest.fixture(scope="module")
def tensors(bundled: Trace) -> list[Stored]:
    found = [
        Stored(name, record.kind, record.layer, record.batch, bundled.tensor(name))
        for name, record in bundled.manifest.tensors.items()
    ]
    assert len(found) > 50
    return found


def books_of(tensors: Iterable[Stored]) -> CodebookSet:
    """A book per kind and layer from the batches before FROM_BATCH."""
    earlier = [t for t in tensors if t.batch < FROM_BATCH]
    views = {tensor.view.name for tensor in earlier}
    triples = [(tensor.kind, tensor.layer, tensor.values) for tensor in earlier]
    return build_books(triples, sorted(views), "earlier batches", per_layer=True)


@pytest.fixture(scope="module")
def books(tensors: list[Stored]) -> CodebookSet:
    return books_of(tensors)


def fixed(books: CodebookSet, tensor: Stored, profile: str = "bulk") -> HuffmanFixed:
    view = tensor.view
    return HuffmanFixed(books.select(view.fmt.name, view.name, tensor.kind, tensor.layer), profile)


def check_exact(tensor: Stored, codec: TensorCodec) -> int:
    """Encode and decode; the size is as foretold and every bit comes back."""
    encoded = codec.encode(tensor.values)
    assert codec.encoded_nbytes(tensor.values) == len(encoded), tensor.name
    assert codec.decode(encoded).tobytes() == tensor.values.tobytes(), tensor.name
    return len(encoded)


def test_the_trace_is_whole(bundled: Trace) -> None:
    verify(bundled)


def test_the_trace_holds_what_the_scenarios_replay(bundled: Trace, tensors: list[Stored]) -> None:
    assert {"prefill", "pipeline", "handoff", "training"} <= {
        event.phase for event in bundled.communications()
    }
    kinds = {tensor.kind for tensor in tensors}
    expected = {"residual", "kv_key", "kv_value"}
    expected |= {"attention_output_partial", "ffn2_output_partial"}
    assert expected <= kinds
    assert {tensor.batch for tensor in tensors} == {0, 1, 2}
    for kind in expected:
        assert {tensor.batch for tensor in tensors if tensor.kind == kind} == {0, 1, 2}


def test_the_card_says_what_the_model_is(bundled: Trace) -> None:
    card = bundled.manifest.model
    assert "not Google's weights" in card.what_it_is
    assert {"data", "steps", "held_out_bits_per_byte"} <= card.facts.keys()


def test_every_folder_of_traces_stays_small() -> None:
    for folder in sorted(path for path in (ROOT / "traces").iterdir() if path.is_dir()):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size < MAX_FOLDER_NBYTES, folder


def test_fixed_books_code_every_tensor_exactly(tensors: list[Stored], books: CodebookSet) -> None:
    assert sum(check_exact(t, fixed(books, t)) for t in tensors) < sum(
        t.values.nbytes for t in tensors
    )


def test_three_stage_coding_codes_every_tensor_exactly(tensors: list[Stored]) -> None:
    for tensor in tensors:
        check_exact(tensor, HuffmanThreeStage(tensor.view.fmt.name, tensor.view.name))


def test_raw_coding_is_every_tensor_itself(tensors: list[Stored]) -> None:
    for tensor in tensors:
        assert check_exact(tensor, Raw(tensor.view.fmt.name)) == tensor.values.nbytes


def test_the_link_profile_codes_a_sample_exactly(tensors: list[Stored], books: CodebookSet) -> None:
    chosen = {t.kind: t for t in tensors if t.batch >= FROM_BATCH}
    step = max(1, len(tensors) // LINK_SAMPLE)
    for tensor in [*chosen.values(), *tensors[::step]]:
        check_exact(tensor, fixed(books, tensor, "link"))
        check_exact(tensor, HuffmanThreeStage(tensor.view.fmt.name, tensor.view.name, "link"))


def gaps(tensors: Iterable[Stored], books: CodebookSet) -> dict[str, float]:
    """Bytes above the tensors' own Huffman codes on the later batches, in percent, by kind."""
    sums: dict[str, list[int]] = {}
    for tensor in tensors:
        if tensor.batch >= FROM_BATCH:
            codec = fixed(books, tensor)
            own = own_huffman(tensor.values, tensor.view, codec).encoded_nbytes(tensor.values)
            both = sums.setdefault(tensor.kind, [0, 0])
            both[0] += codec.encoded_nbytes(tensor.values)
            both[1] += own
    return {kind: 100 * (coded / own - 1) for kind, (coded, own) in sums.items()}


def test_books_from_earlier_batches_serve_later_ones(
    tensors: list[Stored], books: CodebookSet
) -> None:
    found = gaps(tensors, books)
    assert len(found) >= 5
    assert {kind: gap for kind, gap in found.items() if gap > MAX_GAP_PERCENT} == {}


def test_books_of_another_scale_are_caught(tensors: list[Stored], books: CodebookSet) -> None:
    wrong = CodebookSet(
        tuple(
            Codebook(
                name=book.name,
                dtype=book.dtype,
                view=book.view,
                kind=book.kind,
                layer=book.layer,
                # Exponents 3 higher: every value eight times as large.
                lengths=tuple(np.roll(book.lengths, 3).tolist()),
            )
            for book in books.books
        )
    )
    found = gaps(tensors, wrong)
    assert min(found.values()) > 10 * MAX_GAP_PERCENT


@pytest.fixture(scope="module")
def gemma2(real_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Gemma 2 9B residual streams, imported as a bf16 trace."""
    out = tmp_path_factory.mktemp("gemma") / "trace"
    source = real_gemma / "gemma2-9b-residual-l31.safetensors"
    options = ("--dtype", "bf16", "--kind", "residual", "--out", out)
    assert linksim("trace", "import", source, *options).code == 0
    assert linksim("trace", "verify", out).code == 0
    return out


def gemma_total(gemma2: Path, *arguments: object) -> dict[str, float]:
    common = ("codec", "eval", gemma2, "--codec", "huffman-fixed", "--json")
    document = linksim(*common, *arguments).json()
    assert len(document["tensors"]) == 16
    result: dict[str, float] = document["total"]
    assert result["values"] == 529 * 3584
    return result


def test_books_from_other_prompts_serve_real_gemma_tensors(gemma2: Path) -> None:
    found = gemma_total(gemma2, "--codebooks", "others")
    assert found["gap_to_huffman_percent"] <= MAX_GAP_PERCENT
    assert 0 < found["gap_to_shannon_percent"] < 1.1
    assert found["saved_percent"] > 25


def test_a_book_of_another_scale_is_caught_on_real_gemma_tensors(
    gemma2: Path, tmp_path: Path
) -> None:
    view = symbol_view("exponent", number_format("bf16"))
    values = gaussian(200_000, scale=1e-3)
    build_books([("residual", None, values)], [view.name], "wrong").save(tmp_path / "wrong.json")
    found = gemma_total(gemma2, "--codebooks", tmp_path / "wrong.json")
    assert found["gap_to_huffman_percent"] > 10 * MAX_GAP_PERCENT
    assert json.loads((tmp_path / "wrong.json").read_text())["books"][0]["kind"] == "residual"


def test_the_evaluation_sums_what_the_codec_writes(gemma2: Path) -> None:
    """The command's total against evaluations made by hand, for one prompt."""
    trace = Trace.open(gemma2)
    name = next(iter(trace.manifest.tensors))
    values = trace.tensor(name)
    codec = HuffmanThreeStage("bf16", "exponent")
    by_hand: Evaluation = evaluate(name, "residual", values, codec, codec.symbol_view)
    assert total("all", "residual", [by_hand]).encoded_nbytes == len(codec.encode(values))
    document = linksim("codec", "eval", gemma2, "--codec", "huffman-three-stage", "--json").json()
    assert document["tensors"][0]["encoded_nbytes"] == by_hand.encoded_nbytes
