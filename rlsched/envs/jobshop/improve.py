"""Improvement of a whole plan by local search over the order of jobs on each machine.

Three searches share one kind of solution, :class:`~rlsched.envs.jobshop.orders.Orders`:

* tabu search for the makespan where buffers are unlimited;
* simulated annealing for every objective, without buffers or with unlimited ones, over the graph of
  the orders, or over non-delay schedules where machines never wait;
* the same annealing judged by playing the shop through, for what is left: limited buffers, flexible
  machines, masked deadlocks, and jobs that block though machines never wait.

Annealing lets an operation of the critical path pass the one ahead of it, or that one fall behind,
and closes the move without buffers (see :func:`~rlsched.envs.jobshop.order_moves.close_move`).

Sources: van Laarhoven, Aarts & Lenstra (1992) for annealing along the critical path; Groflin &
Klinkert (2009) for moves of whole jobs where they block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from rlsched.core.lanes import helper, lanes
from rlsched.core.plans import FOREVER
from rlsched.core.rng import bits, uniform
from rlsched.core.simulator import Array, host
from rlsched.envs.jobshop.order_moves import close_back, close_move, move, take_back
from rlsched.envs.jobshop.orders import (
    Orders,
    dispatch,
    evaluate,
    frees_at_end,
    is_first,
    keep,
    list_by_start,
)
from rlsched.envs.jobshop.plans import (
    best_choices,
    listed_choice,
    orders_of,
    play_plan,
    translated,
)
from rlsched.envs.jobshop.simulator import JobShopSimulator, look_again, restart, step
from rlsched.envs.jobshop.state import MAKESPAN, Shops, State
from rlsched.envs.jobshop.tabu import empty_tabu, tabu_search

CHUNK, PLAYED_CHUNK = 50_000, 5_000
"""Operations, about, between two looks at the time."""
HOT, COLD = 0.02, 0.003
"""First and last temperature, as shares of the first plan's length."""
RANDOM_SHARE = 0.1
"""Of the moves, those not chosen along the critical path."""
REACH = 4
"""Places that such a move passes at most."""
_look_again, _step = look_again.body, step.body


