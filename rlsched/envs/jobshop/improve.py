"""Improvement of a whole plan: simulated annealing over the order of jobs on each machine.

A solution is one list of operations per machine; it is judged by playing the shop through, so
blocking, swaps, buffers, releases and maintenance are met as they are in every other play. A
machine waits for the next operation of its list where it may hold, else takes the waiting job that
comes first in it. A neighbour exchanges two operations in succession on a machine, chosen along the
critical path: the chain of operations, each starting when the one before let it, that leads to the
last completion (or to a late job's). An operation with a choice of machines may also change lists.

Source: the neighbourhood is van Laarhoven, Aarts & Lenstra's (1992), "Job shop scheduling by
simulated annealing"; playing out what an exchange means under blocking is our own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.lanes import helper, lanes
from rlsched.core.rng import bits, uniform
from rlsched.core.simulator import Array, host
from rlsched.envs.jobshop.dynamics import advance, take
from rlsched.envs.jobshop.shop import Schedule
from rlsched.envs.jobshop.simulator import JobShopSimulator, restart
from rlsched.envs.jobshop.state import MAKESPAN, Shops, State

CHUNK = 2000
"""Moves, about, between two looks at the time."""
HOT, COLD = 0.02, 0.0005
"""First and last temperature, as shares of the cost."""
RANDOM_SHARE = 0.15
"""Of the neighbours, those not chosen along the critical path."""
PAIR_SHARE = 0.2
REACH = 4
"""Places by which such a neighbour moves an operation at most."""


class Orders(NamedTuple):
    """One solution per lane, the best so far, and what is needed to change it; (B, ...)."""

    order: Array  # (B, M, O) int32, operations of each machine in order
    length: Array  # (B, M) int32
    machine: Array  # (B, O) int32, where an operation is listed, -1 = nowhere
    place: Array  # (B, O) int32, and at which place
    next_place: Array  # (B, M) int32, while a solution is played
    home: Array  # (B, O) int32, machine in the solution at hand
    start: Array  # (B, O) int32, of the solution at hand
    end: Array  # (B, O) int32
    leave: Array  # (B, O) int32
    cost: Array  # (B,) int64
    best_cost: Array  # (B,) int64
    best_order: Array  # (B, M, O) int32
    best_length: Array  # (B, M) int32
    events: Array  # (B,) int64, random numbers drawn


def empty_orders(sim: JobShopSimulator) -> Orders:
    """Return room for one solution per lane."""
    B, O, M = sim.num_envs, sim.sizes["op"], sim.sizes["machine"]  # noqa: E741
    z = lambda *shape, dtype=np.int32: np.zeros((B, *shape), dtype)  # noqa: E731
    return Orders(
        order=z(M, O),
        length=z(M),
        machine=z(O),
        place=z(O),
        next_place=z(M),
        home=z(O),
        start=z(O),
        end=z(O),
        leave=z(O),
        cost=z(dtype=np.int64),
        best_cost=z(dtype=np.int64),
        best_order=z(M, O),
        best_length=z(M),
        events=z(dtype=np.int64),
    )


def anneal(
    sim: JobShopSimulator,
    lane: int,
    plan: Sequence[int],
    deadline: float,
    *,
    chains: int = 1,
    seed: int = 0,
) -> tuple[int, list[int]]:
    """Improve a plan of a lane until a point in time.

    Args:
        sim: the simulator.
        lane: where the plan starts; what may happen unforeseen is left out of account.
        plan: choices from there to the end.
        deadline: ``perf_counter`` time.
        chains: independent searches, of which the best counts.
        seed: of every random choice.

    Returns:
        The cost from here on and the choices of the best plan found, the given one included.
    """
    began = perf_counter()
    twin, held = sim.foreseen(lane, chains), np.array(sim.state.is_held[lane])
    hold = sim.num_choices - 1
    for choice in plan:
        own = twin.num_choices - 1 if choice == hold else choice
        twin.step(np.full(chains, own, np.int32))
    orders = empty_orders(twin)
    adopt_played(chains, twin.shops, twin.state, orders)
    first = int(orders.best_cost[0])
    per_call = np.array([max(1, CHUNK // twin.sizes["op"])])
    while (now := perf_counter()) < deadline:
        left = (deadline - now) / max(1e-9, deadline - began)
        share = COLD * (HOT / COLD) ** left
        search(chains, twin.shops, twin.state, orders, held, per_call, share, seed)
    best = int(orders.best_cost.argmin())
    if orders.best_cost[best] >= first:
        return first, list(plan)
    return int(orders.best_cost[best]), choices_of(sim, lane, orders, best)


def choices_of(sim: JobShopSimulator, lane: int, orders: Orders, which: int) -> list[int]:
    """Return the choices from a lane's present state that follow the best lists of a chain."""
    lists = [
        orders.best_order[which, m, : orders.best_length[which, m]]
        for m in range(sim.shop_of(lane).num_machines)
    ]
    return _choices_of_lists(sim, lane, lists, foreseen=True)


