"""A process that never ends by itself: what a run must get rid of."""

from __future__ import annotations

import time

if __name__ == "__main__":
    time.sleep(600)
