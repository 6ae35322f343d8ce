"""Finds links by name: shipped families, their variants and formats, and files of users."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

from linksim.catalogue import Catalogue
from linksim.errors import LinksimError
from linksim.links.family import MAX_COPIES, LinkFamily
from linksim.links.link import LinkPreset

_FOLDER = files("linksim.links") / "presets"
_FAMILIES = Catalogue(LinkFamily, _FOLDER, "link")
_PRESETS = Catalogue(LinkPreset, _FOLDER, "link")

_SUFFIXES = r"(?:/(?P<format>[^/*]*))?(?:\*(?P<copies>[^/*]*))?"
_NAME = re.compile(r"(?P<link>[^/*]*)" + _SUFFIXES)
_FILE = re.compile(r"(?P<link>.*\.toml)(?:-(?P<variant>[^/*]*))?" + _SUFFIXES)


@cache
def link_families() -> tuple[LinkFamily, ...]:
    """The shipped families of links, sorted by name."""
    return tuple(_FAMILIES.get(name) for name in _FAMILIES.names())


def link_names() -> tuple[str, ...]:
    """Names of the shipped links, family by family: `FAMILY-VARIANT`."""
    return tuple(name for family in link_families() for name in family.link_names)


def names_a_file(reference: str) -> bool:
    """Whether *reference*, as `link_preset` takes it, is of a user's TOML file."""
    return _FILE.fullmatch(reference) is not None


def link_preset(reference: str | Path) -> LinkPreset:
    """The link *reference* names.

    `FAMILY` or `FAMILY-VARIANT` of a shipped one, or the path of a TOML file (`FILE.toml`, and
    `FILE.toml-VARIANT` where it holds a family); after it `/FORMAT` for another flit format than
    the first, then `*n` for n links striped: `ucie-advanced-x64-32/68B*2`. A `Path` is a file
    without suffixes. LinksimError in one sentence for whatever is wrong with name or file.
    """
    if isinstance(reference, Path):
        return _from_file(reference, None, None, 1)
    if found := _FILE.fullmatch(reference):
        copies = _copies(reference, found["copies"])
        return _from_file(Path(found["link"]), found["variant"], found["format"], copies)
    found = _NAME.fullmatch(reference)
    if found is None:
        raise LinksimError(
            f"link {reference!r}: expected a name, then /FORMAT and *n if wanted, "
            "or the path of a .toml file"
        )
    family, variant = _family(found["link"])
    return family.preset(variant, found["format"], _copies(reference, found["copies"]))


def _family(name: str) -> tuple[LinkFamily, str | None]:
    """The shipped family that link *name* is of, and its variant; None: the default one."""
    for family in link_families():
        if name == family.name:
            return family, None
        if name.startswith(f"{family.name}-"):
            return family, name.removeprefix(f"{family.name}-")
    known = ", ".join(family.default_link_name for family in link_families())
    raise LinksimError(
        f"unknown link {name!r}: expected one of {known}, a variant of theirs "
        "(linksim link show), or the path of a .toml file"
    )


def _copies(reference: str, count: str | None) -> int:
    if count is None:
        return 1
    if not (count.isascii() and count.isdecimal() and 1 <= int(count[:9]) <= MAX_COPIES):
        raise LinksimError(f"link {reference!r}: expected 1 to {MAX_COPIES} after the *")
    return int(count)


def _from_file(path: Path, variant: str | None, flit: str | None, copies: int) -> LinkPreset:
    if _holds_family(path):
        family = _FAMILIES.get(path)
        try:
            return family.preset(variant, flit, copies)
        except LinksimError as error:
            raise LinksimError(f"{path}: {error}") from None
    preset = _PRESETS.get(path)
    if variant is not None:
        raise LinksimError(f"{path}: expected no variant {variant!r}, as it holds a single link")
    if flit not in (None, preset.flit.name):
        raise LinksimError(f"{path}: expected no flit format but its own, {preset.flit.name!r}")
    return preset.striped(copies)


def _holds_family(path: Path) -> bool:
    """Whether *path* holds a family; False too for a file that cannot be read."""
    try:
        return "formats" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
