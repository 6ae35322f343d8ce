"""Long runs find what is wrong and how long it takes, and refuse bad input in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from hw.compiled import Batch, CompiledCore, pack, unpack
from hw.cores import CONFIGURATIONS
from hw.huffman.layouts import decoded_layout
from hw.long_run import __main__ as long_run
from hw.long_run.measure import measured
from hw.long_run.subjects import SUBJECTS, DecoderSubject, DequantizerSubject, EncoderSubject
from tests.conftest import gaussian
from tests.hw.compiling import needs_compiler

# Some cores are built for their shape alone.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

KNOWN = {one.name: one for one in CONFIGURATIONS}
CORE = "dequantizer-int4-g32-w8"


@pytest.mark.parametrize("count", [1, 31, 700])
def test_words_of_flits_are_the_messages(count):
    """What is fed to a decoder reads as what an encoder must give."""
    decoder = DecoderSubject(KNOWN["speculative-decoder-w8"].build())
    encoder = EncoderSubject(KNOWN["huffman-encoder-w8"].build())
    tensors = [gaussian(count), gaussian(count + 200, seed=1)]
    words = np.concatenate([decoder.payloads(values) for values in tensors])
    assert encoder.given(words) == [encoder.wanted(values) for values in tensors]
    with pytest.raises(ValueError, match="as many words"):
        encoder.given(words[:-1])


@pytest.mark.parametrize("count", [1, 8, 705])
def test_rows_of_values_are_the_values(count):
    """Rows into an encoder, as a decoder would give them; an error is not overlooked."""
    decoder = DecoderSubject(KNOWN["speculative-decoder-w8"].build())
    encoder = EncoderSubject(KNOWN["huffman-encoder-w8"].build())
    values = gaussian(count)
    rows = unpack(encoder.core.i.payload.shape(), encoder.payloads(values))
    del rows["slot"]
    layout = decoded_layout(decoder.shape)
    assert decoder.given(pack(layout, rows)) == [values.tobytes()]
    with pytest.raises(ValueError, match="broken"):
        decoder.given(pack(layout, rows | {"error": rows["last"]}))


def test_idle_cycles_outlast_the_gap_of_a_flit():
    """A message whose last flit ends in a long gap, which a decoder of 16 bits a cycle reads."""
    decoder = DecoderSubject(KNOWN["speculative-decoder-w8"].build())
    values = np.zeros(1, gaussian(1).dtype)
    foretold = decoder.foretold(values)
    pauses = np.diff([foretold.taken[-1], *foretold.given])
    assert 100 < pauses.max() < decoder.idle


class OneBitOff(DequantizerSubject):
    """Expects another sign of the first value."""

    def wanted(self, values):
        good = bytearray(super().wanted(values))
        good[1] ^= 0x80
        return bytes(good)


@needs_compiler
def test_a_core_over_tensors():
    core = KNOWN[CORE].build
    tensors = [(f"t{count}", gaussian(count, seed=count)) for count in (32, 320, 3200)]
    passed: list[int] = []
    found = measured(DequantizerSubject(core()), tensors, lambda: passed.append(1))
    assert found.wrong == []
    assert (found.messages, found.values, len(passed)) == (3, 3552, 6)
    assert (found.modelled, found.model_difference, found.stalls) == (3, 0, 0)
    latency = core().latency
    assert (found.latency.low, found.latency.high, found.flush.high) == (latency,) * 3
    assert found.beyond_rate == latency
    assert found.cycles == 3552 // 8
    assert found.bytes_per_cycle == 16
    broken = measured(OneBitOff(core()), tensors[:2])
    assert broken.wrong == ["t32", "t320", "t32, behind others", "t320, behind others"]


@needs_compiler
def test_a_core_that_gives_nothing_is_wrong(monkeypatch):
    def silent(_, inputs, **__):
        nothing = np.empty((0, 4), np.uint32)
        cycles = np.arange(len(inputs))
        return Batch(nothing, cycles, cycles[:0], stalls=0, cycles=len(inputs))

    monkeypatch.setattr(CompiledCore, "run", silent)
    found = measured(DequantizerSubject(KNOWN[CORE].build()), [("t", gaussian(320))])
    assert found.wrong == ["t", "0 messages out of 1 from t on"]
    assert (found.cycles, found.values_per_cycle, found.latency) == (0, 0, None)
    assert f"{CORE}: 1 messages, 2 wrong" in long_run.lines(CORE, found)


@needs_compiler
def test_long_run_over_the_bundled_trace(bundled_trace, tmp_path, monkeypatch, capsys):
    """Some tensors; exit code 1 where a bit is wrong, and nothing kept of a part of the trace."""
    path = tmp_path / "long-run.json"
    arguments = ["--cores", CORE, "--trace", str(bundled_trace)]
    arguments += ["--every", "299", "--results", str(path)]
    assert long_run.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[CORE]
    assert (found["messages"], found["wrong"], found["modelled"]) == (3, [], 3)
    monkeypatch.setitem(SUBJECTS, "dequantizer", OneBitOff)
    assert long_run.main(arguments) == 1
    captured = capsys.readouterr()
    assert f"{CORE}: 3 messages, 6 wrong" in captured.out
    assert "b0.l0.attention.tp0 differs" in captured.err
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cores", "encoder-w5"], "unknown core 'encoder-w5': expected one of huffman-encoder"),
        (["--cores", CORE, "link-receiver"], "core 'link-receiver' is of kind 'port': expected"),
        (["--every", "0"], "--every 0: expected 1 or more"),
        (["--trace", "no-such-trace"], "no-such-trace"),
        (["--results", "broken.json"], "broken.json: expected what long runs found, as JSON"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    arguments, said, bundled_trace, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    assert long_run.main(["--trace", str(bundled_trace), *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert said in told
    assert told.count("\n") == 1


def test_without_a_compiler_nothing_runs(bundled_trace, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    arguments = ["--trace", str(bundled_trace), "--every", "299", "--cores", CORE]
    assert long_run.main(arguments) == 2
    assert "error: the compiled simulation needs a C++ compiler" in capsys.readouterr().err


@needs_compiler
def test_a_core_that_breaks_the_contract_is_wrong_and_named(bundled_trace, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("cycle 7: an offered payload changed")

    monkeypatch.setattr(CompiledCore, "run", broken)
    arguments = ["--trace", str(bundled_trace), "--every", "299", "--cores", CORE]
    assert long_run.main(arguments) == 1
    assert f"error: {CORE}: cycle 7: an offered payload changed" in capsys.readouterr().err
