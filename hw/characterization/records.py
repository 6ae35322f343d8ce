"""Engine records for `linksim.engines`: an encoder, a decoder, and the evidence for both."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw.characterization.figures import CLOCK_STEP_HZ, WIRES, Characterized
from linksim.writing import written_whole

RECORDS = Path("linksim/engines/records")
BYTES_PER_VALUE = 2
RUN_SOURCE = (
    "`make characterize`: the core compiled with Verilator over all tensors of traces/bundled"
)
AREA_SOURCE = (
    "`make synth`: Yosys and ABC on ASAP7 RVT, typical corner, 0.70 V, 25 C, before layout"
)
CLOCK_SOURCE = (
    "`make synth`: OpenSTA on ASAP7 RVT, typical corner, 0.70 V, 25 C, before layout; "
    "a rule for the wires"
)
DECODERS = {
    "speculative": "A decoder that looks for code words at every bit of a block at once.",
    "lane-pool": (
        "A decoder of lanes that each decode a run between two entry points; its codes have at "
        "most 12 bits, the encoder's figures are with codes of up to 16."
    ),
}
"""By the end of a record's name."""


def pairs(cores: Sequence[Characterized]) -> list[tuple[str, Characterized, Characterized]]:
    """Name, encoder and decoder of every record whose cores have area and clock."""
    known = {core.name: core for core in cores if core.clock_hz is not None}
    found = []
    for core in known.values():
        if core.family.startswith("quantizer-") and f"de{core.name}" in known:
            found.append((core.name, core, known[f"de{core.name}"]))
        for kind in DECODERS:
            decoder = known.get(f"{kind}-decoder-w{core.width}")
            if core.family == "huffman-encoder" and decoder is not None:
                found.append((f"huffman-w{core.width}-{kind}", core, decoder))
    return found


def record(name: str, encoder: Characterized, decoder: Characterized) -> str:
    """The record as TOML. Both cores run at the slower one's clock."""
    hz = min(encoder.clock_hz or 0, decoder.clock_hz or 0)
    built = (
        f"cores of {encoder.width} values per cycle as they were built and measured: "
        f"{encoder.name} and {decoder.name}."
    )
    if encoder.family.startswith("quantizer-"):
        description = (
            f"Group quantizer, {built} Rates are for bf16; packing the records takes a core of its "
            "own, which keeps up and is not in the area."
        )
        scope = 'codecs = ["quantize"]'
    else:
        kind = name.partition("-")[2].partition("-")[2]
        description = (
            f"Huffman {built} {DECODERS[kind]} Rates are for 16-bit values with one coded byte and "
            "one rest byte each (views `exponent` and `byte-planes`)."
        )
        scope = 'codecs = ["huffman-fixed"]\nviews = ["exponent", "byte-planes"]'
    parts = [
        f"name = {json.dumps(name)}",
        f"description = {_prose(description)}",
        scope,
        _stage("encoder", encoder, hz),
        _stage("decoder", decoder, hz),
        *_evidence("encoder", encoder, hz),
        *_evidence("decoder", decoder, hz),
    ]
    return (
        "\n\n".join(parts)
        .replace('"\n\ndescription', '"\ndescription')
        .replace('"""\n\ncodecs', '"""\ncodecs')
        + "\n"
    )


def _rate(core: Characterized) -> int:
    """Whole bytes per cycle, and no more than were built for."""
    return min(int(core.run["bytes_per_cycle"]), BYTES_PER_VALUE * core.width)


def _stage(side: str, core: Characterized, hz: int) -> str:
    lines = [
        f"[{side}]",
        f"latency_cycles = {core.run['beyond_rate']}",
        f"bytes_per_cycle = {_rate(core)}",
        f"clock_hz = {hz:_}",
        f"area_um2 = {core.cells['area_um2']}",
        f"first_output_cycles = {_spread(core.run['latency'])}",
        f"flush_cycles = {_spread(core.run['flush'])}",
    ]
    if side == "encoder":
        lines.append(f"start_cycles = {_per_message(core)}")
    return "\n".join([*lines, f"critical_path_ps = {core.path_ps}"])


def _per_message(core: Characterized) -> float:
    return round(core.run["stalls"] / core.run["messages"], 3)


def _spread(found: Any) -> str:
    return f"{{ min = {found['low']}, mean = {found['mean']}, max = {found['high']} }}"


def _evidence(side: str, core: Characterized, hz: int) -> list[str]:
    run, values = core.run, core.run["values"]
    gathers = core.configuration.kind == "decoder"
    beyond = "all of the flit being there" if gathers else "its first value"
    findings = [
        (
            "latency_cycles",
            f"{run['beyond_rate']} cycles of {core.name}: most that a message of 96 values took, "
            f"from {beyond} to its last output, beyond 96 / {core.width}",
            (RUN_SOURCE, "measured"),
        ),
        (
            "bytes_per_cycle",
            f"{run['bytes_per_cycle']:.2f} bytes per cycle, rounded down: {values:,} values in "
            f"{run['cycles']:,} cycles, {run['messages']} messages without a gap",
            (RUN_SOURCE, "measured"),
        ),
        (
            "first_output_cycles",
            f"per message, from an idle core; flush_cycles likewise; the output of all "
            f"{run['messages']} messages is the codec's to the bit",
            (RUN_SOURCE, "measured"),
        ),
        (
            "clock_hz",
            f"{hz / 1e9:g} GHz: both cores run at the slower one's clock. {core.name} has a "
            f"longest path of {core.path_ps:g} ps before layout; times {WIRES} for wires, rounded "
            f"down to {CLOCK_STEP_HZ // 10**6} MHz",
            (CLOCK_SOURCE, "derived"),
        ),
        (
            "area_um2",
            f"{core.cells['kge']:g} kGE of 0.08748 um2, {core.cells['flops']:,} flip-flops"
            + _beside(core),
            (AREA_SOURCE, "measured"),
        ),
        ("energy_pj_per_byte", "not known", ("no power was estimated", "unverified")),
    ]
    return [
        f'[[evidence]]\nfield = "{side}.{field}"\nvalue = {_prose(value)}\n'
        f"source = {json.dumps(source)}\ngrade = {json.dumps(grade)}"
        for field, value, (source, grade) in findings
    ]


def _beside(core: Characterized) -> str:
    bits = core.synthesis.get("memory_bits", 0)
    return f"; {bits / 1024:.1f} kbit of memory are not in it" if bits else ""


def _prose(text: str) -> str:
    return (
        '"""\n'
        + "\n".join(textwrap.wrap(text, 96, break_long_words=False, break_on_hyphens=False))
        + '"""'
    )


def write_records(cores: Sequence[Characterized], folder: Path) -> list[str]:
    """Write all records that can be; their names."""
    names = []
    for name, encoder, decoder in pairs(cores):
        with written_whole(folder / f"{name}.toml") as part:
            part.write_text(record(name, encoder, decoder), encoding="utf-8")
        names.append(name)
    return names
