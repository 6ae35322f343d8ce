"""What long runs found, kept in results/hardware/long-run.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hw.cores import Configuration
from hw.long_run.measure import Findings
from linksim.errors import LinksimError
from linksim.writing import written_whole

RESULTS = Path("results/hardware/long-run.json")


def read(path: Path = RESULTS) -> dict[str, Any]:
    """What *path* holds, by core; nothing where it does not exist."""
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LinksimError(f"{path}: expected what long runs found, as JSON: {error}") from error


def kept(path: Path, configuration: Configuration, found: Findings, trace: Path) -> None:
    """Put what was *found* of one core into *path*; speed is the machine's and stays out."""
    document = read(path)
    entry = found.as_dict()
    del entry["build_seconds"], entry["run_seconds"]
    entry["trace"] = trace.name
    entry["kind"] = configuration.kind
    entry["values_per_cycle_built"] = configuration.values_per_cycle
    document[configuration.name] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        part.write_text(json.dumps(dict(sorted(document.items())), indent=1) + "\n", "utf-8")
