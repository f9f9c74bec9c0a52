"""Tensor rollouts [T, B] from a simulator, and generalised advantage estimation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlsched.core.errors import ConfigError
from rlsched.core.simulator import Simulator

TASK = "task"
"""The matching of choices by the tasks they are about."""
Forward = Callable[[Mapping[str, Tensor]], tuple[Tensor, Tensor]]


@dataclass
class Rollout:
    """T steps of B lanes, flattened to [T * B, ...] in time-major order.

    Attributes:
        observation: arrays of the observation, raw.
        actions: int64 choices.
        log_probs: float32, of the choices taken.
        logits: float32, of all choices.
        advantages: float32, not normalised.
        returns: float32, targets of the value.
        episode_returns: returns of the episodes that ended here.
        episode_metrics: final metrics of those episodes.
    """

    observation: dict[str, Tensor]
    actions: Tensor
    log_probs: Tensor
    logits: Tensor
    advantages: Tensor
    returns: Tensor
    episode_returns: list[float] = field(default_factory=list)
    episode_metrics: dict[str, list[float]] = field(default_factory=dict)

    @property
    def num_steps(self) -> int:
        return len(self.actions)

    def only(self, rows: NDArray[np.int64]) -> Rollout:
        """Return the steps of these rows."""
        kept = torch.from_numpy(rows)
        names = ("actions", "log_probs", "logits", "advantages", "returns")
        return replace(
            self,
            observation={key: x[kept] for key, x in self.observation.items()},
            **{name: getattr(self, name)[kept] for name in names},
        )


class Collector:
    """Steps a simulator with a network for T steps at a time; lanes are reset as they end.

    Args:
        sim: the lanes; reset on first use.
        seed: of the choices sampled.
        device: of the network, and of the rollouts.
        matching: of choices with what they led to: step or task, see ``TrainerConfig``.
    """

    def __init__(
        self,
        sim: Simulator,
        seed: int,
        device: torch.device | str = "cpu",
        matching: str = "step",
    ) -> None:
        self.sim, self.device, self.matching = sim, device, matching
        self.generator = torch.Generator().manual_seed(seed)
        self._returns = np.zeros(sim.num_envs)
        sim.reset(seed=seed)

    @torch.no_grad()
    def collect(self, forward: Forward, steps: int, gamma: float, gae_lambda: float) -> Rollout:
        """Return ``steps`` steps of every lane, bootstrapped with the value after them."""
        sim = self.sim
        finished = Finished(sim, steps) if self.matching == TASK else None
        rows: list[tuple[Tensor, ...]] = []
        observations: list[dict[str, Tensor]] = []
        ended_returns: list[float] = []
        ended_metrics: dict[str, list[float]] = {}
        for _ in range(steps):
            observation = observe(sim, self.device)
            logits, value = forward(observation)
            log_probs = torch.log_softmax(logits, dim=-1)
            action = torch.multinomial(log_probs.exp().cpu(), 1, generator=self.generator).squeeze(
                -1
            )
            chosen = log_probs.gather(1, action.to(self.device)[:, None]).squeeze(1)
            if finished:
                finished.note(action.numpy())
            sim.step(action.numpy())
            reward, done = np.array(sim.reward), np.array(sim.terminated)
            self._returns += reward
            observations.append(observation)
            outcome = (torch.from_numpy(x) for x in (reward, done, discounts(sim, gamma)))
            rows.append((action, chosen, logits, value, *outcome))
            if done.any():
                ended_returns += self._returns[done].tolist()
                for name, figure in sim.metrics().items():
                    ended_metrics.setdefault(name, []).extend(figure[done].tolist())
                self._returns[done] = 0
                if finished:
                    finished.settle(done)
                sim.reset(done)
        last_value = forward(observe(sim, self.device))[1].cpu()
        actions, chosen, logits, values, rewards, dones, kept = (
            torch.stack(x) for x in zip(*rows, strict=True)
        )
        lam = 1.0 if finished else gae_lambda
        advantages, returns = gae(rewards, values.cpu(), dones, last_value, kept, lam)
        rollout = Rollout(
            observation={key: torch.cat([o[key] for o in observations]) for key in observations[0]},
            actions=actions.flatten().to(self.device),
            log_probs=chosen.flatten(),
            logits=logits.flatten(0, 1),
            advantages=advantages.flatten().to(self.device),
            returns=returns.flatten().to(self.device),
            episode_returns=ended_returns,
            episode_metrics=ended_metrics,
        )
        return rollout if finished is None else rollout.only(finished.rows())


class Finished:
    """Keeps which choices of a rollout were about a task that ended within it.

    Args:
        sim: the lanes.
        steps: T.

    Source: eclectic interaction matching of SoCRATES (Sung et al. 2021): a choice is learned from
    when its task has ended, with the return since the instant of the choice; others are dropped.
    """

    def __init__(self, sim: Simulator, steps: int) -> None:
        self.sim, self.t = sim, 0
        self._subjects = np.zeros((steps, sim.num_envs), np.int64)
        self._begin = np.zeros(sim.num_envs, np.int64)
        self._is_kept = np.zeros((steps, sim.num_envs), np.bool_)

    def note(self, action: NDArray[np.integer]) -> None:
        """Remember what the choices are about, before they are made."""
        subjects = self.sim.subjects(action.astype(np.int32))
        assert subjects is not None
        self._subjects[self.t], self.t = subjects, self.t + 1

    def settle(self, lanes: NDArray[np.bool_]) -> None:
        """Look which tasks of these lanes' episodes have ended, before they are reset."""
        is_of_now = (np.arange(len(self._subjects))[:, None] >= self._begin) & lanes
        is_of_now[self.t :] = False
        self._is_kept |= is_of_now & self.sim.are_settled(self._subjects)
        self._begin[lanes] = self.t

    def rows(self) -> NDArray[np.int64]:
        """Return (T * B,) rows kept, repeated so that batches keep their size; all if none is."""
        self.settle(np.ones(self.sim.num_envs, np.bool_))
        kept = np.flatnonzero(self._is_kept.ravel())
        return np.resize(kept if len(kept) else np.arange(self._is_kept.size), self._is_kept.size)


