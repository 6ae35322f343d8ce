"""Families of a user's own: what variants, formats and buffers make of them."""

import pytest

from linksim.errors import LinksimError
from linksim.links import link_preset

FAMILY = """
name = "own"
description = "two rates, two formats"
default = "fast"
lanes = 8
latency_ns = 1.0
buffer_nbytes = 1000
bit_error_rate = 1e-12
stripes = [1, 2]
variants = [
    { name = "slow", rate_gtps = 8, bit_error_rate = 0 },
    { name = "fast", rate_gtps = 16, latency_ns = 3, credits = "full-rate" },
]
formats = [
    { name = "small", nbytes = 40, header_nbytes = 4, crc_nbytes = 4, payload_nbytes = 32 },
    { name = "bare", nbytes = 64, payload_nbytes = 64, maximum_rate_gtps = 8 },
]
[retry]
protocol = "per-packet"
sequence_bits = 10
timer_flits = 100
[[evidence]]
field = "flit.small"
value = "40 bytes"
source = "data sheet"
grade = "unverified"
[[evidence]]
field = "flit.bare"
value = "64 bytes"
source = "data sheet"
grade = "unverified"
[[evidence]]
field = "retry"
value = "per packet"
source = "data sheet"
grade = "unverified"
"""
PLAIN = """
name = "plain"
description = "one link"
lanes = 8
rate_gtps = 16
latency_ns = 1.0
credits = "full-rate"
flit = { name = "64 bytes", nbytes = 68, payload_nbytes = 64 }
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="own.toml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_a_variant_takes_the_place_of_the_familys_figures(written):
    path = written(FAMILY)
    fast, slow = link_preset(path), link_preset(f"{path}-slow")
    assert (fast.name, slow.name) == ("own-fast", "own-slow")
    assert (fast.rate_gtps, fast.latency_ns, fast.bit_error_rate) == (16, 3, 1e-12)
    assert (slow.rate_gtps, slow.latency_ns, slow.bit_error_rate) == (8, 1, 0)
    assert fast.credits == fast.full_rate_credits == 4  # 1.05 * 8500 / 2500 is 3.57
    assert slow.credits == 1000 // 40
    assert [e.field for e in fast.evidence] == ["flit", "retry"]


def test_a_raw_format_has_no_retry_and_its_buffer_holds_fewer_flits(written):
    bare = link_preset(f"{written(FAMILY)}-slow/bare*2")
    assert bare.name == "own-slow/bare*2"
    assert bare.retry is None
    assert (bare.credits, bare.lanes) == (2 * (1000 // 64), 16)
    assert [(e.field, e.value) for e in bare.evidence][:1] == [("flit", "64 bytes")]


def test_a_plain_file_can_be_striped(written):
    path = written(PLAIN)
    one, three = link_preset(path), link_preset(f"{path}*3")
    assert one.credits == 2  # 1.05 * 6250 / 4250 is 1.54
    assert (three.name, three.credits) == ("plain*3", 3 * one.credits)


@pytest.mark.parametrize(
    ("suffix", "change", "expected"),
    [
        ("-quick", ("", ""), "own.toml: unknown link 'own-quick': expected one of own-slow, own-f"),
        ("/large", ("", ""), "own.toml: link 'own' has no flit format 'large': expected small or"),
        ("/bare", ("", ""), "flit format 'bare' at 16 GT/s: expected at most 8 GT/s"),
        ("*3", ("", ""), "own.toml: link 'own*3': expected 1 or 2 after the *"),
        ("", ('"fast"\nlanes', '"quick"\nlanes'), "default 'quick': expected one of the variants"),
        ("", ('name = "slow"', 'name = "fast"'), "variant 'fast': expected it once"),
        ("", ('name = "slow"', 'name = "s/w"'), "variant 's/w': expected a name of letters"),
        ("", ('name = "small"', 'name = "a*2"'), "format 'a*2': expected a name of letters"),
        ("", ("lanes = 8\n", ""), "own.toml: link 'own-fast': lanes: Field required"),
        ("", ("latency_ns = 3,", "latency_ns = -3,"), "latency_ns = -3: expected nanoseconds"),
        (
            "",
            ("lanes = 8", "lanes = 8\ncredits = 4"),
            "expected credits or buffer_nbytes, not both",
        ),
        ("-slow", ("= 1000", "= 39"), "own-slow': credits: expected flits that the receiver can"),
        ("", ("lanes = 8", "lane = 8"), "own.toml: unknown field lane"),
        ("", ("[1, 2]", "[0]"), "stripes.0 = 0: expected links striped"),
    ],
)
def test_bad_families_are_refused_in_one_sentence(written, suffix, change, expected):
    with pytest.raises(LinksimError) as caught:
        link_preset(written(FAMILY.replace(*change, 1)) + suffix)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("-fast", "expected no variant 'fast', as it holds a single link"),
        ("/68B", "expected no flit format but its own, '64 bytes'"),
        ("*0", "expected 1 to 64 after the *"),
    ],
)
def test_a_plain_file_has_no_variants_and_formats(written, suffix, expected):
    with pytest.raises(LinksimError, match=expected.replace("*", r"\*")):
        link_preset(written(PLAIN) + suffix)
