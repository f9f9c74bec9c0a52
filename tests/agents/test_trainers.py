"""RLlib and Stable-Baselines3 learn as the reference loop does, and can be saved and continued."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rlsched.agents.policy import TorchPolicy
from rlsched.agents.ppo import ReferencePhase
from rlsched.agents.progress import RETURN
from rlsched.core.registry import problem

pytest.importorskip("ray")
pytest.importorskip("sb3_contrib")

STEPS = 10_240
TRAINERS = ("reference", "rllib", "sb3")


def start(trainer: str, config, scene):
    if trainer == "rllib":
        from rlsched.agents.rllib import RllibPhase

        return RllibPhase(scene.network, scene.sim, config)
    if trainer == "sb3":
        from rlsched.agents.sb3 import Sb3Phase

        return Sb3Phase(scene.network, scene.sim, config)
    return ReferencePhase(scene.network, scene.sim, config.trainer, config.seed)


@pytest.fixture
def learned(config, make, held_out):
    """Return a function that trains for ``STEPS`` choices and gives the held-out fragment rate."""

    def learned(trainer: str) -> float:
        scene = make(config)
        phase = start(trainer, config, scene)
        while phase.steps < STEPS:
            phase.iterate()
        phase.sync()
        phase.close()
        return held_out(TorchPolicy(scene.network))

    return learned


def test_rllib_and_the_reference_loop_learn_alike(shared_ray, config, learned, held_out):
    random = held_out(problem("vmr").rules["random"](config.env))
    reference, rllib = learned("reference"), learned("rllib")
    assert reference < random - 0.2
    assert rllib < random - 0.2
    assert abs(reference - rllib) < 0.1


def test_sb3_learns(config, learned, held_out):
    assert learned("sb3") < held_out(problem("vmr").rules["random"](config.env)) - 0.2


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_trainer_logs_the_same_figures(trainer, shared_ray, small, make):
    phase = start(trainer, small, make(small))
    figures = phase.iterate()
    phase.close()
    losses = {"loss", "policy_loss", "value_loss", "entropy", RETURN}
    assert losses <= figures.keys()
    assert figures.keys() - losses == set(make(small).sim.metrics())
    assert all(isinstance(v, float) for v in figures.values())


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_trainer_starts_from_the_networks_weights_and_goes_on_from_its_tensors(
    trainer, shared_ray, small, make
):
    scene = make(small)
    phase = start(trainer, small, scene)
    phase.sync()
    fresh = make(small).network.state_dict()
    assert all(torch.equal(v, fresh[k]) for k, v in scene.network.state_dict().items())
    for _ in range(2):
        phase.iterate()
    phase.sync()
    saved, steps = phase.tensors(), phase.steps
    weights = {k: v.clone() for k, v in scene.network.state_dict().items()}
    phase.close()
    assert any(not torch.equal(v, fresh[k]) for k, v in weights.items())
    assert all(name.startswith("optimizer.") for name in saved)

    other = make(small, seed=1)
    other.network.load_state_dict(weights)
    resumed = start(trainer, small, other)
    resumed.restore({**saved, "network.ignored": torch.zeros(1)}, steps)
    resumed.sync()
    ours = resumed.tensors()
    assert ours.keys() == saved.keys()
    assert all(torch.equal(ours[k], saved[k]) for k in saved)
    assert all(torch.equal(v, weights[k]) for k, v in other.network.state_dict().items())
    resumed.iterate()
    assert resumed.steps == steps * 3 // 2
    resumed.close()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_learning_rate_falls_to_zero(trainer, shared_ray, small, make):
    """A phase resumed one step before its end moves the weights by almost nothing."""
    scene = make(small)
    phase = start(trainer, small, scene)
    phase.iterate()
    phase.sync()
    before = {k: v.clone() for k, v in scene.network.state_dict().items()}
    phase.restore(phase.tensors(), phase.total_steps - 1)
    phase.iterate()
    phase.sync()
    phase.close()
    assert phase.is_done
    moved = max(float((v - before[k]).abs().max()) for k, v in scene.network.state_dict().items())
    assert moved < 1e-6


def test_sb3_shares_the_networks_weights(small, make):
    scene = make(small)
    phase = start("sb3", small, scene)
    assert phase.model.policy.network is scene.network
    assert next(iter(phase.model.policy.parameters())) is next(scene.network.parameters())


def test_a_killed_environment_runner_comes_back_with_the_learners_weights(shared_ray, small, make):
    import ray

    small = replace(small, trainer=replace(small.trainer, num_env_runners=1))
    scene = make(small)
    phase = start("rllib", small, scene)
    phase.iterate()
    group = phase.algorithm.env_runner_group
    ray.kill(next(iter(group._worker_manager.actors().values())), no_restart=False)
    figures = [phase.iterate() for _ in range(2)]
    assert all("loss" in f for f in figures)
    assert phase.steps == 3 * 64
    assert group.num_healthy_remote_workers() == 1
    assert group.num_remote_worker_restarts() == 1
    phase.sync()
    (theirs,) = group.foreach_env_runner(
        lambda runner: runner.module.network.state_dict(), local_env_runner=False
    )
    assert all(torch.equal(v, theirs[k]) for k, v in scene.network.state_dict().items())
    phase.close()
