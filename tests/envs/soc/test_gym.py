"""The Gymnasium environments of the SoC keep Gymnasium's rules and ours."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from soc_plays import BANK, STATIC_BANK

import rlsched
from rlsched.core.gym import SimulatorVectorEnv
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.testing import check_vector_env

TINY = {"generator": "mix-4x2", "num_instances": 2, "num_jobs": 3, "queue": 2}


@pytest.mark.parametrize("mode", ["streaming", "static"])
def test_the_single_environment_passes_gymnasiums_checker(mode):
    env = rlsched.make("soc", mode=mode, **TINY)
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
    [{}, {"defer": True, "noise": "0.2"}, {"dvfs": "choose", "comm": "memory"}],
    ids=["plain", "wait and noise", "points and memory"],
)
def test_the_vector_environment_keeps_the_rules(options):
    check_vector_env(
        lambda num: SimulatorVectorEnv(
            SocSimulator(BANK[:4], num, num_jobs=3, length=0, queue=2, **options)
        ),
        (1, 3, 64),
        30,
    )


def test_the_vector_environment_keeps_the_rules_in_static_mode():
    check_vector_env(
        lambda num: SimulatorVectorEnv(SocSimulator(STATIC_BANK[:4], num, mode="static")),
        (1, 3, 64),
        30,
    )


def test_it_is_registered():
    env = gym.make("rlsched/SoC-v0", **TINY)
    observation, info = env.reset(seed=1)
    assert observation["action_mask"].any()
    assert next(iter(info)) == "latency"
    assert {"latency", "throughput"} <= info.keys()


def test_a_picture_of_an_episode():
    pytest.importorskip("matplotlib")
    env = rlsched.make("soc", render_mode="rgb_array", **TINY)
    env.reset(seed=0)
    done = False
    while not done:
        _, _, done, _, _ = env.step(int(np.flatnonzero(env.action_masks())[0]))
    picture = env.render()
    assert picture.ndim == 3
    assert picture.std() > 0
