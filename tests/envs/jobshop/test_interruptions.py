"""Facts about breakdowns and maintenance: how laws are read, what they draw, what they do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from plays import INF, LAWS, play_out, started
from schedule_checker import check_schedule
from shops import plain, random_shop, two_by_two

from rlsched.core.errors import ConfigError
from rlsched.core.rng import bits
from rlsched.envs.jobshop.interruptions import (
    AT_START,
    BY_CALENDAR,
    BY_WORK,
    EXPONENTIAL,
    EXPONENTIAL_REPAIR,
    FIXED,
    GEOMETRIC,
    LOGNORMAL,
    NO_LAW,
    UNIFORM,
    WEIBULL,
    draw_at_start,
    draw_repair,
    draw_time_to_failure,
    parse_law,
)
from rlsched.envs.jobshop.state import DOWN, IN_PROCESS

STREAM = bits(0, 0, 0)
"""Of lane 0 that plays row 0 of a bank, with seed 0."""
SURE = "start:0.999"
"""Nearly every operation is interrupted; the first two of ``STREAM`` are."""


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "counts", "kind", "args"),
    [
        ("none", NO_LAW, GEOMETRIC, (0, 0)),
        ("start:0", NO_LAW, GEOMETRIC, (0, 0)),
        ("step:0.0:calendar", NO_LAW, GEOMETRIC, (0, 0)),
        ("start:0.1", AT_START, GEOMETRIC, (0.1, 0)),
        ("step:0.02", BY_WORK, GEOMETRIC, (0.02, 0)),
        ("step:0.02:calendar", BY_CALENDAR, GEOMETRIC, (0.02, 0)),
        ("exponential:300", BY_WORK, EXPONENTIAL, (300, 0)),
        ("exponential:1e3:calendar", BY_CALENDAR, EXPONENTIAL, (1000, 0)),
        ("weibull:300:1.5", BY_WORK, WEIBULL, (300, 1.5)),
        ("weibull:300:0.5:calendar", BY_CALENDAR, WEIBULL, (300, 0.5)),
    ],
)
def test_a_law_of_breakdowns_is_read(text, counts, kind, args):
    law = parse_law(text, "fixed:5")
    assert (law.counts, law.kind, law.args) == (counts, kind, args)


@pytest.mark.parametrize(
    ("text", "repair", "args", "mean"),
    [
        ("fixed:30", FIXED, (30, 0), 30),
        ("uniform:20:100", UNIFORM, (20, 100), 60),
        ("exponential:40", EXPONENTIAL_REPAIR, (40, 0), 40),
        ("lognormal:40:0.8", LOGNORMAL, (40, 0.8), 40),
    ],
)
def test_a_law_of_repairs_is_read(text, repair, args, mean):
    law = parse_law("none", text)
    assert (law.repair, law.repair_args, law.mean_repair) == (repair, args, mean)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "often",
        "start",
        "start:1",
        "start:1.5",
        "start:0.1:0.2",
        "start:0.1:calendar",
        "none:calendar",
        "step:0.1:daily",
        "exponential:0.5",
        "exponential:10:2",
        "weibull:10",
        "weibull:10:0.05",
        "weibull:0:1",
        "gamma:3",
    ],
)
def test_a_law_of_breakdowns_that_is_wrong_is_refused_with_those_allowed(text):
    with pytest.raises(ConfigError, match=f"^interruption={text}; allowed: none, start:<p>, step"):
        parse_law(text, "fixed:5")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        "fixed",
        "fixed:0",
        "fixed:3:4",
        "uniform:5",
        "uniform:0:5",
        "uniform:9:5",
        "exponential:0.2",
        "lognormal:10",
        "lognormal:10:3.5",
        "quick:1",
        "fixed:soon",
    ],
)
def test_a_law_of_repairs_that_is_wrong_is_refused_with_those_allowed(text):
    with pytest.raises(ConfigError, match=f"^repair={text}; allowed: fixed:<a>, uniform:<a>:<b>"):
        parse_law("none", text)


@pytest.mark.parametrize("text", ["exponential:nan", "exponential:inf", "step:-0.1", "start:-1"])
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(ConfigError, match=f"^interruption={text}; numbers must be in"):
        parse_law(text, "fixed:5")


# --- draws ---------------------------------------------------------------------------------------


def mean_of(draws: list[int]) -> tuple[float, float]:
    """Return the mean and four times its standard error."""
    return float(np.mean(draws)), 4 * float(np.std(draws)) / math.sqrt(len(draws))


@pytest.mark.parametrize(
    ("kind", "args", "mean"),
    [
        (GEOMETRIC, (0.02, 0.0), 50),
        (GEOMETRIC, (0.5, 0.0), 2),
        (EXPONENTIAL, (80.0, 0.0), 80.5),
        (WEIBULL, (60.0, 2.0), 60 * math.gamma(1.5) + 0.5),
        (WEIBULL, (60.0, 0.8), 60 * math.gamma(2.25) + 0.5),
    ],
)
def test_times_between_failures_have_the_mean_of_their_law(kind, args, mean):
    """A continuous law is rounded up to ticks, which adds half of one."""
    draws = [draw_time_to_failure(n % 50, 3, n // 50, kind, *args) for n in range(20_000)]
    found, error = mean_of(draws)
    assert abs(found - mean) < error
    assert min(draws) == 1


@pytest.mark.parametrize(
    ("kind", "args", "mean"),
    [
        (FIXED, (7.0, 0.0), 7),
        (UNIFORM, (20.0, 100.0), 60),
        (EXPONENTIAL_REPAIR, (40.0, 0.0), 40.5),
        (LOGNORMAL, (40.0, 0.8), 40.5),
    ],
)
def test_repair_times_have_the_mean_of_their_law(kind, args, mean):
    draws = [draw_repair(n % 50, 3, n // 50, kind, *args) for n in range(20_000)]
    found, error = mean_of(draws)
    assert abs(found - mean) <= error
    assert min(draws) >= 1
    if kind == UNIFORM:
        assert (min(draws), max(draws)) == (20, 100)


def test_failures_of_high_shape_wear_out_and_of_low_shape_come_early():
    def share(shape: float) -> float:
        draws = [draw_time_to_failure(n, 0, 0, WEIBULL, 100.0, shape) for n in range(4000)]
        return float(np.mean(np.array(draws) <= 20))

    assert share(3.0) == pytest.approx(1 - math.exp(-(0.2**3)), abs=0.01)
    assert share(0.5) == pytest.approx(1 - math.exp(-(0.2**0.5)), abs=0.03)


def test_an_interruption_comes_within_the_work_with_its_probability():
    after = [draw_at_start(n, 5, 0.3, 4) for n in range(9000)]
    counts = {x: after.count(x) / 9000 for x in set(after)}
    assert counts == {
        -1: pytest.approx(0.7, abs=0.02),
        1: pytest.approx(0.1, abs=0.015),
        2: pytest.approx(0.1, abs=0.015),
        3: pytest.approx(0.1, abs=0.015),
    }
    assert {draw_at_start(n, 5, 0.3, 1) for n in range(200)} == {-1}
    assert {draw_at_start(n, 5, 0.3, 0) for n in range(200)} == {-1}


@pytest.mark.parametrize(
    ("law", "rate"), [("step:0.02", 0.02), ("exponential:50", 1 / 50.5), ("weibull:50:1", 1 / 50.5)]
)
def test_breakdowns_per_tick_of_work_are_those_of_the_law(law, rate):
    shops = [random_shop(seed, 6, 4) for seed in range(4)]
    sim = started(*shops, num_envs=400, interruption=law, repair="fixed:3", observe=False)
    play_out(sim, hold=False)
    work = sum(shops[lane % 4].alt_time.sum() for lane in range(400))
    assert sim.state.num_downs.sum() / work == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("law", [law for law in LAWS if "calendar" in law])
def test_calendar_laws_count_the_ticks_a_machine_is_up_and_not_its_work(law):
    """One machine works, the other has nothing to do and fails as often."""
    shop = plain([(0, 2000), (1, 1)])
    sim = started(shop, num_envs=100, interruption=law, repair="fixed:3", observe=False)
    downs = np.concatenate([sim.schedule(lane).downs for lane in range(100)])
    busy, idle = (downs[:, 0] == 0).sum(), (downs[:, 0] == 1).sum()
    assert busy == pytest.approx(idle, rel=0.15)


# --- hand-worked breakdowns ----------------------------------------------------------------------


def interrupted(ticks: int = 20, op: int = 0) -> int:
    """Return after how many ticks of work the first lane's operation is interrupted."""
    after = draw_at_start(STREAM, op, 0.999, ticks)
    assert after > 3
    return after


