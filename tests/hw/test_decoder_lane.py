"""A lane alone: a value every cycle, whatever the code words, and a verdict on every run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the cores need Amaranth: pip install -e '.[hw]'")

from amaranth.sim import Simulator

from hw.huffman.decoder_lane import DecoderLane
from hw.huffman.run_plan import UNIT_BITS, WORD_BITS, RunPlan
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook
from linksim.codecs.prefix_code import identity_code

LENGTHS = tuple([1, 2, 3] + [12] * 253)
BOOK = Codebook("steep", "bf16", "exponent", "any", LENGTHS, 12)
"""Bits that begin with three ones and go on high begin no code word."""
PLAN = RunPlan(
    LinkShape.of([BOOK], values_per_cycle=8, payload_nbytes=240, run_symbols=64, words_per_flit=1),
    1,
)


@dataclass(frozen=True)
class Run:
    """What a lane is given. spare: bits behind the last value; wrong: by how much it is off."""

    symbols: tuple[int, ...]
    raw: bool = False
    last: bool = False
    spare: int = 0
    wrong: int = 0

    def words(self) -> list[dict[str, int]]:
        """As they stand in a run memory."""
        code = identity_code(8) if self.raw else BOOK.code
        bits = number = 0
        for symbol in self.symbols:
            number |= int(code.words[symbol]) << bits
            bits += code.lengths[symbol]
        bits = max(0, bits + self.spare + self.wrong)
        head = {
            "left": len(self.symbols) - 1,
            "unused": -bits % UNIT_BITS,
            "last": self.last,
            "book": not self.raw,
        }
        number = PLAN.head_layout().const(head).as_bits() | (number << UNIT_BITS)
        units = 1 + -(-bits // UNIT_BITS)
        number &= (1 << (units * UNIT_BITS)) - 1
        count = -(-units // 2)
        return [
            {
                "bits": number >> (WORD_BITS * index) & ((1 << WORD_BITS) - 1),
                "end": index == count - 1,
                "single": index == count - 1 and units % 2,
            }
            for index in range(count)
        ]


@cache
def simulator() -> tuple[DecoderLane, Simulator, list]:
    lane = DecoderLane([BOOK], PLAN)
    made, hooks = Simulator(lane), []
    made.add_clock(1e-9)

    async def drive(ctx):
        await hooks[-1](ctx)

    made.add_testbench(drive)
    return lane, made, hooks


def decode(runs: list[Run], phase: int = 0) -> tuple[list[tuple[int, int]], list[bool]]:
    """Cycle and symbol of every value, and of every run whether it is broken."""
    lane, made, hooks = simulator()
    values: list[tuple[int, int]] = []
    verdicts: list[bool] = []

    async def bench(ctx) -> None:
        areas: list[list[dict[str, int]]] = [[], []]
        waiting, loading, asked, read = list(runs), 0, None, 0
        for cycle in range(200 + 90 * len(runs)):
            for name in ("assigned", "loaded", "taken"):
                ctx.set(getattr(lane, name), 0)
            ctx.set(lane.slot, (cycle + phase) % 2)
            ctx.set(lane.beat, cycle % PLAN.lanes)
            if asked is not None:
                ctx.set(lane.word, asked)
            if loading:
                loading = 0
                ctx.set(lane.loaded, 1)
            elif waiting and ctx.get(lane.wants):
                areas[ctx.get(lane.bay)] = waiting.pop(0).words()
                ctx.set(lane.assigned, 1)
                loading = 1
            bay = read % 2
            if ctx.get(lane.done) >> bay & 1:
                verdicts.append(bool(ctx.get(lane.broken) >> bay & 1))
                ctx.set(lane.taken, 1 << bay)
                read += 1
            asked = areas[ctx.get(lane.area)][ctx.get(lane.index)] if ctx.get(lane.ask) else None
            _, _, valid, symbol = await ctx.tick().sample(lane.o.valid, lane.o.symbol)
            if valid:
                values.append((cycle, symbol))

    hooks.append(bench)
    if len(hooks) > 1:
        made.reset()
    made.run()
    return values, verdicts


def drawn(kind: str, count: int, seed: int = 0) -> tuple[int, ...]:
    rng = np.random.default_rng(seed)
    choices = {"short": [0], "long": range(3, 256), "mixed": [0, 0, 1, 2, *range(3, 20)]}[kind]
    return tuple(int(symbol) for symbol in rng.choice(list(choices), count))


@pytest.mark.parametrize("kind", ["short", "long", "mixed"])
@pytest.mark.parametrize("phase", [0, 1])
def test_a_value_every_cycle_and_a_pause_between_runs(kind, phase):
    runs = [Run(drawn(kind, count, count)) for count in (64, 64, 64, 40, 64, 64)]
    values, verdicts = decode(runs, phase)
    assert [symbol for _, symbol in values] == [s for run in runs for s in run.symbols]
    assert verdicts == [False] * len(runs)
    gaps = np.diff([cycle for cycle, _ in values])
    between = np.cumsum([len(run.symbols) for run in runs])[:-1] - 1
    # Long code words leave little time to read ahead into the next run.
    assert set(gaps[between]) <= ({2} if kind == "short" else {2, 3})
    assert set(np.delete(gaps, between)) == {1}


@pytest.mark.parametrize("last", [False, True])
def test_runs_of_any_size(last):
    runs = [Run(drawn("mixed", count, count), last=last) for count in range(1, 20)]
    runs += [Run(drawn("short", 5), raw=True, last=last), Run(drawn("long", 1), last=last)]
    values, verdicts = decode(runs)
    assert [symbol for _, symbol in values] == [s for run in runs for s in run.symbols]
    assert verdicts == [False] * len(runs)


@pytest.mark.parametrize("wrong", [-13, -1, 1, 2, 16, 33, 200])
def test_a_run_of_another_size_than_it_says(wrong):
    sound = Run(drawn("mixed", 30))
    runs = [sound, Run(drawn("mixed", 30, 1), wrong=wrong), sound]
    assert decode(runs)[1] == [False, True, False]


@pytest.mark.parametrize("spare", [1, 15, 16, 40, 300])
def test_only_zeros_may_follow_the_last_run(spare):
    sound = Run(drawn("mixed", 30))
    fine = Run(drawn("mixed", 30, 1), last=True, spare=spare)
    assert decode([sound, fine, sound])[1] == [False] * 3


def test_bits_that_begin_no_code_word():
    stray = Run((0,) * 10 + (255,) * 3, raw=True)
    assert decode([stray])[1] == [False]
    assert not BOOK.code.decode_table[1][-1]

    class Stray(Run):
        def words(self):
            words = super().words()
            head = PLAN.head_layout().const({"left": 7, "unused": 0, "last": False, "book": 1})
            words[0]["bits"] = words[0]["bits"] >> UNIT_BITS << UNIT_BITS | head.as_bits()
            return words

    assert decode([Stray((255,) * 8, raw=True), Run((0,))])[1] == [True, False]


def test_a_broken_lane_is_caught(monkeypatch):
    """One bit: it takes a unit too late, and runs dry with long code words."""
    sound = DecoderLane.__init__

    def late(self, *arguments):
        sound(self, *arguments)
        self.keep = 12

    monkeypatch.setattr(DecoderLane, "__init__", late)
    simulator.cache_clear()
    try:
        runs = [Run(drawn("long", 64))]
        values, verdicts = decode(runs)
        assert [symbol for _, symbol in values] != list(runs[0].symbols) or verdicts != [False]
    finally:
        simulator.cache_clear()
