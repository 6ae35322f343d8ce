"""Capture: what the hooks record is what the model computes, cut as the trace says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="capture needs PyTorch")
transformers = pytest.importorskip("transformers", reason="capture needs transformers")

from linksim.errors import LinksimError  # noqa: E402
from linksim.tensors.dtypes import Tensor  # noqa: E402
from linksim.traces import Trace  # noqa: E402
from linksim.traces.capture import CaptureSettings, capture, inference  # noqa: E402
from linksim.traces.capture.checkpoint import Checkpoint  # noqa: E402
from linksim.traces.capture.geometry import Clock, Geometry  # noqa: E402
from linksim.traces.capture.shards import shard_slices, to_numpy  # noqa: E402
from linksim.traces.manifest import ComputeEvent  # noqa: E402
from linksim.traces.verify import verify  # noqa: E402
from tests.tiny_gemma import GENERATIONS, write_checkpoint, write_text  # noqa: E402

TOKENS, LAYERS, HIDDEN, FFN, SHARDS = 12, 3, 32, 64, 4
CUTS: dict[str, Any] = {
    "tokens": TOKENS,
    "batches": 2,
    "tensor_parallel": 2,
    "pipeline_stages": 2,
    "shards": SHARDS,
}


@pytest.fixture(scope="module", params=GENERATIONS)
def captured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(checkpoint directory, text file, opened trace) of one Gemma generation."""
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = write_checkpoint(folder / "checkpoint", request.param)
    text = write_text(folder / "text.txt")
    capture(CaptureSettings(checkpoint=checkpoint, text=text, **CUTS), folder / "trace")
    return checkpoint, text, Trace.open(folder / "trace")


def token_ids(text: Path, batch: int) -> Any:
    start = 400 * batch // 2
    return torch.tensor([list(text.read_bytes()[start : start + TOKENS])])


def close_to_sum(partials: list[Tensor], full: Tensor) -> bool:
    """Whether bf16 *partials* sum to bf16 *full* but for one rounding of each (2**-9 relative).

    Twice that bound is allowed, for products accumulated in another order.
    """
    addends = np.stack([partial.astype(np.float64) for partial in partials])
    whole = full.astype(np.float64)
    allowed = 2.0**-8 * (np.abs(addends).sum(axis=0) + np.abs(whole))
    return bool((np.abs(addends.sum(axis=0) - whole) <= allowed).all())


def run_with_outputs(checkpoint: Path, ids: Any) -> tuple[Any, dict[str, Tensor]]:
    """`run_inference` of a loaded checkpoint, and the full outputs of its row-parallel layers."""
    model = Checkpoint.open(checkpoint).load()
    outputs: dict[str, Tensor] = {}
    for index, layer in enumerate(model.model.layers):
        for block, module in (("attention", layer.self_attn.o_proj), ("ffn2", layer.mlp.down_proj)):
            module.register_forward_hook(
                lambda m, i, output, name=f"{block}{index}": outputs.update(
                    {name: to_numpy(output[0])}
                )
            )
    kept = inference.run_inference(model, ids, tensor_parallel=2, residual_layers=[0])
    return kept, outputs


def sums_match(checkpoint: Path, ids: Any) -> bool:
    kept, outputs = run_with_outputs(checkpoint, ids)
    blocks = (("attention", kept.attention_partials), ("ffn2", kept.ffn2_partials))
    return all(
        close_to_sum(partials[layer], outputs[f"{block}{layer}"])
        for block, partials in blocks
        for layer in range(LAYERS)
    )


def test_partials_sum_to_the_full_output(captured: Any) -> None:
    checkpoint, text, _ = captured
    assert sums_match(checkpoint, token_ids(text, 0))


