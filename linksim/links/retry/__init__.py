"""Retry of damaged flits: go-back-N and per packet, compiled, with a readable reference."""

from linksim.links.retry.draws import flit_fails, slot_fails, threshold_of, wire_key
from linksim.links.retry.expectation import (
    Expectation,
    go_back_n_expectation,
    per_packet_bound,
    spoiled_share,
)
from linksim.links.retry.go_back_n import run_go_back_n
from linksim.links.retry.outage import outage_ps
from linksim.links.retry.parameters import (
    FlitErrors,
    LinkFailure,
    RetryLink,
    RetryResult,
)
from linksim.links.retry.per_packet import run_per_packet
from linksim.links.retry.presets import flit_errors, retry_link
from linksim.links.retry.state import Settings, settings_of

__all__ = [
    "Expectation",
    "FlitErrors",
    "LinkFailure",
    "RetryLink",
    "RetryResult",
    "Settings",
    "flit_errors",
    "flit_fails",
    "go_back_n_expectation",
    "outage_ps",
    "per_packet_bound",
    "retry_link",
    "run_go_back_n",
    "run_per_packet",
    "settings_of",
    "slot_fails",
    "spoiled_share",
    "threshold_of",
    "wire_key",
]
