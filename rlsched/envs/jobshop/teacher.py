"""Teachers: which job a well-searched schedule takes next, or what look-ahead thinks of each.

With a plan, a lane is planned when its episode begins, and again where the student left the plan.
Plans from the start of a shop are kept, since the lanes of a training bank meet it many times.
Look-ahead judges every state alike, so the student may play by itself and still be taught (DAgger).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rlsched.core.policy import Teacher
from rlsched.core.simulator import Simulator
from rlsched.envs.jobshop.rules import costs_after
from rlsched.envs.jobshop.simulator import JobShopSimulator

Solve = Callable[[JobShopSimulator, int], list[int]]
"""(simulator, lane) -> choices from the lane's present state to the end."""
TEMPERATURE = 0.1
"""Mean processing times by which a choice must be worse to be e times less likely."""


class PlanTeacher(Teacher):
    """All probability on the plan's next choice; a lane that left its plan is planned anew.

    Args:
        solve: the planner.
        name: label in logs.
    """

    def __init__(self, solve: Solve, name: str) -> None:
        self.solve, self.name = solve, name
        self._first: dict[tuple[int, int], list[int]] = {}
        self._left: dict[int, list[int]] = {}
        self._episode: dict[int, int] = {}

    def targets(self, sim: Simulator) -> NDArray[np.float32]:
        assert isinstance(sim, JobShopSimulator)
        out = np.zeros((sim.num_envs, sim.num_choices), np.float32)
        for lane in np.flatnonzero(~sim.terminated):
            out[lane, self._next(sim, int(lane))] = 1.0
        return out

    def advance(self, sim: Simulator, choice: NDArray[np.int32]) -> None:
        """Take the choices about to be made off the plans, and drop the plans they leave."""
        for lane, left in self._left.items():
            is_followed = bool(left) and left[0] == int(choice[lane])
            self._left[lane] = left[1:] if is_followed else []

    def _next(self, sim: JobShopSimulator, lane: int) -> int:
        episode = int(sim.state.stream[lane])
        if self._episode.get(lane) != episode:
            self._episode[lane] = episode
            self._left[lane] = self._from_start(sim, lane)
        left = self._left[lane]
        if not left or not sim.action_mask[lane, left[0]]:
            left = self._left[lane] = self.solve(sim, lane)
        return left[0]

    def _from_start(self, sim: JobShopSimulator, lane: int) -> list[int]:
        if sim.is_stochastic:
            return self.solve(sim, lane)
        key = int(sim.state.instance[lane]), int(sim.fingerprint()[lane])
        if key not in self._first:
            self._first[key] = self.solve(sim, lane)
        return self._first[key]


class LookAheadTeacher(Teacher):
    """Every choice as likely as the best schedule is short that a rule makes of it.

    Source: rollout policies, Bertsekas et al. (1997); DAgger, Ross et al. (2011).
    """

    name = "pilot"

    def targets(self, sim: Simulator) -> NDArray[np.float32]:
        assert isinstance(sim, JobShopSimulator)
        out = np.zeros((sim.num_envs, sim.num_choices), np.float32)
        lane, choice, cost = costs_after(sim)
        best = np.full(sim.num_envs, np.inf)
        np.minimum.at(best, lane, cost)
        mean_time = sim.host_shops.mean_time[sim.state.instance[lane]]
        out[lane, choice] = np.exp((best[lane] - cost) / (TEMPERATURE * mean_time))
        return out / np.maximum(out.sum(axis=1, keepdims=True), 1e-9)
