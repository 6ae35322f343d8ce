"""Every property that is proven."""

from __future__ import annotations

import warnings

from amaranth.hdl import UnusedElaboratable

from hw.formal import (
    buffers,
    code_rom,
    cutter,
    decoder,
    decoder_buffers,
    link_port,
    quantizer,
    round_trip,
    row_packer,
)
from hw.formal.prove import Property, Verdict, prove

PROPERTIES: tuple[Property, ...] = (
    *buffers.PROPERTIES,
    *row_packer.PROPERTIES,
    *round_trip.PROPERTIES,
    *code_rom.PROPERTIES,
    *cutter.PROPERTIES,
    *decoder.PROPERTIES,
    *decoder_buffers.PROPERTIES,
    *link_port.PROPERTIES,
    *quantizer.PROPERTIES,
)


def named(name: str) -> Property:
    """The property of that name."""
    return next(prop for prop in PROPERTIES if prop.name == name)


def prove_named(name: str) -> Verdict:
    """Prove the property of that name; for processes of their own."""
    # Some components are only asked for their parameters.
    warnings.simplefilter("ignore", UnusedElaboratable)
    return prove(named(name))
