"""How a codec is named where only text can stand: `quantize:bits=4,group=128`."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from linksim.codecs.base import TensorCodec
from linksim.errors import LinksimError

NOT_OPTIONS = ("self", "dtype", "codebooks", "view", "profile", "payload_nbytes", "exponent_bias")
"""Parameters of codecs that are chosen elsewhere, or by the tensor."""


@dataclass(frozen=True)
class CodecSpecification:
    """A codec's id and those of its parameters that are given beside it."""

    codec_id: str
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> CodecSpecification:
        """`ID` or `ID:NAME=VALUE,...`; whole numbers, true and false are taken as such."""
        codec_id, colon, rest = text.partition(":")
        options: dict[str, Any] = {}
        for part in rest.split(",") if colon else ():
            name, equals, value = part.partition("=")
            if not equals or not name or name in options:
                raise LinksimError(
                    f"codec {text!r}: {part!r}: expected NAME=VALUE, every name once"
                )
            options[name] = _value(value)
        return cls(codec_id, options)

    def make(self, codec: type[TensorCodec], **shared: Any) -> TensorCodec:
        """An object of *codec* with the options and *shared* parameters."""
        known = [name for name in inspect.signature(codec).parameters if name not in NOT_OPTIONS]
        for name in self.options:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise LinksimError(
                    f"codec {self.codec_id}: no option {name!r}: expected one of {listed}"
                )
        for name, value in self.options.items():
            default = inspect.signature(codec).parameters[name].default
            if default is not None and type(value) is not type(default):
                raise LinksimError(
                    f"codec {self.codec_id}: {name} is {value!r}: expected {_KINDS[type(default)]}"
                )
        return codec(**shared, **self.options)


_KINDS = {int: "a whole number", bool: "true or false", str: "a name"}


def _value(text: str) -> int | bool | str:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.removeprefix("-").isdecimal() else text
