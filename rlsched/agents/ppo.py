"""Reference PPO: the readable loop, and what trains where Ray is not installed.

Source: Schulman et al. (2017), "Proximal policy optimization algorithms"; details as in CleanRL.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rlsched.agents.checkpoint import optimizer_tensors, restore_optimizer
from rlsched.agents.phase import Phase
from rlsched.agents.policy import GraphPolicy
from rlsched.agents.progress import RETURN
from rlsched.agents.rollout import Collector, Rollout
from rlsched.config.schema import TrainerConfig
from rlsched.core.simulator import Simulator


class ReferencePhase(Phase):
    """Rollout, update, repeat, until ``total_steps`` choices are made.

    Args:
        network: learned in place.
        sim: lanes to play; they are reset.
        config: of the trainer.
        seed: of every random choice.
    """

    def __init__(
        self, network: GraphPolicy, sim: Simulator, config: TrainerConfig, seed: int
    ) -> None:
        self.network, self.config = network, config
        self.steps, self.total_steps = 0, config.total_steps
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, eps=1e-5)
        self.collector = Collector(sim, seed, next(network.parameters()).device, config.matching)
        self._rng = torch.Generator().manual_seed(seed)

    def iterate(self) -> dict[str, float]:
        """Play one rollout and learn from it; return its figures."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * max(0.0, 1 - self.steps / self.total_steps)
        rollout = self.collector.collect(
            self.network, config.rollout_length, config.gamma, config.gae_lambda
        )
        figures = update(self.network, self.optimizer, rollout, config, self._rng)
        self.steps += rollout.num_steps
        if rollout.episode_returns:
            figures[RETURN] = float(np.mean(rollout.episode_returns))
            figures |= {k: float(np.mean(v)) for k, v in rollout.episode_metrics.items()}
        return figures

    def tensors(self) -> dict[str, Tensor]:
        return optimizer_tensors(self.optimizer)

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        self.steps = steps
        restore_optimizer(self.optimizer, tensors)


def update(
    network: GraphPolicy,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    config: TrainerConfig,
    generator: torch.Generator,
) -> dict[str, float]:
    """Improve the network on one rollout; return the mean losses of its minibatches."""
    advantages = rollout.advantages
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    sums: dict[str, float] = {}
    batches = 0
    for _ in range(config.num_epochs):
        order = torch.randperm(rollout.num_steps, generator=generator)
        for rows in order.split(config.minibatch_size):
            losses = ppo_losses(network, rollout, rows, advantages[rows], config)
            optimizer.zero_grad()
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.max_grad_norm)
            optimizer.step()
            batches += 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
    return {name: value / batches for name, value in sums.items()}


def ppo_losses(
    network: GraphPolicy, rollout: Rollout, rows: Tensor, advantages: Tensor, config: TrainerConfig
) -> dict[str, Tensor]:
    """Return the clipped objective's parts for the given rows of a rollout."""
    logits, values = network({key: x[rows] for key, x in rollout.observation.items()})
    log_probs = torch.log_softmax(logits, dim=-1)
    chosen = log_probs.gather(1, rollout.actions[rows, None]).squeeze(1)
    ratio = (chosen - rollout.log_probs[rows]).exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
    value_loss = nn.functional.mse_loss(values, rollout.returns[rows])
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    loss = policy_loss + config.value_coef * value_loss - config.entropy_coef * entropy
    return {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
