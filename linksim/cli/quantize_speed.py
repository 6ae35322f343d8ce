"""`linksim bench quantize`: how fast the compiled quantizer is."""

from __future__ import annotations

from typing import Annotated

import typer

from linksim.benchmarks.quantize_speed import (
    QUANTIZERS,
    VALUES,
    QuantizerSpeed,
    normal_patterns,
    quantizer_speed,
)
from linksim.cli.output import print_json, print_table

COLUMNS = (
    "bits",
    "group",
    "zero",
    "spikes",
    "encode GB/s",
    "decode GB/s",
    "encode, times NumPy",
    "decode, times NumPy",
)


def quantize_command(
    values: Annotated[int, typer.Option(help="Normal bf16 values of a message.", min=1)] = VALUES,
    rounds: Annotated[int, typer.Option(help="Turns of every task.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the compiled group quantizer and its definition in NumPy, in turns on one thread.

    Both must give the same bits, or the command ends with exit code 2.
    """
    patterns = normal_patterns(values)
    found = [quantizer_speed(quantizer, patterns, rounds) for quantizer in QUANTIZERS]
    if as_json:
        print_json({"quantizers": [speed.document() for speed in found]})
        return
    title = f"Group quantizer, {values} values, GB/s of bf16"
    print_table(title, COLUMNS, [_row(speed) for speed in found])


def _row(speed: QuantizerSpeed) -> tuple[object, ...]:
    quantizer = speed.quantizer
    return (
        quantizer.bits,
        quantizer.group,
        quantizer.zero,
        "yes" if quantizer.spikes else "no",
        f"{speed.gigabytes_per_second('encode', 'compiled'):.2f}",
        f"{speed.gigabytes_per_second('decode', 'compiled'):.2f}",
        f"{speed.ratio('encode'):.1f}",
        f"{speed.ratio('decode'):.1f}",
    )
