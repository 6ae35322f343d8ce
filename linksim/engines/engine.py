"""How long coding takes: engine timing models, loaded from records that name their evidence.

An engine has time and area but no bits; what it makes of a message is the codec's to say.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from linksim.catalogue import Catalogue, Evidence, Record, Strict, number, whole
from linksim.errors import LinksimError
from linksim.units import ceil_div, cycles_ps

MAX_COPIES = 1024

Cycles = Annotated[int, whole("whole clock cycles, from 0 to 1e9", 0, 10**9)]
_BYTES_PER_CYCLE = "uncompressed bytes per cycle, a whole number from 1 to 65536"
BytesPerCycle = Annotated[int, whole(_BYTES_PER_CYCLE, 1, 65536)]
BytesPerCycleOrUnlimited = Annotated[
    int | Literal["unlimited"],
    whole(f'{_BYTES_PER_CYCLE}, or "unlimited"', 1, 65536, or_word="unlimited"),
]
ClockHz = Annotated[
    int, whole("a clock in whole Hz, from 1e6 to 1e10 (1000000000 for 1 GHz)", 10**6, 10**10)
]
AreaUm2 = Annotated[float, number("an area in um2 from 0 to 1e9", 0, 1e9)]
PicojoulesPerByte = Annotated[
    float, number("picojoules per uncompressed byte, from 0 to 1e6", 0, 1e6)
]

Picoseconds = Annotated[float, number("picoseconds from 0 to 1e6", 0, 1e6)]
MeanCycles = Annotated[float, number("clock cycles from 0 to 1e9", 0, 1e9)]

Copies = Annotated[int, whole(f"copies of the core, from 1 to {MAX_COPIES}", 1, MAX_COPIES)]


class CycleSpread(Strict):
    """Smallest, mean and largest of the cycles that were measured for many messages."""

    min: Cycles
    mean: MeanCycles
    max: Cycles


class Stage(Strict):
    """One pipeline, an encoder or a decoder core.

    A segment holds the pipeline's entry for `occupancy_ps` and its result is out `latency_ps` after
    that; the next segment enters at once.
    """

    latency_cycles: Cycles
    """First input to first output."""
    bytes_per_cycle: BytesPerCycleOrUnlimited
    """Uncompressed bytes taken (encoder) or given (decoder) per cycle."""
    clock_hz: ClockHz
    area_um2: AreaUm2 | None = None
    """None: not known."""
    energy_pj_per_byte: PicojoulesPerByte | None = None
    """Per uncompressed byte. None: not known."""
    first_output_cycles: CycleSpread | None = None
    """First input to first output of a message, for the record only: the model does not use it."""
    flush_cycles: CycleSpread | None = None
    """Last input to last output of a message, in the same way."""
    start_cycles: MeanCycles | None = None
    """Cycles per message in which the core takes no input that is offered, in the same way."""
    critical_path_ps: Picoseconds | None = None
    """Longest path before layout, without wires, which the clock was derived from."""

    def occupancy_ps(self, raw_nbytes: int) -> int:
        """Time a segment of *raw_nbytes* uncompressed bytes holds the pipeline, in whole cycles."""
        if self.bytes_per_cycle == "unlimited":
            return 0
        return cycles_ps(ceil_div(raw_nbytes, self.bytes_per_cycle), self.clock_hz)

    @property
    def latency_ps(self) -> int:
        """Pipeline latency."""
        return cycles_ps(self.latency_cycles, self.clock_hz)


class Statistics(Strict):
    """What three-stage coding does with a whole message before its first code can leave."""

    count_bytes_per_cycle: BytesPerCycle
    """Uncompressed bytes counted into the histogram per cycle of the encoder's clock."""
    build_cycles: Cycles
    """From the last count to a finished codebook, in cycles of the encoder's clock."""


class EngineRecord(Record):
    """A codec's hardware or kernel: an encoder core, a decoder core, and how many of each."""

    codecs: tuple[str, ...]
    """Ids of the codecs it runs; empty: any."""
    views: tuple[str, ...] = ()
    """Symbol views its rates are stated for; empty: any."""
    encoder: Stage
    decoder: Stage
    statistics: Statistics | None = None
    """None: the codebook is known beforehand."""
    replicas: Copies = 1
    """Cores side by side, each working on a segment of its own."""

    def statistics_ps(self, raw_nbytes: int) -> int:
        """Time to count a message of *raw_nbytes* on all copies and to build its codebook."""
        if self.statistics is None:
            return 0
        rate = self.statistics.count_bytes_per_cycle * self.replicas
        cycles = ceil_div(raw_nbytes, rate) + self.statistics.build_cycles
        return cycles_ps(cycles, self.encoder.clock_hz)

    @property
    def encoder_area_um2(self) -> float | None:
        """Area of all encoder copies; None where that of one is not known."""
        return None if self.encoder.area_um2 is None else self.encoder.area_um2 * self.replicas

    @property
    def decoder_area_um2(self) -> float | None:
        """Area of all decoder copies; None where that of one is not known."""
        return None if self.decoder.area_um2 is None else self.decoder.area_um2 * self.replicas

    @property
    def encoder_bytes_per_second(self) -> int | None:
        """Uncompressed bytes all encoder copies take per second; None where unlimited."""
        if self.encoder.bytes_per_cycle == "unlimited":
            return None
        return self.encoder.bytes_per_cycle * self.encoder.clock_hz * self.replicas

    def energy_pj(self, raw_nbytes: int) -> float | None:
        """Energy of coding and decoding *raw_nbytes*; None where either end's is not known."""
        encode, decode = self.encoder.energy_pj_per_byte, self.decoder.energy_pj_per_byte
        return None if encode is None or decode is None else (encode + decode) * raw_nbytes

    def replicated(self, copies: int) -> EngineRecord:
        """*copies* of this engine side by side, called `name*copies`."""
        if not 1 <= copies * self.replicas <= MAX_COPIES:
            raise LinksimError(
                f"engine {self.name!r} times {copies}: expected 1 to {MAX_COPIES} copies"
            )
        linear = Evidence(
            field="replicas",
            value=f"{copies} x {self.name}: rate and area {copies} times one core's",
            source="one segment per core; cutting a message for the cores costs nothing here",
            grade="derived",
        )
        update = {
            "name": f"{self.name}*{copies}",
            "replicas": self.replicas * copies,
            "evidence": (*self.evidence, linear),
        }
        return self.model_copy(update=update)


_ENGINES = Catalogue(EngineRecord, files("linksim.engines") / "records", "engine")


def engine_names() -> tuple[str, ...]:
    """Names of the shipped engines, sorted."""
    return _ENGINES.names()


def engine_record(reference: str | Path) -> EngineRecord:
    """The engine *reference* names: a shipped one or a TOML file, `*n` after it for n copies.

    `engine_record("single-stage-w32*4")` is four single-stage cores side by side. LinksimError in
    one sentence for whatever is wrong with the name, the count or the file.
    """
    core, star, copies = str(reference).rpartition("*")
    if not star:
        return _ENGINES.get(reference)
    if not copies.isdecimal() or len(copies) > len(str(MAX_COPIES)):
        raise LinksimError(f"engine {str(reference)!r}: expected 1 to {MAX_COPIES} after the *")
    return _ENGINES.get(core).replicated(int(copies))
