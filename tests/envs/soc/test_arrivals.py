"""Jobs come, wait and leave: admission, warm-up, noise, the future hidden, starting midway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import workloads
from soc_plays import (
    BANK,
    STATIC_BANK,
    VARIANTS,
    admissions,
    play_out,
    ruled,
    small,
    static,
    stream_of,
    streaming,
)

from rlsched.envs.soc.instances import builtin_workload
from rlsched.envs.soc.rules import Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.workload import Workload
from rlsched.testing import assert_same_state, random_legal

ONE_PE: dict[str, Any] = {"arrivals": "fixed", "scale": "4", "num_jobs": 4, "queue": 2}
"""One task of 10 ticks on one PE; jobs come every 4 ticks while there is room for two."""


def ten_ticks() -> Workload:
    return workloads.static("ten", [(10,)])


def begins_and_ends(sim: SocSimulator) -> list[list[int]]:
    return sim.executions()[:, [0, 4, 5]].tolist()


# --- admission ------------------------------------------------------------------------------------


def test_a_deferred_job_arrives_when_there_is_room_and_its_wait_counts_for_nothing():
    """Jobs 0 and 1 come at 0 and 4. Job 2, due at 8, comes at 10 as job 0 leaves; 3 at 20."""
    sim = streaming(ten_ticks(), admission="defer", **ONE_PE)
    assert begins_and_ends(sim) == [[0, 0, 10], [1, 10, 20], [2, 20, 30], [3, 30, 40]]
    figures = sim.metrics()
    assert sim.state.latencies[0].tolist() == [10, 20 - 4, 30 - 10, 40 - 20]
    assert (figures["wait"][0], figures["num_dropped"][0]) == (0, 0)


def test_a_queued_job_counts_its_wait():
    """Jobs come at 0, 4, 8, 12; the last two are let in at 10 and 20."""
    sim = streaming(ten_ticks(), admission="queue", **ONE_PE)
    assert begins_and_ends(sim) == [[0, 0, 10], [1, 10, 20], [2, 20, 30], [3, 30, 40]]
    assert sim.state.latencies[0].tolist() == [10, 16, 22, 28]
    assert sim.metrics()["wait"][0] == (0 + 0 + 2 + 8) / 4
    assert sim.state.time_in_system[0] == 10 + 16 + 22 + 28


def test_a_job_that_finds_the_system_full_is_dropped_and_counted():
    """Of those that come at 0, 4, 8 and 12 the third is dropped."""
    sim = streaming(ten_ticks(), admission="drop", **ONE_PE)
    assert begins_and_ends(sim) == [[0, 0, 10], [1, 10, 20], [3, 20, 30]]
    figures = sim.metrics()
    assert (figures["num_dropped"][0], figures["num_jobs"][0]) == (1, 3)
    assert sim.state.latencies[0, :3].tolist() == [10, 16, 18]


@pytest.mark.parametrize(("fill", "arrivals"), [(True, [0, 0, 0, 4]), (False, [0, 4, 8, 12])])
def test_fill_begins_with_a_full_system(fill, arrivals):
    workload = workloads.static("free", [(1,)])
    options = ONE_PE | {"queue": 3, "fill": fill}
    sim = ruled(streaming(workload, **options), "eft")
    begins = sim.executions()[:, 4]
    assert begins.tolist() == ([0, 1, 2, 4] if fill else arrivals)
    assert (sim.state.latencies[0] == begins + 1 - arrivals).all()


def test_several_jobs_may_come_at_one_instant():
    """Gaps are floors of exponential times of mean 2, two of five of them 0: 1 - exp(-1 / 2)."""
    options = {"num_jobs": 64, "queue": 64, "scale": "2"}
    sim = ruled(streaming(workloads.single(), **options), "eft")
    latency = sim.state.latencies[0]
    gaps = np.diff(sim.executions()[:, 5] - latency)
    assert (gaps >= 0).all()
    assert 0.25 < (gaps == 0).mean() < 0.55


@pytest.mark.parametrize("scale", [25, 100])
def test_mean_of_the_gaps_is_that_of_floors_of_exponential_times(scale):
    """1 / (exp(1 / scale) - 1), 24.5 ticks at a scale of 25."""
    sim = SocSimulator(
        [workloads.single()],
        64,
        scale=str(scale),
        num_jobs=100,
        length=0,
        fill=False,
        queue=64,
        observe=False,
    )
    sim.reset(seed=1)
    ruled(sim, "eft")
    found = sim.state.clock.mean() / 99
    assert found == pytest.approx(1 / np.expm1(1 / scale), rel=0.05)


def test_a_range_of_scales_and_noises_gives_each_instance_its_own():
    """The same for an instance whatever the bank's size, spread over the range."""
    few, many = (
        SocSimulator([ten_ticks()] * n, scale="25-200", noise="0-0.2").host_work for n in (3, 99)
    )
    for key, low, high in (("gap", 25, 200), ("noise", 0, 0.2)):
        mine, theirs = getattr(few, key), getattr(many, key)
        assert (mine == theirs[:3]).all()
        assert low <= theirs.min() < low + (high - low) / 4
        assert high - (high - low) / 4 < theirs.max() <= high


