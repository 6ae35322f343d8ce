"""How a GPU's communication library drives its links: endpoint records with evidence.

A record holds one set of figures per GPU generation, for every collective and number of GPUs.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from linksim.catalogue import Catalogue, Record, Strict, Text, number, whole
from linksim.links import LinkPreset, link_preset

LineBytes = Annotated[int, whole("bytes of a protocol's line, from 1 to 65536", 1, 65536)]
BaseMicroseconds = Annotated[float, number("microseconds per collective, from 0 to 1e6", 0, 1e6)]
StepMicroseconds = Annotated[float, number("microseconds per step, from 0 to 1e6", 0, 1e6)]
WireFraction = Annotated[
    float, number("a share of the link's payload rate, from 1e-6 to 1", 1e-6, 1)
]
Steps = Annotated[float, number("a number of steps from 0 to 1000", 0, 1000)]


class EndpointProtocol(Strict):
    """One way to hand data over the link and to tell the receiver that it is there."""

    name: Text
    """`LL` (a flag beside every 4 bytes), `LL128` (a flag per 128-byte line) or `Simple` (plain
    data, then a separate signal)."""
    line_nbytes: LineBytes
    """A line on the wire, flags included."""
    data_nbytes: LineBytes
    """The user's bytes in a line."""
    base_us: BaseMicroseconds
    """Once per collective: launch, set-up and the end."""
    step_us: StepMicroseconds
    """Once per dependent step, from data at one GPU to data in use at the next: software at both
    ends, and the flight over the link."""
    wire_fraction: WireFraction
    """Share of the link's payload rate at which data moves, what flags take included."""

    @model_validator(mode="after")
    def _moves_what_it_carries(self) -> EndpointProtocol:
        if self.data_nbytes > self.line_nbytes:
            raise ValueError(
                f"expected data_nbytes ({self.data_nbytes}) to be at most line_nbytes "
                f"({self.line_nbytes})"
            )
        if self.wire_fraction > self.carried_fraction:
            raise ValueError(
                f"expected wire_fraction ({self.wire_fraction:g}) of protocol {self.name} to be at "
                f"most the {self.data_nbytes} of {self.line_nbytes} bytes that it carries"
            )
        return self

    @property
    def carried_fraction(self) -> float:
        """Share of a line that is data."""
        return self.data_nbytes / self.line_nbytes


class InSwitch(Strict):
    """All-reduce in the switch: every GPU sends its data once and receives the sum once."""

    base_us: BaseMicroseconds
    """Once per collective, both flights included."""
    wire_fraction: WireFraction
    """Share of the link's payload rate at which data moves, in each direction at once."""


class EndpointRecord(Record):
    """The endpoint protocols of one GPU generation, and the link they drive."""

    gpus: tuple[Text, ...] = ()
    """Names that tables of measurements give the GPU."""
    link: Text
    """The link preset of a GPU's port to the switch."""
    protocols: Annotated[tuple[EndpointProtocol, ...], Field(min_length=1)]
    """A collective takes the fastest one for its size."""
    all_to_all_steps: Steps
    """Step times that an all-to-all takes, whatever the number of GPUs: its messages go at once."""
    in_switch: InSwitch | None = None
    """None: the switch does not reduce."""

    @model_validator(mode="after")
    def _protocols_are_named_once(self) -> EndpointRecord:
        names = [protocol.name for protocol in self.protocols]
        if len(set(names)) != len(names):
            raise ValueError(f"protocols {', '.join(names)}: expected each name once")
        return self

    @property
    def link_preset(self) -> LinkPreset:
        """The link named in the record; LinksimError where there is none of that name."""
        return link_preset(self.link)


_ENDPOINTS = Catalogue(EndpointRecord, files("linksim.network.protocols") / "records", "endpoint")


def endpoint_names() -> tuple[str, ...]:
    """Names of the shipped endpoint records, sorted."""
    return _ENDPOINTS.names()


def endpoint_record(reference: str | Path) -> EndpointRecord:
    """The endpoint record *reference* names: a shipped one, or a TOML file.

    LinksimError in one sentence for whatever is wrong with the name or the file.
    """
    return _ENDPOINTS.get(reference)
