"""Bit errors on links as the network sees them: flits that start or arrive later.

Under go-back-N everything sent between a damaged flit and its replay is discarded, so the link
stands still until the replay (`linksim.links.retry.outage_ps`, exact where the window does not fill
without errors). Per packet, only the damaged one is sent again: its replays cost the wire a flit
time each, and what comes behind it waits in the receiver until it is there, for order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from linksim.errors import LinksimError
from linksim.links import LinkPreset
from linksim.links.retry import flit_errors, flit_fails, outage_ps, retry_link, settings_of
from linksim.network.network import Pair

_ROW = np.dtype(
    [
        ("threshold", np.uint64),
        ("backward_threshold", np.uint64),
        ("backward_key", np.uint64),
        *(
            (name, np.int64)
            for name in (
                *("flit_ps", "flight_ps", "timer", "ack_slots", "burst", "maximum_replays"),
                *("repeats_nak", "go_back", "seed", "link_index"),
            )
        ),
    ]
)


class FaultTable:
    """What decides about the errors of every link, for `transmission`."""

    def __init__(self, presets: Sequence[LinkPreset], seed: int):
        self._presets = presets
        self.values = np.zeros(len(presets), _ROW)
        for link, preset in enumerate(presets):
            if preset.flit_error_rate and preset.retry is not None:
                layer = retry_link(preset)
                settings = settings_of(layer, flit_errors(preset, seed, link), 0)
                row = self.values[link]
                for name in _ROW.names or ():
                    if name != "go_back":
                        row[name] = getattr(settings, name)
                row["go_back"] = layer.protocol == "go-back-n"

    def failure(self, pair: Pair, link: int, flit: int) -> LinksimError:
        """The error for the link *pair*, which has given up on its *flit*-th flit."""
        replays = int(self.values[link]["maximum_replays"])
        return LinksimError(
            f"link {pair[0]!r} to {pair[1]!r} failed: its flit {flit} was sent {replays + 1} times "
            f"and never arrived whole (bit error rate {self._presets[link].bit_error_rate:g})"
        )


@njit(cache=True, nogil=True)
def transmission(faults: Any, link: Any, flit: Any, granted_ps: Any, before_ps: Any) -> Any:
    """Start of the transmission of a link's *flit*-th flit, replays, and how late it is behind it.

    The flit is first sent at *granted_ps*; *before_ps* is the start of the one before it, negative
    for none. The wire is free a flit time after the start, and the flit has arrived a flight and
    the lateness after that. A negative start: it was sent as often as the link allows, and the link
    has failed.
    """
    row = faults[link]
    if row.threshold == 0:
        return granted_ps, 0, 0
    lost_ps = 0
    attempt = 0
    while flit_fails(row.seed, row.link_index, flit, attempt, row.threshold):
        if attempt == row.maximum_replays:
            return -1, attempt, 0
        lost_ps += outage_ps(row, granted_ps + lost_ps, before_ps, attempt)
        attempt += 1
    if row.go_back:
        return granted_ps + lost_ps, attempt, 0
    on_wire_ps = attempt * row.flit_ps
    return granted_ps + on_wire_ps, attempt, lost_ps - on_wire_ps
