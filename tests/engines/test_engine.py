"""Engine records: times, copies, what ships, and what is refused."""

import pytest

from linksim.engines import engine_names, engine_record
from linksim.errors import LinksimError

GOOD = """
name = "mine"
description = "a kernel"
codecs = ["huffman-fixed"]
[encoder]
latency_cycles = 10
bytes_per_cycle = 8
clock_hz = 500_000_000
[decoder]
latency_cycles = 4
bytes_per_cycle = 16
clock_hz = 500_000_000
energy_pj_per_byte = 0.5
"""


def test_times_in_whole_cycles(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    engine = engine_record(path)
    assert engine.encoder.latency_ps == 10 * 2000
    assert [engine.encoder.occupancy_ps(n) for n in (0, 1, 8, 9)] == [0, 2000, 2000, 4000]
    assert engine.statistics_ps(1000) == 0
    assert engine.energy_pj(100) is None  # the encoder's is not known
    assert engine.encoder_area_um2 is None


def test_shipped_engines_have_evidence_for_every_number():
    built = {name for name in engine_names() if name.startswith(("huffman-w", "quantizer-"))}
    assert set(engine_names()) - built == {
        "ideal",
        "index-escape-w32",
        "single-stage-bytes-w32",
        "single-stage-w32",
        "three-stage-bytes-w32",
        "three-stage-w32",
    }
    for name in engine_names():
        engine = engine_record(name)
        assert engine.name == name
        fields = {evidence.field for evidence in engine.evidence}
        if name == "ideal":
            continue
        for stage in ("encoder", "decoder"):
            for field in ("latency_cycles", "bytes_per_cycle", "clock_hz"):
                assert f"{stage}.{field}" in fields
            if getattr(engine, stage).area_um2 is not None:
                assert f"{stage}.area_um2" in fields
        if engine.statistics is not None:
            assert {"statistics.count_bytes_per_cycle", "statistics.build_cycles"} <= fields
        assert all("\n" not in evidence.value for evidence in engine.evidence)


def test_copies_multiply_rate_and_area_but_not_latency():
    one, four = engine_record("single-stage-w32"), engine_record("single-stage-w32*4")
    assert four.name == "single-stage-w32*4"
    assert four.encoder_bytes_per_second == 256_000_000_000
    assert four.encoder_area_um2 == 4 * one.encoder_area_um2
    assert four.decoder_area_um2 == 4 * one.decoder_area_um2
    assert four.encoder == one.encoder
    assert four.evidence[-1].grade == "derived"
    assert engine_record("ideal").encoder_bytes_per_second is None


def test_statistics_count_on_all_copies_then_build():
    one, four = engine_record("three-stage-w32"), engine_record("three-stage-w32*4")
    assert one.statistics_ps(64 * 1000) == (1000 + 768) * 1000
    assert four.statistics_ps(64 * 1000) == (250 + 768) * 1000


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("clock_hz = 500_000_000", "clock_hz = 500"), "encoder.clock_hz = 500: expected a clock"),
        (("latency_cycles = 10", "latency_cycles = -1"), "encoder.latency_cycles = -1: expected"),
        (
            ("bytes_per_cycle = 8", 'bytes_per_cycle = "8"'),
            "encoder.bytes_per_cycle = '8': exp",
        ),
        (("bytes_per_cycle = 8", "bytes_per_cycle = true"), "encoder.bytes_per_cycle = True: exp"),
        (("bytes_per_cycle = 8", "bytes_per_cycle = 8.5"), "encoder.bytes_per_cycle = 8.5: exp"),
        (("latency_cycles = 4\n", ""), "field decoder.latency_cycles is missing"),
        (("energy_pj_per_byte = 0.5", "energy = 0.5"), "unknown field decoder.energy"),
        (("energy_pj_per_byte = 0.5", "energy_pj_per_byte = nan"), "picojoules"),
        (("codecs =", "replicas = 0\ncodecs ="), "replicas = 0: expected copies"),
        (('name = "mine"', 'name = " "'), "name"),
        (("[encoder]", "[encoder"), "not a TOML file"),
    ],
)
def test_bad_file_is_one_sentence_with_file_and_field(tmp_path, change, expected):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change, 1))
    with pytest.raises(LinksimError) as caught:
        engine_record(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nonesuch", "unknown engine 'nonesuch': expected one of"),
        ("folder/absent.toml", "folder/absent.toml: cannot read the engine"),
        ("ideal*x", "expected 1 to 1024 after the *"),
        ("ideal*0", "expected 1 to 1024 copies"),
        ("ideal*5000", "expected 1 to 1024 copies"),
    ],
)
def test_bad_reference(reference, expected):
    with pytest.raises(LinksimError, match=expected.replace("*", r"\*")):
        engine_record(reference)
