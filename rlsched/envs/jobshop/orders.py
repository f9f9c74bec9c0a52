"""One order of operations per machine as a graph, and its schedule.

An operation starts when the one before it in its job has ended and the one ahead of it on its
machine has let the machine go: where jobs block, when that job's next operation starts, otherwise
at its end. Arcs say so. Without buffers the first kind has no length, and a cycle of such arcs is a
swap; every other cycle is a deadlock.

Source: alternative graph, Mascis & Pacciarelli (2002).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlsched.core.lanes import helper
from rlsched.core.simulator import Array
from rlsched.envs.jobshop.state import FLOW_TIME, MAKESPAN, SWAP_OFF, Shops

if TYPE_CHECKING:
    from rlsched.envs.jobshop.simulator import JobShopSimulator


class Orders(NamedTuple):
    """A solution per lane and what is needed to change it; (B, ...), one instance for all.

    B lanes, M machines, O operations.
    """

    order: Array  # (B, M, O) int32, operations of each machine in order
    length: Array  # (B, M) int32
    machine: Array  # (B, O) int32, -1 = the operation is over
    place: Array  # (B, O) int32, in its machine's order
    time: Array  # (B, O) int32, on its machine
    earliest: Array  # (B, O) int32, the start is not before
    is_fixed: Array  # (B, O) bool, has started
    blocks: Array  # (B,) bool, a job blocks its machine until it starts on the next
    may_hold: Array  # (B,) bool, a machine may wait for the next of its order
    start: Array  # (B, O) int32, of the solution at hand
    end: Array  # (B, O) int32
    new_start: Array  # (B, O) int32, of the one being tried
    new_end: Array  # (B, O) int32
    degree: Array  # (B, O) int32, arcs not yet followed
    queue: Array  # (B, O) int32
    mark: Array  # (B, O) int32
    level: Array  # (B, O) int32, see close_move
    front: Array  # (B, O) int32, operation to be passed last, -1 = none
    visit: Array  # (B, M) int32, operation of the moving job
    log: Array  # (B, O, 3) int32, operation, machine and place before
    num_logged: Array  # (B,) int32
    cost: Array  # (B,) int64
    best_cost: Array  # (B,) int64
    best_machine: Array  # (B, O) int32
    best_place: Array  # (B, O) int32
    events: Array  # (B,) int64, random numbers drawn


def empty_orders(sim: JobShopSimulator) -> Orders:
    """Return room for the orders of one lane."""
    O, M, J = sim.sizes["op"], sim.sizes["machine"], sim.sizes["job"]  # noqa: E741
    z = lambda *shape, dtype=np.int32: np.zeros((1, *shape), dtype)  # noqa: E731
    per_op = ("start", "end", "new_start", "new_end", "degree", "queue", "mark")
    return Orders(
        order=z(M, O),
        length=z(M),
        machine=np.full((1, O), -1, np.int32),
        place=z(O),
        time=z(O),
        earliest=z(O),
        is_fixed=z(O, dtype=np.bool_),
        blocks=np.array([sim.buffer == 0]),
        may_hold=np.array([sim.may_hold]),
        **{name: z(O) for name in per_op},
        level=z(max(O, J)),
        front=z(max(O, J)),
        visit=z(M),
        log=z(O + 1, 3),
        num_logged=z(),
        cost=z(dtype=np.int64),
        best_cost=z(dtype=np.int64),
        best_machine=z(O),
        best_place=z(O),
        events=z(dtype=np.int64),
    )


@helper
def is_first(lane: int, c: Shops, x: Orders, o: int) -> bool:
    """Return whether an operation is the first left of its job."""
    return o == c.op_begin[0, c.op_job[0, o]] or x.machine[lane, o - 1] < 0


@helper
def frees_at_end(lane: int, c: Shops, x: Orders, o: int) -> bool:
    """Return whether an operation lets its machine go when it ends."""
    return not x.blocks[lane] or o + 1 == c.op_begin[0, c.op_job[0, o] + 1]


@helper
def follower(lane: int, c: Shops, x: Orders, o: int, skipped: int) -> int:
    """Return the next operation on an operation's machine but those of one job, -1 = none."""
    m = x.machine[lane, o]
    for k in range(x.place[lane, o] + 1, x.length[lane, m]):
        if c.op_job[0, x.order[lane, m, k]] != skipped:
            return x.order[lane, m, k]
    return -1


# --- the schedule ---------------------------------------------------------------------------------


