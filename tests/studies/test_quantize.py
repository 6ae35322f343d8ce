"""The quantizer study: its figures are the codecs' own, kind by kind, and its command's files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from linksim.codecs import BlockFloat, Quantize
from linksim.codecs.distortion import distortion
from linksim.errors import LinksimError
from linksim.studies.quantize import (
    FAMILIES,
    Family,
    decibels,
    hardest_kind,
    markdown,
    study,
    summaries,
)
from linksim.traces.sources import SourceTensor
from tests.conftest import gaussian
from tests.replay.command import linksim

INT = Family("int, g = 32", ("quantize:bits=4,group=32", "quantize:bits=8,group=32"))
MX = Family("mxfp4", ("block-float:format=mxfp4",))
CODED = Family("coded", ("quantize+huffman-fixed:bits=4,group=32",))


def tensor(name: str, kind: str, values: np.ndarray) -> SourceTensor:
    return SourceTensor(name, "file", kind, 0, None, values)


def cubes(seed: int) -> np.ndarray:
    """Heavy tails: a few values of a group stretch its range."""
    values = gaussian(4096, seed, scale=1)
    return values * values * values


TENSORS = [
    tensor("a", "calm", gaussian(3000)),
    tensor("b", "calm", gaussian(5000, 1)),
    tensor("c", "wild", cubes(2)),
]


def test_rows_are_what_the_codecs_make() -> None:
    rows = list(study(TENSORS, [INT, MX]))
    assert [(row.codec[-12:], row.kind) for row in rows] == [
        ("its=4,group=32"[-12:], "calm"),
        ("its=4,group=32"[-12:], "wild"),
        ("its=8,group=32"[-12:], "calm"),
        ("its=8,group=32"[-12:], "wild"),
        ("format=mxfp4"[-12:], "calm"),
        ("format=mxfp4"[-12:], "wild"),
    ]
    codec = Quantize(bits=4, group=32)
    calm = [codec.decode(codec.encode(t.values)) for t in TENSORS[:2]]
    assert rows[0].encoded_nbytes == sum(len(codec.encode(t.values)) for t in TENSORS[:2])
    assert (rows[0].values, rows[0].tensors) == (8000, 2)
    both = np.concatenate([t.values for t in TENSORS[:2]])
    assert decibels(rows[0]) == pytest.approx(distortion(both, np.concatenate(calm)).snr_db)
    wild = TENSORS[2].values
    assert rows[5].distortion == distortion(wild, BlockFloat(format="mxfp4").round_trip(wild))


def test_coded_codes_have_the_same_error_and_fewer_bits() -> None:
    plain, coded = list(study(TENSORS, [INT]))[:2], list(study(TENSORS, [CODED]))
    for one, other in zip(plain, coded, strict=True):
        assert one.distortion == other.distortion
        assert one.bits_per_value > other.bits_per_value + 0.03


def test_summaries_count_every_kind_once() -> None:
    rows = list(study([*TENSORS, tensor("d", "zero", gaussian(64) * 0)], [INT]))
    found = summaries(rows)[0]
    ratios = sorted(decibels(row) for row in rows[:3])
    assert ratios[2] == np.inf
    assert (found.median_db, found.worst_db) == (ratios[1], ratios[0])
    assert found.bits_per_value == pytest.approx(sum(row.bits_per_value for row in rows[:3]) / 3)
    assert hardest_kind(rows) == "wild"
    page = markdown(rows, "an origin")
    assert "| codec | calm | wild | zero |" in page
    assert "| exact |" in page
    document = rows[2].document()
    assert document["snr_db"] is None
    json.dumps(document, allow_nan=False)


def test_all_families_work_on_all_bits() -> None:
    rows = list(study([dataclasses.replace(t, values=t.values[:600]) for t in TENSORS]))
    codecs = [codec for family in FAMILIES for codec in family.codecs]
    assert list(dict.fromkeys(row.codec for row in rows)) == codecs
    assert len(set(codecs)) == len(codecs) == 9 * 7 + 7
    by_codec = {one.codec: one for one in summaries(rows)}
    for family in FAMILIES:
        ratios = [by_codec[codec].median_db for codec in family.codecs]
        assert ratios == sorted(ratios)


def test_nothing_to_study_is_refused() -> None:
    with pytest.raises(LinksimError, match="no tensor to study"):
        list(study([]))
    with pytest.raises(LinksimError, match="expected two"):
        list(study(TENSORS[:1], [CODED]))


def test_the_command_writes_tables_and_figure(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **{t.name: t.values.astype(np.float32) for t in TENSORS})
    out = tmp_path / "out"
    common = ("study", "quantize", tmp_path / "t.npz", "--dtype", "bf16", "--out", out)
    document = linksim(*common, "--json").json()
    assert json.loads((out / "quantize.json").read_text()) == document
    assert {row["kind"] for row in document["rows"]} == {"a", "b", "c"}
    assert (out / "quantize.png").read_bytes()[:4] == b"\x89PNG"
    assert "t.npz" in (out / "quantize.md").read_text()
    shown = linksim(*common, "--kind", "a", "--kind", "c")
    assert (shown.code, shown.err) == (0, "")
    assert "block-float:format=nvfp4" in shown.out
    linksim(*common, "--kind", "x").refused("no tensor to study")
