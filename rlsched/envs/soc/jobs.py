"""What happens to a job: it arrives, is admitted to a slot, and leaves when its tasks are done.

Source: gym_ds3 (SoCRATES, Sung et al. 2021) for arrivals that are deferred while the system is
full.
"""

from __future__ import annotations

import math

from rlsched.core.lanes import helper
from rlsched.core.rng import uniform
from rlsched.envs.soc.state import (
    ABSENT,
    ADMIT_DEFER,
    ADMIT_DROP,
    DONE,
    NEVER,
    PENDING,
    POISSON,
    REWARD_BOUND,
    REWARD_COMPLETION,
    REWARD_SIMPLE,
    RUNNING,
    STATIC,
    TRACE,
    State,
    Workloads,
)
from rlsched.envs.soc.tasks import data_time, release

GAPS, KINDS = 0x503, 0x504
"""Streams of random numbers; the counter is the job's number."""
COMPLETION_BONUS = 50.0
"""Source: SoCRATES."""


@helper
def gap_before(lane: int, c: Workloads, s: State, number: int) -> int:
    """Return the ticks between a job's arrival and the one before."""
    mean = c.gap[s.instance[lane]]
    if c.arrivals[0] == POISSON:
        mean *= -math.log(1.0 - uniform(GAPS, s.stream[lane], number))
    return int(min(mean, 1e9))


@helper
def from_trace(lane: int, c: Workloads, s: State) -> int:
    """Return the row in the trace of the next job; jobs at work from the start are not in it."""
    return s.num_arrived[lane] - max(0, c.num_live[s.instance[lane]])


@helper
def arrive(lane: int, c: Workloads, s: State) -> None:
    """Admit, defer or drop the jobs that have arrived by now."""
    while s.next_arrival[lane] <= s.clock[lane]:
        q = free_slot(lane, c, s)
        if q < 0 and c.admission[0] != ADMIT_DROP:
            return
        since, now = s.next_arrival[lane], s.clock[lane]
        if q >= 0:
            admit(lane, c, s, q, now if c.admission[0] == ADMIT_DEFER else since)
        else:
            s.num_dropped[lane] += 1
            s.num_arrived[lane] += 1
        begin = now if c.admission[0] == ADMIT_DEFER else since
        plan_arrival(lane, c, s, begin)


@helper
def plan_arrival(lane: int, c: Workloads, s: State, after: int) -> None:
    """Set when the next job arrives."""
    number = s.num_arrived[lane]
    i, row = s.instance[lane], from_trace(lane, c, s)
    is_over = c.arrivals[0] == TRACE and row >= c.num_traced[i]
    if number >= c.num_jobs[0] or s.is_calm[lane] or is_over:
        s.next_arrival[lane] = NEVER
    elif c.arrivals[0] == TRACE:
        s.next_arrival[lane] = max(after, c.trace_at[i, row])
    else:
        s.next_arrival[lane] = min(NEVER, after + gap_before(lane, c, s, number))


@helper
def free_slot(lane: int, c: Workloads, s: State) -> int:
    """Return the first free slot, -1 if the system is full."""
    for q in range(c.queue[s.instance[lane]]):
        if s.slot_job[lane, q] < 0:
            return q
    return -1


@helper
def admit(lane: int, c: Workloads, s: State, q: int, arrival: int) -> None:
    """Let the next job in; its first tasks can be placed."""
    i, T, number = s.instance[lane], c.time.shape[2], s.num_arrived[lane]
    k = 0
    if c.arrivals[0] == TRACE:
        k = c.trace_kind[i, from_trace(lane, c, s)]
    elif c.num_kinds[i] > 1:
        share = uniform(KINDS, s.stream[lane], number)
        while c.share[i, k] <= share and k < c.num_kinds[i] - 1:
            k += 1
    s.num_arrived[lane] += 1
    s.num_active[lane] += 1
    s.slot_job[lane, q], s.slot_kind[lane, q] = number, k
    s.slot_arrival[lane, q], s.slot_admitted[lane, q] = arrival, s.clock[lane]
    s.slot_left[lane, q] = c.num_tasks[i, k]
    s.time_in_system[lane] += s.clock[lane] - arrival
    if c.reward[0] == REWARD_SIMPLE:
        s.earned[lane] -= (s.clock[lane] - arrival) / (c.unit[i] * c.queue[i])
    for t in range(c.num_tasks[i, k]):
        row = q * T + t
        s.status[lane, row], s.on[lane, row] = PENDING, -1
        s.num_missing[lane, row] = c.prev_begin[i, k, t + 1] - c.prev_begin[i, k, t]
        if s.num_missing[lane, row] == 0:
            release(lane, c, s, row)


