"""Our JSON of a workload, which holds all that a SoC and its jobs are.

``?`` marks what may be left out::

    {"schema": "rlsched-soc/1", "name"?: "radio",
     "soc": {"name"?: "board",
             "pes": [{"name": "A15", "kind"?: "BIG", "capacity"?: 4,
                      "opps"?: [[1000, 1000], [2000, 1362]], "power"?: [3.32, 5.05, 6.15, 6.91],
                      "leaks"?: true}, ...],
             "times": {"fft": [114, 12], "crc": [3, null]},
             "bandwidth": [[null, 10], [10, null]],
             "startup"?: [[0, 1], [1, 0]], "memory_bandwidth"?: [[2, 2], [2, 2]]},
     "jobs": [{"name": "rx", "tasks": ["fft", "crc"], "edges"?: [[0, 1, 80]], "weight"?: 2}, ...],
     "live"?: {"clock": 940,
               "jobs": [{"kind": "rx", "arrival": 870,
                         "tasks": [{"status": "done", "pe": "A15", "begin": 870, "end": 884},
                                   {"status": "waiting"}]}, ...]},
     "trace"?: [[12, "rx"], [40, "rx"], ...]}

A time of ``null`` says that the PE cannot run this type of task; a bandwidth of ``null`` has the
data there at once. Without ``startup`` nothing waits, without ``memory_bandwidth`` shared memory is
infinitely fast; weights that are left out are 1.

``live`` is a system at work, its jobs the oldest first; kinds and PEs stand there by name or by
number. A task is ``waiting``, ``placed`` on a PE (since ``begin``; what was placed first begins
first), ``running`` there since ``begin``, expected to ``end`` then, or ``done``. See
``workload.py`` for units. ``trace`` has the tick and the kind of every job that comes, for
``arrivals=trace``. Unknown keys are refused.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.files import MAX_NAME, Record, number, read_object, whole
from rlsched.envs.soc.live_json import index_of, labels, live_lines, read_live
from rlsched.envs.soc.workload import (
    MAX_CAPACITY,
    MAX_JOBS,
    MAX_PES,
    MAX_TASKS,
    MAX_TICKS,
    MAX_TRACE,
    MAX_VOLUME,
    NOT_SUPPORTED,
    Edge,
    Job,
    Pe,
    Soc,
    Workload,
)

SCHEMA = "rlsched-soc/1"
MAX_EDGES, MAX_OPPS, MAX_TYPES = 1_000_000, 64, 100_000
LEAST_BANDWIDTH, MOST_BANDWIDTH = 1e-6, 1e12
MAX_MHZ, MAX_WATT = 100_000, 999_999.0


def read_json(path: str | Path) -> Workload:
    """Read a workload; see the module for its keys.

    Raises:
        InstanceError: the file cannot be read, a key is unknown or missing, or a value is out of
            range or contradicts another.
    """
    path = Path(path)
    record = read_object(path)
    read_schema(record)
    name = record.text("name", path.stem[:MAX_NAME] or "workload")
    soc = read_soc(Record(record.value("soc", dict), f"{record.at}.soc"), name)
    entries = record.records("jobs", MAX_JOBS)
    weights = tuple(entry.number("weight", 0, 1e9, 1.0) for entry in entries)
    has_weights = any("weight" in entry.content for entry in entries)
    jobs = tuple(read_job(entry) for entry in entries)
    live = None
    if "live" in record.content:
        live = read_live(Record(record.value("live", dict), f"{record.at}.live"), soc, jobs)
    trace = [_arrival(*item, jobs) for item in record.items("trace", MAX_TRACE, [])]
    record.asked.add("live")
    record.finish()
    try:
        return Workload(name, soc, jobs, weights if has_weights else (), live, tuple(trace))
    except InstanceError as error:
        raise InstanceError(f"'{path}': {error}") from error


def read_schema(record: Record) -> None:
    """Check the version.

    Raises:
        InstanceError: it is missing or another.
    """
    found = record.text("schema")
    if found != SCHEMA:
        raise InstanceError(f"{record.at}: schema = {found!r:.60}; this version reads {SCHEMA!r}.")


def read_soc(record: Record, name: str = "soc") -> Soc:
    """Return the SoC of an entry.

    Args:
        record: the entry.
        name: where it has none.

    Raises:
        InstanceError: a key is unknown or missing, or a value is out of range.
    """
    name = record.text("name", name)
    pes = tuple(_pe(entry) for entry in record.records("pes", MAX_PES))
    rows = Record(record.value("times", dict), f"{record.at}.times")
    if len(rows.content) > MAX_TYPES:
        raise InstanceError(f"{rows.at}: {len(rows.content)} types; at most {MAX_TYPES}.")
    times = {
        kind: tuple(_ticks(*item) for item in rows.items(kind, MAX_PES)) for kind in rows.content
    }
    bandwidth = _matrix(record, "bandwidth")
    startup = tuple((0,) * len(pes) for _ in pes)
    if "startup" in record.content:
        startup = _startup(record)
    always = (math.inf,) * len(pes)
    memory: tuple[tuple[float, ...], ...] = (always, always)
    if "memory_bandwidth" in record.content:
        memory = _matrix(record, "memory_bandwidth")
    record.finish()
    return Soc(name, pes, times, bandwidth, startup, memory)  # type: ignore[arg-type]


def _pe(entry: Record) -> Pe:
    capacity = entry.whole("capacity", 1, MAX_CAPACITY, 1)
    opps = [_pair(*item) for item in entry.items("opps", MAX_OPPS, list(Pe("").opps))]
    power = entry.items("power", MAX_CAPACITY, [0.0] * capacity)
    pe = Pe(
        entry.text("name"),
        entry.text("kind", Pe("").kind),
        capacity,
        tuple(opps),
        tuple(number(watt, at, 0, MAX_WATT) for watt, at in power),
        entry.value("leaks", bool, True),
    )
    entry.finish()
    return pe


def _pair(item: Any, at: str) -> tuple[int, int]:
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise InstanceError(f"{at} = {item!r:.60}; give [MHz, mV].")
    return whole(item[0], f"{at}[0]", 1, MAX_MHZ), whole(item[1], f"{at}[1]", 1, MAX_MHZ)


def _ticks(item: Any, at: str) -> int:
    return NOT_SUPPORTED if item is None else whole(item, at, 0, MAX_TICKS)


def _matrix(record: Record, key: str) -> tuple[tuple[float, ...], ...]:
    """Return rows of bandwidths, null = infinite."""
    return tuple(
        tuple(
            math.inf if value is None else number(value, at, LEAST_BANDWIDTH, MOST_BANDWIDTH)
            for value, at in _row(row, at)
        )
        for row, at in record.items(key, MAX_PES)
    )


def _startup(record: Record) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(whole(value, at, 0, MAX_TICKS) for value, at in _row(row, at))
        for row, at in record.items("startup", MAX_PES)
    )


def _row(row: Any, at: str) -> list[tuple[Any, str]]:
    if not isinstance(row, list) or len(row) > MAX_PES:
        raise InstanceError(f"{at} = {row!r:.60}; give a list of at most {MAX_PES} numbers.")
    return [(value, f"{at}[{i}]") for i, value in enumerate(row)]


def read_job(entry: Record) -> Job:
    """Return the job of an entry.

    Raises:
        InstanceError: a key is unknown or missing, or a value is out of range.
    """
    job = Job(
        entry.text("name"),
        tuple(entry.texts("tasks", MAX_TASKS)),
        tuple(_edge(*item) for item in entry.items("edges", MAX_EDGES, [])),
    )
    entry.finish()
    return job


def _edge(item: Any, at: str) -> Edge:
    if not isinstance(item, list) or len(item) != 3:
        raise InstanceError(f"{at} = {item!r:.60}; give [task, task that needs it, volume].")
    source, target = (whole(item[i], f"{at}[{i}]", 0, MAX_TASKS) for i in range(2))
    return source, target, number(item[2], f"{at}[2]", 0, MAX_VOLUME)


def _arrival(item: Any, at: str, jobs: tuple[Job, ...]) -> tuple[int, int]:
    if not isinstance(item, list) or len(item) != 2:
        raise InstanceError(f"{at} = {item!r:.60}; give [tick, job].")
    tick = whole(item[0], f"{at}[0]", 0, MAX_TICKS)
    return tick, index_of(item[1], f"{at}[1]", [job.name for job in jobs])


def write_json(path: str | Path, workload: Workload) -> None:
    """Write a workload; ``read_json`` gives it back."""
    jobs = [_job_entry(job) for job in workload.jobs]
    for entry, weight in zip(jobs, workload.weights, strict=bool(workload.weights)):
        entry["weight"] = weight
    lines = [
        "{",
        f' "schema": {json.dumps(SCHEMA)},',
        f' "name": {json.dumps(workload.name)},',
        ' "soc": {',
        *_soc_lines(workload.soc),
        " },",
        *_trace_lines(workload),
        ' "jobs": [',
        ",\n".join(f"  {json.dumps(entry)}" for entry in jobs),
        " ]" if workload.live is None else " ],",
        *live_lines(workload),
        "}",
    ]
    Path(path).write_text("\n".join([*lines, ""]), "utf-8")


def _trace_lines(workload: Workload) -> list[str]:
    if not workload.trace:
        return []
    kinds = labels([job.name for job in workload.jobs])
    return [f' "trace": {json.dumps([[at, kinds[kind]] for at, kind in workload.trace])},']


def _soc_lines(soc: Soc) -> list[str]:
    """Return the keys of a SoC, one PE or type of task a line."""
    times = [
        f"{json.dumps(k)}: {json.dumps(_or_null(row, NOT_SUPPORTED))}"
        for k, row in soc.times.items()
    ]
    matrices = {
        "bandwidth": [_or_null(row, math.inf) for row in soc.bandwidth],
        "startup": [list(row) for row in soc.startup],
        "memory_bandwidth": [_or_null(row, math.inf) for row in soc.memory_bandwidth],
    }
    return [
        f'  "name": {json.dumps(soc.name)},',
        '  "pes": [\n   ' + ",\n   ".join(json.dumps(_pe_entry(pe)) for pe in soc.pes) + "\n  ],",
        '  "times": {\n   ' + ",\n   ".join(times) + "\n  },",
        ",\n".join(f"  {json.dumps(key)}: {json.dumps(rows)}" for key, rows in matrices.items()),
    ]


def _or_null(row: tuple[float, ...], nothing: float) -> list[float | None]:
    return [None if value == nothing else value for value in row]


def _pe_entry(pe: Pe) -> dict[str, Any]:
    return {
        "name": pe.name,
        "kind": pe.kind,
        "capacity": pe.capacity,
        "opps": pe.opps,
        "power": pe.power,
        "leaks": pe.leaks,
    }


def _job_entry(job: Job) -> dict[str, Any]:
    return {"name": job.name, "tasks": job.tasks, "edges": job.edges}
