"""The retry of a link preset as the protocols take it."""

from __future__ import annotations

from typing import Any

from linksim.errors import LinksimError
from linksim.links.link import LinkPreset
from linksim.links.retry.parameters import FlitErrors, RetryLink


def retry_link(preset: LinkPreset, **changes: Any) -> RetryLink:
    """The link layer of *preset*; *changes* replace or add fields of `RetryLink`.

    LinksimError for a preset without retry, and for what `RetryLink` refuses.
    """
    retry = preset.retry
    if retry is None:
        raise LinksimError(f"link {preset.name!r}: retry: none: expected a link with retry")
    fields = {
        "flit_ps": preset.flit_ps,
        "flight_ps": preset.flight_ps,
        "protocol": retry.protocol,
        "sequence_bits": retry.sequence_bits,
        "timer_flits": retry.timer_flits,
        "maximum_replays": retry.maximum_replays,
        "ack_slots": retry.ack_slots,
    }
    return RetryLink(**{**fields, **changes})


def flit_errors(preset: LinkPreset, seed: int, link_index: int = 0) -> FlitErrors:
    """The errors of *preset*, the same both ways.

    An event begins in a slot with the probability that a flit has a wrong bit, and spoils as many
    flits as the preset says.
    """
    return FlitErrors(
        event_probability=preset.flit_error_rate,
        burst_flits=preset.retry.burst_flits if preset.retry else 1,
        seed=seed,
        link_index=link_index,
    )
