"""First answers for the exact solver: from a hint, or by inserting job after job.

An inserted job takes the way through the gaps of the machines on which it is finished first; what
was inserted before stays where it is. So nothing can ever deadlock.

Source: safe-interval path planning (Phillips & Likhachev 2011), with a gap of a machine for a safe
interval; insertion of whole jobs as in Groeflin & Klinkert (2009).
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np

from rlsched.core.errors import ConfigError
from rlsched.envs.jobshop.exact_model import BUFFERED, PLANNED, Problem
from rlsched.envs.jobshop.exact_order import Times, settle
from rlsched.envs.jobshop.shop import Schedule

NEVER = 2**62


def read_hint(problem: Problem, hint: Schedule) -> Times:
    """Return the earliest times of a schedule's order.

    Raises:
        ConfigError: it leaves an operation out, or its order cannot be carried out.
    """
    machine, start, leave = list[int](), list[int](), list[int]()
    for r, o in enumerate(problem.op):
        is_planned = problem.kind[r] == PLANNED
        m = int(hint.machine[o]) if is_planned else problem.only_machine(r)
        if m not in problem.alternatives[r] or (is_planned and hint.start[o] < 0):
            raise ConfigError(f"The hint has operation {o} on machine {m}; give a whole schedule.")
        machine.append(m)
        start.append((int(hint.start[o]) if is_planned else problem.clock) * problem.scale)
        leave.append(int(hint.leave[o]))
    times = settle(problem, machine, start, leave)
    if times is None:
        raise ConfigError(
            "The order of the hint cannot be carried out under these options; "
            "give one that was made with the same buffer and swap."
        )
    return times


def insert_jobs(problem: Problem, num_orders: int, time_limit_s: float, seed: int) -> list[Times]:
    """Return schedules made by inserting the jobs in different orders, those on the floor first.

    Jobs on the floor may stand in each other's way: then there are fewer, or none. At least one
    order is tried, whatever the time.
    """
    begin, rng = perf_counter(), np.random.default_rng(seed)
    rows_of = dict[int, list[int]]()
    for r, j in enumerate(problem.job):
        rows_of.setdefault(j, []).append(r)
    due = {j: int(problem.shop.due[j]) for j in rows_of}
    work = {j: sum(problem.least(r) for r in rows) for j, rows in rows_of.items()}
    orders = [
        sorted(rows_of, key=lambda j: (due[j], -work[j])),
        sorted(rows_of, key=lambda j: work[j]),
    ]
    orders += [rng.permutation(list(rows_of)).tolist() for _ in range(num_orders - len(orders))]
    found = list[Times]()
    for order in orders:
        order.sort(key=lambda j: problem.kind[rows_of[j][0]] == PLANNED)
        placed = _insert(problem, [rows_of[j] for j in order])
        times = None if placed is None else settle(problem, *placed)
        if times is not None:
            found.append(times)
        if perf_counter() - begin > time_limit_s:
            break
    return found


class _Step(NamedTuple):
    """The best way to start a row in a gap of a machine, and the step before it."""

    row: int
    machine: int
    gap: int
    start: int
    end: int
    latest: int
    before: _Step | None


def _insert(
    problem: Problem, jobs: list[list[int]]
) -> tuple[list[int], list[int], list[int]] | None:
    """Return machine, start and leave of each row, None if a job finds no way."""
    machine, start, left = ([0] * len(problem.op) for _ in range(3))
    gaps = [[(0, NEVER)] for _ in range(problem.shop.num_machines)]
    for rows in jobs:
        first = _standing(problem, rows[0])
        if first is not None and problem.kind[rows[0]] != BUFFERED:
            # Shut until the job is inserted and it is known when it leaves.
            gaps[first.machine] = [] if _blocks(problem, rows[0]) else [(first.end, NEVER)]
    for rows in jobs:
        first = _standing(problem, rows[0])
        steps: list[_Step] = [] if first is None else [first]
        for r in rows[len(steps) :]:
            steps = list(_next_steps(problem, gaps, r, steps))
            if not steps:
                return None
        step: _Step | None = min(steps, key=lambda s: s.end)
        leave = NEVER
        while step is not None:
            r = step.row
            machine[r], start[r] = step.machine, step.start
            left[r] = leave if _blocks(problem, r) else step.end
            free = left[r] + problem.epsilon
            if step.gap >= 0:
                opens, closes = gaps[step.machine][step.gap]
                split = [(opens, step.start - problem.epsilon), (free, closes)]
                gaps[step.machine][step.gap : step.gap + 1] = split
            elif problem.kind[r] != BUFFERED and _blocks(problem, r):
                gaps[step.machine] = [(free, NEVER)]
            leave = step.start
            step = step.before
    return machine, start, left


def _standing(problem: Problem, row: int) -> _Step | None:
    """Return the step that a job on the floor has made already."""
    if problem.kind[row] == PLANNED:
        return None
    m, start = problem.only_machine(row), problem.head[row] * problem.scale
    return _Step(row, m, -1, start, problem.end_of(row, m, start), NEVER, None)


def _blocks(problem: Problem, row: int) -> bool:
    """Return whether a row holds its machine until the next one starts."""
    return problem.capacity is not None and problem.next[row] >= 0


def _next_steps(
    problem: Problem, gaps: list[list[tuple[int, int]]], row: int, steps: list[_Step]
) -> Iterator[_Step]:
    """Yield the earliest step into each gap that can be reached."""
    steps, head = sorted(steps, key=lambda s: s.end), problem.head[row] * problem.scale
    for m, ticks in problem.alternatives[row].items():
        for gap, (opens, closes) in enumerate(gaps[m]):
            if closes - ticks * problem.scale < max(opens, steps[0].end if steps else head):
                continue
            best, before = NEVER, None
            if not steps:
                best = problem.next_up([m], max(head, opens))
            for step in steps:
                if best <= step.end:
                    break
                start, blocks = max(step.end, opens), _blocks(problem, step.row)
                start = problem.next_up([m, step.machine] if blocks else [m], start)
                if start < best and (start <= step.latest or not blocks):
                    best, before = start, step
            end = problem.end_of(row, m, best) if best < closes else NEVER
            if end <= closes:
                yield _Step(row, m, gap, best, end, closes, before)
