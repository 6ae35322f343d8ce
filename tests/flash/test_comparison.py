"""The comparison on a trace's partial sums: figures by hand, and what it must show."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.flash.addends import Addends, addends_of, regrouped
from linksim.flash.collectives import all_reduce
from linksim.flash.comparison import ALL_KINDS, Finding, Grid, compare, document
from linksim.traces.store import Trace
from tests.conftest import gaussian
from tests.replay.synthetic import write_trace

BITS = (2, 3, 4, 6)


@pytest.fixture(scope="module")
def bundled() -> list[Addends]:
    folder = Path(__file__).resolve().parents[2] / "traces" / "bundled"
    return addends_of(Trace.open(folder), [2])


@pytest.fixture(scope="module")
def findings(bundled: list[Addends]) -> list[Finding]:
    grid = Grid(bits=BITS, groups=(32,), zeros=("point",))
    return [one for found in compare(bundled, grid) for one in found]


def snr(findings: list[Finding], algorithm: str, bits: int, spikes: bool = False) -> float:
    (found,) = (
        one.snr_db
        for one in findings
        if (one.algorithm, one.bits, one.spikes, one.kind) == (algorithm, bits, spikes, ALL_KINDS)
    )
    return found


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("spikes", [False, True])
def test_two_step_beats_the_ring_at_equal_bits(
    findings: list[Finding], bits: int, spikes: bool
) -> None:
    two_step, ring = snr(findings, "two-step", bits, spikes), snr(findings, "ring", bits, spikes)
    assert 1 < two_step - ring < 3
    assert ring < snr(findings, "hierarchical", bits, spikes) < two_step


def test_spikes_bring_two_bits_back(findings: list[Finding]) -> None:
    assert snr(findings, "two-step", 2) < 7
    assert snr(findings, "two-step", 2, spikes=True) - snr(findings, "two-step", 2) > 2.5


def test_a_finding_is_what_numpy_says(bundled: list[Addends], findings: list[Finding]) -> None:
    kind = bundled[0].kind
    tensors = [list(one.tensors.values()) for one in bundled if one.kind == kind]
    exact = np.concatenate([sum(t.astype(np.float64) for t in ts).ravel() for ts in tensors])
    quantizer = GroupQuantizer(bits=4)
    made = [
        all_reduce(one.tensors, quantizer, algorithm="ring") for one in bundled if one.kind == kind
    ]
    error = np.concatenate([m.result["tp3"].astype(np.float64) for m in made]) - exact
    (found,) = (
        one
        for one in findings
        if (one.algorithm, one.bits, one.spikes, one.kind) == ("ring", 4, False, kind)
    )
    assert found.snr_db == pytest.approx(10 * math.log10((exact**2).sum() / (error**2).sum()))
    assert found.max_error == np.abs(error).max()
    assert found.max_error_in_rms == pytest.approx(
        np.abs(error).max() / math.sqrt((exact**2).mean())
    )
    # Pieces of 8192 values are whole records: 4.5 bits a value, 6 pieces a rank.
    assert found.bits_per_value == 4.5
    assert found.wire_nbytes == len(made) * 4 * 6 * 8192 * 9 // 16
    assert found.passes == 4


def test_the_document_has_a_row_a_finding(findings: list[Finding]) -> None:
    made = document(findings, origin="x")
    assert made["origin"] == "x"
    assert len(made["rows"]) == len(findings)
    row = dict(zip(made["columns"], made["rows"][0], strict=True))
    assert (row["algorithm"], row["bits"], row["bits_per_value"]) == ("two-step", 16, 16.0)


def test_tensors_are_regrouped_in_order(bundled: list[Addends]) -> None:
    first = list(bundled[0].tensors.values())
    two = regrouped(bundled, 2)
    assert list(two[0].tensors) == ["rank0", "rank1"]
    assert two[0].tensors["rank1"] is first[1]
    assert two[1].tensors["rank0"] is first[2]
    assert len(two) == 2 * len(bundled)
    # 24 tensors of each of two kinds.
    assert [len(regrouped(bundled, ranks)) for ranks in (5, 8, 24)] == [8, 6, 2]
    assert {len(one.tensors) for one in regrouped(bundled, 8)} == {8}
    for ranks in (1, 25):
        with pytest.raises(LinksimError, match=f"{ranks} ranks: "):
            regrouped(bundled, ranks)


def test_a_trace_without_all_reduces_is_refused(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "trace")
    assert len(addends_of(trace)) == 6
    with pytest.raises(LinksimError, match="no all-reduce of bf16 tensors of batch 7"):
        addends_of(trace, [7])


def test_bad_grids_are_refused() -> None:
    with pytest.raises(LinksimError, match="bits is 9"):
        Grid(bits=(9,))
    with pytest.raises(LinksimError, match="algorithm 'tree'"):
        Grid(algorithms=("tree",))
    with pytest.raises(LinksimError, match="no groups to compare"):
        Grid(groups=())
    odd = Addends("x", "kind", {f"r{i}": gaussian(64, seed=i) for i in range(3)})
    with pytest.raises(LinksimError, match="3 ranks: hierarchical cuts them in two halves"):
        list(compare([odd], Grid(bits=(4,))))
