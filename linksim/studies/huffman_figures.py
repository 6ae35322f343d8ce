"""The figure of the Huffman study: the papers' claim kind by kind, and what every codec saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from linksim.studies.huffman_rows import ALL_KINDS, Form, Results
from linksim.studies.huffman_tables import FIXED
from linksim.studies.published import (
    PUBLISHED,
    WITHIN_HUFFMAN_PERCENT,
    WITHIN_SHANNON_PERCENT,
)
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import MultipleLocator

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

VIEW_STYLES = {
    "pooled": ("o", "#0077BB"),
    "byte-planes": ("s", "#EE7733"),
    "exponent": ("^", "#009988"),
}
"""Marker and colour of a view (Paul Tol's vibrant set, safe for the colour-blind)."""
OTHER_VIEW_STYLE = ("D", "#CC3311")
"""Of formats of 8 bits and less, which have one view."""

CODEC_COLOURS = (
    "#332288",
    "#88CCEE",
    "#44AA99",
    "#117733",
    "#999933",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#AA4499",
)
"""Of codecs in the order of the study (Paul Tol's muted set, safe for the colour-blind)."""

CLAIM_EDGE_PERCENT = 2.2
"""Gaps beyond are drawn at the edge, with their value beside."""
CLAIM_COLOUR = "#CC3311"
PAPER_BARS = {"own Huffman": FIXED}
"""Whose bar stands nearest to a published figure that no codec here is called by."""
PAPER_STYLE = {"color": "white", "markeredgecolor": "black", "markersize": 6}
INCHES = (8.2, 10.6)


def huffman_figure(results: Results, origin: str, path: Path) -> None:
    """Draw *results* as PNG: gaps of fixed books above, savings of all codecs below.

    *origin* says what the tensors are. Equal results give equal files.
    """
    figure = plt.figure(figsize=INCHES)
    upper = figure.add_gridspec(1, 2, left=0.215, right=0.985, top=0.925, bottom=0.5, wspace=0.06)
    lower = figure.add_gridspec(1, 1, left=0.075, right=0.985, top=0.375, bottom=0.085)
    left = figure.add_subplot(upper[0, 0])
    right = figure.add_subplot(upper[0, 1], sharey=left)
    _claim_panels(figure, left, right, results)
    _codec_panel(figure, figure.add_subplot(lower[0, 0]), results)
    figure.text(0.008, 0.008, origin, fontsize=7.5, color="#555555")
    write_png(figure, path)
    plt.close(figure)


def _claim_forms(results: Results) -> list[Form]:
    """The views of 16-bit formats; where the study has none, whatever it has."""
    wide = [form for form in results.forms if form.scaling == "none"]
    return wide or [form for form in results.forms if form.scaling != "block"]


def _claim_panels(figure: Any, left: Any, right: Any, results: Results) -> None:
    forms = [form for form in _claim_forms(results) if results.of(form, FIXED)]
    kinds = [row.bounds.kind for row in results.of(forms[0], FIXED)] if forms else []
    step = 0.5 / max(1, len(forms) - 1)
    for index, form in enumerate(forms):
        style = VIEW_STYLES[form.view] if form.scaling == "none" else OTHER_VIEW_STYLE
        offset = (index - (len(forms) - 1) / 2) * step
        for place, row in enumerate(results.of(form, FIXED)):
            huffman = (row.above_huffman_percent, row.above_tensor_huffman_percent)
            shannon = (row.above_shannon_percent, row.above_tensor_shannon_percent)
            _gap(left, huffman, place + offset, style)
            _gap(right, shannon, place + offset, style)
        left.plot([], [], style[0], color=style[1], markersize=5, label=form.label)
    _claim_axis(left, WITHIN_HUFFMAN_PERCENT, "above own Huffman, % of its bytes")
    _claim_axis(right, WITHIN_SHANNON_PERCENT, "above Shannon's bound, % of it")
    left.set_yticks(range(len(kinds)), kinds, fontsize=9)
    left.set_ylim(len(kinds) - 0.45, -0.55)
    right.tick_params(labelleft=False)
    left.plot([], [], "-|", color="#777777", markersize=7, label="every tensor by itself")
    figure.text(
        0.012, 0.975, "How near codebooks of earlier batches come to their bounds", fontsize=11
    )
    handles, labels = left.get_legend_handles_labels()
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.97)}
    figure.legend(handles, labels, ncols=len(labels), frameon=False, fontsize=9, **where)


