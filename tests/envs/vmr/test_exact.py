"""The exact solvers: known optima, agreement of the forms, legal plans, time limits."""

from dataclasses import replace

import numpy as np
import pytest

from rlsched.core.errors import ConfigError
from rlsched.envs.vmr.cluster import BOTH, AntiAffinitySet, Cluster, Migration
from rlsched.envs.vmr.exact import order_moves, solve, solve_aggregated, solve_columns, solve_per_vm
from rlsched.envs.vmr.instances import generate_cluster
from rlsched.envs.vmr.objectives import parse_objective
from rlsched.envs.vmr.workloads import GENERATORS

FR16 = parse_objective("fr16")
FORMS = [solve_columns, solve_aggregated, solve_per_vm]
TINY = replace(GENERATORS["small"], num_pms=5, scatter=(1.0, 1.0), utilization=0.8)


def make_cluster(vms, num_pms=2, cores=16, mem_mb=1 << 20, **changes):
    """Build a cluster from rows (cores, pm, numa[, mem_mb])."""
    rows = np.array([(*vm, 1)[:4] for vm in vms], np.int32).reshape(-1, 4)
    cluster = Cluster(
        name="hand",
        pm_ids=tuple(f"pm{p}" for p in range(num_pms)),
        vm_ids=tuple(f"vm{v}" for v in range(len(rows))),
        pm_cores=np.full((num_pms, 2), cores, np.int32),
        pm_mem_mb=np.full((num_pms, 2), mem_mb, np.int32),
        pm_rack=np.zeros(num_pms, np.int32),
        pm_active=np.ones(num_pms, bool),
        vm_cores=rows[:, 0].copy(),
        vm_mem_mb=rows[:, 3].copy(),
        vm_pm=rows[:, 1].copy(),
        vm_numa=rows[:, 2].copy(),
        vm_movable=np.ones(len(rows), bool),
    )
    return replace(cluster, **changes).validate()


def replay(cluster, plan, limit):
    """Carry a plan out with an independent check of every rule; return the rate after it."""
    assert len(plan) <= limit
    where = [(int(p), int(k)) for p, k in zip(cluster.vm_pm, cluster.vm_numa, strict=True)]
    for move in plan:
        source, double = where[move.vm][0], where[move.vm][1] == BOTH
        assert cluster.vm_movable[move.vm]
        assert cluster.pm_active[source]
        assert cluster.pm_active[move.pm]
        assert double == (move.numa == BOTH)
        assert where[move.vm] != (move.pm, move.numa)
        where[move.vm] = (move.pm, move.numa)
        for node in (0, 1):
            here = [v for v, (p, k) in enumerate(where) if p == move.pm and k in (node, BOTH)]
            assert cluster.vm_cores[here].sum() <= cluster.pm_cores[move.pm, node]
            assert cluster.vm_mem_mb[here].sum() <= cluster.pm_mem_mb[move.pm, node]
        for group in cluster.anti_affinity:
            if move.vm in group.vms:
                rack = group.granularity == "rack"
                area = [cluster.pm_rack[where[v][0]] if rack else where[v][0] for v in group.vms]
                mine = cluster.pm_rack[move.pm] if rack else move.pm
                assert area.count(mine) == 1
    return FR16.rate(cluster.migrate(plan))


def four_halves():
    """Return two PMs of four 16-core nodes, each half full with an 8-core VM: no 16-core slot."""
    return make_cluster([(8, 0, 0), (8, 0, 1), (8, 1, 0), (8, 1, 1)])


