"""Recording: histograms count every value of the tensors that training really has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="recording needs PyTorch")
transformers = pytest.importorskip("transformers", reason="recording needs transformers")

from linksim.errors import LinksimError  # noqa: E402
from linksim.tensors.dtypes import number_format  # noqa: E402
from linksim.tensors.histograms import histogram  # noqa: E402
from linksim.tensors.views import symbol_view  # noqa: E402
from linksim.traces.capture.checkpoint import Checkpoint  # noqa: E402
from linksim.traces.capture.recording import (  # noqa: E402
    KINDS,
    RecordSettings,
    record,
    rising_powers,
)
from linksim.traces.capture.shards import to_numpy  # noqa: E402
from linksim.traces.capture.training import StepRecorder  # noqa: E402
from linksim.traces.histograms import HistogramArchive  # noqa: E402
from tests.tiny_gemma import GENERATIONS, write_checkpoint, write_text  # noqa: E402

TOKENS, LAYERS, HIDDEN, FFN, SHARDS, STEPS = 12, 3, 32, 64, 4, 4
CUTS: dict[str, Any] = {"tokens": TOKENS, "shards": SHARDS, "steps": STEPS}

VALUES = {
    "ffn1_weight": 2 * HIDDEN * FFN,
    "ffn2_weight": HIDDEN * FFN,
    "ffn1_activation": 2 * TOKENS * FFN,
    "ffn2_activation": SHARDS * TOKENS * HIDDEN,
    "ffn1_weight_gradient": 2 * HIDDEN * FFN,
    "ffn2_weight_gradient": HIDDEN * FFN,
    "ffn1_activation_gradient": 2 * TOKENS * FFN,
    "ffn2_activation_gradient": TOKENS * HIDDEN,
}
"""Values of one layer by kind: gate and up projection are FFN1, partial sums count per shard."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("recording")
    return {
        "checkpoint": write_checkpoint(folder / "checkpoint"),
        "text": write_text(folder / "text.txt"),
        **CUTS,
    }


@pytest.fixture(scope="module")
def recorded(inputs: dict[str, Any]) -> HistogramArchive:
    return record(RecordSettings(**inputs, learning_rate=1e-2, shard_steps=(0, STEPS)))


