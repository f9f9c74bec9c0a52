"""Options of the SoC simulator and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import workloads
from soc_plays import streaming

from rlsched.core.errors import ConfigError, IllegalChoice, InstanceError, UnknownName
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.workload import Live, LiveJob, LiveTask


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "dynamic"}, "Unknown mode 'dynamic'.*static, streaming"),
        ({"arrivals": "poison"}, "arrivals.*Did you mean 'poisson'"),
        ({"admission": "block"}, "Unknown admission 'block'"),
        ({"comm": "noc"}, "Unknown comm 'noc'"),
        ({"order": "lifo"}, "Unknown order 'lifo'"),
        ({"reward": "big"}, "Unknown reward 'big'"),
    ],
)
def test_an_unknown_option_is_refused(options, message):
    with pytest.raises(UnknownName, match=message):
        SocSimulator([workloads.fork()], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs=0; must be >= 1"),
        ({"device": "tpu"}, "device='tpu'; allowed: cpu, cuda"),
        ({"dvfs": "ondemand"}, "dvfs='ondemand'; give performance, powersave, choose, or a freq"),
        ({"queue": 0}, "queue='0'; give a number of 1 to 64"),
        ({"queue": 65}, "queue='65'; give a number of 1 to 64"),
        ({"queue": "2.5"}, "queue='2.5'; give whole numbers of jobs"),
        ({"length": -1}, "length=-1; must be 0 to"),
        ({"num_jobs": 1 << 30}, f"num_jobs={1 << 30}; must be 0 to {(1 << 30) - 1}"),
        ({"length": 0}, "length=0 and num_jobs=0: the episode would never end"),
        ({"warmup": 5000}, "warmup=5000; must be less than length=5000"),
        ({"scale": "0"}, "scale='0'; give a number of 0.001 to"),
        ({"scale": "9-5"}, "scale='9-5'; give a number of 0.001 to 1e.07, or a range as 25-200"),
        ({"scale": "fast"}, "scale='fast'; give a number"),
        ({"noise": "2.5"}, "noise='2.5'; give a number of 0 to 2, or a range"),
        ({"scale": "0.5", "admission": "drop"}, "scale='0.5' with admission=drop"),
        ({"mode": "static", "reward": "makespan"}, "reward=makespan is for mode=streaming"),
        ({"energy_weight": -1.0}, "energy_weight=-1.0; must be 0 or more"),
        ({"energy_weight": float("nan")}, "energy_weight=nan; must be 0 or more"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SocSimulator([workloads.fork()], **options)


@pytest.mark.parametrize("options", [{"mode": "static"}, {"queue": 1}])
def test_a_system_at_work_needs_streaming_and_room(options):
    sim = SocSimulator([workloads.fork()], queue=2)
    sim.reset(seed=0)
    at_work = sim.snapshot()
    assert len(at_work.live.jobs) == 2
    with pytest.raises(ConfigError, match="2 jobs at work needs mode=streaming and queue>=2"):
        SocSimulator([at_work], **options)
    idle = replace(at_work, live=Live(7, ()))
    assert streaming(idle, num_jobs=3).state.clock[0] >= 7


def test_figures_of_a_system_at_work_count_from_its_clock():
    """At 100 one task of 10 ticks runs since 95: one job in 5 ticks, in which the PE always works.

    Of two PEs half.
    """
    task = LiveTask("running", 0, 95, 105)
    live = Live(100, (LiveJob(0, 95, (task,)),))
    sim = streaming(replace(workloads.static("ten", [(10,)]), live=live))
    assert (sim.state.clock[0], sim.metrics()["latency"][0]) == (105, 10)
    assert sim.metrics()["throughput"][0] == pytest.approx(1000 / 5)
    assert sim.metrics()["utilization"][0] == 1
    two = streaming(replace(workloads.static("two", [(10, 10)]), live=live))
    assert two.metrics()["utilization"][0] == 0.5


def test_a_job_at_work_whose_tasks_are_all_done_is_refused():
    task = LiveTask("done", 0, 0, 10)
    with pytest.raises(InstanceError, match="job 0 in the system: all its tasks are done; leave"):
        replace(workloads.static("ten", [(10,)]), live=Live(10, (LiveJob(0, 0, (task,)),)))


def test_data_that_take_too_long_are_refused():
    """Times are 32-bit."""
    slow = workloads.static("slow", [(1, 1), (1, 1)], [(0, 1, 1000)], bandwidth=1e-9)
    with pytest.raises(InstanceError, match="volume of 1000 at bandwidth 1e-09"):
        SocSimulator([slow])


def test_an_empty_bank_and_unknown_rows_are_refused():
    with pytest.raises(InstanceError, match="bank is empty"):
        SocSimulator([])
    for rows in ([1], [-1], [0, 0]):
        with pytest.raises(InstanceError, match=r"give 1 rows in \[0, 1\)"):
            SocSimulator([workloads.fork()]).reset(instances=rows)


def test_a_choice_that_is_masked_is_refused():
    sim = streaming(workloads.fork())
    with pytest.raises(IllegalChoice, match=r"lane 0 chose node 1; legal: \[3, 4\]"):
        sim.step([1])


def test_without_observing_there_is_no_observation():
    with pytest.raises(ConfigError, match="observe=False"):
        SocSimulator([workloads.fork()], observe=False).observation()


def test_instances_draw_how_many_jobs_they_have_room_for():
    sim = SocSimulator([workloads.fork()] * 40, 40, queue="2-5", scale="1")
    room = sim.host_work.queue
    assert set(room.tolist()) == {2, 3, 4, 5}
    sim.reset(instances=np.arange(40))
    assert np.array_equal(sim.state.num_active, room)


def test_a_plan_is_no_system_at_work():
    sim = SocSimulator([workloads.fork()], mode="static")
    sim.reset(seed=0)
    with pytest.raises(ConfigError, match="mode=static is no system at work"):
        sim.snapshot()
