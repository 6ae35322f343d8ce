"""How codebooks age: closed forms, and figures that show the right axis."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linksim.errors import LinksimError
from linksim.studies.aging import (
    CLOSEST_AGES,
    aging,
    divergence_from_average,
    entropy_total_bits,
    layer_aging,
    own_huffman_bits,
    shard_aging,
    step_aging,
)
from linksim.studies.aging_figures import kl_figure
from linksim.studies.aging_report import aging_study, study_tables
from linksim.tensors.histograms import Histogram, kl_divergence_bits
from tests.traces.archives import KINDS, SHARDS_SHAPE, archive_of, random_archive, random_shards

KIND = KINDS[0]
LAYERS, SHARDS = SHARDS_SHAPE[1:3]


def dyadic(rotation: int = 0, total: int = 1 << 20) -> Histogram:
    """int64 [256] with shares 1/2, 1/4, ..., 1/128 and two of 1/256 (of 9 symbols), rotated.

    A Huffman code for it takes exactly its entropy.
    """
    counts = np.zeros(256, np.int64)
    counts[:9] = total >> np.array([1, 2, 3, 4, 5, 6, 7, 8, 8])
    return np.roll(counts, rotation)


def everywhere(counts: Histogram) -> Histogram:
    """The same histogram in every kind, layer and shard."""
    return np.broadcast_to(counts, SHARDS_SHAPE).copy()


def test_shards_that_are_all_equal_do_not_diverge() -> None:
    found = shard_aging(archive_of({0: everywhere(dyadic())}), "pooled", KIND, 0)
    assert found.divergence_bits.shape == (LAYERS, SHARDS)
    np.testing.assert_allclose(found.divergence_bits, 0, atol=1e-12)
    # One count for every unseen symbol is all that one book loses, and it cannot show: the
    # eight most frequent symbols keep their lengths but for code space of 247 symbols.
    assert 0 <= found.over_huffman_percent.max() < 1


def test_divergence_of_disjoint_shards_is_the_log_of_their_number() -> None:
    counts = np.zeros((2, 4, 256), np.int64)
    for layer, shard in np.ndindex(2, 4):
        counts[layer, shard, 4 * layer + shard] = 1 + shard
    np.testing.assert_allclose(divergence_from_average(counts), np.log2(8))


def test_divergence_agrees_with_the_one_of_two_histograms() -> None:
    counts = random_shards(5)[0]
    mean = (counts / counts.sum(axis=-1, keepdims=True)).mean(axis=(0, 1))
    expected = [[kl_divergence_bits(shard, mean) for shard in layer] for layer in counts]
    np.testing.assert_allclose(divergence_from_average(counts), expected, atol=1e-9)


def test_the_one_shard_that_differs_is_found_in_its_place() -> None:
    shards = everywhere(dyadic())
    shards[0, 2, 3] = dyadic(rotation=20)
    found = shard_aging(archive_of({0: shards}), "pooled", KIND, 0)
    for matrix in (found.divergence_bits, found.over_huffman_percent, found.layer_book_percent):
        assert np.unravel_index(matrix.argmax(), matrix.shape) == (2, 3)
    # D(p || mean) of a distribution of its own that is 1 of 12 in the mean.
    assert found.divergence_bits[2, 3] == pytest.approx(np.log2(LAYERS * SHARDS))
    # A book of its layer alone, where it is 1 of 4, serves it better than one of all.
    assert found.layer_book_percent[2, 3] < found.over_huffman_percent[2, 3]
    # Layers and shards the wrong way round would put it elsewhere.
    swapped = divergence_from_average(shards[0].swapaxes(0, 1))
    assert np.unravel_index(swapped.argmax(), swapped.shape) == (3, 2)


def test_sampling_explains_the_divergence_of_draws_from_one_distribution() -> None:
    draw = np.random.default_rng(1)
    shares = np.full(256, 1 / 256)
    shards = draw.multinomial(20_000, shares, SHARDS_SHAPE[:3])
    shards[1] = shards[1, :, :1]
    found = shard_aging(archive_of({0: shards}), "pooled", KIND, 0)
    # 255 / (2 x 20000 x ln 2) bits, less the part of it that is in the mean of 12, too.
    assert found.sampling_bits == pytest.approx(255 / (40_000 * np.log(2)))
    assert found.divergence_bits.mean() == pytest.approx(found.sampling_bits * 11 / 12, rel=0.05)


def test_own_huffman_and_entropy_agree_on_powers_of_two() -> None:
    counts = np.stack([dyadic(), dyadic(rotation=7, total=1 << 12)])
    expected = (1 << 20, 1 << 12)
    bits = sum(2.0**-n * n for n in range(1, 9)) + 2.0**-8 * 8
    np.testing.assert_array_equal(own_huffman_bits(counts), [bits * n for n in expected])
    np.testing.assert_allclose(entropy_total_bits(counts), [bits * n for n in expected])


def test_a_book_does_not_age_where_nothing_moves() -> None:
    archive = archive_of({step: everywhere(dyadic()) for step in (0, 1, 4)})
    found = step_aging(archive, "pooled", KIND)
    later = np.triu_indices(3)
    assert np.ptp(found.over_huffman_percent[later]) == 0
    # What is left at age 0 is the code space of the symbols that were never seen.
    assert 0 <= found.over_huffman_percent[0, 0] < 1
    np.testing.assert_allclose(found.over_huffman_percent, found.over_entropy_percent)
    assert np.isnan(found.over_huffman_percent[np.tril_indices(3, -1)]).all()


def test_a_book_whose_counts_are_all_seen_costs_nothing_at_its_own_step() -> None:
    # Smoothing adds one count to each: of many, it changes no code length here.
    counts = np.full(256, 5000, np.int64)
    counts[:64] = 20_000
    archive = archive_of({0: everywhere(counts), 1: everywhere(np.roll(counts, 128))})
    found = step_aging(archive, "pooled", KIND)
    assert found.over_huffman_percent[0, 0] == found.over_huffman_percent[1, 1] == 0
    # Shares 4/7 in 64 symbols of 7 bits, 3/7 in 192 of 9 bits (64 x 2^-7 + 192 x 2^-9 < 1 leaves
    # 128 of them 8 bits): at step 1 the frequent ones meet longer words.
    assert found.over_huffman_percent[0, 1] > 10


def test_a_book_on_other_symbols_costs_what_its_lengths_say() -> None:
    archive = archive_of({0: everywhere(dyadic()), 1: everywhere(dyadic(rotation=100))})
    found = step_aging(archive, "pooled", KIND)
    # Of 256 symbols, 247 were not seen by the book: they get at least log2(247) bits more.
    coded = 1 + found.over_entropy_percent[0, 1] / 100
    entropy = 2 - 2.0**-7
    assert coded * entropy >= 8 + np.log2(247)
    assert coded * entropy <= 16


def test_curves_leave_out_ages_that_lie_on_top_of_each_other() -> None:
    steps = (0, 1, 4, 512, 513, 516, 600, 1024)
    archive = archive_of({step: random_shards(step) for step in steps})
    found = step_aging(archive, "pooled", KIND)
    ages, percent = found.curve(0)
    assert ages.tolist() == [0, 1, 4, 512, 1024]
    np.testing.assert_array_equal(percent, found.over_huffman_percent[0, [0, 1, 2, 3, 7]])
    ages, percent = found.curve(512)
    assert ages.tolist() == [0, 1, 4, 88, 512]
    np.testing.assert_array_equal(percent, found.over_huffman_percent[3, 3:])
    assert CLOSEST_AGES > 600 / 512


def test_layers_that_differ_are_told_apart() -> None:
    shards = everywhere(dyadic())
    shards[:, 1] = dyadic(rotation=50)
    found = layer_aging(archive_of({0: shards}), "pooled", KIND, 0)
    cost = found.over_huffman_percent
    assert cost.shape == (LAYERS, LAYERS)
    assert cost[0, 2] == cost[2, 0] == cost[0, 0]
    assert min(cost[0, 1], cost[1, 0], cost[1, 2]) > 100
    assert sorted(found.foreign_percent) == sorted(
        cost[i, j] for i in range(3) for j in {0, 1, 2} - {i}
    )
    # The book of all gives layer 1 a third of the code space: about log2(3) bits more of 2.
    assert 50 < found.average_percent[1] < 120
    assert found.average_percent[0] == found.average_percent[2] < found.average_percent[1]


def test_rows_are_books_and_columns_are_coded_layers() -> None:
    # Layer 0 has all symbols, layer 1 one symbol alone: the book of 0 is fine for nobody else,
    # the book of 1 ruins layer 0.
    shards = everywhere(np.full(256, 100, np.int64))
    shards[:, 1] = dyadic()
    cost = layer_aging(archive_of({0: shards}), "pooled", KIND, 0).over_huffman_percent
    entropy = 2 - 2.0**-7
    assert cost[0, 1] == pytest.approx(100 * (8 / entropy - 1))
    assert cost[1, 0] > 60
    assert cost[1, 0] != pytest.approx(cost[0, 1], rel=0.1)


def test_document_is_json_and_whole() -> None:
    document = json.loads(json.dumps(aging(random_archive()).document(), allow_nan=False))
    view = document["views"]["pooled"]
    assert document["card"]["steps"] == [0, 1, 4]
    assert view["over_steps"].keys() == set(KINDS)
    costs = view["over_steps"][KIND]["over_huffman_percent"]
    assert costs[2][:2] == [None, None]
    assert costs[0][1] > costs[0][0] >= 0
    assert [(f["kind"], f["step"]) for f in view["over_layers"]] == [
        (kind, step) for step in (0, 4) for kind in KINDS
    ]
    shards = {found["kind"]: found for found in view["over_shards"]}
    bits = np.array(shards[KIND]["divergence_bits"])
    assert bits.shape == (LAYERS, SHARDS)
    assert shards[KIND]["divergence_max_bits"] == pytest.approx(bits.max(), abs=2e-5)
    # Copies cannot differ from their layer's average.
    assert shards[KINDS[1]]["layer_book_max_percent"] < 0.05


def test_the_study_draws_its_figures_and_repeats_them(tmp_path: Path) -> None:
    scratch = random_archive(start="random weights", shard_steps=())
    document = aging_study([random_archive(), scratch], tmp_path / "one")
    assert [run["card"]["start"] for run in document["runs"]] == ["checkpoint", "random weights"]
    aging_study([random_archive(), scratch], tmp_path / "two")
    for name in ("kl.png", "aging.png", "layers.png"):
        drawn = (tmp_path / "one" / name).read_bytes()
        assert drawn.startswith(b"\x89PNG")
        assert drawn == (tmp_path / "two" / name).read_bytes()


def test_another_distribution_draws_another_figure(tmp_path: Path) -> None:
    drawn = []
    for seed in (0, 9):
        archive = archive_of({0: random_shards(seed)})
        kl_figure(archive.card, [shard_aging(archive, "pooled", KIND, 0)], "pooled", tmp_path / "a")
        drawn.append((tmp_path / "a").read_bytes())
    assert drawn[0] != drawn[1]


def test_tables_state_every_run_and_view() -> None:
    runs = [aging(random_archive()), aging(random_archive(shard_steps=()))]
    titles = [title for title, _, _ in study_tables(runs)]
    assert len(titles) == 3 + 2
    for _, columns, rows in study_tables(runs):
        assert {len(row) for row in rows} == {len(columns)}


def test_archives_that_cannot_be_studied_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LinksimError, match="no archive was recorded shard by shard"):
        aging_study([random_archive(shard_steps=())], tmp_path / "out")
    with pytest.raises(LinksimError, match="only step 0 was recorded"):
        aging_study([archive_of({0: random_shards(0)})], tmp_path / "out")
    assert not (tmp_path / "out").exists()
