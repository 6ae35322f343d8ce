"""`linksim study aging`: how fast fixed codebooks age."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linksim.cli.output import console, messages, print_json, print_table
from linksim.traces.histograms import HistogramArchive


def aging_command(
    archives: Annotated[
        list[Path], typer.Argument(help="Histogram archives written by `trace record` (.npz).")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the figures.")] = Path(
        "results/study"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Study how codebooks age over training steps, across layers and across shards.

    Draws kl.png, aging.png and layers.png.
    """
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.studies.aging import aging
    from linksim.studies.aging_report import (
        check_archives,
        study_document,
        study_tables,
        write_figures,
    )

    loaded = [HistogramArchive.load(path) for path in archives]
    check_archives([archive.card for archive in loaded])
    with messages.status("building codebooks"):
        runs = [aging(archive) for archive in loaded]
    paths = write_figures(runs, out)
    if as_json:
        print_json({"figures": [str(path) for path in paths], **study_document(runs)})
        return
    for title, columns, rows in study_tables(runs):
        print_table(title, columns, rows)
    for path in paths:
        console.print(str(path), markup=False, soft_wrap=True)