def test_every_value_is_counted(recorded: HistogramArchive) -> None:
    assert VALUES.keys() == set(KINDS) == set(recorded.card.kinds)
    assert recorded.card.steps == (0, 1, 2, 4)
    for kind, values in VALUES.items():
        for view, symbols in (("pooled", 2), ("exponent", 1)):
            for step in recorded.card.steps:
                whole = recorded.layer_counts(view, step, kind)
                assert whole.shape == (LAYERS, 256)
                assert whole.sum(axis=1).tolist() == [symbols * values] * LAYERS
            parts = recorded.shard_counts(view, 0, kind).sum(axis=2)
            copies = 1 if kind == "ffn2_activation_gradient" else SHARDS
            assert parts.shape == (LAYERS, SHARDS)
            assert set(parts.ravel()) == {symbols * values // copies}


def test_counts_are_of_the_checkpoint_s_weights(
    recorded: HistogramArchive, inputs: dict[str, Any]
) -> None:
    model = Checkpoint.open(inputs["checkpoint"]).load()
    view = symbol_view("exponent", number_format("bf16"))
    width = FFN // SHARDS
    for layer, shard in ((0, 0), (2, 1)):
        mlp = model.model.layers[layer].mlp
        features = slice(shard * width, (shard + 1) * width)
        down = to_numpy(mlp.down_proj.weight[:, features])
        ffn1 = np.concatenate(
            [to_numpy(m.weight[features]).ravel() for m in (mlp.gate_proj, mlp.up_proj)]
        )
        for kind, values in (("ffn1_weight", ffn1), ("ffn2_weight", down)):
            expected = histogram(view.split(values)[0])
            found = recorded.shard_counts("exponent", 0, kind)
            np.testing.assert_array_equal(found[layer, shard], expected)
            # The neighbours are others, so a shard in the wrong place would be seen.
            assert (found[layer, shard - 1] != expected).any()
            assert (found[layer - 1, shard] != expected).any()


def test_training_moves_the_weights(recorded: HistogramArchive) -> None:
    first, last = (recorded.layer_counts("pooled", step, "ffn1_weight") for step in (0, STEPS))
    assert (first != last).any(axis=1).all()
    assert recorded.card.losses[-1] != recorded.card.losses[0]


def test_prompt_positions_of_the_last_layer_get_no_gradient(recorded: HistogramArchive) -> None:
    counts = recorded.layer_counts("exponent", 0, "ffn2_activation_gradient")
    # The last half but one: the last position predicts nothing, the last of the prompt does.
    assert counts[-1, 0] >= TOKENS // 2 * HIDDEN
    assert counts[0, 0] < counts[-1, 0]


def assert_same(first: HistogramArchive, second: HistogramArchive) -> None:
    assert first.card == second.card
    for view in first.card.views:
        np.testing.assert_array_equal(first.layers[view], second.layers[view])
        np.testing.assert_array_equal(first.shards[view], second.shards[view])


@pytest.mark.parametrize("from_scratch", [False, True])
def test_the_same_seed_gives_the_same_histograms(
    inputs: dict[str, Any], from_scratch: bool, tmp_path: Path
) -> None:
    settings = RecordSettings(**inputs, from_scratch=from_scratch, seed=5)
    first = record(settings)
    assert_same(first, record(settings))
    assert first.card.start == ("random weights" if from_scratch else "checkpoint")
    assert first.card.learning_rate == (1e-3 if from_scratch else 2e-5)
    first.save(tmp_path / "archive.npz")
    assert_same(HistogramArchive.load(tmp_path / "archive.npz"), first)


def test_another_seed_starts_from_other_random_weights(inputs: dict[str, Any]) -> None:
    one, other = (
        record(RecordSettings(**inputs, from_scratch=True, seed=seed, record_steps=(0,)))
        for seed in (1, 2)
    )
    assert (one.layers["pooled"] != other.layers["pooled"]).any()


def test_what_is_recorded_does_not_change_the_training(
    recorded: HistogramArchive, inputs: dict[str, Any]
) -> None:
    seen: list[str] = []
    chosen = RecordSettings(**inputs, learning_rate=1e-2, record_steps=(2, 1), shard_steps=())
    sparse = record(chosen, seen.append)
    assert sparse.card.steps == (1, 2)
    assert sparse.shards["pooled"].shape[0] == 0
    np.testing.assert_array_equal(sparse.layers["pooled"], recorded.layers["pooled"][1:3])
    assert [line.split(",")[0] for line in seen] == ["step 0", "step 1", "step 2"]


@pytest.mark.parametrize("generation", [name for name in GENERATIONS if name != "Gemma"])
def test_other_generations_are_recorded(
    generation: str, inputs: dict[str, Any], tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", generation)
    for from_scratch in (False, True):
        changed = inputs | {"checkpoint": checkpoint, "steps": 1, "from_scratch": from_scratch}
        found = record(RecordSettings(**changed))
        counted = found.layers["exponent"].sum(axis=-1)
        assert counted[0, :, 0].tolist() == [VALUES[kind] for kind in KINDS]


def test_steps_are_powers_of_two_by_default() -> None:
    assert rising_powers(1) == (0, 1)
    assert rising_powers(8) == (0, 1, 2, 4, 8)
    assert rising_powers(9) == (0, 1, 2, 4, 8, 9)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "--steps 0: expected at least 1"),
        ({"tokens": 1}, "--tokens 1: expected at least 2"),
        ({"shards": 0}, "--shards 0: expected at least 1"),
        ({"seed": -1}, "--seed -1: expected at least 0"),
        ({"learning_rate": float("nan")}, "--learning-rate nan: expected above 0"),
        ({"learning_rate": 1e38}, "--learning-rate 1e\\+38: expected above 0 and at most 1"),
        ({"record_steps": (0, 9)}, "--record-steps 9: expected 0 to 4"),
        ({"record_steps": ()}, "--record-steps: expected at least one step"),
        ({"shard_steps": (3,)}, "--shard-steps 3: expected recorded steps: 0, 1, 2, 4"),
    ],
)
def test_options_out_of_range(
    inputs: dict[str, Any], changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LinksimError, match=sentence):
        RecordSettings(**(inputs | changes))


def test_widths_that_cannot_be_cut(inputs: dict[str, Any]) -> None:
    with pytest.raises(LinksimError, match="intermediate_size: 64 is not a multiple of --shards 7"):
        record(RecordSettings(**(inputs | {"shards": 7})))


def test_training_that_diverges_is_told(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepRecorder, "run", lambda *arguments: float("nan"))
    with pytest.raises(LinksimError, match="step 0: the loss is nan: expected a --learning-rate"):
        record(RecordSettings(**inputs))
