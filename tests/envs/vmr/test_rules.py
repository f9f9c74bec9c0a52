"""Facts about the rules: hand-worked clusters, brute force, and an independent checker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checker import check_plan
from clusters import make_cluster, random_cluster
from reference import usable

from rlsched.core.errors import ConfigError
from rlsched.core.search import rollout, with_search
from rlsched.envs.vmr import rules
from rlsched.envs.vmr.instances import AntiAffinitySet
from rlsched.envs.vmr.objectives import parse_objective
from rlsched.envs.vmr.potential import Potential
from rlsched.envs.vmr.problem import VMRConfig
from rlsched.envs.vmr.rules import RULES, migrations_of, part_of
from rlsched.envs.vmr.simulator import VMRSimulator

BANK = [
    random_cluster(s, 4 + s % 3, constrained=s % 2 == 1, binding_memory=s == 2) for s in range(6)
]
OBJECTIVES = ["fr16", "fr64d", "0.7*fr16+0.3*fr64d", "mem64", "empty", "0.5*fr8+0.5*mem32"]
SOLVERS = ("exact", "exact_aggregated", "exact_per_vm", "pop")


def started(cluster, limit=10, **options) -> VMRSimulator:
    sim = VMRSimulator([cluster], 1, migration_limit=limit, **options)
    sim.reset(instances=[0])
    return sim


def rule(name: str):
    if name in SOLVERS:
        pytest.importorskip("ortools")
    policy = RULES[name](VMRConfig())
    if name in SOLVERS:
        policy.time_limit_s = 1.0
    return policy


def plan(name: str, cluster, limit=10, **options):
    sim = started(cluster, limit, **options)
    return migrations_of(sim, 0, rollout(sim, 0, rule(name)).choices)


def one_move() -> object:
    """Free cores 12 and 4: moving the 4-core VM beside the 12-core one makes a slot of 16."""
    return make_cluster(
        pms=[(16, 64)] * 2,
        vms=[(0, 0, 4, 4), (0, 1, 16, 4), (1, 0, 12, 4), (1, 1, 16, 4)],
        pinned=(1, 2, 3),
    )


def two_moves() -> object:
    """Free cores 8, 4 and 4: only when both 4-core VMs have left node 0 is there a slot."""
    return make_cluster(
        pms=[(16, 64)] * 2,
        vms=[(0, 0, 4, 4), (0, 0, 4, 4), (0, 1, 16, 4), (1, 0, 12, 4), (1, 1, 12, 4)],
        pinned=(2, 3, 4),
    )


def a_flip() -> object:
    """The only slot comes from moving a VM to the other node of its own PM."""
    return make_cluster(pms=[(16, 64)], vms=[(0, 0, 4, 4), (0, 1, 12, 4)], pinned=(1,))


@pytest.mark.parametrize("name", [n for n in RULES if n not in ("random", "pop")])
def test_every_rule_finds_the_one_move_that_removes_all_fragments(name):
    (move,) = plan(name, one_move())
    assert (move.vm, move.pm, move.numa) == (0, 1, 0)
    assert check_plan(one_move(), [move]) == 0


@pytest.mark.parametrize(
    ("name", "num"),
    [("ha", 0), ("best_pair", 0), ("alpha_vbpp", 2), ("potential", 2), ("exact", 2)],
)
def test_only_rules_that_look_further_than_one_move_pile_fragments_together(name, num):
    moves = plan(name, two_moves())
    assert len(moves) == num
    assert check_plan(two_moves(), moves) == (0 if num else 1)


@pytest.mark.parametrize(("name", "num"), [("ha", 0), ("best_pair", 1), ("potential", 1)])
def test_the_published_greedy_alone_does_not_move_a_vm_to_its_own_pm(name, num):
    assert len(plan(name, a_flip())) == num


def test_the_published_greedy_moves_no_vm_of_more_than_16_cores():
    big = make_cluster(pms=[(32, 99)] * 2, vms=[(0, 0, 24, 4), (1, 1, 8, 4)], pinned=(1,))
    assert plan("ha", big) == []
    assert len(plan("best_pair", big)) == 1


def test_pop_gives_each_half_of_the_hosts_its_share_of_the_limit():
    pytest.importorskip("ortools")
    halves = make_cluster(
        pms=[(16, 64)] * 4,
        vms=[
            *((0, 0, 4, 4), (0, 1, 16, 4), (1, 0, 12, 4), (1, 1, 16, 4)),
            *((2, 0, 4, 4), (2, 1, 16, 4), (3, 0, 12, 4), (3, 1, 16, 4)),
        ],
        pinned=(1, 2, 3, 5, 6, 7),
    )
    assert sorted((m.vm, m.pm) for m in plan("pop", halves, limit=2)) == [(0, 1), (4, 3)]
    assert [(m.vm, m.pm) for m in plan("pop", halves, limit=1)] == [(4, 3)]


def test_a_part_keeps_ids_places_and_sets_of_its_hosts():
    cluster = make_cluster(
        pms=[(16, 64)] * 3,
        vms=[(0, 0, 4, 4), (1, 1, 4, 4), (2, 0, 8, 4), (2, 1, 8, 4)],
        sets=(AntiAffinitySet("host", (0, 1, 2)), AntiAffinitySet("rack", (0, 3))),
    )
    piece, rows = part_of(cluster, 1, 3)
    assert piece is not None
    piece.validate()
    assert (piece.pm_ids, piece.vm_ids) == (("pm1", "pm2"), ("vm1", "vm2", "vm3"))
    assert (piece.vm_pm.tolist(), rows.tolist()) == ([0, 1, 1], [1, 2, 3])
    assert piece.anti_affinity == (AntiAffinitySet("host", (0, 1)),)


# --- the potential -------------------------------------------------------------------------------


def worth(cluster, objective, weight: float) -> float:
    """The potential in rate, written again from its definition: whole units, and begun ones."""
    total = 0.0
    free, mem = cluster.free_cores, cluster.free_mem_mb
    active = np.flatnonzero(cluster.pm_active)
    for term in objective.terms:
        amount = mem if term.kind == "memory" else free
        whole = len(active) if term.kind == "empty" else amount[active].sum()
        for pm in active:
            hosted = int((cluster.vm_pm == pm).sum())
            good = usable(term, free[pm].tolist(), mem[pm].tolist(), hosted)
            total += term.weight * good / whole
            if term.kind in ("cores", "memory"):
                begun = sum((a % term.size / term.size) ** 2 for a in amount[pm].tolist())
            elif term.kind == "cores_double":
                half = term.size // 2
                slots = good // term.size
                begun = (sum(min(half, f - slots * half) for f in free[pm]) / term.size) ** 2
            else:
                begun = 0 if good else (free[pm].sum() / cluster.pm_cores[pm].sum()) ** 2
            total += term.weight * weight * begun * max(1, term.size) / whole
    return total


def slots_per_rate(sim) -> float:
    return float(sim.host_clusters.free_total[0] / sim.host_clusters.grain[0])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("cluster", BANK, ids=lambda c: c.name)
def test_scores_of_the_potential_equal_brute_force(cluster, objective):
    sim, guide = started(cluster, objective=objective), Potential(0.5)
    goal, V = parse_objective(objective), sim.sizes["vm"]
    base, scale = worth(cluster, goal, 0.5), slots_per_rate(sim)
    np.testing.assert_allclose(guide.value(sim)[0], base * scale, rtol=1e-9)
    of_vms = guide.scores(sim)[0]
    for vm in np.flatnonzero(sim.action_mask[0, :V]):
        copy = sim.like(1)
        copy.adopt(sim, np.array([0]))
        copy.step(np.array([vm]))
        of_nodes = guide.scores(copy)[0]
        assert (np.isfinite(of_nodes) == copy.action_mask[0]).all()
        for node in np.flatnonzero(copy.action_mask[0]):
            (move,) = migrations_of(sim, 0, [vm, node])
            gain = (worth(cluster.migrate([move]), goal, 0.5) - base) * scale
            assert of_nodes[node] == pytest.approx(gain, abs=1e-5)
        assert of_vms[vm] == pytest.approx(of_nodes.max(), abs=1e-5)
    assert (np.isfinite(of_vms) == sim.action_mask[0]).all()


@pytest.mark.parametrize("cluster", BANK, ids=lambda c: c.name)
def test_the_best_whole_migration_is_the_best_pair_of_choices(cluster):
    sim, guide = started(cluster), Potential(0.5)
    ways = guide.expand(sim, 8)
    best = guide.scores(sim)[0, :-1].max()
    assert ways.scores[0, 0] == pytest.approx(best, abs=1e-5)
    assert (np.diff(ways.scores[0]) <= 0).all()
    for way, score in zip(ways.choices[0], ways.scores[0], strict=True):
        if np.isfinite(score):
            assert check_plan(cluster, migrations_of(sim, 0, way)) <= 1


def test_interchangeable_vms_of_one_node_are_offered_once():
    cluster = make_cluster(
        pms=[(16, 64)] * 2,
        vms=[(0, 0, 4, 4), (0, 0, 4, 4), (0, 1, 16, 4), (1, 1, 16, 4)],
        pinned=(2, 3),
    )
    ways = Potential().expand(started(cluster), 8)
    assert [tuple(c) for c in ways.choices[0][np.isfinite(ways.scores[0])]] == [(0, 4 + 2)]


# --- every rule ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_rules_satisfy_the_independent_checker_and_never_choose_what_is_masked(name):
    for cluster in BANK:
        if name == "exact_per_vm" and cluster.num_vms > 60:
            continue
        sim = started(cluster, 6)
        found = rollout(sim, 0, rule(name))
        moves = migrations_of(sim, 0, found.choices)
        assert check_plan(cluster, moves, limit=6) == pytest.approx(found.cost)
        rule(name).play(sim)  # an illegal choice would raise
        assert sim.terminated[0]


@pytest.mark.parametrize("name", ["random", "ha", "best_pair", "potential", "alpha_vbpp"])
def test_lanes_play_as_they_would_alone(name):
    together = VMRSimulator(BANK, len(BANK), migration_limit=5)
    together.reset(instances=np.arange(len(BANK)))
    rule(name).play(together)
    for lane in range(len(BANK)) if name != "random" else ():
        alone = VMRSimulator(BANK, 1, migration_limit=5)
        alone.reset(instances=[lane])
        rule(name).play(alone)
        assert alone.state.hash[0] == together.state.hash[lane]


def test_exact_reports_a_bound_that_no_rule_beats():
    exact = rule("exact")
    sim = started(BANK[0], 5)
    exact.play(sim)
    bound = exact.bound()
    assert bound is not None
    assert bound <= sim.metrics()["fragment_rate"][0]
    for name in ("ha", "best_pair", "potential", "alpha_vbpp"):
        other = started(BANK[0], 5)
        rule(name).play(other)
        assert other.metrics()["fragment_rate"][0] >= bound - 1e-9


def test_a_solver_takes_its_time_limit_from_its_name():
    assert with_search(rule("exact"), "3s").time_limit_s == 3
    with pytest.raises(ConfigError, match="best_of"):
        with_search(rule("ha"), "3s")


def test_pop_without_or_tools_solves_its_parts_by_the_potential(monkeypatch):
    monkeypatch.setattr(rules, "find_spec", lambda name: None)
    sim = started(two_moves(), 4)
    halves = rules.POP(num_parts=1)
    assert check_plan(two_moves(), halves.migrations(sim, 0, 4)) == 0


def test_legal_moves_leaves_out_what_the_moves_before_made_illegal():
    cluster = replace(one_move(), vm_movable=np.ones(4, bool))
    first, *_ = plan("ha", one_move())
    again = rules.legal_moves(cluster, [first, first])
    assert again == [first]
