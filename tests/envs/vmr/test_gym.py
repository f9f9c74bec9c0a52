"""Facts about VM rescheduling as a Gymnasium environment, single and vector."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from clusters import random_cluster, worked_example
from gymnasium.utils.env_checker import check_env

import rlsched
from rlsched.core.gym import SimulatorEnv, SimulatorVectorEnv
from rlsched.envs.vmr.simulator import VMRSimulator
from rlsched.testing import check_vector_env, random_legal

BANK = [random_cluster(seed, 4 + seed, constrained=seed == 1) for seed in range(3)]
OPTIONS = {"instances": BANK, "migration_limit": 4}


def vector(num: int, **options) -> SimulatorVectorEnv:
    return SimulatorVectorEnv(VMRSimulator(BANK, num, migration_limit=4, **options))


def test_vector_env_keeps_to_the_rules_with_1_3_and_64_lanes():
    check_vector_env(vector)


def test_an_instance_of_a_vector_env_can_be_checked_too():
    check_vector_env(vector(5, goal=0.1, objective="0.5*fr16+0.5*mem8"))


def test_single_env_passes_gymnasiums_checker():
    env = SimulatorEnv(VMRSimulator(BANK, 1, migration_limit=4))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*different from the unwrapped.*")
        check_env(_Masked(env), skip_render_check=True)


class _Masked(gym.Wrapper):
    """Replaces a masked action by the first allowed one, as the checker samples blindly."""

    def step(self, action):
        mask = self.env.unwrapped.action_masks()
        return self.env.step(action if mask[action] else mask.argmax())


def test_gym_make_gives_one_lane():
    env = gym.make("rlsched/VMR-v0", **OPTIONS)
    observation, info = env.reset(seed=3)
    assert env.observation_space.contains(observation)
    assert set(info) == {"fragment_rate", "fragment_rate_before", "num_migrations"}
    action = int(env.unwrapped.action_masks().argmax())
    observation, reward, terminated, truncated, info = env.step(action)
    assert (reward, terminated, truncated) == (0, False, False)
    assert observation["context"][0] == 1


def test_gym_make_vec_gives_the_lanes_of_one_simulator():
    envs = gym.make_vec("rlsched/VMR-v0", num_envs=3, **OPTIONS)
    assert isinstance(envs.unwrapped, SimulatorVectorEnv)
    observation, _ = envs.reset(seed=3)
    assert observation["action_mask"].shape == (3, envs.single_action_space.n)
    envs.step(observation["action_mask"].argmax(axis=1))


def test_one_env_sees_what_the_first_of_many_lanes_sees():
    one, many = rlsched.make("vmr", **OPTIONS), rlsched.make_vec("vmr", 7, **OPTIONS)
    first, _ = one.reset(seed=8)
    lanes, _ = many.reset(seed=8)
    for event in range(8):
        for key, value in first.items():
            np.testing.assert_array_equal(value, lanes[key][0], err_msg=key)
        choice = random_legal(lanes["action_mask"], 0, event)
        first, reward, terminated, _, _ = one.step(choice[0])
        lanes, rewards, ended, _, _ = many.step(choice)
        assert (reward, terminated) == (rewards[0], ended[0])
        if terminated:
            break


def test_the_same_seed_gives_the_same_episode_and_another_seed_another():
    env = rlsched.make("vmr", **OPTIONS)
    first, _ = env.reset(seed=1)
    again, _ = env.reset(seed=1)
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key])
    rates = {env.reset(seed=seed)[1]["fragment_rate"] for seed in range(20)}
    assert len(rates) == len(BANK)


def test_an_instance_can_be_asked_for():
    env = rlsched.make("vmr", **OPTIONS)
    rates = [env.reset(options={"instance": row})[1]["fragment_rate_before"] for row in range(3)]
    assert rates == VMRSimulator(BANK).host_clusters.start_rate.tolist()


def test_a_reset_mask_leaves_the_other_lanes_alone():
    envs = vector(3)
    observation, _ = envs.reset(seed=0)
    observation, *_ = envs.step(random_legal(observation["action_mask"], 0, 0))
    mask = np.array([False, True, False])
    after, _ = envs.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(after["context"][~mask], observation["context"][~mask])
    assert after["context"][1, 0] == 0


def test_a_lane_that_ended_is_reset_by_its_next_step():
    envs = SimulatorVectorEnv(VMRSimulator([worked_example()], 2, migration_limit=1))
    envs.reset(seed=0)
    envs.step(np.array([3, 8]))
    _, reward, terminated, _, infos = envs.step(np.array([4, 0]))
    assert (reward.tolist(), terminated.tolist()) == ([1, 0], [True, False])
    assert infos["fragment_rate"][0] == 0
    assert infos["_fragment_rate"].tolist() == [True, False]
    observation, reward, terminated, _, _ = envs.step(np.array([-1, 3]))
    assert (reward.tolist(), terminated.tolist()) == ([0, 0], [False, False])
    assert observation["context"][0].tolist() == [0, 1, 0.5, 0.25, 16, 0, 0, 0]


def test_a_single_env_has_one_lane():
    with pytest.raises(ValueError, match="num_envs=2; a single environment has one lane"):
        SimulatorEnv(VMRSimulator(BANK, 2))
