"""Bit errors on a link with retry: what gets through, how fast, and how a dead link ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from linksim.errors import LinksimError
from linksim.links import LinkPreset, link_preset
from linksim.links.retry import (
    FlitErrors,
    RetryLink,
    RetryResult,
    flit_errors,
    go_back_n_expectation,
    per_packet_bound,
    retry_link,
    run_go_back_n,
    run_per_packet,
)

CONFIDENCE = 0.99
"""Of the interval in which the closed form expects the mean."""
SWEPT_RATES = tuple(10 ** (exponent / 2) for exponent in range(-18, -7))
"""Bit error rates of the sweep: 1e-9 to 1e-4, two a decade."""
NO_LIMIT = 1_000_000
"""Replays of one flit that are allowed in the sweep, so that goodput is seen at any rate."""

ONE_NAK, EVERY_NAK, PER_PACKET = (
    "go-back-N, one Nak",
    "go-back-N, repeated Nak",
    "per packet",
)
SCHEMES: dict[str, dict[str, Any]] = {
    ONE_NAK: {"protocol": "go-back-n"},
    EVERY_NAK: {"protocol": "go-back-n", "repeats_nak": True},
    PER_PACKET: {"protocol": "per-packet", "ack_slots": 1},
}
"""Ways to retry, as fields of `RetryLink`; all else is the link's."""

Progress = Callable[[int], None]
"""Takes the flits delivered since the last call."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the study runs.

    Raises LinksimError for a link without go-back-N, a packet link without per-packet retry, and
    counts or a rate out of range.
    """

    link: str = "ucie-standard-x16-16"
    packet_link: str = "nvlink4-h100"
    flits: int = 100_000_000
    sweep_flits: int = 10_000_000
    bit_error_rate: float = 1e-6
    burst_flits: int = 4
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("flits", "sweep_flits", "burst_flits"):
            if getattr(self, name) < 1:
                raise LinksimError(f"{name}: {getattr(self, name)}: expected 1 or more")
        if not 0 < self.bit_error_rate < 1:
            raise LinksimError(
                f"bit_error_rate: {self.bit_error_rate}: expected more than 0, less than 1"
            )
        for name, protocol in (("link", "go-back-n"), ("packet_link", "per-packet")):
            retry = link_preset(getattr(self, name)).retry
            if retry is None or retry.protocol != protocol:
                raise LinksimError(
                    f"{name}: {getattr(self, name)}: expected a link with {protocol} retry"
                )


@dataclass(frozen=True)
class Case:
    """One run: a link layer, its errors, and how many flits are sent."""

    link_name: str
    scheme: str
    bit_error_rate: float
    link: RetryLink
    errors: FlitErrors
    flits: int
    payload_nbytes: int


