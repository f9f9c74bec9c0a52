"""The independent checker refuses schedules that break a rule, and says which record does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from schedule_checker import check_schedule, objective_of
from shops import crossing_floor, maintained, one_machine, plain, two_by_two

from rlsched.envs.jobshop.shop import Schedule, Shop


def make(shop: Shop, start, end, leave, machine=None, downs=()) -> Schedule:
    """Return a schedule of lists, each operation on its first machine unless told."""
    machine = shop.alt_machine[shop.alt_begin[:-1]] if machine is None else machine
    arrays = [np.array(values, np.int32) for values in (machine, start, end, leave)]
    return Schedule(shop, *arrays, np.array(downs, np.int32).reshape(-1, 3), int(max(end)))


GOOD = {"start": [0, 3, 0, 3], "end": [3, 5, 2, 7], "leave": [3, 5, 3, 7]}
"""The crossing jobs swap at 3."""


def test_a_swap_is_legal_and_all_objectives_are_as_by_hand():
    schedule = make(two_by_two(due=[4, 5], weight=[1, 3]), **GOOD)
    check_schedule(schedule, buffer=0)
    objectives = ("makespan", "flow_time", "total_tardiness", "weighted_tardiness")
    assert [objective_of(schedule, o) for o in objectives] == [7, 12, 1 + 2, 1 + 6]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"swap": "off"}, r"at 3 jobs \[0, 1\] can only change places all at once"),
        ({}, {"buffer": math.inf}, r"operation 2 \(job 1\) ends at 2 and leaves at 3"),
        ({"leave": [3, 5, 2, 7]}, {}, r"operation 2 \(job 1\) ends at 2 and leaves at 2; the next"),
        ({"end": [3, 5, 3, 7]}, {}, r"operation 2 \(job 1\) was worked on for 3 ticks of 2"),
        ({"machine": [0, 0, 1, 0]}, {}, r"operation 1 \(job 0\) is on machine 0, which cannot"),
        ({"start": [0, 2, 0, 3]}, {}, r"operation 1 \(job 0\) starts at 2, its job is ready at 3"),
        ({"start": [-1, 3, 0, 3], "machine": [-1, 1, 1, 0]}, {}, "operation 0 .* not started"),
        ({"downs": [(1, 3, 4)]}, {}, "operation 1 .* starts at 3, machine 1 is down"),
        ({"downs": [(1, 2, 3), (0, 3, 3)]}, {}, "machine 0 is down from 3 to 3"),
    ],
)
def test_broken_rules_are_named(changes, options, message):
    with pytest.raises(AssertionError, match=message):
        check_schedule(make(two_by_two(), **(GOOD | changes)), **({"buffer": 0} | options))


def test_two_jobs_on_a_machine_are_refused():
    schedule = make(one_machine(release=[0, 0]), [0, 2], [3, 4], [3, 4])
    with pytest.raises(AssertionError, match=r"leaves machine 0 at 3, operation 1 .* starts at 2"):
        check_schedule(schedule)


def test_a_start_before_the_release_is_refused():
    with pytest.raises(AssertionError, match=r"operation 1 .* starts at 0, its job is ready at 1"):
        check_schedule(make(one_machine(), [2, 0], [5, 2], [5, 2]))


def test_interrupted_work_goes_on_or_begins_again():
    shop, downs = maintained(), [(0, 4, 6)]
    resumed, restarted = [10, 3], [11, 3]
    check_schedule(make(shop, [3, 0], resumed, resumed, downs=downs))
    check_schedule(make(shop, [3, 0], restarted, restarted, downs=downs), resume=False)
    with pytest.raises(AssertionError, match="worked on for 4 ticks of 5 at last"):
        check_schedule(make(shop, [3, 0], resumed, resumed, downs=downs), resume=False)


def test_a_buffer_that_holds_too_many_is_refused():
    """Jobs 0 and 1 wait behind machine 0 for machine 1, which job 2 holds until 9."""
    shop = plain([(0, 1), (1, 1)], [(0, 1), (1, 1)], [(1, 9)])
    schedule = make(shop, [0, 9, 1, 10, 0], [1, 10, 2, 11, 9], [1, 10, 2, 11, 9])
    check_schedule(schedule, buffer=2)
    with pytest.raises(AssertionError, match="at 2 the buffer of 0 holds"):
        check_schedule(schedule, buffer=1)


def test_a_machine_that_goes_down_keeps_its_job_unless_there_was_a_place():
    """Machine 0 goes down at 2, as job 1 ends there and job 0 leaves the buffer's only place."""
    shop = plain([(0, 1), (1, 1)], [(0, 1), (1, 1)], [(1, 2)])
    parts = {"start": [0, 2, 1, 3, 0], "end": [1, 3, 2, 4, 2], "leave": [1, 3, 2, 4, 2]}
    check_schedule(make(shop, **parts), buffer=1)
    check_schedule(make(shop, **parts, downs=[(0, 2, 3)]), buffer=2)
    with pytest.raises(AssertionError, match="cannot leave machine 0, which goes down at 2"):
        check_schedule(make(shop, **parts, downs=[(0, 2, 3)]), buffer=1)


def test_jobs_on_the_floor_are_taken_from_there():
    parts = {"start": [2, 3, -1, 3], "end": [3, 5, -1, 7], "leave": [3, 5, 3, 7]}
    check_schedule(make(crossing_floor(), **parts), buffer=0)
    early = {"start": [1, 3, -1, 3], "end": [2, 5, -1, 7]}
    with pytest.raises(AssertionError, match=r"operation 0 .* was under way at the clock, not 1"):
        check_schedule(make(crossing_floor(), **(parts | early)), buffer=0)


def test_what_has_happened_up_to_now_can_be_checked():
    parts = {"start": [0, -1, 0, -1], "end": [-1, -1, 2, -1], "leave": [-1, -1, -1, -1]}
    schedule = make(two_by_two(), **parts, machine=[0, -1, 1, -1])
    check_schedule(schedule, buffer=0, complete=False)
    with pytest.raises(AssertionError, match=r"operation 0 .* was not finished"):
        check_schedule(schedule, buffer=0)
