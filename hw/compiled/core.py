"""A core with streams i and o, compiled, run on batches of payloads."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.lib import wiring

from hw.compiled.build import BUILD, library_of
from hw.compiled.packing import word_count

ALWAYS = (1,)
"""Pattern of a side that takes part in every cycle."""
_FAULTS = {1: "an offered payload was withdrawn", 2: "an offered payload changed"}


@dataclass(frozen=True)
class Batch:
    """What crossed the two streams, and when; cycles count from the start of the batch."""

    outputs: np.ndarray
    """Payloads as rows of 32-bit words, see `packing`."""
    taken_at: np.ndarray
    """Cycle in which each input was taken."""
    given_at: np.ndarray
    """Cycle in which each output was taken."""
    stalls: int
    """Cycles in which an input was offered and not taken."""
    cycles: int
    """Cycles run, the idle ones at the end included."""


class _State(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_void_p),
        ("input_count", ctypes.c_int64),
        ("outputs", ctypes.c_void_p),
        ("given_at", ctypes.c_void_p),
        ("room", ctypes.c_int64),
        ("taken_at", ctypes.c_void_p),
        ("offer", ctypes.c_void_p),
        ("offer_length", ctypes.c_int64),
        ("take", ctypes.c_void_p),
        ("take_length", ctypes.c_int64),
        ("idle_limit", ctypes.c_int64),
        ("cycle_limit", ctypes.c_int64),
        *((name, ctypes.c_int64) for name in ("taken", "given", "cycle", "idle", "stalls")),
        *((name, ctypes.c_int32) for name in ("offering", "refused", "fault", "done")),
    )


class CompiledCore:
    """*core* as a shared library, compiled on first use and kept in *folder*.

    It keeps its state from one `run` to the next; `reset` takes it back to the start. The output is
    checked for the stream contract: what is offered stays, and unchanged.

    Raises
    ------
    ValueError where the core has other ports than a stream i and a stream o.
    LinksimError without Verilator or a C++ compiler.
    """

    def __init__(self, core: wiring.Component, *, folder: Path = BUILD):
        self._handle = None
        self.input_layout = core.i.payload.shape()
        self.output_layout = core.o.payload.shape()
        library = library_of(core, folder)
        self.digest = library.digest
        """Of the core, see `hw.verilog.digest`."""
        self._library = ctypes.CDLL(str(library.path))
        self._library.core_new.restype = ctypes.c_void_p
        for function in ("core_free", "core_reset"):
            getattr(self._library, function).argtypes = (ctypes.c_void_p,)
        self._library.core_run.argtypes = (ctypes.c_void_p, ctypes.POINTER(_State))
        self._handle = self._library.core_new()

    def __del__(self):
        if self._handle is not None:
            self._library.core_free(self._handle)

    def reset(self) -> None:
        """Back to the state after power-up."""
        self._library.core_reset(self._handle)

    def run(
        self,
        inputs: np.ndarray,
        *,
        offer: Sequence[int] | np.ndarray = ALWAYS,
        take: Sequence[int] | np.ndarray = ALWAYS,
        idle: int = 100,
        cycle_limit: int | None = None,
    ) -> Batch:
        """Feed *inputs* (rows of words, see `pack`); end after *idle* cycles without output.

        *offer* and *take* say for cycle 0, 1, ..., and again from the start, whether an input is
        offered and an output taken. RuntimeError where inputs are left after *cycle_limit* cycles
        (none given: a generous one), or the contract is broken.
        """
        inputs = np.ascontiguousarray(inputs, np.uint32)
        if inputs.ndim != 2 or inputs.shape[1] != word_count(self.input_layout):
            raise ValueError(
                f"inputs of shape {inputs.shape}: expected (n, {word_count(self.input_layout)})"
            )
        patterns = [
            np.ascontiguousarray(np.asarray(side, bool), np.uint8) for side in (offer, take)
        ]
        for pattern in patterns:
            if not pattern.any():
                raise ValueError("a pattern without a cycle to take part in: expected one or more")
        if cycle_limit is None:
            slowest = max(len(pattern) for pattern in patterns)
            cycle_limit = (1000 + 100 * len(inputs)) * slowest + idle
        return self._run(inputs, patterns, idle, cycle_limit)

    def _run(
        self, inputs: np.ndarray, patterns: list[np.ndarray], idle: int, cycle_limit: int
    ) -> Batch:
        offer, take = patterns
        taken_at = np.empty(len(inputs), np.int64)
        room = 1024 + 2 * len(inputs)
        outputs = np.empty((room, word_count(self.output_layout)), np.uint32)
        given_at = np.empty(room, np.int64)
        state = _State(
            input_count=len(inputs),
            inputs=inputs.ctypes.data,
            room=room,
            outputs=outputs.ctypes.data,
            given_at=given_at.ctypes.data,
            taken_at=taken_at.ctypes.data,
            offer=offer.ctypes.data,
            offer_length=len(offer),
            take=take.ctypes.data,
            take_length=len(take),
            idle_limit=idle,
            cycle_limit=cycle_limit,
        )
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        while not state.done:
            state.given = 0
            self._library.core_run(self._handle, ctypes.byref(state))
            parts.append((outputs[: state.given].copy(), given_at[: state.given].copy()))
        if state.fault:
            raise RuntimeError(f"cycle {state.cycle}: {_FAULTS[state.fault]}")
        if state.taken < len(inputs):
            raise RuntimeError(
                f"{state.taken} of {len(inputs)} inputs taken in {state.cycle} cycles"
            )
        return Batch(
            outputs=np.concatenate([part for part, _ in parts]),
            taken_at=taken_at,
            given_at=np.concatenate([cycles for _, cycles in parts]),
            stalls=state.stalls,
            cycles=state.cycle,
        )
