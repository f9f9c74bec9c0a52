"""Rules by hand, against published and measured schedules, and with look-ahead."""

from __future__ import annotations

import numpy as np
import pytest
import workloads
from soc_plays import BANK, STATIC_BANK, follow, ruled, static, streaming

from rlsched.core.errors import ConfigError
from rlsched.core.policy import Guide, Policy
from rlsched.core.registry import problem
from rlsched.envs.soc.dag import make_dag
from rlsched.envs.soc.exact_policy import Exact
from rlsched.envs.soc.instances import builtin_workload
from rlsched.envs.soc.list_schedulers import STATIC, in_order
from rlsched.envs.soc.priorities import PRIORITIES
from rlsched.envs.soc.rules import (
    PARALLEL,
    RULES,
    Inserted,
    ListScheduler,
    Rollout,
    Rule,
    costs_of_ways,
    variants,
    ways_on,
)
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.state import CHOOSE_PE
from rlsched.envs.soc.workload import Workload
from rlsched.evaluation.policies import resolve_policy

SOC = problem("soc")


def placed(sim: SocSimulator, rule: str) -> list[tuple[int, int]]:
    """Return (task, PE) in the order that a rule places the tasks of one lane."""
    seen, out = set(np.flatnonzero(sim.state.on[0] >= 0).tolist()), []
    while not sim.terminated[0]:
        sim.step(Rule(rule).choose(sim))
        new = set(np.flatnonzero(sim.state.on[0] >= 0).tolist()) - seen
        seen |= new
        out += [(t, int(sim.state.on[0, t])) for t in sorted(new)]
    return out


def makespan(workload: Workload, policy) -> int:
    """Return the makespan of a static lane that a policy plays."""
    sim = static(workload, observe=False)
    policy.play(sim)
    assert sim.terminated[0]
    return int(sim.metrics()["makespan"][0])


# --- choices by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        ("etf", [(1, 0), (0, 0), (2, 1)]),  # ends 3; then 7, 8; then 8
        ("etf_start", [(1, 0), (2, 1), (0, 0)]),  # begins 0 by rank 9.5; 0 by 7.5, 6.5; 3
        ("eft", [(0, 0), (1, 1), (2, 0)]),  # ends 4; 7 or 4; 11 or 12
        ("met", [(0, 0), (1, 0), (2, 0)]),
        ("stf", [(1, 0), (0, 0), (2, 0)]),  # times 3, 4, 7
        ("rr", [(0, 0), (1, 1), (2, 0)]),
        ("online_heft", [(1, 0), (2, 1), (0, 0)]),  # ranks 9.5, 7.5, 6.5
        ("heft_rt", [(2, 0), (0, 1), (1, 0)]),  # means 7.5, 6.5, 3.5
    ],
)
def test_each_rule_places_three_free_tasks_as_its_definition_says(rule, order):
    """Task 3 needs task 1, which gives that the highest rank."""
    times = [(4, 9), (3, 4), (7, 8), (6, 6)]
    workload = workloads.static("free", times, [(1, 3, 0)])
    assert placed(streaming(workload), rule)[:3] == order


@pytest.mark.parametrize(
    ("rule", "pe"),
    [("etf", 1), ("etf_start", 0), ("eft", 1), ("met", 1), ("online_heft", 1), ("heft_rt", 1)],
)
def test_earliest_start_is_not_earliest_finish(rule, pe):
    """P2 is busy until 5; task 1 takes 9 ticks on P1, from 0, and 2 on P2."""
    sim = streaming(workloads.static("start", [(-1, 5), (9, 2)]))
    follow(sim, [0])
    assert Rule(rule).choose(sim).tolist() == [2 + pe]


@pytest.mark.parametrize(("rule", "pe"), [("etf", 0), ("online_heft", 0), ("heft_rt", 1)])
def test_heft_rt_knows_nothing_of_communication(rule, pe):
    """Task 1 ends at 7 where task 0 ran; on P2 it takes a tick, after 6 of communication."""
    workload = workloads.static("blind", [(2, 9), (5, 1)], [(0, 1, 6)])
    sim = streaming(workload)
    follow(sim, [2])
    assert Rule(rule).choose(sim).tolist() == [2 + pe]


@pytest.mark.parametrize(("rule", "pes"), [("met", [0, 1, 0]), ("stf", [0, 0, 0])])
def test_of_pes_that_are_as_fast_met_takes_that_with_least_to_do_and_stf_the_first(rule, pes):
    sim = streaming(workloads.static("equal", [(3, 3)] * 3))
    assert [pe for _, pe in placed(sim, rule)] == pes


