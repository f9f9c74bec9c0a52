"""How a lane plays on by itself: to the next decision, or to the end of its episode.

Cycles of blocked jobs move, then the first idle machine that a job waits for decides, and where
there is none the clock jumps to the next event. What jobs do is in ``moves.py``, what machines do
by themselves in ``breakdowns.py``.
"""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.breakdowns import come_back, go_down
from rlsched.envs.jobshop.deadlock import closes_cycle, is_safe, reach
from rlsched.envs.jobshop.interruptions import NEVER
from rlsched.envs.jobshop.moves import finish, rotate, take, time_on, want
from rlsched.envs.jobshop.state import (
    BLOCKED,
    DONE,
    DOWN,
    FLOW_TIME,
    IDLE,
    MAKESPAN,
    REWARD_WAITING,
    SETTLING,
    SWAP_AUTO,
    SWAP_CHOICE,
    UNLIMITED,
    UNRELEASED,
    WAITING,
    WORKING,
    Shops,
    State,
)


@helper
def advance(lane: int, c: Shops, s: State) -> None:
    """Play on to the next decision or to the end of the episode."""
    while True:
        if s.deciding[lane] != SETTLING and find_decision(lane, c, s):
            return
        if s.num_left[lane] == 0:
            end_episode(lane, c, s, False)
            return
        if s.num_pending[lane] == 0:
            end_episode(lane, c, s, True)
            return
        pass_time(lane, c, s)


@helper
def end_episode(lane: int, c: Shops, s: State, is_deadlocked: bool) -> None:
    """End the lane's episode; a deadlock costs as if all that is left took the longest possible."""
    if is_deadlocked:
        run_up_cost(lane, c, s, max(s.clock[lane], c.horizon[s.instance[lane]]))
    s.deciding[lane], s.terminated[lane] = -1, True
    s.is_deadlocked[lane] = is_deadlocked
    for a in range(s.action_mask.shape[1]):
        s.action_mask[lane, a] = a == s.action_mask.shape[1] - 1


@helper
def can_hold(lane: int, c: Shops, s: State, m: int) -> bool:
    """Return whether a machine may stay idle: something must happen without it, now or later."""
    if not c.may_hold[0]:
        return False
    if s.num_pending[lane] > 0:
        return True
    for x in range(c.num_machines[s.instance[lane]]):
        is_asked = x != m and not s.is_held[lane, x] and s.num_waiting[lane, x] > 0
        if is_asked and s.mode[lane, x] == IDLE:
            for j in range(c.num_jobs[s.instance[lane]]):
                if may_take(lane, c, s, j, x):
                    return True
    return False


@helper
def find_decision(lane: int, c: Shops, s: State) -> bool:
    """Find the first machine with a choice and mark what it may choose; make forced moves."""
    m, hold = 0, s.action_mask.shape[1] - 1
    while m < c.num_machines[s.instance[lane]]:
        if s.is_held[lane, m] or s.num_waiting[lane, m] == 0:
            m += 1
            continue
        count, last = 0, -1
        if s.mode[lane, m] == IDLE:
            for j in range(hold):
                s.action_mask[lane, j] = may_take(lane, c, s, j, m)
                if s.action_mask[lane, j]:
                    count, last = count + 1, j
        elif s.mode[lane, m] == BLOCKED and c.swap[0] == SWAP_CHOICE:
            reach(lane, c, s, m)
            for j in range(hold):
                s.action_mask[lane, j] = closes_cycle(lane, c, s, j, m)
                if s.action_mask[lane, j]:
                    count, last = count + 1, j
        if count == 0:
            m += 1
            continue
        s.action_mask[lane, hold] = can_hold(lane, c, s, m)
        if count == 1 and not s.action_mask[lane, hold]:
            take(lane, c, s, last, m)
            m = 0
            continue
        s.deciding[lane] = m
        return True
    return False


@helper
def may_take(lane: int, c: Shops, s: State, j: int, m: int) -> bool:
    """Return whether an idle machine may take a job now."""
    if s.status[lane, j] != WAITING or time_on(lane, c, s, s.next_op[lane, j], m) < 0:
        return False
    return not c.avoids_deadlock[0] or is_safe(lane, c, s, j, m)


# --- time -----------------------------------------------------------------------------------------


@helper
def pass_time(lane: int, c: Shops, s: State) -> None:
    """Let the clock jump to the next event, and let everything happen that is due then."""
    i = s.instance[lane]
    M, then = c.num_machines[i], NEVER
    for m in range(M):
        s.is_held[lane, m] = s.is_held[lane, m] and s.deciding[lane] == SETTLING
        then = min(then, s.event[lane, m])
    if c.has_release[i]:
        then = min(then, next_release(lane, c, s))
    run_up_cost(lane, c, s, then)
    s.clock[lane], s.deciding[lane] = then, -1
    if c.has_release[i]:
        release_jobs(lane, c, s)
    for m in range(M):
        happen(lane, c, s, m)
    if c.swap[0] == SWAP_AUTO and c.capacity[0] < UNLIMITED:
        for m in range(M):
            if s.mode[lane, m] == BLOCKED and reach(lane, c, s, m):
                rotate(lane, c, s, m)


@helper
def next_release(lane: int, c: Shops, s: State) -> int:
    """Return when the next job is released."""
    i, then = s.instance[lane], NEVER
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] == UNRELEASED:
            then = min(then, c.release[i, j])
    return then


@helper
def release_jobs(lane: int, c: Shops, s: State) -> None:
    """Let the jobs wait whose time of release has come."""
    i = s.instance[lane]
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] == UNRELEASED and c.release[i, j] <= s.clock[lane]:
            s.status[lane, j] = WAITING
            s.num_pending[lane] -= 1
            want(lane, c, s, j, 1)


@helper
def run_up_cost(lane: int, c: Shops, s: State, then: int) -> None:
    """Add what the objective runs up until the clock stands at ``then``."""
    i, now = s.instance[lane], s.clock[lane]
    if c.reward[0] == REWARD_WAITING:
        for j in range(c.num_jobs[i]):
            s.waited[lane] += (then - now) * int(s.status[lane, j] == WAITING)
    if c.objective[0] == MAKESPAN:
        s.cost[lane] += then - now
        return
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] == DONE:
            continue
        begin = c.release[i, j] if c.objective[0] == FLOW_TIME else c.due[i, j]
        if then > begin:
            weight = 1 if c.objective[0] == FLOW_TIME else c.weight[i, j]
            s.cost[lane] += weight * (then - max(now, begin))


@helper
def happen(lane: int, c: Shops, s: State, m: int) -> None:
    """Let what is due at a machine happen: work ends, it goes down, or it comes back."""
    now = s.clock[lane]
    while s.event[lane, m] <= now:
        if s.mode[lane, m] == DOWN:
            come_back(lane, c, s, m)
        elif s.mode[lane, m] == WORKING and s.done_at[lane, m] <= now:
            finish(lane, c, s, m)
        else:
            go_down(lane, c, s, m)
