"""The cores as the regression builds them, by name; known to pytest and inside the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amaranth.lib import wiring

from hw.huffman import LinkEncoder
from hw.huffman.lane_pool import LanePoolDecoder
from hw.huffman.speculative_decoder import SpeculativeDecoder
from hw.quantizer import Dequantizer, Quantizer
from linksim.codecs.quantize import GroupQuantizer
from tests.hw.cocotb.books import every_length
from tests.hw.cocotb.faults import (
    MISSED_RULE,
    STUCK_CODE,
    STUCK_SCALE,
    STUCK_SYMBOL,
    STUCK_VALUE,
    Fault,
    flipped_code_word,
    wrong_symbol,
)


@dataclass(frozen=True)
class Case:
    """One core to be built and run."""

    name: str
    bench: str
    """Module with its cocotb tests."""
    core: Callable[[], wiring.Component]
    short: bool = False
    """Part of the short form."""
    reset_cycles: int = 1
    """Cycles of reset after which nothing is left of what was before."""
    may_end_empty: bool = False
    """A decoder whose last row of a flit may hold no value."""
    faults: tuple[Fault, ...] = field(default=())
    """Ways to break it, all built in and switched by a port."""

    @property
    def top(self) -> str:
        """Name of the Verilog module."""
        return self.name.replace("-", "_")


def encoder(width: int, payload: int, run: int, short: bool = False) -> Case:
    def core() -> LinkEncoder:
        return LinkEncoder(
            codebooks=every_length(),
            values_per_cycle=width,
            payload_nbytes=payload,
            run_symbols=run,
        )

    faults = (flipped_code_word(every_length()[0]),) if short else ()
    return Case(f"encoder-w{width}", "encoder_bench", core, short, faults=faults)


def speculative(width: int, payload: int, run: int, words: int, short: bool = False) -> Case:
    def core() -> SpeculativeDecoder:
        return SpeculativeDecoder(
            codebooks=every_length(shortest=2),
            values_per_cycle=width,
            payload_nbytes=payload,
            run_symbols=run,
            words_per_flit=words,
        )

    faults = (wrong_symbol(every_length(shortest=2)[0]), MISSED_RULE) if short else ()
    name = f"speculative-decoder-w{width}"
    return Case(name, "decoder_bench", core, short, may_end_empty=True, faults=faults)


def lane_pool(width: int, payload: int, run: int, words: int, short: bool = False) -> Case:
    def core() -> LanePoolDecoder:
        return LanePoolDecoder(
            codebooks=every_length(shortest=2, longest=12),
            values_per_cycle=width,
            payload_nbytes=payload,
            run_symbols=run,
            words_per_flit=words,
        )

    faults = (STUCK_SYMBOL,) if short else ()
    return Case(f"lane-pool-decoder-w{width}", "decoder_bench", core, short, faults=faults)


def quantizer(width: int, short: bool = False, **parameters: Any) -> Case:
    definition = GroupQuantizer(**parameters)
    faults = (STUCK_CODE, STUCK_SCALE) if short else ()
    return Case(
        f"quantizer-{_named(definition)}-w{width}",
        "quantizer_bench",
        lambda: Quantizer(definition=definition, values_per_cycle=width),
        short,
        faults=faults,
    )


def dequantizer(width: int, short: bool = False, **parameters: Any) -> Case:
    definition = GroupQuantizer(**parameters)
    faults = (STUCK_VALUE,) if short else ()
    return Case(
        f"dequantizer-{_named(definition)}-w{width}",
        "dequantizer_bench",
        lambda: Dequantizer(definition=definition, values_per_cycle=width),
        short,
        faults=faults,
    )


def _named(definition: GroupQuantizer) -> str:
    spikes = "-spikes" if definition.spikes else ""
    return f"{definition.zero}-b{definition.bits}-g{definition.group}{spikes}"


CASES = {
    case.name: case
    for case in (
        encoder(4, 64, 16, short=True),
        encoder(8, 120, 32),
        encoder(16, 240, 64),
        speculative(4, 64, 16, 4, short=True),
        speculative(8, 120, 32, 4),
        lane_pool(4, 64, 16, 4, short=True),
        lane_pool(8, 120, 32, 4),
        quantizer(8, bits=4, short=True),
        quantizer(16, bits=3, group=64, zero="min"),
        dequantizer(8, bits=4, short=True),
        dequantizer(16, bits=3, group=64, zero="min"),
    )
}
