"""The exact solver as a policy of static lanes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from rlsched.core.errors import MissingExtra
from rlsched.core.lanes import num_threads
from rlsched.core.simulator import Simulator
from rlsched.envs.soc.dag import make_dag
from rlsched.envs.soc.plans import StaticPlanner, choices_of
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.state import TO_PE

EXACT_TIME_LIMIT_S = 60.0


class Exact(StaticPlanner):
    """CP-SAT on the DAG by the times that are known.

    Attributes:
        time_limit_s: seconds per lane.
    """

    name, needs_observation = "exact", False

    def __init__(self, time_limit_s: float = EXACT_TIME_LIMIT_S) -> None:
        if find_spec("ortools") is None:
            raise MissingExtra("ortools", "exact")
        self.time_limit_s = time_limit_s
        self._bounds: list[float] = []

    def play(self, sim: Simulator) -> int:
        self._bounds = []
        return super().play(sim)

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        from rlsched.envs.soc.exact import solve

        assert isinstance(sim, SocSimulator)
        found = solve(make_dag(sim.workload_of(lane)), self.time_limit_s, num_threads())
        work = sim.host_work
        if work.comm[0] == TO_PE and not work.noise.any():
            self._bounds.append(float(found.bound))
        return choices_of(sim, lane, found.schedule.in_start_order())

    def bound(self) -> float | None:
        """Return the proven bound of the last play, averaged over its lanes.

        None where it is none: with noise, or data that go through shared memory.
        """
        return float(np.mean(self._bounds)) if self._bounds else None
