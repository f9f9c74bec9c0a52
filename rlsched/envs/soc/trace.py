"""A lane as a trace for chrome://tracing, Perfetto and other viewers of that format.

The SoC is a process, each place of a PE a thread. A tick is shown as a microsecond.

Source: Trace Event Format (Google, 2016).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from rlsched.envs.soc.chart import Bars, bars_of, transfers
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.state import BOUND, DONE, RUNNING
from rlsched.envs.soc.workload import Workload

STATUS_NAMES = {DONE: "done", RUNNING: "running", BOUND: "placed"}
PID = 1


def write_trace(sim: SocSimulator, path: str | Path, lane: int = 0) -> None:
    """Write a lane's trace as JSON; a file that is there is replaced in one go."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(chrome_trace(sim, lane)) + "\n", "utf-8")
    os.replace(partial, path)


def chrome_trace(sim: SocSimulator, lane: int = 0) -> dict[str, Any]:
    """Return a lane's trace, JSON-ready: what it remembers, and what is known to come.

    Complete events are tasks, with the job, its kind, the task and the operating point (MHz, mV);
    flow events are data on their way from one PE to another.
    """
    workload, bars = sim.workload_of(lane), bars_of(sim, lane)
    first = np.cumsum([0, *(pe.capacity for pe in workload.soc.pes)])
    thread = first[bars.pe] + bars.place
    events = _names(workload)
    for r in range(len(bars.job)):
        events.append(_task(workload, bars, r, int(thread[r])))
    for n, (a, b, volume) in enumerate(transfers(sim, lane, bars)):
        leave = max(float(bars.begin[a]), bars.end[a] - 0.5)  # viewers tie it to the task around it
        arrive = float(bars.begin[b])
        flow = {"cat": "communication", "name": "data", "id": n, "pid": PID}
        flow["args"] = {"volume": volume}
        events.append({**flow, "ph": "s", "ts": leave, "tid": int(thread[a])})
        events.append({**flow, "ph": "f", "bp": "e", "ts": arrive, "tid": int(thread[b])})
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": {"name": workload.name}}


def _names(workload: Workload) -> list[dict[str, Any]]:
    """Return the events that name the process and its threads, in the order of the PEs."""
    places = [
        pe.name if pe.capacity == 1 else f"{pe.name} {x}"
        for pe in workload.soc.pes
        for x in range(pe.capacity)
    ]
    meta = {"ph": "M", "pid": PID}
    events: list[dict[str, Any]] = [
        {**meta, "name": "process_name", "args": {"name": workload.soc.name}}
    ]
    for tid, place in enumerate(places):
        events.append({**meta, "tid": tid, "name": "thread_name", "args": {"name": place}})
        events.append(
            {**meta, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}
        )
    return events


def _task(workload: Workload, bars: Bars, r: int, tid: int) -> dict[str, Any]:
    kind, task = workload.jobs[bars.kind[r]], int(bars.task[r])
    return {
        "ph": "X",
        "cat": "task",
        "name": kind.tasks[task],
        "pid": PID,
        "tid": tid,
        "ts": int(bars.begin[r]),
        "dur": int(bars.end[r] - bars.begin[r]),
        "args": {
            "job": int(bars.job[r]),
            "kind": kind.name,
            "task": task,
            "opp": list(workload.soc.pes[bars.pe[r]].opps[bars.point[r]]),
            "status": STATUS_NAMES[int(bars.status[r])],
        },
    }
