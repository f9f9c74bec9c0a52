"""Plans and orders, one made of the other: choices of a lane, and operations listed per machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlsched.core.lanes import helper, lanes
from rlsched.core.simulator import Array, host
from rlsched.envs.jobshop.orders import Orders, empty_orders
from rlsched.envs.jobshop.shop import Schedule
from rlsched.envs.jobshop.simulator import JobShopSimulator, step
from rlsched.envs.jobshop.state import Shops, State

MADE = 4096
"""Choices made in one call when orders are followed."""
_step = step.body


def play_plan(twin: JobShopSimulator, plan: Sequence[int]) -> int:
    """Return what a plan comes to from a single lane's state."""
    for choice in plan:
        twin.step(np.array([choice], np.int32))
    return int(twin.state.cost[0])


def translated(
    plan: Sequence[int], source: JobShopSimulator, target: JobShopSimulator
) -> list[int]:
    """Return a plan for a simulator that pads to another number of jobs: HOLD comes after them."""
    hold, other = source.num_choices - 1, target.num_choices - 1
    return [other if choice == hold else int(choice) for choice in plan]


def orders_of(twin: JobShopSimulator) -> Orders:
    """Return the orders that a lane of a single instance has played.

    What is under way comes first on its machine; so does, for no time, the operation that is over
    but whose job still blocks the machine. After a deadlock, one job goes after another.
    """
    x, c, s, now = empty_orders(twin), twin.host_shops, twin.state, int(twin.host_shops.clock[0])
    shop, O = twin.instances[0], twin.instances[0].num_ops  # noqa: E741
    start, machine, leave = (
        np.array(host(a[0])[:O]) for a in (s.op_start, s.op_machine, s.op_leave)
    )
    if s.is_deadlocked[0]:
        start, leave, machine = np.arange(O), np.arange(O), shop.alt_machine[shop.alt_begin[:-1]]
        start = np.where(start - shop.op_begin[shop.op_job] < c.num_done[0, shop.op_job], -1, start)
    for j in np.flatnonzero(c.num_done[0, : shop.num_jobs] < np.diff(shop.op_begin)):
        o, at = int(shop.op_begin[j] + c.num_done[0, j]), int(c.start_machine[0, j])
        x.earliest[0, o] = max(now, int(c.release[0, j]) if at < 0 else now)
        if at >= 0 and c.start_left[0, j] == 0:
            if twin.buffer > 0:
                continue
            o -= 1
            start[o], leave[o] = now, start[o + 1]
        if at >= 0:
            down = max(0, int(c.start_down[0, at]) - now)
            x.is_fixed[0, o], x.earliest[0, o], machine[o] = True, now, at
            x.time[0, o] = down + int(c.start_left[0, j])
    for m in range(shop.num_machines):
        listed = np.flatnonzero((machine == m) & (start >= 0))
        listed = listed[np.lexsort((leave[listed], start[listed], ~x.is_fixed[0, listed]))]
        x.order[0, m, : len(listed)], x.length[0, m] = listed, len(listed)
        x.machine[0, listed], x.place[0, listed] = m, np.arange(len(listed))
    for o in np.flatnonzero((x.machine[0, :O] >= 0) & ~x.is_fixed[0, :O]).tolist():
        rows = slice(int(shop.alt_begin[o]), int(shop.alt_begin[o + 1]))
        x.time[0, o] = shop.alt_time[rows][shop.alt_machine[rows] == x.machine[0, o]][0]
    return x


def best_choices(sim: JobShopSimulator, lane: int, x: Orders) -> tuple[int, list[int]]:
    """Return what the best orders come to from a lane's present state, and their choices."""
    machine, lists = np.where(x.is_fixed[0], -1, x.best_machine[0]), []
    for m in range(x.length.shape[1]):
        listed = np.flatnonzero(machine == m)
        lists.append(listed[np.argsort(x.best_place[0, listed])])
    twin = sim.foreseen(lane, 1)
    cost, choices = _choices_of_lists(twin, lists)
    return cost, translated(choices, twin, sim)


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
    if foreseen:
        twin = sim.foreseen(lane, 1)
    else:
        twin = sim.like(1, observe=False)
        twin.adopt(sim, np.array([lane]))
    return translated(_choices_of_lists(twin, lists)[1], twin, sim)


def _choices_of_lists(twin: JobShopSimulator, lists: Sequence[NDArray]) -> tuple[int, list[int]]:
    x, out = empty_orders(twin), list[int]()
    for m, listed in enumerate(lists[: twin.sizes["machine"]]):
        x.order[0, m, : len(listed)], x.length[0, m] = listed, len(listed)
        x.machine[0, listed], x.place[0, listed] = m, np.arange(len(listed))
    choice, made = np.zeros(1, np.int32), np.zeros((1, MADE), np.int32)
    count = np.zeros(1, np.int32)
    while not twin.terminated[0]:
        follow(1, twin.shops, twin.state, x, choice, made, count)
        out += made[0, : count[0]].tolist()
    return int(twin.state.cost[0]), out


# --- lane functions -------------------------------------------------------------------------------


@lanes
def follow(
    lane: int, c: Shops, s: State, x: Orders, choice: Array, made: Array, count: Array
) -> None:
    """Choose as the lane's orders say and note the choices, until there is no more room."""
    count[lane] = 0
    for m in range(x.visit.shape[1]):
        x.visit[lane, m] = 0
    while not s.terminated[lane] and count[lane] < made.shape[1]:
        choice[lane] = listed_choice(lane, c, s, x)
        made[lane, count[lane]] = choice[lane]
        count[lane] += 1
        _step(lane, c, s, False, choice)


@helper
def listed_choice(lane: int, c: Shops, s: State, x: Orders) -> int:
    """Return the job that comes first in the deciding machine's order, or HOLD to wait for it.

    Where the machine cannot wait, the first of those that are there goes.
    """
    m, hold = s.deciding[lane], s.action_mask.shape[1] - 1
    k = x.visit[lane, m]
    while k < x.length[lane, m] and (
        s.op_start[lane, x.order[lane, m, k]] >= 0 or x.is_fixed[lane, x.order[lane, m, k]]
    ):
        k += 1
    x.visit[lane, m] = k
    if k < x.length[lane, m]:
        o = x.order[lane, m, k]
        j = c.op_job[s.instance[lane], o]
        if s.action_mask[lane, j] and s.next_op[lane, j] == o:
            return j
    if s.action_mask[lane, hold]:
        return hold
    best, first = hold, 1 << 30
    for j in range(hold):
        if s.action_mask[lane, j]:
            o = s.next_op[lane, j]
            place = x.place[lane, o] if x.machine[lane, o] == m else (1 << 20) + j
            if place < first:
                best, first = j, place
    return best