def test_work_resumes_where_it_stopped():
    after = interrupted()
    done = started(plain([(0, 20)]), interruption=SURE, repair="fixed:5").schedule()
    assert done.downs.tolist() == [[0, after, after + 5]]
    assert (done.start.tolist(), done.end.tolist()) == ([0], [25])


def test_work_restarts_from_the_beginning():
    after = interrupted()
    options = {"interruption": SURE, "repair": "fixed:5", "after_repair": "restart"}
    done = started(plain([(0, 20)]), **options).schedule()
    assert done.downs.tolist() == [[0, after, after + 5]]
    assert (done.start.tolist(), done.end.tolist()) == ([0], [after + 5 + 20])


def test_an_operation_is_interrupted_once_and_others_for_themselves():
    """Two operations on one machine: each has its own interruption and repair."""
    first, second = interrupted(20, 0), draw_at_start(STREAM, 1, 0.999, 30)
    repairs = [draw_repair(STREAM, o, 0, UNIFORM, 3.0, 40.0) for o in range(2)]
    options = {"interruption": SURE, "repair": "uniform:3:40"}
    done = started(plain([(0, 20), (0, 30)]), **options).schedule()
    ends = [20 + repairs[0], 20 + repairs[0] + 30 + repairs[1]]
    assert done.end.tolist() == ends
    assert done.downs.tolist() == [
        [0, first, first + repairs[0]],
        [0, ends[0] + second, ends[0] + second + repairs[1]],
    ]


