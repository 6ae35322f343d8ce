"""`linksim bench quantize`: both realisations are compared before they are timed."""

from __future__ import annotations

import pytest

from linksim.benchmarks.quantize_speed import QUANTIZERS, normal_patterns, quantizer_speed
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantize.realisations import COMPILED, CompiledRealisation
from linksim.errors import LinksimError
from tests.replay.command import linksim


def test_the_command_times_every_quantizer() -> None:
    document = linksim("bench", "quantize", "--values", 1000, "--rounds", 1, "--json").json()
    found = document["quantizers"]
    assert [(one["bits"], one["group"]) for one in found] == [(q.bits, q.group) for q in QUANTIZERS]
    for one in found:
        times = one["median_s"]
        assert set(times) == {
            f"{a}/{b}" for a in ("encode", "decode") for b in ("numpy", "compiled")
        }
        ratio = times["encode/numpy"] / times["encode/compiled"]
        assert one["encode_ratio"] == pytest.approx(ratio, abs=0.01)
    shown = linksim("bench", "quantize", "--values", 1000, "--rounds", 1)
    assert (shown.code, shown.err) == (0, "")
    assert "encode, times NumPy" in shown.out


def test_a_realisation_of_other_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = COMPILED.encode
    monkeypatch.setattr(CompiledRealisation, "encode", lambda _, *a: whole(*a)[:-1] + b"\0")
    with pytest.raises(LinksimError, match="do not give the same bits"):
        quantizer_speed(GroupQuantizer(bits=4), normal_patterns(64) | 1, 1)
