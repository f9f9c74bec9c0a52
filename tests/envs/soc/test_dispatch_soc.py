"""A system at work in, placements out: hand-worked, and the same as the simulator's own play."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import workloads

from rlsched.core.errors import ConfigError, InstanceError, UnknownName
from rlsched.core.registry import problem
from rlsched.envs.soc.dispatch import dispatch
from rlsched.envs.soc.instances import builtin_workload, write_json
from rlsched.envs.soc.problem import PROBLEM, SocConfig
from rlsched.envs.soc.rules import Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.workload import Live, LiveJob, LiveTask

STREAMING = problem("soc").config()
STATIC = replace(STREAMING, mode="static")
WAITING = LiveTask()


def write(tmp_path, workload):
    path = tmp_path / "system.json"
    write_json(path, workload)
    return path


def at_work(workload, clock, *jobs):
    return replace(workload, live=Live(clock, jobs))


def fork():
    """At 10 the first task has just ended on P1, and both that wait for it can be placed."""
    done = LiveTask("done", 0, 8, 10)
    return at_work(workloads.fork(), 10, LiveJob(0, 5, (done, WAITING, WAITING)))


def brief(rows):
    return [(r["job"], r["task"], r["pe"], r["begin"], r["end"]) for r in rows]


def test_a_system_in_the_middle_of_its_work(tmp_path):
    """Etf: task 1 stays on P1, 10-13. Task 2 would end there at 16; on P2 its data are there at 12
    and it ends at 15, which ends the job that arrived at 5.
    """
    found = dispatch(STREAMING, "etf", write(tmp_path, fork()))
    assert brief(found["now"]) == [(0, 1, "P1", 10, 13), (0, 2, "P2", 12, 15)]
    assert found["now"][0] == {
        "job": 0,
        "kind": "fork",
        "task": 1,
        "task_type": "t1",
        "pe": "P1",
        "begin": 10,
        "end": 13,
        "opp": [1000, 1000],
    }
    assert (found["mode"], found["clock"]) == ("streaming", 10)
    assert (found["objective"], found["latency"]) == ("latency", 10)
    assert "plan" not in found
    assert found["mean_task_us"] == 2.7
    assert found["decision_us"] > 0
    assert found["seconds"] >= 0


def test_what_can_be_placed_only_later_is_left_out(tmp_path):
    """The chain's second task runs until 9: there is nothing to decide before."""
    tasks = (LiveTask("done", 0, 0, 2), LiveTask("running", 0, 2, 9), WAITING)
    path = write(tmp_path, at_work(workloads.chain(), 5, LiveJob(0, 0, tasks)))
    assert dispatch(STREAMING, None, path)["now"] == []


def test_tasks_without_a_choice_and_behind_tasks_without_time_are_placed_as_well(tmp_path):
    """One PE; task 1 takes no time, so task 2 can be placed at the same instant."""
    workload = workloads.static("zero", [(2,), (0,), (3,)], [(0, 1, 0), (1, 2, 0)])
    tasks = (LiveTask("done", 0, 0, 2), WAITING, WAITING)
    found = dispatch(STREAMING, "etf", write(tmp_path, at_work(workload, 2, LiveJob(0, 0, tasks))))
    assert brief(found["now"]) == [(0, 1, "P1", 2, 2), (0, 2, "P1", 2, 5)]
    assert found["decision_us"] is None, "there is nothing to choose"


def test_what_stands_on_the_pes_is_reckoned_with(tmp_path):
    """P1 works for another job until 30, so both tasks go to P2: data at 12, 12-15 and 15-18."""
    other = (LiveTask("running", 0, 9, 30), WAITING, WAITING)
    first = fork().live.jobs[0]
    path = write(tmp_path, at_work(workloads.fork(), 10, first, LiveJob(0, 9, other)))
    found = dispatch(STREAMING, "etf", path)
    assert brief(found["now"]) == [(0, 1, "P2", 12, 15), (0, 2, "P2", 15, 18)]


def test_a_system_with_more_jobs_than_the_options_say_is_taken_as_it_is(tmp_path):
    first = fork().live.jobs[0]
    found = dispatch(STREAMING, "met", write(tmp_path, at_work(workloads.fork(), 10, *[first] * 5)))
    assert {row["job"] for row in found["now"]} == set(range(5))


def test_placements_are_those_of_the_simulator_that_wrote_the_file(tmp_path):
    """At ten instants of a stream: dispatch on the snapshot places what the lane itself places."""
    workload, rule = builtin_workload("gym_ds3/Top"), Rule("etf")
    sim = SocSimulator([workload], observe=False, length=5000)
    sim.reset(instances=[0])
    seen = 0
    while seen < 10:
        clock = int(sim.state.clock[0])
        if clock > 20 and sim.state.phase[0] == 0:
            found = dispatch(STREAMING, "etf", write(tmp_path, sim.snapshot(0)))
            jobs = sorted(int(j) for j in sim.state.slot_job[0] if j >= 0)
            own = {}
            while int(sim.state.clock[0]) == clock:
                row = int(sim.state.row[0])
                choice = rule.choose(sim)
                if row >= 0:
                    slot, task = divmod(row, sim.host_work.time.shape[2])
                    pe = workload.soc.pes[int(choice[0]) - sim.sizes["task"]].name
                    own[jobs.index(int(sim.state.slot_job[0, slot])), task] = pe
                sim.step(choice)
            assert own == {(r["job"], r["task"]): r["pe"] for r in found["now"]}
            seen += 1
        else:
            sim.step(rule.choose(sim))