def test_breakdowns_by_work_come_after_so_many_ticks_of_it():
    """The first breakdown is drawn for tick f of machine 0's work, whichever operation that is."""
    f = draw_time_to_failure(STREAM, 0, 0, EXPONENTIAL, 20.0, 0.0)
    assert f > 4
    shop = plain([(0, f - 3), (1, 10), (0, 9)])
    done = started(shop, interruption="exponential:20", repair="fixed:5").schedule()
    on_0 = [row for row in done.downs.tolist() if row[0] == 0]
    assert on_0[0] == [0, done.start[2] + 3, done.start[2] + 8]


@pytest.mark.parametrize(("buffer", "goes_on"), [(0, 5), (1, 0), (INF, 0)])
def test_a_machine_that_fails_as_its_work_ends_keeps_its_job_unless_it_is_stored(buffer, goes_on):
    """The work is done at f, and the machine is down from f to f + 5."""
    f = draw_time_to_failure(STREAM, 0, 0, EXPONENTIAL, 20.0, 0.0)
    shop = plain([(0, f), (1, 1)])
    options = {"interruption": "exponential:20", "repair": "fixed:5", "buffer": buffer}
    done = started(shop, hold="off", **options).schedule()
    assert [0, f, f + 5] in done.downs.tolist()
    assert done.end[0] == f
    assert done.start[1] == f + goes_on
    check_schedule(done, buffer)


def test_a_machine_that_is_down_swaps_when_it_is_back():
    """Machine 1 is down from 2 to 6, just as job 1 is done there; at 3 job 0 wants to come."""
    sim = started(two_by_two(windows=[(1, 2, 6)]), hold="off")
    done = sim.schedule()
    assert done.start.tolist() == [0, 6, 0, 6]
    assert (done.makespan, sim.metrics()["num_swaps"][0]) == (10, 1)


@pytest.mark.parametrize("buffer", [0, 1])
def test_a_job_that_has_finished_is_stuck_while_its_machine_is_down(buffer):
    """Job 0 blocks machine 0 from 2, which is down from 4 to 9; machine 1 is free at 6."""
    shop = plain([(0, 2), (1, 3)], [(1, 6)], windows=[(0, 4, 9)])
    done = started(shop, buffer=buffer, hold="off").schedule()
    assert done.start.tolist() == [0, 6 if buffer else 9, 0]


# --- maintenance ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "after_repair", "end"),
    [
        ([(0, 4, 7)], "resume", 13),
        ([(0, 4, 7)], "restart", 17),
        ([(0, 0, 5)], "resume", 15),
        ([(0, 0, 5)], "restart", 15),
        ([(0, 4, 7), (0, 7, 9)], "resume", 15),
        ([(0, 4, 7), (0, 9, 11)], "restart", 21),
        ([(0, 10, 99)], "restart", 10),
        ([(1, 4, 7)], "resume", 10),
    ],
)
def test_hand_worked_maintenance_of_10_ticks_of_work(windows, after_repair, end):
    sim = started(plain([(0, 10)], windows=windows, num_machines=2), after_repair=after_repair)
    done = sim.schedule()
    assert done.end.tolist() == [end]
    assert done.start.tolist() == [5 if windows[0][1] == 0 else 0]
    met = [window for window in windows if window[1] <= end]
    assert sorted(map(tuple, done.downs.tolist())) == met
    check_schedule(done, 0, resume=after_repair == "resume")