@helper
def resume(lane: int, c: Workloads, s: State) -> None:
    """Put a lane where its instance's system stands."""
    i, T = s.instance[lane], c.time.shape[2]
    s.clock[lane] = c.live_clock[i]
    for q in range(c.num_live[i]):
        k = c.live_kind[i, q]
        s.slot_job[lane, q], s.slot_kind[lane, q] = q, k
        s.slot_arrival[lane, q] = c.live_arrival[i, q]
        s.slot_admitted[lane, q] = c.live_arrival[i, q]
        s.slot_left[lane, q] = c.num_tasks[i, k]
        s.num_arrived[lane] += 1
        s.num_active[lane] += 1
        for t in range(c.num_tasks[i, k]):
            resume_task(lane, c, s, q * T + t)
    for row in range(c.num_live[i] * T):
        if s.status[lane, row] == PENDING:
            count_missing(lane, c, s, row)
    for n in range(s.status.shape[1]):
        row = c.live_bound[i, n]
        if row >= 0:
            s.data_at[lane, row] = c.live_end[i, row]
            if c.live_end[i, row] == 0:
                s.data_at[lane, row] = data_time(lane, c, s, row, s.on[lane, row], False)
            s.bound[lane, s.num_bound[lane]] = row
            s.num_bound[lane] += 1
            s.pe_bound[lane, s.on[lane, row]] += 1


@helper
def resume_task(lane: int, c: Workloads, s: State, row: int) -> None:
    """Put a task where it stands."""
    i, status = s.instance[lane], c.live_status[s.instance[lane], row]
    s.status[lane, row], s.on[lane, row] = status, c.live_on[i, row]
    if status == PENDING:
        return
    p = s.on[lane, row]
    s.point[lane, row], s.start[lane, row] = c.opp[i, p], c.live_begin[i, row]
    s.finish[lane, row] = c.live_end[i, row]
    if status == RUNNING:
        if s.finish[lane, row] < s.clock[lane]:
            s.finish[lane, row] = s.clock[lane] + 1
        s.running[lane, s.num_running[lane]] = row
        s.num_running[lane] += 1
        s.pe_running[lane, p] += 1
    elif status == DONE:
        s.slot_left[lane, row // c.time.shape[2]] -= 1
    s.expected[lane, row] = s.finish[lane, row]


@helper
def count_missing(lane: int, c: Workloads, s: State, row: int) -> None:
    """Count the tasks that a task still waits for, and release it if there are none."""
    i, T = s.instance[lane], c.time.shape[2]
    k, t = s.slot_kind[lane, row // T], row % T
    s.num_missing[lane, row] = 0
    for e in range(c.prev_begin[i, k, t], c.prev_begin[i, k, t + 1]):
        before = row - t + c.prev_task[i, k, e]
        s.num_missing[lane, row] += int(s.status[lane, before] != DONE)
    if s.num_missing[lane, row] == 0:
        release(lane, c, s, row)


@helper
def leave(lane: int, c: Workloads, s: State, q: int) -> None:
    """Let a finished job go, and count its latency."""
    i, k, now, T = s.instance[lane], s.slot_kind[lane, q], s.clock[lane], c.time.shape[2]
    latency = (s.makespan[lane] if c.mode[0] == STATIC else now) - s.slot_arrival[lane, q]
    s.num_completed[lane] += 1
    s.num_active[lane] -= 1
    s.slot_job[lane, q] = -1
    for t in range(T):
        s.status[lane, q * T + t] = ABSENT
    if c.reward[0] == REWARD_COMPLETION:
        s.earned[lane] += COMPLETION_BONUS
    elif c.reward[0] == REWARD_BOUND:
        s.earned[lane] -= (latency - c.critical_path[i, k]) / c.unit[i]
    if now < c.warmup[0] and not s.is_calm[lane]:
        return
    if s.num_counted[lane] < s.latencies.shape[1]:
        s.latencies[lane, s.num_counted[lane]] = latency
    s.num_counted[lane] += 1
    s.latency[lane] += latency
    s.slowdown[lane] += latency / c.critical_path[i, k]
    s.wait[lane] += s.slot_admitted[lane, q] - s.slot_arrival[lane, q]
