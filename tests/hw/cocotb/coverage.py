"""Functional coverage: bins as data, hits, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

SHOWN_MISSING = 20
"""Missing bins that a table names; the report names all."""


class Coverage:
    """Counts how often every bin was hit. Bins stand in groups; one without name is an error.

    Groups and bins are declared before anything runs, so that what never happened shows.
    """

    def __init__(self, name: str, groups: Mapping[str, Iterable[object]]):
        self.name = name
        self.hits = {group: {str(one): 0 for one in bins} for group, bins in groups.items()}

    def hit(self, group: str, one: object) -> None:
        """Count bin *one* of *group*; KeyError if it was not declared."""
        bins = self.hits[group]
        name = str(one)
        if name not in bins:
            raise KeyError(f"{self.name}: {group!r} has no bin {name!r}")
        bins[name] += 1

    def missing(self) -> list[str]:
        """The bins never hit, as 'group: bin'."""
        return [
            f"{group}: {one}"
            for group, bins in self.hits.items()
            for one, hits in bins.items()
            if not hits
        ]

    def write(self, path: Path) -> None:
        """The report as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        report = {"name": self.name, "missing": self.missing(), "hits": self.hits}
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def table(report: Mapping) -> str:
    """A report as text: per group its bins, how many were hit, and the fewest hits of a bin."""
    rows = [
        (group, len(bins), sum(1 for hits in bins.values() if hits), min(bins.values()))
        for group, bins in report["hits"].items()
    ]
    width = max(len(group) for group, *_ in rows)
    bins, hit = sum(row[1] for row in rows), sum(row[2] for row in rows)
    lines = [f"{report['name']}: {hit} of {bins} bins hit"]
    lines += [
        f"  {group:{width}}  {count:4} bins  {done:4} hit  fewest {fewest}"
        for group, count, done, fewest in rows
    ]
    lines += [f"  missing: {one}" for one in report["missing"][:SHOWN_MISSING]]
    return "\n".join(lines)
