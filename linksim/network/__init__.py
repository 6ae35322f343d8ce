"""Messages over links: topologies, collectives and the flit-level model."""

from linksim.network.collectives import Expansion, Hop, expand
from linksim.network.fabric import simulate, total_flits
from linksim.network.messages import Coding, Compute, Task, Transfer
from linksim.network.results import ComputeResult, LinkResult, RunResult, TransferResult
from linksim.network.topology import Links, fully_connected, point_to_point, ring

__all__ = [
    "Coding",
    "Compute",
    "ComputeResult",
    "Expansion",
    "Hop",
    "LinkResult",
    "Links",
    "RunResult",
    "Task",
    "Transfer",
    "TransferResult",
    "expand",
    "fully_connected",
    "point_to_point",
    "ring",
    "simulate",
    "total_flits",
]
