"""A pytest plugin: compiled functions are cached by the contents of all sources they may call.

numba by itself looks for a change only in the file of the cached function, so that after an edit of
a function it calls, tests would run the old one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "linksim").rglob("*.py")):
        text = path.read_bytes()
        if b"numba" in text:
            digest.update(text)
    return digest.hexdigest()[:16]


os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "build" / "numba" / _sources_digest()))
