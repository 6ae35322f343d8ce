"""The figure of the fault study, readable at README size and by colour-blind eyes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np

from linksim.links.retry import go_back_n_expectation, per_packet_bound
from linksim.studies.faults import EVERY_NAK, ONE_NAK, PER_PACKET, Case, FaultStudy, goodput
from linksim.units import format_ps
from linksim.writing import write_png

mpl.use("Agg")

import matplotlib.pyplot as plt

# A dollar in a title is a dollar, not the start of a formula.
mpl.rcParams["text.parse_math"] = False

STYLES = {ONE_NAK: ("#0077BB", "o"), EVERY_NAK: ("#EE7733", "s"), PER_PACKET: ("#009988", "^")}
"""Colour and marker of every scheme (Paul Tol's vibrant set, safe for the colour-blind)."""
LINE_RATES = np.geomspace(1e-9, 1e-4, 121)
FOOTER_INCHES = 0.32


def goodput_figure(study: FaultStudy, path: Path) -> None:
    """Draw goodput against bit error rate as PNG: simulated points, lines by the closed form."""
    figure, axis = plt.subplots(figsize=(7.2, 3.9))
    for scheme, (colour, marker) in STYLES.items():
        found = [finding for finding in study.sweep if finding.case.scheme == scheme]
        rates = [finding.case.bit_error_rate for finding in found]
        axis.plot(
            rates,
            [finding.goodput_gbytes_per_s for finding in found],
            marker,
            color=colour,
            markersize=5,
            fillstyle="none" if scheme == PER_PACKET else "full",
            label=f"{scheme}, simulated",
        )
        line = [_expected(found[0].case, float(rate)) for rate in LINE_RATES]
        name = "least cost, 1 / (1 - p)" if scheme == PER_PACKET else "closed form"
        style = ":" if scheme == PER_PACKET else "-"
        axis.plot(LINE_RATES, line, style, color=colour, lw=1.4, label=f"{scheme}, {name}")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
    axis.xaxis.set_minor_formatter(lambda value, _: "")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("bit error rate", fontsize=10)
    axis.set_ylabel("goodput, GB/s of payload", fontsize=10)
    axis.set_title(f"What retry leaves of {study.options.link}", fontsize=11, loc="left")
    axis.legend(frameon=False, fontsize=8.5, loc="lower left")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, FOOTER_INCHES / height, 1, 1))
    figure.text(0.008, 0.05 / height, _footer(study), fontsize=7, color="#555555")
    write_png(figure, path)
    plt.close(figure)


def _expected(case: Case, bit_error_rate: float) -> float:
    """Goodput in GB/s by the closed form, for *case* at another rate."""
    # A flit's bits follow from its own rate: (1 - p) = (1 - rate)^bits.
    bits = np.log1p(-case.errors.event_probability) / np.log1p(-case.bit_error_rate)
    probability = float(-np.expm1(bits * np.log1p(-bit_error_rate)))
    errors = replace(case.errors, event_probability=probability)
    if case.link.protocol == "per-packet":
        return goodput(case, per_packet_bound(errors))
    return goodput(case, go_back_n_expectation(case.link, errors).slots_per_flit)


def _footer(study: FaultStudy) -> str:
    link = study.sweep[0].case.link
    return (
        f"{study.options.sweep_flits:,} flits a point, {format_ps(link.flit_ps)} a flit, round "
        f"trip {link.round_trip_slots} to {link.round_trip_slots + link.ack_slots - 1} flits, "
        f"timer {link.timer_flits} flits, window {link.window} flits;\n"
        "errors in both directions alike, a flit replayed as often as it takes"
    )
