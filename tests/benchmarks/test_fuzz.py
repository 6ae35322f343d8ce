"""The fuzz run finds nothing in the kernels as they are, and planted faults at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from typer.testing import CliRunner

from linksim.benchmarks.fuzz import FuzzReport, run_fuzz
from linksim.benchmarks.fuzz_targets import schedule, targets
from linksim.benchmarks.fuzz_worker import BLOCK, Job, command
from linksim.benchmarks.guarded import GuardedBuffer
from linksim.cli.app import app
from linksim.errors import LinksimError

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="guard pages need Linux"
)

PLANTED = """
import sys
import numpy as np
from linksim.benchmarks import fuzz_targets, fuzz_worker
def planted(target):
    kernel = fuzz_targets.kernel(target)
    return kernel._replace({fault})
fuzz_worker.kernel = planted
fuzz_worker.main()
"""


def with_fault(fault: str) -> Callable[[Job], list[str]]:
    """Workers whose kernels get tables with *fault*."""
    script = PLANTED.format(fault=fault)
    return lambda job: [sys.executable, "-c", script, *command(job)[-1:]]


def test_nothing_is_found_and_all_cases_are_counted() -> None:
    told: list[int] = []
    report = run_fuzz(200_000, seed=11, on_progress=told.append)
    assert report.findings == []
    assert report.cases == told[-1] == 200_000
    assert report.sampled == 400
    assert 0 < report.messages_accepted < report.sampled
    for counts in report.by_target.values():
        assert counts["cases"] == counts["accepted"] + counts["refused"]
    every = [counts for counts in report.by_target.values() if counts["cases"]]
    assert len(every) == len(targets())
    assert all(counts["accepted"] and counts["refused"] for counts in every)


def test_a_run_depends_on_its_numbers_alone() -> None:
    once, again = (run_fuzz(2 * BLOCK, seed=5, workers=workers) for workers in (1, 2))
    other = run_fuzz(2 * BLOCK, seed=6, workers=1)
    assert once.by_target == again.by_target != other.by_target
    # A finding is seen again from its case alone.
    tail = run_fuzz(BLOCK, seed=5, first=BLOCK, workers=1)
    name = targets()[schedule(targets())[1]].name
    assert tail.by_target[name] == once.by_target[name]


def test_a_store_outside_is_a_crash_with_its_case() -> None:
    # The kernel believes that a look-up gives one symbol, and goes on too close to the end.
    fault = "most=np.ones_like(kernel.most)"
    report = run_fuzz(BLOCK, seed=1, workers=1, worker_command=with_fault(fault))
    (finding,) = report.findings
    assert finding["what"] == "the coder touched memory outside: signal 11 (SIGSEGV)"
    assert (finding["kind"], finding["seed"]) == ("decoder", 1)
    assert finding["target"] == targets()[0].name
    assert len(bytes.fromhex(finding["message"])) == finding["chunk_ends"][-1]
    case = finding["case"]
    again = run_fuzz(1, seed=1, first=case, workers=1, worker_command=with_fault(fault))
    assert again.findings == report.findings
    assert run_fuzz(1, seed=1, first=case, workers=1).findings == []


def test_a_wrong_symbol_is_a_finding_with_its_message() -> None:
    fault = "lookups=kernel.lookups ^ np.uint64(1 << 56)"
    report = run_fuzz(3 * BLOCK, seed=1, workers=1, worker_command=with_fault(fault))
    assert report.findings
    for finding in report.findings:
        assert finding["kind"] == "decoder"
        assert "differ" in finding["what"] or "; reference: " in finding["what"]
        assert len(bytes.fromhex(finding["message"])) == finding["chunk_ends"][-1]


def test_a_worker_that_fails_is_a_finding() -> None:
    fault = "unheard=0"
    report = run_fuzz(BLOCK, seed=1, workers=1, worker_command=with_fault(fault))
    assert "exit code 1" in report.findings[0]["what"]
    assert "unheard" in report.findings[0]["what"]


@pytest.mark.parametrize(
    ("end", "count", "offset"), [("first", 10, -1), ("last", 10, 10), ("last", 3, 3)]
)
def test_guards_end_a_process_that_touches_them(end: str, count: int, offset: int) -> None:
    script = f"""
import ctypes
from linksim.benchmarks.guarded import GuardedBuffer
part = GuardedBuffer(100).{end}({count})
part[:] = 1
print(part.sum(), flush=True)
ctypes.string_at(part.ctypes.data + {offset}, 1)
"""
    words = [sys.executable, "-c", script]
    run = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    assert (run.returncode, run.stdout) == (-11, f"{count}\n")


def test_guarded_parts_are_views_of_one_room() -> None:
    room = GuardedBuffer(5000)
    room.last(3)[:] = 7
    assert room.bytes[-4:].tolist() == [0, 7, 7, 7]
    assert np.shares_memory(room.first(5000), room.bytes)
    with pytest.raises(LinksimError, match="expected 0 to 8192"):
        room.first(9000)


def test_bad_numbers_are_refused() -> None:
    for arguments in ((0, 1), (1, -1), (1, 1 << 63), (1, 0, -1), (1, 0, 0, 0)):
        with pytest.raises(LinksimError, match="expected"):
            run_fuzz(*arguments)


def test_other_systems_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(LinksimError, match="darwin is not supported: expected Linux"):
        run_fuzz(1, seed=0)
    with pytest.raises(LinksimError, match="darwin is not supported: expected Linux"):
        GuardedBuffer(1)


def test_command_prints_json_and_a_table() -> None:
    runner = CliRunner()
    words = ["bench", "fuzz", "--cases", "20000", "--seed", "3", "--workers", "1"]
    result = runner.invoke(app, [*words, "--json"])
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert (printed["cases"], printed["seed"], printed["findings"]) == (20_000, 3, [])
    result = runner.invoke(app, words)
    assert "nothing found" in result.stdout
    assert targets()[0].name in result.stdout
    assert runner.invoke(app, ["bench", "fuzz", "--cases", "0"]).exit_code == 2


def test_a_finding_ends_the_command_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    found = FuzzReport(1, 0, 1, {})
    found.findings.append({"kind": "decoder", "target": "x", "seed": 1, "case": 5, "what": "bad"})
    monkeypatch.setattr("linksim.cli.fuzz.run_fuzz", lambda *arguments: found)
    result = CliRunner().invoke(app, ["bench", "fuzz"])
    assert result.exit_code == 1
    assert "finding in the decoder, target 'x', seed 1, case 5: bad" in result.stdout
    assert "nothing found" not in result.stdout
