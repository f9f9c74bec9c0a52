"""Plans of one DAG: from a schedule to choices, from choices to placings, and who plays them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlsched.core.plans import Planner, replay
from rlsched.core.simulator import Simulator
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.state import CHOOSE_OPP, CHOOSE_PE, PE, TASK


class StaticPlanner(Planner):
    """Plans a DAG before it begins, by the times that are known, and keeps to the plan."""

    def play(self, sim: Simulator) -> int:
        return replay(sim, [self.plan(sim, lane) for lane in range(sim.num_envs)])


def choices_of(sim: SocSimulator, lane: int, placed: Sequence[tuple[int, int]]) -> list[int]:
    """Return the choices that place tasks on PEs in this order.

    Args:
        sim: static lanes; left as they are.
        lane: one that has not begun.
        placed: (task, PE), each task behind those it needs.
    """
    twin = sim.like(1, observe=False)
    twin.adopt(sim, np.array([lane]))
    tasks, pes, out = twin.sizes["task"], dict(placed), list[int]()
    while not twin.terminated[0]:
        s = twin.state
        if s.phase[0] == CHOOSE_PE:
            choice = tasks + pes[int(s.row[0])]
        elif s.phase[0] == CHOOSE_OPP:
            choice = int(np.flatnonzero(twin.action_mask[0])[-1])
        else:
            choice = next(t for t, _ in placed if s.on[0, t] < 0)
        out.append(choice)
        twin.step(np.array([choice], np.int32))
    return out


def placings(
    sim: SocSimulator, lane: int, choices: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (T,) int64 tasks in the order in which choices place them, and (T,) int64 their PEs.

    Args:
        sim: static lanes; left as they are.
        lane: where the choices begin.
        choices: to the end of the plan.
    """
    twin = sim.like(1, observe=False)
    twin.adopt(sim, np.array([lane]))
    for choice in choices:
        twin.step(np.array([choice], np.int32))
    done = twin.state.executions[0, : int(twin.state.num_executions[0])].astype(np.int64)
    pe = np.empty(len(done), np.int64)
    pe[done[:, TASK]] = done[:, PE]
    return done[:, TASK], pe
