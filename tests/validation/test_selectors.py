"""The selectors of rows, and the tables they choose from."""

from __future__ import annotations

import pytest

from linksim.errors import LinksimError
from linksim.validation.errors import ErrorSummary
from linksim.validation.selectors import RowSelector
from linksim.validation.table import read_table
from tests.validation.tables import KNOWN, SIZES, made_rows, write_table

ROWS = made_rows()


def picked(text):
    return RowSelector.parse(text).pick(ROWS)


def test_every_second_size_of_each_series():
    even, odd = picked("sizes=even"), picked("sizes=odd")
    assert {row.collective.nbytes for row in even} == set(SIZES[::2])
    assert {row.collective.nbytes for row in odd} == set(SIZES[1::2])
    assert len(even) + len(odd) == len(ROWS)
    # Places count from the series' own smallest size, whatever the order of the table.
    later = [row for row in reversed(ROWS) if row.collective.nbytes > 512]
    assert {r.collective.nbytes for r in RowSelector.parse("sizes=even").pick(later)} == set(
        SIZES[1::2]
    )


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("all", lambda c: True),
        ("n=4", lambda c: c.n_gpus == 4),
        ("n=4,8", lambda c: True),
        ("sizes=512", lambda c: c.nbytes == 512),
        ("sizes=2KiB,32MiB", lambda c: c.nbytes in (2048, 1 << 25)),
        ("sizes=..8KiB", lambda c: c.nbytes <= 8192),
        ("sizes=1MiB..", lambda c: c.nbytes >= 1 << 20),
        ("sizes=8KiB..2MiB n=8", lambda c: 8192 <= c.nbytes <= 1 << 21 and c.n_gpus == 8),
        ("collective=all_to_all", lambda c: c.op == "all_to_all"),
        ("gpu=G1 n=8", lambda c: c.n_gpus == 8),
        ("gpu=G2", lambda c: False),
    ],
)
def test_terms_hold_together_and_values_alone(text, holds):
    assert picked(text) == [row for row in ROWS if holds(row.collective)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected terms"),
        ("even", "'even' is no term"),
        ("size=even", "'size=even' is no term"),
        ("all n=4", "'all' is no term"),
        ("n=", "expected a number of GPUs"),
        ("n=four", "expected a number of GPUs"),
        ("n=-4", "expected a number of GPUs"),
        ("n=4 n=8", "n is given twice"),
        ("sizes=", "expected even, odd, a size"),
        ("sizes=12KB", "size '12KB'"),
        ("sizes=2KiB...", "size '.'"),
        ("sizes=8KiB..2KiB", "the smaller one first"),
        ("collective=alltoall", "expected one of all_gather"),
        ("gpu=", "names none"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(text, said):
    with pytest.raises(LinksimError) as refused:
        RowSelector.parse(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_table_is_read_as_written(tmp_path):
    rows = read_table(write_table(tmp_path / "t.csv", ROWS))
    assert [row.collective for row in rows] == [row.collective for row in ROWS]
    assert [row.time_us for row in rows] == pytest.approx([row.time_us for row in ROWS], abs=1e-6)
    assert {row.gpu for row in rows} == set(KNOWN.gpus)


HEAD = "gpu,n_gpus,collective,total_bytes,time_us,library\n"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "column gpu is missing"),
        ("gpu,n_gpus,collective,total_bytes\nG,4,all_gather,512\n", "column time_us is missing"),
        (HEAD, "without rows"),
        (HEAD + "G,4,all_gather,512,-3,x\n", "line 2: time_us = '-3'"),
        (HEAD + "G,4,all_gather,512,nan,x\n", "line 2: time_us = 'nan'"),
        (HEAD + "G,4,all_gather,512,0,x\n", "line 2: time_us = '0'"),
        (HEAD + "G,4,all_gather,512,1e999,x\n", "line 2: time_us = '1e999'"),
        (HEAD + "G,4,all_gather,512,,x\n", "line 2: time_us is empty"),
        (HEAD + "G,4,all_gather\n", "line 2: total_bytes is empty"),
        (HEAD + "G,4,all_gather,0.5,3,x\n", "line 2: total_bytes = '0.5'"),
        (HEAD + "G,4,all_gather,0,3,x\n", "line 2: all_gather: expected 1 byte"),
        (HEAD + "G,1,all_gather,512,3,x\n", "line 2: all_gather: expected 2 GPUs"),
        (HEAD + "G,4,all_mix,512,3,x\n", "line 2: unknown collective 'all_mix'"),
        (HEAD + "G,4,all_gather,512,3,x\nG,4,all_gather,512,4,x\n", "line 3: measures the same"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path, document, said):
    path = tmp_path / "bad.csv"
    path.write_text(document)
    with pytest.raises(LinksimError) as refused:
        read_table(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_table_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfe\x00gpu")
    with pytest.raises(LinksimError, match="not a CSV table"):
        read_table(path)


def test_errors_are_summed_up():
    errors = ErrorSummary.of([1, 2, 3, 8], [1, 1, 4, 4])
    assert (errors.rows, errors.median, errors.max) == (4, 0.625, 1.0)
    assert errors.p90 == pytest.approx(1.0)
    # Factors 1, 2, 4/3 and 2: their geometric mean less 1.
    assert errors.geomean == pytest.approx((2 * 4 / 3 * 2) ** 0.25 - 1)
