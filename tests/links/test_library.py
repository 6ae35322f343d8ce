"""The shipped families: every link of them, their evidence, and how they are named."""

import math

import pytest

from linksim.errors import LinksimError
from linksim.links import link_families, link_names, link_preset, names_a_file

EVERY_LINK = [
    (family, variant, part.name)
    for family in link_families()
    for variant in (family.variant_names or (None,))
    for part in family.formats
    if not (part.name == "68B" and variant in ("48", "64"))
]
UCIE_FORMATS = {
    "256B-latency-optional": (256, 2, 4, 250),
    "256B-latency": (256, 2, 4, 236),
    "256B-start-header": (256, 2, 4, 240),
    "256B-end-header": (256, 2, 4, 240),
    "68B": (68, 2, 2, 64),
    "raw": (256, 0, 0, 256),
}


@pytest.mark.parametrize(
    ("name", "gbytes_per_s", "flit_ps", "flight_ps", "payload_gbytes_per_s"),
    [
        ("ucie-standard-x16-16", 32, 8000, 2170, 31.25),
        ("ucie-standard-x16-32", 64, 4000, 2170, 62.5),
        ("ucie-advanced-x64-16", 128, 2000, 2010, 125),
        ("ucie-advanced-x64-32", 256, 1000, 2010, 250),
        ("ucie-advanced-x64-64", 512, 500, 2010, 500),
        ("ucie-standard-x16-4", 8, 32000, 2170, 7.8125),
        ("ucie-advanced-x64-12", 96, 2667, 2010, 93.75),  # 2666.7 ps, rounded up
        ("ucie-advanced-x64-32/68B", 256, 266, 2010, 256 * 64 / 68),  # 265.6 ps
        ("ucie-advanced-x64-32/raw*4", 1024, 250, 2010, 1024),
        ("nvlink3-a100", 300, 480, 300_000, 300 * 128 / 144),
        ("nvlink4-h100", 450, 320, 300_000, 400),
        ("nvlink4-h100/256B", 450, 605, 300_000, 450 * 256 / 272),  # 604.4 ps
        ("nvlink4-link*18", 450, 320, 300_000, 400),
        ("nvlink5-b200", 900, 160, 300_000, 800),
        ("nvlink-c2c-gh200", 450, 320, 5400, 400),
        ("pcie4-x16", 16 * 16 / 8 * 128 / 130, 8887, 114_500, 28.80703),
        ("pcie5-x16", 16 * 32 / 8 * 128 / 130, 4444, 114_500, 57.61407),
        ("pcie5-x4*4", 16 * 32 / 8 * 128 / 130, 4444, 114_500, 57.61407),
        ("pcie6-x16", 128, 2000, 116_500, 118),
        ("bow-256*4", 128, 500, 5170, 128),
    ],
)
def test_rates_and_times(name, gbytes_per_s, flit_ps, flight_ps, payload_gbytes_per_s):
    link = link_preset(name)
    assert link.bits_per_second == int(gbytes_per_s * 8e9)
    assert (link.flit_ps, link.flight_ps) == (flit_ps, flight_ps)
    assert link.payload_bytes_per_second == pytest.approx(payload_gbytes_per_s * 1e9, rel=1e-6)


def test_published_rates_come_out():
    """PCIe 6 x16 with the link header as payload: 121 GB/s; a PCIe 5 x16: 63 GB/s."""
    assert link_preset("pcie6-x16").bits_per_second / 8e9 * (236 + 6) / 256 == 121
    assert math.floor(link_preset("pcie5-x16").bits_per_second / 8e9) == 63


def test_links_that_results_were_made_with_are_as_they_were():
    for name in ("ucie-advanced-x64-32", "ucie-advanced-x64-16", "ucie-standard-x16-32"):
        assert (link_preset(name).credits, link_preset(name).flit.payload_nbytes) == (16, 250)


def check_evidence(link):
    """Exactly one entry for every figure that *link* states."""
    figures = {"lanes", "rate_gtps", "flit", "latency_ns", "propagation_ns", "credits"}
    figures |= {"energy_pj_per_bit", "bit_error_rate"}
    if link.line_code.data_bits != link.line_code.line_bits:
        figures.add("line_code")
    if link.retry is not None:
        figures |= {"retry", "retry.maximum_replays"}
    assert sorted(entry.field for entry in link.evidence) == sorted(figures)


@pytest.mark.parametrize(
    ("family", "variant", "flit"), EVERY_LINK, ids=["-".join(map(str, n[1:])) for n in EVERY_LINK]
)
def test_every_link_loads_with_evidence_for_every_figure(family, variant, flit):
    link = family.preset(variant, flit)
    assert link_preset(link.name) == link
    check_evidence(link)
    assert link.credits * link.flit_ps >= link.round_trip_ps
    assert link.credits >= link.full_rate_credits or link.name.startswith("ucie")
    assert (link.retry is None) == link.flit.raw


@pytest.mark.parametrize("family", link_families(), ids=lambda family: family.name)
def test_a_family_that_lost_an_entry_of_its_evidence_is_seen(family):
    first = family.formats[0].name
    for lost in family.evidence:
        if lost.field.startswith("flit.") and lost.field != f"flit.{first}":
            continue
        left = tuple(entry for entry in family.evidence if entry != lost)
        with pytest.raises(AssertionError):
            check_evidence(family.model_copy(update={"evidence": left}).preset())


def test_evidence_of_a_family_is_of_formats_that_it_has():
    for family in link_families():
        formats = {f"flit.{part.name}" for part in family.formats}
        cited = {entry.field for entry in family.evidence if entry.field.startswith("flit.")}
        assert cited == formats


