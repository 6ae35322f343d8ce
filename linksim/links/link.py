"""Links: lanes, rate, flit format, credits, latency and energy, from presets with evidence."""

from __future__ import annotations

from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import model_validator

from linksim.catalogue import Catalogue, Record, Strict, number, whole
from linksim.units import ceil_div, ps_from_ns, serialization_ps

Lanes = Annotated[int, whole("lanes per direction, a whole number from 1 to 4096", 1, 4096)]
RateGtps = Annotated[
    float, number("a lane's rate in GT/s, from 0.1 to 500 (32 stands for 32 GT/s)", 0.1, 500)
]
FlitBytes = Annotated[int, whole("bytes per flit, a whole number from 1 to 65536", 1, 65536)]
Nanoseconds = Annotated[float, number("nanoseconds one way, from 0 to 1e9", 0, 1e9)]
Credits = Annotated[
    int, whole("flits that the receiver can hold, a whole number from 1 to 1e7", 1, 10**7)
]
PicojoulesPerBit = Annotated[float, number("picojoules per bit, from 0 to 1000", 0, 1000)]
CodeBits = Annotated[int, whole("bits of a line code's block, from 1 to 1024", 1, 1024)]


class LineCode(Strict):
    """Line code: of every *line_bits* on a lane *data_bits* belong to flits."""

    data_bits: CodeBits
    line_bits: CodeBits

    @model_validator(mode="after")
    def _data_fits(self) -> LineCode:
        if self.data_bits > self.line_bits:
            raise ValueError("expected data_bits to be at most line_bits")
        return self


class FlitFormat(Strict):
    """What the link sends as one unit, and how much of it is the user's."""

    name: str
    nbytes: FlitBytes
    payload_nbytes: FlitBytes

    @model_validator(mode="after")
    def _payload_fits(self) -> FlitFormat:
        if self.payload_nbytes > self.nbytes:
            raise ValueError(
                f"expected payload_nbytes ({self.payload_nbytes}) to be at most "
                f"nbytes ({self.nbytes})"
            )
        return self


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
    """Receiver buffer in flits; a flit leaves only when a place is free for it."""
    energy_pj_per_bit: PicojoulesPerBit | None = None
    """Per bit on the wire, headers and padding included. None: not known."""

    @property
    def bits_per_second(self) -> int:
        """Rate of flit bits: lanes x rate x line code, rounded down."""
        lane = Fraction(str(self.rate_gtps)) * 10**9
        code = Fraction(self.line_code.data_bits, self.line_code.line_bits)
        return int(self.lanes * lane * code)

    @property
    def flit_ps(self) -> int:
        """Time a flit occupies the wire."""
        return serialization_ps(self.flit.nbytes, self.bits_per_second)

    @property
    def flight_ps(self) -> int:
        """One way from the end of a flit's serialization to the receiver's buffer."""
        return ps_from_ns(self.latency_ns) + ps_from_ns(self.propagation_ns)

    @property
    def round_trip_ps(self) -> int:
        """From a flit's start to its credit's return when the receiver drains it at once."""
        return self.flit_ps + 2 * self.flight_ps

    @property
    def payload_efficiency(self) -> float:
        """Share of a flit that is the user's."""
        return self.flit.payload_nbytes / self.flit.nbytes

    @property
    def payload_bytes_per_second(self) -> float:
        """Rate of the user's bytes when every flit is full and none waits."""
        return self.bits_per_second / 8 * self.payload_efficiency

    def flits(self, nbytes: int) -> int:
        """Flits that a message of *nbytes* takes; the last one is padded."""
        return ceil_div(nbytes, self.flit.payload_nbytes)

    def energy_pj(self, flits: int) -> float | None:
        """Energy of moving *flits*; None where energy per bit is not known."""
        if self.energy_pj_per_bit is None:
            return None
        return flits * self.flit.nbytes * 8 * self.energy_pj_per_bit


_LINKS = Catalogue(LinkPreset, files("linksim.links") / "presets", "link")


def link_names() -> tuple[str, ...]:
    """Names of the shipped links, sorted."""
    return _LINKS.names()


def link_preset(reference: str | Path) -> LinkPreset:
    """The link *reference* names: a shipped one, or a TOML file.

    LinksimError in one sentence for whatever is wrong with the name or the file.
    """
    return _LINKS.get(reference)
