"""Solvers as policies: optima replayed, breakdowns foretold, plans made anew after surprises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlsched.core.errors import ConfigError
from rlsched.core.registry import problem
from rlsched.envs.jobshop.exact_policy import Exact, Hindsight, Rolling
from rlsched.envs.jobshop.instances import generate_shop, generator_config, load_benchmark
from rlsched.envs.jobshop.rules import Rule
from rlsched.envs.jobshop.simulator import JobShopSimulator

pytest.importorskip("ortools")
SHOPS = [generate_shop(generator_config("uniform-4x3"), seed) for seed in range(3)]


def played(policy, shops=SHOPS, **options) -> JobShopSimulator:
    sim = JobShopSimulator(shops, len(shops), observe=False, **options)
    sim.reset(seed=3, instances=np.arange(len(shops)))
    policy.play(sim)
    assert sim.terminated.all()
    return sim


@pytest.mark.parametrize(("buffer", "optimum"), [(0.0, 63), (math.inf, 55)])
def test_ft06_is_solved_and_replayed_to_its_optimum(buffer, optimum):
    """55 classic (Muth & Thompson 1963); 63 blocking with swaps, proven by CP solvers."""
    exact = Exact(20.0)
    sim = played(exact, [load_benchmark("ft06")], buffer=buffer, hold="on")
    assert sim.metrics()["makespan"].tolist() == [optimum]
    assert exact.bound() == optimum


@pytest.mark.parametrize("law", ["start:0.4", "exponential:120:calendar"])
@pytest.mark.parametrize("after", ["resume", "restart"])
def test_hindsight_meets_its_bound_and_no_rule_beats_it(law, after):
    """What the solver was told is what happens: its plan comes to just the cost it proved."""
    options = {"interruption": law, "after_repair": after, "repair": "uniform:10:40"}
    hindsight = Hindsight(10.0)
    sim = played(hindsight, **options)
    found = sim.metrics()["makespan"]
    assert np.mean(found) == hindsight.bound()
    for rule in ("spt", "mwkr", "fifo"):
        assert (played(Rule(rule), **options).metrics()["makespan"] >= found).all()


def test_hindsight_refuses_laws_that_depend_on_the_schedule():
    with pytest.raises(ConfigError, match="depend on the schedule"):
        played(Hindsight(1.0), interruption="exponential:100")


def test_rolling_plans_anew_only_after_a_surprise():
    rolling, solved = Rolling(1.0), []
    sim = JobShopSimulator(SHOPS[:1], 1, interruption="start:0.4", observe=False)
    sim.reset(seed=3, instances=[0])
    while not sim.terminated[0]:
        before = dict(rolling._seen)
        sim.step(rolling.choose(sim))
        solved += [1] * (rolling._seen != before)
    assert 1 <= len(solved) <= 1 + int(sim.state.num_downs[0])
    best = played(Hindsight(10.0), SHOPS[:1], interruption="start:0.4")
    assert sim.metrics()["makespan"][0] >= best.metrics()["makespan"][0]


def test_rolling_without_breakdowns_is_exact():
    one = played(Rolling(10.0)).metrics()["makespan"]
    assert one.tolist() == played(Exact(10.0)).metrics()["makespan"].tolist()


def test_exact_is_refused_where_breakdowns_lie_ahead():
    """A plan would not hold, and its bound would not be one of the episode."""
    jobshop = problem("jobshop")
    with pytest.raises(ConfigError, match="use rolling"):
        jobshop.rules["exact"](jobshop.config(interruption="start:0.1"))


def test_hindsight_refuses_breakdowns_at_the_start_beside_maintenance():
    shop = generate_shop(generator_config("maintenance-3x3"), 0)
    with pytest.raises(ConfigError, match="maintenance windows"):
        played(Hindsight(1.0), [shop], interruption="start:0.3")
