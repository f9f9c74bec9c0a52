"""Dispatching rules by their names in the literature, rules with look-ahead, and exact solvers.

Each of ``RULES`` makes a policy that plays any number of lanes. A suffix changes one:
``mwkr:wip_5`` starts no new job while five are on the floor; ``portfolio:pilot`` looks ahead at
every decision; ``mwkr:improve_1s`` improves the whole plan for a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError
from rlsched.core.policy import Guide, Policy
from rlsched.core.search import Planner, rollout
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
FOREVER = float("inf")
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
        start = ahead(sim, lane, 1)
        found = best_rollout(start, entries(sim, lane), FOREVER)
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
        return self.improved(sim, lane, rollout(sim, lane, self.base).choices, deadline)

    def improved(
        self, sim: JobShopSimulator, lane: int, plan: Sequence[int], deadline: float
    ) -> list[int]:
        """Return a plan that is at least as good as the one given."""
        now, rules = ahead(sim, lane, 1), self.entries(sim, lane)
        cost, left, out = cost_of(now, plan), list(plan), list[int]()
        found = best_rollout(now, rules, cost)
        if found is not None:
            cost, left = found.cost, found.choices(now)
        while left:
            if np.count_nonzero(now.action_mask[0]) > 1 and perf_counter() < deadline:
                found = best_look(now, rules, cost)
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
                now = ahead(sim, int(lane), 1)
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

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        assert isinstance(sim, JobShopSimulator)
        deadline = perf_counter() + self.budget_s
        first = rollout(sim, lane, self.base).choices
        return improve_plan(sim, lane, first, deadline, seed=self.seed)[1]


# --- rollouts by rules ----------------------------------------------------------------------------


class Rollout:
    """A way to the end: a first choice, -1 = the rule's own, then a rule.

    Attributes:
        cost: what it comes to.
        first: the first choice.
        entry: the rule and its cap.
    """

    def __init__(self, cost: int, first: int, entry: Entry) -> None:
        self.cost, self.first, self.entry = cost, first, entry

    def choices(self, sim: JobShopSimulator) -> list[int]:
        """Return its choices from the state of the single lane that it starts from."""
        twin, out = ahead(sim, 0, 1), list[int]()
        rule, choice = Rule(*self.entry), np.array([self.first], np.int32)
        while not twin.terminated[0]:
            if choice[0] < 0:
                choice = rule.choose(twin)
            out.append(int(choice[0]))
            twin.step(choice)
            choice = np.array([-1], np.int32)
        return out


def entries(sim: JobShopSimulator, lane: int) -> list[Entry]:
    """Return the portfolio's rules for a lane's shop."""
    shop = sim.shop_of(lane)
    rules = BLOCKING if sim.may_hold else CLASSIC
    if "tardiness" in sim.objective:
        rules = TARDY
    caps = {NO_CAP}
    if sim.may_hold:
        caps = {max(2, min(shop.num_jobs, round(x * shop.num_machines))) for x in CAPS}
    return [(rule, cap) for rule in rules for cap in sorted(caps)]


def ahead(sim: JobShopSimulator, lane: int, num: int) -> JobShopSimulator:
    """Return copies of a lane in which nothing unforeseen happens."""
    copies = sim.like(num, observe=sim.observe and num == 1)
    copies.adopt(sim, np.full(num, lane))
    if sim.is_stochastic:
        copies.hide_future()
    return copies


def cost_of(sim: JobShopSimulator, plan: Sequence[int]) -> int:
    """Return what a plan comes to from a single lane's state."""
    twin = ahead(sim, 0, 1)
    for choice in plan:
        twin.step(np.array([choice], np.int32))
    assert twin.terminated[0]
    return int(twin.state.cost[0])


def best_rollout(sim: JobShopSimulator, rules: Sequence[Entry], limit: float) -> Rollout | None:
    """Return the best of the rules from a single lane's state, None if none beats the limit."""
    return best_way(sim, [-1], rules, limit)


def best_look(sim: JobShopSimulator, rules: Sequence[Entry], limit: float) -> Rollout | None:
    """Return the best of the rules after each choice, None if none beats the limit."""
    choices = np.flatnonzero(sim.action_mask[0]).tolist()
    return best_way(sim, [*choices[-1:], *choices[:-1]], rules, limit)


def best_way(
    sim: JobShopSimulator, firsts: Sequence[int], rules: Sequence[Entry], limit: float
) -> Rollout | None:
    """Return the best of the rules after each of some choices, -1 = the rule's own."""
    ways = [(first, entry) for first in firsts for entry in rules]
    num = len(ways)
    copies = ahead(sim, 0, num)
    choice = np.array([first for first, _ in ways], np.int32)
    codes = np.array([PRIORITIES.index(rule) for _, (rule, _) in ways], np.int32)
    caps = np.array([cap for _, (_, cap) in ways], np.int32)
    play_by_rule(num, copies.shops, copies.state, choice, codes, caps, limit)
    costs = np.where(copies.terminated, copies.state.cost, np.iinfo(np.int64).max)
    best = int(costs.argmin())
    return Rollout(int(costs[best]), *ways[best]) if costs[best] < limit else None


def costs_after(
    sim: JobShopSimulator,
) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.float64]]:
    """Return (lane, choice, cost) of every legal choice: the best that the rules make of it."""
    lane, choice = np.nonzero(sim.action_mask & ~sim.terminated[:, None])
    tried = [entries(sim, int(x)) for x in range(sim.num_envs)]
    cost = np.empty(len(lane))
    for begin in range(0, len(lane), CHOICES_AT_ONCE):
        rows = range(begin, min(begin + CHOICES_AT_ONCE, len(lane)))
        ways = [(row, *entry) for row in rows for entry in tried[lane[row]]]
        row, rules, caps = (np.array(x) for x in zip(*ways, strict=True))
        copies = sim.like(len(ways), observe=False)
        copies.adopt(sim, lane[row])
        if sim.is_stochastic:
            copies.hide_future()
        codes = np.array([PRIORITIES.index(rule) for rule in rules], np.int32)
        first = choice[row].astype(np.int32)
        play_by_rule(
            len(ways), copies.shops, copies.state, first, codes, caps.astype(np.int32), FOREVER
        )
        cost[begin : rows.stop] = np.inf
        np.minimum.at(cost, row, copies.state.cost)
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


RULES: dict[str, Callable[[Any], Policy]] = {
    "random": lambda config: Random(),
    **{name: _rule(name) for name in PRIORITIES if name != "random"},
    "portfolio": lambda config: Portfolio(),
    "exact": lambda config: Exact(),
    "hindsight": lambda config: Hindsight(),
    "rolling": lambda config: Rolling(),
}
"""Name -> policy of a configuration; suffixes are added by the evaluation."""
