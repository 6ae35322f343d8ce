"""Model, GPU and box cards: shapes that add up, evidence for every figure, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from linksim.errors import LinksimError
from linksim.network.protocols import largest_compatible_flight_ps
from linksim.prefill import (
    box,
    box_card,
    box_names,
    gpu_card,
    gpu_names,
    model_card,
    model_names,
)
from linksim.prefill.cards import BoxCard, GpuCard, ModelCard

BILLIONS = {
    "llama-3-70b": 70.6,
    "llama-3-8b": 8.03,
    "gemma-2-2b": 2.61,
    "gemma-2-9b": 9.24,
    "gemma-2-27b": 27.2,
}
"""Parameters as published; Gemma shares its embeddings with its output."""


@pytest.mark.parametrize("name", model_names())
def test_shapes_have_the_published_number_of_parameters(name: str) -> None:
    model = model_card(name)
    attention = model.hidden * model.head_size * (2 * model.heads + 2 * model.kv_heads)
    layer = attention + 3 * model.hidden * model.ffn
    tables = 1 if name.startswith("gemma") else 2
    total = model.layers * layer + tables * model.vocabulary * model.hidden
    assert total / 1e9 == pytest.approx(BILLIONS[name], rel=0.005)


def test_every_figure_has_evidence() -> None:
    cards: list[ModelCard | GpuCard | BoxCard] = [model_card(name) for name in model_names()]
    cards += [gpu_card(name) for name in gpu_names()]
    cards += [box_card(name) for name in box_names()]
    assert len(cards) == 5 + 3 + 6
    for card in cards:
        assert {one.field for one in card.evidence} <= set(type(card).model_fields)
        assert len(card.evidence) >= 2
    for name in gpu_names():
        fields = set(GpuCard.model_fields) - {"name", "description", "evidence"}
        assert {one.field for one in gpu_card(name).evidence} == fields


def test_the_papers_message_is_128_mib() -> None:
    assert model_card("llama-3-70b").all_reduce_nbytes(8 * 1024) == 128 << 20


def test_boxes_resolve() -> None:
    for name in box_names():
        found = box(name)
        assert found.card.gpus == len(found.ranks) == sum(map(len, found.sides))
        assert found.link.flight_ps <= largest_compatible_flight_ps(found.endpoint, found.link)
    wire, host = box("l40-4-wire"), box("l40-4-host")
    assert [protocol.wire_fraction for protocol in wire.endpoint.protocols] == [0.5, 0.9375, 1]
    assert max(protocol.wire_fraction for protocol in host.endpoint.protocols) < 0.2
    assert (len(wire.sides), len(host.sides)) == (2, 1)
    assert box("a100-8", matmul_share=0.5).gpu.flops_per_second == 156e12


@pytest.mark.parametrize(
    ("folder", "load", "change", "message"),
    [
        ("models/llama-3-8b", model_card, ("kv_heads = 8", "kv_heads = 5"), "a multiple of"),
        ("models/llama-3-8b", model_card, ("layers = 32", "layers = 0"), "layers = 0"),
        ("gpus/l40", gpu_card, ("matmul_share = 0.7", "matmul_share = 70"), "a share from"),
        ("boxes/l40-4-wire", box, ("gpus = 4", "gpus = 3"), "two equal sides"),
        ("boxes/a100-8", box, ('gpu = "a100"', 'gpu = "b300"'), "unknown GPU 'b300'"),
        ("boxes/a100-8", box, ('"switched"', '"torus"'), "topology"),
    ],
)
def test_wrong_cards_are_refused_in_one_sentence(
    tmp_path: Path, folder: str, load: object, change: tuple[str, str], message: str
) -> None:
    shipped = Path(__file__).parents[2] / "linksim/prefill/records" / f"{folder}.toml"
    file = tmp_path / "card.toml"
    text = shipped.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change, 1))
    assert callable(load)
    with pytest.raises(LinksimError, match=message) as caught:
        load(file)
    assert "\n" not in str(caught.value)
