"""What a picture of a lane shows, as numbers: tasks on the places of PEs, and data on their way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.simulator import host
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.state import BOUND, DONE, RUNNING
from rlsched.envs.soc.tasks import duration

Ints = NDArray[np.int64]


class Bars(NamedTuple):
    """Tasks on PEs, by their beginning; R rows, each (R,) int64.

    Attributes:
        job: number of the job.
        kind: of the job.
        task: of the job.
        pe: where it is.
        begin: ticks; of a placed task, as expected.
        end: ticks; of a task that has not ended, as expected.
        point: operating point.
        status: DONE, RUNNING or BOUND.
        place: of the PE, 0 .. capacity - 1.
    """

    job: Ints
    kind: Ints
    task: Ints
    pe: Ints
    begin: Ints
    end: Ints
    point: Ints
    status: Ints
    place: Ints


def bars_of(sim: SocSimulator, lane: int = 0) -> Bars:
    """Return the tasks that a lane remembers, runs, or has placed."""
    done = sim.executions(lane).astype(np.int64)
    done = np.column_stack([done, np.full(len(done), DONE)])
    rows = np.concatenate([done, _running(sim, lane), _bound(sim, lane)])
    rows = rows[np.lexsort((rows[:, 2], rows[:, 0], rows[:, 5], rows[:, 4]))]
    capacity = [pe.capacity for pe in sim.workload_of(lane).soc.pes]
    place = _places(rows[:, 3], rows[:, 4], rows[:, 5], capacity)
    return Bars._make([*rows.T, place])


def _running(sim: SocSimulator, lane: int) -> Ints:
    """Return (n, 8) the columns of the tasks that run, up to ``status``."""
    s = sim.state
    rows = host(s.running)[lane, : int(host(s.num_running)[lane])]
    return _columns(sim, lane, rows, host(s.start)[lane, rows], RUNNING)


def _bound(sim: SocSimulator, lane: int) -> Ints:
    """Return (n, 8) the columns of the tasks that have a PE and have not begun."""
    s, work, stride = sim.state, sim.host_work, sim.host_work.time.shape[2]
    rows = host(s.bound)[lane, : int(host(s.num_bound)[lane])]
    i, kind = int(host(s.instance)[lane]), host(s.slot_kind)[lane, rows // stride]
    on, point = host(s.on)[lane, rows], host(s.point)[lane, rows]
    known = work.time[i, kind, rows % stride, on]
    ticks = [
        duration(work, i, int(n), int(p), int(f)) for n, p, f in zip(known, on, point, strict=True)
    ]
    begin = host(s.expected)[lane, rows] - np.array(ticks, np.int64)
    return _columns(sim, lane, rows, begin, BOUND)


def _columns(sim: SocSimulator, lane: int, rows: NDArray, begin: NDArray, status: int) -> Ints:
    s, stride = sim.state, sim.host_work.time.shape[2]
    slot = rows // stride
    columns = [
        host(s.slot_job)[lane, slot],
        host(s.slot_kind)[lane, slot],
        rows % stride,
        host(s.on)[lane, rows],
        begin,
        host(s.expected)[lane, rows],
        host(s.point)[lane, rows],
        np.full(len(rows), status),
    ]
    return np.stack(columns, axis=1).astype(np.int64)


def _places(pe: Ints, begin: Ints, end: Ints, capacity: list[int]) -> Ints:
    """Return (R,) the first place of its PE that is free for each task, in order of beginning."""
    free = [[0] * n for n in capacity]
    out = np.zeros(len(pe), np.int64)
    for r, (p, start, stop) in enumerate(zip(pe, begin, end, strict=True)):
        fits = [x for x, at in enumerate(free[p]) if at <= start]
        out[r] = fits[0] if fits else int(np.argmin(free[p]))
        free[p][out[r]] = stop
    return out


def transfers(sim: SocSimulator, lane: int, bars: Bars) -> list[tuple[int, int, float]]:
    """Return what passes from PE to PE: (bar it comes from, bar it goes to, volume)."""
    jobs = sim.workload_of(lane).jobs
    row = {(j, t): r for r, (j, t) in enumerate(zip(bars.job, bars.task, strict=True))}
    found = list[tuple[int, int, float]]()
    for number, kind in sorted(set(zip(bars.job.tolist(), bars.kind.tolist(), strict=True))):
        for source, target, volume in jobs[kind].edges:
            a, b = row.get((number, source), -1), row.get((number, target), -1)
            if min(a, b) >= 0 and bars.pe[a] != bars.pe[b]:
                found.append((a, b, volume))
    return found
