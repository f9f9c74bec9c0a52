"""Facts about search where chance has a say: coins are guessed, and no search may see them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from rlsched.core.plans import Planner
from rlsched.core.policy import Guide
from rlsched.core.rng import bits
from rlsched.core.search import Beam, BestOf, rollout
from rlsched.core.simulator import Simulator

OTHER_COINS = 99


class State(NamedTuple):
    """Of each lane: whose coins fall, how many are guessed, of how many, and how many wrong."""

    seed: NDArray
    num_guessed: NDArray
    length: NDArray
    num_wrong: NDArray
    guesses: NDArray
    reward: NDArray
    terminated: NDArray
    action_mask: NDArray


class Coins(Simulator):
    """Guess a coin per step, 1 = heads; the first guess of a lane may be forced to tails."""

    metric, unit, num_choices = "num_wrong", "guess", 2

    def __init__(self, seeds, lengths, is_stochastic, is_forced=False):
        self.num_envs, self.device, self.is_stochastic = len(seeds), "cpu", is_stochastic
        B = self.num_envs
        self.state = State(
            np.array(seeds),
            np.zeros(B, int),
            np.array(lengths),
            np.zeros(B, int),
            np.full((B, max(lengths)), -1),
            np.zeros(B, np.float32),
            np.zeros(B, bool),
            np.ones((B, 2), bool),
        )
        self.state.action_mask[:, 1] = not is_forced

    def reset(self, mask=None, *, seed=None, instances=None):
        raise NotImplementedError

    def _step(self, choice):
        s = self.state
        for lane in np.flatnonzero(~s.terminated):
            at = s.num_guessed[lane]
            s.guesses[lane, at] = choice[lane]
            s.num_wrong[lane] += choice[lane] != coin(s.seed[lane], at)
            s.num_guessed[lane] += 1
            s.terminated[lane] = s.num_guessed[lane] == s.length[lane]
            s.action_mask[lane] = not s.terminated[lane]

    def hide_future(self):
        self.state.seed[:] = OTHER_COINS

    def observation(self):
        return {}

    def metrics(self):
        return {"num_wrong": self.state.num_wrong}

    def fingerprint(self):
        return np.arange(self.num_envs)

    def like(self, num_envs, observe=None):
        lengths = [self.state.guesses.shape[1]] * num_envs
        return Coins([0] * num_envs, lengths, self.is_stochastic)


def coin(seed, at):
    return bits(int(seed), 0, int(at)) & 1


def coins(seed, num):
    return [coin(seed, at) for at in range(num)]


class Guess(Guide):
    """Has no idea; takes tails."""

    name, needs_observation = "guess", False

    def scores(self, sim):
        return np.where(sim.action_mask, 0.0, -np.inf).astype(np.float32)


SEARCHES = pytest.mark.parametrize("search", [BestOf(Guess(), 64), Beam(Guess(), 16)])


@SEARCHES
def test_what_is_certain_is_planned_once_and_comes_true(search):
    sim = Coins([1, 2], [4, 4], is_stochastic=False)
    assert search.play(sim) == 4
    assert sim.state.guesses.tolist() == [coins(1, 4), coins(2, 4)]


@SEARCHES
def test_a_search_does_not_see_what_chance_will_bring(search):
    """Its copies meet other coins, so its guesses are those, whatever the real coins are."""
    sim = Coins(range(8), [4] * 8, is_stochastic=True)
    search.play(sim)
    assert sim.state.seed.tolist() == list(range(8))
    assert sim.state.guesses.tolist() == [coins(OTHER_COINS, 4)] * 8
    wrong = [np.not_equal(coins(k, 4), coins(OTHER_COINS, 4)).sum() for k in range(8)]
    assert sim.state.num_wrong.tolist() == wrong


class Counted(BestOf):
    """Counts its plans."""

    num_plans = 0

    def plan(self, sim, lane):
        self.num_plans += 1
        return super().plan(sim, lane)


@pytest.mark.parametrize(("is_stochastic", "num_plans"), [(False, 2), (True, 1 + 3)])
def test_plans_are_made_anew_only_where_they_may_fail_and_there_is_a_choice(
    is_stochastic, num_plans
):
    """Two lanes of 2 and 4 coins, the first guess forced: 1 + 3 free decisions."""
    sim = Coins([1, 2], [2, 4], is_stochastic, is_forced=True)
    planner = Counted(Guess(), 4)
    assert planner.play(sim) == 4
    assert planner.num_plans == num_plans


@pytest.mark.parametrize("kind", [BestOf, Beam])
def test_a_plan_that_cannot_be_cut_is_whole_whatever_the_budget(kind):
    sim = Coins([1], [4], is_stochastic=False)
    assert kind(Guess(), budget_s=1e-9).plan(sim, 0) == (0, 0, 0, 0)


class Alternating(Planner):
    """Plans heads throughout at even guesses, tails at odd ones."""

    name = "alternating"

    def plan(self, sim, lane):
        return [1 - int(sim.state.num_guessed[lane]) % 2] * 4


@pytest.mark.parametrize(
    ("is_stochastic", "choices"), [(False, [1, 1, 1, 1]), (True, [1, 0, 1, 0])]
)
def test_only_the_first_choice_of_a_plan_that_may_fail_is_played(is_stochastic, choices):
    sim = Coins([1], [4], is_stochastic)
    assert rollout(sim, 0, Alternating()).choices == (1, 1, 1, 1)
    Alternating().play(sim)
    assert sim.state.guesses[0].tolist() == choices
