"""Facts about the SoC simulator, two hand-worked episodes first."""

from __future__ import annotations

import numpy as np
import pytest
import workloads
from soc_plays import (
    BANK,
    STATIC_BANK,
    STATIC_VARIANTS,
    VARIANTS,
    ruled,
    static,
    streaming,
)

from rlsched.core.lanes import num_threads, set_num_threads
from rlsched.envs.soc.simulator import SocSimulator, random_choice
from rlsched.envs.soc.state import (
    ABSENT,
    BOUND,
    CHOOSE_PE,
    CHOOSE_TASK,
    DONE,
    NEVER,
    PENDING,
    READY,
    RUNNING,
)
from rlsched.testing import assert_same_state, check_simulator

P1, P2 = 6, 7
"""Choices of the hand-worked streaming episode: two slots of three tasks come first."""


def legal(sim: SocSimulator) -> list[int]:
    return np.flatnonzero(sim.action_mask[0]).tolist()


# --- hand-worked episodes -------------------------------------------------------------------------


def test_hand_worked_streaming_episode():
    """Task 0 takes 2 ticks, 1 and 2 take 3 each and need 2 ticks of data from the other PE.

    Jobs arrive at 0 and 4. The first has task 1 on P1 2-5 and task 2 on P2 4-7, the second waits
    for P1, then mirrors it: 5-7, 9-12 and 7-10. Latencies 7 and 8.
    """
    sim = streaming(workloads.fork(), num_jobs=2, queue=2, arrivals="fixed", scale="4")
    s = sim.state
    assert (s.clock[0], s.phase[0], s.row[0], legal(sim)) == (0, CHOOSE_PE, 0, [P1, P2])
    assert (s.num_active[0], s.num_arrived[0], s.next_arrival[0]) == (1, 1, 4)
    assert s.slot_job[0].tolist() == [0, -1]
    assert s.status[0].tolist() == [READY, PENDING, PENDING] + [ABSENT] * 3

    sim.step([P1])
    assert (s.clock[0], s.phase[0], s.row[0], legal(sim)) == (2, CHOOSE_TASK, -1, [1, 2])
    assert s.status[0, :3].tolist() == [DONE, READY, READY]
    assert (s.num_decisions[0], s.slot_left[0, 0], s.pe_busy[0].tolist()) == (1, 2, [2, 0])
    assert sim.reward[0] == pytest.approx(-2 / (5 * 2))
    assert sim.elapsed[0] == pytest.approx(2 / 5)

    sim.step([1])
    assert (s.clock[0], s.phase[0], s.row[0], legal(sim)) == (2, CHOOSE_PE, 1, [P1, P2])
    assert (sim.reward[0], sim.elapsed[0]) == (0, 0)

    sim.step([P1])
    assert (s.clock[0], s.row[0], legal(sim)) == (2, 2, [P1, P2])
    assert s.status[0, :3].tolist() == [DONE, BOUND, READY]
    assert (s.expected[0, 1], s.free_at[0, :, 0].tolist()) == (5, [5, 2])

    sim.step([P2])
    assert (s.clock[0], s.row[0], legal(sim)) == (4, 3, [P1, P2])
    assert s.status[0].tolist() == [DONE, RUNNING, BOUND, READY, PENDING, PENDING]
    assert (s.data_at[0, 2], s.expected[0, 2], s.free_at[0, :, 0].tolist()) == (4, 7, [5, 7])
    assert (s.pe_running[0].tolist(), s.pe_bound[0].tolist()) == ([1, 0], [0, 1])
    assert (s.slot_job[0].tolist(), s.slot_arrival[0].tolist()) == ([0, 1], [0, 4])
    assert (s.num_active[0], s.num_arrived[0], s.next_arrival[0]) == (2, 2, NEVER)
    assert sim.reward[0] == pytest.approx(-2 / 10)

    sim.step([P1])
    assert (s.clock[0], s.phase[0], legal(sim)) == (7, CHOOSE_TASK, [4, 5])
    assert s.status[0].tolist() == [ABSENT] * 3 + [DONE, READY, READY]
    assert (s.num_active[0], s.num_completed[0], s.latency[0]) == (1, 1, 7)
    assert s.slot_job[0].tolist() == [-1, 1]
    assert sim.reward[0] == pytest.approx(-3 * 2 / 10)

    for choice in (5, P1, P2):
        sim.step([choice])
    assert sim.terminated[0]
    assert legal(sim) == [sim.num_choices - 1]
    assert (s.clock[0], s.num_active[0], s.time_in_system[0]) == (12, 0, 15)
    assert sim.reward[0] == pytest.approx(-5 / 10)
    assert sim.executions().tolist() == [
        [0, 0, 0, 0, 0, 2, 0],
        [0, 0, 1, 0, 2, 5, 0],
        [0, 0, 2, 1, 4, 7, 0],
        [1, 0, 0, 0, 5, 7, 0],
        [1, 0, 2, 0, 7, 10, 0],
        [1, 0, 1, 1, 9, 12, 0],
    ]
    figures = {name: float(value[0]) for name, value in sim.metrics().items()}
    assert next(iter(figures)) == sim.metric == "latency"
    assert figures == pytest.approx(
        {
            "latency": 7.5,
            "makespan": 12,
            "throughput": 2000 / 12,
            "num_jobs": 2,
            "slowdown": (7 / 5 + 8 / 5) / 2,
            "p95": 7.95,
            "p99": 7.99,
            "wait": 0,
            "num_dropped": 0,
            "utilization": 16 / 24,
            "energy": figures["energy"],
            "idle_energy": figures["idle_energy"],
            "edp": 7.5 * figures["energy"],
            "num_decisions": 6,
        }
    )


