"""Engine timing models and the records they load."""

from linksim.catalogue import Evidence, Grade
from linksim.engines.engine import (
    CycleSpread,
    EngineRecord,
    Stage,
    Statistics,
    engine_names,
    engine_record,
)

__all__ = [
    "CycleSpread",
    "EngineRecord",
    "Evidence",
    "Grade",
    "Stage",
    "Statistics",
    "engine_names",
    "engine_record",
]
