"""MaskablePPO of sb3-contrib, the second trainer: our lanes its VecEnv, our network its policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.distributions import MaskableDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from rlsched.agents.checkpoint import optimizer_tensors, restore_optimizer
from rlsched.agents.phase import Phase
from rlsched.agents.policy import GraphPolicy
from rlsched.agents.progress import RETURN
from rlsched.config.schema import TrainConfig
from rlsched.core.simulator import Simulator, host

LOSSES = {
    "train/loss": "loss",
    "train/policy_gradient_loss": "policy_loss",
    "train/value_loss": "value_loss",
    "train/entropy_loss": "entropy",
}
"""SB3's names of the figures, and ours; its entropy loss is minus the entropy."""


class Sb3Phase(Phase):
    """The PPO phase by Stable-Baselines3, one rollout at a time.

    Args:
        network: learned in place; SB3's policy holds this very module.
        sim: lanes to play; they are reset.
        config: of the whole run.
    """

    def __init__(self, network: GraphPolicy, sim: Simulator, config: TrainConfig) -> None:
        trainer = config.trainer
        self.network, self.lr = network, trainer.lr
        self.steps, self.total_steps = 0, trainer.total_steps
        self.env = LanesVecEnv(sim, config.seed)
        self.model = MaskablePPO(
            PointerPolicy,
            self.env,
            n_steps=trainer.rollout_length,
            batch_size=trainer.minibatch_size,
            n_epochs=trainer.num_epochs,
            learning_rate=lambda _: self.lr * max(0.0, 1 - self.steps / self.total_steps),
            gamma=trainer.gamma,
            gae_lambda=trainer.gae_lambda,
            clip_range=trainer.clip,
            ent_coef=trainer.entropy_coef,
            vf_coef=trainer.value_coef,
            max_grad_norm=trainer.max_grad_norm,
            policy_kwargs={"network": network},
            seed=config.seed,
            device=next(network.parameters()).device,
        )
        self.model.set_logger(configure(None, []))

    def iterate(self) -> dict[str, float]:
        """Let SB3 play one rollout and learn from it; return the reference loop's figures."""
        num_steps = self.model.n_steps * self.model.n_envs
        unlogged: Any = None
        self.model.learn(num_steps, log_interval=unlogged, reset_num_timesteps=False)
        self.steps += num_steps
        recorded = self.model.logger.name_to_value
        figures = {ours: float(recorded[theirs]) for theirs, ours in LOSSES.items()}
        figures["entropy"] *= -1
        return figures | self.env.ended_figures()

    def tensors(self) -> dict[str, Tensor]:
        return optimizer_tensors(self.model.policy.optimizer)

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        self.steps = steps
        restore_optimizer(self.model.policy.optimizer, tensors)


class PointerPolicy(MaskableActorCriticPolicy):
    """SB3's policy interface around a :class:`GraphPolicy`, which it shares and does not copy.

    Args:
        network: the network.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        lr_schedule: Any,
        network: GraphPolicy,
        **kwargs: Any,
    ) -> None:
        self._given = [network]  # in a list: modules cannot be registered before Module.__init__
        super().__init__(
            observation_space, action_space, lr_schedule, normalize_images=False, **kwargs
        )

    def _build(self, lr_schedule: Any) -> None:
        self.network = self._given.pop()
        options: dict[str, Any] = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.network.parameters(), **options)

    def forward(  # type: ignore[override]
        self, obs: Any, deterministic: bool = False, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        distribution, values = self._distribution(obs, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(  # type: ignore[override]
        self, obs: Any, actions: Tensor, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        distribution, values = self._distribution(obs, action_masks)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any, action_masks: Any = None) -> MaskableDistribution:
        return self._distribution(obs, action_masks)[0]

    def predict_values(self, obs: Any) -> Tensor:
        return self.network(obs)[1][:, None]

    def _distribution(self, obs: Any, action_masks: Any) -> tuple[MaskableDistribution, Tensor]:
        logits, values = self.network(obs)
        distribution = self.action_dist.proba_distribution(action_logits=logits)
        if action_masks is not None:
            distribution.apply_masking(action_masks)
        return distribution, values[:, None]


class LanesVecEnv(VecEnv):
    """B lanes as SB3's vector environment: a lane that ends is reset within the same step.

    Args:
        sim: the lanes.
        seed: of the instances drawn and of the lanes' random numbers.
    """

    def __init__(self, sim: Simulator, seed: int) -> None:
        self.sim, self._first_seed, self.render_mode = sim, seed, None
        space = sim.graph.space(sim.sizes, sim.num_edges)
        super().__init__(sim.num_envs, space, gym.spaces.Discrete(sim.num_choices))
        self._returns = np.zeros(sim.num_envs)
        self._ended: dict[str, list[float]] = {}

    def reset(self) -> dict[str, NDArray]:
        self.sim.reset(seed=self._first_seed)
        self._returns[:] = 0
        return self._observation()

    def step_async(self, actions: NDArray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[dict[str, NDArray], NDArray, NDArray, list[dict]]:
        sim = self.sim
        sim.step(self._actions)
        reward, done = np.array(host(sim.reward)), np.array(host(sim.terminated))
        self._returns += reward
        if done.any():
            self._ended.setdefault(RETURN, []).extend(self._returns[done].tolist())
            for name, figure in sim.metrics().items():
                self._ended.setdefault(name, []).extend(figure[done].tolist())
            self._returns[done] = 0
            sim.reset(done)
        return self._observation(), reward, done, [{} for _ in range(self.num_envs)]

    def ended_figures(self) -> dict[str, float]:
        """Return mean return and final metrics of the episodes ended since the last call."""
        figures = {name: float(np.mean(values)) for name, values in self._ended.items()}
        self._ended = {}
        return figures

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        if method_name != "action_masks":
            raise AttributeError(method_name)
        return list(np.array(host(self.sim.action_mask)))

    def has_attr(self, attr_name: str) -> bool:
        return attr_name == "action_masks"

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs

    def get_images(self) -> Sequence[NDArray | None]:
        return [None] * self.num_envs

    def close(self) -> None:
        """Nothing to close: the lanes belong to the caller."""

    def _observation(self) -> dict[str, NDArray]:
        return {key: np.array(host(value)) for key, value in self.sim.observation().items()}