@pytest.mark.parametrize("family", ["ucie-advanced-x64", "ucie-standard-x16"])
def test_ucie_formats_are_the_specifications(family):
    found = next(other for other in link_families() if other.name == family)
    parts = {
        part.name: (part.nbytes, part.header_nbytes, part.crc_nbytes, part.payload_nbytes)
        for part in found.formats
    }
    assert parts == UCIE_FORMATS
    # Reserved bytes: 10 in the standard formats, 14 not used without optional bytes.
    free = {name: total - sum(others) for name, (total, *others) in parts.items()}
    assert free == {**dict.fromkeys(free, 0), "256B-latency": 14} | {
        "256B-start-header": 10,
        "256B-end-header": 10,
    }


@pytest.mark.parametrize(
    ("family", "energy", "errors"),
    [
        (
            "ucie-advanced-x64",
            [0.5, 0.5, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6],
            [1e-27, 1e-27, 1e-27, 1e-15, 1e-15, 1e-15, 1e-15, 1e-12],
        ),
        (
            "ucie-standard-x16",
            [0.5, 1.0, 1.0, 1.0, 1.25, 1.25, 1.25, 1.25],
            [1e-27, 1e-27, 1e-15, 1e-15, 1e-15, 1e-15, 1e-15, 1e-12],
        ),
    ],
)
def test_ucie_energy_and_errors_by_rate(family, energy, errors):
    rates = [4, 8, 12, 16, 24, 32, 48, 64]
    links = [link_preset(f"{family}-{rate}") for rate in rates]
    assert [link.rate_gtps for link in links] == rates
    assert [link.energy_pj_per_bit for link in links] == energy
    assert [link.bit_error_rate for link in links] == errors
    assert {link.retry.sequence_bits for link in links} == {8}
    assert {link.retry.timer_flits for link in links} == {375}
    assert {link.retry.protocol for link in links} == {"go-back-n"}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("ucie-advanced-x64", "ucie-advanced-x64-32"),
        ("ucie-advanced-x64/68B", "ucie-advanced-x64-32/68B"),
        ("ucie-advanced-x64-32/256B-latency-optional", "ucie-advanced-x64-32"),
        ("ucie-standard-x16-8*2", "ucie-standard-x16-8*2"),
        ("ucie-advanced-x64-16/raw*4", "ucie-advanced-x64-16/raw*4"),
        ("nvlink4", "nvlink4-h100"),
        ("nvlink-c2c", "nvlink-c2c-gh200"),
        ("pcie5*1", "pcie5-x16"),
    ],
)
def test_names(reference, name):
    assert link_preset(reference).name == name
    assert link_preset(name) == link_preset(reference)


def test_link_names_are_names():
    assert len(link_names()) == len(set(link_names())) == 40
    assert all(link_preset(name).name == name for name in link_names())


def test_striping_scales_lanes_and_buffers():
    one = link_preset("ucie-advanced-x64-32/68B")
    four = link_preset("ucie-advanced-x64-32/68B*4")
    assert (one.credits, four.credits) == (4096 // 68, 4 * (4096 // 68))
    assert four.lanes == 256
    assert four.flit_ps == 67  # 66.4


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("pcie9", "unknown link 'pcie9': expected one of bow-256, nvlink-c2c-gh200"),
        ("", "unknown link ''"),
        ("ucie-advanced-x64-", "unknown link 'ucie-advanced-x64-': expected one of ucie"),
        ("ucie-advanced-x64-20", "'ucie-advanced-x64-20': expected one of ucie-advanced-x64-4,"),
        ("ucie-advanced-x64-48/68B", "flit format '68B' at 48 GT/s: expected at most 32 GT/s"),
        ("ucie-advanced-x64-64/68B*2", "flit format '68B' at 64 GT/s: expected at most 32 GT/s"),
        ("ucie-advanced-x64/69B", "has no flit format '69B': expected 256B-latency-optional, "),
        ("pcie5/", "has no flit format '': expected 256B or 128B"),
        ("ucie-advanced-x64*3", "'ucie-advanced-x64*3': expected 1, 2 or 4 after the *"),
        ("nvlink4*0", "link 'nvlink4*0': expected 1 to 64 after the *"),
        ("nvlink4*65", "expected 1 to 64 after the *"),
        ("nvlink4*-1", "expected 1 to 64 after the *"),
        ("nvlink4*2.0", "expected 1 to 64 after the *"),
        ("nvlink4*" + "9" * 5000, "expected 1 to 64 after the *"),
        ("nvlink4*２", "expected 1 to 64 after the *"),
        ("nvlink4*", "expected 1 to 64 after the *"),
        ("nvlink4*2/256B", "link 'nvlink4*2/256B': expected a name, then /FORMAT and *n"),
        ("a/b/c", "link 'a/b/c': expected a name, then /FORMAT and *n"),
        ("none.toml", "none.toml: cannot read the link: No such file"),
        ("none.toml*2", "none.toml: cannot read the link: No such file"),
    ],
)
def test_bad_names_are_one_sentence(reference, expected):
    with pytest.raises(LinksimError) as caught:
        link_preset(reference)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_files():
    files = ["a.toml", "b/a.toml", "a.toml*2", "b.c/a.toml-fast/68B*2"]
    assert all(names_a_file(reference) for reference in files)
    assert not any(names_a_file(reference) for reference in ["ucie-advanced-x64/68B*2", "a/b"])
