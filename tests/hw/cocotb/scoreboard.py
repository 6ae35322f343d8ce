"""Compares what a core gives with what the golden model says it must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.hw.cocotb.stream import Transfer


@dataclass(frozen=True)
class Output:
    """Something that can be compared: of one transfer, or of several."""

    value: Any
    transfers: list[Transfer]


class Model:
    """What the scoreboard knows of a core; made of software only."""

    def completes(self, payloads: Sequence[int]) -> bool:
        """Whether these inputs are a *message*: their outputs depend on no others."""
        raise NotImplementedError

    def expected(self, message: Sequence[int]) -> list[Any]:
        """The outputs of a message, in order."""
        raise NotImplementedError

    def collector(self) -> Callable[[Transfer], Output | None]:
        """From transfers to outputs; here every transfer is one. It raises AssertionError for what
        can be no part of any output."""
        return lambda transfer: Output(transfer.payload, [transfer])

    def agree(self, wanted: Any, got: Any) -> bool:
        """Whether two outputs are the same in all that is defined."""
        return wanted == got

    def describe(self, output: Any) -> str:
        """An output in words."""
        return str(output)


@dataclass(frozen=True)
class Exchange:
    """A message that came out right: its inputs and its outputs, as they crossed the ports."""

    inputs: list[Transfer]
    outputs: list[Output]


class Scoreboard:
    """Predicts from the inputs that were really taken, and compares in order."""

    def __init__(self, model: Model):
        self.model = model
        self.taken = 0
        self.given = 0
        self.exchanges: list[Exchange] = []
        self.errors: list[str] = []
        self._collect = model.collector()
        self._unfinished: list[Transfer] = []
        self._message: list[Transfer] = []
        self._outputs: list[Output] = []
        self._expected: list[Any] = []
        self._owed: list[tuple[list[Transfer], int]] = []
        """Messages whose outputs are predicted, with the number of outputs up to their end."""
        self._compared = 0
        self._settled = 0

    def took(self, transfer: Transfer) -> None:
        """An input was taken."""
        self.taken += 1
        self._message.append(transfer)
        payloads = [one.payload for one in self._message]
        if self.model.completes(payloads):
            self._expected += self.model.expected(payloads)
            self._owed.append((self._message, len(self._expected)))
            self._message = []
            self._compare()

    def gave(self, transfer: Transfer) -> None:
        """An output, or a part of one, came."""
        self.given += 1
        try:
            output = self._collect(transfer)
        except AssertionError as error:
            self.complain(f"output in cycle {transfer.cycle}: {error}")
            return
        self._unfinished.append(transfer)
        if output is not None:
            self._unfinished = []
            self._outputs.append(output)
            self._compare()

    def complain(self, reason: str) -> None:
        """Something else is wrong."""
        self.errors.append(reason)

    def finish(self) -> None:
        """Nothing more will come."""
        if self._message:
            self.complain("the inputs ended inside a message")
        if self._unfinished:
            self.complain("the outputs ended inside one")
        if len(self._outputs) != len(self._expected):
            self.complain(f"{len(self._outputs)} outputs: expected {len(self._expected)}")

    def check(self) -> None:
        """AssertionError with the first thing that was wrong, if any."""
        if self.errors:
            raise AssertionError(self.errors[0])

    def _compare(self) -> None:
        model = self.model
        while self._compared < min(len(self._outputs), len(self._expected)):
            wanted, got = self._expected[self._compared], self._outputs[self._compared]
            if not model.agree(wanted, got.value):
                self.complain(
                    f"output {self._compared} in cycle {got.transfers[-1].cycle} is "
                    f"{model.describe(got.value)}: expected {model.describe(wanted)}"
                )
            self._compared += 1
        while self._owed and self._owed[0][1] <= self._compared:
            message, end = self._owed.pop(0)
            self.exchanges.append(Exchange(message, self._outputs[self._settled : end]))
            self._settled = end