def test_a_wrong_slice_is_caught_by_the_same_check(
    captured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, text, _ = captured

    def swapped(inputs: Any, weight: Any, features: slice) -> Any:
        return inputs[:, features] @ weight.roll(1, dims=1)[:, features].T

    monkeypatch.setattr(inference, "row_parallel_partial", swapped)
    assert not sums_match(checkpoint, token_ids(text, 0))


def test_stored_partials_are_those_of_unmoved_weights(captured: Any) -> None:
    checkpoint, text, trace = captured
    kept, _ = run_with_outputs(checkpoint, token_ids(text, 1))
    for layer in range(LAYERS):
        for rank in range(2):
            attention = trace.tensor(f"b1.l{layer}.attention.tp{rank}")
            assert np.array_equal(attention, kept.attention_partials[layer][rank])
            ffn2 = trace.tensor(f"b1.l{layer}.ffn2.tp{rank}")
            assert np.array_equal(ffn2, kept.ffn2_partials[layer][rank])


def test_cache_and_residual_are_the_models_own(captured: Any) -> None:
    checkpoint, text, trace = captured
    model = Checkpoint.open(checkpoint).load()
    for batch in range(2):
        with torch.no_grad():
            result = model(
                input_ids=token_ids(text, batch), use_cache=True, output_hidden_states=True
            )
        for layer in range(LAYERS):
            cached = result.past_key_values.layers[layer]
            assert np.array_equal(trace.tensor(f"b{batch}.l{layer}.key"), to_numpy(cached.keys[0]))
            assert np.array_equal(
                trace.tensor(f"b{batch}.l{layer}.value"), to_numpy(cached.values[0])
            )
        # Three layers in two stages: 1 and 2; hidden_states[0] is the embedding.
        residual = trace.tensor(f"b{batch}.stage0.residual")
        assert np.array_equal(residual, to_numpy(result.hidden_states[1][0]))


def shards_of(trace: Trace, name: str) -> list[Tensor]:
    return [trace.tensor(f"{name}.shard{index}") for index in range(SHARDS)]


def test_weight_shards_reassemble_bit_for_bit(captured: Any) -> None:
    checkpoint, _, trace = captured
    model = Checkpoint.open(checkpoint).load()
    for layer in range(LAYERS):
        for matrix, axis in (("gate", 0), ("up", 0), ("down", 1)):
            weight = getattr(model.model.layers[layer].mlp, f"{matrix}_proj").weight
            parts = shards_of(trace, f"b0.l{layer}.{matrix}.weight")
            assert parts[0].shape == ((FFN // SHARDS, HIDDEN), (HIDDEN, FFN // SHARDS))[axis]
            assert np.concatenate(parts, axis).tobytes() == to_numpy(weight).tobytes()
            record = trace.record(f"b0.l{layer}.{matrix}.weight.shard2")
            assert record.shard is not None
            assert (record.shard.axis, record.shard.index, record.shard.count) == (axis, 2, SHARDS)


def test_activations_and_gradients_are_those_of_autograd(captured: Any) -> None:
    checkpoint, text, trace = captured
    model, ids = Checkpoint.open(checkpoint).load(), token_ids(text, 0)
    mlp, outputs = model.model.layers[1].mlp, {}
    for matrix in ("gate", "up", "down"):
        module = getattr(mlp, f"{matrix}_proj")
        module.register_forward_hook(lambda m, i, output, key=matrix: outputs.update({key: output}))
    logits = model(input_ids=ids, use_cache=False).logits[0].float()
    for output in outputs.values():
        output.retain_grad()
    half = TOKENS // 2
    torch.nn.functional.cross_entropy(logits[half - 1 : -1], ids[0, half:]).backward()

    for matrix in ("gate", "up"):
        stored = np.concatenate(shards_of(trace, f"b0.l1.{matrix}.activation"), 1)
        assert np.array_equal(stored, to_numpy(outputs[matrix][0]))
        gradient = np.concatenate(shards_of(trace, f"b0.l1.{matrix}.activation_gradient"), 1)
        assert relative_error(gradient, outputs[matrix].grad[0]) < 0.02
        gradient = np.concatenate(shards_of(trace, f"b0.l1.{matrix}.weight_gradient"), 0)
        assert relative_error(gradient, getattr(mlp, f"{matrix}_proj").weight.grad) < 0.02
    assert close_to_sum(shards_of(trace, "b0.l1.down.activation"), to_numpy(outputs["down"][0]))
    gradient = trace.tensor("b0.l1.down.activation_gradient")
    assert relative_error(gradient, outputs["down"].grad[0]) < 0.02
    gradient = np.concatenate(shards_of(trace, "b0.l1.down.weight_gradient"), 1)
    assert relative_error(gradient, mlp.down_proj.weight.grad) < 0.02


def relative_error(stored: Tensor, expected: Any) -> float:
    wanted = expected.detach().float().numpy()
    error = np.linalg.norm(stored.astype(np.float32) - wanted)
    return float(error / np.linalg.norm(wanted))


def test_weights_move_a_little_between_steps(captured: Any) -> None:
    trace = captured[2]
    first = np.concatenate(shards_of(trace, "b0.l0.gate.weight"))
    second = np.concatenate(shards_of(trace, "b1.l0.gate.weight"))
    moved = np.mean(first.view(np.uint16) != second.view(np.uint16))
    assert 0 < moved < 0.5
    assert np.abs(first.astype(np.float32) - second.astype(np.float32)).max() < 0.01


def test_trace_is_whole_and_names_no_folder(captured: Any) -> None:
    checkpoint, _, trace = captured
    verify(trace)
    text = (trace.path / "manifest.json").read_text()
    assert str(trace.path.parent) not in text
    assert str(checkpoint.parent) not in text
    facts = trace.manifest.model.facts
    assert facts["layers"] == LAYERS
    assert facts["text_file"] == "text.txt"
    assert trace.manifest.model.what_it_is == "captured from checkpoint"
    assert trace.manifest.seeds == {"capture": 0}


def test_schedule_follows_the_models_dependencies(captured: Any) -> None:
    trace = captured[2]
    after = {event.id: set(event.after) for event in trace.manifest.events}
    assert after["b0.l0.attention.compute.tp0"] == set()
    assert after["b0.l1.attention.compute.tp1"] == {"b0.l0.ffn2.all_reduce"}
    assert after["b1.l0.attention.compute.tp0"] == {"b0.l2.ffn2.all_reduce"}
    assert after["b0.l1.ffn2.all_reduce"] == {f"b0.l1.ffn2.compute.tp{rank}" for rank in (0, 1)}
    assert after["b1.stage1.compute"] == {"b1.stage0.residual.send", "b0.stage1.compute"}
    assert after["b0.l1.key.send"] == after["b0.l1.value.send"] == {"b0.l1.handoff.compute"}
    assert after["b0.l2.handoff.compute"] == {"b0.l1.handoff.compute"}
    assert after["b1.l0.handoff.compute"] == {"b0.l2.handoff.compute"}
    gathers = [event for event in trace.communications() if event.op == "all_gather"]
    assert len(gathers) == 2 * LAYERS * 3
    assert gathers[0].ranks == ("shard0", "shard1", "shard2", "shard3")


def test_durations_count_every_multiply_add_once() -> None:
    geometry = Geometry(
        layers=3, hidden=32, ffn=64, heads=4, kv_heads=2, head_dim=8, vocabulary=256
    )
    tokens = 12
    projections = tokens * 32 * (32 + 16 + 16 + 32)
    scores = 2 * 32 * tokens * (tokens + 1) // 2
    assert geometry.attention_flops(tokens) == 2 * (projections + scores)
    assert geometry.ffn_flops(tokens) == 2 * 3 * tokens * 32 * 64
    assert geometry.ffn_flops(tokens, 2) * 2 == geometry.ffn_flops(tokens)
    assert geometry.attention_flops(tokens, 2) * 2 == geometry.attention_flops(tokens)
    # Four ranks, two KV heads: each rank still computes one whole KV head.
    assert geometry.attention_flops(tokens, 4) * 4 > geometry.attention_flops(tokens)
    assert Clock(0.5).duration_ps(1000) == 2000


def test_compute_events_carry_the_modelled_duration(captured: Any) -> None:
    trace = captured[2]
    geometry = Geometry(
        layers=3, hidden=32, ffn=64, heads=4, kv_heads=2, head_dim=8, vocabulary=256
    )
    durations = {
        event.id: event.duration_ps
        for event in trace.manifest.events
        if isinstance(event, ComputeEvent)
    }
    expected = round(geometry.attention_flops(TOKENS, 2) / 100)
    assert durations["b0.l0.attention.compute.tp0"] == expected
    assert durations["b0.stage1.compute"] == round(2 * geometry.layer_flops(TOKENS) / 100)


def test_same_seed_same_bytes(captured: Any, tmp_path: Path) -> None:
    checkpoint, text, trace = captured
    settings = CaptureSettings(checkpoint=checkpoint, text=text, **CUTS)
    capture(settings, tmp_path / "again")
    files = [f.relative_to(trace.path) for f in trace.path.rglob("*") if f.is_file()]
    assert len(files) == 1 + 2 * 4
    for file in files:
        assert (trace.path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("plain") / "checkpoint")


def test_recorded_shards_and_layers_are_chosen(plain: Path, tmp_path: Path) -> None:
    text = write_text(tmp_path / "text.txt")
    cuts = CUTS | {"batches": 1, "shards": 8, "record_shards": 2, "training_layers": (2,)}
    card = {"what_it_is": "a test", "held_out_bits_per_byte": 2.5, "log": [1], "bad": float("nan")}
    checkpoint = tmp_path / "copy"
    checkpoint.mkdir()
    for file in plain.iterdir():
        (checkpoint / file.name).write_bytes(file.read_bytes())
    (checkpoint / "training.json").write_text(json.dumps(card))
    settings = CaptureSettings(
        checkpoint=checkpoint, text=text, **(cuts | {"tensor_parallel": 1, "pipeline_stages": 1})
    )
    finished: list[str] = []
    capture(settings, tmp_path / "trace", name="chosen", progress=finished.append)
    manifest = Trace.open(tmp_path / "trace").manifest
    training = [r for r in manifest.tensors.values() if r.kind.startswith("ffn")]
    assert {record.layer for record in training} == {2}
    assert {record.shard.index for record in training if record.shard} == {0, 4}
    assert {event.phase for event in manifest.events} == {"handoff", "training"}
    assert (manifest.name, manifest.model.what_it_is) == ("chosen", "a test")
    assert manifest.model.facts["held_out_bits_per_byte"] == 2.5
    assert not {"log", "bad"} & set(manifest.model.facts)
    assert len(finished) == 2


def test_more_steps_than_batches_read_their_own_slices(plain: Path, tmp_path: Path) -> None:
    text = write_text(tmp_path / "text.txt")
    settings = CaptureSettings(
        checkpoint=plain, text=text, **(CUTS | {"batches": 1, "training_steps": 2})
    )
    capture(settings, tmp_path / "trace")
    trace = Trace.open(tmp_path / "trace")
    assert {r.batch for r in trace.manifest.tensors.values() if r.kind == "ffn1_weight"} == {0, 1}
    assert {r.batch for r in trace.manifest.tensors.values() if r.kind == "kv_key"} == {0}


def test_the_checkpoints_own_tokenizer_is_used(plain: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {f"w{number}": number for number in range(200)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))  # noqa: S106
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    checkpoint = tmp_path / "with-tokenizer"
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.save_pretrained(checkpoint)
    from linksim.traces.capture.text import tokenize

    text = tmp_path / "words.txt"
    # Long gaps between the words force the first guess of a slice's length to grow.
    text.write_text((" " * 60).join(words))
    cut = tokenize(text, checkpoint, 200, tokens=5, count=2)
    assert cut.tokenizer != "bytes"
    assert cut.slices[0].tolist() == [[0, 1, 2, 3, 4]]
    assert 95 <= cut.slices[1][0, 1] <= 105


def expect_error(tmp_path: Path, message: str, checkpoint: Path, **changes: Any) -> None:
    text = changes.pop("text", None) or write_text(tmp_path / "text.txt")
    with pytest.raises(LinksimError, match=message) as caught:
        capture(
            CaptureSettings(checkpoint=checkpoint, text=text, **(CUTS | changes)), tmp_path / "out"
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.part").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensor_parallel": 3}, r"config\.json: num_attention_heads: 4 .*--tensor-parallel 3"),
        ({"shards": 5}, r"config\.json: intermediate_size: 64 .*--shards 5"),
        ({"pipeline_stages": 4}, r"config\.json: num_hidden_layers: 3 .*--pipeline-stages 4"),
        ({"training_layers": (0, 3)}, r"--training-layers 3: expected 0 to 2"),
        ({"tokens": 0}, r"--tokens 0: expected at least 1"),
        ({"tokens": 1}, r"--tokens 1: fine-tuning needs"),
        ({"tokens": 300}, r"text\.txt: text is too short: .* 200 tokens, expected at least 300"),
        ({"training_steps": -1}, r"--training-steps -1"),
        ({"record_shards": 5}, r"--record-shards 5: expected 1 to 4"),
        ({"compute_tflops": float("nan")}, r"--compute-tflops nan"),
        ({"text": Path("no-such-text")}, r"no-such-text: cannot be read"),
    ],
)
def test_bad_options_are_named(
    plain: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    expect_error(tmp_path, message, plain, **changes)


def test_bad_checkpoints_are_named(plain: Path, tmp_path: Path) -> None:
    expect_error(tmp_path, r"config\.json: cannot be read", tmp_path / "absent")

    broken = tmp_path / "broken"
    broken.mkdir()
    config = json.loads((plain / "config.json").read_text())
    (broken / "config.json").write_text("{")
    expect_error(tmp_path, r"config\.json: not JSON", broken)
    for named in (["LlamaForCausalLM"], None, ["Gemma3ForConditionalGeneration"]):
        (broken / "config.json").write_text(json.dumps(config | {"architectures": named}))
        expect_error(tmp_path, r"config\.json: architectures: .*GemmaForCausalLM", broken)
    (broken / "config.json").write_text(json.dumps(config | {"hidden_size": "wide"}))
    expect_error(tmp_path, r"config\.json: not a GemmaForCausalLM configuration", broken)
    (broken / "config.json").write_text(json.dumps(config | {"vocab_size": 300}))
    expect_error(tmp_path, r"broken: no tokenizer", broken)
    (broken / "config.json").write_text(json.dumps(config))
    expect_error(tmp_path, r"broken: weights cannot be loaded", broken)


def test_incomplete_weights_are_named(plain: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_bytes((plain / "config.json").read_bytes())
    whole = (plain / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    expect_error(tmp_path, r"checkpoint: weights cannot be loaded", checkpoint)
    weights = load_file(plain / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    expect_error(tmp_path, r"'model\.layers\.1\.mlp\.down_proj\.weight' is missing", checkpoint)


def test_shards_cover_the_width_without_overlap() -> None:
    covered = [index for part in shard_slices(24, 6) for index in range(24)[part]]
    assert covered == list(range(24))
