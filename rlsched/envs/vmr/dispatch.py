"""A cluster snapshot in, a migration plan out: the portfolio, anytime, with neither torch nor ray.

Without a budget the plan is the policy's own. With one, each part may better the plan so far:
1. the greedy potential, in milliseconds;
2. the policy's own plan, within a fifth of the budget;
3. a beam and large neighbourhood search on the potential, within another fifth;
4. exact repair from the best plan, where OR-Tools is installed; a proven optimum ends it all;
5. large neighbourhood search from the best plan, the policy and the potential filling up in turns.
A plan is checked move by move by a replay that knows nothing of the simulator before it is
returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from rlsched.core.beam import beam
from rlsched.core.errors import InstanceError
from rlsched.core.names import make_policy
from rlsched.core.plans import Planner
from rlsched.core.policy import Guide, Policy
from rlsched.core.search import LNS_LANES, recreate, rollout
from rlsched.core.simulator import Simulator
from rlsched.envs.vmr import exact
from rlsched.envs.vmr.cluster import BOTH, Cluster, Migration
from rlsched.envs.vmr.exact_model import Replay
from rlsched.envs.vmr.instances import load_instances
from rlsched.envs.vmr.potential import Potential
from rlsched.envs.vmr.rules import RULES, migrations_of, part_of
from rlsched.envs.vmr.simulator import VMRSimulator

OWN_SHARE, SEARCH_SHARE, EXACT_SHARE = 0.2, 0.2, 0.95
"""Of the budget, what the policy's own plan and the first searches may take; of the rest, the exact
repair."""
EXACT_MARGIN_S = 0.03
"""Seconds that the exact repair may need to hand over its answer."""
BEAM_WIDTH, SEED_STRIDE = 32, 2
WARM_UP_PMS, WARM_UP_EXACT_S, WIDE = 2, 10.0, 4
Found = tuple[str, Sequence[Migration]]


def dispatch(
    config: Any,
    policy: str | None,
    input: str | Path,
    limit: int | None = None,
    budget_s: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Plan the migrations of a snapshot.

    Args:
        config: options of the environment (``VMRConfig``).
        policy: an ``.onnx`` file or a rule, with ``:search`` after it where wanted; None =
            ``potential``.
        input: file of one cluster.
        limit: most migrations; None = as the options say.
        budget_s: wall-clock seconds of planning, after loading; None = the policy's own plan only.
        seed: of sampling.

    Returns:
        JSON-ready: ``fragment_rate_before`` and ``_after`` (the objective's rate), ``migrations``
        in executable order, each ``vm``, ``from_pm``, ``from_numa``, ``to_pm``, ``to_numa`` with
        the file's own ids, a NUMA node being 0, 1 or ``"both"``; ``seconds`` of planning;
        ``bound``, a proven lower bound on the rate, or None; ``found_by``, the part that found the
        plan; ``curve``, the improvements on the way.

    Raises:
        InstanceError: the file cannot be read or does not hold exactly one cluster.
        UnknownName: there is no such rule.
        CheckpointError: the exported policy cannot be used.
        ConfigError: a suffix cannot be read, or does not suit what it follows.
    """
    chosen = make_policy(policy or "potential", RULES, config, seed)
    cluster = _one_cluster(input, config)
    _warm_up(chosen, cluster, config, budget_s is not None)
    planning = Planning(cluster, config, limit)
    parts = planning.own(chosen) if budget_s is None else planning.portfolio(chosen, budget_s, seed)
    for found_by, migrations in parts:
        planning.offer(found_by, migrations)
    return planning.document()


class Portfolio(Planner):
    """What :func:`dispatch` does with a budget, as a policy that plays lanes.

    Args:
        config: options of the environment.
        policy: the policy that takes part.
        time_limit_s: budget per lane, seconds.
    """

    needs_observation = False

    def __init__(self, config: Any, policy: Policy, time_limit_s: float) -> None:
        self.config, self.policy, self.time_limit_s = config, policy, time_limit_s
        self.name = f"{policy.name}:portfolio_{time_limit_s:g}s"
        self._is_warm = False
        self._bound: float | None = None

    def plan(self, sim: Simulator, lane: int) -> list[int]:
        assert isinstance(sim, VMRSimulator)
        cluster = sim.cluster(lane)
        limit = sim.limits[int(sim.state.instance[lane])] - int(sim.state.moves[lane])
        if not self._is_warm:
            _warm_up(self.policy, cluster, self.config, True)
            self._is_warm = True
        planning = Planning(cluster, self.config, limit)
        for found_by, migrations in planning.portfolio(self.policy, self.time_limit_s, 0):
            planning.offer(found_by, migrations)
        planning.trim()
        self._bound = planning.bound
        return [choice for move in planning.best for choice in sim.choices_of(lane, move)]

    def bound(self) -> float | None:
        return self._bound