@pytest.mark.parametrize("form", FORMS)
def test_two_moves_gather_four_half_nodes_into_two_slots(form):
    one, two = form(four_halves(), FR16, 1, 5.0), form(four_halves(), FR16, 2, 5.0)
    assert (one.objective, one.bound, one.status) == (0.5, 0.5, "optimal")
    assert (two.objective, two.bound, two.status, len(two.migrations)) == (0.0, 0.0, "optimal", 2)
    assert two.is_ordered


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [2, 5])
@pytest.mark.parametrize("name", ["fr16", "fr32", "fr64d", "0.7*fr16+0.3*fr64d"])
def test_the_columns_and_form_a_agree(seed, limit, name):
    """The bound of the columns is valid; where their plan misses it, solve goes on with form A."""
    cluster, objective = generate_cluster(TINY, seed), parse_objective(name)
    exact = solve_aggregated(cluster, objective, limit, 10.0)
    columns, both = (form(cluster, objective, limit, 10.0) for form in (solve_columns, solve))
    assert exact.status == both.status == "optimal"
    assert columns.bound <= exact.objective + 1e-9
    assert columns.objective >= exact.objective - 1e-9
    assert both.objective == pytest.approx(exact.objective, abs=1e-9)
    assert both.objective == objective.rate(cluster.migrate(both.migrations))


@pytest.mark.parametrize("seed", range(3))
def test_form_b_agrees_with_form_a(seed):
    cluster = generate_cluster(replace(TINY, num_pms=3), seed)
    first, second = (form(cluster, FR16, 2, 20.0) for form in (solve_aggregated, solve_per_vm))
    assert first.status == second.status == "optimal"
    assert first.objective == second.objective


@pytest.mark.parametrize("preset", ["small", "small-constrained", "medium"])
def test_replaying_the_plan_gives_exactly_the_objective(preset):
    cluster = generate_cluster(GENERATORS[preset], 2)
    solution = solve(cluster, FR16, 20, 5.0)
    assert replay(cluster, solution.migrations, 20) == solution.objective < FR16.rate(cluster)
    assert solution.bound <= solution.objective


def test_a_medium_cluster_is_solved_to_proven_optimality():
    solution = solve(generate_cluster(GENERATORS["medium"], 0), FR16, 25, 20.0)
    assert solution.status == "optimal"
    assert solution.objective == pytest.approx(solution.bound)


@pytest.mark.parametrize("form", FORMS)
def test_a_goal_is_reached_in_the_fewest_moves(form):
    solution = form(four_halves(), FR16, 4, 5.0, goal=0.5)
    assert (len(solution.migrations), solution.moves_bound, solution.status) == (1, 1, "optimal")
    assert solution.objective == 0.5


@pytest.mark.parametrize("form", FORMS)
def test_a_goal_out_of_reach_gives_the_lowest_rate(form):
    solution = form(four_halves(), FR16, 1, 5.0, goal=0.1)
    assert (solution.objective, len(solution.migrations)) == (0.5, 1)


