"""Endpoint protocols of GPU collectives: LL, LL128, Simple and in-switch."""

from linksim.network.protocols.closed_form import (
    IN_SWITCH,
    OPS,
    Collective,
    fastest_paths,
    path_names,
)
from linksim.network.protocols.record import (
    EndpointProtocol,
    EndpointRecord,
    InSwitch,
    endpoint_names,
    endpoint_record,
)
from linksim.network.protocols.tasks import (
    CollectiveTime,
    collective_tasks,
    compatible_link,
    gpu_network,
    idle_latency_ps,
    in_rounds,
    largest_compatible_flight_ps,
    simulate_collective,
)

__all__ = [
    "IN_SWITCH",
    "OPS",
    "Collective",
    "CollectiveTime",
    "EndpointProtocol",
    "EndpointRecord",
    "InSwitch",
    "collective_tasks",
    "compatible_link",
    "endpoint_names",
    "endpoint_record",
    "fastest_paths",
    "gpu_network",
    "idle_latency_ps",
    "in_rounds",
    "largest_compatible_flight_ps",
    "path_names",
    "simulate_collective",
]