def improve_plan(
    sim: JobShopSimulator,
    lane: int,
    plan: Sequence[int],
    deadline: float = FOREVER,
    *,
    max_tries: int | None = None,
    seed: int = 0,
    clock: Callable[[], float] = perf_counter,
) -> tuple[int, list[int]]:
    """Improve a plan of a lane until a point in time.

    Args:
        sim: the simulator.
        lane: where the plan starts; what may happen unforeseen is left out of account.
        plan: choices from there to the end.
        deadline: time on the clock.
        max_tries: most solutions to look at; with no deadline the result depends on nothing else.
        seed: of every random choice.
        clock: what tells the time, in seconds.

    Returns:
        The cost from here on and the choices of the best plan found, the given one included.
    """
    began, twin = clock(), sim.foreseen(lane, 1)
    first, c = play_plan(twin, translated(plan, sim, twin)), twin.shops
    x, played, is_tabu = orders_of(twin), is_played(twin), searches_tabu(twin)
    if played:
        adopt(1, c, twin.state, x)
    else:
        find_cost(1, c, x)
    if x.cost[0] < 0 or (played and twin.state.is_deadlocked[0]):
        return first, list(plan)
    memory = empty_tabu(x, twin.sizes["job"] if is_tabu else 1)
    held, choice = np.array(host(sim.state.is_held[lane])), np.zeros(1, np.int32)
    work = twin.sizes["op"] * (1 + twin.sizes["job"] // 50)
    chunk = max(1, (PLAYED_CHUNK if played else CHUNK) // work)
    scale = float(c.weight[0].mean()) * int(x.end[0].max() - c.clock[0])
    most, tries = FOREVER if max_tries is None else max_tries, 0
    while tries < most and (now := clock()) < deadline:
        share = max(tries / max(1, most), (now - began) / (deadline - began))
        heat, num = scale * HOT * (COLD / HOT) ** share, np.array([min(chunk, most - tries)], int)
        if is_tabu:
            tabu_search(1, c, x, memory, num, seed)
        elif played:
            search_played(1, c, twin.state, x, held, choice, num, heat, seed)
        else:
            search(1, c, x, num, heat, seed)
        tries += int(num[0])
    cost, choices = best_choices(sim, lane, x)
    return (cost, choices) if cost < first else (first, list(plan))


def is_played(sim: JobShopSimulator) -> bool:
    """Return whether only a play tells what orders come to."""
    is_limited, is_flexible = 0 < sim.buffer < math.inf, sim.instances[0].is_flexible
    is_masked = sim.buffer == 0 and (sim.deadlock == "avoid" or not sim.may_hold)
    return is_limited or is_masked or is_flexible


def searches_tabu(sim: JobShopSimulator) -> bool:
    """Return whether the problem is the one that tabu search is for."""
    shop, shops = sim.instances[0], sim.host_shops
    is_down = len(shop.windows) > 0 or bool((shops.start_down[0] > shops.clock[0]).any())
    is_classic = math.isinf(sim.buffer) and sim.objective == "makespan"
    return is_classic and not shop.is_flexible and not is_down


# --- lane functions -------------------------------------------------------------------------------


@lanes
def find_cost(lane: int, c: Shops, x: Orders) -> None:
    """Find what the lane's orders come to; they are the best so far."""
    keep(lane, c, x, schedule(lane, c, x, math.inf), True)


@helper
def schedule(lane: int, c: Shops, x: Orders, limit: float) -> int:
    """Find all starts and ends; return the cost, -1 = a deadlock or over the limit."""
    if x.may_hold[lane]:
        return evaluate(lane, c, x, limit)
    return dispatch(lane, c, x, limit)


@lanes
def search(lane: int, c: Shops, x: Orders, num: Array, heat: float, seed: int) -> None:
    """Try moves by the graph of the orders at a temperature."""
    for _ in range(num[0]):
        x.events[lane] += 1
        limit = x.cost[lane] - heat * math.log(1.0 - uniform(seed, lane, 8 * x.events[lane]))
        cost = -1
        if propose(lane, c, x, seed):
            cost = schedule(lane, c, x, limit)
        if 0 <= cost <= limit:
            if not x.may_hold[lane]:
                list_by_start(lane, x)
            keep(lane, c, x, cost, cost < x.best_cost[lane])
        else:
            take_back(lane, c, x)


@lanes
def search_played(
    lane: int,
    c: Shops,
    s: State,
    x: Orders,
    held: Array,
    choice: Array,
    num: Array,
    heat: float,
    seed: int,
) -> None:
    """Try moves by playing the lane from its start at a temperature."""
    for _ in range(num[0]):
        x.events[lane] += 1
        limit = x.cost[lane] - heat * math.log(1.0 - uniform(seed, lane, 8 * x.events[lane]))
        is_new = propose(lane, c, x, seed)
        if is_new:
            for m in range(x.visit.shape[1]):
                x.visit[lane, m] = 0
            restart(lane, c, s, 0)
            _look_again(lane, c, s, held)
            while not s.terminated[lane] and s.cost[lane] <= limit:
                choice[lane] = listed_choice(lane, c, s, x)
                _step(lane, c, s, False, choice)
        take_back(lane, c, x)
        if is_new and s.terminated[lane] and not s.is_deadlocked[lane] and s.cost[lane] <= limit:
            adopt_played(lane, c, s, x)


@lanes
def adopt(lane: int, c: Shops, s: State, x: Orders) -> None:
    """Make what was just played the solution at hand and the best so far."""
    x.best_cost[lane] = s.cost[lane] + 1
    adopt_played(lane, c, s, x)


@helper
def adopt_played(lane: int, c: Shops, s: State, x: Orders) -> None:
    """Make what was just played the solution at hand."""
    for o in range(c.num_ops[0]):
        x.new_start[lane, o], x.new_end[lane, o] = s.op_start[lane, o], s.op_end[lane, o]
        x.num_logged[lane] = 0
        m = s.op_machine[lane, o]
        if m >= 0 and x.machine[lane, o] >= 0 and m != x.machine[lane, o]:
            move(lane, c, x, o, m, x.length[lane, m])
    list_by_start(lane, x)
    keep(lane, c, x, s.cost[lane], s.cost[lane] < x.best_cost[lane])


@helper
def propose(lane: int, c: Shops, x: Orders, seed: int) -> bool:
    """Move to a neighbour of the solution at hand, False = there is none."""
    event = 8 * x.events[lane]
    x.num_logged[lane] = 0
    o, step = -1, 1
    if uniform(seed, lane, event + 1) >= RANDOM_SHARE:
        o = critical_op(lane, c, x, bits(seed, lane, event + 2))
    is_random = o < 0
    if is_random:
        o = bits(seed, lane, event + 3) % c.num_ops[0]
        if x.machine[lane, o] < 0 or x.is_fixed[lane, o]:
            return False
        step = 1 + bits(seed, lane, event + 4) % REACH
    number = bits(seed, lane, event + 5)
    m, k = x.machine[lane, o], x.place[lane, o]
    first, alternatives = c.alt_begin[0, o], c.alt_begin[0, o + 1] - c.alt_begin[0, o]
    if alternatives > 1 and (is_random or number & 3 == 0):
        target = c.alt_machine[0, first + (number >> 8) % alternatives]
        if target != m:
            to = 0
            while to < x.length[lane, target] and (
                x.start[lane, x.order[lane, target, to]] < x.start[lane, o]
                or x.is_fixed[lane, x.order[lane, target, to]]
            ):
                to += 1
            move(lane, c, x, o, target, to)
            return not x.blocks[lane] or close_move(lane, c, x, o, True)
    to = max(0, k - step)
    while to < k and x.is_fixed[lane, x.order[lane, m, to]]:
        to += 1
    if to == k:
        return False
    if is_random or number & 128 or not x.may_hold[lane]:
        move(lane, c, x, o, m, to)
        return not x.may_hold[lane] or close_move(lane, c, x, o, False)
    o = x.order[lane, m, to]
    move(lane, c, x, o, m, k)
    return close_back(lane, c, x, o)


@helper
def critical_op(lane: int, c: Shops, x: Orders, number: int) -> int:
    """Return an operation of the critical path that might pass the one ahead of it, -1 = none.

    Walks back from the last completion, or from a late job's. All such are equally likely.
    """
    chosen, count = -1, 0
    o = last_op(lane, c, x, number)
    for turn in range(2 * c.num_ops[0]):
        by_job, by_machine, ahead = x.earliest[lane, o], -1, -1
        if not is_first(lane, c, x, o):
            by_job = x.end[lane, o - 1]
        if x.place[lane, o] > 0:
            ahead = x.order[lane, x.machine[lane, o], x.place[lane, o] - 1]
            by_machine = x.end[lane, ahead]
            if not frees_at_end(lane, c, x, ahead):
                by_machine = x.start[lane, ahead + 1]
        draw = bits(number, o, turn)
        if by_machine > by_job or (by_machine == by_job and draw & 65536):
            is_free = not x.is_fixed[lane, ahead] and c.op_job[0, ahead] != c.op_job[0, o]
            if is_free and (x.may_hold[lane] or by_job <= x.start[lane, ahead]):
                count += 1
                if draw % count == 0:
                    chosen = o
            o = ahead if frees_at_end(lane, c, x, ahead) else ahead + 1
        elif is_first(lane, c, x, o):
            break
        else:
            o -= 1
    return chosen


@helper
def last_op(lane: int, c: Shops, x: Orders, number: int) -> int:
    """Return the operation whose end counts: the last one, or that of a job drawn at random."""
    best, end, num = -1, -1, c.num_jobs[0]
    for k in range(num):
        o = c.op_begin[0, (number + k) % num + 1] - 1
        if x.machine[lane, o] < 0:
            continue
        if c.objective[0] != MAKESPAN and x.end[lane, o] > c.due[0, c.op_job[0, o]]:
            return o
        if x.end[lane, o] > end:
            best, end = o, x.end[lane, o]
    return best
