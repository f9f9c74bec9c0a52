"""Orders of jobs on machines turned into the earliest times, and schedules into orders.

A schedule of these is semi-active: no operation could start earlier without changing the order, so
each starts when something else happens. Rows and scaled times are those of ``exact_model``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlsched.envs.jobshop.exact_model import BUFFERED, HELD, PLANNED, RUNNING, Problem
from rlsched.envs.jobshop.shop import Schedule


class Times(NamedTuple):
    """A schedule of the rows.

    Attributes:
        machine: machine of each row.
        start: scaled time.
        end: scaled time at which the work ends.
        leave: scaled time at which the job leaves the machine.
        is_direct: whether it goes from the machine straight to the next.
    """

    machine: list[int]
    start: list[int]
    end: list[int]
    leave: list[int]
    is_direct: list[bool]


@dataclass(frozen=True)
class Order:
    """Which machine does what, in which order; all that is needed to tell the earliest times.

    Attributes:
        machine: machine of each row.
        before: row that was on the machine before it, -1 = none.
        gates: rows that must have left the machine's output buffer before it can enter, None = it
            goes straight to the next machine.
        sequence: rows in the order in which their times are worked out.
    """

    machine: list[int]
    before: list[int]
    gates: list[list[int] | None]
    sequence: list[int]


def settle(problem: Problem, machine: list[int], start: list[int], rank: list[int]) -> Times | None:
    """Return the earliest times in the order of some starts, None if it cannot be carried out.

    Where buffers have room, jobs that enter earlier let others start earlier, and again.

    Args:
        problem: the rows.
        machine: machine of each row.
        start: scaled time of each row.
        rank: which of the rows that start at once on a machine comes first, the lowest.
    """
    times = earliest(problem, read_order(problem, machine, start, rank))
    while times is not None and problem.capacity:
        again = earliest(problem, read_order(problem, machine, times.start, rank))
        if again is None or again.start == times.start:
            return again or times
        times = again
    return times


def read_order(problem: Problem, machine: list[int], start: list[int], rank: list[int]) -> Order:
    """Return the order behind the scaled times at which rows start.

    Where buffers have room, a job enters as soon as it can: that never hinders another.
    """
    n, capacity, num_machines = len(machine), problem.capacity, problem.shop.num_machines
    end = [problem.end_of(r, machine[r], start[r]) for r in range(n)]
    then = [start[q] if q >= 0 else end[r] for r, q in enumerate(problem.next)]
    sequence = sorted(range(n), key=lambda r: (start[r], problem.kind[r] == PLANNED, rank[r]))
    before, gates = [-1] * n, list[list[int] | None]([None] * n)
    last, waiting = [-1] * num_machines, [list[int]() for _ in range(num_machines)]
    for r in sequence:
        if problem.kind[r] == BUFFERED:
            waiting[machine[r]].append(r)
        else:
            before[r], last[machine[r]] = last[machine[r]], r
    for r in sequence:
        if not capacity or problem.next[r] < 0 or problem.kind[r] == BUFFERED:
            continue
        queue = waiting[machine[r]]
        queue.sort(key=then.__getitem__)
        first = queue[: max(0, len(queue) - capacity + 1)]
        if _entry(problem, r, machine[r], end[r], first, start) <= then[r]:
            gates[r] = first
        queue.append(r)
    return Order(machine, before, gates, sequence)


def earliest(problem: Problem, order: Order) -> Times | None:
    """Return the earliest times of an order, None if it cannot be carried out.

    Times grow until none must; if there are any, that takes no more rounds than there are rows.
    """
    start = [head * problem.scale for head in problem.head]
    end = [problem.end_of(r, m, start[r]) for r, m in enumerate(order.machine)]
    for _ in range(len(start) + 2):
        changed = False
        for r in order.sequence:
            if problem.kind[r] != PLANNED:
                continue
            time = _earliest_start(problem, order, start, end, r)
            if time > start[r]:
                changed, start[r] = True, time
                end[r] = problem.end_of(r, order.machine[r], time)
        if not changed:
            rows = range(len(start))
            leave = [_leave(problem, order, start, end, r) for r in rows]
            is_direct = [_is_direct(problem, order, r) for r in rows]
            return Times(order.machine, start, end, leave, is_direct)
    return None


def _is_direct(problem: Problem, order: Order, row: int) -> bool:
    """Return whether a row's job stays on the machine until it starts on the next."""
    is_stored = problem.capacity is None or problem.kind[row] == BUFFERED
    return problem.next[row] >= 0 and order.gates[row] is None and not is_stored


def _earliest_start(
    problem: Problem, order: Order, start: list[int], end: list[int], row: int
) -> int:
    """Return when a row can start, given the present times of what comes before it."""
    m, prev, rival = order.machine[row], problem.prev[row], order.before[row]
    time, machines = start[row], [m]
    if prev >= 0:
        time = max(time, end[prev])
        if _is_direct(problem, order, prev):
            machines.append(order.machine[prev])
        else:
            time = max(time, _leave(problem, order, start, end, prev))
    if rival >= 0 and not (rival == prev and _is_direct(problem, order, prev)):
        time = max(time, _leave(problem, order, start, end, rival) + problem.epsilon)
    return problem.next_up(machines, time)


def _leave(problem: Problem, order: Order, start: list[int], end: list[int], row: int) -> int:
    """Return when a row's job leaves its machine."""
    if _is_direct(problem, order, row):
        return start[problem.next[row]]
    gates = order.gates[row]
    if gates is None:
        return end[row]
    return _entry(problem, row, order.machine[row], end[row], gates, start)


def _entry(
    problem: Problem, row: int, machine: int, end: int, gates: list[int], start: list[int]
) -> int:
    """Return when a row's job, finished at ``end``, can enter the buffer of its machine.

    A machine that goes down at that very tick keeps it, unless there is a place already.
    """
    freed = [start[problem.next[q]] for q in gates]
    entry = max([end, *(f + problem.epsilon for f in freed)])
    has_place = all(f // problem.scale < end // problem.scale for f in freed)
    if has_place and problem.kind[row] != HELD:
        return entry
    return problem.next_up([machine], entry)


def schedule_of(problem: Problem, times: Times) -> Schedule:
    """Return the schedule in ticks; of what was done before the floor's clock nothing is known."""
    machine, start, end, leave = (np.full(problem.shop.num_ops, -1, np.int32) for _ in range(4))
    for r, o in enumerate(problem.op):
        machine[o], leave[o] = times.machine[r], times.leave[r] // problem.scale
        if problem.kind[r] in (PLANNED, RUNNING):
            start[o], end[o] = times.start[r] // problem.scale, times.end[r] // problem.scale
    clock = max(problem.clock, int(end.max(initial=0)))
    downs = [(m, *d) for m, c in enumerate(problem.calendars) for d in c.downs if d[0] < clock]
    rows = np.array(downs, np.int32).reshape(-1, 3)
    return Schedule(problem.shop, machine, start, end, leave, rows, clock)
