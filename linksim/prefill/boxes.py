"""A box ready to be simulated: GPU, endpoint, link, ranks and network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from linksim.errors import LinksimError
from linksim.links import LinkPreset
from linksim.network import Network, pcie_tree
from linksim.network.protocols import (
    EndpointProtocol,
    EndpointRecord,
    compatible_link,
    endpoint_record,
    gpu_network,
    idle_latency_ps,
    in_rounds,
)
from linksim.prefill.cards import BoxCard, GpuCard, box_card, gpu_card
from linksim.units import PS_PER_US


@dataclass(frozen=True)
class Box:
    """GPUs, the library's endpoints and the links between them."""

    card: BoxCard
    gpu: GpuCard
    endpoint: EndpointRecord
    link: LinkPreset

    @property
    def name(self) -> str:
        """The card's."""
        return self.card.name

    @property
    def ranks(self) -> tuple[str, ...]:
        """`gpu0`, `gpu1` and so on."""
        return tuple(f"gpu{i}" for i in range(self.card.gpus))

    @property
    def sides(self) -> tuple[tuple[str, ...], ...]:
        """The ranks at each root of a PCIe tree; all of them where there is one switch."""
        if self.card.topology == "switched":
            return (self.ranks,)
        half = self.card.gpus // 2
        return (self.ranks[:half], self.ranks[half:])

    def network(self, *, rounds: bool = False) -> Network:
        """The network. *rounds*: for messages of which no two come to one rank at a time.

        A switch that sees only such messages is simulated much faster, with the same times.
        """
        if self.card.topology == "pcie-tree":
            return pcie_tree(self.ranks, self.link, forwarding_ps=0)
        return (in_rounds if rounds else gpu_network)(self.ranks, self.link)

    def step_ps(self, protocol: EndpointProtocol, steps: float = 1) -> int:
        """Software time of *steps* steps: the record's, less the latency of an idle network."""
        return max(0, round(protocol.step_us * steps * PS_PER_US) - idle_latency_ps(self.link))

    def fastest_protocol(self, *, steps: float, sent_nbytes: float) -> EndpointProtocol:
        """The protocol that is fastest, by its closed form, for *sent_nbytes* of every GPU."""
        us_per_byte = 1e6 / self.link.payload_bytes_per_second

        def time_us(protocol: EndpointProtocol) -> float:
            wire_us = sent_nbytes * us_per_byte / protocol.wire_fraction
            return protocol.base_us + steps * protocol.step_us + wire_us

        return min(self.endpoint.protocols, key=time_us)


def box(reference: str | Path, *, matmul_share: float | None = None) -> Box:
    """The box *reference* names: a shipped one or a TOML file.

    *matmul_share* replaces the GPU card's. LinksimError for whatever is wrong with the card, or
    with what it names.
    """
    card = box_card(reference)
    gpu = gpu_card(card.gpu)
    if matmul_share is not None:
        if not 0.01 <= matmul_share <= 1:
            raise LinksimError(f"matmul_share: {matmul_share}: expected a share from 0.01 to 1")
        gpu = GpuCard.model_validate({**gpu.model_dump(), "matmul_share": matmul_share})
    endpoint = endpoint_record(card.endpoint)
    if card.wire == "lines":
        protocols = tuple(
            protocol.model_copy(update={"wire_fraction": protocol.carried_fraction})
            for protocol in endpoint.protocols
        )
        endpoint = endpoint.model_copy(update={"protocols": protocols})
    return Box(card, gpu, endpoint, compatible_link(endpoint, endpoint.link_preset))
