"""What a Liberty file does not say of itself: driving cell, load, units and delay target."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from linksim.errors import LinksimError
from linksim.writing import written_whole


@dataclass(frozen=True)
class Library:
    """A standard-cell library that the flow knows."""

    name: str
    process: str
    """Process, corner, voltage and temperature, for tables."""
    recognised_by: str
    """Start of the name in the Liberty file's `library (...)`."""
    nand2: str
    """The smallest NAND2; its area is one gate equivalent."""
    flops: str
    """Regular expression for the names of flip-flops and latches."""
    driving_cell: str
    """Drives the inputs while ABC maps."""
    load: float
    """Load of the outputs, in the unit of the Liberty file: an input of the driving cell, about."""
    delay_target_ps: int
    """What ABC maps and sizes for."""
    time_unit_ps: int
    """The Liberty file's unit of time, which OpenSTA reports in."""
    unused: tuple[str, ...] = ()
    """Cells that logic is not mapped to."""


KNOWN = (
    Library(
        name="asap7",
        process="ASAP7 7 nm, RVT, typical, 0.70 V, 25 C",
        recognised_by="asap7sc7p5t",
        nand2="NAND2x1_ASAP7_75t_R",
        flops=r"^D(FF|LL|HL)",
        driving_cell="BUFx2_ASAP7_75t_R",
        load=3.898,
        delay_target_ps=300,
        time_unit_ps=1,
        # Left to itself Yosys takes the flip-flop of drive 4, a quarter larger than the smallest.
        unused=("DFFHQx4*", "DFFLQx4*"),
    ),
    Library(
        name="sg13g2",
        process="IHP SG13G2 130 nm, typical, 1.20 V, 25 C",
        recognised_by="sg13g2_stdcell_typ",
        nand2="sg13g2_nand2_1",
        flops=r"^sg13g2_(s?df|dl[hl])",
        driving_cell="sg13g2_buf_2",
        load=0.01,
        delay_target_ps=1500,
        time_unit_ps=1000,
        unused=("sg13g2_dlygate*", "sg13g2_ebufn*", "sg13g2_einvn*", "sg13g2_sdf*"),
    ),
)
"""Add a library here to synthesise for it."""


@dataclass(frozen=True)
class LibertyFile:
    """A Liberty file, unpacked, and what is known of its library."""

    library: Library
    path: Path
    nand2_um2: float


def opened(path: Path, folder: Path) -> LibertyFile:
    """The Liberty file *path* (.lib or .lib.gz), unpacked into *folder*."""
    try:
        packed = path.read_bytes()
        content = gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (OSError, EOFError) as error:
        raise LinksimError(f"{path}: cannot be read as a Liberty file: {error}") from None
    text = content.decode("utf-8", errors="replace")
    library = _recognised(path, text)
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / f"{library.name}-{hashlib.sha256(content).hexdigest()[:12]}.lib"
    if not unpacked.exists():
        with written_whole(unpacked) as part:
            part.write_bytes(content)
    return LibertyFile(library, unpacked, _area(path, text, library.nand2))


def _recognised(path: Path, text: str) -> Library:
    found = re.search(r'^\s*library\s*\(\s*"?([\w.\-]+)', text, re.MULTILINE)
    name = found[1] if found else "none"
    for library in KNOWN:
        if name.startswith(library.recognised_by):
            return library
    known = ", ".join(library.name for library in KNOWN)
    raise LinksimError(
        f"{path}: library {name!r} is not known: expected one of {known}, "
        "or an entry of its own in hw/synthesis/libraries.py"
    )


def _area(path: Path, text: str, cell: str) -> float:
    """Area of *cell* in um2."""
    at = re.search(rf'cell\s*\(\s*"?{re.escape(cell)}"?\s*\)', text)
    area = (
        re.search(r"\barea\s*:\s*([\d.eE+-]+)", text[at.end() : at.end() + 20_000]) if at else None
    )
    if not area:
        raise LinksimError(f"{path}: no area of cell {cell!r}, the unit of a gate equivalent")
    return float(area[1])
