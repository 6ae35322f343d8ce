"""The accuracy study: windows, scores by hand, going on where it was, and the model under it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from linksim.errors import LinksimError
from linksim.flash.accuracy import (
    Case,
    Options,
    Study,
    cases,
    plain,
    read_windows,
    run_case,
    stored_run,
)
from tests.conftest import gaussian


class SumsOnly:
    """No model: what it spends on a window is how far one all-reduce's sum is from the exact."""

    def __init__(self, ranks: int) -> None:
        self.tensors = {f"rank{i}": gaussian(512, seed=i, scale=1.0) for i in range(ranks)}
        self.runs = 0

    def code_lengths(
        self, windows: np.ndarray, all_reduce: Callable[[dict[str, np.ndarray]], np.ndarray]
    ) -> np.ndarray:
        self.runs += 1
        exact = sum(tensor.astype(np.float64) for tensor in self.tensors.values())
        error = all_reduce(self.tensors).astype(np.float64) - exact
        return 100 + np.abs(error[: len(windows)])


@pytest.fixture
def options(tmp_path: Path) -> Options:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    text = tmp_path / "text.txt"
    text.write_bytes(np.random.default_rng(3).integers(0, 256, 900, np.uint8).tobytes())
    return Options(
        model=model,
        text=text,
        ranks=(2, 3),
        bits=(2, 4),
        groups=(32,),
        spikes=(False,),
        scored_bytes=80,
        context=16,
    )


def test_windows_are_parts_of_the_text_that_do_not_overlap(options: Options) -> None:
    windows = read_windows(options)
    assert windows.shape == (10, 17)
    text = options.text.read_bytes()
    starts = [text.index(window.tobytes()) for window in windows]
    assert all(later - earlier >= 17 for earlier, later in pairwise(starts))
    assert (windows == read_windows(options)).all()
    assert (windows != read_windows(replace(options, seed=1))).any()
    with pytest.raises(LinksimError, match="900 bytes: expected 1020 or more for 60 windows"):
        read_windows(replace(options, scored_bytes=480))
    with pytest.raises(LinksimError, match="cannot be read"):
        read_windows(replace(options, text=Path("nowhere.txt")))


def test_scores_are_paired_differences(options: Options, tmp_path: Path) -> None:
    windows = read_windows(options)
    study = Study(tmp_path / "out" / "a.json", options, windows)
    models = {ranks: SumsOnly(ranks) for ranks in options.ranks}
    for case in cases(options):
        study.run(case, models.__getitem__)
    scores = study.scores()
    assert len(scores) == 2 * (1 + 2 * 2)
    base = run_case(models[3], windows, plain(3)).window_bits
    case = cases(options)[-1]
    assert (case.ranks, case.algorithm, case.quantizer and case.quantizer.bits) == (3, "ring", 4)
    bits = run_case(models[3], windows, case).window_bits
    found = scores[-1]
    differences = (bits - base) / 8
    assert found.loss == pytest.approx(differences.mean(), abs=1e-6)
    assert found.loss_error == pytest.approx(differences.std(ddof=1) / math.sqrt(10), abs=1e-6)
    assert found.bits_per_byte == pytest.approx(bits.mean() / 8, abs=1e-5)
    assert [one.loss for one in scores if one.bits == 16] == [0, 0]
    # Pieces of 171, 171 and 170 values are six groups of 18 bytes each; each is sent four times.
    assert found.bits_per_value == round(8 * 4 * 3 * 6 * 18 / (4 * 512), 4)


def test_a_study_goes_on_where_it_was(options: Options, tmp_path: Path) -> None:
    windows, path = read_windows(options), tmp_path / "a.json"
    models = {ranks: SumsOnly(ranks) for ranks in options.ranks}
    first = Study(path, options, windows)
    todo = cases(options)
    for case in todo[:3]:
        first.run(case, models.__getitem__)
    again = Study(path, options, windows)
    assert again.scores() == first.scores()
    for case in todo:
        again.run(case, models.__getitem__)
    assert sum(model.runs for model in models.values()) == len(todo)
    assert json.loads(path.read_text())["rows"] == again.document()["rows"]
    # Other windows or weights: nothing that is stored is of use.
    assert Study(path, options, windows[::-1]).scores() == []
    (options.model / "model.safetensors").write_bytes(b"others")
    assert Study(path, options, windows).scores() == []
    path.write_text("{")
    with pytest.raises(LinksimError, match=r"a\.json: not results to go on from"):
        Study(path, options, windows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": (1,)}, "bits is 1"),
        ({"algorithms": ("hierarchical",)}, "expected two-step or ring"),
        ({"scales": ("fp8",)}, "scale 'fp8': expected one of own, fp16, bf16, e8m0, log8"),
        ({"symmetric": True}, "symmetric: expected a scale other than own"),
        ({"scales": ("bf16",), "spikes": (True,)}, "spikes: expected no scale but own"),
        ({"scales": ("bf16",), "bits": (1,)}, "bits is 1"),
        ({"context": 7}, "--context 7"),
        ({"scored_bytes": 15}, "--bytes 15"),
    ],
)
def test_bad_options_are_refused(options: Options, change: dict[str, object], message: str) -> None:
    with pytest.raises(LinksimError, match=message):
        replace(options, **change)


