"""A core as gates: generic NAND2 cells, a standard-cell library, an ECP5."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from hw.synthesis.libraries import LibertyFile
from hw.synthesis.tools import has_opensta, nextpnr_ecp5, opensta, yosys
from linksim.errors import LinksimError

MEMORY_CELL = "MEMORY"
"""What a memory that can be written is called once it is set apart."""
NAND2_PER_FLOP = 6
"""The edge-triggered D flip-flop built of NAND gates has six."""

# Read-only memories are logic. The others become cells of unknown contents, which mapping and
# timing leave alone: an SRAM macro would take their place, and flip-flops would misprice them.
_ELABORATE = """\
read_verilog -sv {verilog}
synth -top {top} -flatten -run begin:fine
memory_map -rom-only
tee -q -o memories.txt dump t:$mem_v2
{apart}synth -top {top} -run fine:check -noabc
write_rtlil gates.il
"""
_MEMORY_PARAMETERS = [
    "MEMID",
    "SIZE",
    "OFFSET",
    "ABITS",
    "WIDTH",
    "INIT",
    "RD_PORTS",
    "RD_WIDE_CONTINUATION",
    "RD_CLK_ENABLE",
    "RD_CLK_POLARITY",
    "RD_TRANSPARENCY_MASK",
    "RD_COLLISION_X_MASK",
    "RD_CE_OVER_SRST",
    "RD_INIT_VALUE",
    "RD_ARST_VALUE",
    "RD_SRST_VALUE",
    "WR_PORTS",
    "WR_WIDE_CONTINUATION",
    "WR_CLK_ENABLE",
    "WR_CLK_POLARITY",
    "WR_PRIORITY_MASK",
]

# ABC must know what drives inputs and loads outputs and buffer what fans out, or it leaves a
# flip-flop driving hundreds of gates, and the path through it says nothing.
_ABC_SCRIPT = """\
strash
ifraig
scorr
dc2
dch -f
map -B 0.9 -D {target}
topo
buffer -c -N 16
topo
buffer -p -N 16
upsize -D {target}
dnsize -D {target}
stime -p
"""

# The first path is between registers, the second also from and to ports, with nothing outside.
_TIMING = """\
read_liberty {liberty}
read_verilog {netlist}
link_design {top}
create_clock -name clk -period {period} [get_ports clk]
report_checks -path_delay max -digits 4 -fields {{fanout}}
puts "with ports"
set_input_delay 0 -clock clk [all_inputs]
set_output_delay 0 -clock clk [all_outputs]
report_checks -path_delay max -digits 4 -fields {{fanout}}
exit
"""


def elaborate(folder: Path, verilog: str, top: str, *, memories_apart: bool) -> dict[str, Any]:
    """Simple gates and flip-flops in `gates.il`; the memories, which are in there or set apart."""
    unset = "".join(f"setparam -unset {name} t:{MEMORY_CELL}\n" for name in _MEMORY_PARAMETERS)
    apart = f"chtype -set {MEMORY_CELL} t:$mem_v2\n{unset}" if memories_apart else ""
    yosys(_ELABORATE.format(verilog=verilog, top=top, apart=apart), folder, "elaborate")
    dump = (folder / "memories.txt").read_text(encoding="utf-8")
    return {"memory_bits": memory_bits(dump), "memories_apart": memories_apart}


def memory_bits(dump: str) -> int:
    """Bits of all memories in Yosys's *dump* of their cells."""
    sizes = (int(text) for text in re.findall(r"parameter(?: signed)? \\SIZE (\d+)", dump))
    widths = (int(text) for text in re.findall(r"parameter(?: signed)? \\WIDTH (\d+)", dump))
    return sum(size * width for size, width in zip(sizes, widths, strict=True))


def generic(folder: Path, top: str) -> dict[str, Any]:
    """The core built of NAND2, inverters and D flip-flops: how many, and how deep."""
    script = (
        "read_rtlil gates.il\ndfflegalize -cell $_DFF_P_ 01\nabc -g NAND\nopt_clean\n"
        "tee -q -o generic.json stat -json\ntee -q -o depth.txt ltp -noff\n"
    )
    yosys(script, folder, "generic")
    cells = _cells(folder / "generic.json", top)
    flops = sum(count for name, count in cells.items() if "DFF" in name)
    nand2, inverters = cells.get("$_NAND_", 0), cells.get("$_NOT_", 0)
    depth = re.search(r"length=(\d+)", (folder / "depth.txt").read_text(encoding="utf-8"))
    return {
        "nand2": nand2,
        "inverters": inverters,
        "flops": flops,
        "nand2_equivalents": nand2 + inverters + NAND2_PER_FLOP * flops,
        "depth": int(depth[1]) if depth else 0,
    }


