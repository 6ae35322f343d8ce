"""Endpoint parameters from measured collectives. The link is never fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linksim.errors import LinksimError
from linksim.network.protocols import EndpointProtocol, EndpointRecord, InSwitch
from linksim.network.protocols.closed_form import (
    Floats,
    Loads,
    Parameters,
    fastest_us,
    loads,
)
from linksim.validation.evolution import minimise
from linksim.validation.table import MeasuredRow

STARTS = 6
SEED = 0
DIGITS = 4
"""Significant digits that fitted figures are rounded to."""

BASE_US = (1.0, 100.0)
STEP_US = (0.1, 20.0)
WIRE_FRACTION = (0.005, 1.0)
ALL_TO_ALL_STEPS = (0.3, 20.0)
"""Ranges that parameters are looked for in."""


@dataclass(frozen=True)
class Fit:
    """A fitted record, and what it was fitted on."""

    record: EndpointRecord
    parameters: int
    rows: int
    mean_log_error: float
    """Mean of |ln(closed form / measured)| over the rows, the quantity that was minimised."""


def parameter_count(record: EndpointRecord) -> int:
    """Fitted figures in a record: three per protocol, the all-to-all's, two of in-switch."""
    return 3 * len(record.protocols) + 1 + (0 if record.in_switch is None else 2)


def fit(
    record: EndpointRecord,
    rows: Sequence[MeasuredRow],
    *,
    starts: int = STARTS,
    seed: int = SEED,
) -> Fit:
    """Fit the figures of *record* to *rows*, all of one GPU, by mean absolute log error.

    What *record* says of its figures themselves is not used. From one protocol to the next, in
    their order, base time, step time and wire fraction may grow only, and no fraction exceeds what
    the protocol carries: without that, protocols would trade places. LinksimError for fewer rows
    than parameters.
    """
    count = parameter_count(record)
    if len(rows) < count:
        raise LinksimError(
            f"{len(rows)} rows to fit {count} parameters of {record.name!r} on: "
            f"expected {count} or more"
        )
    load = loads([row.collective for row in rows], record.link_preset.payload_bytes_per_second)
    measured = np.log([row.time_us for row in rows])

    def loss(points: Floats) -> Floats:
        times = fastest_us(_parameters(record, points), load)
        errors: Floats = np.abs(np.log(times) - measured).mean(axis=1)
        return errors

    low, high = _box(record)
    best = minimise(loss, low, high, starts=starts, seed=seed)
    fitted = _record(record, best)
    return Fit(fitted, count, len(rows), _mean_log_error(fitted, load, measured))


def _mean_log_error(record: EndpointRecord, load: Loads, measured: Floats) -> float:
    times = fastest_us(Parameters.of(record), load)
    return float(np.abs(np.log(times) - measured).mean())


def _box(record: EndpointRecord) -> tuple[Floats, Floats]:
    """Logarithms of the smallest and largest parameters, in the order of `_parameters`."""
    of_protocols = [
        (BASE_US, STEP_US, WIRE_FRACTION)[k] for k in range(3) for _ in record.protocols
    ]
    in_switch = [] if record.in_switch is None else [BASE_US, WIRE_FRACTION]
    box = np.log([*of_protocols, ALL_TO_ALL_STEPS, *in_switch])
    return box[:, 0], box[:, 1]


def _parameters(record: EndpointRecord, points: Floats) -> Parameters:
    """The parameter sets that *points* [p, d] stand for."""
    q = len(record.protocols)
    values = np.exp(points)
    base, step, fraction = (np.sort(values[:, k * q : (k + 1) * q], axis=1) for k in range(3))
    carried = np.array([protocol.carried_fraction for protocol in record.protocols])
    rest = values[:, 3 * q :]
    in_switch = None if record.in_switch is None else (rest[:, 1], rest[:, 2])
    return Parameters(base, step, np.minimum(fraction, carried), rest[:, 0], in_switch)


def _record(record: EndpointRecord, point: Floats) -> EndpointRecord:
    """*record* with the figures of *point* [d] in it, rounded."""
    found = _parameters(record, point[None])
    protocols = tuple(
        EndpointProtocol(
            name=protocol.name,
            line_nbytes=protocol.line_nbytes,
            data_nbytes=protocol.data_nbytes,
            base_us=_rounded(found.base_us[0, k]),
            step_us=_rounded(found.step_us[0, k]),
            wire_fraction=_rounded(found.wire_fraction[0, k]),
        )
        for k, protocol in enumerate(record.protocols)
    )
    in_switch = None
    if found.in_switch is not None:
        base, fraction = found.in_switch
        in_switch = InSwitch(base_us=_rounded(base[0]), wire_fraction=_rounded(fraction[0]))
    update = {
        "protocols": protocols,
        "in_switch": in_switch,
        "all_to_all_steps": _rounded(found.all_to_all_steps[0]),
    }
    return record.model_copy(update=update)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