def test_hand_worked_static_episode():
    """P1 runs task 0 0-2 and task 2 2-5; P2 has the data of task 0 at 4 and runs task 1 4-7.

    All is placed at tick 0; the reward is minus what a step adds to the earliest end, 5 at first.
    """
    sim = static(workloads.fork())
    s = sim.state
    assert (s.phase[0], s.row[0], legal(sim)) == (CHOOSE_PE, 0, [3, 4])
    sim.step([3])
    assert (s.phase[0], s.row[0], legal(sim)) == (CHOOSE_TASK, -1, [1, 2])
    assert s.status[0].tolist() == [DONE, READY, READY]
    assert (s.finish[0, 0], s.free_at[0, :, 0].tolist(), sim.reward[0]) == (2, [2, 0], 0)
    sim.step([2])
    assert (s.phase[0], s.row[0], legal(sim)) == (CHOOSE_PE, 2, [3, 4])
    sim.step([3])
    assert (s.row[0], s.free_at[0, :, 0].tolist(), sim.reward[0]) == (1, [5, 0], 0)
    sim.step([4])
    assert sim.terminated[0]
    assert legal(sim) == [sim.num_choices - 1]
    assert sim.reward[0] == pytest.approx(-2 / 5)
    assert (s.clock[0], s.makespan[0], s.num_active[0]) == (0, 7, 0)
    assert sim.executions()[:, 2:6].tolist() == [[0, 0, 0, 2], [2, 0, 2, 5], [1, 1, 4, 7]]
    figures = sim.metrics()
    assert next(iter(figures)) == sim.metric == "makespan"
    assert figures["makespan"][0] == figures["latency"][0] == 7
    assert figures["utilization"][0] == pytest.approx(8 / 14)
    assert figures["slowdown"][0] == pytest.approx(7 / 5)


def test_choices_without_an_alternative_are_made_at_once():
    """A task that one PE alone can run needs no choice, neither does a chain of them."""
    sim = streaming(workloads.masked())
    assert sim.terminated[0]
    assert sim.executions()[:, 2:6].tolist() == [[0, 0, 0, 1], [1, 1, 6, 11]]
    assert sim.metrics()["latency"][0] == 11
    assert static(workloads.masked()).metrics()["makespan"][0] == 11


def test_what_was_placed_later_may_pass_what_waits_for_its_data():
    """Task 1's data are on P2 at 6; task 2 is placed behind it and runs there at once, 2-4."""
    workload = workloads.static("pass", [(2, 9), (9, 5), (9, 2)], [(0, 1, 4), (0, 2, 0)])
    sim = streaming(workload)
    for choice in (3, 1, 4, 4):
        sim.step([choice])
    assert sim.executions()[:, 2:6].tolist() == [[0, 0, 0, 2], [2, 1, 2, 4], [1, 1, 6, 11]]