def test_rr_leaves_out_pes_that_cannot_run_the_task():
    workload = workloads.static("turns", [(3, 3, 3), (3, -1, 3), (3, 3, 3), (3, 3, 3)])
    assert [pe for _, pe in placed(streaming(workload), "rr")] == [0, 2, 2, 0]


def test_rules_take_the_highest_operating_point_and_random_any():
    sim = streaming(BANK[0], dvfs="choose", num_jobs=8, queue=3)
    top = [len(pe.opps) - 1 for pe in BANK[0].soc.pes]
    rows = ruled(sim, "etf").executions()
    assert (rows[:, 6] == np.array(top)[rows[:, 3]]).all()
    sim = streaming(BANK[0], dvfs="choose", num_jobs=8, queue=3)
    RULES["random"](None).play(sim)
    assert set(sim.executions()[:, 6].tolist()) == {0, 1, 2}


def test_random_never_waits_where_a_task_can_be_placed():
    sim = streaming(BANK[0], defer=True, num_jobs=3, queue=2)
    while not sim.terminated[0]:
        choice = RULES["random"](None).choose(sim)
        assert choice[0] < sim.num_choices - 1
        sim.step(choice)


# --- published schedules --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("heft", 80, 133), ("cpop", 86, 167), ("peft", 85, 122), ("lookahead", 76, 127)],
)
def test_static_schedulers_replayed_give_their_published_makespans(name, first, second):
    """HEFT 80, CPOP 86 (Topcuoglu et al. 2002), HEFT 133, PEFT 122 (Arabnejad & Barbosa 2014)."""
    policy = RULES[name](SOC.config(mode="static"))
    assert makespan(workloads.topcuoglu(), policy) == first
    assert makespan(workloads.peft_paper(), policy) == second


def test_heft_and_the_optimum_of_the_ten_jobs_of_gym_ds3():
    pytest.importorskip("ortools")
    jobs = SOC.generate_instances(SOC.config(mode="static", jobs=["gym_ds3/all"]), 10, 0)
    heft = [makespan(job, ListScheduler("heft")) for job in jobs]
    assert heft == [80, 90, 89, 98, 97, 90, 83, 69, 78, 82]
    assert [makespan(job, Exact(20.0)) for job in jobs] == [73, 81, 80, 87, 85, 80, 72, 65, 72, 74]


@pytest.mark.parametrize("name", STATIC)
def test_a_plan_replayed_has_the_makespan_of_the_schedule(name):
    """Whole, or choice by choice, which plans anew every time."""
    for workload in STATIC_BANK:
        dag = make_dag(workload)
        expected = STATIC[name](dag).makespan
        assert makespan(workload, ListScheduler(name)) == expected
        sim = static(workload, observe=False)
        while not sim.terminated[0]:
            sim.step(ListScheduler(name).choose(sim))
        assert sim.metrics()["makespan"][0] == expected


def test_exact_replayed_equals_its_objective_and_its_bound():
    pytest.importorskip("ortools")
    for workload, optimum in ((workloads.topcuoglu(), 73), (workloads.peft_paper(), 113)):
        policy = Exact(20.0)
        assert makespan(workload, policy) == policy.bound() == optimum


@pytest.mark.parametrize("options", [{"noise": "0.2"}, {"comm": "memory"}])
def test_exact_claims_no_bound_where_its_times_are_not_those_played(options):
    pytest.importorskip("ortools")
    policy, sim = Exact(20.0), static(workloads.fork(), **options)
    policy.play(sim)
    assert sim.terminated[0]
    assert policy.bound() is None


DS3_ETF = {
    "gym_ds3/Top": 80,
    "ds3/WiFi_RX": 301,
    "ds3/WiFi_TX": 71,
    "ds3/SC_TX": 56,
    "ds3/range_detection": 176,
    "ds3/SC_RX": 153,
    "ds3/temporal_mitigation": 79,
}
DS3_STF = {"gym_ds3/Top": 80, "ds3/WiFi_RX": 641, "ds3/WiFi_TX": 165, "ds3/SC_TX": 56}


@pytest.mark.parametrize(
    ("rule", "job", "ticks"),
    [
        *(("etf", job, ticks) for job, ticks in DS3_ETF.items()),
        *(("stf", job, ticks) for job, ticks in DS3_STF.items()),
    ],
)
def test_single_jobs_take_what_they_take_in_ds3(rule, job, ticks):
    """DS3 v1 on MULTIPLE_BAL, measured; WiFi receiver by ETF 301 also in Arda et al. (2020).

    DS3 prints 177, 154 and 81 for the last three: it runs tasks in slices of its sampling period,
    and a last slice of one tick delays the successors by one.
    """
    soc = "ds3/Top" if job == "gym_ds3/Top" else "ds3/MULTIPLE_BAL_cores"
    sim = ruled(streaming(builtin_workload([job], soc), observe=False), rule)
    assert sim.metrics()["latency"][0] == ticks


