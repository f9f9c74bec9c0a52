"""rlsched: reinforcement learning for scheduling.

>>> import rlsched
>>> env = rlsched.make("vmr")                     # one Gymnasium environment
>>> envs = rlsched.make_vec("vmr", num_envs=64)   # 64 lanes of the same simulator
>>> policy = rlsched.load_policy("checkpoints/vmr/default")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as _gym

from rlsched.core.registry import GYM_IDS as _GYM_IDS

if TYPE_CHECKING:
    from rlsched.core.gym import SimulatorEnv, SimulatorVectorEnv
    from rlsched.core.policy import Policy

__version__ = "0.1.0"
__all__ = ["__version__", "load_policy", "make", "make_vec"]


def make(
    env: str, *, seed: int = 0, render_mode: str | None = None, **options: Any
) -> SimulatorEnv:
    """Return one Gymnasium environment.

    Args:
        env: registered name, e.g. ``"vmr"``.
        seed: of the generated instances and the lanes.
        render_mode: ``"rgb_array"`` or None.
        options: fields of the environment's config, and ``instances=[...]``.

    Raises:
        UnknownName: there is no such environment.
        ConfigError: an option is unknown or not allowed.
    """
    from rlsched.core.gym import SimulatorEnv

    return SimulatorEnv(_simulator(env, 1, seed, options), render_mode)


def make_vec(
    env: str, num_envs: int = 1, *, seed: int = 0, render_mode: str | None = None, **options: Any
) -> SimulatorVectorEnv:
    """Return ``num_envs`` lanes as one Gymnasium vector environment; else as :func:`make`."""
    from rlsched.core.gym import SimulatorVectorEnv

    return SimulatorVectorEnv(_simulator(env, num_envs, seed, options), seed, render_mode)


def load_policy(path: str, device: str = "cpu") -> Policy:
    """Return the policy of a checkpoint folder or of an exported ``.onnx`` file.

    Raises:
        CheckpointError: it is missing, corrupted, or of another schema.
    """
    from rlsched.evaluation.policies import load_policy

    return load_policy(path, device)


def _simulator(env: str, num_envs: int, seed: int, options: dict[str, Any]) -> Any:
    from rlsched.core.registry import make_simulator

    return make_simulator(env, num_envs, seed, options)


def _register() -> None:
    for name, gym_id in _GYM_IDS.items():
        _gym.register(
            gym_id,
            entry_point="rlsched:make",
            vector_entry_point="rlsched:make_vec",
            kwargs={"env": name},
            disable_env_checker=True,
            order_enforce=False,
        )


_register()
