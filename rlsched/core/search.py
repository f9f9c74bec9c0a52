"""Search over forked lanes: best of K, beam, large neighbourhood; also under a time budget.

A search plays copies of a lane and keeps the best plan seen, judged by the problem's own metric;
where STOP may end an episode early, every state on the way is a result. Any guide serves, in any
environment. Where chance has a say, the copies meet another future than the real one, and plans are
made anew at every decision.

Source: risk-seeking evaluation of VM2RL (EuroSys 2025) for best of K.
"""

from __future__ import annotations

import re
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain, count
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rlsched.core.beam import beam
from rlsched.core.errors import ConfigError
from rlsched.core.lanes import lanes
from rlsched.core.plans import FOREVER, Plan, Planner, copies_of, measured, roll
from rlsched.core.policy import Guide, Policy
from rlsched.core.rng import uniform
from rlsched.core.simulator import Array, Simulator, host

SPEC = re.compile(
    r"(?P<kind>best_of|beam|lns)_(?:(?P<size>[1-9]\d{0,5})|(?P<seconds>\d+(?:\.\d+)?)s)"
)
SECONDS = re.compile(r"(?P<seconds>\d+(?:\.\d+)?)s")
NUM_KEPT = 10
"""Choices that a rollout samples from: VM2RL keeps probabilities above the .995 quantile of 2,089
VMs and the .98 quantile of 558 NUMA nodes, which is about ten of each and holds at other sizes too.
Ties are kept as well."""
LANES_PER_ROUND, LNS_LANES = 32, 8
DROPPED = 0.1, 0.5
"""Least and most share of a plan's decisions that large neighbourhood search drops."""
WIDTHS = 8, 32, 128, 512, 2048
"""Of a beam under a budget, one after another."""


class Searched(Planner):
    """A planner that searches ahead from each lane.

    Args:
        guide: what the search follows.
        size: rollouts or width; None where ``budget_s`` is given.
        budget_s: seconds of search per plan; rounds grow until it is used up, and the last may
            exceed it by the time of one decision. Where a plan cannot be cut, the guide's own
            rollout is finished in any case.
        seed: of sampling.
    """

    kind: str

    def __init__(
        self, guide: Guide, size: int | None = None, budget_s: float | None = None, seed: int = 0
    ) -> None:
        if (size is None) == (budget_s is None):
            raise ConfigError("Give a search either a size or a budget in seconds.")
        self.guide, self.size, self.budget_s, self.seed = guide, size, budget_s, seed
        self.name = f"{guide.name}:{self.kind}_{f'{budget_s:g}s' if size is None else size}"

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        deadline = FOREVER if self.budget_s is None else perf_counter() + self.budget_s
        return list(self.improve(sim, lane, deadline))[-1].choices

    def improve(self, sim: Simulator, lane: int, deadline: float = FOREVER) -> Iterator[Plan]:
        """Yield ever better plans, the first whatever it is, until size or time is used up."""
        best: Plan | None = None
        plans = self._search(sim, lane, deadline)
        if deadline < FOREVER and not sim.can_stop:
            plans = chain([rollout(sim, lane, self.guide)], plans)
        for found in plans:
            if best is None or found.cost < best.cost:
                best = found
                yield best
            if perf_counter() >= deadline or host(sim.terminated)[lane]:
                return

    @abstractmethod
    def _search(self, sim: Simulator, lane: int, deadline: float) -> Iterator[Plan]:
        """Yield plans, better or not."""


class BestOf(Searched):
    """The best of K rollouts: the guide's own one, and others sampled from its best choices."""

    kind = "best_of"

    def _search(self, sim: Simulator, lane: int, deadline: float) -> Iterator[Plan]:
        for seed in count(self.seed) if self.size is None else [self.seed]:
            num = self.size or LANES_PER_ROUND
            yield best_of(sim, lane, self.guide, num, seed, deadline)