def test_a_static_plan_is_the_whole_dag(tmp_path):
    """HEFT on the canonical graph: 80 (Topcuoglu et al. 2002), and only the entry begins at 0."""
    found = dispatch(STATIC, "heft", write(tmp_path, workloads.topcuoglu()))
    assert (found["objective"], found["makespan"], found["clock"]) == ("makespan", 80, 0)
    assert sorted(row["task"] for row in found["plan"]) == list(range(10))
    assert max(row["end"] for row in found["plan"]) == 80
    assert brief(found["now"]) == brief(found["plan"][:1]) == [(0, 0, "P3", 0, 9)]
    assert found["decision_us"] > 0


def test_a_plan_is_by_the_times_that_are_known(tmp_path):
    noisy = replace(STATIC, noise="0.5")
    path = write(tmp_path, workloads.topcuoglu())
    plans = [dispatch(options, "etf", path)["plan"] for options in (STATIC, noisy)]
    assert plans[0] == plans[1]


def test_a_budget_never_makes_the_plan_worse(tmp_path):
    path = write(tmp_path, workloads.topcuoglu())
    for rule in ("random", "met", "heft"):
        alone = dispatch(STATIC, rule, path)["makespan"]
        assert dispatch(STATIC, rule, path, budget_s=0.5)["makespan"] <= alone


def test_with_a_budget_every_choice_is_tried(tmp_path):
    """Met has both tasks on P1, 10-13 and 13-16; with one of them on P2, 10-14, the job is faster.

    It came at 5.
    """
    workload = workloads.static("uneven", [(2, 2), (3, 4), (3, 4)], [(0, 1, 0), (0, 2, 0)])
    path = write(tmp_path, at_work(workload, 10, *fork().live.jobs))
    assert dispatch(STREAMING, "met", path)["latency"] == 11
    found = dispatch(STREAMING, "met", path, budget_s=5)
    assert found["latency"] == 9
    assert sorted(row["pe"] for row in found["now"]) == ["P1", "P2"]


def test_limit_cuts_the_placements(tmp_path):
    assert len(dispatch(STREAMING, "etf", write(tmp_path, fork()), limit=1)["now"]) == 1
    found = dispatch(STATIC, "etf", write(tmp_path, workloads.topcuoglu()), limit=3)
    assert len(found["plan"]) == 3


def test_it_is_json(tmp_path):
    for config, workload in ((STREAMING, fork()), (STATIC, workloads.topcuoglu())):
        json.dumps(dispatch(config, "eft", write(tmp_path, workload)), allow_nan=False)


def test_refusals_name_the_fix(tmp_path):
    path = write(tmp_path, workloads.fork())
    with pytest.raises(InstanceError, match=r"add 'live'.*env.mode=static"):
        dispatch(STREAMING, "etf", path)
    with pytest.raises(UnknownName, match="eft"):
        dispatch(STATIC, "eftt", path)
    with pytest.raises(InstanceError, match="no job is in the system"):
        dispatch(STREAMING, "etf", write(tmp_path, at_work(workloads.fork(), 3)))
    with pytest.raises(ConfigError, match="mode=streaming"):
        dispatch(STATIC, "etf", write(tmp_path, fork()))
    with pytest.raises(ConfigError, match=r"env\.mode=static"):
        dispatch(STREAMING, "heft", write(tmp_path, fork()))
    with pytest.raises(InstanceError, match=r"holds 10 jobs; env\.mode=static plans one"):
        dispatch(STATIC, "etf", write(tmp_path, builtin_workload("gym_ds3/all")))


def test_neither_torch_nor_ray_is_imported(tmp_path, run_python):
    path = write(tmp_path, workloads.fork())
    code = (
        "import sys; from rlsched.core.registry import problem; found = problem('soc');"
        f"found.dispatch(found.config(mode='static'), 'etf', {str(path)!r});"
        "print([name for name in ('torch', 'ray') if name in sys.modules])"
    )
    assert run_python("-c", code).strip() == "[]"


def test_a_portfolio_without_time_is_its_policy_in_every_episode():
    config = SocConfig(length=300)
    plays = []
    for policy in (Rule("etf"), PROBLEM.portfolio(config, Rule("etf"), 0.0)):
        for _ in range(2):
            sim = PROBLEM.make(config, 1, PROBLEM.generate_instances(config, 1, 0), observe=False)
            sim.reset(seed=3)
            policy.play(sim)
            plays.append(sim.executions().tolist())
    assert plays == [plays[0]] * 4


def test_a_portfolio_with_time_tries_every_pair_in_every_episode():
    config = SocConfig(length=200)
    policy, tried = PROBLEM.portfolio(config, Rule("etf"), 60.0), []
    policy.first.choose = lambda sim: (tried.append(1), Rule("etf").choose(sim))[1]
    for _ in range(2):
        sim = PROBLEM.make(config, 1, PROBLEM.generate_instances(config, 1, 0), observe=False)
        sim.reset(seed=3)
        policy.deadline = 0.0 if tried else None  # what an earlier episode left
        before = len(tried)
        policy.play(sim)
        assert len(tried) > before
