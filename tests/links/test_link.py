"""Link presets: derived figures, what ships, and what is refused."""

import pytest

from linksim.errors import LinksimError
from linksim.links import link_names, link_preset

GOOD = """
name = "mine"
description = "a link"
lanes = 16
rate_gtps = 32
latency_ns = 2.5
credits = 4
[flit]
name = "68 B"
nbytes = 68
payload_nbytes = 64
"""


@pytest.mark.parametrize(
    ("name", "gbytes_per_s", "flit_ps", "payload_gbytes_per_s"),
    [
        ("ucie-standard-x16-16", 32, 8000, 31.25),
        ("ucie-standard-x16-32", 64, 4000, 62.5),
        ("ucie-advanced-x64-16", 128, 2000, 125),
        ("ucie-advanced-x64-32", 256, 1000, 250),
        ("nvlink4-h100", 450, 320, 400),
    ],
)
def test_rates(name, gbytes_per_s, flit_ps, payload_gbytes_per_s):
    link = link_preset(name)
    assert link.bits_per_second == gbytes_per_s * 8 * 10**9
    assert link.flit_ps == flit_ps
    assert link.payload_bytes_per_second == pytest.approx(payload_gbytes_per_s * 1e9)


def test_shipped_links_have_evidence_for_every_number_and_credits_for_full_rate():
    assert len(link_names()) == 5
    for name in link_names():
        link = link_preset(name)
        assert link.name == name
        assert {evidence.field for evidence in link.evidence} >= {
            "lanes",
            "rate_gtps",
            "flit",
            "latency_ns",
            "propagation_ns",
            "credits",
            "energy_pj_per_bit",
        }
        assert link.credits * link.flit_ps >= link.round_trip_ps


def test_derived_figures(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    link = link_preset(str(path))
    assert link.flight_ps == 2500
    assert link.flit_ps == 1063  # 68 * 8 bits at 512 Gbit/s are 1062.5 ps
    assert link.round_trip_ps == 1063 + 5000
    assert [link.flits(n) for n in (0, 1, 64, 65)] == [0, 1, 1, 2]
    assert link.payload_efficiency == 64 / 68
    assert link.energy_pj(10) is None
    assert link_preset("ucie-advanced-x64-32").energy_pj(10) == pytest.approx(10 * 2048 * 0.6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("rate_gtps = 32", "rate_gtps = 32000"),
            "rate_gtps = 32000: expected a lane's rate in GT",
        ),
        (("rate_gtps = 32", 'rate_gtps = "32 GT/s"'), "rate_gtps = '32 GT/s': expected a lane's"),
        (("rate_gtps = 32", "rate_gtps = nan"), "rate_gtps"),
        (("lanes = 16", "lanes = 0"), "lanes = 0: expected lanes per direction"),
        (("lanes = 16", "lanes = 16.5"), "lanes = 16.5"),
        (("latency_ns = 2.5", "latency_ns = -1"), "latency_ns = -1: expected nanoseconds"),
        (("credits = 4", "credits = 0"), "credits = 0: expected flits"),
        (("payload_nbytes = 64", "payload_nbytes = 69"), "flit: expected payload_nbytes (69)"),
        (("[flit]", "[line_code]\ndata_bits = 17\nline_bits = 16\n[flit]"), "line_code"),
        (("[flit]", "latency_us = 1\n[flit]"), "unknown field latency_us"),
    ],
)
def test_bad_file_is_one_sentence_with_file_and_field(tmp_path, change, expected):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(*change, 1))
    with pytest.raises(LinksimError) as caught:
        link_preset(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(LinksimError, match="unknown link 'pcie9': expected one of nvlink4-h100"):
        link_preset("pcie9")
