"""The exact solver: known optima, agreement with exhaustive search, legal schedules, limits."""

from __future__ import annotations

import math
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from exhaustive import best_objective
from schedule_checker import check_schedule, objective_of
from shops import (
    crossing_floor,
    maintained,
    one_machine,
    plain,
    random_shop,
    three_by_three,
    two_by_two,
    two_lines,
)

from rlsched.core.errors import ConfigError
from rlsched.envs.jobshop import exact
from rlsched.envs.jobshop.benchmarks import load_benchmark
from rlsched.envs.jobshop.exact import lower_bound
from rlsched.envs.jobshop.exact_model import OBJECTIVES
from rlsched.envs.jobshop.shop import Floor, Shop

INF = math.inf


def solve(shop: Shop, **options) -> exact.Solution:
    """Solve on one thread; check what comes back against the independent checker."""
    solution = exact.solve(shop, **({"time_limit_s": 20.0, "num_threads": 1} | options))
    if solution.schedule is not None:
        check_schedule(
            solution.schedule,
            options.get("buffer", INF),
            options.get("swap", "auto"),
            options.get("resume", True),
            op_time=options.get("op_time"),
        )
        objective = options.get("objective", "makespan")
        assert objective_of(solution.schedule, objective) == solution.objective
        assert lower_bound(shop, objective) <= solution.bound <= solution.objective
    return solution


def optimum(shop: Shop, **options) -> int | None:
    """Return the proven optimum, None if it is proven that there is no schedule."""
    solution = solve(shop, **options)
    assert solution.status == ("infeasible" if solution.schedule is None else "optimal")
    assert solution.is_optimal == (solution.schedule is not None)
    return solution.objective


# --- known optima ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("buffer", "makespan"), [(INF, 55), (1, 56), (0, 63)])
def test_ft06(buffer, makespan):
    """55 and 63 are published optima (ScheduleOpt); a place per machine lies in between."""
    assert optimum(load_benchmark("ft06"), buffer=buffer) == makespan


def test_crossing_jobs_swap_or_wait_for_each_other():
    assert optimum(two_by_two(), buffer=0) == 7
    assert optimum(two_by_two(), buffer=0, swap="choice") == 7
    assert optimum(two_by_two(), buffer=0, swap="off") == 11
    assert optimum(two_by_two(), buffer=1, swap="off") == 7


def test_three_jobs_that_chase_each_other_lose_most_without_swaps():
    shop = three_by_three()
    assert optimum(shop) == optimum(shop, buffer=1) == optimum(shop, buffer=1, swap="off") == 11
    assert optimum(shop, buffer=0) == 12
    assert optimum(shop, buffer=0, swap="off") == 14


@pytest.mark.parametrize(
    ("objective", "value"),
    [("makespan", 5), ("flow_time", 7), ("total_tardiness", 1), ("weighted_tardiness", 2)],
)
def test_each_objective_chooses_its_own_order(objective, value):
    assert optimum(one_machine(), objective=objective) == value


def test_a_slower_machine_that_is_free_is_chosen():
    solution = solve(two_lines())
    assert (solution.objective, solution.schedule.machine.tolist()) == (5, [0, 2, 1, 2])


def test_work_stretches_over_maintenance_or_begins_again():
    assert optimum(maintained()) == 10
    assert optimum(maintained(), resume=False) == 11
    assert solve(maintained(), objective="flow_time").schedule.end.tolist() == [10, 3]
    assert solve(maintained(), objective="flow_time", resume=False).objective == 3 + 11


def test_downtimes_given_apart_count_as_maintenance_does():
    shop = replace(maintained(), windows=np.zeros((0, 3), np.int32))
    solution = solve(shop, downs=[(0, 5, 6), (0, 4, 5), (0, 4, 6)])
    assert solution.objective == 10
    assert solution.schedule.downs.tolist() == [[0, 4, 6]]


