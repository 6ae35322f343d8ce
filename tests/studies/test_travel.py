"""How far codebooks travel: what is learnt from what, losses in exact bytes, link bias policies."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import ml_dtypes
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from typer.testing import CliRunner

from linksim.cli.travel import travel_command
from linksim.codecs import HuffmanFixed
from linksim.codecs.chunk import MAX_BIAS, MIN_BIAS
from linksim.codecs.evaluation import evaluate
from linksim.errors import LinksimError
from linksim.studies.link_bias import FLIT_VALUES, POLICIES, link_bias, policy_bits
from linksim.studies.travel import VIEW, Judge, study_document, travel_study
from linksim.studies.travel_messages import Message, messages_of
from linksim.studies.travel_results import (
    BIAS,
    MODEL,
    MODELS,
    NO_BIAS,
    PROMPTS,
    SCHEMES,
    SETS,
    TABLE,
    by_site,
    within,
)
from linksim.tensors.channel_offsets import exponents
from tests.conftest import gaussian, gaussian_book
from tests.replay.synthetic import write_trace


def draw(rows: int, channels: int, seed: int, octaves: int = 0) -> np.ndarray:
    """bf16 [rows, channels]; a scale of its own per channel, the same for every seed."""
    scales = np.random.default_rng(99).integers(-3, 4, channels)
    even = gaussian(rows * channels, seed=seed).astype(np.float32).reshape(rows, channels)
    return np.ldexp(even, scales + octaves).astype(ml_dtypes.bfloat16)


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Three models: prompts as entries, prompts as an axis, and sites of one message."""
    prompts = {f"sun.prompt_0{k}": draw(20, 64, k).astype(np.float32) for k in range(3)}
    save_file(prompts, tmp_path / "first.safetensors")
    stacked = np.stack([draw(16, 64, 10, 5), draw(16, 64, 11, 9)], axis=1)
    np.savez(tmp_path / "second.npz", residual=stacked.astype(np.float32))
    sites = {name: draw(6, 50, seed, -8) for seed, name in enumerate(("gate", "up"), 20)}
    sites = {name: values.astype(np.float32) for name, values in sites.items()}
    np.savez(tmp_path / "third.npz", copy_of_up=sites["up"], **sites)
    return [tmp_path / name for name in ("first.safetensors", "second.npz", "third.npz")]


def test_messages_are_cut_by_model_and_site(models: list[Path]) -> None:
    messages = messages_of(models)
    assert [(m.model, m.site, m.name, m.values.shape) for m in messages] == [
        *(("first", "prompts", f"sun.prompt_0{k}", (20, 64)) for k in range(3)),
        ("second", "residual.0", "residual.0.even", (8, 64)),
        ("second", "residual.0", "residual.0.odd", (8, 64)),
        ("second", "residual.1", "residual.1.even", (8, 64)),
        ("second", "residual.1", "residual.1.odd", (8, 64)),
        ("third", "copy_of_up", "copy_of_up", (6, 50)),
        ("third", "gate", "gate", (6, 50)),
    ]
    assert np.array_equal(messages[3].values, draw(16, 64, 10, 5)[::2])
    assert np.array_equal(messages[6].values, draw(16, 64, 11, 9)[1::2])


def test_a_kind_and_batch_of_a_trace_is_a_message(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "trace")
    messages = messages_of([tmp_path / "trace"])
    kinds = {record.kind for record in trace.manifest.tensors.values()}
    assert {m.site for m in messages} == kinds
    assert all(m.origin for m in messages)
    nbytes = sum(trace.tensor(name).nbytes for name in trace.manifest.tensors)
    assert sum(m.values.nbytes for m in messages) == nbytes


def test_no_book_has_seen_a_row_that_it_is_judged_on() -> None:
    first = draw(20, 64, 0)
    shared = np.concatenate([first[:5], draw(15, 64, 1)])
    mine, other = Message("a", "s", "0", first), Message("a", "s", "1", shared)
    assert other.new_rows(mine).tolist() == [False] * 5 + [True] * 15
    far = Message("b", "t", "0", draw(20, 64, 5))
    seen = Judge([mine, other, far]).travel(mine)
    apart = Judge([mine, Message("a", "s", "1", shared[5:]), far]).travel(mine)
    assert seen == apart
    # A copy teaches nothing at all.
    copy = Judge([mine, Message("a", "s", "1", first.copy()), far]).travel(mine)
    assert copy.costs[PROMPTS] == {}


