"""The optimum of a tiny shop by making every move at every tick; it imports nothing of rlsched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

LONGEST = 400
"""Ticks after which the search gives up."""


class Job(NamedTuple):
    """Where a job is.

    It is "out" of the machines, "on" one, "in" the output buffer of one, or "gone"; ``left`` ticks
    of work are left where it is on a machine, and ``done`` operations are done, that one included.
    """

    done: int
    where: str
    machine: int
    left: int
    is_new: bool = False


State = tuple[Job, ...]


class Search:
    """All ways to go on in a shop, tick by tick."""

    def __init__(self, shop: Any, buffer: float, swap: str, resume: bool) -> None:
        self.shop, self.buffer, self.swap, self.resume = shop, buffer, swap, resume
        self.ops: list[list[dict[int, int]]] = []
        for first, stop in zip(shop.op_begin[:-1], shop.op_begin[1:], strict=True):
            rows = [range(shop.alt_begin[o], shop.alt_begin[o + 1]) for o in range(first, stop)]
            self.ops.append(
                [{int(shop.alt_machine[a]): int(shop.alt_time[a]) for a in row} for row in rows]
            )

    def best(self, objective: str) -> int | None:
        """Return the least objective, None if nothing ends."""
        costs: dict[State, int] = {tuple(Job(0, "out", -1, 0) for _ in self.ops): 0}
        best = None
        for tick in range(LONGEST):
            reached: dict[State, int] = {}
            for state, cost in costs.items():
                for then in self._closure(self._finish(state, tick), tick):
                    reached[then] = min(cost, reached.get(then, cost))
            costs = {}
            for state, cost in reached.items():
                if all(job.where == "gone" for job in state):
                    best = cost if best is None else min(best, cost)
                    continue
                cost += self._cost(state, tick, objective)
                if best is None or cost < best:
                    then = tuple(self._work(j, job, tick) for j, job in enumerate(state))
                    costs[then] = min(cost, costs.get(then, cost))
            if not costs:
                break
        return best

    def _cost(self, state: State, tick: int, objective: str) -> int:
        """Return what the objective grows by until the next tick."""
        if objective == "makespan":
            return 1
        shop, total = self.shop, 0
        for j, job in enumerate(state):
            since = shop.release[j] if objective == "flow_time" else shop.due[j]
            weight = int(shop.weight[j]) if objective == "weighted_tardiness" else 1
            total += weight * int(job.where != "gone" and tick >= since)
        return total

    def _is_down(self, machine: int, tick: int) -> bool:
        return any(m == machine and a <= tick < b for m, a, b in self.shop.windows.tolist())

    def _work(self, j: int, job: Job, tick: int) -> Job:
        """Return a job a tick later."""
        if job.left == 0:
            return job
        if not self._is_down(job.machine, tick):
            return job._replace(left=job.left - 1, is_new=job.left == 1)
        ticks = self.ops[j][job.done - 1][job.machine]
        return job if self.resume else job._replace(left=ticks)

    def _finish(self, state: State, tick: int) -> State:
        """Take jobs whose work has just ended from their machines, where nothing must be free."""
        after = []
        for j, job in enumerate(state):
            m, is_new, job = job.machine, job.is_new, job._replace(is_new=False)
            has_place = sum(q.where == "in" and q.machine == m for q in state) < self.buffer
            if is_new and job.done == len(self.ops[j]):
                job = Job(job.done, "gone", -1, 0)
            elif is_new and math.isinf(self.buffer):
                job = Job(job.done, "out", -1, 0)
            elif is_new and has_place and self._is_down(m, tick):
                job = Job(job.done, "in", m, 0)
            after.append(job)
        return tuple(after)

    def _closure(self, state: State, tick: int) -> set[State]:
        """Return all states that moves at a tick lead to."""
        seen, todo = {state}, [state]
        while todo:
            for then in self._moves(todo.pop(), tick):
                if then not in seen:
                    seen.add(then)
                    todo.append(then)
        return seen

    def _moves(self, state: State, tick: int) -> Iterator[State]:
        """Yield the states after one job, or where swaps are allowed several at once, moved."""
        ways = [[job, *self._ways(j, job, tick)] for j, job in enumerate(state)]
        for then in product(*ways):
            num_moved = sum(a is not b for a, b in zip(state, then, strict=True))
            if num_moved == 0 or (self.swap == "off" and num_moved > 1):
                continue
            on = [job.machine for job in then if job.where == "on"]
            stored = [job.machine for job in then if job.where == "in"]
            if len(set(on)) == len(on) and all(stored.count(m) <= self.buffer for m in stored):
                yield then

    def _ways(self, j: int, job: Job, tick: int) -> Iterator[Job]:
        """Yield where a job could go at a tick."""
        is_stuck = job.where == "on" and (job.left > 0 or self._is_down(job.machine, tick))
        if job.where == "gone" or is_stuck or tick < self.shop.release[j]:
            return
        for m, ticks in self.ops[j][job.done].items():
            if not self._is_down(m, tick):
                yield Job(job.done + 1, "on", m, ticks)
        if job.where == "on":
            yield Job(job.done, "in", job.machine, 0)


def best_objective(
    shop: Any, buffer: float, swap: str, objective: str, resume: bool = True
) -> int | None:
    """Return the least objective of a shop, None if there is no schedule.

    Args:
        shop: a ``Shop`` whose operations take at least a tick.
        buffer: places of each output buffer.
        swap: "auto" or "off".
        objective: as in ``Schedule``.
        resume: whether interrupted work goes on; else it begins again.
    """
    return Search(shop, buffer, swap, resume).best(objective)