def test_a_job_leaves_a_machine_that_is_down_only_into_the_buffer_and_only_at_once():
    """Machine 0 goes down as the work there ends; without a place the job is kept till 9."""
    shop = plain([(0, 4), (1, 2)], windows=[(0, 4, 9)])
    assert optimum(shop) == 6
    assert optimum(shop, buffer=0) == 11


def test_other_processing_times_can_be_given():
    solution = solve(two_by_two(), op_time=np.array([5, 2, 2, 4]))
    assert (solution.objective, solution.schedule.end.tolist()) == (9, [5, 7, 2, 9])


def test_work_of_no_ticks_passes_between_two_jobs():
    shop = plain([(0, 3), (1, 3)], [(1, 3), (0, 3)], [(0, 0), (1, 0)])
    assert optimum(shop) == optimum(shop, buffer=0) == 6


# --- from the middle ------------------------------------------------------------------------------


def test_the_floor_goes_on_where_it_stands():
    solution = solve(crossing_floor(), buffer=0)
    assert solution.objective == 7
    assert solution.schedule.start.tolist() == [2, 3, -1, 3]
    assert solution.schedule.leave.tolist() == [3, 5, 3, 7]


def test_a_floor_that_needs_a_swap_cannot_go_on_without():
    assert optimum(crossing_floor(), buffer=0, swap="off") is None
    assert optimum(crossing_floor(), buffer=1, swap="off") == 7


def test_a_machine_that_is_down_keeps_its_job_until_it_returns():
    shop = crossing_floor()
    floor = replace(shop.floor, down_until=np.array([0, 9], np.int32))
    solution = solve(replace(shop, floor=floor), buffer=0)
    assert solution.schedule.start.tolist() == [2, 9, -1, 9]


def test_a_full_buffer_on_the_floor_blocks():
    """Job 0 is in machine 0's buffer, so job 1, finished at 7, keeps machine 0 until 8."""
    I = lambda *x: np.array(x, np.int32)  # noqa: E731, E741
    floor = Floor(5, I(1, 0, 0), I(-1, 0, 1), I(0, 1, 3), I(0, -1, -1), I(4, 0, 0), I(0, 0))
    shop = plain([(0, 1), (1, 2)], [(0, 2), (1, 1)], [(1, 4), (0, 5)], floor=floor)
    solution = solve(shop, buffer=1, objective="flow_time")
    assert solution.schedule.start.tolist() == [-1, 9, 5, 8, 5, 8]
    assert solution.schedule.leave.tolist() == [5, 11, 8, 9, 8, 13]
    assert (solution.objective, solution.status) == (11 + 9 + 13, "optimal")


def test_nothing_is_left_to_do():
    none = np.full(2, -1, np.int32)
    zero, done = np.zeros(2, np.int32), np.array([2, 2], np.int32)
    shop = two_by_two(floor=Floor(40, done, none, zero, none, zero, zero))
    for objective in OBJECTIVES:
        assert solve(shop, buffer=0, objective=objective).objective == 0


# --- random shops ---------------------------------------------------------------------------------

SHOPS = [
    {"num_jobs": 3, "num_machines": 2, "max_time": 4},
    {"num_jobs": 3, "num_machines": 2, "max_time": 3, "num_windows": 2},
    {"num_jobs": 2, "num_machines": 3, "max_time": 4, "is_uneven": True, "has_dates": True},
    {"num_jobs": 2, "num_machines": 2, "max_time": 3, "is_flexible": True, "num_windows": 1},
]


@pytest.mark.parametrize("buffer", [0, 1, INF])
@pytest.mark.parametrize("parts", SHOPS)
def test_the_optimum_is_that_of_exhaustive_search(parts, buffer):
    for seed in range(3):
        shop, resume = random_shop(seed, **parts), seed != 1
        for swap in ("auto", "off"):
            objective = OBJECTIVES[(seed + (swap == "off")) % 4]
            options = {"buffer": buffer, "swap": swap, "resume": resume, "objective": objective}
            best = best_objective(shop, buffer, swap, objective, resume)
            assert optimum(shop, **options) == best, (seed, options)


