"""Jobs come, wait and leave: admission, gaps, kinds, warm-up, and the noise of their times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import workloads
from soc_plays import (
    BANK,
    admissions,
    ruled,
    started,
    stream_of,
    streaming,
)

from rlsched.core.errors import ConfigError, InstanceError
from rlsched.envs.soc.instances import builtin_workload
from rlsched.envs.soc.rules import Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.soc_json import read_json, write_json
from rlsched.envs.soc.workload import Workload
from rlsched.testing import random_legal

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


@pytest.mark.parametrize(("admission", "last"), [("defer", 17), ("queue", 14), ("drop", 14)])
def test_the_next_gap_begins_when_a_deferred_job_comes_or_when_a_queued_one_came(admission, last):
    """Both places of the PE are taken until 10; a job comes at 7, the next 7 ticks later."""
    pair = workloads.static("pair", [(10,)], capacity=[2])
    options = ONE_PE | {"scale": "7", "fill": True, "admission": admission}
    begins = ruled(streaming(pair, **options), "eft").executions()[:, 4]
    assert begins.tolist() == [0, 0, *([] if admission == "drop" else [10]), last]


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


def test_a_task_is_expected_to_take_its_known_time_and_then_to_end_at_the_next_tick():
    sim, overdue = started(*BANK, noise="0.5", length=400, observe=False), 0
    for event in range(120):
        s = sim.state
        for lane in np.flatnonzero(~sim.terminated):
            rows = s.running[lane, : s.num_running[lane]]
            job, task = rows // sim.host_work.time.shape[2], rows % sim.host_work.time.shape[2]
            times = sim.host_work.time[s.instance[lane], s.slot_kind[lane, job], task]
            known = s.start[lane, rows] + times[np.arange(len(rows)), s.on[lane, rows]]
            soonest = np.maximum(known, s.clock[lane] + 1)
            assert s.expected[lane, rows].tolist() == soonest.tolist()
            overdue += (known <= s.clock[lane]).sum()
        sim.step(random_legal(sim.action_mask, 1, event))
    assert overdue > 20


# --- traces ---------------------------------------------------------------------------------------


def traced(*trace: tuple[int, int]) -> Workload:
    """Return jobs of one task of 10 or of 3 ticks on one PE that come as the trace says."""
    ten = workloads.static("ten", [(10,), (3,)])
    kinds = [replace(ten.jobs[0], name=f"job{k}", tasks=(ten.jobs[0].tasks[k],)) for k in (0, 1)]
    return replace(ten, jobs=tuple(kinds), trace=trace)


@pytest.mark.parametrize(
    ("admission", "came"), [("defer", [2, 7, 12]), ("queue", [2, 7, 9]), ("drop", [2, 7])]
)
def test_jobs_come_as_the_trace_says_and_the_episode_ends_with_it(admission, came):
    """10 ticks at 2, 3 ticks at 7 and at 9, when two are there: they end at 12, 15, 18."""
    sim = streaming(
        traced((2, 0), (7, 1), (9, 1)),
        arrivals="trace",
        queue=2,
        num_jobs=0,
        length=0,
        admission=admission,
    )
    ends = [[0, 2, 12], [1, 12, 15], [2, 15, 18]][: len(came)]
    assert begins_and_ends(sim) == ends
    assert sim.terminated[0]
    counted = sim.state.latencies[0].tolist()[: len(ends)]
    assert counted == [end - at for (_, _, end), at in zip(ends, came, strict=True)]


def test_a_trace_is_written_read_and_checked(tmp_path):
    workload = traced((2, 0), (7, 1))
    write_json(tmp_path / "a.json", workload)
    assert read_json(tmp_path / "a.json") == workload
    text = (tmp_path / "a.json").read_text()
    for wrong, message in (
        ('[7, "job9"]', r"trace\[1\]\[1\] = 'job9' is unknown"),
        ('[1, "job1"]', r"trace\[1\] comes at 1; must be 2 to"),
        ('["job1"]', r"trace\[1\] = \['job1'\]; give \[tick, job\]"),
    ):
        (tmp_path / "b.json").write_text(text.replace('[7, "job1"]', wrong))
        with pytest.raises(InstanceError, match=message):
            read_json(tmp_path / "b.json")
    with pytest.raises(ConfigError, match="ten: arrivals=trace, and the workload has no trace"):
        SocSimulator([ten_ticks()], arrivals="trace")
