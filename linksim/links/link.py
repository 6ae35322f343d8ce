"""One direction of a link: lanes, rate, flit format, credits, latency, errors and energy."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import expm1, log1p
from typing import Any

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from linksim.catalogue import Evidence, Record
from linksim.errors import LinksimError, first_problem
from linksim.links.figures import (
    FULL_RATE,
    BitErrorRate,
    Credits,
    FlitFormat,
    Lanes,
    LineCode,
    Nanoseconds,
    PicojoulesPerBit,
    RateGtps,
    Retry,
    VirtualChannels,
)
from linksim.units import ceil_div, ps_from_ns, serialization_ps

_MARGIN_PERCENT = 105
"""Credits of "full-rate", in percent of those that a receiver which drains at once needs."""


class LinkPreset(Record):
    """One direction of a link."""

    lanes: Lanes
    rate_gtps: RateGtps
    """Bits that a lane moves, in 1e9 per second, line code included."""
    line_code: LineCode = LineCode(data_bits=1, line_bits=1)
    flit: FlitFormat
    latency_ns: Nanoseconds
    """Adapter and PHY, transmitter and receiver together, one way."""
    propagation_ns: Nanoseconds = 0
    """Time of flight on the wire."""
    credits: Credits
    """Receiver buffer of each virtual channel in flits; a flit leaves only when a place is free for
    it. A record may say "full-rate": the `full_rate_credits`."""
    virtual_channels: VirtualChannels = 1
    """Messages that can share the link, flit by flit; each has a receive buffer of its own."""
    reallocation_ns: Nanoseconds = 0
    """From the last flit of a message on a virtual channel until another message can have it."""
    energy_pj_per_bit: PicojoulesPerBit | None = None
    """Per bit on the wire, headers and padding included. None: not known."""
    bit_error_rate: BitErrorRate = 0.0
    """Wrong bits per bit on the wire, before CRC and replay."""
    retry: Retry | None = None
    """None: no replay; flits in a raw format are then delivered with their errors."""

    @model_validator(mode="wrap")
    @classmethod
    def _count_credits(
        cls, record: Any, build: ModelWrapValidatorHandler[LinkPreset]
    ) -> LinkPreset:
        if not isinstance(record, dict) or record.get("credits") != FULL_RATE:
            return build(record)
        link = build({**record, "credits": 1})
        return link.model_copy(update={"credits": link.full_rate_credits})

    @model_validator(mode="after")
    def _format_runs_at_rate(self) -> LinkPreset:
        fastest = self.flit.maximum_rate_gtps
        if fastest is not None and self.rate_gtps > fastest:
            raise ValueError(
                f"flit format {self.flit.name!r} at {self.rate_gtps:g} GT/s: expected at most "
                f"{fastest:g} GT/s"
            )
        return self

    @model_validator(mode="after")
    def _errors_are_handled(self) -> LinkPreset:
        if self.flit.raw and self.retry is not None:
            raise ValueError(
                f"expected no retry with flit format {self.flit.name!r}, which leaves no byte to "
                "detect an error with"
            )
        if self.bit_error_rate and self.retry is None and not self.flit.raw:
            raise ValueError(
                f"expected retry with a bit_error_rate ({self.bit_error_rate:g}) above 0, or a raw "
                "flit format (payload_nbytes = nbytes), which is delivered with its errors"
            )
        return self

    @model_validator(mode="after")
    def _timer_outlasts_an_answer(self) -> LinkPreset:
        if self.retry is None:
            return self
        # There and back, each a flit and its flight, and a flit time until the answer can leave.
        needed = 2 * (1 + ceil_div(self.flight_ps, self.flit_ps)) + 1
        if self.retry.timer_flits < needed:
            raise ValueError(
                f"expected retry.timer_flits ({self.retry.timer_flits}) to be at least {needed}, "
                "the flit times until an answer is there, since every flit is replayed otherwise"
            )
        return self

    @property
    def bits_per_second(self) -> int:
        """Rate of flit bits: lanes x rate x line code, rounded down."""
        return _bits_per_second(self.lanes, self.rate_gtps, self.line_code)

    @property
    def flit_ps(self) -> int:
        """Time a flit occupies the wire."""
        return serialization_ps(self.flit.nbytes, self.bits_per_second)

    @property
    def flight_ps(self) -> int:
        """One way from the end of a flit's serialization to the receiver's buffer."""
        return ps_from_ns(self.latency_ns) + ps_from_ns(self.propagation_ns)

    @property
    def reallocation_ps(self) -> int:
        """Pause of a virtual channel between two messages."""
        return ps_from_ns(self.reallocation_ns)

    @property
    def round_trip_ps(self) -> int:
        """From a flit's start to its credit's return when the receiver drains it at once."""
        return self.flit_ps + 2 * self.flight_ps

    @property
    def full_rate_credits(self) -> int:
        """Credits that keep the wire busy: round trip over flit time, 5 % more, rounded up."""
        return ceil_div(_MARGIN_PERCENT * self.round_trip_ps, 100 * self.flit_ps)

    @property
    def payload_efficiency(self) -> float:
        """Share of a flit that is the user's."""
        return self.flit.efficiency

    @property
    def payload_bytes_per_second(self) -> float:
        """Rate of the user's bytes when every flit is full and none waits."""
        return self.bits_per_second / 8 * self.payload_efficiency

    @property
    def flit_error_rate(self) -> float:
        """Probability that a flit has a wrong bit, bits being independent: 1 - (1 - p)^bits."""
        if self.bit_error_rate == 1:
            return 1.0
        return -expm1(8 * self.flit.nbytes * log1p(-self.bit_error_rate))

    def flits(self, nbytes: int) -> int:
        """Flits that a message of *nbytes* takes; the last one is padded."""
        return ceil_div(nbytes, self.flit.payload_nbytes)

    def energy_pj(self, flits: int) -> float | None:
        """Energy of moving *flits*; None where energy per bit is not known."""
        if self.energy_pj_per_bit is None:
            return None
        return flits * self.flit.nbytes * 8 * self.energy_pj_per_bit

    def striped(self, copies: int) -> LinkPreset:
        """*copies* of this link, flits striped over them, as one port called `name*copies`.

        It has so many times the lanes and the credits; latencies stay. LinksimError in one sentence
        where that makes no link.
        """
        if copies == 1:
            return self
        stripes = Evidence(
            field="lanes",
            value=f"{copies} x {self.name}, striped: so many times its lanes and credits",
            source="bytes of a flit go out on all lanes at once; no skew between the copies",
            grade="derived",
        )
        return self._changed(
            name=f"{self.name}*{copies}",
            lanes=self.lanes * copies,
            credits=self.credits * copies,
            evidence=(*self.evidence, stripes),
        )

    def with_errors(self, bit_error_rate: float, *, burst_flits: int | None = None) -> LinkPreset:
        """This link at another bit error rate, for a study; *burst_flits* None: as before.

        LinksimError in one sentence for a rate that is none, and for a link without retry.
        """
        retry = None if self.retry is None else self.retry.model_dump()
        if burst_flits is not None:
            if retry is None:
                raise LinksimError(f"link {self.name!r}: expected retry in a link with bursts")
            retry["burst_flits"] = burst_flits
        chosen = Evidence(
            field="bit_error_rate",
            value=f"{bit_error_rate}: set for a study, instead of what the record says",
            source="choice of the user",
            grade="unverified",
        )
        others = (entry for entry in self.evidence if entry.field != chosen.field)
        return self._changed(bit_error_rate=bit_error_rate, retry=retry, evidence=(*others, chosen))

    def _changed(self, **fields: Any) -> LinkPreset:
        record = {**dict(self), **fields}
        return checked_preset(record, f"link {record['name']!r}")


@lru_cache(maxsize=1024)
def _bits_per_second(lanes: int, rate_gtps: float, line_code: LineCode) -> int:
    lane = Fraction(str(rate_gtps)) * 10**9
    return int(lanes * lane * Fraction(line_code.data_bits, line_code.line_bits))


def checked_preset(record: dict[str, Any], where: str) -> LinkPreset:
    """The preset of *record*; LinksimError beginning with *where* for what is wrong in it."""
    try:
        return LinkPreset.model_validate(record)
    except ValidationError as error:
        problem = first_problem(error).removeprefix("the document: ")
        raise LinksimError(f"{where}: {problem}") from None
