"""Deliberate faults, put into a component for as long as a context lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from amaranth import Module

from hw.formal.prove import Mutant


def statement(what: str, cls: type, add: Callable[[Module, Any], None]) -> Mutant:
    """*cls* with one more statement behind its own, which overrules them."""

    return Mutant(what, lambda: mock.patch.object(cls, "elaborate", with_statement(cls, add)))


def with_statement(cls: type, add: Callable[[Module, Any], Any]) -> Callable[[Any, object], Module]:
    """*cls*.elaborate with one more statement, which overrules those before."""
    sound = cls.elaborate

    def broken(self: Any, platform: object) -> Module:
        m = sound(self, platform)
        add(m, self)
        return m

    return broken


def attribute(what: str, cls: type, name: str, value: Any) -> Mutant:
    """*cls* with another value for *name*; a function replaces a method or, given one, a
    property."""
    return Mutant(what, lambda: mock.patch.object(cls, name, value))