def _cells(path: Path, top: str) -> dict[str, int]:
    module = json.loads(path.read_text(encoding="utf-8"))["modules"][f"\\{top}"]
    return {name: int(count) for name, count in module["num_cells_by_type"].items()}


def standard_cells(folder: Path, top: str, liberty: LibertyFile) -> dict[str, Any]:
    """Area and flip-flops in *liberty*'s cells; where OpenSTA is at hand, the longest paths."""
    library = liberty.library
    name = library.name
    (folder / f"{name}.constr").write_text(
        f"set_driving_cell {library.driving_cell}\nset_load {library.load} [all_outputs]\n",
        encoding="utf-8",
    )
    (folder / f"{name}.abc").write_text(
        _ABC_SCRIPT.format(target=library.delay_target_ps), encoding="utf-8"
    )
    _put_beside(liberty.path, folder / f"{name}.lib")
    unused = "".join(f" -dont_use {pattern}" for pattern in library.unused)
    script = (
        f"read_rtlil gates.il\ndfflibmap -liberty {name}.lib{unused}\n"
        f"abc -liberty {name}.lib{unused} -constr {name}.constr -script {name}.abc\n"
        f"opt_clean\ntee -q -o {name}.json stat -json -liberty {name}.lib\n"
        # OpenSTA does not read concatenations on the left of an assignment.
        f"splitnets -ports\nopt_clean -purge\nwrite_verilog -noattr {name}.v\n"
    )
    yosys(script, folder, name)
    cells = _cells(folder / f"{name}.json", top)
    document = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    area = float(document["modules"][f"\\{top}"]["area"])
    found = {
        "area_um2": round(area, 1),
        "kge": round(area / liberty.nand2_um2 / 1000, 2),
        "flops": sum(count for cell, count in cells.items() if re.search(library.flops, cell)),
    }
    if has_opensta():
        found |= _timed(folder, top, liberty)
    return found


def _put_beside(file: Path, link: Path) -> None:
    """Make *link* of *file*: the packaged Yosys sees its own folder wherever it is, /tmp too."""
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, link)


def _timed(folder: Path, top: str, liberty: LibertyFile) -> dict[str, Any]:
    library = liberty.library
    period = 1_000_000 // library.time_unit_ps
    script = _TIMING.format(
        liberty=liberty.path, netlist=f"{library.name}.v", top=top, period=period
    )
    printed = opensta(script, folder, f"{library.name}-timing")
    (folder / f"{library.name}-timing.txt").write_text(printed, encoding="utf-8")
    failed = re.search(r"^Error: .*", printed, re.MULTILINE)
    if failed:
        raise LinksimError(f"{folder / library.name}-timing.txt: OpenSTA says {failed[0]!r}")
    between, _, ports = printed.partition("with ports")
    found = {}
    for field, report in (("critical_path_ps", between), ("port_path_ps", ports)):
        slack = re.search(r"^\s*(-?[\d.]+)\s+slack", report, re.MULTILINE)
        if slack:
            found[field] = round((period - float(slack[1])) * library.time_unit_ps)
    return found


def ecp5(folder: Path, verilog: str, top: str) -> dict[str, Any]:
    """LUTs, flip-flops, block memories and clock in a Lattice LFE5-85, speed grade 8."""
    yosys(f"read_verilog -sv {verilog}\nsynth_ecp5 -top {top} -json ecp5.json\n", folder, "ecp5")
    options = ["--85k", "--speed", "8", "--out-of-context", "--timing-allow-fail"]
    files = ["--json", "ecp5.json", "--write", "routed.json", "--report", "routing.json"]
    nextpnr_ecp5([*options, *files], folder)
    report = json.loads((folder / "routing.json").read_text(encoding="utf-8"))
    used = {name: entry["used"] for name, entry in report["utilization"].items()}
    clocks = [entry["achieved"] for entry in report["fmax"].values()]
    return {
        "luts": used.get("TRELLIS_COMB", 0),
        "flops": used.get("TRELLIS_FF", 0),
        "block_memories": used.get("DP16KD", 0),
        "fmax_mhz": round(min(clocks), 1) if clocks else None,
    }
