"""Dispatching rules by their names in the literature, rules with look-ahead, and exact solvers.

Each of ``RULES`` makes a policy that plays any number of lanes. A suffix changes one:
``mwkr:wip_5`` starts no new job while five are on the floor; ``portfolio:pilot`` looks ahead at
every decision; ``mwkr:improve_1s`` improves the whole plan for a second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError
from rlsched.core.plans import FOREVER, Planner
from rlsched.core.policy import Guide, Policy
from rlsched.core.search import rollout
from rlsched.core.simulator import Simulator, host
from rlsched.envs.jobshop.exact_policy import Exact, Hindsight, Rolling
from rlsched.envs.jobshop.improve import improve_plan
from rlsched.envs.jobshop.priorities import (
    NO_CAP,
    PRIORITIES,
    choose_by_rule,
    play_by_rule,
    score_by_rule,
)
from rlsched.envs.jobshop.simulator import JobShopSimulator, random_choice

Entry = tuple[str, int]
"""A rule and a cap on the jobs on the floor."""
CAPS = 0.5, 0.7, 0.8, 1.0, 1.3
"""Caps of the portfolio where buffers are finite, in jobs per machine."""
CLASSIC = "spt", "mwkr", "mopnr", "fifo", "spt_twkr", "fdd_mwkr"
BLOCKING = "spt", "mwkr", "lwkr", "fifo", "lifo", "random"
TARDY = "edd", "mdd", "atc", "cr", "slack", "spt"
WIP = re.compile(r"wip_(?P<jobs>[1-9]\d{0,5})")
PILOT = re.compile(r"pilot(?:_(?P<seconds>\d+(?:\.\d+)?)s)?")
IMPROVE = re.compile(r"improve_(?P<seconds>\d+(?:\.\d+)?)s")
SUFFIXES = "wip_<jobs>", "pilot", "pilot_<seconds>s", "improve_<seconds>s"
RULES_OWN = -1
"""First choice of a rollout that leaves it to the rule."""
CHOICES_AT_ONCE = 64
"""Choices whose rollouts are played together."""


class Rule(Guide):
    """A dispatching rule; as a guide it scores its ranking of the jobs.

    Args:
        rule: one of :data:`~rlsched.envs.jobshop.priorities.PRIORITIES`.
        cap: most jobs on the floor at which a new one is started.
    """

    needs_observation = False
    temperature = 0.5

    def __init__(self, rule: str, cap: int = NO_CAP) -> None:
        self.rule, self.cap = rule, cap
        self.code = PRIORITIES.index(rule)
        self.name = rule if cap == NO_CAP else f"{rule}:wip_{cap}"

    def choose(self, sim: JobShopSimulator) -> NDArray[np.int32]:  # type: ignore[override]
        choice = np.zeros(sim.num_envs, np.int32)
        choose_by_rule(sim.num_envs, sim.shops, sim.state, self.code, self.cap, choice)
        return choice

    def scores(self, sim: JobShopSimulator) -> NDArray[np.float32]:  # type: ignore[override]
        out = np.full((sim.num_envs, sim.num_choices), -np.inf, np.float32)
        score_by_rule(sim.num_envs, sim.shops, sim.state, self.code, self.cap, out)
        return out


class Random(Rule):
    """Uniform among the waiting jobs; never holds where one may move."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__("random")
        self.seed = seed

    def choose(self, sim: JobShopSimulator) -> NDArray[np.int32]:  # type: ignore[override]
        choice = np.zeros(sim.num_envs, np.int32)
        random_choice(sim.num_envs, sim.state, self.seed, choice)
        return choice


class Portfolio(Planner):
    """The best of a few rules, with caps where buffers are finite, tried out before the start.

    With breakdowns ahead, which are not foreseen, it tries the rules anew at every decision.
    """

    name, needs_observation = "portfolio", False

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        assert isinstance(sim, JobShopSimulator)
        start = ahead(sim, [lane])
        found = best_way(start, [RULES_OWN], entries(sim, lane), FOREVER)
        assert found is not None
        return found.choices(start)


