"""What lies ahead of a lane's jobs: when each task could end if nothing waited."""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.soc.state import BOUND, DONE, RUNNING, State, Workloads
from rlsched.envs.soc.tasks import begin_on, ticks_on


@helper
def look_ahead(lane: int, c: Workloads, s: State) -> None:
    """Write the earliest end of every task, and of every job, without queues and communication."""
    T = c.time.shape[2]
    for q in range(s.slot_job.shape[1]):
        s.slot_bound[lane, q] = 0
        if s.slot_job[lane, q] < 0:
            continue
        k = s.slot_kind[lane, q]
        for n in range(c.num_tasks[s.instance[lane], k]):
            row = q * T + c.order[s.instance[lane], k, n]
            s.earliest[lane, row] = earliest_end(lane, c, s, row)
            s.slot_bound[lane, q] = max(s.slot_bound[lane, q], s.earliest[lane, row])


@helper
def earliest_end(lane: int, c: Workloads, s: State, row: int) -> int:
    """Return when a task could end; what it needs has been looked at before."""
    status = s.status[lane, row]
    if status in (BOUND, RUNNING, DONE):
        return s.expected[lane, row]
    i, T = s.instance[lane], c.time.shape[2]
    k, t, at = s.slot_kind[lane, row // T], row % T, s.clock[lane]
    for e in range(c.prev_begin[i, k, t], c.prev_begin[i, k, t + 1]):
        at = max(at, s.earliest[lane, row - t + c.prev_task[i, k, e]])
    return at + c.fastest[i, k, t]


@helper
def end_on(lane: int, c: Workloads, s: State, row: int, p: int) -> int:
    """Return when a task would end on PE p, negative if it cannot run there."""
    ticks = ticks_on(lane, c, s, row, p)
    return begin_on(lane, c, s, row, p) + ticks if ticks >= 0 else -1


@helper
def rest_on(lane: int, c: Workloads, s: State, row: int, p: int) -> float:
    """Return the ticks from a task's end on PE p to its job's if every PE were free (PEFT)."""
    i, T = s.instance[lane], c.time.shape[2]
    return c.rest[i, s.slot_kind[lane, row // T], row % T, p]


@helper
def best_pe(lane: int, c: Workloads, s: State, row: int) -> int:
    """Return the PE on which a task would end first, the lowest number among equals."""
    best, least = -1, 0
    for p in range(c.num_pes[s.instance[lane]]):
        end = end_on(lane, c, s, row, p)
        if end >= 0 and (best < 0 or end < least):
            best, least = p, end
    return best


@helper
def delay(lane: int, c: Workloads, s: State, row: int, end: int) -> int:
    """Return by how much its job's earliest end moves if a task ends then."""
    i, T = s.instance[lane], c.time.shape[2]
    k, t, q = s.slot_kind[lane, row // T], row % T, row // T
    after = c.tail[i, k, t] - c.fastest[i, k, t]
    return max(0, end + after - s.slot_bound[lane, q])
