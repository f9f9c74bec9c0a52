"""Warm start: a network learns a teacher's choices before it learns from reward."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlsched.agents.checkpoint import optimizer_tensors, restore_optimizer
from rlsched.agents.phase import Phase
from rlsched.agents.policy import GraphPolicy
from rlsched.agents.rollout import discounts, gae, observe
from rlsched.config.schema import TrainerConfig
from rlsched.core.policy import Policy, Teacher
from rlsched.core.simulator import Simulator

VALUE_WEIGHT = 0.5


class PolicyTeacher(Teacher):
    """Any policy that chooses, as a teacher: all probability on its choice."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.name = policy, policy.name

    def targets(self, sim: Simulator) -> NDArray[np.float32]:
        out = np.zeros((sim.num_envs, sim.num_choices), np.float32)
        out[np.arange(sim.num_envs), self.policy.choose(sim)] = 1.0
        out[np.asarray(sim.terminated)] = 0.0
        return out


class ImitationPhase(Phase):
    """Gradient steps towards a teacher, on states that teacher and student visit together.

    Args:
        network: the student.
        sim: lanes to play; they are reset.
        teacher: the teacher.
        config: ``warm_start_steps`` gradient steps at ``warm_start_lr``, falling linearly to a
            tenth;
            ``student_share`` of the lanes' choices are the student's, so that it also learns to
            recover (DAgger, Ross et al. 2011).
        seed: of every random choice.
    """

    def __init__(
        self,
        network: GraphPolicy,
        sim: Simulator,
        teacher: Teacher,
        config: TrainerConfig,
        seed: int,
    ) -> None:
        self.network, self.sim, self.teacher, self.config = network, sim, teacher, config
        self.steps, self.total_steps = 0, config.warm_start_steps
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.warm_start_lr)
        self._rng = np.random.default_rng(seed)
        self._torch_rng = torch.Generator().manual_seed(seed)
        sim.reset(seed=seed)

    def tensors(self) -> dict[str, Tensor]:
        return optimizer_tensors(self.optimizer)

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        self.steps = steps
        restore_optimizer(self.optimizer, tensors)

    def iterate(self) -> dict[str, float]:
        """Play one rollout and learn from it once; return the mean losses."""
        observation, targets, returns = self._collect()
        sums = {"imitation_loss": 0.0, "value_loss": 0.0}
        order = torch.randperm(len(targets), generator=self._torch_rng).split(
            self.config.minibatch_size
        )
        for rows in order:
            left = 1 - 0.9 * min(1.0, self.steps / self.total_steps)
            self.optimizer.param_groups[0]["lr"] = left * self.config.warm_start_lr
            logits, value = self.network({key: x[rows] for key, x in observation.items()})
            log_probs = torch.log_softmax(logits, dim=-1)
            # Kullback-Leibler: the targets' own entropy is constant but keeps the figure's zero at
            # zero.
            goal = targets[rows]
            loss = (goal * (goal.clamp(min=1e-9).log() - log_probs)).sum(-1).mean()
            value_loss = nn.functional.mse_loss(value, returns[rows])
            self.optimizer.zero_grad()
            (loss + VALUE_WEIGHT * value_loss).backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.steps += 1
            sums["imitation_loss"] += float(loss.detach()) / len(order)
            sums["value_loss"] += float(value_loss.detach()) / len(order)
        return sums

    @torch.no_grad()
    def _collect(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        sim, rows, device = self.sim, [], next(self.network.parameters()).device
        for _ in range(self.config.rollout_length):
            observation = observe(sim, device)
            targets = self.teacher.targets(sim)
            logits, value = self.network(observation)
            choice = self._mix(targets, torch.softmax(logits, dim=-1).cpu().numpy())
            self.teacher.advance(sim, choice)
            sim.step(choice)
            reward, done = np.array(sim.reward), np.array(sim.terminated)
            figures = (targets, reward, done, discounts(sim, self.config.gamma))
            rows.append((observation, value, *(torch.from_numpy(x).to(device) for x in figures)))
            if done.any():
                sim.reset(done)
        last = self.network(observe(sim, device))[1]
        observations, values, goals, *outcome = zip(*rows, strict=True)
        rewards, dones, kept = (torch.stack(x) for x in outcome)
        _, returns = gae(rewards, torch.stack(values), dones, last, kept, 1.0)
        joined = {key: torch.cat([o[key] for o in observations]) for key in observations[0]}
        return joined, torch.cat(goals), returns.flatten(0, 1)

    def _mix(self, targets: NDArray, student: NDArray) -> NDArray[np.int32]:
        """Draw each lane's choice from the teacher's probabilities, or from the student's."""
        by_student = self._rng.random(len(targets)) < self.config.student_share
        probs = np.where(by_student[:, None], student, targets).astype(np.float64).cumsum(axis=1)
        draws = self._rng.random(len(targets)) * probs[:, -1]
        return (probs > draws[:, None]).argmax(axis=1).astype(np.int32)
