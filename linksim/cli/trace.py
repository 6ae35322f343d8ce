"""`linksim trace`: look at, check, capture and import traces."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from linksim.cli.output import console, print_json
from linksim.traces.store import Trace
from linksim.traces.verify import verify

app = typer.Typer(no_args_is_help=True, help="Look at, check, capture and import traces.")


@app.command("verify")
def verify_command(
    path: Annotated[Path, typer.Argument(help="Trace folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every reference, shape, dtype, checksum, and that dependencies are acyclic."""
    trace = Trace.open(path)
    verify(trace)
    ops = Counter(event.op for event in trace.manifest.events)
    if as_json:
        print_json({"path": str(path), "tensors": len(trace.manifest.tensors), "events": dict(ops)})
    else:
        counted = ", ".join(f"{count} {op}" for op, count in ops.items()) or "no events"
        console.print(f"{path}: whole: {len(trace.manifest.tensors)} tensors, {counted}")