@dataclass(frozen=True)
class Finding:
    """A case and what came out."""

    case: Case
    result: RetryResult
    expected_slots: float | None
    """Slots per flit by the closed form; per packet the least there can be."""
    interval_slots: tuple[float, float] | None
    """Where the mean lies with `CONFIDENCE`; None where the closed form is a bound, or fails."""

    @property
    def inside(self) -> bool | None:
        """Whether the mean lies where the closed form expects it."""
        if self.interval_slots is None:
            return None
        low, high = self.interval_slots
        return low <= self.result.slots_per_flit <= high

    @property
    def goodput_gbytes_per_s(self) -> float:
        """Payload delivered per second, in GB/s."""
        return goodput(self.case, self.result.slots_per_flit)

    def document(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        case, result = self.case, self.result
        counts = {
            name: value
            for name, value in asdict(replace(result, failure=None)).items()
            if name not in ("delivered_ps", "failure")
        }
        return {
            "link": case.link_name,
            "scheme": case.scheme,
            "bit_error_rate": case.bit_error_rate,
            "link_layer": asdict(case.link),
            "errors": asdict(case.errors),
            "counts": counts,
            "slots_per_flit": _finite(result.slots_per_flit),
            "expected_slots_per_flit": self.expected_slots,
            "interval_slots_per_flit": self.interval_slots,
            "inside": self.inside,
            "goodput_gbytes_per_s": self.goodput_gbytes_per_s,
            "failure": None if result.failure is None else str(result.failure),
        }


@dataclass(frozen=True)
class FaultStudy:
    """All findings."""

    options: Options
    long_runs: tuple[Finding, ...]
    """Many flits at one bit error rate, with single errors and with bursts."""
    sweep: tuple[Finding, ...]
    dead: tuple[Finding, ...]
    """Links that fail."""

    @property
    def sound(self) -> bool:
        """Nothing lost, duplicated or reordered anywhere, and every long run inside."""
        found = (*self.long_runs, *self.sweep, *self.dead)
        whole = not any(
            one.result.lost or one.result.duplicated or one.result.reordered for one in found
        )
        arrived = all(one.result.delivered == one.case.flits for one in self.long_runs)
        return whole and arrived and all(one.inside is not False for one in self.long_runs)

    def document(self) -> dict[str, Any]:
        """All figures, JSON-able: slots are flit times."""
        return {
            "options": asdict(self.options),
            "confidence": CONFIDENCE,
            "sound": self.sound,
            "long_runs": [finding.document() for finding in self.long_runs],
            "sweep": [finding.document() for finding in self.sweep],
            "dead_links": [finding.document() for finding in self.dead],
        }


def goodput(case: Case, slots_per_flit: float) -> float:
    """Payload per second in GB/s at *slots_per_flit*."""
    return case.payload_nbytes * 1e3 / (case.link.flit_ps * slots_per_flit)


def long_cases(options: Options) -> tuple[Case, ...]:
    """Every scheme, alone and in bursts; per packet also on the link that is made for it."""
    pairs = [(options.link, scheme) for scheme in SCHEMES]
    pairs.append((options.packet_link, PER_PACKET))
    rate, bursts = options.bit_error_rate, dict.fromkeys((1, options.burst_flits))
    return _apart(
        _case(options, name, scheme, rate, options.flits, burst_flits=burst)
        for name, scheme in pairs
        for burst in bursts
    )


def sweep_cases(options: Options) -> tuple[Case, ...]:
    """Every scheme over all rates, single errors, each flit replayed as often as it takes."""
    return _apart(
        _case(options, options.link, scheme, rate, options.sweep_flits, maximum_replays=NO_LIMIT)
        for scheme in SCHEMES
        for rate in SWEPT_RATES
    )


def dead_cases(options: Options) -> tuple[Case, ...]:
    """A wire that delivers nothing, one that answers nothing, and one that errs too often."""
    usual = _case(options, options.link, ONE_NAK, SWEPT_RATES[-1], options.sweep_flits)
    dead = replace(usual, bit_error_rate=1.0, errors=replace(usual.errors, event_probability=1.0))
    deaf = FlitErrors(event_probability=0, backward_event_probability=1.0, seed=options.seed)
    return dead, replace(usual, bit_error_rate=0.0, errors=deaf), usual


def _apart(cases: Iterable[Case]) -> tuple[Case, ...]:
    """*cases*, each as a link of its own, so that their errors are independent."""
    return tuple(
        replace(case, errors=replace(case.errors, link_index=index))
        for index, case in enumerate(cases)
    )


def _case(
    options: Options,
    name: str,
    scheme: str,
    rate: float,
    flits: int,
    *,
    burst_flits: int = 1,
    **changes: Any,
) -> Case:
    preset: LinkPreset = link_preset(name).with_errors(rate, burst_flits=burst_flits)
    link = retry_link(preset, **{**SCHEMES[scheme], **changes})
    errors = flit_errors(preset, options.seed)
    return Case(name, scheme, rate, link, errors, flits, preset.flit.payload_nbytes)


def judge(case: Case, progress: Progress | None = None) -> Finding:
    """Run *case* and compare it with the closed form."""
    told = 0

    def tell(delivered: int) -> None:
        nonlocal told
        if progress is not None:
            progress(delivered - told)
        told = delivered

    run = run_go_back_n if case.link.protocol == "go-back-n" else run_per_packet
    result = run(case.link, case.errors, case.flits, progress=tell)
    tell(case.flits)
    if case.link.protocol == "per-packet":
        bound = per_packet_bound(case.errors) if result.failure is None else None
        return Finding(case, result, bound, None)
    try:
        expected = go_back_n_expectation(case.link, case.errors)
    except LinksimError:
        # A burst or an error rate beyond the derivation: there is nothing to compare with.
        return Finding(case, result, None, None)
    if result.failure is not None:
        return Finding(case, result, expected.slots_per_flit, None)
    interval = expected.interval(case.flits, CONFIDENCE)
    return Finding(case, result, expected.slots_per_flit, interval)


def fault_study(options: Options, progress: Progress | None = None) -> FaultStudy:
    """Run everything."""

    def judged(cases: Sequence[Case]) -> tuple[Finding, ...]:
        return tuple(judge(case, progress) for case in cases)

    parts = (long_cases(options), sweep_cases(options), dead_cases(options))
    return FaultStudy(options, *(judged(part) for part in parts))


def flits_of(options: Options) -> int:
    """Flits that the study sends in all."""
    cases = (*long_cases(options), *sweep_cases(options), *dead_cases(options))
    return sum(case.flits for case in cases)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
