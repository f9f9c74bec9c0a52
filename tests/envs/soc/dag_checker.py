"""Checks and makes schedules of one job in plain Python; knows nothing of the package's schedulers.

Rules: a task runs on a PE that can run it, for its time, once all its data are there; on a PE of
capacity c at most c tasks run at any instant, and a task without time needs a free place too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rlsched.envs.soc.workload import Job, Workload


def comm_ticks(workload: Workload, volume: float, p: int, q: int) -> int:
    soc = workload.soc
    return soc.startup[p][q] + math.floor(volume / soc.bandwidth[p][q])


def check_schedule(
    workload: Workload,
    pe: Sequence[int],
    start: Sequence[int],
    end: Sequence[int],
    job: Job | None = None,
) -> int:
    """Return the makespan of a schedule; fail where it breaks a rule."""
    job = job or workload.jobs[0]
    assert len(pe) == len(start) == len(end) == job.num_tasks
    for t, kind in enumerate(job.tasks):
        ticks = workload.soc.times[kind][pe[t]]
        assert ticks >= 0, f"task {t} runs on PE {pe[t]}, which cannot run it"
        assert start[t] >= 0, f"task {t} starts at {start[t]}"
        assert end[t] - start[t] == ticks, f"task {t} takes {end[t] - start[t]}, not {ticks}"
    for source, target, volume in job.edges:
        there = end[source] + comm_ticks(workload, volume, pe[source], pe[target])
        assert start[target] >= there, f"task {target} starts before data of {source}"
    for t in range(job.num_tasks):
        # The most tasks that run at once do so as one of them starts.
        at, others = start[t], [u for u in range(job.num_tasks) if u != t and pe[u] == pe[t]]
        if start[t] == end[t]:
            num_others = sum(start[u] < at < end[u] for u in others)
        else:
            num_others = sum(start[u] <= at < end[u] for u in others)
        assert num_others < workload.soc.pes[pe[t]].capacity, f"PE {pe[t]} is full for task {t}"
    return max(end)


def append_all(
    workload: Workload, choices: Iterable[tuple[int, int]], job: Job | None = None
) -> tuple[list[int], list[int]]:
    """Return start and end of each task if they are put one behind the other on their PEs.

    Each takes the place that is free first, when it is free and the data are there.
    """
    job = job or workload.jobs[0]
    free = [[0] * pe.capacity for pe in workload.soc.pes]
    on, start, end = ({}, {}, {})  # type: ignore[var-annotated]
    for t, p in choices:
        at = min(free[p])
        for source, target, volume in job.edges:
            if target == t:
                at = max(at, end[source] + comm_ticks(workload, volume, on[source], p))
        on[t], start[t] = p, at
        end[t] = at + workload.soc.times[job.tasks[t]][p]
        free[p][free[p].index(min(free[p]))] = end[t]
    tasks = range(job.num_tasks)
    return [start[t] for t in tasks], [end[t] for t in tasks]


def best_makespan(workload: Workload) -> int:
    """Return the least makespan over every order of tasks and every choice of PEs."""
    job = workload.jobs[0]
    before = [{u for u, v, _ in job.edges if v == t} for t in range(job.num_tasks)]

    def least(choices: list[tuple[int, int]], best: int) -> int:
        done = {t for t, _ in choices}
        if len(done) == job.num_tasks:
            return min(best, max(append_all(workload, choices)[1]))
        for t in range(job.num_tasks):
            if t in done or not before[t] <= done:
                continue
            for p, ticks in enumerate(workload.soc.times[job.tasks[t]]):
                if ticks >= 0:
                    best = least([*choices, (t, p)], best)
        return best

    return least([], 1 << 60)
