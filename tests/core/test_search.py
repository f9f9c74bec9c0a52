"""Facts about search over forked lanes, on small clusters."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from rlsched.core import beam as beams
from rlsched.core import search
from rlsched.core.beam import beam
from rlsched.core.errors import ConfigError
from rlsched.core.plans import replay
from rlsched.core.policy import Guide
from rlsched.core.search import LNS, Beam, BestOf, best_of, recreate, rollout, with_search
from rlsched.envs.vmr.instances import generate_cluster, generator_config
from rlsched.envs.vmr.potential import Potential
from rlsched.envs.vmr.rules import HA, Random
from rlsched.envs.vmr.simulator import VMRSimulator

sys.path.append(str(Path(__file__).parents[1] / "envs" / "vmr"))
from checker import check_plan

CLUSTERS = [
    generate_cluster(generator_config(name), seed)
    for name in ("small", "small-constrained")
    for seed in (1, 2)
]


class Logits(Guide):
    """The potential as if it were a network: one choice at a time, logits, an observation."""

    name, needs_observation = "logits", True

    def scores(self, sim):
        assert sim.observation()["vm"].shape[0] == sim.num_envs
        return Potential().scores(sim) / np.float32(0.1)


def lane(cluster=CLUSTERS[0], limit=8, **options) -> VMRSimulator:
    sim = VMRSimulator([cluster], 1, migration_limit=limit, observe=False, **options)
    sim.reset(instances=[0])
    return sim


def ends_at(sim: VMRSimulator, choices) -> float:
    replay(sim, [choices])
    return float(sim.metrics()[sim.metric][0])


GUIDES = {"potential": Potential, "logits": Logits}
SEARCHES = ("best_of_8", "beam_8", "lns_4")


@pytest.mark.parametrize("spec", SEARCHES)
@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda c: c.name)
def test_a_search_is_never_worse_than_its_guide_and_its_plan_is_legal(cluster, guide, spec):
    sim = lane(cluster)
    own = rollout(sim, 0, GUIDES[guide]()).cost
    found = rollout(sim, 0, with_search(GUIDES[guide](), spec))
    assert found.cost <= own
    moves = [(cluster.vm_ids[v], *divmod(n - cluster.num_vms, 2)) for v, n in pairs(found.choices)]
    numa = {vm: int(k) for vm, k in zip(cluster.vm_ids, cluster.vm_numa, strict=True)}
    named = [(vm, cluster.pm_ids[pm], 2 if numa[vm] == 2 else k) for vm, pm, k in moves]
    assert check_plan(cluster, named, limit=8) == pytest.approx(found.cost)
    assert ends_at(sim, found.choices) == pytest.approx(found.cost)


def pairs(choices):
    return zip(choices[::2], choices[1::2], strict=True)


@pytest.mark.parametrize("spec", SEARCHES)
def test_the_same_seed_gives_the_same_plan_and_leaves_the_lane_alone(spec):
    sim = lane()
    before = [np.array(a) for a in sim.state]
    first = with_search(Potential(), spec, seed=3).plan(sim, 0)
    assert first == with_search(Potential(), spec, seed=3).plan(sim, 0)
    for array, old in zip(sim.state, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_playing_a_search_reaches_the_cost_of_its_plan_in_every_lane():
    sim = VMRSimulator(CLUSTERS, 4, migration_limit=6)
    sim.reset(instances=np.arange(4))
    policy = Beam(Potential(), 8)
    costs = [rollout(sim, k, policy).cost for k in range(4)]
    policy.play(sim)
    np.testing.assert_allclose(sim.metrics()["fragment_rate"], costs)


def test_more_rollouts_of_one_seed_hold_the_fewer():
    sim = lane()
    costs = [best_of(sim, 0, Random(), num, seed=1).cost for num in (1, 2, 8, 32)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < float(sim.state.rate[0])


def test_a_plan_may_stop_before_the_limit():
    """Random moves fragment a cluster; the best plan of a rollout is then to stay as it is."""
    sim = lane(limit=4)
    sim.step(np.array([sim.num_choices - 1]))
    assert best_of(sim, 0, Random(), 4).choices == ()
    assert beam(sim, 0, Potential(), 4).choices == ()


def test_a_beam_keeps_no_state_twice():
    """Two independent moves in either order are one state; a beam of 2 then still holds two."""
    keys = np.array([[5, 7, 5], [7, 9, 5]])
    scores = np.array([[3.0, 2.0, 1.0], [2.5, 0.5, -np.inf]])
    assert beams._select(scores, keys, 4).tolist() == [0, 3, 4]
    assert beams._select(scores, None, 2).tolist() == [0, 3]


def test_children_that_can_stay_in_their_parents_lane_do():
    parents, ways = beams._settle(np.array([2, 2, 0]), np.array([7, 8, 9]), 4)
    assert (parents[2], ways[2]) == (2, 7)
    assert (parents[0], ways[0]) == (0, 9)
    assert (parents[1], ways[1]) == (2, 8)
    assert beams._copied(parents, ways).tolist() == [False, False, False, True]


def test_ties_at_the_threshold_are_all_sampled_from():
    """A uniform guide has no best ten."""
    scores = np.zeros((400, 50), np.float32)
    kept, choice = np.empty((400, search.NUM_KEPT)), np.empty(400, np.int32)
    search.sample_choice(400, scores, 1.0, 0, 0, kept, choice)
    assert len(np.unique(choice)) > 40


def test_sampling_follows_the_softmax_of_the_kept_choices():
    """Of 12 choices the two worst are cut; e : 1 between the best and the rest."""
    scores = np.tile(np.array([1, *[0] * 1, *[-9] * 8, -20, -20, -np.inf], np.float32), (4000, 1))
    kept, choice = np.empty((4000, search.NUM_KEPT)), np.empty(4000, np.int32)
    search.sample_choice(4000, scores, 1.0, 0, 0, kept, choice)
    share = (choice == 0).mean()
    assert share == pytest.approx(np.e / (1 + np.e), abs=0.03)
    assert choice.max() < 10


@pytest.mark.parametrize("kind", [BestOf, Beam, LNS])
def test_a_budget_is_kept_and_better_plans_come_first_to_last(kind):
    sim = lane(CLUSTERS[1])
    kind(Potential(), 2).plan(sim, 0)  # compiled before the clock starts
    start = perf_counter()
    plans = list(kind(Potential(), budget_s=0.2).improve(sim, 0, perf_counter() + 0.2))
    assert perf_counter() - start < 5
    costs = [plan.cost for plan in plans]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)


def test_no_time_at_all_still_gives_a_legal_plan():
    for kind in (BestOf, Beam, LNS):
        assert kind(Potential(), budget_s=1e-9).plan(lane(), 0) == ()


def test_recreating_keeps_decisions_whole():
    sim = lane()
    plan = best_of(sim, 0, Potential(), 4)
    assert [len(d) for d in search._decisions(sim, 0, plan.choices)] == [2] * (
        len(plan.choices) // 2
    )
    found = recreate(sim, 0, Potential(), plan.choices, 8, seed=5)
    assert ends_at(sim, found.choices) == pytest.approx(found.cost)


def test_large_neighbourhood_search_finds_more_than_the_rollouts_it_starts_from():
    fragmented = replace(generator_config("medium-fragmented"), num_pms=80)
    plans = list(LNS(Potential(), 12).improve(lane(generate_cluster(fragmented, 1), 20), 0))
    assert plans[-1].cost < plans[0].cost


@pytest.mark.parametrize("spec", ["beam", "beam_0", "beam_-3", "best_of_1.5", "lns_", "greedy_4"])
def test_an_unreadable_search_is_refused_with_what_is_allowed(spec):
    with pytest.raises(ConfigError, match=r"beam_<width>"):
        with_search(Potential(), spec)


def test_a_policy_that_scores_nothing_cannot_guide():
    with pytest.raises(ConfigError, match="'ha' scores no choices"):
        with_search(HA(), "beam_8")


def test_names_say_what_a_search_does():
    assert with_search(Potential(), "beam_32").name == "potential:beam_32"
    assert with_search(Potential(), "best_of_1.5s").name == "potential:best_of_1.5s"
