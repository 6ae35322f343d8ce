import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim import units
from linksim.errors import LinksimError


@given(st.integers(0, 10**12), st.integers(1, 10**14))
def test_serialization_is_the_exact_time_rounded_up(nbytes: int, rate: int) -> None:
    duration = units.serialization_ps(nbytes, rate)
    bits = nbytes * 8 * units.PS_PER_S
    assert (duration - 1) * rate < bits <= duration * rate


def test_known_flit_times() -> None:
    # UCIe x64 at 32 GT/s and x16 at 16 GT/s: 256 bytes in 1 ns and 8 ns (UCIe 3.0).
    assert units.serialization_ps(256, 64 * 32 * 10**9) == 1_000
    assert units.serialization_ps(256, 16 * 16 * 10**9) == 8_000
    assert units.cycles_ps(3, 1_500_000_000) == 2_000


@pytest.mark.parametrize("call", [units.serialization_ps, units.cycles_ps])
def test_a_rate_that_is_not_positive_is_refused(call: object) -> None:
    with pytest.raises(LinksimError, match="positive rate"):
        call(1, 0)  # type: ignore[operator]


def test_formats() -> None:
    assert units.format_bytes(1_234_000) == "1.23 MB"
    assert units.format_ps(830_000) == "830 ns"
    assert units.gbytes_per_s(1000, 1000) == 1000.0
