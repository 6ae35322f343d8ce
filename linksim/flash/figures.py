"""Figures of quantized all-reduces, readable at README size and by colour-blind eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl

from linksim.flash.accuracy import Score
from linksim.flash.comparison import ALL_KINDS, Finding
from linksim.flash.quantizers import OWN_SCALE
from linksim.units import ceil_div
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

STYLES = {
    "two-step": ("#0077BB", "o"),
    "ring": ("#EE7733", "s"),
    "hierarchical": ("#009988", "^"),
}
"""Colour and marker of every algorithm (Paul Tol's vibrant set, safe for the colour-blind)."""
FOOTER_INCHES = 0.22

_Result = TypeVar("_Result", Finding, Score)


def error_figure(findings: Sequence[Finding], path: Path, note: str) -> None:
    """Signal to noise of the sums against bits on the wire: one panel a group size.

    *note* stands below and says what the tensors are.
    """
    kept = _of_one_zero([one for one in findings if one.kind == ALL_KINDS])
    panels = sorted({one.group for one in kept})
    figure, axes = _panels(len(panels))
    for axis, group in zip(axes, panels, strict=True):
        for label, style, line in _lines([one for one in kept if one.group == group]):
            bits = [one.bits_per_value for one in line]
            axis.plot(bits, [one.snr_db for one in line], label=label, **style)
        axis.set_title(f"groups of {group}", fontsize=10, loc="left")
    axes[0].set_ylabel("signal to noise of the sum, dB", fontsize=9)
    axes[0].legend(frameon=False, fontsize=8)
    _save(figure, path, f"{note}; {_ZEROS[kept[0].zero]}")


def accuracy_figure(scores: Sequence[Score], path: Path, note: str) -> None:
    """Loss in bits per byte against bits on the wire: one panel for ranks, zero and group size.

    Losses below 1e-4 are drawn there; bars are one standard error. *note* stands below. One
    scale format is drawn: the quantizer's own, or the first if that is missing.
    """
    kept = _of_one_scale(scores)
    bits_of: dict[tuple[int, int, int], set[int]] = {}
    for one in kept:
        bits_of.setdefault(_panel(one), set()).add(one.bits)
    # A panel without a line says less than the table.
    panels = sorted(key for key, bits in bits_of.items() if len(bits) > 1) or sorted(bits_of)
    figure, axes = _panels(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        shown = [one for one in kept if _panel(one) == panel]
        for label, style, line in _lines(shown):
            bits = [one.bits_per_value for one in line]
            losses = [max(one.loss, _LEAST_LOSS) for one in line]
            axis.errorbar(
                bits, losses, yerr=_bars(line), label=label, elinewidth=0.8, capsize=2, **style
            )
        axis.set_title(_title(shown[0]), fontsize=9.5, loc="left")
    # The axes are shared: what holds for one holds for all, once all is drawn.
    axes[0].set_yscale("log")
    axes[0].set_ylim(bottom=_LEAST_LOSS * 0.8)
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].yaxis.set_minor_formatter(lambda value, _: "")
    for axis in axes[::_COLUMNS]:
        axis.set_ylabel("loss, bits per byte", fontsize=9)
    longest = max(axes, key=lambda axis: len(axis.get_legend_handles_labels()[0]))
    longest.legend(frameon=False, fontsize=8)
    _save(figure, path, f"{note}; less than {_LEAST_LOSS:g} is drawn as {_LEAST_LOSS:g}")


def _of_one_scale(scores: Sequence[Score]) -> list[Score]:
    """Those of a quantizer: with its own scale format if there are any, else with the first."""
    quantized = [one for one in scores if one.bits <= 8]
    scales = [one.scale for one in quantized]
    shown = OWN_SCALE if OWN_SCALE in scales else scales[0]
    return [one for one in quantized if one.scale == shown]


def _panel(one: Score) -> tuple[int, int, int]:
    """What the panels of losses are sorted by: zero points first."""
    return list(_ZERO_NAMES).index(one.zero), one.ranks, one.group


def _title(one: Score) -> str:
    return f"{one.ranks} ranks, groups of {one.group}, {_ZERO_NAMES[one.zero]}"


_ZERO_NAMES = {"point": "zero point", "min": "minimum", "": "symmetric"}


_ZEROS = {"point": "quantizers with a zero point", "min": "quantizers with the group's minimum"}
_LEAST_LOSS = 1e-4
_COLUMNS = 3


def _of_one_zero(found: Sequence[Finding]) -> list[Finding]:
    """Those of a quantizer: with a zero point if there are any, else the others."""
    quantized = [one for one in found if one.bits <= 8]
    zeros = {one.zero for one in quantized}
    return [one for one in quantized if one.zero == ("point" if "point" in zeros else "min")]


def _panels(count: int) -> tuple[Any, list[Any]]:
    """A figure with *count* panels of the same axes."""
    columns = min(count, _COLUMNS)
    rows = ceil_div(count, columns)
    size = (1.2 + 3.5 * columns, 0.3 + 3.3 * rows)
    figure, grid = plt.subplots(
        rows, columns, figsize=size, squeeze=False, sharex=True, sharey=True
    )
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    for index, axis in enumerate(axes[:count]):
        # The panel below may be missing, and with it the shared numbers.
        axis.tick_params(labelsize=8.5, labelbottom=index + columns >= count)
        if index + columns >= count:
            axis.set_xlabel("bits on the wire per value", fontsize=9)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[:count]


def _lines(shown: Sequence[_Result]) -> list[tuple[str, dict[str, Any], list[_Result]]]:
    """Label, look and points by bits of every line: dashed and open with spikes kept."""
    found = []
    for spikes in (False, True):
        for algorithm, (colour, marker) in STYLES.items():
            line = [one for one in shown if (one.algorithm, one.spikes) == (algorithm, spikes)]
            if not line:
                continue
            style = {
                "color": colour,
                "marker": marker,
                "markersize": 4.5,
                "lw": 1.4,
                "ls": "--" if spikes else "-",
                "fillstyle": "none" if spikes else "full",
            }
            label = f"{algorithm}, spikes kept" if spikes else algorithm
            found.append((label, style, sorted(line, key=lambda one: one.bits)))
    return found


def _bars(line: Sequence[Score]) -> list[list[float]]:
    """How far error bars reach down and up, inside the axes."""
    drawn = [max(one.loss, _LEAST_LOSS) for one in line]
    down = [
        max(at - max(one.loss - one.loss_error, _LEAST_LOSS), 0.0)
        for at, one in zip(drawn, line, strict=True)
    ]
    up = [max(one.loss + one.loss_error - at, 0.0) for at, one in zip(drawn, line, strict=True)]
    return [down, up]


def _save(figure: Any, path: Path, note: str) -> None:
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, FOOTER_INCHES / height, 1, 1))
    figure.text(0.008, 0.05 / height, note, fontsize=7, color="#555555")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(figure, path)
    plt.close(figure)
