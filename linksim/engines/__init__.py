"""Engine timing models and the records they load."""

from linksim.catalogue import Evidence, Grade
from linksim.engines.engine import (
    EngineRecord,
    Stage,
    Statistics,
    engine_names,
    engine_record,
)

__all__ = [
    "EngineRecord",
    "Evidence",
    "Grade",
    "Stage",
    "Statistics",
    "engine_names",
    "engine_record",
]
