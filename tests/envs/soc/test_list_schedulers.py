"""Static list schedulers: published values, ranks, rules of a schedule on random DAGs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dag_checker import append_all, check_schedule, comm_ticks
from hypothesis import given, settings
from hypothesis import strategies as st
from random_dags import random_workload
from workloads import chain, edges_of, fork, masked, peft_paper, single, static, topcuoglu

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.dag import make_dag
from rlsched.envs.soc.hbmct import hbmct, independent_groups
from rlsched.envs.soc.instances import builtin_workload
from rlsched.envs.soc.list_schedulers import (
    STATIC,
    cpop,
    critical_path,
    etf,
    heft,
    lookahead,
    max_min,
    min_min,
    peft,
)
from rlsched.envs.soc.ranks import (
    downward_rank,
    optimistic_cost,
    optimistic_rank,
    upward_order,
    upward_rank,
)
from rlsched.envs.soc.schedule import Schedule, settle
from rlsched.envs.soc.timeline import insert_best_pair
from rlsched.envs.soc.workload import Workload


def check(workload: Workload, schedule: Schedule, kind: int = 0) -> int:
    """Return the makespan of a schedule that keeps all rules and is replayed by appending."""
    times = schedule.pe.tolist(), schedule.start.tolist(), schedule.end.tolist()
    makespan = check_schedule(workload, *times, workload.jobs[kind])
    choices = schedule.in_start_order()
    assert append_all(workload, choices, workload.jobs[kind]) == times[1:]
    starts = [int(schedule.start[t]) for t, _ in choices]
    assert starts == sorted(starts)
    assert makespan == schedule.makespan
    return makespan


# --- published values -----------------------------------------------------------------------------


def test_ranks_of_the_topcuoglu_graph():
    """Topcuoglu, Hariri & Wu (2002), table of ranks."""
    dag = make_dag(topcuoglu())
    up = [108, 77, 80, 80, 69, 63.333, 42.667, 35.667, 44.333, 14.667]
    down = [0, 31, 25, 22, 24, 27, 62.333, 66.667, 63.667, 93.333]
    np.testing.assert_allclose(upward_rank(dag), up, atol=5e-4)
    np.testing.assert_allclose(downward_rank(dag), down, atol=5e-4)


def test_heft_makespan_of_the_topcuoglu_graph_is_80():
    """Topcuoglu, Hariri & Wu (2002), fig. 3 (a): task, PE, start and end."""
    published = {
        0: (2, 0, 9),
        1: (0, 27, 40),
        2: (2, 9, 28),
        3: (1, 18, 26),
        4: (2, 28, 38),
        5: (1, 26, 42),
        6: (2, 38, 49),
        7: (0, 57, 62),
        8: (1, 56, 68),
        9: (1, 73, 80),
    }
    schedule = heft(make_dag(topcuoglu()))
    rows = zip(schedule.pe, schedule.start, schedule.end, strict=True)
    assert {t: tuple(map(int, row)) for t, row in enumerate(rows)} == published
    assert check(topcuoglu(), schedule) == 80


def test_cpop_makespan_of_the_topcuoglu_graph_is_86():
    """Topcuoglu, Hariri & Wu (2002), fig. 3 (b): the critical path is on P2."""
    dag = make_dag(topcuoglu())
    path = critical_path(dag, np.round(upward_rank(dag) + downward_rank(dag), 6))
    schedule = cpop(dag)
    assert path.tolist() == [0, 1, 8, 9]
    assert schedule.pe[path].tolist() == [1, 1, 1, 1]
    assert check(topcuoglu(), schedule) == 86


def test_optimistic_ranks_of_the_peft_paper():
    """Arabnejad & Barbosa (2014), table of the optimistic cost, last column."""
    dag = make_dag(peft_paper())
    rank = optimistic_rank(dag, optimistic_cost(dag))
    published = [72.67, 41, 37, 43.67, 31, 41.67, 17, 20.67, 16.33, 0]
    np.testing.assert_allclose(rank, published, atol=5e-3)


@pytest.mark.parametrize(
    ("scheduler", "first", "second"),
    [(heft, 80, 133), (cpop, 86, 167), (peft, 85, 122), (lookahead, 76, 127), (min_min, 76, 122)],
)
def test_makespans_of_the_two_published_graphs(scheduler, first, second):
    """Published: HEFT 80 and CPOP 86, HEFT 133 and PEFT 122; the others as computed elsewhere."""
    assert check(topcuoglu(), scheduler(make_dag(topcuoglu()))) == first
    assert check(peft_paper(), scheduler(make_dag(peft_paper()))) == second


def test_etf_on_the_topcuoglu_graph_depends_on_which_of_two_equal_tasks_goes_first():
    """Tasks 2 and 3 have upward rank 80 both; 102 was published of a scheduler that takes 3."""
    dag = make_dag(topcuoglu())
    priority = np.round(upward_rank(dag), 6)
    priority[3] += 1e-3
    assert etf(dag).makespan == 100
    assert settle(dag, *insert_best_pair(dag, priority, True, False)).makespan == 102


def test_heft_on_the_ten_jobs_of_gym_ds3():
    workload = builtin_workload("gym_ds3/all")
    makespans = [check(workload, heft(make_dag(workload, k)), k) for k in range(10)]
    assert makespans == [80, 90, 89, 98, 97, 90, 83, 69, 78, 82]


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATIC)
def test_every_scheduler_on_tasks_without_a_choice(name):
    assert check(masked(), STATIC[name](make_dag(masked()))) == 11
    assert check(single(), STATIC[name](make_dag(single()))) == 3


def test_schedulers_that_look_ahead_stay_on_one_pe_where_moving_costs_more():
    assert [heft(make_dag(w)).makespan for w in (chain(), fork())] == [9, 7]
    assert [peft(make_dag(w)).makespan for w in (chain(), fork())] == [9, 7]


def test_a_gap_is_used():
    """Task 1 waits on P1 for data from P2; task 3, ranked last, fits before it."""
    workload = static("gap", [(-1, 2), (9, -1), (9, -1), (2, -1)], edges_of("0-1:3 1-2:0"))
    schedule = heft(make_dag(workload))
    assert schedule.start.tolist() == [0, 5, 14, 0]
    assert schedule.end.tolist() == [2, 14, 23, 2]
    assert check(workload, schedule) == 23


def test_a_pe_of_capacity_two_runs_two_tasks_at_once():
    workload = static("pair", [(4,), (4,), (4,)], capacity=[2])
    assert [check(workload, fn(make_dag(workload))) for fn in STATIC.values()] == [8] * len(STATIC)


def test_min_min_starts_with_the_shortest_task_and_max_min_with_the_longest():
    """Three free tasks on two equal PEs: 2 and 3 first leave 5 for the end, 5 first does not."""
    dag = make_dag(static("free", [(2, 2), (3, 3), (5, 5)]))
    assert min_min(dag).start.tolist() == [0, 0, 2]
    assert max_min(dag).start.tolist() == [3, 0, 0]


def test_hbmct_moves_tasks_off_the_pe_that_finishes_last():
    """Four free tasks are fastest on P1, 8 ticks in all; one goes to P2, two would not help."""
    schedule = hbmct(make_dag(static("free", [(2, 3)] * 4)))
    assert sorted(schedule.pe.tolist()) == [0, 0, 0, 1]
    assert schedule.makespan == 6


def test_hbmct_cuts_groups_before_a_task_that_needs_one_of_the_group():
    groups = independent_groups(make_dag(topcuoglu()))
    assert [group.tolist() for group in groups] == [[0], [2, 3, 1, 4, 5], [8, 6, 7], [9]]


def test_cpop_with_a_critical_path_that_no_pe_can_run():
    """P1 can run two of the three tasks of the path, P2 one."""
    workload = static("split", [(5, -1), (-1, 5), (5, 9)], edges_of("0-1:2 1-2:2"))
    schedule = cpop(make_dag(workload))
    assert schedule.pe.tolist() == [0, 1, 0]
    assert check(workload, schedule) == 19


def test_means_leave_out_pes_that_cannot_run_a_task():
    """Data of 4 units move between P1 and P2 or P3, at 1 and 2 units per tick."""
    workload = static("means", [(2, -1, -1), (-1, 4, 8)], edges_of("0-1:4"))
    bandwidth = ((9.0, 1.0, 2.0), (5.0, 9.0, 5.0), (5.0, 5.0, 9.0))
    dag = make_dag(replace(workload, soc=replace(workload.soc, bandwidth=bandwidth)))
    assert dag.mean_time.tolist() == [2, 6]
    assert dag.mean_comm.tolist() == [3]


def test_tasks_that_only_the_same_pe_can_run_send_data_within_it():
    workload = static("alone", [(1, -1), (1, -1)], edges_of("0-1:6"))
    soc = replace(workload.soc, bandwidth=((2.0, 1.0), (1.0, 2.0)))
    assert make_dag(replace(workload, soc=soc)).mean_comm.tolist() == [3]


def test_optimistic_cost_of_a_pe_that_cannot_run_what_follows_holds_the_move():
    workload = static("move", [(1, 1), (-1, 5)], edges_of("0-1:4"))
    assert optimistic_cost(make_dag(workload)).tolist() == [[9, 5], [0, 0]]


def test_data_that_take_too_long_are_refused():
    workload = static("slow", [(1, 1), (1, 1)], edges_of("0-1:1000"), bandwidth=1e-9)
    with pytest.raises(InstanceError, match=r"volume of 1000 at bandwidth 1e-09"):
        make_dag(workload)


# --- random DAGs ----------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), num_tasks=st.integers(1, 14), num_pes=st.integers(1, 4))
def test_every_schedule_keeps_the_rules_and_is_replayed_by_appending(seed, num_tasks, num_pes):
    """Some tasks take no time, some edges carry nothing, PEs hold up to three tasks."""
    workload = random_workload(seed, num_tasks, num_pes)
    dag = make_dag(workload)
    for scheduler in STATIC.values():
        check(workload, scheduler(dag))


def naive_heft(workload: Workload, order: list[int]) -> list[tuple[int, int]]:
    """Return PE and start of each task: of all times when something ends, the first that fits."""
    job, placed = workload.jobs[0], dict[int, tuple[int, int, int]]()
    for t in order:
        best = None
        for p, ticks in enumerate(workload.soc.times[job.tasks[t]]):
            if ticks < 0:
                continue
            since = max(
                (
                    placed[u][2] + comm_ticks(workload, volume, placed[u][0], p)
                    for u, v, volume in job.edges
                    if v == t
                ),
                default=0,
            )
            busy = [(start, end) for q, start, end in placed.values() if q == p]
            for at in sorted([since, *(end for _, end in busy if end > since)]):
                if all(end <= at or start >= at + ticks for start, end in busy):
                    if best is None or at + ticks < best[2]:
                        best = p, at, at + ticks
                    break
        assert best is not None
        placed[t] = best
    return [placed[t][:2] for t in range(job.num_tasks)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), num_tasks=st.integers(1, 25), num_pes=st.integers(1, 4))
def test_heft_takes_the_earliest_gap_of_all(seed, num_tasks, num_pes):
    workload = random_workload(seed, num_tasks, num_pes, least_time=1)
    pes = tuple(replace(pe, capacity=1, power=pe.power[:1]) for pe in workload.soc.pes)
    workload = replace(workload, soc=replace(workload.soc, pes=pes))
    dag = make_dag(workload)
    schedule = heft(dag)
    found = list(zip(schedule.pe.tolist(), schedule.start.tolist(), strict=True))
    assert found == naive_heft(workload, upward_order(dag).tolist())


def test_settled_starts_are_never_later_than_those_given():
    """Spread out in time, the same order on the same PEs is pulled together."""
    workload = topcuoglu()
    dag, schedule = make_dag(workload), heft(make_dag(topcuoglu()))
    late = settle(dag, schedule.pe, schedule.start * 3 + 5, schedule.end * 3 + 5)
    assert late.makespan == check(workload, late) == 80
    assert late.in_start_order() == schedule.in_start_order()


def test_ranks_fall_along_edges():
    dag = make_dag(random_workload(3, 40, 4))
    target = dag.prev_target
    assert (upward_rank(dag)[dag.prev_task] >= upward_rank(dag)[target]).all()
    assert (downward_rank(dag)[dag.prev_task] <= downward_rank(dag)[target]).all()


# --- the checker ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "pe", "start", "message"),
    [
        (1, 1, 3, "cannot run it"),
        (1, 0, 1, "before data of 0"),
        (1, 0, -1, "starts at -1"),
        (2, 0, 8, "is full"),
        (2, 0, 1, "is full"),
        (3, 0, 6, "is full for task 3"),
    ],
)
def test_checker_refuses(task, pe, start, message):
    """Task 0 on P2 sends to task 1 on P1, which P1 runs from 5 to 9; then come 2 and, at 9, 3."""
    workload = static("refused", [(9, 2), (4, -1), (5, 5), (0, 0)], edges_of("0-1:3"))
    pes, starts, ends = [1, 0, 0, 0], [0, 5, 9, 9], [2, 9, 14, 9]
    assert check_schedule(workload, pes, starts, ends) == 14
    ends[task] += start - starts[task]
    pes[task], starts[task] = pe, start
    with pytest.raises(AssertionError, match=message):
        check_schedule(workload, pes, starts, ends)
