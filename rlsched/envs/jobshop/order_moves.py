"""Moves that change one order of operations per machine, and keep it possible.

A move lets one job pass others. Passing at one machine only is mostly a deadlock without buffers;
:func:`close_move` then lets the job pass wherever that follows, which always ends in a possible
order.

Source: closure of a job's insertion, Groflin & Klinkert (2009), "A new neighborhood and tabu search
for the blocking job shop".
"""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.orders import Orders, follower, frees_at_end, is_first
from rlsched.envs.jobshop.state import SWAP_OFF, Shops


@helper
def move(lane: int, c: Shops, x: Orders, o: int, target: int, to: int) -> None:
    """Move an operation to a place of a machine's order and log where it was."""
    k = x.num_logged[lane]
    x.log[lane, k, 0], x.log[lane, k, 1] = o, x.machine[lane, o]
    x.log[lane, k, 2] = x.place[lane, o]
    x.num_logged[lane] = k + 1
    relist(lane, c, x, o, target, to)


@helper
def take_back(lane: int, c: Shops, x: Orders) -> None:
    """Take all logged moves back."""
    for k in range(x.num_logged[lane] - 1, -1, -1):
        relist(lane, c, x, x.log[lane, k, 0], x.log[lane, k, 1], x.log[lane, k, 2])


@helper
def relist(lane: int, c: Shops, x: Orders, o: int, target: int, to: int) -> None:
    """Move an operation to a place of a machine's order, where it may take another time."""
    m, k = x.machine[lane, o], x.place[lane, o]
    if m != target:
        x.length[lane, m] -= 1
        for q in range(k, x.length[lane, m]):
            x.order[lane, m, q] = x.order[lane, m, q + 1]
            x.place[lane, x.order[lane, m, q]] = q
        k = x.length[lane, target]
        x.length[lane, target] += 1
        for a in range(c.alt_begin[0, o], c.alt_begin[0, o + 1]):
            if c.alt_machine[0, a] == target:
                x.time[lane, o] = c.alt_time[0, a]
    while k > to:
        x.order[lane, target, k] = x.order[lane, target, k - 1]
        x.place[lane, x.order[lane, target, k]] = k
        k -= 1
    while k < to:
        x.order[lane, target, k] = x.order[lane, target, k + 1]
        x.place[lane, x.order[lane, target, k]] = k
        k += 1
    x.order[lane, target, to] = o
    x.machine[lane, o], x.place[lane, o] = target, to


@helper
def close_move(lane: int, c: Shops, x: Orders, moved: int, all_seeds: bool) -> bool:
    """Let a job that passed others pass all it must pass then; False = it cannot.

    The level of an operation is 2 k if it cannot start before the job's k-th does, and 2 k + 1 if
    it can only start later. What then starts after the job, but was to let it pass, is passed.
    """
    job, top = c.op_job[0, moved], 0
    begin, end = c.op_begin[0, job], c.op_begin[0, job + 1]
    strict = int(c.swap[0] == SWAP_OFF)
    clear_levels(lane, c, x, begin, end)
    for r in range(end - 1, begin - 1, -1):
        if x.machine[lane, r] >= 0 and (all_seeds or r == moved):
            b = follower(lane, c, x, r, job)
            if b >= 0:
                value = level_after(lane, c, x, r, begin, strict)
                top = raise_level(lane, x, b, value, top)
    while top > 0:
        top -= 1
        o = x.queue[lane, top]
        x.mark[lane, o] = 0
        value = x.level[lane, o]
        for case in range(3):
            b, v = o, value | 1
            if case == 0:
                if o + 1 < c.op_begin[0, c.op_job[0, o] + 1]:
                    top = raise_level(lane, x, o + 1, v, top)
                continue
            if case == 1 and not frees_at_end(lane, c, x, o):
                continue
            if case == 2:
                if not x.blocks[lane] or is_first(lane, c, x, o):
                    continue
                b, v = o - 1, value | strict
            after = follower(lane, c, x, b, job)
            if after >= 0:
                top = raise_level(lane, x, after, v, top)
            m = x.machine[lane, b]
            r = x.visit[lane, m]
            while 0 <= r < end:
                if (
                    x.machine[lane, r] == m
                    and x.place[lane, b] < x.place[lane, r]
                    and v > 2 * (r - begin)
                ):
                    if x.is_fixed[lane, b] or x.is_fixed[lane, r]:
                        return False
                    f = x.front[lane, r]
                    if f < 0 or x.place[lane, b] < x.place[lane, f]:
                        x.front[lane, r] = b
                    new = level_after(lane, c, x, r, begin, strict)
                    top = raise_level(lane, x, b, new, top)
                r += 1
    for r in range(begin, end):
        if x.front[lane, r] >= 0:
            move(lane, c, x, r, x.machine[lane, r], x.place[lane, x.front[lane, r]])
    return True