class Beam(Searched):
    """Beam search: the W best states of each level go on; never worse than the guide alone."""

    kind = "beam"

    def _search(self, sim: Simulator, lane: int, deadline: float) -> Iterator[Plan]:
        yield rollout(sim, lane, self.guide, deadline)
        for width in WIDTHS if self.size is None else [self.size]:
            yield beam(sim, lane, self.guide, width, deadline)


class LNS(Searched):
    """Large neighbourhood search: drop a part of the best plan, let the guide fill up again.

    Starts from the best of a batch of rollouts; K counts batches. Only where STOP may end an
    episode early: there a plan stays a plan when decisions are left out.

    Source: large neighbourhood search (Shaw 1998); ruin and recreate (Schrimpf et al. 2000).
    """

    kind = "lns"

    def _search(self, sim: Simulator, lane: int, deadline: float) -> Iterator[Plan]:
        if not sim.can_stop:
            raise ConfigError(f"{self.name}: these plans cannot be cut; use best_of or beam.")
        best = best_of(sim, lane, self.guide, LNS_LANES, self.seed, deadline)
        yield best
        last = self.seed + self.size if self.size else sys.maxsize
        for seed in range(self.seed + 1, last):
            found = recreate(sim, lane, self.guide, best.choices, LNS_LANES, seed, deadline)
            yield found
            if found.cost <= best.cost:
                best = found


SEARCHES: dict[str, type[Searched]] = {"best_of": BestOf, "beam": Beam, "lns": LNS}


def with_search(policy: Policy, spec: str, seed: int = 0, others: Sequence[str] = ()) -> Policy:
    """Return a policy with search, or a solver with a time limit.

    Args:
        policy: the guide, or a policy with a ``time_limit_s``.
        spec: ``best_of_16``, ``beam_32``, ``lns_100``, with seconds ``beam_0.5s``; ``10s`` for a
            solver.
        seed: of sampling.
        others: forms that the caller reads itself, for the message.

    Raises:
        ConfigError: the spec cannot be read, or does not suit the policy.
    """
    limit = SECONDS.fullmatch(spec)
    if limit and hasattr(policy, "time_limit_s"):
        policy.time_limit_s = float(limit["seconds"])
        return policy
    match = SPEC.fullmatch(spec)
    if match is None:
        more = "".join(f"; {form}" for form in others)
        raise ConfigError(
            f"Search {spec!r} is unreadable; allowed: best_of_<K>, beam_<width>, lns_<rounds>, the "
            f"same with <seconds>s, as random:beam_32; <seconds>s after a solver, exact:10s{more}."
        )
    if not isinstance(policy, Guide):
        raise ConfigError(f"{policy.name!r} scores no choices, so it cannot guide a search.")
    size, seconds = match["size"], match["seconds"]
    return SEARCHES[match["kind"]](
        policy, int(size) if size else None, float(seconds) if seconds else None, seed
    )


def rollout(sim: Simulator, lane: int, policy: Policy, deadline: float = FOREVER) -> Plan:
    """Return what a policy's own choices lead to, cut where it is best if it may stop there."""
    if isinstance(policy, Searched):
        return list(policy.improve(sim, lane, deadline))[-1]
    if isinstance(policy, Planner):
        return measured(sim, lane, policy.plan(sim, lane))
    return roll(sim, lane, 1, policy, lambda copies, _: policy.choose(copies), deadline)


# --- best of K ------------------------------------------------------------------------------------


def best_of(
    sim: Simulator, lane: int, guide: Guide, num: int, seed: int = 0, deadline: float = FOREVER
) -> Plan:
    """Return the best of ``num`` rollouts of a lane; the first is greedy.

    Args:
        sim: the simulator.
        lane: where to start from.
        guide: what to sample from.
        num: K.
        seed: of sampling.
        deadline: ``perf_counter`` time at which to give up unfinished rollouts.
    """

    def choose(copies: Simulator, event: int) -> NDArray[np.int32]:
        return _sample(guide, copies, seed, event)

    return roll(sim, lane, num, guide, choose, deadline)