class Pilot(Planner):
    """Look-ahead at every decision: finish the shop by each rule after each choice, take the best.

    The best schedule met so far is followed where no rollout beats it.

    Args:
        base: what plays first; a :class:`Rule` also finishes the rollouts, for others those of the
            portfolio do.
        budget_s: seconds of look-ahead per plan; None = all it takes.

    Source: pilot method, Duin & Voss (1999); fortified rollout, Bertsekas et al. (1997).
    """

    needs_observation = False

    def __init__(self, base: Policy, budget_s: float | None = None) -> None:
        self.base, self.budget_s = base, budget_s
        self.needs_observation = getattr(base, "needs_observation", True)
        self.name = f"{base.name}:pilot" + ("" if budget_s is None else f"_{budget_s:g}s")

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        deadline = FOREVER if self.budget_s is None else perf_counter() + self.budget_s
        assert isinstance(sim, JobShopSimulator)
        now, rules = ahead(sim, [lane]), self.entries(sim, lane)
        left, out = list(rollout(sim, lane, self.base).choices), list[int]()
        cost = cost_of(now, left)
        while not now.terminated[0]:
            legal = np.flatnonzero(now.action_mask[0]).tolist()
            if (len(legal) > 1 or not out) and perf_counter() < deadline:
                found = best_way(now, legal, rules, cost)
                if found is not None:
                    cost, left = found.cost, found.choices(now)
            out.append(left.pop(0))
            now.step(np.array(out[-1:], np.int32))
        return out

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        """Return each lane's best choice by look-ahead; the base's own wins among equals."""
        assert isinstance(sim, JobShopSimulator)
        choice = self.base.choose(sim)
        for lane in np.flatnonzero(~host(sim.terminated)):
            legal = np.flatnonzero(sim.action_mask[lane])
            if len(legal) > 1:
                firsts = [int(choice[lane]), *legal[legal != choice[lane]].tolist()]
                now = ahead(sim, [int(lane)])
                found = best_way(now, firsts, self.entries(sim, int(lane)), FOREVER)
                assert found is not None
                choice[lane] = found.first
        return choice

    def entries(self, sim: JobShopSimulator, lane: int) -> list[Entry]:
        """Return the rules that finish the rollouts."""
        if type(self.base) is Rule:
            return [(self.base.rule, self.base.cap)]
        return entries(sim, lane)


class Improved(Planner):
    """A policy's plan, improved by local search over the order of jobs on the machines.

    With breakdowns ahead, which are not foreseen, it plans anew at every decision.

    Args:
        base: what makes the first plan.
        budget_s: seconds per plan, the first plan included.
        seed: of the search.
    """

    def __init__(self, base: Policy, budget_s: float, seed: int = 0) -> None:
        self.base, self.budget_s, self.seed = base, budget_s, seed
        self.needs_observation = getattr(base, "needs_observation", True)
        self.name = f"{base.name}:improve_{budget_s:g}s"
        self._is_warm = False

    def warm_up(self, sim: JobShopSimulator, lane: int) -> None:
        """Let what a first plan would compile be compiled, out of its budget."""
        improve_plan(sim, lane, rollout(sim, lane, self.base).choices, max_tries=1)
        self._is_warm = True

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        assert isinstance(sim, JobShopSimulator)
        if not self._is_warm:
            self.warm_up(sim, lane)
        deadline = perf_counter() + self.budget_s
        first = rollout(sim, lane, self.base).choices
        return improve_plan(sim, lane, first, deadline, seed=self.seed)[1]


# --- rollouts by rules ----------------------------------------------------------------------------


class Rollout(NamedTuple):
    """A way to the end: a first choice, then a rule.

    Attributes:
        cost: what it comes to.
        first: the first choice, or :data:`RULES_OWN`.
        entry: the rule and its cap.
    """

    cost: int
    first: int
    entry: Entry

    def choices(self, sim: JobShopSimulator) -> list[int]:
        """Return its choices from the state of the single lane that it starts from."""
        twin, rule = ahead(sim, [0]), Rule(*self.entry)
        out = [] if self.first == RULES_OWN else [self.first]
        for choice in out:
            twin.step(np.array([choice], np.int32))
        while not twin.terminated[0]:
            out.append(int(rule.choose(twin)[0]))
            twin.step(np.array(out[-1:], np.int32))
        return out


def entries(sim: JobShopSimulator, lane: int) -> list[Entry]:
    """Return the portfolio's rules for a lane's shop; caps where jobs can block and may be held."""
    shop, is_classic = sim.shop_of(lane), math.isinf(sim.buffer)
    rules = CLASSIC if is_classic else BLOCKING
    if "tardiness" in sim.objective:
        rules = TARDY
    if is_classic or not sim.may_hold:
        return [(rule, NO_CAP) for rule in rules]
    caps = {max(2, min(shop.num_jobs, round(x * shop.num_machines))) for x in CAPS}
    return [(rule, cap) for rule in rules for cap in sorted(caps)]


