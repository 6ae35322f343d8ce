"""The two-step all-reduce across real processes, and what of it must be noticed."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.flash import processes
from linksim.flash.addends import Addends
from linksim.flash.processes import Outcome, judge, run_processes, simulated
from tests.conftest import gaussian

QUANTIZER = GroupQuantizer(bits=5, group=32, spikes=True)


def work(ranks: int, sizes: tuple[int, ...]) -> list[Addends]:
    return [
        Addends(f"a{k}", "kind", {f"rank{i}": gaussian(size, seed=9 * k + i) for i in range(ranks)})
        for k, size in enumerate(sizes)
    ]


def made_up(given: list[Addends]) -> Outcome:
    """What processes that do all right would end with."""
    expected = simulated(given, QUANTIZER)
    names = list(expected[0].result)
    sent: list[dict[int, int]] = [{} for _ in names]
    for made in expected:
        for message in made.messages:
            here = sent[names.index(message.source)]
            to = names.index(message.destination)
            here[to] = here.get(to, 0) + message.nbytes
    results = [[made.result[name].view(np.uint16) for made in expected] for name in names]
    return Outcome(results, sent, 0.0)


def test_two_processes_give_the_simulators_bytes_and_bits() -> None:
    pytest.importorskip("torch", reason="processes need PyTorch")
    # A single value leaves one rank without a piece, and nothing is sent for it.
    given = work(2, (300, 1, 64))
    outcome = run_processes(given, QUANTIZER)
    verdicts = judge(simulated(given, QUANTIZER), outcome)
    assert all(verdict.holds for verdict in verdicts), verdicts
    assert [verdict.values for verdict in verdicts] == [365, 365]
    assert sum(verdict.sent_nbytes for verdict in verdicts) == sum(
        message.nbytes for made in simulated(given, QUANTIZER) for message in made.messages
    )


def test_one_bit_and_one_byte_are_noticed() -> None:
    given = work(3, (200, 96))
    expected = simulated(given, QUANTIZER)
    right = made_up(given)
    assert all(verdict.holds for verdict in judge(expected, right))
    results = copy.deepcopy(right.results)
    results[1][0][17] ^= 1
    verdicts = judge(expected, replace(right, results=results))
    assert [verdict.differing_values for verdict in verdicts] == [0, 1, 0]
    assert [verdict.holds for verdict in verdicts] == [True, False, True]
    # As many bytes in all, but to the wrong receivers.
    sent = copy.deepcopy(right.sent)
    sent[2][0] += 1
    sent[2][1] -= 1
    verdicts = judge(expected, replace(right, sent=sent))
    assert [verdict.holds for verdict in verdicts] == [True, True, False]
    assert verdicts[2].sent_nbytes == verdicts[2].expected_nbytes
    results[1][0] = results[1][0][:-1]
    assert judge(expected, replace(right, results=results))[1].differing_values == 200


def test_a_process_that_fails_or_hangs_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    given = work(2, (64,))
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(processes, "PEER", "no.such.module")
    with pytest.raises(LinksimError, match=r"process of rank \d: .*No module named 'no'"):
        run_processes(given, QUANTIZER)
    monkeypatch.setattr(processes, "PEER", "tests.flash.hanging")
    with pytest.raises(LinksimError, match="did not end in time"):
        run_processes(given, QUANTIZER, timeout_s=1.0)


def test_without_pytorch_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LinksimError, match=r"needs PyTorch: pip install 'linksim\[capture\]'"):
        run_processes(work(2, (64,)), QUANTIZER)
