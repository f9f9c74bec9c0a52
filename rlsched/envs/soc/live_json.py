"""The part of our JSON that is a system at work; see ``soc_json.py`` for its keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.files import Record, whole
from rlsched.envs.soc.workload import (
    MAX_JOBS,
    MAX_TASKS,
    MAX_TICKS,
    STATUSES,
    Job,
    Live,
    LiveJob,
    LiveTask,
    Soc,
    Workload,
)


def read_live(record: Record, soc: Soc, jobs: Sequence[Job]) -> Live:
    """Return the system at work of an entry.

    Args:
        record: the entry.
        soc: whose PEs it names.
        jobs: which kinds it names.

    Raises:
        InstanceError: a key is unknown or missing, a name is unknown or stands for several, or a
            value is out of range.
    """
    clock = record.whole("clock", 0, MAX_TICKS)
    entries = record.records("jobs", MAX_JOBS)
    record.finish()
    kinds, pes = [job.name for job in jobs], [pe.name for pe in soc.pes]
    return Live(clock, tuple(_live_job(entry, kinds, pes) for entry in entries))


def _live_job(entry: Record, kinds: list[str], pes: list[str]) -> LiveJob:
    job = LiveJob(
        _index(entry, "kind", kinds),
        entry.whole("arrival", 0, MAX_TICKS),
        tuple(_live_task(task, pes) for task in entry.records("tasks", MAX_TASKS)),
    )
    entry.finish()
    return job


def _live_task(entry: Record, pes: list[str]) -> LiveTask:
    status = entry.text("status")
    if status not in STATUSES:
        raise InstanceError(f"{entry.at}: status = {status!r:.60}; allowed: {', '.join(STATUSES)}.")
    task = LiveTask(status)
    if status != "waiting":
        begin = entry.whole("begin", 0, MAX_TICKS)
        end = entry.whole("end", 0, MAX_TICKS, 0 if status == "placed" else ...)
        task = LiveTask(status, _index(entry, "pe", pes), begin, end)
    entry.finish()
    return task


def _index(entry: Record, key: str, names: list[str]) -> int:
    return index_of(entry.value(key, object), f"{entry.at}: {key}", names)


def index_of(given: Any, at: str, names: list[str]) -> int:
    """Return a number that is given as such or by the name it stands for.

    Raises:
        InstanceError: the number is out of range, or the name is unknown or stands for several.
    """
    if not isinstance(given, str):
        return whole(given, at, 0, len(names) - 1)
    if names.count(given) != 1:
        known = f"there are {len(names)}, such as {', '.join(dict.fromkeys(names[:8]))}"
        how = "unknown" if given not in names else "the name of several; give its number"
        raise InstanceError(f"{at} = {given!r:.60} is {how}; {known:.200}.")
    return names.index(given)


def live_lines(workload: Workload) -> list[str]:
    """Return the system at work, one job a line; nothing where there is none."""
    if workload.live is None:
        return []
    kinds = labels([job.name for job in workload.jobs])
    pes = labels([pe.name for pe in workload.soc.pes])
    jobs = [
        json.dumps(
            {
                "kind": kinds[job.kind],
                "arrival": job.arrival,
                "tasks": [_live_entry(task, pes) for task in job.tasks],
            }
        )
        for job in workload.live.jobs
    ]
    return [
        f' "live": {{"clock": {workload.live.clock}, "jobs": [',
        ",\n".join(f"  {job}" for job in jobs),
        " ]}",
    ]


def labels(names: list[str]) -> list[str | int]:
    """Return what stands for each: its name, or its number where others have the same name."""
    return [name if names.count(name) == 1 else n for n, name in enumerate(names)]


def _live_entry(task: LiveTask, pes: list[str | int]) -> dict[str, Any]:
    if task.status == "waiting":
        return {"status": task.status}
    place = {"pe": pes[task.pe], "begin": task.begin, "end": task.end}
    return {"status": task.status} | place
