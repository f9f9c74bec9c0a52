"""Teachers: what rollouts think of each choice, or where an exact schedule puts each task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlsched.core.policy import Teacher
from rlsched.core.simulator import Simulator
from rlsched.envs.soc.rules import PARALLEL, costs_of_ways, ways_on
from rlsched.envs.soc.simulator import SocSimulator

TEMPERATURE = 0.02
"""Critical paths by which a choice must be worse to be e times less likely."""


class RolloutTeacher(Teacher):
    """Every choice as likely as what comes of it is short if the best of several rules goes on.

    Source: parallel rollout, Chang et al. (2004); DAgger, Ross et al. (2011).
    """

    name = "rollout"

    def targets(self, sim: Simulator) -> NDArray[np.float32]:
        assert isinstance(sim, SocSimulator)
        out = np.zeros((sim.num_envs, sim.num_choices), np.float32)
        ways = ways_on(sim, np.asarray(sim.action_mask).argmax(axis=1).astype(np.int32))
        cost = costs_of_ways(sim, ways, PARALLEL)
        least = np.full(out.shape, np.inf)
        np.minimum.at(least, (ways.lane, ways.first[:, 0]), cost)
        best = least.min(axis=1, keepdims=True)
        best[~np.isfinite(best)] = 0.0
        unit = sim.host_work.unit[sim.state.instance][:, None]
        out[:] = np.exp((best - least) / (TEMPERATURE * unit))
        return out / np.maximum(out.sum(axis=1, keepdims=True), 1e-9)
