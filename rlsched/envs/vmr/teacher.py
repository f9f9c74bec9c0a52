"""The exact solver as a teacher: which choices lie on an optimal plan from here.

A plan is a set of migrations, nearly always executable in many orders, so a state has many right
choices: every
VM that the plan still moves, then every place to which the plan still moves a VM of that class.
The teacher
spreads its probability over all of them, which teaches the plan and not one arbitrary order of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rlsched.core.policy import Teacher
from rlsched.core.simulator import Simulator
from rlsched.envs.vmr.cluster import Cluster, Migration
from rlsched.envs.vmr.legality import is_target
from rlsched.envs.vmr.simulator import VMRSimulator

Solve = Callable[[Cluster, int], tuple[Migration, ...]]
"""(cluster, migrations left) -> an executable plan, best first known."""


class PlanTeacher(Teacher):
    """Target probabilities from plans; a lane that left its plan is planned anew.

    Args:
        solve: the planner.
    """

    name = "exact"

    def __init__(self, solve: Solve) -> None:
        self.solve = solve
        self._plans: dict[tuple[int, int, int], tuple[Migration, ...]] = {}
        self._left: list[list[Migration] | None] = []

    def targets(self, sim: Simulator) -> NDArray[np.float32]:
        assert isinstance(sim, VMRSimulator)
        if len(self._left) != sim.num_envs:
            self._left = [None] * sim.num_envs
        out = np.zeros((sim.num_envs, sim.num_choices), np.float32)
        for lane in np.flatnonzero(~sim.terminated):
            choices = self._right_choices(sim, int(lane))
            out[lane, choices] = 1.0 / len(choices)
        return out

    def advance(self, sim: Simulator, choice: NDArray[np.int32]) -> None:
        """Take the migrations about to be made off the plans."""
        assert isinstance(sim, VMRSimulator)
        for lane in np.flatnonzero(~sim.terminated):
            vm, target = int(sim.state.chosen[lane]), int(choice[lane]) - sim.sizes["vm"]
            if vm >= 0:
                self._strike(sim, int(lane), vm, target)
            elif int(choice[lane]) == sim.num_choices - 1:
                self._left[lane] = None

    def _right_choices(self, sim: VMRSimulator, lane: int) -> list[int]:
        state, stop = sim.state, sim.num_choices - 1
        vm, mask = int(state.chosen[lane]), sim.action_mask[lane]
        if vm < 0 and (state.moves[lane] == 0 or self._left[lane] is None):
            self._left[lane] = self._plan(sim, lane)
        left = self._left[lane] or []
        if vm >= 0:
            offset = sim.sizes["vm"]
            nodes = {offset + _node(m) for m in left if _are_twins(sim, lane, m.vm, vm)}
            legal = [n for n in nodes if mask[n]]
            return legal or np.flatnonzero(mask).tolist()
        first = {m.vm: m for m in reversed(left)}
        legal = [m.vm for m in first.values() if mask[m.vm] and _can_go(sim, lane, m)]
        return legal or [stop]

    def _plan(self, sim: VMRSimulator, lane: int) -> list[Migration]:
        row = int(sim.state.instance[lane])
        moves = sim.limits[row] - int(sim.state.moves[lane])
        key = (row, moves, int(sim.state.hash[lane]))
        if key not in self._plans:
            self._plans[key] = self.solve(sim.cluster(lane), moves)
        return list(self._plans[key])

    def _strike(self, sim: VMRSimulator, lane: int, vm: int, node: int) -> None:
        left = self._left[lane]
        if left is None:
            return
        goes = next((k for k, m in enumerate(left) if m.vm == vm), None)
        comes = next(
            (k for k, m in enumerate(left) if _node(m) == node and _are_twins(sim, lane, m.vm, vm)),
            None,
        )
        if goes is None or comes is None:
            self._left[lane] = None
            return
        left[comes] = replace(left[comes], pm=left[goes].pm, numa=left[goes].numa)
        del left[goes]


def _node(m: Migration) -> int:
    return 2 * m.pm + (m.numa if m.numa < 2 else 0)


def _can_go(sim: VMRSimulator, lane: int, m: Migration) -> bool:
    return bool(is_target(lane, sim.host_clusters, sim.state, m.vm, _node(m)))


def _are_twins(sim: VMRSimulator, lane: int, a: int, b: int) -> bool:
    """Return whether two VMs can stand for each other in a plan."""
    if a == b:
        return True
    row, c = int(sim.state.instance[lane]), sim.host_clusters
    free = c.num_conflicts[row, a] == 0 and c.num_conflicts[row, b] == 0
    return bool(free and c.vm_class[row, a] == c.vm_class[row, b])
