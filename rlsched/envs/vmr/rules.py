"""Rules (being written)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.policy import Policy
from rlsched.envs.vmr.simulator import VMRSimulator, random_choice


class RandomPolicy(Policy):
    """Uniform among the legal choices; stops only where nothing else is legal."""

    name = "random"

    def choose(self, sim: VMRSimulator) -> NDArray[np.int32]:  # type: ignore[override]
        choice = np.zeros(sim.num_envs, np.int32)
        random_choice(sim.num_envs, sim.state, 0, choice)
        return choice


RULES: dict[str, Callable[..., Any]] = {"random": lambda config, option="": RandomPolicy()}