def choices_of_schedule(
    sim: JobShopSimulator, lane: int, schedule: Schedule, foreseen: bool = True
) -> list[int]:
    """Return the choices from a lane's present state that carry a schedule out.

    Args:
        sim: the simulator.
        lane: where to start from; what it has started already is left out of the schedule.
        schedule: for each operation left, its machine and start.
        foreseen: nothing unforeseen happens; else the choices meet the lane's real future.
    """
    is_left = host(sim.state.op_start[lane])[: len(schedule.start)] < 0
    lists = []
    for m in range(sim.shop_of(lane).num_machines):
        listed = np.flatnonzero(is_left & (schedule.machine == m) & (schedule.start >= 0))
        order = np.lexsort((schedule.leave[listed], schedule.start[listed]))
        lists.append(listed[order])
    return _choices_of_lists(sim, lane, lists, foreseen)


def _choices_of_lists(
    sim: JobShopSimulator, lane: int, lists: Sequence[NDArray], foreseen: bool
) -> list[int]:
    if foreseen:
        twin = sim.foreseen(lane, 1)
    else:
        twin = sim.like(1, observe=False)
        twin.adopt(sim, np.array([lane]))
    mine = empty_orders(twin)
    mine.machine[0] = -1
    for m, listed in enumerate(lists):
        mine.order[0, m, : len(listed)], mine.length[0, m] = listed, len(listed)
        mine.machine[0, listed], mine.place[0, listed] = m, np.arange(len(listed))
    choice, out = np.zeros(1, np.int32), list[int]()
    while not twin.terminated[0]:
        choose_by_orders(1, twin.shops, twin.state, mine, choice)
        is_hold = choice[0] == twin.num_choices - 1
        out.append(sim.num_choices - 1 if is_hold else int(choice[0]))
        twin.step(choice)
    return out


# --- lane functions -------------------------------------------------------------------------------


@lanes
def choose_by_orders(lane: int, c: Shops, s: State, x: Orders, choice: Array) -> None:
    """Choose as the lane's lists say."""
    choice[lane] = listed_choice(lane, c, s, x)


@helper
def listed_choice(lane: int, c: Shops, s: State, x: Orders) -> int:
    """Return the job that comes first in the deciding machine's list, or HOLD to wait for it."""
    i, m, hold = s.instance[lane], s.deciding[lane], s.action_mask.shape[1] - 1
    k = x.next_place[lane, m]
    while k < x.length[lane, m] and s.op_start[lane, x.order[lane, m, k]] >= 0:
        k += 1
    x.next_place[lane, m] = k
    if k < x.length[lane, m]:
        o = x.order[lane, m, k]
        j = c.op_job[i, o]
        if s.action_mask[lane, j] and s.next_op[lane, j] == o:
            return j
    if s.action_mask[lane, hold]:
        return hold
    best, first = -1, 1 << 30
    for j in range(hold):
        if s.action_mask[lane, j]:
            o = s.next_op[lane, j]
            place = x.place[lane, o] if x.machine[lane, o] == m else (1 << 20) + j
            if place < first:
                best, first = j, place
    return best


@lanes
def adopt_played(lane: int, c: Shops, s: State, x: Orders) -> None:
    """Make the schedule just played the solution at hand and the best so far."""
    adopt_schedule(lane, c, s, x)
    keep_best(lane, x)


