"""Collectives: what they move as a schedule, and the values that travel over it."""

from linksim.network.collectives.expansion import Expansion, Hop, carry, expand
from linksim.network.collectives.moves import Move, Schedule
from linksim.network.collectives.planning import ALGORITHMS, schedule

__all__ = ["ALGORITHMS", "Expansion", "Hop", "Move", "Schedule", "carry", "expand", "schedule"]