def test_kinds_of_jobs_come_as_often_as_their_weights_say():
    free = replace(workloads.single(), jobs=workloads.single().jobs * 3, weights=(1.0, 0.0, 3.0))
    kinds = ruled(streaming(free, num_jobs=400), "eft").executions()[:, 1]
    assert set(kinds.tolist()) == {0, 2}
    assert (kinds == 2).mean() == pytest.approx(0.75, abs=0.06)


# --- warm-up --------------------------------------------------------------------------------------


def test_jobs_that_end_before_the_warm_up_are_not_counted():
    """Of ends at 10, 20, 30 and 40 the last two count; throughput is over the 25 ticks after it."""
    figures = streaming(ten_ticks(), warmup=21, **ONE_PE).metrics()
    assert figures["num_jobs"][0] == 2
    assert figures["latency"][0] == 20
    assert figures["throughput"][0] == pytest.approx(1000 * 2 / (40 - 21))
    assert figures["makespan"][0] == 40


def test_a_lane_without_a_counted_job_has_its_clock_for_a_latency():
    figures = streaming(workloads.static("long", [(50,)]), num_jobs=0, length=30).metrics()
    assert (figures["latency"][0], figures["throughput"][0], figures["p99"][0]) == (30, 0, 0)


# --- noise ----------------------------------------------------------------------------------------


def factors(sim: SocSimulator) -> dict[tuple[int, int], tuple[float, float]]:
    """Return by job and task the least and the most that its time can have been multiplied by."""
    workload, found = sim.workload_of(), {}
    for run in stream_of(sim).runs:
        expected = workload.soc.times[workload.jobs[run.kind].tasks[run.task]][run.pe]
        ticks = run.end - run.begin
        low = -np.inf if ticks == 1 else (ticks - 0.5) / expected
        found[run.job, run.task] = low, (ticks + 0.5) / expected
    return found


def test_noise_and_kinds_belong_to_the_job_and_task_whatever_the_pe_and_policy():
    """Four rules place tasks on other PEs at other times; their times fit the same factors."""
    options = {"num_jobs": 30, "queue": 3, "noise": "0.2", "seed": 4}
    top = builtin_workload("gym_ds3/all")
    sims = [ruled(streaming(top, **options), rule) for rule in ("etf", "met", "rr", "stf")]
    rows = [{tuple(r[:3]): tuple(r[3:5]) for r in sim.executions().tolist()} for sim in sims]
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert rows[0] != rows[2]
    seen = [factors(sim) for sim in sims]
    for key in seen[0]:
        assert max(f[key][0] for f in seen) <= min(f[key][1] for f in seen) + 1e-9, key
    middle = np.array([np.mean(f) for f in seen[0].values() if np.isfinite(f).all()])
    assert middle.mean() == pytest.approx(1, abs=0.03)
    assert middle.std() == pytest.approx(0.2, abs=0.03)


def test_arrivals_are_the_same_whatever_the_policy():
    """With room for all, jobs come when they come."""
    options = {"num_jobs": 20, "queue": 20, "scale": "5"}
    comings = []
    for rule in ("etf", "rr"):
        sim, seen = streaming(BANK[0], **options), dict[int, int]()
        while not sim.terminated[0]:
            seen |= admissions(sim)
            sim.step(Rule(rule).choose(sim))
        comings.append(seen)
    assert comings[0] == comings[1]
    assert len(comings[0]) == 20


def test_tasks_without_time_stay_so_under_noise():
    workload = workloads.static("zero", [(4,), (0,), (1,)], [(0, 1, 0), (1, 2, 0)])
    rows = streaming(workload, noise="0.9", num_jobs=50).executions()
    ticks = rows[:, 5] - rows[:, 4]
    assert (ticks[rows[:, 2] == 1] == 0).all()
    assert (ticks[rows[:, 2] != 1] >= 1).all()


def test_rules_and_state_foresee_expected_times_only():
    """Until a task ends it is expected to take its 10 ticks; if it takes longer, to end at once."""
    sim = streaming(workloads.static("two", [(10, 99), (2, 2)]), noise="0.3", queue=2, num_jobs=2)
    s = sim.state
    sim.step([0])
    sim.step([4])
    assert s.expected[0, 0] == 10
    while not sim.terminated[0]:
        ahead = s.expected[0, s.running[0, : s.num_running[0]]]
        assert (ahead > s.clock[0]).all()
        sim.step([int(sim.action_mask[0].argmax())])


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
