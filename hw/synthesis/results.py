"""What synthesis found: kept in results/hardware/synthesis.json, shown as a table."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from hw.synthesis.libraries import KNOWN, LibertyFile
from linksim.writing import written_whole

RESULTS = Path("results/hardware/synthesis.json")
_LOCK = threading.Lock()


def read(path: Path = RESULTS) -> dict[str, Any]:
    """What *path* holds; nothing where it does not exist."""
    if not path.exists():
        return {"tools": {}, "libraries": {}, "cores": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def merged(
    path: Path, cores: Mapping[str, Any], liberties: Sequence[LibertyFile], yosys: str
) -> None:
    """Put *cores* into *path*; a library or FPGA that was not asked for stays if still valid."""
    with _LOCK:
        document = read(path)
        for name, found in cores.items():
            before = document["cores"].get(name, {})
            same = all(before.get(key) == found[key] for key in ("digest", "memories_apart"))
            kept = before if same else {}
            document["cores"][name] = {**kept, **found}
        document["tools"]["yosys"] = yosys
        for liberty in liberties:
            document["libraries"][liberty.library.name] = {
                "process": liberty.library.process,
                "nand2_um2": liberty.nand2_um2,
            }
        document["cores"] = dict(sorted(document["cores"].items(), key=_order))
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _order(entry: tuple[str, Any]) -> tuple[str, int, str]:
    return entry[0].rpartition("-w")[0], entry[1]["values_per_cycle"], entry[0]


def table(cores: Mapping[str, Any]) -> Table:
    """A row per core, with the columns that any of them has."""
    columns: list[tuple[str, Sequence[str]]] = [
        ("NAND2 eq.", ("generic", "nand2_equivalents")),
        ("flops", ("generic", "flops")),
        ("depth", ("generic", "depth")),
        ("memory, bits", ("memory_bits",)),
    ]
    for library in (library.name for library in KNOWN):
        columns += [
            (f"{library} um2", (library, "area_um2")),
            ("kGE", (library, "kge")),
            ("ps", (library, "critical_path_ps")),
            ("ps, ports", (library, "port_path_ps")),
        ]
    columns += [("ECP5 LUTs", ("ecp5", "luts")), ("MHz", ("ecp5", "fmax_mhz"))]
    columns = [
        column for column in columns if any(_at(found, column[1]) for found in cores.values())
    ]
    titles = ("core", *(title for title, _ in columns))
    shown = Table(*titles, title="Before layout, without wires", box=box.SIMPLE_HEAD)
    shown.columns[0].no_wrap = True
    for column in shown.columns[1:]:
        column.justify = "right"
    for name, found in cores.items():
        shown.add_row(name, *(_text(_at(found, path)) for _, path in columns))
    return shown


def _at(found: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = found
    for key in path:
        value = value.get(key, {})
    return value if value != {} else None


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,}"