@helper
def evaluate(lane: int, c: Shops, x: Orders, limit: float) -> int:
    """Find the starts and ends of the orders; return the cost, -1 = deadlock or over the limit."""
    O, num, known, seen, scan, stamp = c.num_ops[0], 0, 0, 0, 0, 0  # noqa: E741
    for o in range(O):
        x.new_end[lane, o], x.mark[lane, o] = -1, 0
        m, k = x.machine[lane, o], x.place[lane, o]
        if m < 0:
            continue
        num += 1
        first = is_first(lane, c, x, o)
        x.new_start[lane, o] = x.earliest[lane, o]
        waits = int(not first)
        if k > 0 and (first or x.order[lane, m, k - 1] != o - 1):
            waits += 1
        x.degree[lane, o] = waits
        if waits == 0:
            x.queue[lane, seen] = o
            seen += 1
    latest, has_windows = limit + c.clock[0], is_ever_down(c)
    while known < num:
        if known == seen:
            while x.machine[lane, scan] < 0 or x.new_end[lane, scan] >= 0:
                scan += 1
            stamp += 1
            seen = free_cycle(lane, c, x, scan, stamp, seen)
            if known == seen:
                return -1
        o = x.queue[lane, known]
        known += 1
        j, begin = c.op_job[0, o], x.new_start[lane, o]
        m = x.machine[lane, o]
        first = is_first(lane, c, x, o)
        if has_windows and not x.is_fixed[lane, o]:
            begin = up_time(c, m, begin)
            if x.blocks[lane] and not first:
                begin = up_time(c, x.machine[lane, o - 1], begin)
            x.new_start[lane, o] = begin
        end = end_time(c, m, begin, x.time[lane, o], has_windows)
        x.new_end[lane, o] = end
        last = o + 1 == c.op_begin[0, j + 1]
        if c.objective[0] == MAKESPAN and end + c.op_tail[0, o] - c.op_time[0, o] > latest:
            return -1
        if not last:
            seen = follow_arc(lane, x, o + 1, end, seen)
        if not x.blocks[lane] or last:
            after = follower(lane, c, x, o, -1)
            if after >= 0 and (last or after != o + 1):
                seen = follow_arc(lane, x, after, end, seen)
        if x.blocks[lane] and not first:
            after = follower(lane, c, x, o - 1, -1)
            if after >= 0 and after != o:
                seen = follow_arc(lane, x, after, begin, seen)
    return total_cost(lane, c, x)


@helper
def is_ever_down(c: Shops) -> bool:
    """Return whether a machine is down at times that are known."""
    for m in range(c.num_machines[0]):
        if c.start_down[0, m] > c.clock[0]:
            return True
    return c.window_begin[0, c.num_machines[0]] > 0


@helper
def up_time(c: Shops, m: int, time: int) -> int:
    """Return when a machine is up first, from a time on."""
    time = max(time, c.start_down[0, m])
    for row in range(c.window_begin[0, m], c.window_begin[0, m + 1]):
        if c.windows[0, row, 0] <= time < c.windows[0, row, 1]:
            time = c.windows[0, row, 1]
    return time


@helper
def end_time(c: Shops, m: int, begin: int, ticks: int, has_windows: bool) -> int:
    """Return when work that begins at a time is done, maintenance in between."""
    end = begin + ticks
    if has_windows:
        for row in range(c.window_begin[0, m], c.window_begin[0, m + 1]):
            if begin <= c.windows[0, row, 0] < end:
                end += c.windows[0, row, 1] - c.windows[0, row, 0]
                if c.restarts[0]:
                    begin = c.windows[0, row, 1]
                    end = begin + ticks
    return end


@helper
def dispatch(lane: int, c: Shops, x: Orders, limit: float) -> int:
    """Find all starts and ends if no machine ever waits; -1 = over the limit.

    Of the jobs that an idle machine could take, it takes the one that comes first in its order.

    Source: non-delay schedules, Giffler & Thompson (1960); Baker (1974).
    """
    num, has_windows, latest = 0, is_ever_down(c), limit + c.clock[0]
    for m in range(c.num_machines[0]):
        x.visit[lane, m] = c.clock[0]
        num += x.length[lane, m]
    for j in range(c.num_jobs[0]):
        o = c.op_begin[0, j + 1]
        while o > c.op_begin[0, j] and x.machine[lane, o - 1] >= 0:
            o -= 1
        x.front[lane, j] = o
        if o < c.op_begin[0, j + 1]:
            x.level[lane, j] = x.earliest[lane, o]
    for _ in range(num):
        chosen, begin = -1, 1 << 30
        for j in range(c.num_jobs[0]):
            o = x.front[lane, j]
            if o == c.op_begin[0, j + 1]:
                continue
            m = x.machine[lane, o]
            time = max(x.level[lane, j], x.visit[lane, m])
            if has_windows and not x.is_fixed[lane, o]:
                time = up_time(c, m, time)
            if time < begin or (
                time == begin
                and m == x.machine[lane, chosen]
                and x.place[lane, o] < x.place[lane, chosen]
            ):
                chosen, begin = o, time
        o, j, m = chosen, c.op_job[0, chosen], x.machine[lane, chosen]
        end = end_time(c, m, begin, x.time[lane, o], has_windows)
        if c.objective[0] == MAKESPAN and end + c.op_tail[0, o] - c.op_time[0, o] > latest:
            return -1
        x.new_start[lane, o], x.new_end[lane, o] = begin, end
        x.front[lane, j], x.level[lane, j], x.visit[lane, m] = o + 1, end, end
    return total_cost(lane, c, x)