@helper
def adopt_schedule(lane: int, c: Shops, s: State, x: Orders) -> None:
    """List every machine's operations in the order in which they were started."""
    x.cost[lane] = s.cost[lane]
    for o in range(c.num_ops[s.instance[lane]]):
        x.start[lane, o], x.end[lane, o] = s.op_start[lane, o], s.op_end[lane, o]
        x.leave[lane, o], x.home[lane, o] = s.op_leave[lane, o], s.op_machine[lane, o]
        x.machine[lane, o] = -1
    relist_all(lane, c, x)


@helper
def number_places(lane: int, x: Orders, m: int) -> None:
    """Write down the place of each operation in a machine's list."""
    for k in range(x.length[lane, m]):
        x.machine[lane, x.order[lane, m, k]], x.place[lane, x.order[lane, m, k]] = m, k


@helper
def keep_best(lane: int, x: Orders) -> None:
    """Keep the solution at hand as the best so far."""
    x.best_cost[lane] = x.cost[lane]
    for m in range(x.order.shape[1]):
        x.best_length[lane, m] = x.length[lane, m]
        for k in range(x.length[lane, m]):
            x.best_order[lane, m, k] = x.order[lane, m, k]


@lanes
def search(
    lane: int,
    c: Shops,
    s: State,
    x: Orders,
    held: Array,
    per_call: Array,
    temperature: float,
    seed: int,
) -> None:
    """Try neighbours at a temperature given as a share of the cost."""
    i = s.instance[lane]
    for _ in range(per_call[0]):
        event = x.events[lane]
        x.events[lane] += 1
        a, b = -1, -1
        if uniform(seed, lane, 4 * event) >= RANDOM_SHARE:
            a = critical_op(lane, c, x, bits(seed, lane, 4 * event + 1))
        if a < 0:
            a = bits(seed, lane, 4 * event + 2) % c.num_ops[i]
            if x.machine[lane, a] < 0:
                continue
            b = bits(seed, lane, 4 * event + 3)
        if b < 0:
            pass_ahead(lane, c, x, a, uniform(seed, lane, 4 * event + 3) < PAIR_SHARE)
        else:
            target, to = random_place(lane, c, x, a, b)
            relist(lane, x, a, target, to)
        limit = x.cost[lane] - temperature * x.cost[lane] * math.log(
            1.0 - uniform(seed, lane + 64, 4 * event)
        )
        play_orders(lane, c, s, x, held, limit + 1.0)
        if s.terminated[lane] and s.cost[lane] <= limit and not s.is_deadlocked[lane]:
            adopt_schedule(lane, c, s, x)
            if x.cost[lane] < x.best_cost[lane]:
                keep_best(lane, x)
        else:
            relist_all(lane, c, x)


@helper
def play_orders(lane: int, c: Shops, s: State, x: Orders, held: Array, limit: float) -> None:
    """Play a lane from its start as its lists say, until the cost reaches a limit."""
    restart(lane, c, s, s.instance[lane])
    for m in range(x.next_place.shape[1]):
        x.next_place[lane, m] = 0
        s.is_held[lane, m] = held[m]
    choice = -1
    while not s.terminated[lane] and s.cost[lane] < limit:
        if choice >= 0:
            if choice == s.action_mask.shape[1] - 1:
                s.is_held[lane, s.deciding[lane]] = True
            else:
                take(lane, c, s, choice, s.deciding[lane])
        advance(lane, c, s)
        if not s.terminated[lane]:
            choice = listed_choice(lane, c, s, x)


@helper
def pass_ahead(lane: int, c: Shops, x: Orders, o: int, everywhere: bool) -> None:
    """Let an operation pass the one ahead of it, and its job that job everywhere after, if asked.

    Without buffers, jobs that meet on several machines mostly have to meet in one order.
    """
    i, m = 0, x.machine[lane, o]
    j = c.op_job[i, o]
    k = c.op_job[i, x.order[lane, m, x.place[lane, o] - 1]]
    relist(lane, x, o, m, x.place[lane, o] - 1)
    if not everywhere:
        return
    for later in range(o + 1, c.op_begin[i, j + 1]):
        m = x.machine[lane, later]
        for place in range(x.place[lane, later]):
            if c.op_job[i, x.order[lane, m, place]] == k:
                relist(lane, x, later, m, place)
                break


