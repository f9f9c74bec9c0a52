"""The Gymnasium environments of the job shop keep Gymnasium's rules and ours."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlsched
from rlsched.core.gym import SimulatorVectorEnv
from rlsched.envs.jobshop.instances import generate_shop, generator_config
from rlsched.envs.jobshop.simulator import JobShopSimulator
from rlsched.testing import check_vector_env

BANK = [generate_shop(generator_config("tiny"), seed) for seed in range(4)]


def test_the_single_environment_passes_gymnasiums_checker():
    env = rlsched.make("jobshop", generator="tiny", num_instances=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*different from the unwrapped.*")
        check_env(_Masked(env), skip_render_check=True)


class _Masked(gym.Wrapper):
    """Replaces a masked action by the first allowed one, as the checker samples blindly."""

    def step(self, action):
        mask = self.env.unwrapped.action_masks()
        return self.env.step(action if mask[action] else mask.argmax())


@pytest.mark.parametrize(
    "options",
    [{}, {"buffer": float("inf")}, {"interruption": "start:0.3"}, {"swap": "off"}],
    ids=["blocking", "classic", "interruptions", "deadlocks"],
)
def test_the_vector_environment_keeps_the_rules(options):
    check_vector_env(
        lambda num: SimulatorVectorEnv(JobShopSimulator(BANK, num, **options)), (1, 3, 64), 40
    )


def test_it_is_registered():
    env = gym.make("rlsched/JobShop-v0", generator="tiny", num_instances=2)
    observation, info = env.reset(seed=1)
    assert observation["action_mask"].any()
    assert info["makespan"] == 0


def test_a_picture_of_an_episode():
    pytest.importorskip("matplotlib")
    env = rlsched.make("jobshop", generator="tiny", num_instances=1, render_mode="rgb_array")
    env.reset(seed=0)
    done = False
    while not done:
        _, _, done, _, _ = env.step(int(np.flatnonzero(env.action_masks())[0]))
    picture = env.render()
    assert picture.ndim == 3
    assert picture.std() > 0