@helper
def list_by_start(lane: int, x: Orders) -> None:
    """Put every machine's operations in the order of the starts just found."""
    for m in range(x.length.shape[1]):
        for n in range(x.length[lane, m]):
            o, k = x.order[lane, m, n], n
            while k > 0 and x.new_start[lane, o] < x.new_start[lane, x.order[lane, m, k - 1]]:
                x.order[lane, m, k] = x.order[lane, m, k - 1]
                x.place[lane, x.order[lane, m, k]] = k
                k -= 1
            x.order[lane, m, k], x.place[lane, o] = o, k


@helper
def follow_arc(lane: int, x: Orders, o: int, since: int, seen: int) -> int:
    """Let an operation start no earlier than ``since``; list it when all is known."""
    x.new_start[lane, o] = max(x.new_start[lane, o], since)
    x.degree[lane, o] -= 1
    if x.degree[lane, o] == 0:
        x.queue[lane, seen] = o
        return seen + 1
    return seen


@helper
def free_cycle(lane: int, c: Shops, x: Orders, o: int, stamp: int, seen: int) -> int:
    """Walk back to a cycle; if it is a swap, let all its operations start at once."""
    if not x.blocks[lane] or c.swap[0] == SWAP_OFF:
        return seen
    while x.mark[lane, o] != stamp:
        x.mark[lane, o] = stamp
        o = unknown_before(lane, c, x, o)
    first, begin = o, 0
    while True:
        begin = max(begin, x.new_start[lane, o])
        ahead = x.order[lane, x.machine[lane, o], x.place[lane, o] - 1]
        before = unknown_before(lane, c, x, o)
        if before != ahead + 1 or frees_at_end(lane, c, x, ahead):
            return seen
        o = before
        if o == first:
            break
    while True:
        x.new_start[lane, o], x.degree[lane, o] = begin, 0
        x.queue[lane, seen] = o
        seen += 1
        o = unknown_before(lane, c, x, o)
        if o == first:
            return seen


@helper
def unknown_before(lane: int, c: Shops, x: Orders, o: int) -> int:
    """Return what an operation waits for, the one before it in its job first."""
    if not is_first(lane, c, x, o) and x.new_end[lane, o - 1] < 0:
        return o - 1
    ahead = x.order[lane, x.machine[lane, o], x.place[lane, o] - 1]
    return ahead if frees_at_end(lane, c, x, ahead) else ahead + 1


@helper
def total_cost(lane: int, c: Shops, x: Orders) -> int:
    """Return what the objective runs up from the start on."""
    now, cost = c.clock[0], 0
    for j in range(c.num_jobs[0]):
        o = c.op_begin[0, j + 1] - 1
        if x.machine[lane, o] < 0:
            continue
        end = x.new_end[lane, o]
        if c.objective[0] == MAKESPAN:
            cost = max(cost, end - now)
            continue
        begin = c.release[0, j] if c.objective[0] == FLOW_TIME else c.due[0, j]
        weight = 1 if c.objective[0] == FLOW_TIME else c.weight[0, j]
        cost += weight * (max(end, begin) - max(now, begin))
    return cost


@helper
def keep(lane: int, c: Shops, x: Orders, cost: int, is_best: bool) -> None:
    """Make the solution just tried the one at hand."""
    x.cost[lane] = cost
    for o in range(c.num_ops[0]):
        x.start[lane, o], x.end[lane, o] = x.new_start[lane, o], x.new_end[lane, o]
    if is_best:
        keep_best(lane, c, x, cost)


@helper
def keep_best(lane: int, c: Shops, x: Orders, cost: int) -> None:
    """Make the orders at hand the best so far."""
    x.best_cost[lane] = cost
    for o in range(c.num_ops[0]):
        x.best_machine[lane, o], x.best_place[lane, o] = x.machine[lane, o], x.place[lane, o]
