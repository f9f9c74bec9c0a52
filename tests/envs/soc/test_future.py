"""What lies ahead: hidden from copies, taken up from a snapshot, the same from the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import workloads
from soc_plays import BANK, STATIC_BANK, VARIANTS, play_out, ruled, small, static, streaming

from rlsched.envs.soc.rules import Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.testing import assert_same_state, random_legal

# --- the future hidden ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["streaming", "static"])
def test_calm_lanes_foresee_neither_arrivals_nor_noise(mode):
    """Lanes that differ in what will happen have equal futures, and every task its known time."""
    workload = STATIC_BANK[1] if mode == "static" else small("top_like", 0, 10, 3)
    sim = SocSimulator([workload], 2, mode=mode, noise="0.3", scale="9", queue=2)
    sim.reset(instances=[0, 0])
    assert sim.state.stream[0] != sim.state.stream[1]
    for _ in range(3):
        sim.step(np.repeat(Rule("etf").choose(sim)[:1], 2))
    twin = sim.like(2)
    twin.adopt(sim, [0, 0])
    twin.state.stream[1] += 1
    twin.hide_future()
    before, began = int(twin.state.num_arrived[0]), int(twin.state.clock[0])
    ruled(twin, "etf")
    assert (twin.state.num_arrived == before).all()
    assert twin.state.num_active.tolist() == [0, 0]
    mine, theirs = twin.executions(0), twin.executions(1)
    assert mine.tolist() == theirs.tolist()
    later = mine[mine[:, 4] >= began]
    known = workload.times(workload.jobs[0])[later[:, 2], later[:, 3]]
    if mode == "streaming":
        assert (later[:, 5] - later[:, 4] == known).all()


def test_a_calm_static_lane_forgets_the_noise_of_what_is_placed():
    """Nothing has begun yet: its makespan is that of the plan by the known times."""
    workload = workloads.topcuoglu()
    sim, plain = static(workload, noise="0.3"), static(workload)
    for _ in range(9):
        choice = Rule("etf").choose(plain)
        for lanes in (sim, plain):
            lanes.step(choice)
    assert (sim.state.finish[0] != plain.state.finish[0]).any()
    sim.hide_future()
    assert sim.state.makespan[0] == plain.state.makespan[0]
    assert ruled(sim, "etf").metrics()["makespan"][0] == ruled(plain, "etf").metrics()["makespan"]


# --- starting midway ------------------------------------------------------------------------------


def as_tasks(sim: SocSimulator) -> dict[Any, int]:
    """Return the legal choices by what they are, whatever the slots."""
    tasks, stride = sim.sizes["task"], sim.host_work.time.shape[2]
    order = sorted(job for job in sim.state.slot_job[0].tolist() if job >= 0)
    found = {}
    for a in np.flatnonzero(sim.action_mask[0]).tolist():
        job = sim.state.slot_job[0, a // stride] if a < tasks else -1
        found[(order.index(job), a % stride) if a < tasks else a] = a
    return found


@pytest.mark.parametrize("options", [{}, {"comm": "memory"}, {"order": "oldest_job"}])
def test_a_system_goes_on_from_its_snapshot_as_it_does_itself(options):
    """No noise, no further arrivals: the same choices are offered, and the same runs."""
    for seed, workload in enumerate(BANK):
        sim = streaming(workload, num_jobs=4, queue=4, fill=True, **options)
        for event in range(4 + 2 * seed):
            if sim.state.num_completed[0] == 0:
                sim.step(random_legal(sim.action_mask, seed, event))
        if sim.state.row[0] >= 0:  # a snapshot forgets a task chosen whose PE is not
            sim.step([int(sim.action_mask[0].argmax())])
        if sim.terminated[0]:
            continue
        began, snapshot = int(sim.state.clock[0]), sim.snapshot()
        jobs = len(snapshot.live.jobs)
        twin = streaming(snapshot, num_jobs=jobs, queue=4, **options)
        for event in range(200):
            if sim.terminated[0]:
                break
            mine, theirs = as_tasks(sim), as_tasks(twin)
            if sim.state.row[0] < 0:
                assert mine.keys() == theirs.keys()
            key = sorted(mine, key=str)[event % len(mine)]
            sim.step([mine[key]])
            twin.step([theirs[key]])
        assert twin.terminated[0]
        assert twin.state.clock[0] == sim.state.clock[0]
        assert later(sim, began) == later(twin, began)


def later(sim: SocSimulator, tick: int) -> list[list[int]]:
    """Return kind, task, PE, begin and end of what ended after a tick."""
    rows = sim.executions()
    return sorted(rows[rows[:, 5] > tick][:, 1:6].tolist())


def test_a_snapshot_at_the_start_of_the_fork_says_where_each_task_stands():
    sim = streaming(workloads.fork(), num_jobs=2, queue=2, arrivals="fixed", scale="4")
    for choice in (6, 1, 6, 7):
        sim.step([choice])
    live = sim.snapshot().live
    first, second = live.jobs
    assert (live.clock, first.arrival, second.arrival) == (4, 0, 4)
    assert [(t.status, t.pe, t.begin, t.end) for t in first.tasks] == [
        ("done", 0, 0, 2),
        ("running", 0, 2, 5),
        ("placed", 1, 0, 4),
    ]
    assert [t.status for t in second.tasks] == ["waiting"] * 3


# --- repeatable -----------------------------------------------------------------------------------


def test_reset_draws_every_instance_and_counts_episodes():
    sim = SocSimulator(BANK, 64, observe=False)
    sim.reset(seed=0)
    first = sim.state.instance.copy()
    assert set(first.tolist()) == set(range(len(BANK)))
    sim.reset()
    assert (sim.state.instance != first).any()
    sim.reset(seed=0)
    assert (sim.state.instance == first).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_seed_gives_the_same_bytes(name):
    options = {"num_jobs": 5, "queue": 3} | VARIANTS[name]
    sims = [streaming(BANK[2], **options) for _ in range(2)]
    for sim in sims:
        play_out(sim, 3)
    assert_same_state(*(sim.state for sim in sims))