@helper
def close_back(lane: int, c: Shops, x: Orders, moved: int) -> bool:
    """Let a job that was passed by others be passed by all that must then; False = it cannot.

    The mirror image of :func:`close_move`: levels grow with what must start before the job does.
    """
    job, top = c.op_job[0, moved], 0
    begin, end = c.op_begin[0, job], c.op_begin[0, job + 1]
    strict = int(c.swap[0] == SWAP_OFF)
    clear_levels(lane, c, x, begin, end)
    for r in range(end - 1, begin - 1, -1):
        if x.machine[lane, r] >= 0 and r == moved:
            b = leader(lane, c, x, r, job)
            if b >= 0:
                top = raise_before(lane, c, x, b, 2 * (end - r), strict, top)
    while top > 0:
        top -= 1
        o = x.queue[lane, top]
        x.mark[lane, o] = 0
        value = x.level[lane, o]
        if not is_first(lane, c, x, o):
            top = raise_level(lane, x, o - 1, value | 1, top)
        b = leader(lane, c, x, o, job)
        if b >= 0:
            top = raise_before(lane, c, x, b, value, strict, top)
        m = x.machine[lane, o]
        r = x.visit[lane, m]
        while 0 <= r < end:
            if x.machine[lane, r] == m and x.place[lane, r] < x.place[lane, o]:
                bar = 2 * (end - r) - (1 if frees_at_end(lane, c, x, r) else 2)
                if value > bar:
                    if x.is_fixed[lane, r]:
                        return False
                    f = x.front[lane, r]
                    if f < 0 or x.place[lane, o] > x.place[lane, f]:
                        x.front[lane, r] = o
                    top = raise_before(lane, c, x, o, 2 * (end - r), strict, top)
            r += 1
    for r in range(end - 1, begin - 1, -1):
        if x.front[lane, r] >= 0:
            move(lane, c, x, r, x.machine[lane, r], x.place[lane, x.front[lane, r]])
    return True


@helper
def clear_levels(lane: int, c: Shops, x: Orders, begin: int, end: int) -> None:
    """Forget all levels, and note the moving job's first operation on each machine."""
    for o in range(c.num_ops[0]):
        x.level[lane, o], x.mark[lane, o] = -1, 0
    for m in range(c.num_machines[0]):
        x.visit[lane, m] = -1
    for r in range(end - 1, begin - 1, -1):
        x.front[lane, r] = -1
        if x.machine[lane, r] >= 0:
            x.visit[lane, x.machine[lane, r]] = r


@helper
def leader(lane: int, c: Shops, x: Orders, o: int, skipped: int) -> int:
    """Return the operation ahead of one on its machine but those of one job, -1 = none."""
    m = x.machine[lane, o]
    for k in range(x.place[lane, o] - 1, -1, -1):
        if c.op_job[0, x.order[lane, m, k]] != skipped:
            return x.order[lane, m, k]
    return -1


@helper
def raise_before(lane: int, c: Shops, x: Orders, b: int, value: int, strict: int, top: int) -> int:
    """Raise the level of what lets the machine of an operation go."""
    if frees_at_end(lane, c, x, b):
        return raise_level(lane, x, b, value | 1, top)
    return raise_level(lane, x, b + 1, value | strict, top)


@helper
def level_after(lane: int, c: Shops, x: Orders, r: int, begin: int, strict: int) -> int:
    """Return the level of what comes after an operation of the moving job on its machine."""
    if frees_at_end(lane, c, x, r):
        return 2 * (r - begin) + 1
    return 2 * (r + 1 - begin) + strict


@helper
def raise_level(lane: int, x: Orders, o: int, value: int, top: int) -> int:
    """Raise an operation's level and put it on the stack; return the stack's height."""
    if value <= x.level[lane, o]:
        return top
    x.level[lane, o] = value
    if x.mark[lane, o] == 1:
        return top
    x.mark[lane, o] = 1
    x.queue[lane, top] = o
    return top + 1
