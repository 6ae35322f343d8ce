"""`linksim advise`: the fastest format that is accurate enough, and where it starts to pay."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.prefill import HierarchicalSum, LibrarySum, Method, TwoStepSum, box
from linksim.studies.advice import Advice, advise, message_classes, snr_db
from linksim.traces.store import Trace
from tests.conftest import ROOT
from tests.replay.command import linksim

BUNDLED = ROOT / "traces" / "bundled"
SIZES = (1 << 16, 1 << 20, 1 << 22)
METHODS: dict[str, Method] = {
    "bf16": LibrarySum(),
    "INT8": TwoStepSum(name="INT8", quantizer=GroupQuantizer(bits=8, group=128)),
    "INT4": TwoStepSum(name="INT4", quantizer=GroupQuantizer(bits=4, group=128)),
}


@pytest.fixture(scope="module")
def trace() -> Trace:
    return Trace.open(BUNDLED)


def advice(trace: Trace, name: str, floor_db: float) -> tuple[Advice, ...]:
    return advise(
        trace, box(name), METHODS, snr_floor_db=floor_db, sizes=SIZES, phase="prefill", from_batch=2
    )


def test_the_floor_decides_among_the_fast_ones(trace: Trace) -> None:
    for floor_db, best in ((-math.inf, "INT4"), (10, "INT4"), (30, "INT8"), (90, "bf16")):
        for one in advice(trace, "l40-4-host", floor_db):
            assert (one.best, one.best_when_large) == (best, best)
            assert one.candidate("bf16").is_accurate
            assert one.candidate(best).speedup >= 1
            for name in METHODS:
                snr = one.candidate(name).snr_db
                assert one.candidate(name).is_accurate == (snr is None or snr >= floor_db)


def test_small_messages_stay_bf16_on_nvlink(trace: Trace) -> None:
    for one in advice(trace, "a100-4", 10):
        assert (one.nbytes, one.best, one.best_when_large) == (64 << 10, "bf16", "INT4")
        assert one.candidate("INT4").speedup < 1
        assert one.candidate("INT4").pays_from == 1 << 22
        assert one.document()["best_when_large_pays_from"] == 1 << 22


def test_classes_are_kinds_and_sizes(trace: Trace) -> None:
    classes = message_classes(trace, "prefill", 2)
    assert [kind for kind, _ in classes] == ["attention_output_partial", "ffn2_output_partial"]
    every = message_classes(trace, "prefill", 0)
    assert sum(map(len, classes.values())) < sum(map(len, every.values()))
    with pytest.raises(LinksimError, match="no all-reduce in phase 'handoff'"):
        message_classes(trace, "handoff", 0)


def test_errors_are_those_of_the_sums(trace: Trace) -> None:
    events = next(iter(message_classes(trace, "prefill", 2).values()))
    assert snr_db(trace, events, LibrarySum()) is None
    found = [
        snr_db(trace, events, TwoStepSum(name="t", quantizer=GroupQuantizer(bits=b, group=64)))
        for b in (8, 5, 3, 2)
    ]
    assert all(snr is not None for snr in found)
    # A bit is worth 6 dB; bf16 rounding takes some of that at 8 bits.
    steps = [float(a or 0) - float(b or 0) for a, b in pairwise(found)]
    assert steps[0] == pytest.approx(18, abs=3)
    assert steps[1] == pytest.approx(12, abs=3)
    # Three codings on two sides lose against two.
    quantizer = GroupQuantizer(bits=5, group=64)
    sides = snr_db(trace, events, HierarchicalSum(name="s", quantizer=quantizer))
    assert sides is not None
    assert found[1] is not None
    assert sides < found[1]


def test_nothing_to_judge_by_is_refused(trace: Trace) -> None:
    with pytest.raises(LinksimError, match="not a number"):
        advice(trace, "a100-4", math.nan)
    with pytest.raises(LinksimError, match="one size"):
        advise(trace, box("a100-4"), METHODS, snr_floor_db=1, sizes=())


def test_the_command_prints_a_format_and_a_size() -> None:
    arguments = ("advise", BUNDLED, "--box", "l40-4-wire", "--largest", 1 << 16)
    document = linksim(*arguments, "--snr-floor", 15, "--json").json()
    assert document["judged_on"] == "l40-4-wire"
    assert {one["kind"] for one in document["classes"]} == {
        "attention_output_partial",
        "ffn2_output_partial",
    }
    formats = [one["format"] for one in document["classes"][0]["candidates"]]
    assert formats[0] == "bf16"
    assert {"INT4", "INT4 sides", "Huffman"} <= set(formats)
    shown = linksim(*arguments)
    assert (shown.code, shown.err) == (0, "")
    assert "pays from" in shown.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--box", "b300"), "unknown box 'b300'"),
        (("--snr-floor", "nan"), "not a number"),
        (("--phase", "sleep"), "has phases"),
        (("--largest", "5"), "sizes"),
        (("--group", "0"), "group is 0"),
    ],
)
def test_bad_input_is_refused(more: tuple[str, ...], message: str) -> None:
    linksim("advise", BUNDLED, "--largest", 1 << 16, *more).refused(message)


SCENARIO = """
name = "advised"
title = "Ring all-reduce, UCIe x16 at 16 GT/s"
link = "ucie-standard-x16-16"
topology = "ring"

[select]
phase = "prefill"
from_batch = 2

[[run]]
name = "off"
codec = "raw"

[[run]]
name = "single-stage"
codec = "huffman-fixed"
engine = "single-stage-w32*2"

[[run]]
name = "int4"
codec = "quantize"
engine = "ideal"
profile = "bulk"
"""


def test_a_scenario_has_its_own_formats_and_link(tmp_path: Path) -> None:
    file = tmp_path / "advised.toml"
    file.write_text(SCENARIO)
    arguments = ("advise", BUNDLED, "--scenario", file, "--largest", 1 << 16)
    for floor_db, best in ((10, "int4"), (30, "single-stage")):
        document = linksim(*arguments, "--snr-floor", floor_db, "--json").json()
        assert document["judged_on"] == "scenario advised, ucie-standard-x16-16"
        for one in document["classes"]:
            assert (one["nbytes"], one["events"], one["ranks"]) == (64 << 10, 6, 4)
            assert (one["best"], one["best_when_large"]) == (best, best)
            off, lossless, int4 = one["candidates"]
            assert (off["snr_db"], lossless["snr_db"]) == (None, None)
            # One coding of 4 bits, and at most 16 / 4.125 times fewer bytes.
            assert 10 < int4["snr_db"] < 30
            assert 1 < lossless["speedup"] < int4["speedup"] < 16 / 4.125


def test_a_scenario_must_select_and_have_a_profile_that_its_codecs_know(tmp_path: Path) -> None:
    file = tmp_path / "advised.toml"
    arguments = ("advise", BUNDLED, "--scenario", file)
    file.write_text(SCENARIO.replace('profile = "bulk"', 'profile = "link"'))
    linksim(*arguments).refused("no link profile")
    file.write_text(SCENARIO + '[sweep]\nkind = "residual"\nmessage_nbytes = [1024, 2048]\n')
    linksim(*arguments).refused("is a sweep")
    file.write_text(SCENARIO)
    linksim(*arguments, "--largest", 1024).refused("expected two or more")
    linksim(*arguments, "--snr-floor", "nan").refused("not a number")
