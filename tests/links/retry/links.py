"""Links and errors for the tests of retry, drawn by hypothesis or by name."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.links.retry import FlitErrors, RetryLink, RetryResult, run_go_back_n, run_per_packet

FLIT_PS, FLIGHT_PS = 8000, 2170
"""UCIe standard x16 at 16 GT/s: 256 bytes take 8 ns; 2.17 ns of flight."""


def of_bits(bit_error_rate: float) -> float:
    """Probability that one of a flit's 2048 bits is wrong."""
    return 1 - (1 - bit_error_rate) ** 2048


def ucie(**fields: Any) -> RetryLink:
    """A UCIe link, where nothing else is said."""
    return RetryLink(**{"flit_ps": FLIT_PS, "flight_ps": FLIGHT_PS, **fields})


def run(link: RetryLink, errors: FlitErrors, flits: int, *, record: bool = False) -> RetryResult:
    """The compiled protocol of *link*."""
    compiled = run_go_back_n if link.protocol == "go-back-n" else run_per_packet
    return compiled(link, errors, flits, record=record)


@st.composite
def links(draw: st.DrawFn, protocol: str | None = None) -> RetryLink:
    """Links of few and many numbers, short and long flights, narrow and full windows."""
    fields = {
        "flit_ps": draw(st.sampled_from([1000, FLIT_PS])),
        "flight_ps": draw(st.sampled_from([0, 1, FLIGHT_PS, 8000, 12_345])),
        "protocol": protocol or draw(st.sampled_from(["go-back-n", "per-packet"])),
        "sequence_bits": draw(st.integers(2, 8)),
        "timer_flits": draw(st.sampled_from([35, 60, 375])),
        "maximum_replays": draw(st.sampled_from([1, 3, 1000])),
        "ack_slots": draw(st.integers(1, 3)),
        "repeats_nak": draw(st.booleans()),
    }
    try:
        return RetryLink(**fields, window_flits=draw(st.sampled_from([None, 1, 3, 100])))
    except LinksimError:
        return RetryLink(**fields)


@st.composite
def error_models(draw: st.DrawFn) -> FlitErrors:
    """From no errors to nearly nothing arriving, alone and in bursts."""
    return FlitErrors(
        event_probability=draw(st.sampled_from([0.0, 0.01, 0.1, 0.4])),
        backward_event_probability=draw(st.sampled_from([None, 0.0, 0.1, 0.5])),
        burst_flits=draw(st.sampled_from([1, 2, 7, 40])),
        seed=draw(st.integers(0, 2**32)),
        link_index=draw(st.integers(0, 3)),
        by_flit=draw(st.booleans()),
    )
