"""`linksim validate nccl`, from a table to figure and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from linksim.network.protocols import endpoint_record
from linksim.validation.nccl import records_by_gpu, validate_nccl
from tests.conftest import ROOT
from tests.replay.command import files_under, linksim
from tests.validation.tables import KNOWN, UNKNOWN, made_rows, write_record, write_table

SIZES = (512, 2048, 8192, 32_768)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nccl")
    rows = made_rows(sizes=SIZES)
    return (
        write_table(folder / "table.csv", rows),
        write_record(folder / "endpoint.toml", UNKNOWN.model_copy(update={"in_switch": None})),
    )


def test_fit_and_judgement_go_from_table_to_files(files, tmp_path):
    table, endpoint = files
    command = ("validate", "nccl", "--table", table, "--endpoint", endpoint, "--json")
    made = linksim(*command, "--out", tmp_path / "results").json()
    assert json.loads((tmp_path / "results" / "nccl.json").read_text()) == made
    assert (tmp_path / "results" / "nccl.png").read_bytes().startswith(b"\x89PNG")
    assert files_under(tmp_path) == ["results", "results/nccl.json", "results/nccl.png"]
    (gpu,) = made["gpus"]
    assert (gpu["gpu"], gpu["fitted_parameters"], gpu["fitted_rows"]) == ("G1", 10, 16)
    overall = next(e for e in gpu["errors"] if e["group"] == "all" and e["held_out"])
    assert overall["rows"] == 16
    assert overall["max"] < 0.1
    assert gpu["largest_simulated_to_closed_form"] < 1e-3
    assert sum(row["held_out"] for row in gpu["rows"]) == 16
    seen = {row["total_bytes"] for row in gpu["rows"] if not row["held_out"]}
    assert seen == {512, 8192}
    # The preset's 300 ns on both links are more than a step of 0.5 us.
    assert gpu["flight"]["refuted_by_steps"]
    assert gpu["flight"]["simulated_ns"] < 260 < gpu["flight"]["preset_ns"]
    assert {c["judged"] for c in gpu["carry_over"]} >= {"n=4", "n=8", "sizes=odd"}


def test_tables_and_remarks_are_printed(files):
    table, endpoint = files
    shown = linksim("validate", "nccl", "--table", table, "--endpoint", endpoint, "--no-carry-over")
    assert (shown.code, shown.err) == (0, "")
    for part in ("Held-out rows", "Endpoint figures", "4 of 8 B", "refuted", "not fitted"):
        assert part in shown.out
    assert "Carry-over" not in shown.out


def test_figures_as_they_are_can_be_judged(tmp_path):
    table = write_table(tmp_path / "table.csv", made_rows(sizes=SIZES))
    endpoint = write_record(tmp_path / "endpoint.toml", KNOWN)
    command = ("validate", "nccl", "--table", table, "--endpoint", endpoint, "--json")
    (gpu,) = linksim(*command, "--fit", "none", "--hold-out", "all").json()["gpus"]
    assert (gpu["fitted_parameters"], gpu["fitted_rows"], gpu["carry_over"]) == (0, 0, [])
    overall = next(e for e in gpu["errors"] if e["group"] == "all")
    assert overall["rows"] == 32
    assert overall["max"] < 1e-3


def test_engines_agree():
    rows = made_rows(sizes=(512, 8192), n_gpus=(4,))
    records = {"G1": KNOWN}
    fast, reference = (
        validate_nccl(rows, records, fit_rows="none", hold_out_rows="all", engine=engine)
        for engine in ("fast", "reference")
    )
    assert fast.gpus[0].rows == reference.gpus[0].rows


def test_rows_of_unknown_gpus_are_counted(files, tmp_path):
    other = KNOWN.model_copy(update={"gpus": ("G2",)})
    few = made_rows(sizes=(512,), n_gpus=(4,))
    table = write_table(tmp_path / "t.csv", [*few, *made_rows(other, (512,), (4,))])
    _, endpoint = files
    made = linksim(
        *("validate", "nccl", "--table", table, "--endpoint", endpoint),
        *("--fit", "none", "--hold-out", "all", "--json"),
    ).json()
    assert made["left_out_rows"] == {"G2": 4}
    assert [gpu["gpu"] for gpu in made["gpus"]] == ["G1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fit", "sizes=every"), "size 'every'"),
        (("--hold-out", "n=x"), "expected a number of GPUs"),
        (("--fit", "n=4", "--hold-out", "sizes=odd"), "8 rows are both fitted and held out"),
        (("--hold-out", "sizes=1GiB"), "no row of the table is held out"),
        (("--fit", "n=3"), "0 rows to fit 10 parameters"),
        (("--fit", "sizes=512 n=4"), "4 rows to fit 10 parameters"),
        (("--engine", "magic"), "unknown engine 'magic'"),
        (("--endpoint", "h200"), "unknown endpoint 'h200'"),
    ],
)
def test_nonsense_is_refused_and_writes_nothing(files, tmp_path, options, said):
    table, endpoint = files
    linksim(
        *("validate", "nccl", "--table", table, "--endpoint", endpoint),
        *("--out", tmp_path / "results", *options),
    ).refused(said)
    assert files_under(tmp_path) == []


def test_files_that_will_not_do_are_refused(files, tmp_path):
    table, _ = files
    (tmp_path / "bad.csv").write_text("gpu,n_gpus,collective,total_bytes,time_us\nG,4,mix,1,1\n")
    linksim("validate", "nccl", "--table", tmp_path / "bad.csv").refused("unknown collective")
    linksim("validate", "nccl", "--table", tmp_path / "none.csv").refused("none.csv")
    linksim("validate", "nccl", "--table", table).refused("no endpoint record names a GPU", "G1")
    linksim("validate", "nccl", "--table", table, "--out", table).refused("not a folder")
    nameless = write_record(tmp_path / "e.toml", KNOWN.model_copy(update={"gpus": ()}))
    linksim("validate", "nccl", "--table", table, "--endpoint", nameless).refused("names no gpus")


def test_results_are_of_the_shipped_records_and_within_what_they_must_show():
    made = json.loads((ROOT / "results" / "validation" / "nccl.json").read_text())
    assert [gpu["endpoint"] for gpu in made["gpus"]] == ["a100", "h100", "l40s"]
    for gpu in made["gpus"]:
        record = endpoint_record(gpu["endpoint"])
        assert gpu["protocols"] == [protocol.model_dump() for protocol in record.protocols]
        assert gpu["all_to_all_steps"] == record.all_to_all_steps
        assert gpu["in_switch"] == (record.in_switch and record.in_switch.model_dump())
        # Small messages are padded to whole flits, of 256 bytes on PCIe.
        assert gpu["largest_simulated_to_closed_form"] < 0.005
    for gpu in made["gpus"][:2]:
        held_out = [row for row in gpu["rows"] if row["held_out"]]
        assert len(held_out) == 80
        errors = np.abs([row["simulated_us"] / row["measured_us"] - 1 for row in held_out])
        assert np.median(errors) <= 0.05
        assert np.percentile(errors, 90) <= 0.18


def test_shipped_records_serve_the_names_of_tables():
    records = records_by_gpu(())
    assert {"A100_SXM", "H100_SXM", "L40S_PCIe"} <= set(records)
