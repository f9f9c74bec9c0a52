"""Dispatching rules as priorities of waiting jobs, and lane functions that follow them.

The job of least priority value goes first, the lowest number among equals. A rule may come with a
cap on the work in progress: no new job is started while so many are on the floor, unless nothing
else can move.

Sources: Panwalkar & Iskander (1977) for the rules and their names; Vepsalainen & Morton (1987) for
ATC; Baker & Bertrand (1982) for MDD; Sels et al. (2012) for SPT/TWKR as a ratio.
"""

from __future__ import annotations

import math

from rlsched.core.lanes import helper, lanes
from rlsched.core.rng import uniform
from rlsched.core.simulator import Array
from rlsched.envs.jobshop.dynamics import advance
from rlsched.envs.jobshop.moves import take, time_on
from rlsched.envs.jobshop.state import Shops, State

PRIORITIES = (
    "spt",
    "lpt",
    "spt_twkr",
    "mwkr",
    "lwkr",
    "mopnr",
    "lopnr",
    "fifo",
    "lifo",
    "fdd_mwkr",
    "edd",
    "mdd",
    "atc",
    "cr",
    "slack",
    "random",
)
"""Names; their positions are the codes used in lanes."""
SPT, LPT, SPT_TWKR, MWKR, LWKR, MOPNR, LOPNR, FIFO, LIFO, FDD_MWKR = range(10)
EDD, MDD, ATC, CR, SLACK, RANDOM = range(10, 16)
ATC_LOOKAHEAD, ATC_WAIT = 3.0, 2.0
"""k, and the waiting time per tick of work that is expected at later machines."""
NO_CAP = 2**20
RANDOM_STREAM = 4 << 20
"""Stream of the random rule, which gives each operation a number once and for all."""


@helper
def priority(lane: int, c: Shops, s: State, rule: int, j: int) -> float:
    """Return the priority value of a waiting job on the deciding machine, least first."""
    i, o = s.instance[lane], s.next_op[lane, j]
    time = time_on(lane, c, s, o, s.deciding[lane])
    work = c.op_tail[i, o]
    if rule == SPT:
        return time
    if rule == LPT:
        return -time
    if rule == SPT_TWKR:
        return time / max(1, work)
    if rule == MWKR:
        return -work
    if rule == LWKR:
        return work
    if rule == MOPNR:
        return o - c.op_begin[i, j + 1]
    if rule == LOPNR:
        return c.op_begin[i, j + 1] - o
    if rule == FIFO:
        return s.ready[lane, j]
    if rule == LIFO:
        return -s.ready[lane, j]
    if rule == FDD_MWKR:
        return (c.op_tail[i, c.op_begin[i, j]] - work + time) / max(1, work)
    if rule == RANDOM:
        return uniform(s.stream[lane], RANDOM_STREAM, o)
    return due_priority(lane, c, s, rule, j, time, work)


@helper
def due_priority(lane: int, c: Shops, s: State, rule: int, j: int, time: int, work: int) -> float:
    """Return the priority value of a rule that looks at due dates."""
    i, now = s.instance[lane], s.clock[lane]
    due = c.due[i, j]
    if rule == EDD:
        return due
    if rule == MDD:
        return max(due, now + work)
    if rule == ATC:
        slack = max(0.0, due - now - time - (1.0 + ATC_WAIT) * (work - time))
        urgency = math.exp(-slack / (ATC_LOOKAHEAD * c.mean_time[i]))
        return -c.weight[i, j] / max(1, time) * urgency
    if rule == CR:
        return (due - now) / max(1, work)
    return due - now - work


@helper
def best_job(lane: int, c: Shops, s: State, rule: int, cap: int) -> int:
    """Return the choice of a rule with a cap on the jobs on the floor; the last choice is HOLD."""
    i, hold = s.instance[lane], s.action_mask.shape[1] - 1
    is_full = s.num_on_floor[lane] >= cap
    best, value, capped, capped_value = hold, math.inf, hold, math.inf
    for j in range(hold):
        if not s.action_mask[lane, j]:
            continue
        p = priority(lane, c, s, rule, j)
        if is_full and s.next_op[lane, j] == c.op_begin[i, j]:
            if p < capped_value:
                capped, capped_value = j, p
        elif p < value:
            best, value = j, p
    if best == hold and not s.action_mask[lane, hold]:
        return capped
    return best


@lanes
def choose_by_rule(lane: int, c: Shops, s: State, rule: int, cap: int, choice: Array) -> None:
    """Choose by a rule."""
    choice[lane] = s.action_mask.shape[1] - 1
    if not s.terminated[lane]:
        choice[lane] = best_job(lane, c, s, rule, cap)


@lanes
def score_by_rule(lane: int, c: Shops, s: State, rule: int, cap: int, scores: Array) -> None:
    """Score the choices of a lane: 0 for a rule's own, -1 for the next, and so on; HOLD last."""
    hold = scores.shape[1] - 1
    if s.terminated[lane]:
        scores[lane, hold] = 0.0
        return
    own = best_job(lane, c, s, rule, cap)
    for j in range(hold):
        if s.action_mask[lane, j]:
            scores[lane, j] = -1.0 if rule != RANDOM else 0.0
            p = priority(lane, c, s, rule, j)
            for k in range(hold):
                if rule != RANDOM and s.action_mask[lane, k] and priority(lane, c, s, rule, k) < p:
                    scores[lane, j] -= 1.0
    if s.action_mask[lane, hold] and own == hold:
        scores[lane, hold] = 0.0
    elif rule != RANDOM:
        scores[lane, own] = 0.0


@lanes
def play_by_rule(
    lane: int, c: Shops, s: State, choice: Array, rules: Array, caps: Array, limit: float
) -> None:
    """Make a choice in a lane and play to the end by a rule, or until the cost is ``limit``."""
    first = choice[lane]
    while not s.terminated[lane] and s.cost[lane] < limit:
        if first < 0:
            first = best_job(lane, c, s, rules[lane], caps[lane])
        if first == s.action_mask.shape[1] - 1:
            s.is_held[lane, s.deciding[lane]] = True
        else:
            take(lane, c, s, first, s.deciding[lane])
        first = -1
        advance(lane, c, s)