@pytest.mark.parametrize(("order", "second"), [("fifo", 1), ("oldest_job", 0)])
def test_order_says_which_placed_task_begins_first(order, second):
    """One PE. At 4 two jobs wait for it: the second job's task was placed first."""
    workload = workloads.static("order", [(4,), (3,)], [(0, 1, 0)])
    sim = streaming(workload, num_jobs=2, queue=2, arrivals="fixed", scale="1", order=order)
    rows = sim.executions()
    assert rows[:2, :3].tolist() == [[0, 0, 0], [second, 0, 1 - second]]


def test_wait_leaves_the_ready_tasks_until_something_happens():
    """At 2 there is nothing to wait for, so WAIT is not offered; while task 1 runs it is."""
    sim = streaming(workloads.fork(), defer=True, queue=1)
    wait = sim.num_choices - 1
    sim.step([3])
    assert (sim.state.clock[0], legal(sim)) == (2, [1, 2])
    for choice in (1, 3):
        sim.step([choice])
    assert (sim.state.clock[0], legal(sim)) == (2, [2, wait])
    sim.step([wait])
    assert (sim.state.clock[0], sim.state.row[0], legal(sim)) == (5, 2, [3, 4])
    sim.step([3])
    assert sim.metrics()["latency"][0] == 8


# --- the promises of every simulator --------------------------------------------------------------


def paths_of(sim: SocSimulator, lane: int) -> int:
    """Return the critical paths of the jobs that ran in a lane, all together."""
    kinds = {(job, kind) for job, kind, *_ in sim.executions(lane).tolist()}
    row = sim.state.instance[lane]
    return sum(int(sim.host_work.critical_path[row, kind]) for _, kind in kinds)


def expected_return(sim: SocSimulator) -> np.ndarray:
    """Return minus the jobs' time in the system, or their ticks beyond critical paths."""
    first = sim.like(sim.num_envs)
    first.reset(seed=0)
    unit, s = sim.host_work.unit[sim.state.instance], sim.state
    if sim.host_work.reward[0] == 0:
        return -(s.time_in_system - first.state.time_in_system) / (unit * sim.sizes["job"])
    paths = [paths_of(sim, lane) for lane in range(sim.num_envs)]
    return -(s.latency - paths) / unit - first.state.paid


@pytest.mark.parametrize("name", VARIANTS)
def test_promises_of_the_base_class_in_all_variants(name):
    options = {"num_jobs": 6, "length": 0} | VARIANTS[name]
    check_simulator(
        lambda num: SocSimulator(BANK, num, **options), rounds=40, expected_return=expected_return
    )


@pytest.mark.parametrize("name", STATIC_VARIANTS)
def test_promises_of_the_base_class_in_static_mode(name):
    check_simulator(
        lambda num: SocSimulator(STATIC_BANK, num, mode="static", **STATIC_VARIANTS[name]),
        expected_return=expected_return,
    )


def test_results_do_not_depend_on_threads():
    states, before = [], num_threads()
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            sim = SocSimulator(BANK, 130, noise="0.2", length=300)
            sim.reset(seed=4)
            choice = np.zeros(130, np.int32)
            for _ in range(15):
                random_choice(130, sim.state, 4, choice)
                sim.step(choice)
            states.append(sim.state)
    finally:
        set_num_threads(before)
    assert_same_state(*states)


def test_lanes_of_different_sizes_play_as_they_would_alone():
    options = {"num_jobs": 5, "queue": 2, "noise": "0.2", "seed": 3}
    mixed = ruled(streaming(*BANK, **options), "etf")
    for lane, workload in enumerate(BANK):
        alone = streaming(workload, **options)
        alone.state.stream[0] = mixed.state.stream[lane]
        mask, rows = np.ones(1, np.bool_), np.zeros(1, np.int32)
        alone._run(SocSimulator.start_lane, True, mask, rows, mixed.state.stream[lane : lane + 1])
        ruled(alone, "etf")
        assert alone.executions().tolist() == mixed.executions(lane).tolist()
