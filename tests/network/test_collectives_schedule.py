"""Schedules without values: closed forms, races, chunks, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.network.collectives import ALGORITHMS, Schedule, schedule
from tests.conftest import ROOT
from tests.network.races import find_races, run_in_any_order

PAGE = ROOT / "docs" / "reference" / "collectives.md"
ALL = [(op, name) for op, names in ALGORITHMS.items() for name in names]


def names(n: int) -> list[str]:
    return [f"r{i}" for i in range(n)]


def plan_for(op, algorithm, n, elements, *, chunk=None, size=1) -> Schedule:
    """A schedule with groups of *size* neighbours, where it has groups."""
    ranks = names(2 if op == "send" else n)
    groups = [ranks[i : i + size] for i in range(0, n, size)]
    return schedule(
        op,
        ranks=ranks,
        elements=elements,
        algorithm=algorithm,
        chunk_elements=chunk,
        groups=groups if algorithm == "hierarchical" else None,
    )


@st.composite
def plans(draw, op, algorithm):
    n = draw(st.integers(2, 9), "ranks")
    elements = draw(st.integers(0, 30), "elements")
    if op == "all_gather":
        elements = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n), "shards")
    if op == "all_to_all":
        row = st.lists(st.integers(0, 4), min_size=n, max_size=n)
        elements = draw(st.lists(row, min_size=n, max_size=n), "counts")
    size = draw(st.sampled_from([k for k in range(1, n + 1) if n % k == 0]), "group")
    chunk = draw(st.none() | st.integers(1, 9), "chunk")
    return plan_for(op, algorithm, n, elements, chunk=chunk, size=size)


@pytest.mark.parametrize(("op", "algorithm"), ALL)
@given(data=st.data())
def test_no_move_reads_or_overwrites_too_early_and_none_waits_in_vain(op, algorithm, data):
    assert find_races(data.draw(plans(op, algorithm))) == []


@pytest.mark.parametrize(("op", "algorithm"), ALL)
@given(data=st.data())
def test_results_do_not_depend_on_when_messages_come(op, algorithm, data):
    plan = data.draw(plans(op, algorithm))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    # Whole numbers, so that any order of additions gives one sum.
    tensors = {rank: rng.integers(1, 1000, len(part)) for rank, part in plan.inputs.items()}
    results = run_in_any_order(plan, tensors, rng)
    total = sum(tensors.values()) if op in ("all_reduce", "reduce_scatter") else None
    for rank, result in results.items():
        if op in ("send", "broadcast"):
            expected = tensors["r0"]
        elif op == "all_gather":
            expected = np.concatenate(list(tensors.values()))
        elif op == "all_reduce":
            expected = total
        elif op == "reduce_scatter":
            expected = np.array_split(total, len(tensors))[int(rank[1:])]
        else:
            parts = [m for m in plan.moves if m.destination == rank]
            ordered = sorted(parts, key=lambda move: move.destination_range.start)
            taken = [tensors[m.source][m.source_range.start : m.source_range.stop] for m in ordered]
            expected = np.concatenate([np.zeros(0, np.int64), *taken])
        np.testing.assert_array_equal(result, expected)


def mutated(plan: Schedule, k: int, **changes) -> Schedule:
    moves = list(plan.moves)
    moves[k] = dataclasses.replace(moves[k], **changes)
    return dataclasses.replace(plan, moves=tuple(moves))


@pytest.mark.parametrize("algorithm", ALGORITHMS["all_reduce"])
@given(data=st.data())
def test_a_dependency_left_out_is_a_race(algorithm, data):
    plan = plan_for("all_reduce", algorithm, 6, 36, chunk=4, size=3)
    waiting = [k for k, move in enumerate(plan.moves) if move.after and move.is_message]
    k = data.draw(st.sampled_from(waiting))
    after = list(plan.moves[k].after)
    dropped = after.pop(data.draw(st.integers(0, len(after) - 1)))
    races = find_races(mutated(plan, k, after=tuple(after)))
    assert any("needs" in race for race in races)
    # Unless another of its messages waits for the one left out, it may be late.
    by_name = {move.id: move for move in plan.moves}
    if not any(dropped in chain(by_name, name) for name in after):
        assert any("reads before" in race for race in races)


def chain(moves, name: str) -> set[str]:
    """All that the move called *name* waits for."""
    return set(moves[name].after).union(*(chain(moves, other) for other in moves[name].after))


def test_other_faults_are_seen_too():
    plan = plan_for("all_reduce", "ring", 4, 16)
    last = len(plan.moves) - 1
    assert find_races(mutated(plan, 0, after=("ag2.r1",))) == ["a cycle in after"]
    assert find_races(mutated(plan, 0, after=("nothing",))) == ["after: no moves ['nothing']"]
    assert find_races(mutated(plan, 1, id=plan.moves[0].id)) == ["two moves have one id"]
    in_vain = find_races(mutated(plan, last, after=(*plan.moves[last].after, plan.moves[0].id)))
    assert len(in_vain) == 1
    assert "waits for" in in_vain[0]
    too_much = mutated(plan, 0, source_range=range(9))
    assert any("reads 9 elements and writes 4" in race for race in find_races(too_much))
    gather = plan_for("all_gather", "direct", 4, 4)
    assert any(
        "nothing has brought" in race for race in find_races(mutated(gather, 0, source="r3"))
    )
    # In the gather phase a sum replaces an addend that a rank may not have sent yet.
    early = mutated(plan, last, after=())
    assert any("reads before" in race for race in find_races(early))
    assert any("overwrites" in race for race in find_races(early))


def textbook(op, algorithm, n, size):
    """Fewest and most steps, and elements sent by all over those of the whole tensor."""
    log = int(log2(n))
    helpers = n - (1 << log)
    if op == "all_reduce":
        steps = {
            "ring": 2 * (n - 1),
            "halving-doubling": 2 * log + 2 * bool(helpers),
            "tree": 2 * log,
            "double-tree": 2 * log,
            "direct": 2,
            "in-switch": 2,
            "hierarchical": 2 * (size - 1) + 2 * (n // size - 1),
        }[algorithm]
        return steps, steps, 2 * n if algorithm == "in-switch" else 2 * (n - 1)
    if op == "broadcast":
        steps = {"ring": n - 1, "tree": log, "direct": 1, "in-switch": 2}[algorithm]
        return steps, steps, n if algorithm == "in-switch" else n - 1
    if op in ("send", "all_to_all") or algorithm == "direct":
        return 1, 1, 1 if op == "send" else n - 1
    if algorithm == "ring":
        return n - 1, n - 1, n - 1
    # What a helper hands over or is given at the end need not be what took the most steps.
    again = helpers / n if op == "reduce_scatter" else 0
    return log + bool(helpers), log + 2 * bool(helpers), n - 1 + again


@pytest.mark.parametrize("n", [2, 3, 4, 6, 7, 8, 12, 16])
@pytest.mark.parametrize(("op", "algorithm"), ALL)
def test_steps_and_sizes_are_the_textbooks(op, algorithm, n):
    total = 240 * n
    elements = total // n if op == "all_gather" else total
    if op == "all_to_all":
        elements = [[total // n] * n] * n
    size = n // 2 if n % 2 == 0 else n
    fewest, most, sent = textbook(op, algorithm, n, size)
    for chunk in (None, 60):
        plan = plan_for(op, algorithm, n, elements, chunk=chunk, size=size)
        assert fewest <= plan.steps <= most
        assert plan.sent_elements == pytest.approx(sent * total)


@pytest.mark.parametrize("algorithm", ["ring", "direct", "halving-doubling"])
def test_no_rank_sends_more_than_its_share(algorithm):
    plan = plan_for("all_reduce", algorithm, 8, 800)
    for rank in names(8):
        mine = sum(len(move.source_range) for move in plan.messages if move.source == rank)
        assert mine == 2 * 7 * 100


def test_two_trees_share_the_load():
    """In one tree a rank sends up to three times, but a leaf of the other only once, and halves."""
    for n in (6, 8, 16):
        most = {}
        for algorithm in ("tree", "double-tree"):
            plan = plan_for("all_reduce", algorithm, n, 100 * n)
            sent = [
                sum(len(m.source_range) for m in plan.messages if m.source == r) for r in names(n)
            ]
            most[algorithm] = max(sent)
        assert most == {"tree": 300 * n, "double-tree": 200 * n}


@given(n=st.integers(2, 9), elements=st.integers(0, 60), chunk=st.integers(1, 20), data=st.data())
def test_chunks_are_full_but_for_the_last(n, elements, chunk, data):
    op, algorithm = data.draw(st.sampled_from(ALL))
    whole = plan_for(op, algorithm, n, elements)
    parts = {}
    for move in plan_for(op, algorithm, n, elements, chunk=chunk).moves:
        parts.setdefault(move.id.split("#")[0], []).append(move)
    assert list(parts) == [move.id for move in whole.moves]
    for move in whole.moves:
        chunks = parts[move.id]
        assert [c.id for c in chunks] == (
            [f"{move.id}#{k}" for k in range(len(chunks))] if len(chunks) > 1 else [move.id]
        )
        assert all(len(c.source_range) == chunk for c in chunks[:-1])
        assert 0 < len(chunks[-1].source_range) <= chunk
        for side in ("source_range", "destination_range"):
            ranges = [getattr(c, side) for c in chunks]
            assert all(a.stop == b.start for a, b in pairwise(ranges))
            assert range(ranges[0].start, ranges[-1].stop) == getattr(move, side)


def test_a_chunk_goes_on_while_the_next_one_comes():
    moves = {move.id: move for move in plan_for("all_reduce", "ring", 4, 40, chunk=5).moves}
    assert moves["rs1.r1#0"].after == ("rs0.r0#0",)
    assert moves["rs1.r1#1"].after == ("rs0.r0#1",)
    moves = {move.id: move for move in plan_for("all_reduce", "in-switch", 3, 40, chunk=10).moves}
    assert moves["down2.switch#3"].after == ("up.r0#3", "up.r1#3", "up.r2#3")


def makespan(plan: Schedule) -> int:
    """Time until all is delivered if an element takes 1, links are first come first served."""
    waits = {move.id: set(move.after) for move in plan.messages}
    waiting, now = list(plan.messages), 0
    busy: dict[tuple[str, str], tuple[int, str]] = {}
    while waiting or busy:
        for move in list(waiting):
            link = (move.source, move.destination)
            if not waits[move.id] and link not in busy:
                busy[link] = (now + len(move.source_range), move.id)
                waiting.remove(move)
        now = min(end for end, _ in busy.values())
        for link, (end, name) in list(busy.items()):
            if end == now:
                del busy[link]
                for others in waits.values():
                    others.discard(name)
    return now


@pytest.mark.parametrize("chunks", [1, 2, 10])
def test_chunks_overlap_as_in_the_closed_forms(chunks):
    n, elements = 5, 100
    chunk = elements // chunks
    for op, algorithm, expected in [
        ("broadcast", "ring", (chunks + n - 2) * chunk),
        ("broadcast", "in-switch", (chunks + 1) * chunk),
        ("all_reduce", "in-switch", (chunks + 1) * chunk),
        ("all_reduce", "ring", 2 * (n - 1) * elements // n),
        ("all_reduce", "direct", 2 * elements // n),
    ]:
        assert makespan(plan_for(op, algorithm, n, elements, chunk=chunk)) == expected


def test_a_gibibyte_takes_no_memory_to_plan():
    for op, algorithm in ALL:
        elements = 2**26 if op == "all_gather" else 2**29
        plan = plan_for(op, algorithm, 8, elements, chunk=2**19, size=4)
        # 1 MiB of bf16 in each of at least 1024 messages.
        assert 1024 <= len(plan.messages) < 20_000
        assert max(len(move.source_range) for move in plan.moves) == 2**19


def test_inputs_and_outputs_say_what_lies_where():
    plan = plan_for("reduce_scatter", "ring", 3, 10)
    assert plan.inputs == dict.fromkeys(names(3), range(10))
    assert plan.outputs == {"r0": range(4), "r1": range(4, 7), "r2": range(7, 10)}
    plan = plan_for("all_gather", "ring", 3, [1, 0, 2])
    assert plan.inputs == {"r0": range(1), "r1": range(1, 1), "r2": range(1, 3)}
    assert plan.nelements == dict.fromkeys(names(3), 3)
    plan = plan_for("all_to_all", None, 2, [[1, 2], [0, 3]])
    assert plan.inputs == {"r0": range(3), "r1": range(3)}
    assert plan.outputs == {"r0": range(3, 4), "r1": range(3, 8)}
    plan = plan_for("send", None, 2, 5)
    assert (plan.inputs, plan.outputs) == ({"r0": range(5)}, {"r1": range(5)})
    assert plan_for("broadcast", "in-switch", 3, 5).nelements["switch"] == 5


def test_the_switch_may_have_any_name():
    plan = schedule("broadcast", ranks="abc", elements=1, algorithm="in-switch", switch="nvswitch0")
    assert [(move.source, move.destination) for move in plan.moves] == [
        ("a", "nvswitch0"),
        ("nvswitch0", "b"),
        ("nvswitch0", "c"),
    ]


ABCD = {"op": "all_reduce", "ranks": "abcd", "elements": 8}
GROUPS = {**ABCD, "algorithm": "hierarchical"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({**ABCD, "op": "gossip"}, "unknown collective 'gossip': expected one of send, all_reduce"),
        (
            {**ABCD, "algorithm": "star"},
            "all_reduce: unknown algorithm 'star': expected one of ring,",
        ),
        ({**ABCD, "ranks": "a"}, "expected two or more ranks, each named once"),
        ({**ABCD, "ranks": "aab"}, "expected two or more ranks, each named once"),
        ({**ABCD, "op": "send"}, "expected two ranks"),
        ({**ABCD, "chunk_elements": 0}, "chunks of 0 elements: expected 1 or more"),
        ({**ABCD, "chunk_elements": -3}, "chunks of -3 elements: expected 1 or more"),
        ({**ABCD, "elements": -1}, "-1 elements: expected a whole number, 0 or more"),
        ({**ABCD, "elements": 0.5}, "0.5 elements: expected a whole number"),
        ({**ABCD, "elements": [1, 2, 3, 4]}, "expected a whole number"),
        ({**ABCD, "op": "all_gather", "elements": [1, 2]}, "2 sizes for 4 ranks"),
        ({**ABCD, "op": "all_to_all", "elements": [1, 2]}, "expected one size, or 4 times 4"),
        ({**ABCD, "op": "all_to_all", "elements": [[1, 2]] * 4}, "2 sizes for 4 ranks"),
        (
            {**ABCD, "algorithm": "in-switch", "switch": "a"},
            "a rank and the switch are both called",
        ),
        ({**ABCD, "groups": ["ab", "cd"]}, "groups are for algorithm hierarchical, not ring"),
        (GROUPS, "expected the ranks in groups"),
        ({**GROUPS, "groups": []}, "expected the ranks in groups"),
        ({**GROUPS, "groups": ["ab", "ce"]}, "groups name rank 'e', which does not take part"),
        (
            {**GROUPS, "groups": ["ab", "c"]},
            "groups a[+]b and c: expected every rank in one of them",
        ),
        ({**GROUPS, "groups": ["ab", "bcd"]}, "expected every rank in one of them"),
        ({**GROUPS, "groups": ["abc", "d"]}, "groups a[+]b[+]c and d: expected groups of one size"),
        ({**GROUPS, "groups": ["abcd", ""]}, "and none: expected groups of one size"),
    ],
)
def test_nonsense_gets_one_sentence(asked, expected):
    with pytest.raises(LinksimError, match=expected) as error:
        schedule(**asked)
    assert "\n" not in str(error.value)


def test_the_reference_lists_every_algorithm_and_its_default():
    rows = re.findall(r"^\| `(\w+)` \| `([\w-]+)`( \(default\))? \|", PAGE.read_text(), re.M)
    assert [(op, name) for op, name, _ in rows] == ALL
    assert [(op, name) for op, name, mark in rows if mark] == [
        (op, known[0]) for op, known in ALGORITHMS.items()
    ]


def test_the_examples_of_the_reference_run(capsys):
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(), re.S)
    assert len(examples) == 2
    for program, printed in examples:
        exec(program, {})  # noqa: S102
        assert capsys.readouterr().out == printed
