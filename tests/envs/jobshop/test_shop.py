"""Facts about the shop type: shapes, labels, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlsched.core.errors import InstanceError
from rlsched.envs.jobshop.shop import MAX_TICKS, NO_DUE_DATE, Floor, Schedule, Shop


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def two_jobs(**rest) -> Shop:
    """Job 0: machine 0 or 1, then machine 2; job 1: machine 2."""
    jobs = [[[(0, 5), (1, 3)], [(2, 4)]], [[(2, 7)]]]
    return Shop.from_jobs(jobs, 3, name="hand", **rest)


def floor(**changed) -> Floor:
    """At 20 job 0 waits in machine 1's buffer for machine 2, where job 1 has 6 ticks left."""
    parts: dict[str, Any] = {
        "clock": 20,
        "num_done": ints(1, 0),
        "machine": ints(-1, 2),
        "left": ints(0, 6),
        "buffer": ints(1, -1),
        "ready": ints(15, 20),
        "down_until": ints(0, 0, 25),
    }
    return Floor(**(parts | changed))


def test_operations_and_alternatives_lie_one_after_another():
    shop = two_jobs()
    assert (shop.num_jobs, shop.num_ops, shop.num_machines) == (2, 3, 3)
    assert shop.op_begin.tolist() == [0, 2, 3]
    assert shop.alt_begin.tolist() == [0, 2, 3, 4]
    assert shop.op_job.tolist() == [0, 0, 1]
    assert shop.min_time.tolist() == [3, 4, 7]
    assert shop.alternatives(0) == [(0, 5), (1, 3)]
    assert shop.is_flexible


def test_what_is_not_given_is_absent():
    shop = two_jobs()
    assert shop.release.tolist() == [0, 0]
    assert shop.due.tolist() == [NO_DUE_DATE] * 2
    assert shop.weight.tolist() == [1, 1]
    assert shop.windows.shape == (0, 3)
    assert shop.floor is None
    assert (shop.job_label(1), shop.machine_label(2)) == ("1", "2")


def test_a_matrix_is_a_plain_job_shop():
    shop = Shop.from_matrix(np.array([[1, 0], [0, 1]]), np.array([[3, 4], [5, 6]]), "m")
    assert not shop.is_flexible
    assert shop.num_machines == 2
    assert [shop.alternatives(o) for o in range(4)] == [[(1, 3)], [(0, 4)], [(0, 5)], [(1, 6)]]


def test_completion_and_makespan_of_a_schedule():
    schedule = Schedule(two_jobs(), ints(1, 2, 2), ints(0, 7, 0), ints(3, 11, 7), ints(7, 11, 7))
    assert schedule.completion.tolist() == [11, 7]
    assert schedule.makespan == 11


def test_the_floor_by_hand_is_possible():
    assert two_jobs(floor=floor()).floor is not None


def test_a_job_may_block_the_machine_it_finished_on():
    blocked = floor(machine=ints(0, 2), buffer=ints(-1, -1))
    assert two_jobs(floor=blocked).floor is blocked


def test_a_job_not_yet_released_waits_from_its_release():
    later = floor(num_done=ints(0, 0), buffer=ints(-1, -1), ready=ints(30, 20))
    assert two_jobs(floor=later, release=[30, 0]).release[0] == 30


def test_an_operation_may_take_no_time():
    """As the last one of orb07."""
    assert Shop.from_jobs([[[(0, 3)], [(1, 0)]]]).min_time.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([], "there is no operation"),
        ([[[(0, 1)]], []], "every job needs at least one operation"),
        ([[[(0, 1)], []]], "every operation needs at least one machine"),
        ([[[(0, 1), (0, 2)]]], "operation 0 names machine 0 twice"),
        ([[[(0, 1)], [(3, 2)]]], r"operation 1 names machine 3; machines are 0 \.\. 2"),
        ([[[(-1, 1)]]], "names machine -1"),
        ([[[(0, 1), (1, -7)]]], "operation 0 takes -7 ticks; processing times must be >= 0"),
        ([[[(0, 1.5)]]], "whole numbers"),
        ([[[(0, 2**31)]]], "2147483648 is out of range"),
        ([[[(0, -(2**40))]]], "-1099511627776 is out of range"),
        ([[[(0, MAX_TICKS)], [(1, 1)]]], f"at most {MAX_TICKS} are allowed"),
    ],
)
def test_impossible_jobs_are_refused(jobs, words):
    with pytest.raises(InstanceError, match=words):
        Shop.from_jobs(jobs, 3)


