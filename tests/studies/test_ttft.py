"""`linksim study ttft`: figures, verdicts, files, and bad input in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from linksim.errors import LinksimError
from linksim.prefill import Prompts
from linksim.studies import ttft
from linksim.studies.ttft import LOSSLESS, PLAIN, SIDES, WIDTHS, Options, TtftStudy, ttft_study
from linksim.studies.ttft_claims import CLAIMS
from linksim.studies.ttft_lossless import coded_share
from linksim.studies.ttft_tables import (
    assumption_table,
    claim_table,
    first_token_table,
    models_table,
    pays_table,
    study_markdown,
    sweep_table,
)
from linksim.traces.store import Trace
from linksim.units import format_bytes_binary
from tests.conftest import ROOT
from tests.replay.command import files_under, linksim

SIZES = (1 << 16, 1 << 20, 1 << 22)
OPTIONS = Options(
    boxes=("l40-4-wire", "a100-8"),
    models=("llama-3-8b", "gemma-2-2b"),
    sizes=SIZES,
    prompts=Prompts(batch=1, tokens=64),
)
BUNDLED = ROOT / "traces" / "bundled"


@pytest.fixture(scope="module")
def study() -> TtftStudy:
    return ttft_study(OPTIONS, Trace.open(BUNDLED), Fraction(7, 10))


def test_every_format_is_timed_on_every_box(study: TtftStudy) -> None:
    names = tuple(ttft.format_name(bits) for bits in WIDTHS)
    assert study.formats("a100-8") == (PLAIN, *names, LOSSLESS)
    sides = tuple(name + SIDES for name in names)
    assert study.formats("l40-4-wire") == (PLAIN, *names, *sides, LOSSLESS)
    assert len(study.timings) == len(SIZES) * (8 + 14)
    assert len(study.first_tokens) == 2 * (8 + 14)
    for timing in study.timings:
        assert (timing.format == PLAIN) <= (timing.speedup == 1)
    assert study.bits_per_value["INT4"] == 4.125
    assert study.bits_per_value["INT2+SR"] == 2.5


def test_time_to_first_token_is_computing_and_two_all_reduces_a_layer(study: TtftStudy) -> None:
    for row in study.first_tokens:
        layers = {"llama-3-8b": 32, "gemma-2-2b": 26}[row.model]
        assert row.found.all_reduces == 2 * layers
        total = row.found.compute_ps + 2 * layers * row.found.all_reduce_ps
        assert row.found.total_ps == total
        assert row.speedup == pytest.approx(row.plain.total_ps / total)


def test_a_format_pays_only_where_no_larger_size_loses(study: TtftStudy) -> None:
    found = study.pays_from("a100-8", "INT4")
    assert found == 1 << 20
    for timing in study.timings:
        if (timing.box, timing.format) == ("a100-8", "INT4"):
            assert (timing.nbytes >= found) == (timing.speedup > 1)
    # One loss at the largest size, and it pays nowhere.
    lost = tuple(
        replace(t, time_ps=t.plain_ps) if t.nbytes == SIZES[-1] else t for t in study.timings
    )
    assert replace(study, timings=lost).pays_from("a100-8", "INT4") is None
    assert study.pays_from("a100-8", PLAIN) is None


def test_tables_say_what_was_found(study: TtftStudy) -> None:
    for columns, rows in (
        first_token_table(study, "llama-3-8b"),
        models_table(study, ("INT8", "INT4")),
        pays_table(study),
        claim_table(study),
        assumption_table(study),
        sweep_table(study, "a100-8"),
    ):
        assert rows
        assert {len(row) for row in rows} == {len(columns)}
    # Slower matrix products leave communication a smaller share.
    for row in assumption_table(study)[1]:
        shares = [float(cell.split()[0]) for cell in row[1:]]
        assert shares == sorted(shares)
    page = study_markdown(study)
    assert "1 MiB" in page
    assert all(claim.figure in page for claim in CLAIMS)
    assert {claim.grade for claim in CLAIMS} <= {"read in the source", "second-hand"}


def test_the_lossless_share_is_that_of_the_traces_sums() -> None:
    share = coded_share(Trace.open(BUNDLED))
    assert 0.65 < share < 0.72
    with pytest.raises(LinksimError, match="has nothing from batch 99"):
        coded_share(Trace.open(BUNDLED), from_batch=99)
    with pytest.raises(LinksimError, match="has phases"):
        coded_share(Trace.open(BUNDLED), phase="sleep")


FEW = ("--size", 65536, "--size", 1048576, "--batch", 1, "--tokens", 32)
ARGUMENTS = ("study", "ttft", "--box", "a100-8", "--model", "gemma-2-2b", *FEW)


def test_the_command_writes_tables_and_figures(tmp_path: Path) -> None:
    out = tmp_path / "out"
    document = linksim(*ARGUMENTS, BUNDLED, "--out", out, "--json").json()
    assert files_under(out) == ["ttft-sizes.png", "ttft.json", "ttft.md", "ttft.png"]
    assert json.loads((out / "ttft.json").read_text()) == document
    assert document["options"]["prompts"] == {"batch": 1, "tokens": 32}
    assert document["pays_from_nbytes"]["a100-8"]["INT4"] == 1 << 20
    shown = linksim(*ARGUMENTS, BUNDLED, "--out", out)
    assert (shown.code, shown.err) == (0, "")
    assert "Time to first token, gemma-2-2b" in shown.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--box", "b300"), "unknown box 'b300'"),
        (("--box", "a100-8"), "each once"),
        (("--model", "gpt-9"), "unknown model 'gpt-9'"),
        (("--size", "7"), "expected them rising"),
        (("--group", "0"), "group is 0"),
        (("--overlap", "2"), "overlap"),
        (("--tokens", "0"), "tokens: 0"),
        (("--matmul-share", "3"), "matmul_share"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "out"
    linksim(*ARGUMENTS, BUNDLED, "--out", out, *more).refused(message)
    assert files_under(tmp_path) == []


def test_the_page_cites_the_results_that_ship() -> None:
    page = (ROOT / "docs" / "ttft.md").read_text()
    document = json.loads((ROOT / "results" / "study" / "ttft.json").read_text())
    tokens = {
        (row["box"], row["format"]): row
        for row in document["first_tokens"]
        if row["model"] == "llama-3-70b"
    }
    cited = ("INT8", "INT4", "INT2+SR")
    for box_name in ttft.BOXES:
        plain = tokens[box_name, PLAIN]
        share = 1 - plain["compute_ps"] / plain["total_ps"]

        def faster(fmt: str, name: str = box_name) -> tuple[str, str]:
            row = tokens[name, fmt]
            times = tokens[name, PLAIN]["all_reduce_ps"] / row["all_reduce_ps"]
            first = tokens[name, PLAIN]["total_ps"] / row["total_ps"]
            return f"{times:.2f}x", f"{first:.2f}x"

        sums, firsts = zip(*(faster(fmt) for fmt in cited), strict=True)
        line = (
            f"| `{box_name}` | {100 * share:.1f} % | {', '.join(sums)} "
            f"| {', '.join(firsts)} | {', '.join(faster(LOSSLESS))} |"
        )
        assert line in page
        pays = document["pays_from_nbytes"][box_name]
        sizes = [pays[ttft.format_name(bits)] for bits in WIDTHS] + [pays[LOSSLESS]]
        cells = ["never" if n is None else format_bytes_binary(n) for n in sizes]
        assert f"| `{box_name}` | {' | '.join(cells)} |" in page
        shares = [
            f"{100 * one['communication_share']:.1f} %"
            for one in document["communication_share_by_matmul_share"]
            if one["box"] == box_name
        ]
        assert f"| `{box_name}` | {' | '.join(shares)} |" in page