class Planning:
    """One cluster being planned for: the best plan so far, and how it came about.

    Args:
        cluster: the placement now.
        config: options of the environment.
        limit: most migrations; None = as the options say.
    """

    def __init__(self, cluster: Cluster, config: Any, limit: int | None) -> None:
        self.start = perf_counter()
        self.sim = VMRSimulator(
            [cluster],
            1,
            objective=config.objective,
            migration_limit=config.migration_limit if limit is None else int(limit),
            goal=config.goal,
            observe=False,
        )
        self.sim.reset(instances=[0])
        self.cluster, self.goal = cluster, config.goal
        self.objective = self.sim.objective
        self.best: Sequence[Migration] = ()
        self.found_by = "start"
        self.bound: float | None = None
        self.curve = [self._point()]

    @property
    def seconds(self) -> float:
        """Wall time since planning began."""
        return perf_counter() - self.start

    def rate(self, plan: Sequence[Migration]) -> float:
        """Return the objective's rate after a plan."""
        return self.objective.rate(self.cluster.migrate(plan))

    def rank(self, plan: Sequence[Migration]) -> tuple[float, int]:
        """Return what plans are compared by: the rate, or with a goal met the moves."""
        rate = self.rate(plan)
        is_met = self.goal is not None and rate <= self.goal
        return (-1.0 if is_met else rate), len(plan)

    def offer(self, found_by: str, migrations: Sequence[Migration]) -> None:
        """Keep a plan if it is legal and better than the best so far."""
        check_plan(self.cluster, migrations, self.sim.limits[0])
        if self.rank(migrations) < self.rank(self.best):
            self.best, self.found_by = tuple(migrations), found_by
            self.curve.append(self._point())

    def trim(self) -> None:
        """Cut the best plan where it is best."""
        firsts = (self.best[:num] for num in range(len(self.best) + 1))
        self.best = min(firsts, key=self.rank)

    def own(self, policy: Policy) -> Iterator[Found]:
        """Yield the policy's own plan."""
        yield policy.name, self._moves(rollout(self.sim, 0, policy).choices)

    def portfolio(self, policy: Policy, budget_s: float, seed: int) -> Iterator[Found]:
        """Yield plans until the budget is used up or one is proven optimal."""
        deadline, potential = self.start + budget_s, Potential()
        yield "potential", self._moves(rollout(self.sim, 0, potential, deadline).choices)
        if not isinstance(policy, Potential):
            until = perf_counter() + OWN_SHARE * budget_s
            if hasattr(policy, "time_limit_s"):
                policy.time_limit_s = min(policy.time_limit_s, OWN_SHARE * budget_s)
            yield policy.name, self._moves(rollout(self.sim, 0, policy, until).choices)
        until = min(perf_counter() + SEARCH_SHARE * budget_s, deadline)
        found = beam(self.sim, 0, potential, BEAM_WIDTH, until)
        yield f"potential:beam_{BEAM_WIDTH}", self._moves(found.choices)
        yield from self._neighbours([potential], seed, until)
        yield from self._repair(deadline)
        guides = [policy] if isinstance(policy, Guide) and not isinstance(policy, Potential) else []
        yield from self._neighbours([*guides, potential], seed + 1, deadline)

    def _neighbours(self, guides: Sequence[Guide], seed: int, deadline: float) -> Iterator[Found]:
        """Yield plans that keep most of the best one, from each guide in turns."""
        for turn, guide in enumerate(cycle(guides)):
            if perf_counter() >= deadline or self._is_proven():
                return
            plan = self._choices(self.best)
            found = recreate(
                self.sim, 0, guide, plan, LNS_LANES, seed + SEED_STRIDE * turn, deadline
            )
            yield f"{guide.name}:lns", self._moves(found.choices)

    def _repair(self, deadline: float) -> Iterator[Found]:
        """Yield the exact solver's plan, started from the best so far."""
        left_s = EXACT_SHARE * (deadline - perf_counter()) - EXACT_MARGIN_S
        if find_spec("ortools") is None or left_s <= 0:
            return
        found = exact.solve(
            self.cluster,
            self.objective,
            self.sim.limits[0],
            left_s,
            hint=self.best,
            goal=self.goal,
        )
        self.bound = found.bound
        yield "exact", found.migrations

    def _is_proven(self) -> bool:
        if self.goal is not None or self.bound is None:
            return False
        return self.rate(self.best) <= self.bound + 1e-9

    def _choices(self, migrations: Sequence[Migration]) -> list[int]:
        return [a for move in migrations for a in self.sim.choices_of(0, move)]

    def _moves(self, choices: Sequence[int]) -> list[Migration]:
        return migrations_of(self.sim, 0, choices)

    def _point(self) -> dict[str, Any]:
        rate = self.rate(self.best)
        return {
            "seconds": self.seconds,
            "fragment_rate": rate,
            "num_migrations": len(self.best),
            "found_by": self.found_by,
        }

    def warm_up(self) -> Iterator[Found]:
        """Yield a plan of each part of the portfolio, whatever it takes."""
        potential = Potential()
        yield from self.own(potential)
        for found in (
            beam(self.sim, 0, potential, WIDE),
            recreate(self.sim, 0, potential, self._choices(self.best), WIDE),
        ):
            yield "warm-up", self._moves(found.choices)
        yield from self._repair(perf_counter() + WARM_UP_EXACT_S)

    def document(self) -> dict[str, Any]:
        """Return the plan, ready for JSON; see :func:`dispatch`."""
        self.trim()
        return {
            "fragment_rate_before": self.rate(()),
            "fragment_rate_after": self.rate(self.best),
            "migrations": records(self.cluster, self.best),
            "seconds": self.seconds,
            "bound": self.bound,
            "found_by": self.found_by,
            "curve": self.curve,
        }


