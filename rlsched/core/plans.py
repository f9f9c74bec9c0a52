"""Plans: the choices to a good end of a lane, policies that make them, playing them on copies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.policy import Policy
from rlsched.core.simulator import Simulator, host

FOREVER = float("inf")


class Plan(NamedTuple):
    """What a search found: its cost (the metric, lower is better) and the choices to it."""

    cost: float
    choices: tuple[int, ...]


class Planner(Policy):
    """A policy that works out a lane's whole plan before it plays it.

    Where chance may undo the plan, it plays only the first choice of each plan.
    """

    @abstractmethod
    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        """Return the choices to make from a lane's present state, which is left as it is."""

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        """Return the first choice of each lane's plan; plans anew every time.

        A lane that has ended, or has only one way on, needs no plan.
        """
        mask = host(sim.action_mask)
        choice = mask.argmax(axis=1).astype(np.int32)
        for lane in np.flatnonzero(~host(sim.terminated) & (mask.sum(axis=1) > 1)):
            plan = self.plan(sim, int(lane))
            choice[lane] = plan[0] if plan else sim.num_choices - 1
        return choice

    def play(self, sim: Simulator) -> int:
        if sim.is_stochastic:
            return super().play(sim)
        return replay(sim, [self.plan(sim, lane) for lane in range(sim.num_envs)])


def replay(sim: Simulator, plans: Sequence[Sequence[int]]) -> int:
    """Play one plan per lane, then STOP; return the number of rounds."""
    rounds = 0
    while not host(sim.terminated).all():
        stop = sim.num_choices - 1
        choice = [plan[rounds] if rounds < len(plan) else stop for plan in plans]
        sim.step(np.array(choice, np.int32))
        rounds += 1
    return rounds


def measured(sim: Simulator, lane: int, choices: Sequence[int]) -> Plan:
    """Return a plan that is given as choices, cut where the metric is best."""
    steps = iter([*choices, sim.num_choices - 1])
    return roll(sim, lane, 1, None, lambda *_: np.array([next(steps)], np.int32), FOREVER)


def roll(
    sim: Simulator,
    lane: int,
    num: int,
    policy: Policy | None,
    choose: Callable[[Simulator, int], NDArray[np.int32]],
    deadline: float,
) -> Plan:
    """Play ``num`` copies of a lane to the end and return the best plan met on the way."""
    copies = copies_of(sim, lane, policy, num)
    best_cost, best_round, best_lane = float(costs_of(copies)[0]), 0, 0
    taken = list[NDArray[np.int32]]()
    while not host(copies.terminated).all() and perf_counter() < deadline:
        taken.append(choose(copies, len(taken)))
        copies.step(taken[-1])
        cost = costs_of(copies)
        if cost.min() < best_cost:
            best_cost, best_round, best_lane = float(cost.min()), len(taken), int(cost.argmin())
    return Plan(best_cost, tuple(int(c[best_lane]) for c in taken[:best_round]))


def copies_of(sim: Simulator, lane: int, policy: Policy | None, num: int) -> Simulator:
    """Return copies of a lane, for a policy to play; where chance has a say, it has another."""
    copies = sim.like(num, observe=getattr(policy, "needs_observation", False))
    copies.adopt(sim, np.full(num, lane))
    if sim.is_stochastic:
        copies.hide_future()
    return copies


def costs_of(sim: Simulator) -> NDArray[np.float64]:
    """Return (B,) metric, lower is better; infinite where a lane may not end."""
    metric = sim.metrics()[sim.metric].astype(np.float64)
    may_end = host(sim.terminated) | (host(sim.action_mask)[:, -1] & sim.can_stop)
    return np.where(may_end, metric if sim.lower_is_better else -metric, FOREVER)
