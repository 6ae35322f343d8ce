"""The table of cores, and the rows of engine records, as the pages of docs/ hold them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hw.characterization.figures import Characterized
from linksim.engines import EngineRecord, engine_record
from linksim.writing import written_whole

HEADINGS = (
    "core",
    "values per cycle",
    "first output, cycles",
    "flush, cycles",
    "flops",
    "memory, kbit",
    "kGE",
    "longest path, ps",
    "clock, GHz",
    "bf16 in or out, GB/s",
)
_BEGIN, _END = "<!-- characterized -->", "<!-- /characterized -->"


def markdown(cores: Sequence[Characterized]) -> str:
    """A row per core."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|" + "---|" * len(HEADINGS)]
    lines += [f"| {' | '.join(_cells(core))} |" for core in cores]
    return "\n".join(lines) + "\n"


def _cells(core: Characterized) -> list[str]:
    run, cells, hz = core.run, core.cells, core.clock_hz
    bits = core.synthesis.get("memory_bits", 0)
    return [
        f"`{core.name}`",
        f"{run['values_per_cycle']:.2f}",
        _spread(run["latency"]),
        _spread(run["flush"]),
        f"{cells['flops']:,}" if cells else "",
        f"{bits / 1024:.1f}" if bits else "",
        f"{cells['kge']:.1f}" if cells else "",
        "" if core.path_ps is None else f"{core.path_ps:g}",
        "" if hz is None else f"{hz / 1e9:g}",
        "" if hz is None else f"{run['bytes_per_cycle'] * hz / 1e9:.1f}",
    ]


def _spread(found: dict[str, float]) -> str:
    if found["low"] == found["high"]:
        return f"{found['low']}"
    return f"{found['low']} / {found['mean']:.1f} / {found['high']}"


def between_marks(page: str, table: str) -> str:
    """*page* with *table* between its marks; unchanged without marks."""
    pattern = re.compile(rf"({_BEGIN}\n).*?({_END})", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", page)


def with_records(page: str, names: Sequence[str]) -> str:
    """*page* with a row for every record in its table of engines, in front of `ideal`."""
    for name in names:
        page = re.sub(rf"^\| `{re.escape(name)}` \|.*\n", "", page, flags=re.MULTILINE)
    rows = "".join(_record_row(engine_record(name)) for name in names)
    return re.sub(r"^\| `ideal` \|", f"{rows}| `ideal` |", page, count=1, flags=re.MULTILINE)


def _record_row(record: EngineRecord) -> str:
    encoder, decoder = record.encoder, record.decoder
    cells = [
        f"`{record.name}`",
        ", ".join(f"`{codec}`" for codec in record.codecs),
        f"{encoder.bytes_per_cycle}",
        f"{encoder.latency_cycles}",
        f"{decoder.bytes_per_cycle}",
        f"{decoder.latency_cycles}",
        f"{encoder.clock_hz / 1e9:g}",
        "none",
        f"{encoder.area_um2:g} + {decoder.area_um2:g}",
    ]
    return f"| {' | '.join(cells)} |\n"


def rewrite(path: Path, text: str) -> None:
    """Put *text* into *path* unless it is there."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")
