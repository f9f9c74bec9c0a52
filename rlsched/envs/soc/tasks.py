"""What happens to a task: it is released, placed on a PE, begins and ends.

Source: DS3 (Arda et al. 2020) as released: a task is placed the instant its last predecessor ends,
for good; it begins when its data are there and its PE has a free place, and what was placed later
may pass it until then.
"""

from __future__ import annotations

import math

from rlsched.core.lanes import helper
from rlsched.core.rng import uniform
from rlsched.core.simulator import Array
from rlsched.envs.soc.state import (
    ARRIVING,
    BOUND,
    DONE,
    FIFO,
    READY,
    RUNNING,
    STATIC,
    TO_MEMORY,
    State,
    Workloads,
)

NOISE_RADIUS, NOISE_ANGLE = 0x501, 0x502
"""Streams of random numbers; the counter is the job's number and the task."""
TASKS_PER_JOB = 32768
"""Stride of that counter."""


@helper
def kind_of(lane: int, c: Workloads, s: State, row: int) -> int:
    """Return the kind of job that a row belongs to."""
    return s.slot_kind[lane, row // c.time.shape[2]]


@helper
def comm_ticks(c: Workloads, i: int, volume: float, p: int, q: int) -> int:
    """Return the ticks that data take from PE p to PE q."""
    return c.startup[i, p, q] + math.floor(volume / c.bandwidth[i, p, q])


@helper
def duration(c: Workloads, i: int, ticks: int, p: int, point: int) -> int:
    """Return the ticks of a task on a PE at an operating point."""
    return math.ceil(ticks * c.slowdown[i, p, point] - 1e-9)


@helper
def data_time(lane: int, c: Workloads, s: State, row: int, p: int, is_real: bool) -> int:
    """Return when a task's data are on PE p; all tasks it needs have a PE.

    Args:
        lane: the lane.
        c: the bank.
        s: the state.
        row: the task.
        p: the PE.
        is_real: by when those tasks really end instead of when they are expected to.
    """
    i, k, T = s.instance[lane], kind_of(lane, c, s, row), c.time.shape[2]
    t, first, at, read = row % T, row - row % T, 0, 0
    for e in range(c.prev_begin[i, k, t], c.prev_begin[i, k, t + 1]):
        before, volume = first + c.prev_task[i, k, e], c.prev_volume[i, k, e]
        end = s.finish[lane, before] if is_real else s.expected[lane, before]
        if c.comm[0] == TO_MEMORY:
            end += math.floor(volume / c.memory_bandwidth[i, 0, s.on[lane, before]])
            read = max(read, math.floor(volume / c.memory_bandwidth[i, 1, p]))
        else:
            end += comm_ticks(c, i, volume, s.on[lane, before], p)
        at = max(at, end)
    return max(at, s.clock[lane]) + read


@helper
def place_on(lane: int, c: Workloads, s: State, p: int) -> int:
    """Return the place of a PE that is free first."""
    best = 0
    for x in range(1, c.capacity[s.instance[lane], p]):
        if s.free_at[lane, p, x] < s.free_at[lane, p, best]:
            best = x
    return best


@helper
def begin_on(lane: int, c: Workloads, s: State, row: int, p: int) -> int:
    """Return when a task would begin on PE p behind what is placed there."""
    free = s.free_at[lane, p, place_on(lane, c, s, p)]
    return max(free, data_time(lane, c, s, row, p, False))


@helper
def ticks_on(lane: int, c: Workloads, s: State, row: int, p: int) -> int:
    """Return the ticks of a task on PE p at its operating point, negative if it cannot run it."""
    i = s.instance[lane]
    ticks = c.time[i, kind_of(lane, c, s, row), row % c.time.shape[2], p]
    return duration(c, i, ticks, p, c.opp[i, p]) if ticks > 0 else ticks


@helper
def release(lane: int, c: Workloads, s: State, row: int) -> None:
    """Let a task be placed, as soon as shared memory has its data."""
    i, T = s.instance[lane], c.time.shape[2]
    if c.comm[0] == TO_MEMORY and c.mode[0] != STATIC:
        k, t, at = kind_of(lane, c, s, row), row % T, 0
        for e in range(c.prev_begin[i, k, t], c.prev_begin[i, k, t + 1]):
            before = row - t + c.prev_task[i, k, e]
            written = c.prev_volume[i, k, e] / c.memory_bandwidth[i, 0, s.on[lane, before]]
            at = max(at, s.finish[lane, before] + math.floor(written))
        s.ready_at[lane, row] = at
        if at > s.clock[lane]:
            s.status[lane, row] = ARRIVING
            s.arriving[lane, s.num_arriving[lane]] = row
            s.num_arriving[lane] += 1
            return
    s.status[lane, row], s.ready_at[lane, row] = READY, s.clock[lane]
    s.ready[lane, s.num_ready[lane]] = row
    s.num_ready[lane] += 1


@helper
def bind(lane: int, c: Workloads, s: State, row: int, p: int, point: int) -> None:
    """Place a task on a PE, behind what is placed there."""
    i, T = s.instance[lane], c.time.shape[2]
    k, t, x = kind_of(lane, c, s, row), row % T, place_on(lane, c, s, p)
    data = data_time(lane, c, s, row, p, False)
    ticks = duration(c, i, c.time[i, k, t, p], p, point)
    begin = max(s.free_at[lane, p, x], data)
    s.on[lane, row], s.point[lane, row], s.data_at[lane, row] = p, point, data
    s.expected[lane, row] = begin + ticks
    s.free_at[lane, p, x] = begin + ticks
    s.num_decisions[lane] += 1
    s.num_ready[lane] = remove(lane, s.ready, s.num_ready[lane], row)
    if c.mode[0] == STATIC:
        carry_out(lane, c, s, row, x)
        return
    s.status[lane, row] = BOUND
    s.bound[lane, s.num_bound[lane]] = row
    s.num_bound[lane] += 1
    s.pe_bound[lane, p] += 1


@helper
def carry_out(lane: int, c: Workloads, s: State, row: int, x: int) -> None:
    """Begin and end a task of static mode that has just been placed, with its time's noise."""
    i, p, point = s.instance[lane], s.on[lane, row], s.point[lane, row]
    data = data_time(lane, c, s, row, p, True)
    s.start[lane, row] = max(s.really_free[lane, p, x], data)
    s.finish[lane, row] = s.start[lane, row] + real_ticks(lane, c, s, row)
    s.really_free[lane, p, x] = s.finish[lane, row]
    ticks = s.finish[lane, row] - s.start[lane, row]
    s.busy_energy[lane] += ticks * c.power[i, p, 1, point]
    finish(lane, c, s, row)


@helper
def real_ticks(lane: int, c: Workloads, s: State, row: int) -> int:
    """Return how long a task really takes where it is placed; the noise is the same on all PEs."""
    i, T, p = s.instance[lane], c.time.shape[2], s.on[lane, row]
    ticks = c.time[i, kind_of(lane, c, s, row), row % T, p]
    if c.noise[i] > 0.0 and ticks > 0 and not s.is_calm[lane]:
        key = s.slot_job[lane, row // T] * TASKS_PER_JOB + row % T
        radius = math.sqrt(-2.0 * math.log(1.0 - uniform(NOISE_RADIUS, s.stream[lane], key)))
        normal = radius * math.cos(2.0 * math.pi * uniform(NOISE_ANGLE, s.stream[lane], key))
        ticks = max(1, math.floor(ticks * (1.0 + c.noise[i] * normal) + 0.5))
    return duration(c, i, ticks, p, s.point[lane, row])


@helper
def begin_bound(lane: int, c: Workloads, s: State) -> None:
    """Begin every placed task whose data are there and whose PE has a free place."""
    if c.dispatch[0] != FIFO:
        begin_oldest(lane, c, s)
        return
    kept = 0
    for n in range(s.num_bound[lane]):
        row = s.bound[lane, n]
        if can_begin(lane, c, s, row):
            begin(lane, c, s, row)
        else:
            s.bound[lane, kept] = row
            kept += 1
    s.num_bound[lane] = kept


@helper
def begin_oldest(lane: int, c: Workloads, s: State) -> None:
    """Begin what can, tasks of the job that came first before others."""
    T = c.time.shape[2]
    while True:
        best = -1
        for n in range(s.num_bound[lane]):
            row = s.bound[lane, n]
            if can_begin(lane, c, s, row) and (
                best < 0 or s.slot_job[lane, row // T] < s.slot_job[lane, best // T]
            ):
                best = row
        if best < 0:
            return
        s.num_bound[lane] = remove(lane, s.bound, s.num_bound[lane], best)
        begin(lane, c, s, best)


@helper
def can_begin(lane: int, c: Workloads, s: State, row: int) -> bool:
    """Return whether a placed task can begin now."""
    p = s.on[lane, row]
    has_place = s.pe_running[lane, p] < c.capacity[s.instance[lane], p]
    return has_place and s.data_at[lane, row] <= s.clock[lane]


@helper
def begin(lane: int, c: Workloads, s: State, row: int) -> None:
    """Begin a placed task now."""
    i, p, now = s.instance[lane], s.on[lane, row], s.clock[lane]
    known = c.time[i, kind_of(lane, c, s, row), row % c.time.shape[2], p]
    s.status[lane, row], s.start[lane, row] = RUNNING, now
    s.finish[lane, row] = now + real_ticks(lane, c, s, row)
    s.expected[lane, row] = now + duration(c, i, known, p, s.point[lane, row])
    s.running[lane, s.num_running[lane]] = row
    s.num_running[lane] += 1
    s.pe_running[lane, p] += 1
    s.pe_bound[lane, p] -= 1
    s.pe_point[lane, p] = s.point[lane, row]


@helper
def finish(lane: int, c: Workloads, s: State, row: int) -> None:
    """End a task: remember it, and release the tasks that waited for it alone."""
    i, T, p = s.instance[lane], c.time.shape[2], s.on[lane, row]
    k, t = kind_of(lane, c, s, row), row % T
    remember(lane, c, s, row)
    s.status[lane, row] = DONE
    s.slot_left[lane, row // T] -= 1
    s.pe_busy[lane, p] += s.finish[lane, row] - max(s.start[lane, row], c.live_clock[i])
    s.makespan[lane] = max(s.makespan[lane], s.finish[lane, row])
    if c.mode[0] != STATIC:
        s.expected[lane, row] = s.finish[lane, row]
        s.pe_running[lane, p] -= 1
    for e in range(c.next_begin[i, k, t], c.next_begin[i, k, t + 1]):
        after = row - t + c.next_task[i, k, e]
        s.num_missing[lane, after] -= 1
        if s.num_missing[lane, after] == 0:
            release(lane, c, s, after)


@helper
def remember(lane: int, c: Workloads, s: State, row: int) -> None:
    """Keep what a task was, where and when it ran."""
    r, q = s.num_executions[lane] % s.executions.shape[1], row // c.time.shape[2]
    s.executions[lane, r, 0] = s.slot_job[lane, q]
    s.executions[lane, r, 1] = s.slot_kind[lane, q]
    s.executions[lane, r, 2] = row % c.time.shape[2]
    s.executions[lane, r, 3] = s.on[lane, row]
    s.executions[lane, r, 4] = s.start[lane, row]
    s.executions[lane, r, 5] = s.finish[lane, row]
    s.executions[lane, r, 6] = s.point[lane, row]
    s.num_executions[lane] += 1


@helper
def remove(lane: int, rows: Array, count: int, row: int) -> int:
    """Take a row out of a lane's list, the others in their order; return how many are left."""
    kept = 0
    for n in range(count):
        if rows[lane, n] != row:
            rows[lane, kept] = rows[lane, n]
            kept += 1
    return kept