def check_plan(cluster: Cluster, migrations: Sequence[Migration], limit: int) -> None:
    """Check a plan move by move with a replay that knows nothing of the simulator.

    Raises:
        AssertionError: a move is illegal or one too many: a defect of the part that proposed it.
    """
    if len(migrations) > limit:
        raise AssertionError(f"{len(migrations)} migrations; the limit is {limit}.")
    replay = Replay(cluster)
    for index, move in enumerate(migrations):
        reason = replay.illegality(move.vm, move.pm, move.numa)
        if reason is not None:
            raise AssertionError(f"migration {index} {move}: {reason}.")
        replay.move(move.vm, move.pm, move.numa)


def records(cluster: Cluster, migrations: Sequence[Migration]) -> list[dict[str, Any]]:
    """Return migrations with the cluster's ids; a VM that moves twice leaves from where it is."""
    pm, numa, out = cluster.vm_pm.copy(), cluster.vm_numa.copy(), []
    for move in migrations:
        out.append(
            {
                "vm": cluster.vm_ids[move.vm],
                "from_pm": cluster.pm_ids[pm[move.vm]],
                "from_numa": _numa(numa[move.vm]),
                "to_pm": cluster.pm_ids[move.pm],
                "to_numa": _numa(move.numa),
            }
        )
        pm[move.vm], numa[move.vm] = move.pm, move.numa
    return out


def _numa(node: int) -> int | str:
    return "both" if node == BOTH else int(node)


def _one_cluster(path: str | Path, config: Any) -> Cluster:
    clusters = load_instances(path, merge=config.merge_clusters)
    if len(clusters) != 1:
        raise InstanceError(
            f"'{path}' holds {len(clusters)} clusters; give a file of one, or "
            "env.merge_clusters=true."
        )
    return clusters[0]


def _warm_up(policy: Policy, cluster: Cluster, config: Any, has_budget: bool) -> None:
    """Load compiled code and libraries, on a few PMs: part of loading, not of planning."""
    hosts = np.unique(cluster.vm_pm)[:WARM_UP_PMS]
    piece, _ = part_of(cluster, int(hosts[0]), int(hosts[-1]) + 1)
    if piece is None:
        return
    planning = Planning(piece, config, 1)
    parts = [*planning.own(policy)]
    if has_budget:
        parts += planning.warm_up()
    for found_by, migrations in parts:
        planning.offer(found_by, migrations)
