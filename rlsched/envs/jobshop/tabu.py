"""Tabu search for the makespan of the job shop with buffers: the order of jobs on each machine.

A move takes an operation of a critical block to its other end, or an end into the block. Moves are
judged by estimated heads and tails along the block; those that undo a recent one are tabu.
Where machines never wait, every solution is also dispatched without delay, and the best dispatch
counts.

Sources: Nowicki & Smutnicki (1996) for tabu search on critical blocks; Balas & Vazacopoulos (1998)
for the insertions that never make a cycle and for their estimate; Zhang et al. (2007), N7 of moves
in both directions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rlsched.core.lanes import helper, lanes
from rlsched.core.rng import bits
from rlsched.core.simulator import Array
from rlsched.envs.jobshop.order_moves import relist
from rlsched.envs.jobshop.orders import (
    Orders,
    dispatch,
    evaluate,
    is_first,
    keep,
    keep_best,
)
from rlsched.envs.jobshop.state import Shops

PATIENCE = 3000
"""Moves without a better solution after which the best one is returned to."""


class Tabu(NamedTuple):
    """What a lane remembers; (B, ...)."""

    until: Array  # (B, O, J) int32, first move that may put a job of a machine before an operation
    tail: Array  # (B, O) int32, longest way from an operation's start to the end
    row: Array  # (B, O) int32, scratch: operations of a block in their new order
    head: Array  # (B, O) int32, scratch: their estimated starts
    best: Array  # (B, 4) int32, the move chosen: machine, from place, to place, estimate
    lowest: Array  # (B,) int64, makespan of the best solution if machines may wait
    clock: Array  # (B, 2) int32, moves made, moves at the last better solution


def empty_tabu(x: Orders, num_jobs: int) -> Tabu:
    """Return a memory of nothing."""
    B, O = x.place.shape  # noqa: E741
    z = lambda *shape: np.zeros((B, *shape), np.int32)  # noqa: E731
    return Tabu(
        until=z(O, num_jobs),
        tail=z(O),
        row=z(O),
        head=z(O),
        best=z(4),
        lowest=x.best_cost.copy(),
        clock=z(2),
    )


@lanes
def tabu_search(lane: int, c: Shops, x: Orders, t: Tabu, per_call: Array, seed: int) -> None:
    """Make moves, each the best that is not tabu."""
    for _ in range(per_call[0]):
        if t.clock[lane, 0] - t.clock[lane, 1] > PATIENCE:
            go_back(lane, c, x, t)
        cost = evaluate(lane, c, x, math.inf)
        find_tails(lane, c, x, t)
        is_best = cost < x.best_cost[lane]
        keep(lane, c, x, cost, is_best and x.may_hold[lane])
        t.lowest[lane] = min(cost, t.lowest[lane])
        if not x.may_hold[lane]:
            found = dispatch(lane, c, x, x.best_cost[lane] - 1)
            is_best = found >= 0
            if is_best:
                keep_best(lane, c, x, found)
        if is_best:
            t.clock[lane, 1] = t.clock[lane, 0]
        t.clock[lane, 0] += 1
        choose_move(lane, c, x, t, bits(seed, lane, t.clock[lane, 0]))
        m, here, there = t.best[lane, 0], t.best[lane, 1], t.best[lane, 2]
        if m < 0:
            return
        o = x.order[lane, m, here]
        step = 1 if there > here else -1
        tenure = 10 + c.num_jobs[0] // c.num_machines[0]
        tenure += bits(seed, lane + 1, t.clock[lane, 0]) % (tenure // 2 + 1)
        for k in range(here + step, there + step, step):
            passed = x.order[lane, m, k]
            until = t.clock[lane, 0] + tenure
            if step > 0:
                t.until[lane, passed, c.op_job[0, o]] = until
            else:
                t.until[lane, o, c.op_job[0, passed]] = until
        relist(lane, c, x, o, m, there)


@helper
def go_back(lane: int, c: Shops, x: Orders, t: Tabu) -> None:
    """Return to the best solution and forget what is tabu."""
    for o in range(c.num_ops[0]):
        x.place[lane, o] = x.best_place[lane, o]
        if x.machine[lane, o] >= 0:
            x.order[lane, x.machine[lane, o], x.place[lane, o]] = o
        for j in range(c.num_jobs[0]):
            t.until[lane, o, j] = 0
    t.clock[lane, 1] = t.clock[lane, 0]


@helper
def find_tails(lane: int, c: Shops, x: Orders, t: Tabu) -> None:
    """Find the longest ways to the end, in the order in which ``evaluate`` found the starts."""
    num = 0
    for m in range(c.num_machines[0]):
        num += x.length[lane, m]
    for k in range(num - 1, -1, -1):
        o = x.queue[lane, k]
        t.tail[lane, o] = x.time[lane, o] + max(
            tail_in_job(lane, c, t, o), tail_on_machine(lane, x, t, o)
        )


@helper
def tail_in_job(lane: int, c: Shops, t: Tabu, o: int) -> int:
    """Return the tail of the next operation of a job."""
    return t.tail[lane, o + 1] if o + 1 < c.op_begin[0, c.op_job[0, o] + 1] else 0


@helper
def tail_on_machine(lane: int, x: Orders, t: Tabu, o: int) -> int:
    """Return the tail of the next operation on a machine."""
    m, k = x.machine[lane, o], x.place[lane, o] + 1
    return t.tail[lane, x.order[lane, m, k]] if k < x.length[lane, m] else 0


@helper
def ready(lane: int, c: Shops, x: Orders, o: int) -> int:
    """Return when an operation's job is ready for it."""
    return x.earliest[lane, o] if is_first(lane, c, x, o) else x.end[lane, o - 1]


