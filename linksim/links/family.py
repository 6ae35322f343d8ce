"""Families of links: what many presets have in common, their variants and flit formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from linksim.catalogue import Evidence, Record, Strict, Text, whole
from linksim.errors import LinksimError
from linksim.links.figures import (
    BitErrorRate,
    BufferBytes,
    CreditsOrFullRate,
    FlitFormat,
    Lanes,
    LineCode,
    Nanoseconds,
    PicojoulesPerBit,
    RateGtps,
    Retry,
    VirtualChannels,
)
from linksim.links.link import LinkPreset, checked_preset

MAX_COPIES = 64
"""Most links that can be striped."""

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_FORMAT_FIGURE = "flit."
"""Evidence of one format stands under this and the format's name."""

Copies = Annotated[
    int, whole(f"links striped, a whole number from 1 to {MAX_COPIES}", 1, MAX_COPIES)
]


class Figures(Strict):
    """Figures of a `LinkPreset` that a family states for all, or a variant for itself."""

    lanes: Lanes | None = None
    rate_gtps: RateGtps | None = None
    line_code: LineCode | None = None
    latency_ns: Nanoseconds | None = None
    propagation_ns: Nanoseconds | None = None
    credits: CreditsOrFullRate | None = None
    buffer_nbytes: BufferBytes | None = None
    """Receiver buffer of each virtual channel: holds as many flits as fit. Instead of credits."""
    virtual_channels: VirtualChannels | None = None
    energy_pj_per_bit: PicojoulesPerBit | None = None
    bit_error_rate: BitErrorRate | None = None
    retry: Retry | None = None

    @model_validator(mode="after")
    def _one_buffer(self) -> Figures:
        if self.credits is not None and self.buffer_nbytes is not None:
            raise ValueError("expected credits or buffer_nbytes, not both")
        return self

    def stated(self) -> dict[str, Any]:
        """The figures that are given, by field."""
        return {f: v for f in Figures.model_fields if (v := getattr(self, f)) is not None}


class Variant(Figures):
    """One of a family's links: a rate, a width, a product; figures in place of the family's."""

    name: Text


class LinkFamily(Figures, Record):
    """Links that share most figures: named variants, and flit formats for all of them."""

    formats: Annotated[tuple[FlitFormat, ...], Field(min_length=1)]
    """The first one is the default."""
    variants: tuple[Variant, ...] = ()
    default: Text | None = None
    """Variant meant by the family's name alone. None: the first one."""
    stripes: tuple[Copies, ...] = ()
    """How many can be striped. Empty: any number."""

    @model_validator(mode="after")
    def _names_are_names(self) -> LinkFamily:
        for noun, parts in (("format", self.formats), ("variant", self.variants)):
            names = [part.name for part in parts]
            for name in names:
                if not _PART.fullmatch(name):
                    raise ValueError(
                        f"{noun} {name!r}: expected a name of letters, digits, dots and dashes"
                    )
                if names.count(name) > 1:
                    raise ValueError(f"{noun} {name!r}: expected it once")
        if self.default is not None and self.default not in self.variant_names:
            raise ValueError(f"default {self.default!r}: expected one of the variants")
        return self

    @property
    def variant_names(self) -> tuple[str, ...]:
        """Names of the variants."""
        return tuple(variant.name for variant in self.variants)

    @property
    def link_names(self) -> tuple[str, ...]:
        """`FAMILY-VARIANT` of every variant; the family's name where it has none."""
        return tuple(f"{self.name}-{name}" for name in self.variant_names) or (self.name,)

    @property
    def default_link_name(self) -> str:
        """`FAMILY-VARIANT` of the default variant; the family's name where there is none."""
        return self._name(self._variant(None))

    def preset(
        self, variant: str | None = None, flit: str | None = None, copies: int = 1
    ) -> LinkPreset:
        """The link of *variant* with format *flit*, *copies* of it striped; None: the default.

        LinksimError in one sentence for a name or number that the family has not, and for a format
        that the variant cannot run.
        """
        chosen, flit_format = self._variant(variant), self._format(flit)
        if self.stripes and copies not in self.stripes:
            known = _listed([str(count) for count in self.stripes])
            raise LinksimError(f"link '{self.name}*{copies}': expected {known} after the *")
        name = self._name(chosen)
        if flit_format is not self.formats[0]:
            name = f"{name}/{flit_format.name}"
        figures = self.stated() | (chosen.stated() if chosen else {})
        buffer_nbytes = figures.pop("buffer_nbytes", None)
        if buffer_nbytes is not None and not (chosen and chosen.credits):
            figures["credits"] = buffer_nbytes // flit_format.nbytes
        if flit_format.raw:
            figures.pop("retry", None)
        record = {
            **figures,
            "name": name,
            "description": self.description,
            "flit": flit_format,
            "evidence": tuple(self._evidence(flit_format)),
        }
        return checked_preset(record, f"link {name!r}").striped(copies)

    def _name(self, variant: Variant | None) -> str:
        return self.name if variant is None else f"{self.name}-{variant.name}"

    def _variant(self, name: str | None) -> Variant | None:
        if name is None and not self.variants:
            return None
        wanted = name if name is not None else self.default or self.variants[0].name
        for variant in self.variants:
            if variant.name == wanted:
                return variant
        known = ", ".join(self.link_names)
        raise LinksimError(f"unknown link '{self.name}-{wanted}': expected one of {known}")

    def _format(self, name: str | None) -> FlitFormat:
        for flit_format in self.formats:
            if name in (None, flit_format.name):
                return flit_format
        known = _listed([flit_format.name for flit_format in self.formats])
        raise LinksimError(f"link {self.name!r} has no flit format {name!r}: expected {known}")

    def _evidence(self, flit_format: FlitFormat) -> Iterator[Evidence]:
        for entry in self.evidence:
            if entry.field.startswith(_FORMAT_FIGURE):
                if entry.field == _FORMAT_FIGURE + flit_format.name:
                    yield entry.model_copy(update={"field": "flit"})
            elif not (flit_format.raw and entry.field.startswith("retry")):
                yield entry


def _listed(names: list[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
