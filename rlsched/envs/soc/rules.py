"""Rules by their names in the literature, static list schedulers, rollout, and the exact solver.

Each of ``RULES`` makes a policy that plays any number of lanes. ``heft``, ``cpop``, ``peft``,
``lookahead``, ``min_min``, ``max_min``, ``hbmct`` and ``exact`` plan one DAG beforehand; the others
choose task by task, in both modes. ``etf:rollout`` tries every pair of a ready task and a PE,
``etf:parallel_rollout`` goes on from each by several rules, ``etf:insert`` shortens a static plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError
from rlsched.core.plans import measured
from rlsched.core.policy import Guide, Policy
from rlsched.core.search import rollout
from rlsched.core.simulator import Simulator, host
from rlsched.envs.soc.dag import make_dag
from rlsched.envs.soc.exact_policy import Exact
from rlsched.envs.soc.list_schedulers import STATIC, in_order
from rlsched.envs.soc.plans import StaticPlanner, choices_of, placings
from rlsched.envs.soc.priorities import PRIORITIES, RULES_OWN, choose_by_rule, play_by_rule
from rlsched.envs.soc.simulator import SocSimulator, random_choice
from rlsched.envs.soc.state import CHOOSE_TASK

ROLLOUT = re.compile(r"(parallel_)?rollout")
INSERT = "insert"
SUFFIXES = ("rollout", "parallel_rollout", INSERT)
PARALLEL = ("etf", "online_heft", "eft", "met")
"""Rules by which a parallel rollout goes on; they differ most where PEs are unlike."""
PRIOR = 0.05
"""Critical paths of latency that a choice e times less likely to a guiding network must save."""
LANES_AT_ONCE = 512
"""Copies that are played together."""


class Rule(Policy):
    """A rule of list scheduling; see :mod:`rlsched.envs.soc.priorities`."""

    needs_observation = False

    def __init__(self, name: str) -> None:
        self.name, self.code = name, PRIORITIES.index(name)

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        assert isinstance(sim, SocSimulator)
        choice = np.zeros(sim.num_envs, np.int32)
        choose_by_rule(sim.num_envs, sim.work, sim.state, self.code, choice, device=sim.device)
        return choice


class Random(Policy):
    """Uniform among the ready tasks, then among the PEs that can run the one chosen."""

    name, needs_observation = "random", False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        choice = np.zeros(sim.num_envs, np.int32)
        random_choice(sim.num_envs, sim.state, self.seed, choice, device=sim.device)
        return choice


class ListScheduler(StaticPlanner):
    """A static list scheduler: it plans the whole DAG by the times that are known."""

    needs_observation = False

    def __init__(self, name: str) -> None:
        self.name = name

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        assert isinstance(sim, SocSimulator)
        schedule = STATIC[self.name](make_dag(sim.workload_of(lane)))
        return choices_of(sim, lane, schedule.in_start_order())


class Inserted(StaticPlanner):
    """A static plan made shorter: tasks go into gaps, or where they finish first in its order.

    Of the plan itself, its tasks inserted in its order on its PEs, and the same on the PEs where
    they finish first, the shortest is taken.

    Args:
        base: whose plan it is.

    Source: insertion of HEFT, Topcuoglu et al. (2002), with the base for the order.
    """

    def __init__(self, base: Policy) -> None:
        self.base, self.name = base, f"{base.name}:{INSERT}"
        self.needs_observation = getattr(base, "needs_observation", True)

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        assert isinstance(sim, SocSimulator)
        plans = [rollout(sim, lane, self.base)]
        dag = make_dag(sim.workload_of(lane))
        order, pe = placings(sim, lane, plans[0].choices)
        for schedule in (in_order(dag, order, pe), in_order(dag, order)):
            choices = choices_of(sim, lane, schedule.in_start_order())
            plans.append(measured(sim, lane, choices))
        return min(plans, key=lambda plan: plan.cost).choices


class Rollout(Policy):
    """One-step rollout: finish the jobs in the system by rules after every choice, take the best.

    No arrivals are foreseen, and tasks take the times that are known. The base policy's own choice
    wins among equals. Where jobs keep arriving, a network has more of a say, since it was trained
    on what the rollout does not foresee: see ``PRIOR``.

    Args:
        base: whose choice is preferred; where it is a rule, the jobs are finished by it.
        is_parallel: finish them by each of ``PARALLEL`` too; what the best of them reaches counts.

    Source: rollout policies, Bertsekas et al. (1997); parallel rollout, Chang et al. (2004).
    """

    def __init__(self, base: Policy, is_parallel: bool = False) -> None:
        own = base.name if isinstance(base, Rule) else "etf"
        self.base = base
        self.name = f"{base.name}:{'parallel_' if is_parallel else ''}rollout"
        self.needs_observation = getattr(base, "needs_observation", True)
        self.rules = (own, *(r for r in PARALLEL if is_parallel and r != own))

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        assert isinstance(sim, SocSimulator)
        scores = self.base.scores(sim) if isinstance(self.base, Guide) else None
        own = self.base.choose(sim) if scores is None else scores.argmax(axis=1).astype(np.int32)
        ways = ways_on(sim, own)
        first = ways.first[:, 0]
        cost = costs_of_ways(sim, ways, self.rules)
        if scores is not None and sim.mode == "streaming":
            unit = sim.host_work.unit[sim.state.instance[ways.lane]]
            cost -= PRIOR * unit * scores[ways.lane, first]
        choice, best = own.copy(), np.full(sim.num_envs, np.inf)
        for lane, a, value in zip(ways.lane, first, cost, strict=True):
            if value < best[lane]:
                best[lane], choice[lane] = value, a
        return choice


class Ways(NamedTuple):
    """Choices to try: a task with a PE, or a PE, or an operating point.

    Attributes:
        lane: (W,) int, where each starts.
        first: (W, 2) int32, its choices, ``RULES_OWN`` where the rule goes on.
    """

    lane: NDArray[np.int_]
    first: NDArray[np.int32]


def ways_on(sim: SocSimulator, preferred: NDArray[np.int32]) -> Ways:
    """Return every way on from each running lane that has more than one, the preferred first."""
    lanes, firsts, tasks = list[int](), list[tuple[int, int]](), sim.sizes["task"]
    work, state, stride = sim.host_work, sim.state, sim.host_work.time.shape[2]
    for lane in np.flatnonzero(~host(sim.terminated)):
        legal = np.flatnonzero(sim.action_mask[lane]).tolist()
        own = int(preferred[lane])
        for a in [own, *(x for x in legal if x != own)]:
            seconds = [RULES_OWN]
            if state.phase[lane] == CHOOSE_TASK and a < tasks:
                i, k = int(state.instance[lane]), int(state.slot_kind[lane, a // stride])
                can = np.flatnonzero(work.time[i, k, a % stride] >= 0)
                seconds = [tasks + int(p) for p in can] if len(can) > 1 else seconds
            lanes += [int(lane)] * len(seconds)
            firsts += [(a, b) for b in seconds]
    return Ways(np.array(lanes, np.int_), np.array(firsts, np.int32).reshape(-1, 2))


def costs_of_ways(sim: SocSimulator, ways: Ways, rules: Sequence[str]) -> NDArray[np.float64]:
    """Return (W,) latency or makespan that each way comes to, no job arriving.

    Args:
        sim: the lanes.
        ways: from them.
        rules: that go on from there; the best of them counts.
    """
    out = np.full(len(ways.lane), np.inf)
    for begin in range(0, len(out), LANES_AT_ONCE):
        rows = slice(begin, begin + LANES_AT_ONCE)
        lane = ways.lane[rows]
        copies = sim.like(len(lane), observe=False)
        for rule in rules:
            copies.adopt(sim, lane)
            copies.hide_future()
            code = PRIORITIES.index(rule)
            play_by_rule(len(lane), copies.work, copies.state, ways.first[rows], code)
            total = copies.state.makespan if sim.mode == "static" else copies.state.latency
            np.minimum(out[rows], total, out=out[rows])
    return out


# --- names ----------------------------------------------------------------------------------------


def variants(config: Any, policy: Policy, suffix: str) -> Policy | None:
    """Return what a suffix of this environment makes of a policy, None if it is none of its own."""
    if suffix == INSERT:
        if config is not None and config.mode != "static":
            raise ConfigError(
                f"{policy.name}:{INSERT} is for plans of one DAG; add env.mode=static, or use "
                "rollout or parallel_rollout where jobs keep arriving."
            )
        return Inserted(policy)
    found = ROLLOUT.fullmatch(suffix)
    return Rollout(policy, is_parallel=bool(found[1])) if found else None


def _rule(name: str) -> Callable[[Any], Policy]:
    return lambda config: Rule(name)


def _static(name: str) -> Callable[[Any], Policy]:
    def make(config: Any) -> Policy:
        if config is not None and config.mode != "static":
            raise ConfigError(
                f"{name} plans one DAG beforehand; add env.mode=static, or use "
                "etf, eft, met, online_heft or heft_rt where jobs keep arriving."
            )
        return Exact() if name == "exact" else ListScheduler(name)

    return make


RULES: dict[str, Callable[[Any], Policy]] = {
    "random": lambda config: Random(),
    **{name: _rule(name) for name in PRIORITIES},
    **{name: _static(name) for name in STATIC if name not in PRIORITIES},
    "exact": _static("exact"),
}
"""Name -> policy of a configuration; suffixes are added by the evaluation."""