@helper
def choose_move(lane: int, c: Shops, x: Orders, t: Tabu, number: int) -> None:
    """Find the best move in the blocks of a critical path; of tabu ones, any, if all are."""
    t.best[lane, 0], t.best[lane, 3] = -1, 1 << 30
    o, num_tabu = -1, 0
    for j in range(c.num_jobs[0]):
        last = c.op_begin[0, j + 1] - 1
        if x.machine[lane, last] >= 0 and x.end[lane, last] == x.cost[lane] + c.clock[0]:
            o = last
    while o >= 0:
        m, k = x.machine[lane, o], x.place[lane, o]
        first = k
        while first > 0 and x.end[lane, x.order[lane, m, first - 1]] == x.start[lane, o]:
            if x.is_fixed[lane, x.order[lane, m, first - 1]]:
                break
            first -= 1
            o = x.order[lane, m, first]
            if bits(number, o, 0) & 3 == 0 and ready(lane, c, x, o) == x.start[lane, o]:
                break
        for q in range(first, k):
            for case in range(4):
                here, there = q, k
                if case == 1:
                    here, there = q + 1, first
                elif case == 2:
                    here, there = k, q
                elif case == 3:
                    here, there = first, q + 1
                if (case == 2 and q == first) or (case == 3 and q + 1 == k):
                    continue
                num_tabu = try_move(lane, c, x, t, m, here, there, number, num_tabu)
        if ready(lane, c, x, o) == x.start[lane, o] and not is_first(lane, c, x, o):
            o -= 1
        else:
            o = -1


@helper
def try_move(
    lane: int,
    c: Shops,
    x: Orders,
    t: Tabu,
    m: int,
    here: int,
    there: int,
    number: int,
    num_tabu: int,
) -> int:
    """Keep a move if it is the best so far; return the number of tabu ones met."""
    o, w = x.order[lane, m, here], x.order[lane, m, there]
    forward = there > here
    if forward and t.tail[lane, w] < tail_in_job(lane, c, t, o):
        return num_tabu
    if not forward and not is_first(lane, c, x, o) and x.end[lane, w] < x.end[lane, o - 1]:
        return num_tabu
    low, high = min(here, there), max(here, there)
    is_tabu, num, before = False, high - low + 1, -1
    for n in range(num):
        if forward:
            a = o if n == num - 1 else x.order[lane, m, low + n + 1]
            is_tabu = is_tabu or t.until[lane, o, c.op_job[0, a]] > t.clock[lane, 0]
        else:
            a = o if n == 0 else x.order[lane, m, low + n - 1]
            is_tabu = is_tabu or t.until[lane, a, c.op_job[0, o]] > t.clock[lane, 0]
        t.row[lane, n] = a
    if low > 0:
        before = x.end[lane, x.order[lane, m, low - 1]]
    for n in range(num):
        a = t.row[lane, n]
        t.head[lane, n] = max(before, ready(lane, c, x, a))
        before = t.head[lane, n] + x.time[lane, a]
    after, value = 0, 0
    if high + 1 < x.length[lane, m]:
        after = t.tail[lane, x.order[lane, m, high + 1]]
    for n in range(num - 1, -1, -1):
        a = t.row[lane, n]
        after = x.time[lane, a] + max(after, tail_in_job(lane, c, t, a))
        value = max(value, t.head[lane, n] + after)
    if is_tabu and value - c.clock[0] >= t.lowest[lane]:
        num_tabu += 1
        if t.best[lane, 3] < 1 << 29 or bits(number, num_tabu, 1) % num_tabu > 0:
            return num_tabu
        value = 1 << 29
    elif value > t.best[lane, 3] or (value == t.best[lane, 3] and bits(number, o, here) & 1):
        return num_tabu
    t.best[lane, 0], t.best[lane, 1], t.best[lane, 2] = m, here, there
    t.best[lane, 3] = value
    return num_tabu