def check_matching(sim: Simulator, matching: str) -> None:
    """Refuse what the environment cannot do.

    Raises:
        ConfigError: its choices are not about tasks.
    """
    if matching == TASK and sim.subjects(np.zeros(sim.num_envs, np.int32)) is None:
        raise ConfigError(
            f"trainer.matching={TASK} is for environments whose tasks end one by one (soc), "
            f"not {sim.graph.env}; use trainer.matching=step."
        )


def observe(sim: Simulator, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return a copy of the observation as tensors: the simulator overwrites its own in place."""
    return {k: torch.from_numpy(x).to(device, copy=True) for k, x in sim.observation().items()}


def discounts(sim: Simulator, gamma: float) -> NDArray[np.float32]:
    """Return (B,) what the value after the last step counts, by the time that the step took."""
    if sim.elapsed is None:
        return np.full(sim.num_envs, gamma, np.float32)
    return np.power(np.float32(gamma), np.array(sim.elapsed))


def gae(
    rewards: Tensor,
    values: Tensor,
    dones: Tensor,
    last_value: Tensor,
    gamma: float | Tensor,
    lam: float,
) -> tuple[Tensor, Tensor]:
    """Return advantages and value targets, (T, B) each.

    Args:
        rewards: (T, B) float32.
        values: (T, B) float32, of the states acted in.
        dones: (T, B) bool, the episode ended with that step.
        last_value: (B,) float32, of the state after the last step.
        gamma: discount of each step, or (T, B) float32, one each where steps take time.
        lam: GAE's lambda.

    Source: Schulman et al. (2016), "High-dimensional continuous control using GAE", eq. 16.
    """
    advantages, running, following = (
        torch.zeros_like(rewards),
        torch.zeros_like(last_value),
        last_value,
    )
    factors = torch.as_tensor(gamma).expand_as(rewards)
    for t in range(len(rewards) - 1, -1, -1):
        kept = factors[t] * (1.0 - dones[t].float())
        delta = rewards[t] + kept * following - values[t]
        running = delta + lam * kept * running
        advantages[t], following = running, values[t]
    return advantages, advantages + values