def ahead(sim: JobShopSimulator, lanes: Sequence[int] | NDArray) -> JobShopSimulator:
    """Return copies of lanes in which nothing unforeseen happens; only a single one observes."""
    copies = sim.like(len(lanes), observe=sim.observe and len(lanes) == 1)
    copies.adopt(sim, np.asarray(lanes))
    if sim.is_stochastic:
        copies.hide_future()
    return copies


def cost_of(sim: JobShopSimulator, plan: Sequence[int]) -> int:
    """Return what a plan comes to from a single lane's state."""
    twin = ahead(sim, [0])
    for choice in plan:
        twin.step(np.array([choice], np.int32))
    assert twin.terminated[0]
    return int(twin.state.cost[0])


def costs_of_ways(
    sim: JobShopSimulator,
    lanes: Sequence[int] | NDArray,
    firsts: Sequence[int] | NDArray,
    rules: Sequence[Entry],
    limit: float,
) -> NDArray[np.float64]:
    """Return (N,) what ways to the end come to; infinite where that is not below the limit.

    Args:
        sim: the simulator.
        lanes: where each way starts.
        firsts: its first choice, or :data:`RULES_OWN`.
        rules: what goes on.
        limit: ways that reach this cost are given up.
    """
    copies = ahead(sim, lanes)
    codes = np.array([PRIORITIES.index(rule) for rule, _ in rules], np.int32)
    caps = np.array([cap for _, cap in rules], np.int32)
    first = np.asarray(firsts, np.int32)
    play_by_rule(len(first), copies.shops, copies.state, first, codes, caps, limit)
    costs = copies.state.cost.astype(np.float64)
    costs[~copies.terminated | (costs >= limit)] = FOREVER
    return costs


def best_way(
    sim: JobShopSimulator, firsts: Sequence[int], rules: Sequence[Entry], limit: float
) -> Rollout | None:
    """Return the best way from a single lane's state, None if none beats the limit."""
    ways = [(first, entry) for first in firsts for entry in rules]
    after = [entry for _, entry in ways]
    costs = costs_of_ways(sim, [0] * len(ways), [first for first, _ in ways], after, limit)
    best = int(costs.argmin())
    return Rollout(int(costs[best]), *ways[best]) if costs[best] < FOREVER else None


def costs_after(
    sim: JobShopSimulator,
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64]]:
    """Return (lane, choice, cost) of every legal choice: the best that the rules make of it."""
    lane, choice = np.nonzero(sim.action_mask & ~sim.terminated[:, None])
    tried = [entries(sim, int(x)) for x in range(sim.num_envs)]
    cost = np.full(len(lane), FOREVER)
    for begin in range(0, len(lane), CHOICES_AT_ONCE):
        rows = range(begin, min(begin + CHOICES_AT_ONCE, len(lane)))
        ways = [(row, entry) for row in rows for entry in tried[lane[row]]]
        row, rules = np.array([row for row, _ in ways]), [entry for _, entry in ways]
        np.minimum.at(cost, row, costs_of_ways(sim, lane[row], choice[row], rules, FOREVER))
    return lane, choice, cost


# --- names ----------------------------------------------------------------------------------------


def variants(config: Any, policy: Policy, suffix: str) -> Policy | None:
    """Return what a suffix of this environment makes of a policy, None if it is none of its own.

    Raises:
        ConfigError: the suffix does not go with the policy.
    """
    cap, pilot, improved = (p.fullmatch(suffix) for p in (WIP, PILOT, IMPROVE))
    if cap:
        if not isinstance(policy, Rule):
            raise ConfigError(f"{policy.name}:{suffix}: only a rule takes a cap, e.g. mwkr:wip_5.")
        return Rule(policy.rule, int(cap["jobs"]))
    if pilot:
        return Pilot(policy, float(pilot["seconds"]) if pilot["seconds"] else None)
    if improved:
        return Improved(policy, float(improved["seconds"]))
    return None


def _rule(name: str) -> Callable[[Any], Policy]:
    return lambda config: Rule(name)


def _exact(config: Any) -> Policy:
    if config is not None and config.interruption != "none":
        raise ConfigError(
            f"exact: breakdowns lie ahead (interruption={config.interruption}), so no plan holds; "
            "use rolling, which plans again after each, or hindsight, which is told them."
        )
    return Exact()


RULES: dict[str, Callable[[Any], Policy]] = {
    "random": lambda config: Random(),
    **{name: _rule(name) for name in PRIORITIES if name != "random"},
    "portfolio": lambda config: Portfolio(),
    "exact": _exact,
    "hindsight": lambda config: Hindsight(),
    "rolling": lambda config: Rolling(),
}
"""Name -> policy of a configuration; suffixes are added by the evaluation."""
