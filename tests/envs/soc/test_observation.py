"""Facts about the observation: figures by hand in each phase, padding, and every figure's range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import workloads
from soc_plays import (
    BANK,
    STATIC_BANK,
    STATIC_VARIANTS,
    VARIANTS,
    follow,
    started,
    static,
    streaming,
)

from rlsched.agents.policy import GraphPolicy, TorchPolicy
from rlsched.config.schema import AgentConfig
from rlsched.core.gym import SimulatorVectorEnv
from rlsched.envs.soc.dag import make_dag
from rlsched.envs.soc.observation import GRAPH
from rlsched.envs.soc.power import power_table
from rlsched.envs.soc.ranks import optimistic_cost
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.state import CHOOSE_OPP, CHOOSE_PE, CHOOSE_TASK
from rlsched.envs.soc.workload import Pe, Workload
from rlsched.testing import random_legal

NAMES = {node.name: [f.name for f in node.features] for node in GRAPH.nodes} | {
    "context": [f.name for f in GRAPH.context]
}
ENDS = {
    "task__then__task": ("task", "task"),
    "task__on__pe": ("task", "pe"),
    "task__of__job": ("task", "job"),
}
WATTS, HERE = {"power": np.float32(1.5)}, {"is_present": 1}


def forked() -> Workload:
    """Return the fork of workloads.py with 1.5 W for each PE at work."""
    workload = workloads.fork()
    pes = tuple(Pe(pe.name, power=(1.5,), leaks=False) for pe in workload.soc.pes)
    return replace(workload, soc=replace(workload.soc, pes=pes))


def seen(sim: SocSimulator, key: str) -> list[dict[str, float]]:
    """Return the features of each row of the first lane by name, those that are not 0."""
    rows = np.atleast_2d(sim.observation()[key][0])
    return [{n: float(x) for n, x in zip(NAMES[key], row, strict=True) if x} for row in rows]


def edges(sim: SocSimulator, key: str) -> dict[tuple[int, int], list[float]]:
    """Return the edges that are no padding with their features; padding has the sizes for ends."""
    sizes, obs = tuple(sim.sizes[name] for name in ENDS[key]), sim.observation()
    ends, found = obs[key][0].tolist(), {}
    xs = obs[f"{key}__features"][0].tolist() if f"{key}__features" in obs else [[]] * len(ends)
    for (a, b), x in zip(ends, xs, strict=True):
        if a == sizes[0] or b == sizes[1]:
            assert (a, b) == sizes
            assert not any(x)
        else:
            found[a, b] = x
    return found


# --- followed by hand -----------------------------------------------------------------------------


def test_hand_checked_features_as_a_task_is_chosen():
    """At 2 task 0 has run on P1; tasks 1 and 2 end at 5 there, at 7 on P2, where data come at 4."""
    sim = streaming(forked(), num_jobs=2, queue=2, arrivals="fixed", scale="4")
    follow(sim, [6])
    assert (sim.state.clock[0], sim.state.phase[0]) == (2, CHOOSE_TASK)
    candidate = {"is_candidate": 1, "is_ready": 1, "until_end": 3, "fastest": 3, "mean": 3}
    candidate |= {"rank": 3, "tail": 3, "num_ways": 2, "best_end": 3, "best_time": 3, "regret": 2}
    candidate |= {"best_over": 3} | HERE
    assert seen(sim, "task") == [{}, candidate, candidate, {}, {}, {}]
    assert seen(sim, "job") == [
        {"age": 2, "until_end": 3, "critical_path": 5, "num_left": 2, "num_ready": 2} | HERE,
        {},
    ]
    both = {"capacity": 1, "demand": 6} | WATTS
    assert seen(sim, "pe") == [both | {"rivals": 2, "rival_time": 6}, both]
    assert seen(sim, "opp") == [{}]
    assert seen(sim, "context") == [
        {"mean_time": np.float32(8 / 3), "critical_path": 5, "num_active": 1, "num_ready": 2}
        | {"num_pes": 2, "gap": 4}
    ]
    assert edges(sim, "task__then__task") == {(0, 1): [2], (0, 2): [2]}
    assert edges(sim, "task__on__pe") == {
        (1, 0): [3, 0, 0],
        (1, 1): [3, 2, 0],
        (2, 0): [3, 0, 0],
        (2, 1): [3, 2, 0],
    }
    assert edges(sim, "task__of__job") == {(0, 0): [], (1, 0): [], (2, 0): []}
    assert sim.observation()["num_nodes"][0].tolist() == [6, 2, 2, 1]


def test_hand_checked_features_as_a_pe_is_chosen():
    """At 4 task 1 runs on P1 until 5, task 2 is placed on P2 4-7, and the second job's task 0,
    of 2 ticks, could begin at 5 or 7. Its job, of 5 ticks at best, would end at 10 or 12, not 9,
    3 ticks after the task on either PE.
    """
    sim = streaming(forked(), num_jobs=2, queue=2, arrivals="fixed", scale="4")
    follow(sim, [6, 1, 6, 7])
    assert (sim.state.clock[0], sim.state.phase[0], sim.state.row[0]) == (4, CHOOSE_PE, 3)
    first, running, bound, chosen, pending, also = seen(sim, "task")
    assert first == {}
    still = {"fastest": 3, "mean": 3, "rank": 3, "tail": 3, "num_ways": 2} | HERE
    assert running == still | {"is_running": 1, "until_end": 1, "slack": 2}
    assert bound == still | {"is_bound": 1, "until_end": 3}
    assert chosen == {
        "is_chosen": 1,
        "is_ready": 1,
        "until_end": 2,
        "fastest": 2,
        "mean": 2,
        "rank": 7,
        "tail": 5,
        "num_next": 2,
        "num_ways": 2,
        "best_end": 3,
        "best_begin": 1,
        "best_time": 2,
        "regret": 2,
        "delay": 1,
        "is_present": 1,
        "best_over": 6,
    }
    waits = {"is_pending": 1, "until_begin": 2, "until_end": 5, "num_missing": 1}
    assert pending == also == still | waits
    assert seen(sim, "job") == [
        {"age": 4, "until_end": 3, "excess": 2, "critical_path": 5, "num_left": 2} | HERE,
        {"until_end": 5, "critical_path": 5, "num_left": 3, "num_ready": 1} | HERE,
    ]
    common = {"is_candidate": 1, "capacity": 1, "demand": 8, "time": 2} | WATTS
    assert seen(sim, "pe") == [
        common
        | {"num_running": 1, "until_free": 1, "until_empty": 1, "begin": 1, "end": 3, "delay": 1}
        | {"over": 6},
        common
        | {"num_bound": 1, "until_free": 3, "until_empty": 3, "begin": 3, "end": 5}
        | {"later": 2, "delay": 3, "over": 8, "over_later": 2},
    ]
    assert seen(sim, "context") == [
        {"mean_time": np.float32(8 / 3), "critical_path": 5, "num_active": 2, "is_full": 1}
        | {"num_ready": 1, "is_pe": 1, "num_pes": 2, "busy_share": 0.5, "gap": 4}
    ]
    on = edges(sim, "task__on__pe")
    assert (on[1, 0], on[2, 1], on[3, 0], on[3, 1]) == (
        [3, 0, 0],
        [3, 0, 0],
        [2, 0, 3],
        [2, 0, 3],
    )
    assert on.keys() == {(1, 0), (2, 1)} | {(t, p) for t in (3, 4, 5) for p in (0, 1)}


def test_hand_checked_features_as_an_operating_point_is_chosen():
    """A task of 10 ticks on P1; at half the frequency 20, by which its job is 10 late."""
    pe = Pe("P1", opps=((500, 800), (1000, 1000)), power=(2.0,))
    workload = workloads.static("points", [(10,), (4,)], [(0, 1, 0)])
    sim = streaming(replace(workload, soc=replace(workload.soc, pes=(pe,))), dvfs="choose")
    assert sim.state.phase[0] == CHOOSE_OPP
    power = power_table(pe)[1].astype(np.float32).tolist()
    low, high = seen(sim, "opp")
    assert high == {"is_candidate": 1, "speed": 1, "time": 10, "power": power[1], "energy": 1}
    assert low.pop("energy") == pytest.approx(power[0] * 20 / (power[1] * 10))
    assert low == {"is_candidate": 1, "speed": 0.5, "time": 20, "delay": 10, "power": power[0]}
    assert seen(sim, "task")[0]["is_chosen"] == 1
    assert seen(sim, "pe")[0]["is_chosen"] == 1
    assert seen(sim, "context")[0]["is_opp"] == 1
    assert np.flatnonzero(sim.action_mask[0]).tolist() == [3, 4]


def test_hand_checked_features_of_a_static_plan():
    """Task 0 is placed on P1 0-2 and stays in the graph as what the others need."""
    sim = started(forked(), mode="static", noise="0.1", defer=True)
    follow(sim, [3])
    placed, ready, _ = seen(sim, "task")
    assert (placed["until_end"], placed["num_next"]) == (2, 2)
    assert not {"is_ready", "is_candidate", "is_bound"} & placed.keys()
    assert (ready["best_begin"], ready["best_end"], ready["regret"]) == (2, 5, 2)
    assert seen(sim, "pe")[0]["until_free"] == 2
    context = seen(sim, "context")[0]
    assert (context["is_static"], context["noise"]) == (1, np.float32(0.1))
    assert not {"gap", "can_wait"} & context.keys()


def test_candidates_are_compared_with_the_first_of_them():
    """Alone they would end at 4 and 2; their mean times, 6.5 and 4, are their ranks."""
    sim = static(workloads.static("two", [(4, 9), (6, 2)]))
    one, other = seen(sim, "task")
    assert (one["later"], "below" in one) == (2, False)
    assert ("later" in other, other["below"]) == (False, 2.5)


@pytest.mark.parametrize("workload", STATIC_BANK, ids=lambda w: w.name)
def test_rest_is_the_optimistic_cost_table(workload):
    dag = make_dag(workload)
    rest = static(workload).host_work.rest[0, 0, : dag.num_tasks, : dag.num_pes]
    can = dag.supported
    np.testing.assert_allclose(rest[can], optimistic_cost(dag)[can], rtol=1e-5)


def test_context_says_what_an_episode_is_like():
    options = {"defer": True, "comm": "memory", "noise": "0.25", "num_jobs": 2, "queue": 2}
    sim = streaming(forked(), fill=True, **options)
    context = seen(sim, "context")[0]
    assert (context["to_memory"], context["noise"], context["gap"]) == (1, 0.25, 25)
    assert "can_wait" not in context
    follow(sim, [0, 6])
    assert seen(sim, "context")[0]["can_wait"] == 1


def test_a_task_that_was_left_ready_says_since_when():
    """Task 2 could be placed at 2; at 5 it has waited 3 ticks."""
    sim = streaming(forked(), defer=True)
    follow(sim, [3, 1, 3])
    follow(sim, [sim.num_choices - 1])
    assert sim.state.clock[0] == 5
    assert seen(sim, "task")[2]["waited"] == 3


# --- in every state -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_every_observation_of_random_play_is_in_its_space_and_made_anew_the_same(name):
    check_play(SocSimulator(BANK, len(BANK), **({"length": 300} | VARIANTS[name])))


@pytest.mark.parametrize("name", STATIC_VARIANTS)
def test_every_observation_of_static_play_is_in_its_space(name):
    check_play(
        SocSimulator(STATIC_BANK, len(STATIC_BANK), mode="static", **STATIC_VARIANTS[name]), 30
    )


def check_play(sim: SocSimulator, rounds: int = 60) -> None:
    """Play at random; check ranges, flags, masks and padding after every choice."""
    space = SimulatorVectorEnv(sim).observation_space
    sim.reset(seed=2, instances=list(range(sim.num_envs)))
    for event in range(rounds):
        assert space.contains(dict(sim.observation()))
        for values in sim.observation().values():
            assert np.isfinite(values).all()
        check_rows(sim)
        sim.step(random_legal(sim.action_mask, 5, event))
    seen_before = {key: value.copy() for key, value in sim.observation().items()}
    for key in set(seen_before) - {"action_mask"}:
        sim.observation()[key][:] = 77
    sim._run(sim.observe_lane)
    running = ~sim.terminated
    for key, value in sim.observation().items():
        np.testing.assert_array_equal(value[running], seen_before[key][running], err_msg=key)


def check_rows(sim: SocSimulator) -> None:
    """Check that candidates are the mask, and that edges tie rows that are there."""
    obs, tasks, pes = sim.observation(), sim.sizes["task"], sim.sizes["pe"]
    mask, running = sim.action_mask, ~sim.terminated
    np.testing.assert_array_equal(obs["task"][running, :, 0] > 0, mask[running, :tasks])
    np.testing.assert_array_equal(obs["pe"][running, :, 0] > 0, mask[running, tasks : tasks + pes])
    np.testing.assert_array_equal(obs["opp"][running, :, 0] > 0, mask[running, tasks + pes : -1])
    for key, names in ENDS.items():
        ends, sizes = obs[key], [sim.sizes[name] for name in names]
        is_padding = ends[:, :, 0] == sizes[0]
        np.testing.assert_array_equal(is_padding, ends[:, :, 1] == sizes[1])
        assert (ends >= 0).all()
        assert (ends <= sizes).all()
    is_there = (obs["task__of__job"][:, :, 0] < tasks)[running]
    assert not obs["task"][running][~is_there].any()
    jobs = (sim.state.slot_job >= 0)[running]
    assert (obs["job"][running].any(axis=2) == jobs).all()
    np.testing.assert_array_equal(obs["context"][running, 2], jobs.sum(axis=1))


def test_a_policy_scores_a_system_the_same_whatever_else_is_in_the_bank():
    """Larger workloads and longer queues of others are padding, which no choice may depend on."""
    torch.manual_seed(0)
    network = GraphPolicy(GRAPH, AgentConfig(hidden=8, aggr="mean")).eval()
    alone = SocSimulator([BANK[0]], 1, queue=2, scale="9")
    among = SocSimulator([BANK[0], *BANK[1:]], 1, queue=5, scale="9")
    among.host_work.queue[:] = 2
    for sim in (alone, among):
        sim.reset(seed=3, instances=[0])
    for _ in range(12):
        scores = [TorchPolicy(network).scores(sim)[0] for sim in (alone, among)]
        legal = [np.flatnonzero(np.isfinite(row)) for row in scores]
        np.testing.assert_allclose(scores[0][legal[0]], scores[1][legal[1]], atol=1e-5)
        for sim, rows in zip((alone, among), legal, strict=True):
            sim.step(rows[[-1]])
