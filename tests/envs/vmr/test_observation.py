"""Facts about the observation: every figure equals its definition, however many moves were made.

The published environment's two stale-feature defects (fraction columns of the wrong node, VM rows
built before the move) would fail here.
"""

from __future__ import annotations

import numpy as np
import pytest
from clusters import random_cluster, worked_example
from reference import of_lane

from rlsched.envs.vmr import simulator as problem
from rlsched.envs.vmr.observation import GRAPH
from rlsched.envs.vmr.simulator import VMRSimulator
from rlsched.testing import random_legal

OBJECTIVES = ("fr16", "fr64d", "fr10", "mem64", "empty", "0.7*fr16+0.3*fr64d", "fr16+mem8+empty")


def assert_observation_is_exact(sim: VMRSimulator, lane: int) -> None:
    now = of_lane(sim, lane)
    ref, (V, N) = now.reference, (now.reference.c.num_vms, 2 * now.reference.c.num_pms)
    seen = {key: value[lane] for key, value in sim.observation().items()}
    near = {"rtol": 1e-5, "atol": 1e-4}
    np.testing.assert_allclose(seen["vm"][:V], [ref.vm(v) for v in range(V)], **near)
    assert not seen["vm"][V:].any()
    legal = ref.legal().get(now.chosen, [])
    rows = [ref.numa(node, now.chosen, node in legal) for node in range(N)]
    np.testing.assert_allclose(seen["numa"][:N], rows, **near)
    assert not seen["numa"][N:].any()
    np.testing.assert_allclose(seen["context"], ref.context(now.chosen, now.moves), **near)
    assert seen["num_nodes"].tolist() == [V, N]
    assert real_edges(seen["vm__on__numa"], sim.sizes) == ref.edges()
    siblings = {(node, node ^ 1) for node in range(N)}
    assert (
        real_edges(seen["numa__sibling__numa"], {"vm": sim.sizes["numa"]} | sim.sizes) >= siblings
    )
    assert len(siblings) == (seen["numa__sibling__numa"][:, 0] < sim.sizes["numa"]).sum()


def real_edges(edges: np.ndarray, sizes: dict[str, int]) -> set[tuple[int, int]]:
    """Return the edges that are no padding; a padding edge must be padding at both ends."""
    real = edges[edges[:, 1] < sizes["numa"]]
    padding = edges[edges[:, 1] >= sizes["numa"]]
    assert (padding[:, 1] == sizes["numa"]).all()
    return {(int(a), int(b)) for a, b in real}


def play(sim: VMRSimulator, rounds: int, seed: int = 0) -> None:
    """Random legal choices, STOP only where nothing else is."""
    for event in range(rounds):
        mask = sim.action_mask.copy()
        mask[:, -1] = ~mask[:, :-1].any(axis=1)
        sim.step(random_legal(mask, seed, event))


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_features_after_1000_random_moves_equal_their_definitions(objective, constrained):
    cluster = random_cluster(3, constrained=constrained, binding_memory=True)
    sim = VMRSimulator([cluster], 1, objective=objective, migration_limit=2000)
    sim.reset(seed=0)
    assert_observation_is_exact(sim, 0)
    for rounds in (1, 1, 1, 996, 1, 1001):
        play(sim, rounds, seed=rounds)
        assert_observation_is_exact(sim, 0)
    assert sim.state.moves[0] == 1000


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_features_after_1000_random_moves_equal_those_written_from_scratch(objective):
    bank = [random_cluster(seed, 4 + seed, constrained=seed % 2 == 1) for seed in range(4)]
    sim = VMRSimulator(bank, 8, objective=objective, migration_limit=2000)
    sim.reset(seed=0)
    play(sim, 2001)
    before = {key: value.copy() for key, value in sim.observation().items()}
    for key in ("vm", "numa", "context", "num_nodes", "vm__on__numa", "numa__sibling__numa"):
        sim.observation()[key][...] = 77
    sim._run(problem.observe)
    for key, value in sim.observation().items():
        np.testing.assert_array_equal(value, before[key], err_msg=key)


def test_lanes_of_different_sizes_see_their_own_cluster_and_padding():
    bank = [random_cluster(0, 3), random_cluster(1, 6), worked_example()]
    sim = VMRSimulator(bank, 6, migration_limit=8)
    sim.reset(instances=[2, 0, 1, 0, 2, 1])
    for event in range(20):
        for lane in range(6):
            if not sim.terminated[lane]:
                assert_observation_is_exact(sim, lane)
        sim.step(random_legal(sim.action_mask, 1, event))


def test_a_reset_lane_forgets_a_larger_cluster():
    sim = VMRSimulator([random_cluster(1, 6), worked_example()], 2, migration_limit=8)
    sim.reset(instances=[0, 0])
    play(sim, 5)
    sim.reset(np.array([True, False]), instances=[1, 0])
    assert_observation_is_exact(sim, 0)
    assert_observation_is_exact(sim, 1)


def test_adopting_a_lane_that_does_not_observe_writes_its_observation():
    search = VMRSimulator([random_cluster(2, 4)], 3, observe=False, migration_limit=9)
    search.reset(seed=0)
    play(search, 3)
    sim = search.like(2, observe=True)
    sim.adopt(search, [2, 0])
    assert_observation_is_exact(sim, 0)
    assert_observation_is_exact(sim, 1)
    blind = sim.like(2, observe=False)
    blind.adopt(sim, [1, 0])
    assert blind.fingerprint().tolist() == sim.fingerprint()[::-1].tolist()


def test_the_graph_names_what_the_observation_holds():
    sim = VMRSimulator([worked_example()], 2)
    sim.reset(seed=0)
    assert tuple(sim.observation()) == GRAPH.input_names
    space = GRAPH.space(sim.sizes, sim.num_edges)
    for lane in range(2):
        assert space.contains({key: value[lane] for key, value in sim.observation().items()})


def test_without_observing_there_is_no_observation():
    sim = VMRSimulator([worked_example()], 1, observe=False)
    sim.reset(seed=0)
    with pytest.raises(Exception, match="observe=False; it has no observation"):
        sim.observation()
