"""Deliberate faults, put into a component for as long as a context lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from amaranth import Module

from hw.formal.prove import Mutant


def statement(what: str, cls: type, add: Callable[[Module, Any], None]) -> Mutant:
    """*cls* with one more statement behind its own, which overrules them."""

    @contextmanager
    def patch() -> Iterator[None]:
        sound = cls.elaborate

        def broken(self: Any, platform: object) -> Module:
            m = sound(self, platform)
            add(m, self)
            return m

        with mock.patch.object(cls, "elaborate", broken):
            yield

    return Mutant(what, patch)


def attribute(what: str, cls: type, name: str, value: Any) -> Mutant:
    """*cls* with another value for *name*; a function replaces a method or, given one, a
    property."""
    return Mutant(what, lambda: mock.patch.object(cls, name, value))
