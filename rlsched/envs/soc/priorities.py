"""Rules of list scheduling as lane functions: which ready task, and on which PE.

Sources: DS3 and gym_ds3 for MET, EFT, ETF and STF as these simulators name them; Hwang et al.
(1989) for ETF by earliest start; Topcuoglu et al. (2002) for the upward rank; Mack et al. (2022)
for HEFT_RT, which knows nothing of communication.
"""

from __future__ import annotations

from rlsched.core.lanes import helper, lanes
from rlsched.core.simulator import Array
from rlsched.envs.soc.dynamics import advance, take
from rlsched.envs.soc.outlook import best_pe, end_on
from rlsched.envs.soc.state import CHOOSE_OPP, CHOOSE_TASK, State, Workloads
from rlsched.envs.soc.tasks import begin_on, kind_of, place_on, ticks_on

PRIORITIES = ("etf", "etf_start", "eft", "met", "stf", "rr", "online_heft", "heft_rt")
"""Names; their positions are the codes used in lanes."""
ETF, ETF_START, EFT, MET, STF, RR, ONLINE_HEFT, HEFT_RT = range(8)
RULES_OWN = -1
"""First choice of a rollout that leaves it to the rule."""


@helper
def pe_of_rule(lane: int, c: Workloads, s: State, rule: int, row: int) -> int:
    """Return the PE on which a rule puts a task."""
    if rule in (MET, STF):
        return fastest_pe(lane, c, s, rule, row)
    if rule == RR:
        return next_pe(lane, c, s, row)
    if rule in (ETF_START, HEFT_RT):
        best, least = -1, 0
        for p in range(c.num_pes[s.instance[lane]]):
            ticks = ticks_on(lane, c, s, row, p)
            if ticks < 0:
                continue
            if rule == HEFT_RT:
                free = s.free_at[lane, p, place_on(lane, c, s, p)]
                key = max(free, s.clock[lane]) + ticks
            else:
                key = begin_on(lane, c, s, row, p)
            if best < 0 or key < least:
                best, least = p, key
        return best
    return best_pe(lane, c, s, row)


@helper
def fastest_pe(lane: int, c: Workloads, s: State, rule: int, row: int) -> int:
    """Return the PE of least time; among equals the one with least to do, for STF the first."""
    best, least, load = -1, 0, 0
    for p in range(c.num_pes[s.instance[lane]]):
        ticks = ticks_on(lane, c, s, row, p)
        todo = 0 if rule == STF else s.pe_running[lane, p] + s.pe_bound[lane, p]
        if ticks >= 0 and (best < 0 or ticks < least or (ticks == least and todo < load)):
            best, least, load = p, ticks, todo
    return best


@helper
def next_pe(lane: int, c: Workloads, s: State, row: int) -> int:
    """Return the next PE in turn that can run a task."""
    P = c.num_pes[s.instance[lane]]
    for n in range(P):
        p = (s.num_decisions[lane] + n) % P
        if ticks_on(lane, c, s, row, p) >= 0:
            return p
    return 0


@helper
def task_of_rule(lane: int, c: Workloads, s: State, rule: int) -> int:
    """Return the ready task that a rule places first; the one ready longest among equals."""
    best, least = s.ready[lane, 0], 0.0
    if rule in (EFT, MET, RR):
        return best
    for n in range(s.num_ready[lane]):
        row = s.ready[lane, n]
        key = task_key(lane, c, s, rule, row)
        if n == 0 or key < least:
            best, least = row, key
    return best


@helper
def task_key(lane: int, c: Workloads, s: State, rule: int, row: int) -> float:
    """Return what a rule orders the ready tasks by; least first."""
    i, k, t = s.instance[lane], kind_of(lane, c, s, row), row % c.time.shape[2]
    if rule == ONLINE_HEFT:
        return -c.rank[i, k, t]
    if rule == HEFT_RT:
        return -c.mean[i, k, t]
    if rule == STF:
        return float(c.fastest[i, k, t])
    p = pe_of_rule(lane, c, s, rule, row)
    if rule == ETF_START:
        return begin_on(lane, c, s, row, p) - c.rank[i, k, t] * 1e-6
    return float(end_on(lane, c, s, row, p))


@helper
def choice_of_rule(lane: int, c: Workloads, s: State, rule: int) -> int:
    """Return a rule's choice at the lane's decision; the highest operating point."""
    N, P = s.status.shape[1], c.time.shape[3]
    if s.terminated[lane]:
        return s.action_mask.shape[1] - 1
    if s.phase[lane] == CHOOSE_TASK:
        return task_of_rule(lane, c, s, rule)
    if s.phase[lane] == CHOOSE_OPP:
        return N + P + c.num_opps[s.instance[lane], s.pe[lane]] - 1
    return N + pe_of_rule(lane, c, s, rule, s.row[lane])


@lanes
def choose_by_rule(lane: int, c: Workloads, s: State, rule: int, choice: Array) -> None:
    """Write a rule's choice."""
    choice[lane] = choice_of_rule(lane, c, s, rule)


@lanes
def play_by_rule(lane: int, c: Workloads, s: State, first: Array, rule: int) -> None:
    """Make up to two given choices, then play on by a rule to the end of the episode."""
    for n in range(first.shape[1]):
        if first[lane, n] != RULES_OWN and not s.terminated[lane]:
            take(lane, c, s, first[lane, n])
            advance(lane, c, s)
    while not s.terminated[lane]:
        take(lane, c, s, choice_of_rule(lane, c, s, rule))
        advance(lane, c, s)
