"""Rewards: what a step gains of a potential, so that an episode's rewards sum to a known figure.

Sources: the bound of L2D (Zhang et al. 2020); jobs waiting, Park et al. (2021).
"""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.outlook import until_end
from rlsched.envs.jobshop.state import (
    DONE,
    FLOW_TIME,
    MAKESPAN,
    REWARD_BOUND,
    REWARD_ELAPSED,
    REWARD_WAITING,
    Shops,
    State,
)


@helper
def pay(lane: int, c: Shops, s: State) -> None:
    """Set the reward of a step: what the potential gained since the last one."""
    now = potential(lane, c, s)
    s.reward[lane] = now - s.paid[lane]
    s.paid[lane] = now


@helper
def potential(lane: int, c: Shops, s: State) -> float:
    """Return what the rewards of an episode sum to, up to a constant, if it ended now."""
    i = s.instance[lane]
    if c.reward[0] == REWARD_BOUND:
        return -bound(lane, c, s) / c.scale[i]
    if c.reward[0] == REWARD_WAITING:
        return -s.waited[lane] / (c.scale[i] * c.num_jobs[i])
    if c.reward[0] == REWARD_ELAPSED:
        return -(s.clock[lane] - c.clock[i]) / c.scale[i]
    return s.done_work[lane] / c.total_work[i] - s.cost[lane] / c.scale[i]


@helper
def bound(lane: int, c: Shops, s: State) -> float:
    """Return the objective that would be reached if no job ever waited again.

    Source: the state's lower bound of L2D (Zhang et al. 2020), carried over to sums over jobs.
    """
    i, value = s.instance[lane], 0.0
    if s.is_deadlocked[lane]:
        return c.base_cost[i] + s.cost[lane]
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] == DONE:
            end = s.op_end[lane, s.next_op[lane, j] - 1]
        else:
            end = s.clock[lane] + until_end(lane, c, s, j)
        if c.objective[0] == MAKESPAN:
            value = max(value, end)
        elif c.objective[0] == FLOW_TIME:
            value += end - c.release[i, j]
        else:
            value += c.weight[i, j] * max(0, end - c.due[i, j])
    return value
