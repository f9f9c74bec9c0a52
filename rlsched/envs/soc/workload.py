"""Workload: a system on chip and the jobs that run on it.

A job is a DAG of tasks; a task has a type, and the SoC says how long each type takes on each of its
processing elements (PEs). Times are whole ticks, usually microseconds. Data between tasks on PEs p
and q takes ``startup[p][q] + floor(volume / bandwidth[p][q])`` ticks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import InstanceError

MAX_PES, MAX_TASKS, MAX_JOBS, MAX_CAPACITY = 256, 20_000, 1_000, 64
MAX_TICKS, MAX_VOLUME, MAX_TRACE = 100_000_000, 1e12, 1_000_000
MAX_JOB_TICKS = 500_000_000
NOT_SUPPORTED = -1
"""Time of a task on a PE that cannot run it."""

STATUSES = ("waiting", "placed", "running", "done")
"""Of a task in a system at work."""

Edge = tuple[int, int, float]
"""(task, task that needs its result, volume of data)."""


@dataclass(frozen=True)
class Pe:
    """A processing element: a core, a cluster of cores, or an accelerator.

    Attributes:
        name: for tables and pictures.
        kind: of which it is one, as ``A15``.
        capacity: tasks that run at once.
        opps: operating points, (MHz, mV), ascending; times are at the last.
        power: W at the last point with 1 .. ``capacity`` tasks running.
        leaks: whether leakage is part of its power (accelerators: no).
    """

    name: str
    kind: str = "cpu"
    capacity: int = 1
    opps: tuple[tuple[int, int], ...] = ((1000, 1000),)
    power: tuple[float, ...] = (0.0,)
    leaks: bool = True


@dataclass(frozen=True)
class Soc:
    """A system on chip.

    Attributes:
        name: for messages.
        pes: P processing elements.
        times: type of task -> (P,) ticks on each PE at its highest point, -1 = cannot run there.
        bandwidth: (P, P) volume per tick from PE to PE, > 0, inf = at once; on the diagonal within
            one PE.
        startup: (P, P) ticks before the first data arrive.
        memory_bandwidth: (2, P) volume per tick to and from shared memory.
    """

    name: str
    pes: tuple[Pe, ...]
    times: Mapping[str, tuple[int, ...]]
    bandwidth: tuple[tuple[float, ...], ...]
    startup: tuple[tuple[int, ...], ...]
    memory_bandwidth: tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Job:
    """A kind of job: a DAG of tasks.

    Attributes:
        name: for messages.
        tasks: (T,) type of each task.
        edges: precedences and the volumes that pass along them.
    """

    name: str
    tasks: tuple[str, ...]
    edges: tuple[Edge, ...] = ()

    @property
    def num_tasks(self) -> int:
        return len(self.tasks)


@dataclass(frozen=True)
class LiveTask:
    """A task of a job in the system.

    Attributes:
        status: ``waiting`` (it has no PE yet), ``placed``, ``running`` or ``done``.
        pe: where it is placed, -1 = nowhere.
        begin: tick of its beginning; of a placed task, its turn in the order of placing.
        end: tick of its end, as expected while it runs; of a placed task, when its data are there,
            0 = as soon as they can be.
    """

    status: str = "waiting"
    pe: int = -1
    begin: int = 0
    end: int = 0


@dataclass(frozen=True)
class LiveJob:
    """A job in the system.

    Attributes:
        kind: which of the workload's jobs it is.
        arrival: tick of its arrival.
        tasks: (T,) how far each is.
    """

    kind: int
    arrival: int
    tasks: tuple[LiveTask, ...]


@dataclass(frozen=True)
class Live:
    """A system at work, to go on from.

    Attributes:
        clock: the present tick.
        jobs: in the system, oldest first.
    """

    clock: int
    jobs: tuple[LiveJob, ...]


@dataclass(frozen=True)
class Workload:
    """An instance: jobs of some kinds that come to a SoC.

    Attributes:
        name: of the instance.
        soc: where they run.
        jobs: K kinds of jobs.
        weights: (K,) how often each kind comes, in proportion; empty = equally often.
        live: where to begin; None = at tick 0.
        trace: (tick, kind) of each job that comes where arrivals follow a trace, in order of time.
    """

    name: str
    soc: Soc
    jobs: tuple[Job, ...]
    weights: tuple[float, ...] = field(default=())
    live: Live | None = None
    trace: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        _check_soc(self.soc, self.name)
        if not 1 <= len(self.jobs) <= MAX_JOBS:
            raise InstanceError(f"{self.name}: {len(self.jobs)} jobs; must be 1 to {MAX_JOBS}.")
        for job in self.jobs:
            _check_job(job, self.soc, self.name)
        if self.weights:
            is_bad = any(not (math.isfinite(w) and w >= 0) for w in self.weights)
            if len(self.weights) != len(self.jobs) or is_bad or not sum(self.weights) > 0:
                raise InstanceError(
                    f"{self.name}: weights={list(self.weights)}; give one >= 0 per job "
                    f"({len(self.jobs)}), not all 0."
                )
        if self.live is not None:
            _check_live(self.live, self)
        _check_trace(self)

    @property
    def num_pes(self) -> int:
        return len(self.soc.pes)

    def times(self, job: Job) -> NDArray[np.int64]:
        """Return (T, P) ticks at the highest operating points, -1 = cannot run there."""
        return np.array([self.soc.times[kind] for kind in job.tasks], np.int64)


def _check_trace(workload: Workload) -> None:
    if len(workload.trace) > MAX_TRACE:
        raise InstanceError(
            f"{workload.name}: trace of {len(workload.trace)} jobs; at most {MAX_TRACE}, "
            "cut it into several workloads."
        )
    last = 0
    for n, (at, kind) in enumerate(workload.trace):
        if not last <= at <= MAX_TICKS:
            raise InstanceError(
                f"{workload.name}: trace[{n}] comes at {at}; must be {last} to {MAX_TICKS}, "
                "not before the one above."
            )
        if not 0 <= kind < len(workload.jobs):
            raise InstanceError(
                f"{workload.name}: trace[{n}] is of job {kind}; give 0 to {len(workload.jobs) - 1}."
            )
        last = at


def _check_soc(soc: Soc, where: str) -> None:
    count = len(soc.pes)
    if not 1 <= count <= MAX_PES:
        raise InstanceError(f"{where}: soc {soc.name!r} has {count} PEs; must be 1 to {MAX_PES}.")
    for p, pe in enumerate(soc.pes):
        _check_pe(pe, f"{where}: soc {soc.name!r}, PE {p} ({pe.name})")
    for what, matrix, least in (("bandwidth", soc.bandwidth, 0.0), ("startup", soc.startup, -0.5)):
        if len(matrix) != count or any(len(row) != count for row in matrix):
            raise InstanceError(f"{where}: soc {soc.name!r}: {what} must be {count} x {count}.")
        for p, row in enumerate(matrix):
            for q, value in enumerate(row):
                if not value > least or (what == "startup" and value > MAX_TICKS):
                    raise InstanceError(
                        f"{where}: soc {soc.name!r}: {what}[{p}, {q}] = {value}; "
                        f"must be {'> 0' if least == 0 else f'0 to {MAX_TICKS}'}."
                    )
    if len(soc.memory_bandwidth) != 2 or any(
        len(row) != count or not all(value > 0 for value in row) for row in soc.memory_bandwidth
    ):
        raise InstanceError(
            f"{where}: soc {soc.name!r}: memory_bandwidth must be 2 x {count} values > 0."
        )
    for kind, times in soc.times.items():
        if len(times) != count or any(not -1 <= t <= MAX_TICKS for t in times):
            raise InstanceError(
                f"{where}: soc {soc.name!r}: times[{kind!r}] = {list(times)}; give {count} values "
                f"of 0 to {MAX_TICKS} ticks, -1 where the PE cannot run it."
            )


def _check_pe(pe: Pe, where: str) -> None:
    if not 1 <= pe.capacity <= MAX_CAPACITY:
        raise InstanceError(f"{where}: capacity = {pe.capacity}; must be 1 to {MAX_CAPACITY}.")
    points = list(pe.opps)
    if not points or points != sorted(points) or min(min(point) for point in points) <= 0:
        raise InstanceError(f"{where}: opps = {points}; give (MHz, mV) > 0, ascending.")
    if len(pe.power) != pe.capacity or any(not 0 <= w < 1e6 for w in pe.power):
        raise InstanceError(f"{where}: power = {list(pe.power)}; give {pe.capacity} values in W.")


def _check_job(job: Job, soc: Soc, where: str) -> None:
    where, count = f"{where}: job {job.name!r}", job.num_tasks
    if not 1 <= count <= MAX_TASKS:
        raise InstanceError(f"{where} has {count} tasks; must be 1 to {MAX_TASKS}.")
    for t, kind in enumerate(job.tasks):
        if kind not in soc.times:
            raise InstanceError(f"{where}, task {t}: soc {soc.name!r} has no times of {kind!r}.")
        if max(soc.times[kind]) < 0:
            raise InstanceError(f"{where}, task {t}: no PE of {soc.name!r} can run {kind!r}.")
    longest = sum(max(soc.times[kind]) for kind in job.tasks)
    if longest > MAX_JOB_TICKS:
        raise InstanceError(
            f"{where}: one task after the other it takes {longest} ticks on the slowest PEs; at "
            f"most {MAX_JOB_TICKS}, give times in a longer unit."
        )
    seen = set()
    for e, (source, target, volume) in enumerate(job.edges):
        if not (0 <= source < count and 0 <= target < count) or source == target:
            raise InstanceError(
                f"{where}, edge {e}: {source} -> {target}; tasks are 0 to {count - 1}."
            )
        if (source, target) in seen:
            raise InstanceError(f"{where}, edge {e}: {source} -> {target} stands there twice.")
        if not 0 <= volume <= MAX_VOLUME:
            raise InstanceError(f"{where}, edge {e}: volume = {volume}; must be 0 to {MAX_VOLUME}.")
        seen.add((source, target))
    topological_order(job, where)


def _check_live(live: Live, workload: Workload) -> None:
    if not 0 <= live.clock <= MAX_TICKS:
        raise InstanceError(f"{workload.name}: clock = {live.clock}; must be 0 to {MAX_TICKS}.")
    for n, job in enumerate(live.jobs):
        where = f"{workload.name}: job {n} in the system"
        if not 0 <= job.kind < len(workload.jobs):
            raise InstanceError(
                f"{where}: kind = {job.kind}; must be 0 to {len(workload.jobs) - 1}."
            )
        if not 0 <= job.arrival <= live.clock:
            raise InstanceError(f"{where}: arrival = {job.arrival}; must be 0 to {live.clock}.")
        kind = workload.jobs[job.kind]
        if len(job.tasks) != kind.num_tasks:
            raise InstanceError(
                f"{where} has {len(job.tasks)} tasks; {kind.name!r} has {kind.num_tasks}."
            )
        if all(task.status == "done" for task in job.tasks):
            raise InstanceError(f"{where}: all its tasks are done; leave it out.")
        for t, task in enumerate(job.tasks):
            _check_live_task(task, kind.tasks[t], live.clock, workload.soc, f"{where}, task {t}")
        for source, target, _ in kind.edges:
            if job.tasks[target].status != "waiting" and job.tasks[source].status != "done":
                raise InstanceError(
                    f"{where}: task {target} is {job.tasks[target].status}, but task {source}, "
                    f"which it needs, is {job.tasks[source].status}."
                )
    _check_capacity(live, workload)


def _check_live_task(task: LiveTask, kind: str, clock: int, soc: Soc, where: str) -> None:
    if task.status not in STATUSES:
        raise InstanceError(f"{where}: status = {task.status!r}; allowed: {', '.join(STATUSES)}.")
    if task.status == "waiting":
        return
    if not 0 <= task.pe < len(soc.pes) or soc.times[kind][task.pe] < 0:
        raise InstanceError(f"{where}: pe = {task.pe} cannot run {kind!r} or does not exist.")
    last = clock if task.status == "done" else MAX_TICKS
    if task.status == "placed":
        is_bad = not (0 <= task.begin <= MAX_TICKS and 0 <= task.end <= MAX_TICKS)
    else:
        is_bad = not 0 <= task.begin <= min(clock, task.end) or task.end > last
    if is_bad:
        raise InstanceError(
            f"{where} is {task.status}: begin = {task.begin}, end = {task.end}; "
            f"the clock stands at {clock}."
        )


def _check_capacity(live: Live, workload: Workload) -> None:
    running = [task.pe for job in live.jobs for task in job.tasks if task.status == "running"]
    for p, pe in enumerate(workload.soc.pes):
        if running.count(p) > pe.capacity:
            raise InstanceError(
                f"{workload.name}: {running.count(p)} tasks run on PE {p} ({pe.name}), "
                f"which has {pe.capacity} places."
            )


def topological_order(job: Job, where: str = "") -> list[int]:
    """Return the tasks so that each comes after those it needs; the lowest number first.

    Raises:
        InstanceError: the precedences have a cycle.
    """
    import heapq

    left, after = [0] * job.num_tasks, [list[int]() for _ in job.tasks]
    for source, target, _ in job.edges:
        left[target] += 1
        after[source].append(target)
    ready, order = [t for t, n in enumerate(left) if n == 0], list[int]()
    while ready:
        task = heapq.heappop(ready)
        order.append(task)
        for target in after[task]:
            left[target] -= 1
            if left[target] == 0:
                heapq.heappush(ready, target)
    if len(order) < job.num_tasks:
        stuck = next(t for t, n in enumerate(left) if n > 0)
        raise InstanceError(f"{where or job.name}: task {stuck} waits for itself; break the cycle.")
    return order
