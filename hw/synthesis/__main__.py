"""Synthesises the named configurations: `python -m hw.synthesis`, or `make synth`.

Always: NAND2, inverters, flip-flops, logic depth, and the bits of memories, which are set apart.
With --liberty: area and flip-flops in that library's cells, and the longest path where OpenSTA
(`sta`) is on the PATH. With --ecp5: LUTs and clock in an FPGA. All of it is before layout, without
wires; it is merged into --results. YOSYS=yosys in the environment takes another Yosys.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from hw.cores import Configuration, selected
from hw.synthesis.flow import ecp5, elaborate, generic, standard_cells
from hw.synthesis.libraries import LibertyFile, opened
from hw.synthesis.results import RESULTS, merged, table
from hw.synthesis.tools import has_opensta, yosys_version
from hw.verilog import convert, digest
from linksim.errors import LinksimError

BUILD = Path("build/synthesis")


def synthesised(
    configuration: Configuration,
    liberties: list[LibertyFile],
    *,
    build: Path,
    with_ecp5: bool = False,
    memories_apart: bool = True,
) -> dict[str, Any]:
    """Everything that is asked for of one core."""
    folder = build / configuration.name
    folder.mkdir(parents=True, exist_ok=True)
    top = configuration.module
    text = convert(configuration.build(), top)
    (folder / "core.v").write_text(text, encoding="utf-8")
    found: dict[str, Any] = {
        "kind": configuration.kind,
        "values_per_cycle": configuration.values_per_cycle,
        "digest": digest(configuration.build()),
        **elaborate(folder, "core.v", top, memories_apart=memories_apart),
        "generic": generic(folder, top),
    }
    for liberty in liberties:
        found[liberty.library.name] = standard_cells(folder, top, liberty)
    if with_ecp5:
        found["ecp5"] = ecp5(folder, "core.v", top)
    return found


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hw.synthesis", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("--cores", nargs="*", default=[], help="names; without it, all")
    parser.add_argument("--liberty", nargs="*", type=Path, default=[], help=".lib or .lib.gz files")
    parser.add_argument(
        "--ecp5", type=int, default=0, metavar="W", help="for cores of up to W values per cycle"
    )
    parser.add_argument(
        "--memories-in-flops",
        action="store_true",
        help="instead of leaving memories out of area and paths, with their bits beside",
    )
    parser.add_argument("--jobs", type=int, default=1, help="cores at a time")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"default {RESULTS}")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Synthesise what is asked for; exit code 2 for bad input or a tool that fails."""
    options = _arguments(arguments)
    notes = Console(stderr=True)
    try:
        chosen = selected(options.cores)
        build = BUILD.resolve()
        liberties = [opened(path.expanduser(), build / "liberty") for path in options.liberty]
        if liberties and not has_opensta():
            notes.print("no OpenSTA (sta) on the PATH: no path is timed")

        def work(configuration: Configuration) -> tuple[str, dict[str, Any]]:
            start = time.monotonic()
            with_ecp5 = configuration.values_per_cycle <= options.ecp5
            found = synthesised(
                configuration,
                liberties,
                build=build,
                with_ecp5=with_ecp5,
                memories_apart=not options.memories_in_flops,
            )
            notes.print(f"{configuration.name}: {time.monotonic() - start:.0f} s")
            merged(options.results, {configuration.name: found}, liberties, yosys_version())
            return configuration.name, found

        with ThreadPoolExecutor(options.jobs) as pool:
            results = dict(pool.map(work, chosen))
    except (LinksimError, ValueError) as error:
        notes.print(f"error: {error}", markup=False, highlight=False)
        return 2
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        Console().print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
