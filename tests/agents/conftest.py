"""A VM-rescheduling problem so small that a policy learns it in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from rlsched.agents.policy import GraphPolicy
from rlsched.config.schema import AgentConfig, TrainConfig, TrainerConfig
from rlsched.core.policy import Policy
from rlsched.core.registry import problem
from rlsched.core.simulator import Simulator
from rlsched.envs.vmr.problem import VMRConfig

NUM_HELD_OUT = 64


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def config() -> TrainConfig:
    """6 PMs, 4 migrations; the reference loop finds good plans within 10,000 choices."""
    return TrainConfig(
        env=VMRConfig(num_pms=6, num_instances=64, migration_limit=4, migration_limit_spread=0.0),
        trainer=TrainerConfig(
            name="reference",
            total_steps=60_000,
            num_envs=64,
            rollout_length=16,
            minibatch_size=256,
            lr=3e-3,
            warm_start="none",
            warm_start_lr=3e-3,
        ),
        agent=AgentConfig(hidden=32, layers=1),
    )


@pytest.fixture
def small(config: TrainConfig) -> TrainConfig:
    """The same, with rollouts and a network that cost next to nothing."""
    trainer = replace(config.trainer, num_envs=8, rollout_length=8, minibatch_size=32)
    return replace(config, trainer=trainer, agent=AgentConfig(hidden=8, layers=1))


@pytest.fixture
def make() -> Callable[[TrainConfig], SimpleNamespace]:
    """Return a maker of lanes and a fresh network for a config."""

    def make(config: TrainConfig, seed: int = 0) -> SimpleNamespace:
        sim = problem("vmr").make(config.env, config.trainer.num_envs, seed=seed)
        torch.manual_seed(seed)
        return SimpleNamespace(sim=sim, network=GraphPolicy(sim.graph, config.agent))

    return make


@pytest.fixture
def held_out(config: TrainConfig) -> Callable[[Policy], float]:
    """Return a function that gives a policy's mean fragment rate on held-out clusters."""
    instances = problem("vmr").generate_instances(config.env, NUM_HELD_OUT, 0, "validation")
    sim: Simulator = problem("vmr").make(config.env, NUM_HELD_OUT, instances=instances)

    def fragment_rate(policy: Policy) -> float:
        sim.reset(seed=0, instances=range(NUM_HELD_OUT))
        policy.play(sim)
        return float(sim.metrics()["fragment_rate"].mean())

    return fragment_rate


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """Start one Ray for all tests that need it: starting it is most of their time."""
    import ray

    from rlsched.agents.ray_session import start_ray, stop_ray

    started = start_ray(TrainConfig(env=VMRConfig()), num_cpus=3)
    assert ray.is_initialized()
    yield
    stop_ray(started)
