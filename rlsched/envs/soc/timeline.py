"""Compiled list scheduling: tasks go one by one into gaps of the PEs' timelines.

Nothing here moves a task once it is placed. A slot's tasks are linked from the last one back, so a
search for a gap looks only at those that end after the data are there.

Source: Topcuoglu, Hariri & Wu (2002), insertion-based earliest finish time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rlsched.envs.soc.dag import Dag

Times = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""PE, start and end of each task, (T,) int64."""
NEVER = 1 << 62


class Timeline(NamedTuple):
    """What is placed so far.

    Attributes:
        pe: (T,) int64, PE of each task, -1 = not placed.
        start: (T,) int64, ticks.
        end: (T,) int64, ticks.
        slot: (T,) int64.
        before: (T,) int64, the task before it in its slot, -1 = none.
        last: (S,) int64, the last task of each slot, -1 = none.
    """

    pe: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    slot: NDArray[np.int64]
    before: NDArray[np.int64]
    last: NDArray[np.int64]


@njit(cache=True, nogil=True)
def empty_timeline(dag: Dag) -> Timeline:
    """Return a timeline with nothing on it."""
    T = len(dag.time)
    none = np.full((3, T), -1, np.int64)
    zero = np.zeros((2, T), np.int64)
    last = np.full(dag.slot_begin[-1], -1, np.int64)
    return Timeline(none[0], zero[0], zero[1], none[1], none[2], last)


@njit(cache=True, nogil=True)
def comm_ticks(volume: float, bandwidth: float, startup: int) -> int:
    """Return the ticks that data take from PE to PE."""
    return startup + int(np.floor(volume / bandwidth))


@njit(cache=True, nogil=True)
def mean_comm_ticks(
    time: NDArray,
    prev_begin: NDArray,
    prev_task: NDArray,
    prev_volume: NDArray,
    bandwidth: NDArray,
    startup: NDArray,
) -> NDArray:
    """Return (E,) float64 mean ticks of each edge over pairs of PEs that can run its two tasks.

    Pairs of different PEs count, or if there is none, the one PE that can run both.
    """
    out = np.zeros(len(prev_task))
    P = len(bandwidth)
    for t in range(len(time)):
        for e in range(prev_begin[t], prev_begin[t + 1]):
            total, count, own = 0.0, 0, 0.0
            for p in range(P):
                if time[prev_task[e], p] < 0:
                    continue
                for q in range(P):
                    if time[t, q] < 0:
                        continue
                    ticks = comm_ticks(prev_volume[e], bandwidth[p, q], startup[p, q])
                    if p == q:
                        own = ticks
                    else:
                        total, count = total + ticks, count + 1
            out[e] = total / count if count else own
    return out


@njit(cache=True, nogil=True)
def data_time(dag: Dag, x: Timeline, t: int, p: int) -> int:
    """Return when the data of a task from the tasks placed so far are on a PE."""
    at = 0
    for e in range(dag.prev_begin[t], dag.prev_begin[t + 1]):
        u = dag.prev_task[e]
        q = x.pe[u]
        if q >= 0:
            ticks = comm_ticks(dag.prev_volume[e], dag.bandwidth[q, p], dag.startup[q, p])
            at = max(at, x.end[u] + ticks)
    return at


@njit(cache=True, nogil=True)
def find_gap(dag: Dag, x: Timeline, p: int, since: int, ticks: int) -> tuple[int, int, int]:
    """Return the earliest start on a PE from a time on, the slot and the task after the gap."""
    best, slot, after = NEVER, -1, -1
    for s in range(dag.slot_begin[p], dag.slot_begin[p + 1]):
        u, behind, limit = x.last[s], -1, NEVER
        while True:
            start = since if u < 0 else max(since, x.end[u])
            if start < best and start + ticks <= limit:
                best, slot, after = start, s, behind
            if u < 0 or x.end[u] <= since:
                break
            limit, behind = x.start[u], u
            u = x.before[u]
    return best, slot, after


@njit(cache=True, nogil=True)
def put(dag: Dag, x: Timeline, t: int, p: int) -> None:
    """Place a task into the earliest gap of a PE."""
    ticks = dag.time[t, p]
    start, slot, after = find_gap(dag, x, p, data_time(dag, x, t, p), ticks)
    x.pe[t], x.start[t], x.end[t], x.slot[t] = p, start, start + ticks, slot
    if after < 0:
        x.before[t], x.last[slot] = x.last[slot], t
    else:
        x.before[t], x.before[after] = x.before[after], t


@njit(cache=True, nogil=True)
def take(x: Timeline, t: int) -> None:
    """Take a task off the timeline."""
    s = x.slot[t]
    x.pe[t] = -1
    if x.last[s] == t:
        x.last[s] = x.before[t]
        return
    u = x.last[s]
    while x.before[u] != t:
        u = x.before[u]
    x.before[u] = x.before[t]


@njit(cache=True, nogil=True)
def best_pe(dag: Dag, x: Timeline, t: int, extra: NDArray) -> int:
    """Return the PE with the least finish time plus (P,) extra; the lowest of equals."""
    best, chosen = np.inf, -1
    for p in range(dag.time.shape[1]):
        ticks = dag.time[t, p]
        if ticks < 0:
            continue
        start, _, _ = find_gap(dag, x, p, data_time(dag, x, t, p), ticks)
        if start + ticks + extra[p] < best:
            best, chosen = start + ticks + extra[p], p
    return chosen