def test_results_without_scale_formats_are_gone_on_from(options: Options, tmp_path: Path) -> None:
    windows, path = read_windows(options), tmp_path / "a.json"
    models = {ranks: SumsOnly(ranks) for ranks in options.ranks}
    first = Study(path, options, windows)
    for case in cases(options):
        first.run(case, models.__getitem__)
    old = json.loads(path.read_text())
    # Files as they were before scale formats could be chosen have one column less.
    assert old["columns"].pop() == "scale"
    old["rows"] = [row[:-1] for row in old["rows"]]
    keys = {frozenset(run["case"]["quantizer"] or ()) for run in old["runs"]}
    assert keys == {frozenset(), frozenset(("bits", "group", "zero", "spikes"))}
    path.write_text(json.dumps(old))
    more = replace(options, scales=("own", "bf16", "e8m0"))
    study = Study(path, more, windows)
    assert study.scores() == first.scores()
    before = sum(model.runs for model in models.values())
    for case in cases(more):
        study.run(case, models.__getitem__)
    # Two rank numbers, two algorithms, two scales, two numbers of bits.
    assert sum(model.runs for model in models.values()) - before == 16
    again = Study(path, more, windows)
    assert again.document() == study.document()
    assert again.document()["runs"][: len(old["runs"])] == old["runs"]
    found = again.scores()[-1]
    assert (found.bits, found.zero, found.scale, found.spikes) == (4, "min", "e8m0", False)
    # Pieces of 171, 171 and 170 values: 86, 86 and 85 bytes of codes, six groups of 3 bytes.
    assert found.bits_per_value == round(8 * 4 * (86 + 86 + 85 + 3 * 18) / (4 * 512), 4)


def test_the_results_that_ship_are_gone_on_from() -> None:
    path = Path(__file__).resolve().parents[2] / "results" / "study" / "flash-accuracy.json"
    document = json.loads(path.read_text())
    named = [stored_run(entry).case for entry in document["runs"]]
    assert len(set(named)) == len(named) == len(document["rows"]) >= 93
    assert [asdict(case) for case in named] == [entry["case"] for entry in document["runs"]]
    scales = [row[document["columns"].index("scale")] for row in document["rows"]]
    assert scales.count("own") + scales.count("") == 93


def test_a_checkpoint_without_weights_is_refused(options: Options, tmp_path: Path) -> None:
    windows = read_windows(options)
    with pytest.raises(LinksimError, match=r"model\.safetensors: cannot be read"):
        Study(tmp_path / "a.json", replace(options, model=tmp_path), windows)


def test_the_sharded_model_is_the_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the model needs PyTorch")
    pytest.importorskip("transformers", reason="the model needs transformers")
    from linksim.flash.pytorch.model import TensorParallelModel
    from linksim.traces.capture.checkpoint import Checkpoint
    from tests.tiny_gemma import write_checkpoint

    folder = write_checkpoint(tmp_path / "model")
    windows = np.random.default_rng(0).integers(0, 256, (6, 33), np.uint8)
    model = TensorParallelModel(folder, 4)
    calls = []

    def wide(partials: dict[str, np.ndarray]) -> np.ndarray:
        calls.append({name: part.shape for name, part in partials.items()})
        return sum(part.astype(np.float32) for part in partials.values()).reshape(-1)

    lengths = model.code_lengths(windows, wide)
    # Two all-reduces a layer; four windows, then two.
    assert len(calls) == 2 * 2 * 3
    assert calls[0] == {f"rank{i}": (4, 32, 32) for i in range(4)}
    whole = Checkpoint.open(folder).load().float().eval()
    tokens = torch.from_numpy(windows.astype(np.int64))
    with torch.no_grad():
        logits = whole(input_ids=tokens[:, :-1]).logits[:, 16:].log_softmax(2)
    expected = -logits.gather(2, tokens[:, 17:, None]).sum((1, 2)).numpy() / math.log(2)
    # Partial sums are rounded to bf16, no more.
    assert np.abs(lengths / expected - 1).max() < 0.01
    run = run_case(model, windows, Case(4, "ring", None))
    assert np.abs(run.window_bits / expected - 1).max() < 0.01
    assert run.bits_per_value == 16
    # The layers are as they were: the same sums give the same lengths again.
    assert (model.code_lengths(windows, wide) == lengths).all()
    halved = model.code_lengths(windows, lambda partials: wide(partials) / 2)
    assert np.abs(halved / expected - 1).max() > 0.01
    for ranks in (1, 3):
        with pytest.raises(LinksimError, match=f"{ranks} ranks: expected 2 or more that divide"):
            TensorParallelModel(folder, ranks)