@helper
def relist_all(lane: int, c: Shops, x: Orders) -> None:
    """Go back to the lists of the solution at hand, by the starts it has."""
    i = 0
    for m in range(c.num_machines[i]):
        x.length[lane, m] = 0
    for o in range(c.num_ops[i]):
        m = x.home[lane, o]
        if m < 0:
            continue
        k = x.length[lane, m]
        x.length[lane, m] += 1
        while k > 0 and (
            x.start[lane, o] < x.start[lane, x.order[lane, m, k - 1]]
            or (
                x.start[lane, o] == x.start[lane, x.order[lane, m, k - 1]]
                and x.leave[lane, o] < x.leave[lane, x.order[lane, m, k - 1]]
            )
        ):
            x.order[lane, m, k] = x.order[lane, m, k - 1]
            k -= 1
        x.order[lane, m, k] = o
    for m in range(c.num_machines[i]):
        number_places(lane, x, m)


@helper
def relist(lane: int, x: Orders, o: int, target: int, to: int) -> None:
    """Move an operation to a place of a machine's list."""
    m, k = x.machine[lane, o], x.place[lane, o]
    x.length[lane, m] -= 1
    while k < x.length[lane, m]:
        x.order[lane, m, k] = x.order[lane, m, k + 1]
        k += 1
    k = x.length[lane, target]
    x.length[lane, target] += 1
    while k > to:
        x.order[lane, target, k] = x.order[lane, target, k - 1]
        k -= 1
    x.order[lane, target, to] = o
    number_places(lane, x, m)
    number_places(lane, x, target)


@helper
def random_place(lane: int, c: Shops, x: Orders, o: int, number: int) -> tuple[int, int]:
    """Return where an operation might go: nearby, or on another machine at about its time."""
    i = 0
    first, end = c.alt_begin[i, o], c.alt_begin[i, o + 1]
    m = c.alt_machine[i, first + (number >> 8) % (end - first)]
    if m == x.machine[lane, o]:
        step = 1 + (number & 7) % REACH
        to = x.place[lane, o] + (step if number & 128 else -step)
        return m, max(0, min(x.length[lane, m] - 1, to))
    to = 0
    while to < x.length[lane, m] and x.start[lane, x.order[lane, m, to]] < x.start[lane, o]:
        to += 1
    return m, to


@helper
def critical_op(lane: int, c: Shops, x: Orders, number: int) -> int:
    """Return an operation of the critical path that could start before the one ahead of it.

    Walks back from the last completion, or from a late job's; -1 = there is none. All such
    operations are equally likely.
    """
    i, chosen, count, draw = 0, -1, 0, number
    o = last_op(lane, c, x, number)
    for _ in range(2 * c.num_ops[i]):
        if o < 0 or x.machine[lane, o] < 0:
            break
        begin, ahead = x.start[lane, o], -1
        if x.place[lane, o] > 0:
            ahead = x.order[lane, x.machine[lane, o], x.place[lane, o] - 1]
        waits_for_machine = ahead >= 0 and x.leave[lane, ahead] == begin
        is_first = o == c.op_begin[i, c.op_job[i, o]]
        waits_for_job = not is_first and x.end[lane, o - 1] == begin
        draw = bits(number, o, count)
        if waits_for_machine:
            count += 1
            if draw % count == 0:
                chosen = o
        if waits_for_job and not (waits_for_machine and draw & 65536):
            o = o - 1
        elif waits_for_machine:
            o = ahead if x.end[lane, ahead] == begin else ahead + 1
        elif ahead >= 0:
            o = ahead
        else:
            o = o - 1 if not is_first else -1
    return chosen


@helper
def last_op(lane: int, c: Shops, x: Orders, number: int) -> int:
    """Return the operation whose end counts: the last one, or that of a job drawn at random."""
    i, best, end = 0, -1, -1
    if c.objective[0] != MAKESPAN:
        j = number % c.num_jobs[i]
        for k in range(c.num_jobs[i]):
            o = c.op_begin[i, (j + k) % c.num_jobs[i] + 1] - 1
            if x.machine[lane, o] >= 0 and x.end[lane, o] > c.due[i, c.op_job[i, o]]:
                return o
        return c.op_begin[i, j + 1] - 1
    for j in range(c.num_jobs[i]):
        o = c.op_begin[i, j + 1] - 1
        if x.end[lane, o] > end:
            best, end = o, x.end[lane, o]
    return best
