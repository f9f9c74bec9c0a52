from __future__ import annotations

import pytest
import torch

from rlsched.agents.ppo import ReferencePhase, ppo_losses
from rlsched.agents.progress import RETURN
from rlsched.agents.rollout import Collector, gae


def test_gae_of_three_steps_worked_by_hand():
    """gamma = lambda = 1/2; the second step ends an episode, so nothing flows back over it."""
    rewards = torch.tensor([[1.0], [0.0], [2.0]])
    values = torch.tensor([[1.0], [2.0], [3.0]])
    dones = torch.tensor([[False], [True], [False]])
    advantages, returns = gae(rewards, values, dones, torch.tensor([4.0]), 0.5, 0.5)
    # t=2: 2 + 4/2 - 3 = 1.  t=1: 0 - 2 = -2.  t=0: (1 + 2/2 - 1) + (-2)/4 = 0.5.
    assert advantages.flatten().tolist() == [0.5, -2.0, 1.0]
    assert returns.flatten().tolist() == [1.5, 0.0, 4.0]


def test_gae_with_lambda_one_is_the_return_minus_the_value():
    rewards, values = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [0.25], [0.0]])
    dones = torch.tensor([[False], [False], [True]])
    _, returns = gae(rewards, values, dones, torch.tensor([100.0]), 1.0, 1.0)
    assert returns.flatten().tolist() == [7.0, 6.0, 4.0]


def test_gae_discounts_by_the_time_that_each_step_took():
    """Factors 1/2 and 1/4 as for steps of one and two units of time; lambda = 1."""
    rewards, values = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [0.25]])
    dones, factors = torch.zeros(2, 1, dtype=torch.bool), torch.tensor([[0.5], [0.25]])
    _, returns = gae(rewards, values, dones, torch.tensor([8.0]), factors, 1.0)
    assert returns.flatten().tolist() == [1.0 + 0.5 * 4.0, 2.0 + 0.25 * 8.0]


@pytest.fixture
def played(small, make):
    scene = make(small)
    collector = Collector(scene.sim, 0)
    rollout = collector.collect(scene.network, 16, 1.0, 0.95)
    return scene, collector, rollout


def test_the_ratio_is_one_before_the_first_update(small, played):
    scene, _, rollout = played
    rows, advantages = torch.arange(40), torch.randn(40)
    losses = ppo_losses(scene.network, rollout, rows, advantages, small.trainer)
    assert losses["policy_loss"].item() == pytest.approx(-advantages.mean().item(), abs=1e-5)
    small.trainer.clip = 1e-4  # even the narrowest clip changes nothing then
    narrow = ppo_losses(scene.network, rollout, rows, advantages, small.trainer)
    assert narrow["policy_loss"].item() == pytest.approx(losses["policy_loss"].item(), abs=1e-4)


def test_a_rollout_is_time_major_and_holds_what_the_network_saw(small, played):
    scene, _, rollout = played
    lanes = scene.sim.num_envs
    assert rollout.num_steps == 16 * lanes
    logits, values = scene.network(rollout.observation)
    assert torch.allclose(logits, rollout.logits, atol=1e-5)
    assert torch.allclose(rollout.returns - rollout.advantages, values, atol=1e-4)
    chosen = torch.log_softmax(rollout.logits, -1).gather(1, rollout.actions[:, None])
    assert torch.allclose(chosen.squeeze(1), rollout.log_probs, atol=1e-6)


def test_an_episodes_return_is_the_sum_of_its_rewards(small, make):
    """Without a value and a discount, the value target of a lane's first state is its return."""
    scene = make(small)
    for p in scene.network.value.parameters():
        torch.nn.init.zeros_(p)
    # 9 choices: every lane has ended once by then (4 migrations of 2 choices each, or STOP).
    rollout = Collector(scene.sim, 0).collect(scene.network, 9, 1.0, 1.0)
    firsts = rollout.returns[: scene.sim.num_envs]
    ended = torch.tensor(rollout.episode_returns)
    assert len(ended) >= len(firsts)
    assert all(len(v) == len(ended) for v in rollout.episode_metrics.values())
    assert all((ended - first).abs().min() < 1e-5 for first in firsts)


def test_equal_seeds_give_equal_training(small, make):
    runs = []
    for _ in range(2):
        scene = make(small)
        phase = ReferencePhase(scene.network, scene.sim, small.trainer, seed=3)
        runs.append([phase.iterate() for _ in range(3)])
    assert runs[0] == runs[1]


def test_the_reference_loop_goes_on_from_its_tensors(small, make):
    scene = make(small)
    phase = ReferencePhase(scene.network, scene.sim, small.trainer, seed=0)
    assert RETURN in phase.iterate()
    other = make(small, seed=1)
    resumed = ReferencePhase(other.network, other.sim, small.trainer, seed=0)
    resumed.restore(phase.tensors(), phase.steps)
    assert resumed.steps == phase.steps == 64
    ours, theirs = resumed.tensors(), phase.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
