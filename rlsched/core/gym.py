"""Gymnasium Env and VectorEnv over any Simulator; no problem logic here."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlsched.core.simulator import Simulator, host

Observation = dict[str, NDArray]


class SimulatorVectorEnv(VectorEnv):
    """B lanes as a Gymnasium vector environment; autoreset mode NEXT_STEP.

    A lane that ended ignores its next action: that step resets it and returns the first observation
    of its new episode with reward 0. ``infos`` holds the problem's metrics of the lanes, (B,) each,
    and while a lane has just ended its ``_<metric>`` flag is True.

    Args:
        simulator: the lanes.
        seed: seed until ``reset(seed=...)`` gives another.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": ["rgb_array"],
    }

    def __init__(self, simulator: Simulator, seed: int = 0, render_mode: str | None = None) -> None:
        self.simulator, self._seed, self.render_mode = simulator, seed, render_mode
        self.num_envs = simulator.num_envs
        self.single_observation_space = simulator.graph.space(simulator.sizes, simulator.num_edges)
        self.single_action_space = gym.spaces.Discrete(simulator.num_choices)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset all lanes, or those of ``options["reset_mask"]``; of seeds the first counts."""
        if isinstance(seed, list | tuple):
            seed = seed[0]
        mask = (options or {}).get("reset_mask")
        self.simulator.reset(mask, seed=seed, instances=(options or {}).get("instances"))
        self._ended[slice(None) if mask is None else mask] = False
        return self._observation(), {}

    def step(
        self, actions: NDArray
    ) -> tuple[Observation, NDArray, NDArray, NDArray, dict[str, Any]]:
        """Step every lane; those that ended in the step before are reset instead."""
        sim, resetting = self.simulator, self._ended
        sim.step(np.asarray(actions))
        reward = np.where(resetting, 0.0, host(sim.reward)).astype(np.float32)
        terminated = host(sim.terminated) & ~resetting
        infos: dict[str, Any] = {}
        for name, value in sim.metrics().items():
            infos[name], infos[f"_{name}"] = value, terminated.copy()
        if resetting.any():
            sim.reset(resetting)
        self._ended = terminated
        return self._observation(), reward, terminated.copy(), np.zeros_like(terminated), infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """Return one picture per lane in ``rgb_array`` mode."""
        if self.render_mode != "rgb_array":
            return None
        return tuple(self.simulator.render(lane) for lane in range(self.num_envs))

    def _observation(self) -> Observation:
        return {key: np.array(host(value)) for key, value in self.simulator.observation().items()}


class SimulatorEnv(gym.Env):
    """One lane as a Gymnasium environment."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, simulator: Simulator, render_mode: str | None = None) -> None:
        if simulator.num_envs != 1:
            raise ValueError(f"num_envs={simulator.num_envs}; a single environment has one lane.")
        self.simulator, self.render_mode = simulator, render_mode
        self.observation_space = simulator.graph.space(simulator.sizes, simulator.num_edges)
        self.action_space = gym.spaces.Discrete(simulator.num_choices)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        instance = (options or {}).get("instance")
        self.simulator.reset(seed=seed, instances=None if instance is None else [instance])
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        sim = self.simulator
        sim.step(np.array([action]))
        reward, terminated = float(sim.reward[0]), bool(sim.terminated[0])
        return self._observation(), reward, terminated, False, self._info()

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        return self.simulator.render(0) if self.render_mode == "rgb_array" else None

    def action_masks(self) -> NDArray[np.bool_]:
        """Return (A,) bool, the name sb3-contrib's MaskablePPO looks for."""
        return np.array(host(self.simulator.action_mask)[0])

    def _observation(self) -> Observation:
        observation = self.simulator.observation()
        return {key: np.array(host(value)[0]) for key, value in observation.items()}

    def _info(self) -> dict[str, Any]:
        return {name: value[0].item() for name, value in self.simulator.metrics().items()}