def test_losses_are_those_of_real_messages(models: list[Path]) -> None:
    judge = Judge(messages_of(models))
    message = judge.messages[0]
    found = judge.travel(message)
    books = judge.of_other_models("first")
    assert set(found.costs[MODELS]) == {NO_BIAS, BIAS, *(SETS[k] for k in (1, 2, 4)), TABLE}
    assert set(found.costs[PROMPTS]) == {NO_BIAS, BIAS, SETS[1], SETS[2], TABLE}
    assert found.costs[MODEL] == {}
    values = message.values.reshape(-1)
    for scheme in (NO_BIAS, BIAS, SETS[1], SETS[4]):
        codec = HuffmanFixed(books[scheme], exponent_bias=scheme != NO_BIAS)
        real = evaluate("", "", values, codec, VIEW)
        assert found.costs[MODELS][scheme].nbytes == real.encoded_nbytes
        assert found.own.nbytes == real.huffman_nbytes
        loss = 100 * 8 * (real.encoded_nbytes - real.huffman_nbytes) / (16 * values.size)
        assert found.loss_percent(MODELS, scheme) == pytest.approx(loss)
    assert found.loss_percent(MODEL, NO_BIAS) is None
    # One model is the others' at another scale: without a bias nothing fits, with one all but.
    assert found.loss_percent(MODELS, NO_BIAS) > 10
    assert abs(found.loss_percent(MODELS, SETS[1])) < 2
    # The channels' scales are what the table takes out.
    assert found.loss_percent(PROMPTS, TABLE) < -3
    assert found.loss_percent(MODELS, TABLE) < -3
    # Of one chunk, code bits and message bytes differ by rounding and framing alone.
    more = 8 * (found.costs[MODELS][SETS[1]].nbytes - found.own.nbytes)
    assert abs(more - (found.costs[MODELS][SETS[1]].code_bits - found.own.code_bits)) < 8


def test_more_books_never_lose_more_than_rounding(models: list[Path]) -> None:
    judge = Judge(messages_of(models))
    for message in judge.messages:
        found = judge.travel(message)
        for costs in found.costs.values():
            assert costs.get(NO_BIAS) is None or costs[BIAS].nbytes <= costs[NO_BIAS].nbytes
            assert all(cost.nbytes > found.values for cost in costs.values())


def test_the_sums_and_what_is_within(models: list[Path]) -> None:
    judge = Judge(messages_of(models))
    travelled = [judge.travel(message) for message in judge.messages]
    sites = by_site(travelled)
    assert [(s.model, s.site, s.messages) for s in sites] == [
        ("first", "prompts", 3),
        ("second", "residual.0", 2),
        ("second", "residual.1", 2),
        ("third", "copy_of_up", 1),
        ("third", "gate", 1),
    ]
    first = [t.loss_percent(MODELS, SETS[1]) for t in travelled[:3]]
    assert sites[0].losses[MODELS][SETS[1]] == pytest.approx(np.mean(first), abs=1e-3)
    assert TABLE not in sites[-1].losses[MODELS]
    near = within(sites, MODELS, SETS[1], 2.0)
    assert near["sites"] == 5
    far = within(sites, MODELS, NO_BIAS, 2.0)
    assert far["beyond"] == {
        s.label: s.losses[MODELS][NO_BIAS] for s in sites if s.losses[MODELS][NO_BIAS] > 2
    }


def test_the_study_draws_and_can_be_written_down(models: list[Path], tmp_path: Path) -> None:
    document = travel_study(models, tmp_path / "deep" / "out")
    figure = tmp_path / "deep" / "out" / "travel.png"
    assert figure.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.loads(json.dumps(document)) == document
    assert len(document["messages"]) == 9
    assert [site["site"] for site in document["sites"]][:2] == ["prompts", "residual.0"]
    assert set(document["within"]) == {PROMPTS, MODELS}
    again = travel_study(models, tmp_path / "again")
    assert again == document
    assert (tmp_path / "again" / "travel.png").read_bytes() == figure.read_bytes()


