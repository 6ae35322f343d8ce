"""Area and latency against values per cycle, readable at README size and by colour-blind eyes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hw.characterization.figures import Characterized
from linksim.writing import write_png

STYLES = (
    ("#0077BB", "o"),
    ("#EE7733", "s"),
    ("#009988", "^"),
    ("#CC3311", "D"),
    ("#33BBEE", "v"),
    ("#555555", "P"),
    ("#EE3377", "X"),
    ("#BBBBBB", "*"),
)
"""Colour (Paul Tol's vibrant set) and marker, so that neither is needed alone."""


def draw(cores: Sequence[Characterized], path: Path) -> None:
    """Two panels, a line per family of cores."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.6), dpi=110, layout="constrained")
    area, latency = figure.subplots(1, 2)
    widths = sorted({core.width for core in cores})
    families = sorted({core.family for core in cores})
    for number, family in enumerate(families):
        colour, marker = STYLES[number % len(STYLES)]
        members = [core for core in cores if core.family == family]
        style = {"color": colour, "marker": marker, "lw": 1.6, "ms": 6, "label": _label(family)}
        _line(area, members, lambda core: core.cells.get("kge"), style)
        _line(latency, members, lambda core: core.run["latency"]["mean"], style)
    for axis, label in ((area, "area, kGE (ASAP7, before layout)"), (latency, LATENCY_LABEL)):
        axis.set_xscale("log", base=2)
        axis.set_xticks(widths, [str(width) for width in widths])
        axis.set_xlabel("values per cycle, W")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    handles, labels = latency.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(figure, path)


LATENCY_LABEL = "cycles to the first output (mean)"


def _label(family: str) -> str:
    return family.replace("-", " ").replace("int4 g32", "INT4 g=32")


def _line(axis, members: Sequence[Characterized], value: Callable, style: dict) -> None:
    points = [(core.width, value(core)) for core in members if value(core) is not None]
    if points:
        axis.plot(*zip(*points, strict=True), **style)
