"""Messages over links: topologies, collectives and the flit-level model."""

from linksim.network.checks import total_flits
from linksim.network.collectives import ALGORITHMS, Expansion, Hop, Schedule, expand, schedule
from linksim.network.messages import Coding, Compute, Task, Transfer
from linksim.network.network import Links, Network
from linksim.network.results import ComputeResult, LinkResult, RunResult, TransferResult
from linksim.network.simulation import ENGINES, EngineName, simulate
from linksim.network.topology import (
    fully_connected,
    mesh,
    pcie_tree,
    point_to_point,
    ring,
    switched,
)

__all__ = [
    "ALGORITHMS",
    "ENGINES",
    "Coding",
    "Compute",
    "ComputeResult",
    "EngineName",
    "Expansion",
    "Hop",
    "LinkResult",
    "Links",
    "Network",
    "RunResult",
    "Schedule",
    "Task",
    "Transfer",
    "TransferResult",
    "expand",
    "fully_connected",
    "mesh",
    "pcie_tree",
    "point_to_point",
    "ring",
    "schedule",
    "simulate",
    "switched",
    "total_flits",
]
