"""Plans as teachers: which job a well-searched schedule takes next.

A lane is planned when its episode begins, and again where the student left the plan. Plans from the
start of a shop are kept, since the lanes of a training bank meet it many times.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rlsched.core.policy import Teacher
from rlsched.core.simulator import Simulator
from rlsched.envs.jobshop.simulator import JobShopSimulator

Solve = Callable[[JobShopSimulator, int], list[int]]
"""(simulator, lane) -> choices from the lane's present state to the end."""


class PlanTeacher(Teacher):
    """All probability on the plan's next choice; a lane that left its plan is planned anew.

    Args:
        solve: the planner.
        name: label in logs.
    """

    def __init__(self, solve: Solve, name: str) -> None:
        self.solve, self.name = solve, name
        self._first: dict[int, list[int]] = {}
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
        row = int(sim.state.instance[lane])
        if sim.is_stochastic or sim.state.num_moves[lane] > 0:
            return self.solve(sim, lane)
        if row not in self._first:
            self._first[row] = self.solve(sim, lane)
        return self._first[row]
