"""What groups that came out right did to the quantizer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from linksim.codecs.quantize import QuantizedGroups, bf16
from tests.hw.cocotb.cases import Case
from tests.hw.cocotb.coverage import Coverage
from tests.hw.cocotb.quantizer_model import Patterns, QuantizerModel
from tests.hw.cocotb.scoreboard import Exchange
from tests.hw.cocotb.stream import Transfer

SUBNORMAL = range(1, 0x80)
SPECIAL: dict[str, Callable[[int], bool]] = {
    "+0": lambda word: word == 0,
    "-0": lambda word: word == bf16.SIGN_BIT,
    "subnormal": lambda word: word in SUBNORMAL,
    "negative subnormal": lambda word: word ^ bf16.SIGN_BIT in SUBNORMAL,
    "largest": lambda word: word == bf16.LARGEST_FINITE,
    "negative largest": lambda word: word == bf16.LARGEST_FINITE | bf16.SIGN_BIT,
    "infinity": lambda word: word == 0x7F80,
    "negative infinity": lambda word: word == 0xFF80,
    "NaN": lambda word: 0x7F80 < word < bf16.SIGN_BIT,
    "negative NaN": lambda word: word > 0xFF80,
}


def _keys(words: Patterns) -> np.ndarray:
    return bf16.order_keys(words)


GROUPS: dict[str, Callable[[Patterns], bool]] = {
    "+0 only": lambda words: not words.any(),
    "-0 only": lambda words: bool((words == bf16.SIGN_BIT).all()),
    "zeros of both signs": lambda words: set(words.tolist()) == {0, bf16.SIGN_BIT},
    "one positive value": lambda words: len(set(words.tolist())) == 1 and 0 < words[0] < 0x7F80,
    "one negative value": lambda words: (
        len(set(words.tolist())) == 1 and bf16.SIGN_BIT < words[0] < 0xFF80
    ),
    "range of one step of bf16": lambda words: (
        int(np.ptp(_keys(words))) == 1 and (128 < int(words[0]) & 0x7FFF < 0x7F7F)
    ),
    "subnormals only": lambda words: bool(
        ((bf16.exponents(words) == 0) & (words & 0x7F != 0)).all()
    ),
    "positive only": lambda words: bool((words < 0x7F80).all() and (words > 0).all()),
    "negative only": lambda words: bool((words < 0xFF80).all() and (words > bf16.SIGN_BIT).all()),
    "both signs": lambda words: len({*(words >> 15).tolist()}) == 2,
    "from the negative largest to the largest": lambda words: (
        {
            bf16.LARGEST_FINITE,
            bf16.LARGEST_FINITE | bf16.SIGN_BIT,
        }
        <= {*words.tolist()}
    ),
    "exponents all below what is followed": lambda words: int(bf16.exponents(words).max()) < 32,
    "one value not finite": lambda words: int((bf16.exponents(words) == 255).sum()) == 1,
    "several not finite": lambda words: int((bf16.exponents(words) == 255).sum()) > 1,
    "behind a poisoned one": lambda words: False,
}
"""Kinds of groups; the last one is judged by the group before."""
ABOVE_TOP = "above the top"
"""The only clamp that is ever needed: no zero point exceeds the top code, and so no code is below 0
(for all 128 significands of a minimum, with every width of code)."""


class QuantizerCoverage:
    """Bins of the quantizer."""

    def __init__(self, case: Case, model: QuantizerModel):
        self.model = model
        places = range(model.width)
        groups = {
            "special value in place": [
                f"{special} in place {place}" for special in SPECIAL for place in places
            ],
            "group": GROUPS,
            "code in place": [
                f"{code} in place {place}"
                for code in range(model.definition.top_code + 1)
                for place in places
            ],
            "message": ["of one group", "of several", "directly behind another"],
            "stalled": [
                "row refused",
                "group refused",
                *[f"bubble before row {number}" for number in range(model.rows_per_group)],
            ],
        }
        if model.definition.has_zero_point:
            groups["zero point"] = range(model.definition.top_code + 1)
            groups["code clamped"] = [ABOVE_TOP]
        if model.definition.spikes:
            groups["minimum kept at"] = range(model.definition.group)
            groups["maximum kept at"] = range(model.definition.group)
        self.coverage = Coverage(case.name, groups)

    def sample(self, exchanges: list[Exchange]) -> None:
        """Count what the transfers of *exchanges* show."""
        before: Transfer | None = None
        poisoned, in_message = False, 0
        for exchange in exchanges:
            payloads = [row.payload for row in exchange.inputs]
            words = self.model.patterns(payloads)
            result = self.model.quantized(payloads)
            self._values(words, result)
            self._group(words.reshape(-1), poisoned)
            self._stalls(exchange, before)
            in_message += 1
            if self.model.rows.unpack(payloads[-1])["last"]:
                self.coverage.hit("message", "of one group" if in_message == 1 else "of several")
                in_message = 0
            before = exchange.inputs[-1]
            poisoned = int(result.scale[0]) == bf16.NAN

    def _values(self, words: Patterns, result: QuantizedGroups) -> None:
        hit = self.coverage.hit
        for row in words.tolist():
            for place, word in enumerate(row):
                for special, matches in SPECIAL.items():
                    if matches(word):
                        hit("special value in place", f"{special} in place {place}")
        if int(result.scale[0]) == bf16.NAN:
            return
        for row in result.codes.reshape(-1, self.model.width).tolist():
            for place, code in enumerate(row):
                hit("code in place", f"{code} in place {place}")
        if self.model.definition.has_zero_point:
            hit("zero point", int(result.zero[0]))
            self._clamps(words, result)
        if result.spikes is not None:
            hit("minimum kept at", int(result.spikes.low_index[0]))
            hit("maximum kept at", int(result.spikes.high_index[0]))

    def _clamps(self, words: Patterns, result: QuantizedGroups) -> None:
        """What the codes would have been without limits."""
        definition, words = self.model.definition, words.reshape(-1)
        significand = int(result.scale[0]) & 0x7F
        places = definition.reciprocal_bits + 6 + (int(result.scale[0]) >> 7)
        scaled = bf16.significands(words) * definition.reciprocals[significand]
        steps = (bf16.shifted_down(scaled, places - bf16.exponents(words)) + 1) >> 1
        if definition.spikes:
            kept = [int(result.spikes.low_index[0]), int(result.spikes.high_index[0])]
            steps[kept] = 0
        codes = int(result.zero[0]) + bf16.signed(steps, bf16.signs(words))
        assert codes.min() >= 0, "a code below 0"
        if codes.max() > definition.top_code:
            self.coverage.hit("code clamped", ABOVE_TOP)

    def _group(self, words: Patterns, behind_poisoned: bool) -> None:
        for kind, matches in GROUPS.items():
            if matches(words):
                self.coverage.hit("group", kind)
        if behind_poisoned and (bf16.exponents(words) < 255).all():
            self.coverage.hit("group", "behind a poisoned one")

    def _stalls(self, exchange: Exchange, before: Transfer | None) -> None:
        hit = self.coverage.hit
        for number, row in enumerate(exchange.inputs):
            if row.refused:
                hit("stalled", "row refused")
            if before and row.cycle - row.refused > before.cycle + 1:
                hit("stalled", f"bubble before row {number}")
            if not number and before and row.cycle == before.cycle + 1:
                hit("message", "directly behind another")
            before = row
        if exchange.outputs[0].transfers[0].refused:
            hit("stalled", "group refused")
