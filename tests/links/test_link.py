"""The record of a link: derived figures, errors and retry, striping, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from linksim.errors import LinksimError
from linksim.links import FlitFormat, LinkPreset, Retry, link_preset
from linksim.links.link import checked_preset

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
RETRY = {"protocol": "go-back-n", "sequence_bits": 8, "timer_flits": 375}


def record(**changes):
    return {
        "name": "test",
        "description": "a link",
        "lanes": 16,
        "rate_gtps": 32,
        "latency_ns": 2.5,
        "credits": 4,
        "flit": {"name": "68B", "nbytes": 68, "payload_nbytes": 64},
        **changes,
    }


def link(**changes):
    return LinkPreset.model_validate(record(**changes))


def test_derived_figures(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    mine = link_preset(str(path))
    assert mine.flight_ps == 2500
    assert mine.flit_ps == 1063  # 68 * 8 bits at 512 Gbit/s are 1062.5 ps
    assert mine.round_trip_ps == 1063 + 5000
    assert mine.full_rate_credits == 6  # 1.05 * 6063 / 1063 = 5.99
    assert [mine.flits(n) for n in (0, 1, 64, 65)] == [0, 1, 1, 2]
    assert mine.payload_efficiency == 64 / 68
    assert mine.energy_pj(10) is None
    assert (mine.virtual_channels, mine.bit_error_rate, mine.retry) == (1, 0, None)
    assert link_preset("ucie-advanced-x64-32").energy_pj(10) == pytest.approx(10 * 2048 * 0.6)


@given(
    lanes=st.integers(1, 512),
    rate=st.sampled_from([0.1, 4, 106.25, 212.5]),
    nbytes=st.integers(1, 4096),
    flight_ns=st.floats(0, 2000),
)
def test_full_rate_credits_keep_the_wire_busy(lanes, rate, nbytes, flight_ns):
    flit = {"name": "f", "nbytes": nbytes, "payload_nbytes": nbytes}
    found = link(lanes=lanes, rate_gtps=rate, flit=flit, latency_ns=flight_ns, credits="full-rate")
    needed = 1.05 * found.round_trip_ps / found.flit_ps
    assert found.credits == found.full_rate_credits
    assert needed <= found.credits + 1e-6
    assert found.credits < needed + 1 + 1e-6


@pytest.mark.parametrize(
    ("bit_error_rate", "expected"),
    [
        (0.0, 0.0),
        (1e-27, 2048e-27),  # a naive 1 - (1 - p)^n is 0 here
        (1e-15, 2048e-15),
        (1e-6, 1 - math.exp(2048 * math.log(1 - 1e-6))),
        (0.5, 1.0),
        (1.0, 1.0),
    ],
)
def test_flit_error_rate(bit_error_rate, expected):
    flit = {"name": "raw", "nbytes": 256, "payload_nbytes": 256}
    found = link(flit=flit, bit_error_rate=bit_error_rate).flit_error_rate
    assert found == pytest.approx(expected, rel=1e-9)


def test_retry_defaults_and_bursts():
    retry = Retry(protocol="go-back-n", sequence_bits=8, timer_flits=375)
    assert (retry.maximum_replays, retry.burst_flits) == (4, 1)
    found = link(retry=RETRY, bit_error_rate=1e-12).with_errors(1e-6, burst_flits=3)
    assert found.bit_error_rate == 1e-6
    assert found.retry == retry.model_copy(update={"burst_flits": 3})
    assert [e.field for e in found.evidence] == ["bit_error_rate"]
    assert found.credits == 4
    assert found.with_errors(0).retry == found.retry


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda found: found.with_errors(-1e-6), "bit_error_rate: expected wrong bits per bit"),
        (lambda found: found.with_errors(math.nan), "bit_error_rate: expected wrong bits per bit"),
        (lambda found: found.with_errors(1e-6), "'test': expected retry with a bit_error_rate"),
        (lambda found: found.with_errors(0, burst_flits=2), "'test': expected retry in a link"),
        (
            lambda found: link(retry=RETRY).with_errors(0, burst_flits=0),
            "burst_flits: expected flits that one error",
        ),
        (lambda found: found.striped(300), r"'test\*300': lanes: expected lanes per direction"),
    ],
)
def test_a_link_that_cannot_be_changed_so_says_why(spoil, expected):
    with pytest.raises(LinksimError, match=expected) as caught:
        spoil(link())
    assert "\n" not in str(caught.value)


def test_striped_links_have_as_many_times_the_lanes_and_credits():
    one = link()
    four = one.striped(4)
    assert one.striped(1) is one
    assert (four.name, four.lanes, four.credits) == ("test*4", 64, 16)
    assert four.bits_per_second == 4 * one.bits_per_second
    assert (four.flit_ps, four.flight_ps) == (266, one.flight_ps)
    assert four.evidence[-1].field == "lanes"
    assert "4 x test" in four.evidence[-1].value


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rate_gtps": -32}, "rate_gtps: expected a lane's rate"),
        ({"credits": 0}, "credits: expected flits that the receiver can hold"),
        ({"credits": "plenty"}, 'credits: expected flits .* or "full-rate"'),
        ({"latency_ns": math.nan}, "latency_ns: expected nanoseconds"),
        ({"virtual_channels": 65}, "virtual_channels: expected virtual channels"),
        ({"bit_error_rate": 1.5}, "bit_error_rate: expected wrong bits per bit"),
        ({"bit_error_rate": math.nan}, "bit_error_rate: expected wrong bits per bit"),
        ({"bit_error_rate": 1e-15}, r"expected retry with a bit_error_rate \(1e-15\) above 0"),
        ({"retry": {**RETRY, "sequence_bits": 0}}, "retry.sequence_bits: expected bits"),
        ({"retry": {**RETRY, "protocol": "hope"}}, "retry.protocol: Input should be 'go-back-n'"),
        (
            {"retry": {**RETRY, "timer_flits": 8}},
            r"retry.timer_flits \(8\) to be at least 9, the flit times",
        ),
        (
            {
                "retry": RETRY,
                "flit": {"name": "raw", "nbytes": 64, "payload_nbytes": 64},
            },
            "expected no retry with flit format 'raw'",
        ),
        (
            {"flit": {"name": "f", "nbytes": 68, "payload_nbytes": 64, "maximum_rate_gtps": 16}},
            "flit format 'f' at 32 GT/s: expected at most 16 GT/s",
        ),
    ],
)
def test_nonsense_is_refused(changes, expected):
    with pytest.raises(LinksimError, match=f"^here: {expected}|^here: .*{expected}"):
        checked_preset(record(**changes), "here")


def test_the_shortest_timer_that_outlasts_an_answer_is_good():
    assert link(retry={**RETRY, "timer_flits": 9}).retry.timer_flits == 9


@pytest.mark.parametrize(
    ("header", "crc", "payload", "good"),
    [(2, 2, 64, True), (2, 3, 64, False), (4, 4, 60, True), (-1, 0, 64, False), (0, 0, 69, False)],
)
def test_parts_of_a_flit_fit_into_it(header, crc, payload, good):
    parts = {"header_nbytes": header, "crc_nbytes": crc, "payload_nbytes": payload}
    if good:
        assert not FlitFormat(name="f", nbytes=68, **parts).raw
    else:
        with pytest.raises(ValidationError):
            FlitFormat(name="f", nbytes=68, **parts)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("rate_gtps = 32", "rate_gtps = 32000"),
            "rate_gtps = 32000: expected a lane's rate in GT",
        ),
        (("rate_gtps = 32", 'rate_gtps = "32 GT/s"'), "rate_gtps = '32 GT/s': expected a lane's"),
        (("rate_gtps = 32", "rate_gtps = nan"), "rate_gtps"),
        (("rate_gtps = 32\n", ""), "field rate_gtps is missing"),
        (("lanes = 16", "lanes = 0"), "lanes = 0: expected lanes per direction"),
        (("lanes = 16", "lanes = 16.5"), "lanes = 16.5"),
        (("latency_ns = 2.5", "latency_ns = -1"), "latency_ns = -1: expected nanoseconds"),
        (("credits = 4", "credits = 0"), "credits = 0: expected flits"),
        (("payload_nbytes = 64", "payload_nbytes = 69"), "flit: expected payload_nbytes (69)"),
        (("payload_nbytes = 64", "payload_nbytes = 64\ncrc_nbytes = 5"), "flit: expected header_n"),
        (("[flit]", "[line_code]\ndata_bits = 17\nline_bits = 16\n[flit]"), "line_code"),
        (("[flit]", "latency_us = 1\n[flit]"), "unknown field latency_us"),
        (("[flit]", "bit_error_rate = 1e-6\n[flit]"), "expected retry with a bit_error_rate"),
        (("[flit]", "[flit"), "not a TOML file"),
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
