"""Writes the named configurations of the cores as Verilog: `python -m hw.verilog --out FOLDER`."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil, verilog
from amaranth.hdl import Value
from amaranth.lib import wiring

from hw.cores import CONFIGURATIONS, selected
from linksim.writing import written_whole


@dataclass(frozen=True)
class Port:
    """A port of the Verilog module."""

    direction: str
    name: str
    bits: int


def ports_of(core: wiring.Component) -> list[Port]:
    """The ports as Verilog shows them, clock and reset first."""
    ports = [Port("input", "clk", 1), Port("input", "rst", 1)]
    for path, member, value in core.signature.flatten(core):
        direction = "input" if member.flow == wiring.In else "output"
        ports.append(Port(direction, "__".join(map(str, path)), len(Value.cast(value))))
    return ports


def convert(core: wiring.Component, module: str) -> str:
    """*core* as Verilog, translated by the Yosys that comes with Amaranth."""
    # Another Yosys on the PATH may be of any version.
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    return verilog.convert(core, name=module, strip_internal_attrs=True)


def digest(core: wiring.Component) -> str:
    """SHA-256 that two cores share if they are the same, wherever their sources stand."""
    text = rtlil.convert(core, name="core", emit_src=False)
    return hashlib.sha256(text.encode()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Write what is asked for and print module, ports and lines of each."""
    parser = argparse.ArgumentParser(prog="python -m hw.verilog", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the .v files")
    parser.add_argument(
        "--only",
        choices=[known.name for known in CONFIGURATIONS],
        action="append",
        help="write this configuration (may be repeated); without it, all of them",
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for configuration in selected(options.only or ()):
        core = configuration.build()
        text = convert(core, configuration.module)
        path = options.out / f"{configuration.name}.v"
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")
        print(f"{path}: module {configuration.module}, {len(text.splitlines())} lines")
        for port in ports_of(core):
            print(f"  {port.direction:6} [{port.bits - 1}:0] {port.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
