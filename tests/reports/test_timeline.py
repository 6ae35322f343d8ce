"""The timeline of a run as trace events."""

import json
from itertools import pairwise

from linksim.network import Coding, Compute, Transfer, point_to_point, simulate
from linksim.reports.timeline import trace_events, write_timeline

from ..network.models import coding, engine, link


def run():
    tasks = [
        Compute("forward", "a", 5000),
        Transfer("plain", "a", "b", Coding.plain(80), ("forward",), "e1"),
        Transfer("coded", "a", "b", coding([80, 80], [20, 30], engine()), (), "e2"),
    ]
    return simulate(tasks, point_to_point(("a", "b"), link()))


def test_a_written_timeline_is_json_with_every_task(tmp_path):
    result = run()
    write_timeline(result, tmp_path / "timeline.json")
    document = json.loads((tmp_path / "timeline.json").read_text())
    events = document["traceEvents"]
    assert events == list(trace_events(result))
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["a", "b"]
    assert [(e["ts"], e["dur"]) for e in events if e["ph"] == "X"] == [(0, 0.005)]


def test_parts_of_a_message_nest_and_leave_no_gap():
    result = run()
    for place, transfer in enumerate(result.transfers):
        mine = [e for e in trace_events(result) if e.get("id") == place]
        begins = {e["name"]: e["ts"] for e in mine if e["ph"] == "b"}
        ends = {e["name"]: e["ts"] for e in mine if e["ph"] == "e"}
        whole = f"{transfer.id} to b"
        assert (begins[whole], ends[whole]) == (
            transfer.ready_ps / 1e6,
            transfer.delivered_ps / 1e6,
        )
        parts = [name for name in begins if name != whole]
        assert begins[parts[0]] == begins[whole]
        assert ends[parts[-1]] == ends[whole]
        for one, two in pairwise(parts):
            assert ends[one] == begins[two]
