"""The exact solver: known optima, agreement with exhaustive search, bounds, limits."""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np
import pytest
from dag_checker import best_makespan, check_schedule
from random_dags import random_workload
from workloads import chain, fork, masked, peft_paper, single, static, topcuoglu

from rlsched.core.errors import ConfigError, MissingExtra
from rlsched.envs.soc import exact
from rlsched.envs.soc.dag import make_dag
from rlsched.envs.soc.instances import builtin_workload
from rlsched.envs.soc.list_schedulers import STATIC, cpop, heft
from rlsched.envs.soc.workload import Workload

pytest.importorskip("ortools")


def solve(workload: Workload, kind: int = 0, **options) -> exact.Solution:
    """Solve on one thread; check what comes back against the independent checker."""
    dag = make_dag(workload, kind)
    solution = exact.solve(dag, **({"time_limit_s": 20.0, "num_threads": 1} | options))
    schedule = solution.schedule
    times = schedule.pe.tolist(), schedule.start.tolist(), schedule.end.tolist()
    assert check_schedule(workload, *times, workload.jobs[kind]) == solution.makespan
    assert exact.lower_bound(dag) <= solution.bound <= solution.makespan
    return solution


def optimum(workload: Workload, kind: int = 0, **options) -> int:
    """Return the proven optimum."""
    solution = solve(workload, kind, **options)
    assert solution.is_optimal
    return solution.makespan


@pytest.mark.parametrize(("make", "ticks"), [(topcuoglu, 73), (peft_paper, 113)])
def test_optima_of_the_two_published_graphs(make, ticks):
    assert optimum(make()) == ticks


def test_optima_of_the_ten_jobs_of_gym_ds3():
    workload = builtin_workload("gym_ds3/all")
    optima = [optimum(workload, k) for k in range(10)]
    assert optima == [73, 81, 80, 87, 85, 80, 72, 65, 72, 74]


@pytest.mark.parametrize(("make", "ticks"), [(chain, 9), (fork, 7), (masked, 11), (single, 3)])
def test_optima_of_workloads_by_hand(make, ticks):
    assert optimum(make()) == ticks


def test_optima_of_the_jobs_of_ds3():
    """WiFi transmitter and receiver: 69 and 288, as the CP scheduler of DS3 (Arda et al. 2020)."""
    workload = builtin_workload("ds3/WiFi_TX,ds3/WiFi_RX")
    assert [optimum(workload, k) for k in range(2)] == [69, 288]


@pytest.mark.parametrize("seed", range(30))
def test_optimum_is_that_of_exhaustive_search(seed):
    """Capacities above 1, unsupported PEs, links of all speeds, data that take time within a PE."""
    workload = random_workload(seed, 2 + seed % 4, 1 + seed % 3, least_time=1)
    assert optimum(workload) == best_makespan(workload)


@pytest.mark.parametrize("seed", range(30))
def test_tasks_without_time_keep_the_bound_valid(seed):
    workload = random_workload(seed, 2 + seed % 4, 1 + seed % 3)
    solution, best = solve(workload), best_makespan(workload)
    assert solution.bound <= best <= solution.makespan
    if max(pe.capacity for pe in workload.soc.pes) == 1:
        assert solution.makespan == best


def test_a_task_without_time_does_not_run_inside_another():
    """Task 2 runs on P1 at 2, and task 0 after it: inside task 0 it cannot run."""
    workload = static("point", [(9, -1), (-1, 2), (0, -1), (-1, 3)], [(1, 2, 0), (2, 3, 0)])
    assert optimum(workload) == best_makespan(workload) == 11


@pytest.mark.parametrize("seed", range(10))
def test_no_heuristic_beats_the_optimum(seed):
    workload = random_workload(seed, 9, 3, least_time=1)
    dag = make_dag(workload)
    best = optimum(workload)
    for name, scheduler in STATIC.items():
        assert scheduler(dag).makespan >= best, name


def test_a_hint_is_never_made_worse():
    """In next to no time the hint comes back, with the bound of the longest path or the work."""
    workload = random_workload(1, 60, 3)
    dag = make_dag(workload)
    solution = solve(workload, hint=cpop(dag), time_limit_s=1e-6)
    assert solution.makespan == cpop(dag).makespan
    assert solution.bound == exact.lower_bound(dag)


def test_time_limit_is_kept():
    workload = random_workload(2, 80, 4, least_time=1)
    begin = perf_counter()
    solution = solve(workload, time_limit_s=1.0)
    assert perf_counter() - begin < 5.0
    assert solution.makespan <= heft(make_dag(workload)).makespan


def test_same_seed_same_schedule():
    first, second = (solve(topcuoglu(), seed=4).schedule for _ in range(2))
    assert np.array_equal(first.start, second.start)
    assert np.array_equal(first.pe, second.pe)


def test_ortools_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    with pytest.raises(MissingExtra, match=r"rlsched\[exact\]"):
        exact.solve(make_dag(topcuoglu()), time_limit_s=1)


def test_time_limit_must_be_above_zero():
    with pytest.raises(ConfigError, match=r"time_limit_s = 0; must be > 0"):
        exact.solve(make_dag(single()), time_limit_s=0)


def test_lower_bound_is_the_longest_path_or_the_work():
    """The chain takes 2 + 1 + 2 and two moves of 4, or one PE's 9; the free tasks 12 ticks on 2."""
    assert exact.lower_bound(make_dag(chain())) == 5
    assert exact.lower_bound(make_dag(static("free", [(4, 4)] * 3))) == 6