@pytest.mark.parametrize("form", FORMS)
def test_pinned_vms_and_inactive_pms_stay(form):
    cluster = four_halves()
    pinned = replace(cluster, vm_movable=np.array([True, False, False, False]))
    assert {m.vm for m in form(pinned, FR16, 4, 5.0).migrations} == {0}
    inactive = replace(cluster, pm_active=np.array([True, False]))
    solution = form(inactive, FR16, 4, 5.0)
    assert {(m.vm in (0, 1), m.pm) for m in solution.migrations} == {(True, 0)}
    assert (solution.objective, len(solution.migrations)) == (0.0, 1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("granularity", ["host", "rack"])
def test_anti_affinity_holds_after_every_move(form, granularity):
    """All four VMs in one set, on four PMs and four racks: nothing may be gathered."""
    apart = AntiAffinitySet(granularity, (0, 1, 2, 3))
    cluster = make_cluster(
        [(8, p, 0) for p in range(4)],
        num_pms=4,
        cores=24,
        pm_rack=np.arange(4, dtype=np.int32),
        anti_affinity=(apart,),
    )
    solution = form(cluster, FR16, 4, 2.0)
    assert replay(cluster, solution.migrations, 4) == solution.objective
    pair = replace(cluster, anti_affinity=(replace(apart, vms=(0, 1)),))
    solution = form(pair, FR16, 4, 2.0)
    assert replay(pair, solution.migrations, 4) == solution.objective


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_tight_racks_still_give_legal_plans(share):
    config = replace(
        GENERATORS["small"], anti_affinity_share=share, rack_set_share=share, pinned_share=0.1
    )
    for seed in range(3):
        cluster = generate_cluster(config, seed)
        solution = solve(cluster, FR16, 20, 1.0)
        assert replay(cluster, solution.migrations, 20) == solution.objective


def test_memory_that_binds_is_kept_by_form_a_and_refused_by_the_columns():
    """Node 1 has the cores for VM 0 but not the memory."""
    cluster = make_cluster([(8, 0, 0, 60), (8, 0, 1, 60)], num_pms=1, mem_mb=100)
    assert solve(cluster, FR16, 2, 2.0).migrations == ()
    with pytest.raises(ConfigError, match="memory can bind"):
        solve_columns(cluster, FR16, 2, 2.0)


def test_emptying_pms_and_gathering_memory_are_solved_by_form_a():
    cluster = four_halves()
    assert solve(cluster, parse_objective("empty"), 2, 5.0).objective == 0.5
    memory = make_cluster([(8, p, k, 8 << 10) for p in (0, 1) for k in (0, 1)], mem_mb=16 << 10)
    assert solve(memory, parse_objective("mem16"), 2, 5.0).objective == 0.0
    with pytest.raises(ConfigError, match="mem or empty"):
        solve_columns(cluster, parse_objective("empty"), 2, 5.0)


@pytest.mark.parametrize("form", FORMS)
def test_a_tiny_time_limit_returns_the_hint(form):
    cluster, hint = four_halves(), (Migration(0, 0, 1),)
    assert form(cluster, FR16, 2, 1e-6).migrations == ()
    solution = form(cluster, FR16, 2, 1e-6, hint=hint)
    assert solution.migrations == hint
    assert solution.bound <= solution.objective == 0.5


@pytest.mark.parametrize("form", [solve, *FORMS])
@pytest.mark.parametrize("time_limit_s", [1e-6, 0.01, 0.1, 0.3])
def test_a_bound_is_never_above_the_optimum_however_short_the_time(form, time_limit_s):
    """The optimum of this cluster is 7 slots of 122 free cores (columns, proven)."""
    cluster = generate_cluster(GENERATORS["small"], 0)
    best = solve(cluster, FR16, 50, 20.0)
    assert best.status == "optimal"
    solution = form(cluster, FR16, 50, time_limit_s)
    assert solution.bound <= best.objective + 1e-9
    assert (solution.status == "optimal") <= (solution.objective <= best.objective + 1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_a_hint_is_never_made_worse(form):
    cluster = generate_cluster(TINY, 1)
    hint = solve(cluster, FR16, 5, 5.0).migrations
    for time_limit_s in (1e-3, 0.05):
        solution = form(cluster, FR16, 5, time_limit_s, hint=hint)
        assert solution.objective <= FR16.rate(cluster.migrate(hint))


def test_an_illegal_hint_is_refused_by_its_index():
    with pytest.raises(ConfigError, match=r"hint\[1\]"):
        solve(four_halves(), FR16, 4, 1.0, hint=(Migration(0, 0, 1), Migration(2, 0, 1)))


def test_a_ring_of_full_nodes_needs_a_hop():
    """VMs 0 and 1 change places on full nodes: through node 1 of PM 1, if the limit allows it."""
    cluster = make_cluster([(16, 0, 0), (16, 0, 1), (16, 1, 0)])
    swapped = np.array([1, 0, 0], np.int32)
    moves, is_complete = order_moves(cluster, cluster.vm_pm, swapped)
    assert (len(moves), is_complete) == (3, True)
    assert (cluster.migrate(moves).vm_numa == swapped).all()
    assert order_moves(cluster, cluster.vm_pm, swapped, migration_limit=2) == ([], False)


def test_the_same_problem_gives_the_same_plan():
    cluster = generate_cluster(GENERATORS["small"], 3)
    first, second = (solve(cluster, FR16, 10, 10.0, num_threads=1) for _ in range(2))
    assert first.migrations == second.migrations
