"""From what an engine counted to the results of transfers and links; the same for all engines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from linksim.links import LinkPreset
from linksim.network.messages import Transfer
from linksim.network.network import Pair
from linksim.network.results import LinkResult, TransferResult


class Times(Protocol):
    """What an engine knows of a transfer that is through; times in ps."""

    turn_ps: int
    """When the first link came to it."""
    first_flit_ps: int
    sent_ps: int
    """When its last flit had left the first transmitter."""
    starved_ps: int
    """Time the first link waited for the bytes of flits after the first."""
    credit_stall_ps: int
    arrived_ps: int

    @property
    def transfer(self) -> Transfer:
        """The transfer itself."""

    @property
    def flits(self) -> int:
        """Flits that it takes."""

    @property
    def ready_ps(self) -> int:
        """When it was ready to be coded or sent."""

    @property
    def coding_start_ps(self) -> int:
        """When its coding began."""

    @property
    def first_bytes_ps(self) -> int:
        """When the first flit's bytes were out of the encoder."""


@dataclass(frozen=True)
class LinkLoad:
    """What an engine counted on one link."""

    flits: int
    replays: int
    credit_stall_ps: int
    statistics_busy_ps: int
    encoder_busy_ps: int
    decoder_busy_ps: int


def zero_load_ps(flits: int, presets: Sequence[LinkPreset], forwarding_ps: Sequence[int]) -> int:
    """From the first flit's start to the last one's arrival in an empty network.

    Every link adds its flight and a flit's serialization, every node between two links the time it
    takes to forward, and every flit after the first one serialization on the slowest link.
    """
    if not flits:
        return 0
    flit_ps = [preset.flit_ps for preset in presets]
    on_the_way = sum(flit_ps) + sum(preset.flight_ps for preset in presets) + sum(forwarding_ps)
    return on_the_way + (flits - 1) * max(flit_ps)


def transfer_result(
    times: Times,
    presets: Sequence[LinkPreset],
    forwarding_ps: Sequence[int],
    delivered_ps: int,
) -> TransferResult:
    """The result of a transfer over links of *presets*, with *forwarding_ps* between them."""
    transfer = times.transfer
    bytes_ps = times.first_bytes_ps
    could_start_ps = max(bytes_ps, times.turn_ps)
    stall_before_ps = times.first_flit_ps - could_start_ps
    on_wire_ps = times.arrived_ps - times.first_flit_ps
    wire_ps = stall_before_ps + on_wire_ps - times.starved_ps
    return TransferResult(
        id=transfer.id,
        event=transfer.event,
        source=transfer.source,
        destination=transfer.destination,
        hops=len(presets),
        raw_nbytes=transfer.coding.raw_total,
        encoded_nbytes=transfer.coding.wire_total,
        flits=times.flits,
        wire_nbytes=times.flits * presets[0].flit.nbytes,
        ready_ps=times.ready_ps,
        first_flit_ps=times.first_flit_ps,
        last_flit_sent_ps=times.sent_ps,
        arrived_ps=times.arrived_ps,
        delivered_ps=delivered_ps,
        queueing_ps=times.coding_start_ps - times.ready_ps + could_start_ps - bytes_ps,
        encode_ps=bytes_ps - times.coding_start_ps + times.starved_ps,
        wire_ps=wire_ps,
        decode_ps=delivered_ps - times.arrived_ps,
        credit_stall_ps=times.credit_stall_ps,
        network_wait_ps=wire_ps - zero_load_ps(times.flits, presets, forwarding_ps),
    )


def empty_result(transfer: Transfer, hops: int, now_ps: int) -> TransferResult:
    """The result of a transfer of no bytes, which is delivered when it is ready, for nothing."""
    return TransferResult(
        id=transfer.id,
        event=transfer.event,
        source=transfer.source,
        destination=transfer.destination,
        hops=hops,
        **dict.fromkeys(("raw_nbytes", "encoded_nbytes", "flits", "wire_nbytes"), 0),
        **dict.fromkeys(_MOMENTS, now_ps),
        **dict.fromkeys(_SHARES, 0),
    )


_MOMENTS = ("ready_ps", "first_flit_ps", "last_flit_sent_ps", "arrived_ps", "delivered_ps")
_SHARES = (
    *("queueing_ps", "encode_ps", "wire_ps", "decode_ps", "credit_stall_ps", "network_wait_ps"),
)


def link_result(
    pair: Pair,
    preset: LinkPreset,
    load: LinkLoad,
    crossed: Iterable[tuple[Transfer, Sequence[Pair]]],
    makespan_ps: int,
) -> LinkResult:
    """Load of the link *pair* over a run of *makespan_ps*; *crossed*: transfers and their routes.

    Engines count where their encoder stands, at the first link of a route.
    """
    transfers = list(crossed)
    coded = [t.coding for t, route in transfers if route[0] == pair and t.coding.engine is not None]
    engine = coded[0].engine if coded else None
    busy_ps = load.flits * preset.flit_ps
    return LinkResult(
        source=pair[0],
        destination=pair[1],
        preset=preset.name,
        transfers=len(transfers),
        raw_nbytes=sum(t.coding.raw_total for t, _ in transfers),
        encoded_nbytes=sum(t.coding.wire_total for t, _ in transfers),
        wire_nbytes=load.flits * preset.flit.nbytes,
        replays=load.replays,
        busy_ps=busy_ps,
        credit_stall_ps=load.credit_stall_ps,
        statistics_busy_ps=load.statistics_busy_ps,
        encoder_busy_ps=load.encoder_busy_ps,
        decoder_busy_ps=load.decoder_busy_ps,
        utilization=busy_ps / makespan_ps if makespan_ps else 0.0,
        energy_pj=preset.energy_pj(load.flits + load.replays),
        engine_energy_pj=0.0
        if engine is None
        else engine.energy_pj(sum(coding.raw_total for coding in coded)),
    )
