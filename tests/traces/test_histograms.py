"""Histogram archives: what is written is read again, and damage is told in one sentence."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from linksim.errors import LinksimError
from linksim.traces.histograms import MAX_NBYTES, HistogramArchive, layers_of_shards
from tests.traces.archives import KINDS, REPLICATED, card, random_archive, random_shards


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    random_archive().save(tmp_path / "archive.npz")
    return tmp_path / "archive.npz"


def assert_same(first: HistogramArchive, second: HistogramArchive) -> None:
    assert first.card == second.card
    for one, other in ((first.layers, second.layers), (first.shards, second.shards)):
        assert one.keys() == other.keys()
        for view, counts in one.items():
            assert counts.dtype == other[view].dtype == np.int64
            np.testing.assert_array_equal(counts, other[view])


@pytest.mark.parametrize("shard_steps", [(), (0,), (1, 4), (0, 1, 4)])
def test_what_is_saved_is_loaded(tmp_path: Path, shard_steps: tuple[int, ...]) -> None:
    archive = random_archive(shard_steps=shard_steps)
    archive.save(tmp_path / "new" / "archive.npz")
    assert_same(HistogramArchive.load(tmp_path / "new" / "archive.npz"), archive)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["archive.npz"]


def test_equal_archives_are_equal_files(saved: Path) -> None:
    again = saved.with_name("again.npz")
    random_archive().save(again)
    assert again.read_bytes() == saved.read_bytes()


def test_numpy_reads_the_file(saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as loaded:
        assert sorted(loaded.files) == ["layers_pooled", "metadata", "shards_pooled"]
        assert {loaded[name].dtype for name in loaded.files} == {np.dtype(np.uint8)}
        assert json.loads(loaded["metadata"].tobytes())["steps"] == [0, 1, 4]
        # Two byte planes hold counts below 65536; of the layers, step 0 is in the shards.
        assert loaded["layers_pooled"].shape == (3, 2, 3, 256, 2)
        assert loaded["shards_pooled"].shape == (3, 1, 2, 3, 256, 4)


def test_counts_by_name(saved: Path) -> None:
    archive = HistogramArchive.load(saved)
    shards = random_shards(0)
    np.testing.assert_array_equal(archive.shard_counts("pooled", 0, KINDS[1]), shards[1])
    parts = archive.shard_counts("pooled", 0, KINDS[0])
    np.testing.assert_array_equal(archive.layer_counts("pooled", 0, KINDS[0]), parts.sum(axis=1))
    later = random_shards(4)[0].sum(axis=1)
    np.testing.assert_array_equal(archive.layer_counts("pooled", 4, KINDS[0]), later)


def test_replicated_shards_are_counted_once() -> None:
    shards = random_shards(0)
    whole = layers_of_shards(shards, KINDS, REPLICATED)
    np.testing.assert_array_equal(whole[1], shards[1, :, 0])
    np.testing.assert_array_equal(whole[0], shards[0].sum(axis=1))
    several = layers_of_shards(np.stack([shards, 2 * shards]), KINDS, REPLICATED)
    np.testing.assert_array_equal(several, np.stack([whole, 2 * whole]))


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with np.load(path, allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    change(arrays)
    np.savez_compressed(path, **arrays)


def set_card(arrays: dict[str, Any], **changes: Any) -> None:
    document = json.loads(arrays["metadata"].tobytes()) | changes
    arrays["metadata"] = np.frombuffer(json.dumps(document).encode(), np.uint8)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no metadata": (lambda a: a.pop("metadata"), "metadata: expected JSON"),
    "metadata of floats": (lambda a: a.update(metadata=np.zeros(3)), "metadata: expected JSON"),
    "metadata not JSON": (
        lambda a: a.update(metadata=np.frombuffer(b"{", np.uint8)),
        "metadata: the document: Invalid JSON",
    ),
    "other format": (lambda a: set_card(a, format="linksim-trace"), "metadata: format:"),
    "later version": (lambda a: set_card(a, version=2), "metadata: version:"),
    "falling steps": (lambda a: set_card(a, steps=[1, 0, 4]), "steps: expected rising"),
    "losses missing": (lambda a: set_card(a, losses=[1.0]), "losses: expected 3"),
    "loss not a number": (lambda a: set_card(a, losses=["x", 1, 1]), "metadata: losses.0:"),
    "foreign field": (lambda a: set_card(a, colour=1), "metadata: colour:"),
    "other layers": (lambda a: set_card(a, layers=4), "_pooled: shape"),
    "huge axes": (lambda a: set_card(a, shards=10**12), "_pooled: shape"),
    "other view": (lambda a: set_card(a, views=["exponent"]), "_exponent: is missing"),
    "counts missing": (lambda a: a.pop("shards_pooled"), "shards_pooled: is missing"),
    "counts of floats": (
        lambda a: a.update(layers_pooled=a["layers_pooled"].astype(float)),
        "layers_pooled: dtype float64: expected uint8",
    ),
    "swapped layers and shards": (
        lambda a: a.update(shards_pooled=np.swapaxes(a["shards_pooled"], 3, 5)),
        "shards_pooled: shape",
    ),
    "a scalar": (lambda a: a.update(layers_pooled=np.uint8(1)), "layers_pooled: shape []"),
    "too many planes": (
        lambda a: a.update(layers_pooled=np.repeat(a["layers_pooled"], 3, axis=0)),
        "layers_pooled: shape",
    ),
    "an empty histogram": (
        lambda a: a["layers_pooled"][:, 1, 2, :, 1].fill(0),
        "layers_pooled: a histogram is empty",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_archive_is_refused(saved: Path, change: str) -> None:
    function, sentence = CHANGES[change]
    rewrite(saved, function)
    with pytest.raises(LinksimError) as error:
        HistogramArchive.load(saved)
    said = str(error.value)
    assert said.startswith(f"{saved}: ")
    assert sentence in said
    assert "\n" not in said


@pytest.mark.parametrize("keep", [0, 10, 500, 3000])
def test_a_cut_archive_is_refused(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(LinksimError, match="not a whole histogram archive"):
        HistogramArchive.load(saved)


@pytest.mark.parametrize("place", [0.1, 0.4, 0.7])
def test_a_damaged_archive_is_refused(saved: Path, place: float) -> None:
    data = bytearray(saved.read_bytes())
    start = int(place * len(data))
    data[start : start + 64] = bytes(byte ^ 0xFF for byte in data[start : start + 64])
    saved.write_bytes(data)
    with pytest.raises(LinksimError, match=r"archive\.npz: "):
        HistogramArchive.load(saved)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LinksimError, match=r"missing\.npz: cannot be read: No such file"):
        HistogramArchive.load(tmp_path / "missing.npz")
    with pytest.raises(LinksimError, match="cannot be read: Is a directory"):
        HistogramArchive.load(tmp_path)
    objects = tmp_path / "objects.npz"
    np.savez(objects, metadata=np.array([{}], object))
    with pytest.raises(LinksimError, match="not a whole histogram archive"):
        HistogramArchive.load(objects)
    with zipfile.ZipFile(objects, "w") as archive:
        archive.writestr("metadata.npy", "not an array")
    with pytest.raises(LinksimError, match="metadata"):
        HistogramArchive.load(objects)


def test_a_small_file_that_unpacks_to_much_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linksim.traces.histograms.MAX_NBYTES", 1000)
    with pytest.raises(LinksimError, match="expected at most 1000"):
        HistogramArchive.load(saved)
    assert MAX_NBYTES >= 1 << 30


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shard_steps": (2,)}, "shard_steps: expected some of steps"),
        ({"replicated_kinds": ("residual",)}, "replicated_kinds: expected some of kinds"),
        ({"kinds": ("a", "a"), "replicated_kinds": ()}, "kinds: expected different names"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"views": ("nibbles",)}, "views"),
    ],
)
def test_a_card_must_make_sense(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        card(**changes)


def test_the_bundled_archives(pytestconfig: pytest.Config) -> None:
    folder = pytestconfig.rootpath / "traces" / "histograms"
    for name, start in (("fine-tuning", "checkpoint"), ("from-scratch", "random weights")):
        path = folder / f"{name}.npz"
        assert path.stat().st_size < 600_000
        archive = HistogramArchive.load(path)
        assert (archive.card.start, archive.card.layers, archive.card.shards) == (start, 6, 64)
        for kind in archive.card.kinds:
            for step in archive.card.steps:
                pooled = archive.layer_counts("pooled", step, kind).sum(axis=1)
                exponent = archive.layer_counts("exponent", step, kind).sum(axis=1)
                np.testing.assert_array_equal(pooled, 2 * exponent)
