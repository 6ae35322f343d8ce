"""The fit finds known figures again, and notices a wrong form."""

from __future__ import annotations

import numpy as np
import pytest

from linksim.errors import LinksimError
from linksim.network.protocols import closed_form, fastest_paths
from linksim.validation.evolution import minimise
from linksim.validation.fitting import fit, parameter_count
from linksim.validation.ring_steps import step_time
from tests.validation.tables import KNOWN, UNKNOWN, made_rows


def times_us(record, rows):
    return np.array([time for _, time in fastest_paths(record, [row.collective for row in rows])])


def test_evolution_finds_the_deepest_of_many_valleys():
    def loss(points):
        return (points**2 + 10 * (1 - np.cos(2 * np.pi * points))).sum(axis=1)

    low, high = np.full(3, -4.3), np.full(3, 5.1)
    found = minimise(loss, low, high, starts=2, seed=1)
    assert np.abs(found).max() < 1e-2
    assert (minimise(loss, low, high, starts=2, seed=1) == found).all()
    assert (minimise(loss, low + 5, high, starts=1, seed=1) >= 0.7).all()


def test_fit_recovers_times_and_those_of_rows_it_has_not_seen():
    rows = made_rows()
    made = fit(UNKNOWN, rows, starts=3)
    assert (made.parameters, made.rows) == (12, 88)
    assert made.mean_log_error < 0.005
    unseen = made_rows(sizes=tuple(512 << k for k in range(1, 21, 2)), n_gpus=(2, 6))
    for judged in (rows, unseen):
        measured = np.array([row.time_us for row in judged])
        assert np.abs(times_us(made.record, judged) / measured - 1).max() < 0.02


def test_fit_is_the_same_in_every_run_and_keeps_the_link():
    rows = made_rows(sizes=(512, 1 << 16, 1 << 24))
    one, other = (fit(UNKNOWN, rows, starts=1) for _ in range(2))
    assert one == other
    assert one.record.link == KNOWN.link
    for protocol in one.record.protocols:
        assert protocol.wire_fraction <= protocol.carried_fraction


def test_fit_notices_a_wrong_number_of_steps(monkeypatch):
    rows = made_rows()
    right = closed_form.ring_steps
    monkeypatch.setattr(
        closed_form,
        "ring_steps",
        lambda op, n: right(op, n) // (2 if op == "all_reduce" else 1),
    )
    made = fit(UNKNOWN, rows, starts=3)
    assert made.mean_log_error > 0.03
    measured = np.array([row.time_us for row in rows])
    assert np.abs(times_us(made.record, rows) / measured - 1).max() > 0.15


def test_parameters_are_counted_and_need_as_many_rows():
    alone = UNKNOWN.model_copy(update={"in_switch": None})
    assert (parameter_count(UNKNOWN), parameter_count(alone)) == (12, 10)
    with pytest.raises(LinksimError, match="8 rows to fit 12 parameters of 'unknown'"):
        fit(UNKNOWN, made_rows(sizes=(512,)))


def test_a_ring_step_is_read_off_the_table():
    found = step_time(made_rows(sizes=(512,)))
    assert found is not None
    assert found.differences == 4
    # The bytes of 512 B count a little, too.
    assert 0.5 <= found.smallest_us <= found.median_us <= found.largest_us < 0.51
    assert found.largest_flight_us == found.median_us / 2
    assert step_time(made_rows(sizes=(1 << 20,))) is None
