"""Hybrid balanced minimum completion time: levels of independent tasks, each balanced over the PEs.

Tasks are cut by upward rank into groups in which none needs another. A group's tasks go to the PEs
that run them fastest; then tasks are moved off the PE that finishes last while that helps.

Source: Sakellariou & Zhao (2004), "A Hybrid Heuristic for DAG Scheduling on Heterogeneous Systems".
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rlsched.envs.soc.dag import Dag
from rlsched.envs.soc.ranks import upward_order
from rlsched.envs.soc.schedule import Schedule, settle


def hbmct(dag: Dag) -> Schedule:
    """Place groups of independent tasks behind those placed before, balanced over the PEs."""
    pe, start, end = np.zeros((3, dag.num_tasks), np.int64)
    free = np.zeros(dag.slot_begin[-1], np.int64)
    for group in independent_groups(dag):
        time = dag.time[group]
        data = np.array([_data_times(dag, pe, end, t) for t in group])
        order = np.argsort(data, axis=0, kind="stable")
        fastest = np.where(time >= 0, time, np.iinfo(np.int64).max).argmin(1)
        start[group] = balance(data, time, order, free, dag.slot_begin, fastest)
        pe[group] = fastest
        end[group] = start[group] + time[np.arange(len(group)), pe[group]]
    return settle(dag, pe, start, end)


def independent_groups(dag: Dag) -> list[NDArray[np.int64]]:
    """Return tasks by upward rank, cut before each task that needs one of its group."""
    groups, group = list[NDArray[np.int64]](), dict[int, None]()
    for t in upward_order(dag).tolist():
        needed = dag.prev_task[dag.prev_begin[t] : dag.prev_begin[t + 1]].tolist()
        if any(u in group for u in needed):
            groups.append(np.array(list(group)))
            group = {}
        group[t] = None
    return [*groups, np.array(list(group))]


def _data_times(
    dag: Dag, pe: NDArray[np.int64], end: NDArray[np.int64], t: int
) -> NDArray[np.int64]:
    """Return (P,) when the data of a task are on each PE."""
    at = np.zeros(dag.num_pes, np.int64)
    for edge in range(dag.prev_begin[t], dag.prev_begin[t + 1]):
        source = dag.prev_task[edge]
        at = np.maximum(at, end[source] + dag.comm_ticks(edge, pe[source]))
    return at


@njit(cache=True, nogil=True)
def balance(
    data: NDArray, time: NDArray, order: NDArray, free: NDArray, slot_begin: NDArray, pe: NDArray
) -> NDArray:
    """Move tasks of a group off the PE that finishes last while that helps; return their starts.

    Args:
        data: (N, P) int64, when each task's data are on each PE.
        time: (N, P) int64, ticks of each task, -1 = cannot run there.
        order: (N, P) int64, tasks by the arrival of their data on each PE.
        free: (S,) int64, when each slot is free; then when it is done with the group.
        slot_begin: (P + 1,) int64, first slot of each PE.
        pe: (N,) int64, PE of each task.
    """
    N, P = time.shape
    start, finish = np.zeros(N, np.int64), np.empty(P, np.int64)
    for p in range(P):
        finish[p] = append_group(p, order, pe, data, time, free.copy(), slot_begin, start)
    while True:
        p, moved, to = int(finish.argmax()), -1, -1
        least = finish[p]
        for n in range(N):
            if pe[n] != p:
                continue
            for q in range(P):
                if q == p or time[n, q] < 0:
                    continue
                pe[n] = q
                left = append_group(p, order, pe, data, time, free.copy(), slot_begin, start)
                more = append_group(q, order, pe, data, time, free.copy(), slot_begin, start)
                if max(left, more) < least:
                    least, moved, to = max(left, more), n, q
            pe[n] = p
        if moved < 0:
            break
        pe[moved] = to
        for q in (p, to):
            finish[q] = append_group(q, order, pe, data, time, free.copy(), slot_begin, start)
    for p in range(P):
        append_group(p, order, pe, data, time, free, slot_begin, start)
    return start


@njit(cache=True, nogil=True)
def append_group(
    p: int,
    order: NDArray,
    pe: NDArray,
    data: NDArray,
    time: NDArray,
    free: NDArray,
    slot_begin: NDArray,
    start: NDArray,
) -> int:
    """Start a PE's tasks of a group as their data come, in its slots; return the last end or -1."""
    latest, first = -1, slot_begin[p]
    for n in order[:, p]:
        if pe[n] == p:
            s = first
            for other in range(first + 1, slot_begin[p + 1]):
                if free[other] < free[s]:
                    s = other
            start[n] = max(free[s], data[n, p])
            free[s] = start[n] + time[n, p]
            latest = max(latest, free[s])
    return latest