def test_one_model_alone_is_refused(models: list[Path], tmp_path: Path) -> None:
    with pytest.raises(LinksimError, match="first: expected tensors of at least two models"):
        travel_study(models[:1], tmp_path / "out")
    with pytest.raises(LinksimError, match="expected different names"):
        messages_of([models[0], models[0]])
    with pytest.raises(LinksimError, match=r"none\.npy: no such file"):
        messages_of([tmp_path / "none.npy"])
    assert not (tmp_path / "out").exists()


def test_the_command(models: list[Path], tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(travel_command)
    arguments = [*map(str, models), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert len(document["sites"]) == 5
    (tmp_path / "file").write_text("mine")
    refused = CliRunner().invoke(app, [str(models[0]), "--out", str(tmp_path / "file")])
    assert isinstance(refused.exception, LinksimError)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_policies_on_a_hand_made_message() -> None:
    # Three flits whose best biases are 2, 2 and -1; every place off costs 10 bits.
    best = np.array([2, 2, -1])
    biases = np.arange(MIN_BIAS, MAX_BIAS + 1)
    bits = 100 + 10 * np.abs(biases[None] - best[:, None])
    assert policy_bits(bits) == {
        "none": 100 + 20 + 100 + 20 + 100 + 10,
        "message": 300 + 30,
        "flit": 300,
        # Starts at 0, then 2, then 2.
        "previous": 120 + 100 + 130,
        # Starts at 0, then 1, then 2.
        "climb": 120 + 110 + 130,
    }
    assert policy_bits(bits, start=2)["previous"] == 100 + 100 + 130


@given(st.integers(0, 2**32 - 1), st.integers(MIN_BIAS, MAX_BIAS))
def test_no_policy_beats_the_best_bias_of_every_flit(seed: int, start: int) -> None:
    bits = np.random.default_rng(seed).integers(1, 1000, (5, MAX_BIAS - MIN_BIAS + 1))
    found = policy_bits(bits, start)
    assert list(found) == list(POLICIES)
    assert all(found["flit"] <= total for total in found.values())
    assert found["message"] <= found["none"]


def test_a_steady_message_needs_its_bias_once() -> None:
    values = gaussian(FLIT_VALUES * 20 + 5, scale=0.02 * 2**6)
    flat = exponents(values)
    found = link_bias("steady", [flat, flat], gaussian_book(), gaussian_book())
    assert found.flits == 40
    assert found.bits_per_symbol["none"] == found.plain_bits_per_symbol
    assert found.bits_per_symbol["message"] < found.plain_bits_per_symbol - 2
    assert found.bits_per_symbol["previous"] < found.bits_per_symbol["none"]
    document = found.document()
    assert set(document["above_own_percent_of_value"]) == set(POLICIES)
    with pytest.raises(LinksimError, match="short: no message fills a flit"):
        link_bias("short", [flat[:100]], gaussian_book(), gaussian_book())


def test_the_claims_hold_on_real_tensors(real_gemma: Path, bundled_trace: Path) -> None:
    messages = messages_of([*sorted(real_gemma.glob("*.safetensors")), bundled_trace])
    judge = Judge(messages)
    wanted = [m for m in messages if m.name in ("snow.prompt_01", "residual.0.even", "residual")]
    found = [judge.travel(m) for m in wanted if not m.origin]
    assert [one.model.split("-")[1] for one in found] == ["9b", "31b", "e2b"]
    assert all((one.loss_percent(MODELS, SETS[1]) or 9) < 2 for one in found)
    assert all((one.loss_percent(PROMPTS, NO_BIAS) or 9) < 0.5 for one in found[:2])
    assert all((one.loss_percent(MODELS, NO_BIAS) or 0) > 2.5 for one in found)
    # Channels of Gemma 4 31B differ in scale far more than those of Gemma 2 9B.
    assert (found[1].loss_percent(MODELS, TABLE) or 0) < -4
    assert (found[0].loss_percent(MODELS, TABLE) or 0) < (
        found[0].loss_percent(MODELS, SETS[1]) or 0
    )


def test_the_figure_needs_no_known_scheme() -> None:
    judge = Judge([Message("a", "s", "0", draw(4, 8, 1)), Message("b", "t", "0", draw(4, 8, 2))])
    travelled = [judge.travel(message) for message in judge.messages]
    with patch("linksim.studies.travel_figures.travel_figure") as drawn:
        document = study_document(judge, travelled, Path())
    assert drawn.call_count == 1
    assert document["link_bias"] == []
    assert set(document["schemes"]) == set(SCHEMES)
