"""Cycles of blocked jobs, which may swap, and states from which every job can still get out.

A machine is blocked when its finished job has nowhere to go. A blocked machine points at every
machine that a job it holds, itself or in its output buffer, could go to next; a cycle of blocked
machines can move at once, each job to the place of the next.

Source: blocking job shop with swaps, Mascis & Pacciarelli (2002); the safe-state check is the
banker's algorithm (Dijkstra 1965), which may forbid more than it must.
"""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.state import BLOCKED, WAITING, Shops, State

UNSEEN = -1


@helper
def holder(lane: int, s: State, j: int) -> int:
    """Return the machine that a waiting job holds, itself or by its output buffer; -1 = none."""
    return s.at[lane, j] if s.at[lane, j] >= 0 else s.buffer_of[lane, j]


@helper
def reach(lane: int, c: Shops, s: State, start: int) -> bool:
    """Find the blocked machines reached from a blocked one; return whether it reaches itself.

    ``via_job`` and ``via_machine`` then say by which job each was reached, and from where, so a
    cycle can be walked backwards from ``start``.
    """
    i = s.instance[lane]
    for m in range(c.num_machines[i]):
        s.via_machine[lane, m] = UNSEEN
    s.queue[lane, 0] = start
    done, seen = 0, 1
    while done < seen:
        m = s.queue[lane, done]
        done += 1
        seen = reach_from(lane, c, s, m, s.occupant[lane, m], start, seen)
        if c.capacity[0] > 0:
            for j in range(c.num_jobs[i]):
                if s.buffer_of[lane, j] == m and s.status[lane, j] == WAITING:
                    seen = reach_from(lane, c, s, m, j, start, seen)
    return s.via_machine[lane, start] != UNSEEN


@helper
def reach_from(lane: int, c: Shops, s: State, m: int, j: int, start: int, seen: int) -> int:
    """Mark where a job held at a machine could go, and return how many machines are seen now."""
    i, o = s.instance[lane], s.next_op[lane, j]
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        x = c.alt_machine[i, a]
        if s.mode[lane, x] != BLOCKED or s.via_machine[lane, x] != UNSEEN:
            continue
        s.via_machine[lane, x], s.via_job[lane, x] = m, j
        if x != start:
            s.queue[lane, seen] = x
            seen += 1
    return seen


@helper
def closes_cycle(lane: int, c: Shops, s: State, j: int, start: int) -> bool:
    """Return whether a job could go to a blocked machine as part of a cycle found by ``reach``."""
    i, o, m = s.instance[lane], s.next_op[lane, j], holder(lane, s, j)
    if s.status[lane, j] != WAITING or m < 0 or s.mode[lane, m] != BLOCKED:
        return False
    if m != start and s.via_machine[lane, m] == UNSEEN:
        return False
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        if c.alt_machine[i, a] == start:
            return True
    return False


@helper
def is_safe(lane: int, c: Shops, s: State, j: int, m: int) -> bool:
    """Return whether all jobs on machines could still leave one by one if a job went to a machine.

    A job can leave where every operation it has left finds a machine that no other job holds.
    """
    i = s.instance[lane]
    M, held = c.num_machines[i], 0
    for x in range(M):
        k = s.occupant[lane, x]
        s.via_job[lane, x] = -1 if k == j else k
        held += int(k >= 0 and k != j)
    s.via_job[lane, m] = j
    held += 1
    moved = True
    while moved and held > 0:
        moved = False
        for x in range(M):
            k = s.via_job[lane, x]
            if k >= 0 and can_leave(lane, c, s, k, k == j):
                s.via_job[lane, x] = -1
                held -= 1
                moved = True
    return held == 0


@helper
def can_leave(lane: int, c: Shops, s: State, k: int, is_moved: bool) -> bool:
    """Return whether a job's operations left all find a machine held by no other job."""
    i = s.instance[lane]
    for o in range(s.next_op[lane, k] + int(is_moved), c.op_begin[i, k + 1]):
        is_free = False
        for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
            k2 = s.via_job[lane, c.alt_machine[i, a]]
            is_free = is_free or k2 < 0 or k2 == k
        if not is_free:
            return False
    return True
