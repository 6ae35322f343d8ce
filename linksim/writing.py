"""Files that appear whole or not at all, figures among them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name beside *path* to write to: it becomes *path* on success and is gone on failure."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


PNG_COLOURS = 128
"""More than a figure's few hues and their blends with the background need."""


def write_png(figure: Any, path: Path, *, dpi: int = 110) -> None:
    """Write a matplotlib *figure* to *path*, whole or not at all.

    A palette makes the file a quarter as large; without a date equal figures give equal files.
    """
    # Imported here: most commands never draw.
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    with Image.open(drawn) as image:
        flat = image.convert("RGB").quantize(
            PNG_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
    with written_whole(path) as part:
        flat.save(part, format="PNG", optimize=True)
