"""Traces: tensors with their values and the schedule of events that moves them."""

from linksim.traces.store import Trace, TraceWriter

__all__ = ["Trace", "TraceWriter"]