@pytest.mark.parametrize("buffer", [0, 2, INF])
@pytest.mark.parametrize("swap", ["auto", "off"])
def test_schedules_of_random_shops_are_legal_and_start_work_only_when_something_happens(
    buffer, swap
):
    for seed, objective in enumerate(OBJECTIVES):
        shop = random_shop(
            seed, 5, 4, is_flexible=seed % 2 == 0, is_uneven=True, has_dates=True, num_windows=2
        )
        options = {"buffer": buffer, "swap": swap, "objective": objective, "resume": seed < 2}
        solution = solve(shop, time_limit_s=0.3, **options)
        schedule = solution.schedule
        events = {0, *shop.release.tolist(), *schedule.end.tolist()}
        events |= set(schedule.downs[:, 1:].ravel().tolist())
        assert set(schedule.start.tolist()) <= events


# --- hints and limits -----------------------------------------------------------------------------


def test_the_answer_is_never_worse_than_the_hint():
    shop = load_benchmark("ft06")
    best = solve(shop, buffer=0).schedule
    again = solve(shop, buffer=0, hint=best, time_limit_s=0.0)
    assert again.objective == 63


def test_of_a_hint_only_the_order_counts():
    """The order of a schedule of 63 ticks, carried out though all machines rest for 10."""
    shop = load_benchmark("ft06")
    hint = solve(shop, buffer=0).schedule
    late = replace(shop, windows=np.array([[m, 20, 30] for m in range(6)], np.int32))
    assert 63 < solve(late, buffer=0, hint=hint, time_limit_s=0.0).objective <= 73


def test_a_hint_that_cannot_be_carried_out_is_refused():
    classic = solve(two_by_two()).schedule
    with pytest.raises(ConfigError, match="same buffer and swap"):
        solve(two_by_two(), buffer=0, swap="off", hint=classic)
    nowhere = replace(classic, machine=np.full(4, -1, np.int32))
    with pytest.raises(ConfigError, match="operation 0 on machine -1"):
        solve(two_by_two(), hint=nowhere)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buffer": -1}, "buffer = -1"),
        ({"buffer": 0.5}, "buffer = 0.5"),
        ({"swap": "on"}, "swap = 'on'; allowed: auto, choice, off"),
        ({"objective": "cost"}, "objective = 'cost'; allowed: makespan"),
        ({"op_time": np.array([1, 2])}, "op_time has 2 values"),
        ({"downs": [(2, 1, 2)]}, r"downs\[0\] = machine 2, 1 to 2"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        solve(two_by_two(), **options)


def test_the_time_limit_holds_and_there_is_an_answer():
    rng = np.random.default_rng(0)
    machines = np.array([rng.permutation(10) for _ in range(20)])
    shop, begin = Shop.from_matrix(machines, rng.integers(5, 100, (20, 10))), perf_counter()
    solution = solve(shop, buffer=0, time_limit_s=1.0)
    assert perf_counter() - begin < 3.0
    assert solution.status == "feasible"
    assert solution.objective < shop.alt_time.sum() / 2


# --- lower bounds ---------------------------------------------------------------------------------


def test_lower_bounds_by_hand():
    """Alone the jobs end at 5 and 6; machine 0 is through at 3 and 7, and 2 are left after 3."""
    assert lower_bound(two_by_two(), "makespan") == 7
    assert lower_bound(two_by_two(), "flow_time") == 3 + 2 + 7
    assert lower_bound(two_by_two(due=[4, 4], weight=[1, 5]), "total_tardiness") == 1 + 2
    assert lower_bound(two_by_two(due=[4, 4], weight=[1, 5]), "weighted_tardiness") == 1 + 10
    assert lower_bound(two_by_two(release=[5, 0]), "makespan") == 10


def test_a_machine_does_the_shortest_work_first_at_best():
    shop = plain([(0, 4)], [(0, 1)], [(0, 2)])
    assert lower_bound(shop, "flow_time") == 1 + 3 + 7


def test_the_lower_bound_of_a_floor_counts_what_is_left():
    assert lower_bound(crossing_floor(), "makespan") == 2 + 1 + 4
