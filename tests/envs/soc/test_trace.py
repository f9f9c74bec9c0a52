"""Facts about traces."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import workloads

from rlsched.envs.soc import trace
from rlsched.envs.soc.instances import builtin_workload
from rlsched.envs.soc.rules import Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.trace import chrome_trace, write_trace


def masked() -> SocSimulator:
    sim = SocSimulator([workloads.masked()], mode="static", observe=False)
    sim.reset(instances=[0])
    return sim


def events(found: dict, phase: str) -> list[dict]:
    return [event for event in found["traceEvents"] if event["ph"] == phase]


def test_tasks_and_data_by_hand():
    """1 tick on P1; data leave it at 1; 5 ticks on P2 from 6. The arrow begins within the task."""
    found = chrome_trace(masked())
    first, second = events(found, "X")
    place = {"pid": 1, "cat": "task", "ph": "X"}
    task = {"job": 0, "kind": "masked", "opp": [1000, 1000], "status": "done"}
    assert first == place | {
        "name": "t0",
        "tid": 0,
        "ts": 0,
        "dur": 1,
        "args": task | {"task": 0},
    }
    assert second == place | {
        "name": "t1",
        "tid": 1,
        "ts": 6,
        "dur": 5,
        "args": task | {"task": 1},
    }
    (leave,), (arrive,) = events(found, "s"), events(found, "f")
    assert leave["id"] == arrive["id"]
    assert (leave["tid"], leave["ts"], leave["args"]) == (0, 0.5, {"volume": 5})
    assert (arrive["tid"], arrive["ts"], arrive["bp"]) == (1, 6, "e")


def test_the_soc_is_a_process_and_each_place_a_thread():
    sim = SocSimulator([builtin_workload("ds3/range_detection")], mode="static", observe=False)
    sim.reset(instances=[0])
    names = [e["args"]["name"] for e in events(chrome_trace(sim), "M") if "name" in e["args"]]
    assert names[:3] == [sim.instances[0].soc.name, "A7 0", "A7 1"]
    assert len(names) == 1 + sum(pe.capacity for pe in sim.instances[0].soc.pes)


def test_a_streaming_lane_shows_what_is_to_come():
    sim, rule = SocSimulator([workloads.topcuoglu()], observe=False), Rule("etf")
    sim.reset(instances=[0])
    for _ in range(60):
        sim.step(rule.choose(sim))
    found = chrome_trace(sim)
    status = Counter(event["args"]["status"] for event in events(found, "X"))
    assert status == {
        "done": int(sim.state.num_executions[0]),
        "running": int(sim.state.num_running[0]),
        "placed": int(sim.state.num_bound[0]),
    } | ({} if sim.state.num_bound[0] else {"placed": 0})
    assert len(events(found, "s")) == len(events(found, "f")) > 0
    json.dumps(found, allow_nan=False)


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "new" / "lane.json"
    write_trace(masked(), path)
    before = path.read_text()
    assert json.loads(before) == chrome_trace(masked())

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(trace.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_trace(masked(), path)
    assert path.read_text() == before