@pytest.mark.parametrize(
    ("scale", "etf", "met"),
    [(25, 108.6, 108.8), (50, 100.9, 104.2), (100, 92.5, 97.6), (200, 88.6, 93.9)],
)
def test_mean_latencies_at_the_published_scales(scale, etf, met):
    """Top jobs, Q = 3, 5,000 us, as gym_ds3, whose own means of two episodes lie beside them.

    There: ETF 104.0, 97.6, 92.0, 87.2; MET 108.4, 103.3, 98.7, 92.4.
    """
    sim = SocSimulator([builtin_workload("gym_ds3/Top")], 64, scale=str(scale), observe=False)
    for rule, expected in (("etf", etf), ("met", met)):
        sim.reset(seed=0)
        figures = ruled(sim, rule).metrics()
        assert figures["latency"].mean() == pytest.approx(expected, abs=1.0)


# --- look-ahead -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_parallel", [False, True])
@pytest.mark.parametrize("mode", ["static", "streaming"])
def test_rollout_is_never_worse_than_its_rule_where_nothing_unforeseen_comes(mode, is_parallel):
    """Lane by lane: what the rule would do is always among what is tried."""
    costs = []
    for policy in (Rule("stf"), Rollout(Rule("stf"), is_parallel)):
        sim = (
            static(*STATIC_BANK, observe=False)
            if mode == "static"
            else streaming(*BANK, num_jobs=2, queue=2, fill=True, observe=False)
        )
        policy.play(sim)
        costs.append(sim.metrics()[sim.metric])
    assert (costs[1] <= costs[0]).all()
    assert costs[1].sum() < costs[0].sum()


def test_rollout_is_better_than_etf_on_average_where_jobs_keep_coming():
    """Paired: the same arrivals."""
    top, latency = builtin_workload("gym_ds3/Top"), []
    for policy in (Rule("etf"), Rollout(Rule("etf"))):
        sim = SocSimulator([top], 6, length=600, observe=False)
        sim.reset(seed=1)
        policy.play(sim)
        latency.append(sim.metrics()["latency"].mean())
    assert latency[1] <= latency[0]


def test_parallel_rollout_is_never_worse_than_any_of_its_rules_where_nothing_unforeseen_comes():
    costs = []
    for policy in (*map(Rule, PARALLEL), Rollout(Rule("rr"), is_parallel=True)):
        sim = static(*STATIC_BANK, observe=False)
        policy.play(sim)
        costs.append(sim.metrics()[sim.metric])
    assert (costs[-1] <= np.min(costs[:-1], axis=0)).all()


def test_rollout_does_not_foresee_arrivals_and_noise():
    """Two lanes that differ only in what will happen get the same choice."""
    sim = SocSimulator(BANK[:1], 2, noise="0.5", queue=2, observe=False)
    sim.reset(instances=[0, 0])
    for _ in range(3):
        sim.step(np.repeat(Rule("etf").choose(sim)[:1], 2))
        sim.fork(np.array([0, 0]))
        sim.state.stream[1] += 1
        choice = Rollout(Rule("etf")).choose(sim)
        assert choice[0] == choice[1]


class Fixed(Guide):
    """A network that gives the last legal choice a log-probability of 0, the others a lower one."""

    name, needs_observation = "fixed", False

    def __init__(self, others: float) -> None:
        self.others = others

    def scores(self, sim):
        mask = np.asarray(sim.action_mask)
        last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
        is_last = np.arange(mask.shape[1]) == last[:, None]
        return np.where(is_last, 0.0, np.where(mask, self.others, -np.inf)).astype(np.float32)


def test_a_network_that_is_sure_outweighs_the_rollout_where_jobs_keep_coming():
    """Latency saved counts against ``PRIOR`` critical paths per unit of log-probability."""
    sim = streaming(*BANK, observe=False)
    sure, unsure = Fixed(-1e6), Fixed(-1e-9)
    differ = 0
    for _ in range(12):
        by_rollout = Rollout(Rule("etf")).choose(sim)
        assert (Rollout(sure).choose(sim) == sure.choose(sim)).all()
        ways = ways_on(sim, by_rollout)
        cost = costs_of_ways(sim, ways, ("etf",))
        for lane, choice in enumerate(Rollout(unsure).choose(sim)):
            own = ways.lane == lane
            if own.any():
                assert cost[own & (ways.first[:, 0] == choice)].min() == cost[own].min()
        differ += (by_rollout != sure.choose(sim)).sum()
        sim.step(by_rollout)
    assert differ > 0