def _gap(axis: Any, gaps: tuple[float, float], at: float, style: tuple[str, str]) -> None:
    """A dot at the gap of whole messages, and a line to that of every tensor by itself."""
    marker, colour = style
    shown, far = (min(gap, CLAIM_EDGE_PERCENT) for gap in gaps)
    axis.plot([shown, far], [at, at], color=colour, lw=0.8, alpha=0.7)
    axis.plot([far], [at], "|", color=colour, markersize=6)
    axis.plot([shown], [at], marker, color=colour, markersize=5, zorder=3)
    if gaps[0] > CLAIM_EDGE_PERCENT:
        text = {"fontsize": 7.5, "color": colour, "va": "center", "ha": "right"}
        axis.text(CLAIM_EDGE_PERCENT - 0.06, at, f"{gaps[0]:.1f} % >", **text)


def _claim_axis(axis: Any, target: float, label: str) -> None:
    axis.axvline(0, color="black", lw=0.8)
    axis.axvline(target, color=CLAIM_COLOUR, lw=1.2, ls="--")
    text = {"fontsize": 8, "color": CLAIM_COLOUR, "ha": "center", "annotation_clip": False}
    where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    axis.annotate(f"arXiv 2601.10673: {target:g} %", (target, 1), (0, 3), **where, **text)
    axis.set_xlabel(label, fontsize=9)
    axis.xaxis.set_major_locator(MultipleLocator(0.5))
    axis.tick_params(labelsize=8.5)
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _codec_panel(figure: Any, axis: Any, results: Results) -> None:
    """Bars of all codecs in groups of forms; Shannon's bound and the papers' figures on them."""
    forms = [form for form in results.forms if form.scaling != "block"]
    codecs = list(dict.fromkeys(codec for codec, _ in results.variants))
    width = 0.84 / max(1, len(codecs))
    for place, codec in enumerate(codecs):
        at = [index + (place - (len(codecs) - 1) / 2) * width for index in range(len(forms))]
        rows = [results.one(form, codec, ALL_KINDS) for form in forms]
        heights = [row.saved_percent if row else 0.0 for row in rows]
        colour = CODEC_COLOURS[place % len(CODEC_COLOURS)]
        axis.bar(at, heights, width * 0.92, color=colour, label=codec)
        for x, form in zip(at, forms, strict=True):
            papers = _published(form, codec)
            axis.plot([x] * len(papers), papers, "D", zorder=4, **PAPER_STYLE)
    for index, form in enumerate(forms):
        bounds = results.bounds(form, ALL_KINDS)
        if bounds is not None:
            saved = 100 * (1 - bounds.shannon_nbytes / max(1, bounds.raw_nbytes))
            axis.plot([index - 0.44, index + 0.44], [saved, saved], color="black", lw=1.4)
    axis.plot([], [], color="black", lw=1.4, label="Shannon's bound")
    axis.plot([], [], "D", label="papers, coded symbols only", **PAPER_STYLE)
    _codec_axis(axis, forms)
    figure.text(0.012, 0.435, "What every codec saves, all tensor kinds", fontsize=11)


def _codec_axis(axis: Any, forms: list[Form]) -> None:
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(range(len(forms)), [_tick_label(form) for form in forms], fontsize=9)
    axis.set_xlim(-0.6, len(forms) - 0.4)
    axis.set_ylabel("saved, % of the uncompressed bytes", fontsize=9)
    axis.tick_params(labelsize=8.5)
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    place = {"loc": "lower center", "bbox_to_anchor": (0.48, 1.0)}
    axis.legend(frameon=False, fontsize=8.5, ncols=5, columnspacing=1.4, **place)


def _published(form: Form, codec: str | None = None) -> list[float]:
    """The papers' figures of *form*, of the bar of *codec* or of all."""
    return [
        figure.compressibility_percent
        for figure in PUBLISHED
        if (figure.dtype, figure.view) == (form.dtype, form.view)
        and figure.what != "Shannon"
        and codec in (None, PAPER_BARS.get(figure.what, figure.what))
    ]


def _tick_label(form: Form) -> str:
    papers = ", ".join(f"{figure:g}" for figure in _published(form))
    return form.label.replace(" ", "\n") + (f"\npapers: {papers}" if papers else "")