def test_the_slowest_machine_counts_for_the_limit_on_time():
    half = MAX_TICKS // 2
    assert Shop.from_jobs([[[(0, half), (1, half), (2, half)], [(0, half)]]]).num_ops == 2
    with pytest.raises(InstanceError, match="ticks of work"):
        Shop.from_jobs([[[(0, half), (1, half)], [(0, half)]]], release=[1])
    with pytest.raises(InstanceError, match="ticks of work"):
        Shop.from_jobs([[[(0, half), (1, half)], [(0, half)]]], windows=[(0, 0, 1)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"release": ints(0)}, "release has 1 values for 2 jobs"),
        ({"release": ints(0, -1)}, r"release\[1\] = -1; allowed: 0 to"),
        ({"due": ints(-5, 0)}, r"due\[0\] = -5"),
        ({"weight": ints(1, 10**6 + 1)}, r"weight\[1\] = 1000001; allowed: 0 to 1000000"),
        ({"alt_time": ints(5, 3, 4)}, "4 machines and 3 times for 4 alternatives"),
        ({"alt_begin": ints(0, 2, 3)}, "every operation needs"),
        ({"op_begin": ints(0, 3, 3)}, "every job needs"),
        ({"op_begin": ints(1, 2, 3)}, "every job needs"),
        ({"job_names": ("a",)}, "job_names has 1 different names; give 2 or none"),
        ({"machine_names": ("a", "a", "b")}, "machine_names has 2 different names; give 3"),
        ({"machine_names": ("a", "", "b")}, "machine_names has 3 different names"),
        ({"windows": np.array([[3, 0, 5]], np.int32)}, "window 0 is machine 3, 0 to 5"),
        ({"windows": np.array([[0, 5, 5]], np.int32)}, "longer than nothing"),
        ({"windows": np.array([[0, 5, 9], [0, 8, 9]], np.int32)}, "window 1 is machine 0"),
    ],
)
def test_inconsistent_arrays_are_refused_by_name(change, words):
    with pytest.raises(InstanceError, match=words) as caught:
        replace(two_jobs(), **change)
    assert str(caught.value).startswith("hand: ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_done": ints(1)}, r"floor.num_done has 1 values; give 2"),
        ({"down_until": ints(0)}, r"floor.down_until has 1 values; give 3"),
        ({"clock": -1}, "clock -1"),
        ({"num_done": ints(3, 0)}, "job 'a' has 3 finished operations; allowed: 0 to 2"),
        ({"num_done": ints(2, 0)}, "job 'a' is finished"),
        ({"machine": ints(0, 2)}, "on a machine and in an output buffer"),
        ({"machine": ints(-1, 3)}, r"job 'b' is at machine 3; machines are 0 \.\. 2"),
        ({"machine": ints(-1, -1)}, "6 ticks of work left and is on no machine"),
        ({"machine": ints(-1, 0)}, "works on machine '0', which cannot do its operation 0"),
        ({"left": ints(0, 8)}, "8 ticks left of operation 0 on machine '2'; allowed: 1 to 7"),
        ({"left": ints(0, -1)}, "-1 ticks left of operation 0"),
        ({"left": ints(0, 0)}, "is at machine '2' with no operation done"),
        ({"buffer": ints(2, -1)}, "waits at machine '2', which cannot have done its operation 0"),
        ({"ready": ints(21, 20)}, "waits since 21; the clock is 20"),
        (
            {"machine": ints(2, 2), "left": ints(3, 6), "buffer": ints(-1, -1)},
            "jobs 'a' and 'b' are both on machine '2'",
        ),
    ],
)
def test_an_impossible_floor_is_refused(change, words):
    with pytest.raises(InstanceError, match=words):
        two_jobs(floor=floor(**change), job_names=("a", "b"))


def test_a_job_cannot_have_begun_before_its_release():
    with pytest.raises(InstanceError, match="release time 21 is after the clock 20"):
        two_jobs(floor=floor(), release=[0, 21])