def test_a_network_decides_only_among_equals_where_one_dag_is_planned():
    sim = static(*STATIC_BANK, observe=False)
    while not sim.terminated.all():
        choice = Rollout(Fixed(-1e6)).choose(sim)
        ways = ways_on(sim, choice)
        cost = costs_of_ways(sim, ways, ("etf",))
        for lane in np.unique(ways.lane):
            own = ways.lane == lane
            assert cost[own & (ways.first[:, 0] == choice[lane])].min() == cost[own].min()
        sim.step(choice)


# --- insertion ------------------------------------------------------------------------------------


class Follows(Policy):
    """Places tasks in an order, where there is a choice on one PE."""

    name, needs_observation = "follows", False

    def __init__(self, order, pe=0):
        self.order, self.pe = order, pe

    def choose(self, sim):
        s = sim.state
        if s.phase[0] == CHOOSE_PE:
            return np.array([sim.sizes["task"] + self.pe], np.int32)
        return np.array([next(t for t in self.order if s.on[0, t] < 0)], np.int32)


@pytest.mark.parametrize("rule", ["random", "met", "etf"])
def test_insertion_is_never_worse_than_the_plan_and_often_better(rule):
    costs = []
    for policy in (RULES[rule](None), Inserted(RULES[rule](None))):
        sim = static(*STATIC_BANK, observe=False)
        policy.play(sim)
        costs.append(sim.metrics()["makespan"])
    assert (costs[1] <= costs[0]).all()
    assert costs[1].sum() < costs[0].sum() or rule == "etf"


def test_insertion_fills_the_gap_that_a_plan_left():
    """P1 waits for data until 12; the free task of 5 that was placed behind goes before."""
    times = [(-1, 2), (4, -1), (5, -1)]
    workload = workloads.static("gap", times, [(0, 1, 10)])
    order, pe = np.array([0, 1, 2]), np.array([1, 0, 0])
    schedule = in_order(make_dag(workload), order, pe)
    assert schedule.start.tolist() == [0, 12, 0]
    assert makespan(workload, Follows([0, 1, 2])) == 12 + 4 + 5
    assert makespan(workload, Inserted(Follows([0, 1, 2]))) == 12 + 4


def test_insertion_takes_the_order_with_other_pes_where_that_is_shorter():
    """All on the slow PE, in HEFT's order: placing each where it finishes first is better."""
    workload = workloads.static("slow", [(9, 3), (9, 3)])
    assert makespan(workload, Follows([0, 1], pe=0)) == 18
    assert makespan(workload, Inserted(Follows([0, 1], pe=0))) == 6


def test_insertion_is_refused_where_jobs_keep_coming():
    with pytest.raises(ConfigError, match=r"etf:insert is for plans of one DAG; add env.mode=stat"):
        resolve_policy("etf:insert", SOC, SOC.config())
    made = resolve_policy("etf:insert", SOC, SOC.config(mode="static"))
    assert isinstance(made, Inserted)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in (*STATIC, "exact") if n not in PRIORITIES])
def test_static_rules_are_refused_where_jobs_keep_coming(name):
    with pytest.raises(ConfigError, match=rf"{name} plans one DAG beforehand; add env.mode=static"):
        RULES[name](SOC.config())
    assert RULES[name](SOC.config(mode="static")).name == name


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_its_name_and_plays_a_static_lane(name):
    if name == "exact":
        pytest.importorskip("ortools")
    policy = resolve_policy(name, SOC, SOC.config(mode="static"))
    assert policy.name == name
    assert makespan(workloads.fork(), policy) >= 7


def test_rollout_is_a_suffix_of_any_policy():
    for name, rules in (("met:rollout", {"met"}), ("met:parallel_rollout", {*PARALLEL})):
        made = resolve_policy(name, SOC, SOC.config())
        assert isinstance(made, Rollout)
        assert (made.name, set(made.rules)) == (name, rules)
    assert variants(None, made, "beam_5") is None


@pytest.mark.parametrize("mode", ["static", "streaming"])
def test_the_default_policies_are_rules_of_the_mode(mode):
    config = SOC.config(mode=mode)
    for name in SOC.default_policies(config):
        assert RULES[name](config).name == name


def test_a_job_alone_takes_as_long_however_many_places_the_queue_has():
    times = [
        ruled(streaming(workloads.topcuoglu(), queue=queue), "etf").metrics()["latency"][0]
        for queue in (1, 3)
    ]
    assert times == [80, 80]