def test_nothing_starts_during_maintenance():
    """Machine 0 is down from 2 to 6; a job released at 3 waits for it."""
    sim = started(plain([(0, 4)], release=[3], windows=[(0, 2, 6)]), hold="off")
    assert sim.schedule().start.tolist() == [6]


def test_maintenance_that_a_repair_outlasts_takes_no_time():
    """The repair takes 10 ticks; the window lies within it."""
    f = interrupted()
    shop = plain([(0, 20)], windows=[(0, f + 3, f + 6)])
    done = started(shop, interruption=SURE, repair="fixed:10").schedule()
    assert done.downs.tolist() == [[0, f, f + 10]]
    assert done.end.tolist() == [30]


def test_maintenance_that_begins_in_a_repair_is_finished_after_it():
    f = interrupted()
    shop = plain([(0, 20)], windows=[(0, f + 3, f + 15)])
    done = started(shop, interruption=SURE, repair="fixed:10").schedule()
    assert done.downs.tolist() == [[0, f, f + 10], [0, f + 10, f + 15]]
    assert done.end.tolist() == [35]


def test_an_interruption_is_put_off_by_maintenance_and_not_lost():
    """It comes after so many ticks of work: two before the window, the rest after it."""
    f = interrupted()
    shop = plain([(0, 20)], windows=[(0, 2, 5)])
    done = started(shop, interruption=SURE, repair="fixed:10").schedule()
    assert done.downs.tolist() == [[0, 2, 5], [0, f + 3, f + 13]]
    assert done.end.tolist() == [33]


def test_a_machine_does_not_age_during_maintenance():
    """By calendar it would fail at f; a window of 6 ticks from f - 2 on makes that f + 6."""
    f = draw_time_to_failure(STREAM, 0, 0, EXPONENTIAL, 20.0, 0.0)
    assert f > 2
    shop = plain([(0, 100)], windows=[(0, f - 2, f + 4)])
    sim = started(shop, interruption="exponential:20:calendar", repair="fixed:5")
    assert sim.schedule().downs.tolist()[:2] == [[0, f - 2, f + 4], [0, f + 6, f + 11]]


def test_a_breakdown_as_maintenance_begins_lasts_as_long_as_the_longer_of_both():
    f = draw_time_to_failure(STREAM, 0, 0, EXPONENTIAL, 20.0, 0.0)
    for length in (3, 9):
        shop = plain([(0, 100)], windows=[(0, f, f + length)])
        sim = started(shop, interruption="exponential:20:calendar", repair="fixed:5")
        assert sim.schedule().downs.tolist()[0] == [0, f, f + max(5, length)]


def test_maintenance_that_is_over_before_a_floor_starts_is_passed_over():
    shop = plain([(0, 10)], [(0, 3)], [(0, 4)], windows=[(0, 2, 4), (0, 20, 22)])
    sim = started(shop, buffer=INF)
    sim.step([0])
    floor = sim.snapshot().floor
    assert floor.clock == 12
    twin = started(replace(shop, floor=floor), buffer=INF)
    twin.step([1])
    assert twin.schedule().downs.tolist() == []
    assert twin.schedule().start.tolist() == [-1, 12, 15]


# --- what is foreseen ----------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_a_repair_is_expected_to_take_its_mean_if_its_end_is_not_known(known):
    """Machine 0 works on job 0 and fails; machine 1 has a choice between others meanwhile."""
    after = interrupted()
    shop = plain([(0, 20)], *[[(1, after + 10)]] * 3)
    options = {"interruption": SURE, "repair": "lognormal:150:1", "repair_known": known}
    sim = started(shop, buffer=INF, **options)
    s = sim.state
    while s.mode[0, 0] != DOWN:
        sim.step([int(sim.action_mask[0].argmax())])
    assert (s.occupant[0, 0], s.status[0, 0], s.left[0, 0]) == (0, IN_PROCESS, 20 - after)
    assert s.event[0, 0] == after + draw_repair(STREAM, 0, 0, LOGNORMAL, 150.0, 1.0)
    expected = int(s.event[0, 0]) if known else after + 150
    assert sim.snapshot().floor.down_until[0] == expected
    assert sim.observation()["machine"][0, 0, 6] == expected - s.clock[0] + 20 - after
    copy = sim.like(1)
    copy.adopt(sim, [0])
    copy.hide_future()
    assert copy.state.event[0, 0] == expected