def _sample(guide: Guide, sim: Simulator, seed: int, event: int) -> NDArray[np.int32]:
    """Return each lane's sampled choice; lane 0 takes the guide's own."""
    choice = np.empty(sim.num_envs, np.int32)
    kept = np.empty((sim.num_envs, NUM_KEPT))
    scores = guide.scores(sim)
    sample_choice(sim.num_envs, scores, guide.temperature, seed, event, kept, choice)
    choice[0] = guide.choose(sim)[0]
    return choice


@lanes
def sample_choice(
    lane: int, scores: Array, temperature: float, seed: int, event: int, kept: Array, choice: Array
) -> None:
    """Draw a choice from the softmax over the best ones, by the Gumbel trick."""
    A, last = scores.shape[1], kept.shape[1] - 1
    for j in range(last + 1):
        kept[lane, j] = -np.inf
    for a in range(A):
        if scores[lane, a] > kept[lane, last]:
            j = last
            while j > 0 and kept[lane, j - 1] < scores[lane, a]:
                kept[lane, j] = kept[lane, j - 1]
                j -= 1
            kept[lane, j] = scores[lane, a]
    best = -np.inf
    choice[lane] = A - 1
    for a in range(A):
        if scores[lane, a] == -np.inf or scores[lane, a] < kept[lane, last]:
            continue
        u = uniform(seed, lane, event * A + a)
        noisy = scores[lane, a] / temperature - np.log(-np.log((u + 1e-12) / (1.0 + 2e-12)))
        if noisy > best:
            best, choice[lane] = noisy, a


# --- large neighbourhood --------------------------------------------------------------------------


def recreate(
    sim: Simulator,
    lane: int,
    guide: Guide,
    choices: Sequence[int],
    num: int,
    seed: int = 0,
    deadline: float = FOREVER,
) -> Plan:
    """Return the best of ``num`` plans that keep random parts of a plan and sample the rest.

    Args:
        sim: the simulator.
        lane: where the plan starts.
        guide: what to fill up from.
        choices: the plan.
        num: how many.
        seed: of what is dropped and what is sampled.
        deadline: ``perf_counter`` time at which to give up unfinished plans.
    """
    rng = np.random.default_rng([seed, num])
    decisions = _decisions(sim, lane, choices)
    dropped = rng.uniform(*DROPPED, num)
    left = [
        [d for d, r in zip(decisions, rng.random(len(decisions)), strict=True) if r >= share]
        for share in dropped
    ]
    now: list[list[int]] = [[] for _ in range(num)]

    def choose(copies: Simulator, event: int) -> NDArray[np.int32]:
        mask = host(copies.action_mask)
        out = np.full(num, -1, np.int32)
        for copy in np.flatnonzero(~host(copies.terminated)):
            while mask[copy, -1] and left[copy]:
                now[copy] = list(left[copy].pop(0))
                if mask[copy, now[copy][0]]:
                    break
                now[copy] = []
            if now[copy]:
                choice = now[copy].pop(0)
                out[copy] = choice if mask[copy, choice] else -1
        if (out < 0).any():
            out = np.where(out < 0, _sample(guide, copies, seed, event), out)
        return out

    return roll(sim, lane, num, guide, choose, deadline)


def _decisions(sim: Simulator, lane: int, choices: Sequence[int]) -> list[tuple[int, ...]]:
    """Return a plan cut into decisions: choices from one state where STOP is legal to the next."""
    copy, out = copies_of(sim, lane, None, 1), list[list[int]]()
    for choice in choices:
        if host(copy.action_mask)[0, -1]:
            out.append([])
        out[-1].append(choice)
        copy.step(np.array([choice], np.int32))
    return [tuple(d) for d in out]