@njit(cache=True, nogil=True)
def open_tasks(dag: Dag) -> tuple[NDArray, NDArray, int]:
    """Return (T,) predecessors each task waits for, (T,) ready tasks first, and their number."""
    waits, ready, count = np.diff(dag.prev_begin), np.empty(len(dag.time), np.int64), 0
    for t in dag.order:
        if waits[t] == 0:
            ready[count] = t
            count += 1
    return waits, ready, count


@njit(cache=True, nogil=True)
def release(dag: Dag, t: int, waits: NDArray, ready: NDArray, count: int) -> int:
    """Add to the ready tasks those that waited for ``t`` only; return their new number."""
    for k in range(dag.next_begin[t], dag.next_begin[t + 1]):
        u = dag.next_task[k]
        waits[u] -= 1
        if waits[u] == 0:
            ready[count] = u
            count += 1
    return count


@njit(cache=True, nogil=True)
def first_of(dag: Dag, ready: NDArray, key: NDArray, priority: NDArray) -> int:
    """Return the place of the ready task with the least (T,) key; of equals by priority."""
    k = 0
    for n in range(1, len(ready)):
        t, u = ready[n], ready[k]
        less, more = key[u] - key[t], priority[t] - priority[u]
        is_before = dag.position[t] < dag.position[u]
        if less > 0 or (less == 0 and (more > 0 or (more == 0 and is_before))):
            k = n
    return k


@njit(cache=True, nogil=True)
def insert_by_priority(dag: Dag, priority: NDArray, extra: NDArray, forced: NDArray) -> Times:
    """Place the ready task of highest priority, again and again, where it finishes first.

    Args:
        dag: the tasks.
        priority: (T,) float64; of equals the first in ``dag.order``.
        extra: (T, P) float64, added to the finish time where PEs are compared.
        forced: (T,) int64, PE that a task must go to, -1 = any.
    """
    x, key = empty_timeline(dag), np.zeros(len(dag.time))
    waits, ready, count = open_tasks(dag)
    while count > 0:
        k = first_of(dag, ready[:count], key, priority)
        t = ready[k]
        ready[k] = ready[count - 1]
        put(dag, x, t, forced[t] if forced[t] >= 0 else best_pe(dag, x, t, extra[t]))
        count = release(dag, t, waits, ready, count - 1)
    return x.pe, x.start, x.end


@njit(cache=True, nogil=True)
def insert_best_pair(dag: Dag, priority: NDArray, by_start: bool, longest_first: bool) -> Times:
    """Place the ready task with the least earliest time, again and again, where that time is.

    Args:
        dag: the tasks.
        priority: (T,) float64, decides between equals; then the first in ``dag.order``.
        by_start: whether times are those of the start instead of the finish.
        longest_first: whether the task with the greatest earliest time is taken instead.
    """
    (T, P), sign = dag.time.shape, -1 if longest_first else 1
    x, key = empty_timeline(dag), np.zeros(T)
    since, time = np.empty((T, P), np.int64), np.full((T, P), NEVER)
    waits, ready, count = open_tasks(dag)
    known, changed = 0, -1  # ready tasks before, and the PE that has changed since
    while count > 0:
        for n in range(count):
            t = ready[n]
            for p in range(P):
                ticks = dag.time[t, p]
                if ticks < 0 or (n < known and p != changed):
                    continue
                if n >= known:
                    since[t, p] = data_time(dag, x, t, p)
                start, _, _ = find_gap(dag, x, p, since[t, p], ticks)
                time[t, p] = start if by_start else start + ticks
            key[t] = sign * time[t].min()
        k = first_of(dag, ready[:count], key, priority)
        t = ready[k]
        changed, known = time[t].argmin(), count - 1
        put(dag, x, t, changed)
        ready[k] = ready[known]
        count = release(dag, t, waits, ready, known)
    return x.pe, x.start, x.end


@njit(cache=True, nogil=True)
def insert_looking_ahead(dag: Dag, order: NDArray, children: NDArray) -> Times:
    """Place tasks in an order, each on the PE on which its successors would finish first.

    Successors are placed for that one after another where they finish first, as far as what they
    need is placed.

    Args:
        dag: the tasks.
        order: (T,) int64, each after those it needs.
        children: (E,) int64, ``dag.next_task`` with each task's part in that order.
    """
    x, none = empty_timeline(dag), np.zeros(dag.time.shape[1])
    for t in order:
        lo, hi = dag.next_begin[t], dag.next_begin[t + 1]
        best, finish, chosen = NEVER, NEVER, -1
        for p in range(dag.time.shape[1]):
            if dag.time[t, p] < 0:
                continue
            put(dag, x, t, p)
            own = x.end[t]
            latest = own
            for u in children[lo:hi]:
                put(dag, x, u, best_pe(dag, x, u, none))
                latest = max(latest, x.end[u])
            for u in children[lo:hi][::-1]:
                take(x, u)
            take(x, t)
            if latest < best or (latest == best and own < finish):
                best, finish, chosen = latest, own, p
        put(dag, x, t, chosen)
    return x.pe, x.start, x.end


@njit(cache=True, nogil=True)
def append_in_order(dag: Dag, order: NDArray, pe: NDArray) -> Times:
    """Place tasks in an order on given PEs, each behind what is there, in the slot free first."""
    x = empty_timeline(dag)
    free = np.zeros(dag.slot_begin[-1], np.int64)
    for t in order:
        p = pe[t]
        s = dag.slot_begin[p] + free[dag.slot_begin[p] : dag.slot_begin[p + 1]].argmin()
        x.pe[t], x.start[t] = p, max(free[s], data_time(dag, x, t, p))
        x.end[t] = x.start[t] + dag.time[t, p]
        free[s] = x.end[t]
    return x.pe, x.start, x.end
