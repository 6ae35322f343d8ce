"""What groups that came out right did to the dequantizer."""

from __future__ import annotations

from linksim.codecs.quantize import bf16
from tests.hw.cocotb.cases import Case
from tests.hw.cocotb.coverage import Coverage
from tests.hw.cocotb.quantizer_model import DequantizerModel
from tests.hw.cocotb.scoreboard import Exchange
from tests.hw.cocotb.stream import Transfer

VALUES = {
    "+0": lambda word: word == 0,
    "positive": lambda word: 0x80 <= word < bf16.LARGEST_FINITE,
    "negative": lambda word: 0x8080 <= word < bf16.LARGEST_FINITE | bf16.SIGN_BIT,
    "largest": lambda word: word == bf16.LARGEST_FINITE,
    "negative largest": lambda word: word == bf16.LARGEST_FINITE | bf16.SIGN_BIT,
    "NaN": lambda word: word == bf16.NAN,
}
SCALES = {
    "NaN": lambda word: word == bf16.NAN,
    "other NaN or infinity": lambda word: word >> 7 & 255 == 255 and word != bf16.NAN,
    "of exponent 0": lambda word: word >> 7 & 255 == 0,
    "of exponent 254": lambda word: word >> 7 & 255 == 254,
    "with sign": lambda word: word >> 15 == 1,
}


class DequantizerCoverage:
    """Bins of the dequantizer."""

    def __init__(self, case: Case, model: DequantizerModel):
        self.model = model
        places = range(model.width)
        groups = {
            "code in place": [
                f"{code} in place {place}"
                for code in range(model.definition.top_code + 1)
                for place in places
            ],
            "value in place": [f"{kind} in place {place}" for kind in VALUES for place in places],
            "scale": SCALES,
            "stalled": [
                "codes refused",
                "values refused",
                *[f"bubble before row {number}" for number in range(model.rows_per_group)],
            ],
            "message": ["ends", "goes on behind a group"],
        }
        if model.definition.has_zero_point:
            groups["zero point"] = range(model.definition.top_code + 1)
            groups["steps from the zero point"] = range(
                -model.definition.top_code, model.definition.top_code + 1
            )
        if model.definition.spikes:
            groups["minimum kept at"] = range(model.definition.group)
            groups["maximum kept at"] = range(model.definition.group)
        self.coverage = Coverage(case.name, groups)

    def sample(self, exchanges: list[Exchange]) -> None:
        """Count what the transfers of *exchanges* show."""
        before: Transfer | None = None
        for exchange in exchanges:
            rows = [self.model.codes.unpack(row.payload) for row in exchange.inputs]
            self._shared(rows)
            for row in rows:
                self._codes(row)
            for output in exchange.outputs:
                self._values(output.value)
            self._stalls(exchange, before)
            before = exchange.inputs[-1]

    def _shared(self, rows: list[dict]) -> None:
        hit, shared = self.coverage.hit, rows[0]
        for kind, matches in SCALES.items():
            if matches(shared["scale"]):
                hit("scale", kind)
        hit("message", "ends" if rows[-1]["last"] else "goes on behind a group")
        if self.model.definition.has_zero_point:
            hit("zero point", shared["zero"])
        if self.model.definition.spikes:
            hit("minimum kept at", shared["low_index"])
            hit("maximum kept at", shared["high_index"])

    def _codes(self, row: dict) -> None:
        for place, code in enumerate(row["codes"]):
            self.coverage.hit("code in place", f"{code} in place {place}")
            if self.model.definition.has_zero_point:
                self.coverage.hit("steps from the zero point", code - row["zero"])

    def _values(self, payload: int) -> None:
        for place, word in enumerate(self.model.rows.unpack(payload)["values"]):
            for kind, matches in VALUES.items():
                if matches(word):
                    self.coverage.hit("value in place", f"{kind} in place {place}")

    def _stalls(self, exchange: Exchange, before: Transfer | None) -> None:
        hit = self.coverage.hit
        for number, row in enumerate(exchange.inputs):
            if row.refused:
                hit("stalled", "codes refused")
            if before and row.cycle - row.refused > before.cycle + 1:
                hit("stalled", f"bubble before row {number}")
            before = row
        if any(output.transfers[0].refused for output in exchange.outputs):
            hit("stalled", "values refused")
