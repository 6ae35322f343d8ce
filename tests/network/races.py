"""What can go wrong in a schedule when messages take any time they like, element by element."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from linksim.network.collectives import Move, Schedule


@dataclass
class _Element:
    """One element of one buffer, as the moves so far have left it."""

    is_filled: bool = False
    brought_by: set[str] = field(default_factory=set)
    """Messages whose values are in it."""
    read_by: list[Move] = field(default_factory=list)


def find_races(plan: Schedule) -> list[str]:
    """One sentence for everything that is wrong; empty for a schedule that is safe.

    What a move reads must have been brought by messages before it, all of them in its `after` and
    nothing else; what it overwrites must have been read before.
    """
    known = {move.id: move for move in plan.moves}
    if len(known) < len(plan.moves):
        return ["two moves have one id"]
    unknown = {name for move in plan.moves for name in move.after} - known.keys()
    if unknown:
        return [f"after: no moves {sorted(unknown)}"]
    try:
        order = list(TopologicalSorter({m.id: m.after for m in plan.moves}).static_order())
    except CycleError:
        return ["a cycle in after"]
    before: dict[str, set[str]] = {}
    for name in order:
        after = known[name].after
        before[name] = set(after).union(*(before[other] for other in after))
    return _walk(plan, before)


def _walk(plan: Schedule, before: dict[str, set[str]]) -> list[str]:
    state: dict[tuple[str, int], _Element] = defaultdict(_Element)
    for rank, part in plan.inputs.items():
        for i in part:
            state[rank, i].is_filled = True
    found = []
    for move in plan.moves:
        read = [state[move.source, i] for i in move.source_range]
        written = [state[move.destination, i] for i in move.destination_range]
        if len(read) != len(written) or not read:
            found.append(f"{move.id} reads {len(read)} elements and writes {len(written)}")
        if not all(element.is_filled for element in read):
            found.append(f"{move.id} reads what nothing has brought")
        needed = set().union(*(element.brought_by for element in read))
        if not needed <= before[move.id]:
            found.append(f"{move.id} reads before {sorted(needed - before[move.id])} are delivered")
        if set(move.after) != needed:
            found.append(f"{move.id} waits for {move.after}, and needs {sorted(needed)}")
        for element in read:
            element.read_by.append(move)
        for element in written:
            found += _overtaken(element, move, before)
            brought = {move.id} if move.is_message else set(move.after)
            element.brought_by = element.brought_by | brought if move.adds else brought
            element.is_filled = True
    for rank, part in plan.outputs.items():
        found += [f"no result at {rank}" for i in part if not state[rank, i].is_filled]
    return found


def _overtaken(element: _Element, move: Move, before: dict[str, set[str]]) -> list[str]:
    """Reads and writes that *move*, which writes *element*, does not wait for."""
    found = []
    for reader in element.read_by:
        done = {reader.id} if reader.is_message else set(reader.after)
        if reader is not move and not done <= before[move.id]:
            found.append(f"{move.id} overwrites what {reader.id} may still have to read")
    if not move.adds and not element.brought_by <= before[move.id]:
        found.append(f"{move.id} replaces what may still have to come")
    return found


def run_in_any_order(
    plan: Schedule, tensors: dict[str, NDArray[np.int64]], rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """Results when messages start and end at random, each after its `after`.

    What is brought to an element is applied in the order of the schedule.
    """
    buffers = {node: np.zeros(size, np.int64) for node, size in plan.nelements.items()}
    for rank, part in plan.inputs.items():
        buffers[rank][part.start : part.stop] = tensors[rank]
    queues: dict[tuple[str, int], list[str]] = defaultdict(list)
    for move in plan.moves:
        for i in move.destination_range:
            queues[move.destination, i].append(move.id)
    arrived: dict[tuple[str, str, int], tuple[bool, int]] = {}
    delivered: set[str] = set()
    waiting, flying = list(plan.moves), []

    def deliver(move: Move, values: NDArray[np.int64]) -> None:
        node = move.destination
        for i, value in zip(move.destination_range, values, strict=True):
            arrived[move.id, node, i] = (move.adds, int(value))
            while queues[node, i] and (queues[node, i][0], node, i) in arrived:
                adds, brought = arrived[queues[node, i].pop(0), node, i]
                buffers[node][i] = brought + (buffers[node][i] if adds else 0)
        delivered.add(move.id)

    while waiting or flying:
        # Moves inside a node come at once and in order, messages whenever they like.
        ready = [move for move in waiting if delivered.issuperset(move.after)]
        local = [move for move in ready if not move.is_message]
        if flying and not local and (not ready or rng.random() < 0.5):
            deliver(*flying.pop(rng.integers(len(flying))))
            continue
        move = local[0] if local else ready[rng.integers(len(ready))]
        waiting.remove(move)
        values = buffers[move.source][move.source_range.start : move.source_range.stop].copy()
        if local:
            deliver(move, values)
        else:
            flying.append((move, values))
    return {rank: buffers[rank][part.start : part.stop] for rank, part in plan.outputs.items()}
