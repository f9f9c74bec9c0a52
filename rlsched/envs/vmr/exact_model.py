"""What the exact methods share: the problem in points, VM classes, a replay, the answer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError, MissingExtra
from rlsched.envs.vmr.cluster import BOTH, Cluster, Migration
from rlsched.envs.vmr.objectives import Kind, Objective

ROUNDING = 1e-6
"""Slack of solvers' floating numbers where whole numbers or equal rates are meant."""
MAX_PARTS, FINE = 1000, 10_000
"""Points of the dearest unit: at most the first to make all worths whole, else the second."""


@dataclass(frozen=True)
class Solution:
    """An executable plan and what is proven about it.

    Attributes:
        migrations: moves in executable order: after every one of them capacity, anti-affinity,
            pinned VMs and inactive PMs are respected.
        objective: rate after the plan, as ``Objective.rate``.
        bound: proven lower bound on the rate of any plan within the limit.
        moves_bound: proven lower bound on the number of moves to the goal; 0 without a goal.
        status: ``"optimal"`` if the plan meets the bound (or, at the goal, ``moves_bound``).
        is_ordered: move-order certificate: whether the placement that the solver chose is reached
            whole. If not, the plan is what of it could be carried out, and what the solver did
            from there.
        seconds: wall time used.
    """

    migrations: tuple[Migration, ...]
    objective: float
    bound: float
    moves_bound: int
    status: Literal["optimal", "feasible"]
    is_ordered: bool
    seconds: float


@dataclass(frozen=True)
class Unit:
    """What one term counts (slots, or empty PMs) and the points that one of them is worth."""

    kind: Kind
    size: int
    worth: int


def memory_can_bind(cluster: Cluster) -> bool:
    """Return whether VMs that fit a NUMA node by cores could fail to fit it by memory.

    They cannot when no VM asks for more MB per core than the leanest active node has.
    """
    active = cluster.pm_active
    if not active.any() or not cluster.num_vms:
        return False
    leanest = (cluster.pm_mem_mb[active] / cluster.pm_cores[active]).min()
    return bool((cluster.vm_mem_mb / cluster.vm_cores).max() > leanest)


@dataclass(frozen=True, eq=False)
class VmClasses:
    """The movable VMs of a cluster, equal ones together. Axes: C classes, P PMs, numa 0, 1 or BOTH.

    Attributes:
        cores: (C,) int64, cores per NUMA node touched.
        mem_mb: (C,) int64, MB per NUMA node touched; 0 where memory is left out.
        is_double: (C,) bool.
        counts: (C, P, 3) int32, movable VMs of the class now at a place.
        vm_class: (V,) int64, class of a VM, -1 = it cannot move.
    """

    cores: NDArray[np.int64]
    mem_mb: NDArray[np.int64]
    is_double: NDArray[np.bool_]
    counts: NDArray[np.int32]
    vm_class: NDArray[np.int64]


def classify(cluster: Cluster, has_memory: bool, per_vm: bool = False) -> VmClasses:
    """Group movable VMs on active PMs by cores, memory if ``has_memory``, double; or each alone."""
    rows = np.flatnonzero(cluster.vm_movable & cluster.pm_active[cluster.vm_pm])
    mem = cluster.vm_mem_mb if has_memory else np.zeros_like(cluster.vm_mem_mb)
    alone = np.arange(cluster.num_vms) if per_vm else np.zeros_like(mem)
    keys = np.stack([cluster.vm_cores, mem, cluster.vm_numa == BOTH, alone], axis=1)[rows]
    kinds, index = np.unique(keys.astype(np.int64), axis=0, return_inverse=True)
    index = index.reshape(-1)
    counts = np.zeros((len(kinds), cluster.num_pms, 3), np.int32)
    np.add.at(counts, (index, cluster.vm_pm[rows], cluster.vm_numa[rows]), 1)
    vm_class = np.full(cluster.num_vms, -1, np.int64)
    vm_class[rows] = index
    return VmClasses(kinds[:, 0], kinds[:, 1], kinds[:, 2].astype(bool), counts, vm_class)


class Replay:
    """A cluster on which migrations are carried out one by one, checking each."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pm = cluster.vm_pm.copy()
        self.numa = cluster.vm_numa.copy()
        self.cores = cluster.free_cores.astype(np.int64)
        self.mem = cluster.free_mem_mb.astype(np.int64)
        self.sets_of: dict[int, list[int]] = defaultdict(list)
        self.members: dict[tuple[int, int], int] = defaultdict(int)
        for index, group in enumerate(cluster.anti_affinity):
            for vm in group.vms:
                self.sets_of[vm].append(index)
                self.members[index, self._domain(index, int(self.pm[vm]))] += 1

    def illegality(self, vm: int, pm: int, numa: int) -> str | None:
        """Say why a VM cannot go to a NUMA node (or both) of a PM; None if it can."""
        cluster, here = self.cluster, (int(self.pm[vm]), int(self.numa[vm]))
        if not cluster.vm_movable[vm] or not cluster.pm_active[here[0]]:
            return "the VM is pinned or on an inactive PM"
        if not cluster.pm_active[pm]:
            return "the PM is not active"
        if (numa == BOTH) != (here[1] == BOTH) or here == (pm, numa):
            return "it is there already, or numa does not match its being single or double NUMA"
        nodes = slice(0, 2) if numa == BOTH else slice(numa, numa + 1)
        if (self.cores[pm, nodes] < cluster.vm_cores[vm]).any():
            return "not enough free cores"
        if (self.mem[pm, nodes] < cluster.vm_mem_mb[vm]).any():
            return "not enough free memory"
        for index in self.sets_of.get(vm, ()):
            domain = self._domain(index, pm)
            if self.members[index, domain] > (self._domain(index, here[0]) == domain):
                return f"anti-affinity set {index} has a member there"
        return None

    def move(self, vm: int, pm: int, numa: int) -> None:
        """Carry out a legal move."""
        self._occupy(vm, -1)
        self.pm[vm], self.numa[vm] = pm, numa
        self._occupy(vm, 1)

    def _occupy(self, vm: int, sign: int) -> None:
        pm, numa = int(self.pm[vm]), int(self.numa[vm])
        nodes = slice(0, 2) if numa == BOTH else slice(numa, numa + 1)
        self.cores[pm, nodes] -= sign * int(self.cluster.vm_cores[vm])
        self.mem[pm, nodes] -= sign * int(self.cluster.vm_mem_mb[vm])
        for index in self.sets_of.get(vm, ()):
            self.members[index, self._domain(index, pm)] += sign

    def _domain(self, index: int, pm: int) -> int:
        is_rack = self.cluster.anti_affinity[index].granularity == "rack"
        return int(self.cluster.pm_rack[pm]) if is_rack else pm


@dataclass(frozen=True, eq=False)
class Problem:
    """What is asked: the lowest rate within a migration limit, or the fewest moves to a goal.

    Points are whole numbers: rate = worst - step * points, with points = sum(worth * count) of
    units. Where the worths have no common step, they are rounded up, so that points still give a
    bound.

    Attributes:
        cluster: the placement now.
        objective: what to lower.
        migration_limit: most moves.
        goal: rate from which on the fewest moves count; None = lower the rate as far as it goes.
        hint: a legal plan within the limit, the first incumbent.
        worst: rate without any unit.
        step: rate of a point.
        units: what the objective counts.
    """

    cluster: Cluster
    objective: Objective
    migration_limit: int
    goal: float | None
    hint: tuple[Migration, ...]
    worst: float
    step: float
    units: tuple[Unit, ...]

    @property
    def target(self) -> int:
        """Return the points at which the goal is met."""
        assert self.goal is not None
        return math.ceil((self.worst - self.goal) / self.step - ROUNDING)

    def rank(self, plan: Sequence[Migration]) -> tuple[float, int]:
        """Return the key by which plans are compared, lower is better."""
        rate = self.objective.rate(self.cluster.migrate(plan))
        reaches = self.goal is not None and rate <= self.goal + ROUNDING
        return (-1.0 if reaches else rate), len(plan)

    def best_start(
        self, plan: Sequence[Migration], other: tuple[Migration, ...]
    ) -> tuple[Migration, ...]:
        """Return the best first moves of a plan, or another plan if that is as good."""
        return min([other, *(tuple(plan[:n]) for n in range(len(plan) + 1))], key=self.rank)

    def solution(
        self,
        plan: Sequence[Migration],
        points: float,
        moves: float,
        is_ordered: bool,
        seconds: float,
    ) -> Solution:
        """Return the answer for an executable plan.

        Args:
            plan: the moves.
            points: proven upper bound on points.
            moves: proven lower bound on moves to the goal.
            is_ordered: see ``Solution``.
            seconds: wall time used.
        """
        rate = self.objective.rate(self.cluster.migrate(plan))
        points = math.floor(min(points, self._most_points()) + ROUNDING)
        bound = self.worst - self.step * points
        assert bound <= rate + ROUNDING, "a form proved a bound that its own plan beats"
        bound = min(bound, rate)
        moves_bound = max(math.ceil(moves - ROUNDING), 0)
        is_reached = self.goal is not None and rate <= self.goal + ROUNDING
        is_proven = len(plan) <= moves_bound if is_reached else rate <= bound + ROUNDING
        status: Literal["optimal", "feasible"] = "optimal" if is_proven else "feasible"
        return Solution(tuple(plan), rate, bound, moves_bound, status, is_ordered, seconds)

    def _most_points(self) -> int:
        """Return the points if all that is free could be gathered: a bound without any search."""
        active, points = self.cluster.pm_active, 0
        for unit in self.units:
            free = self.cluster.free_mem_mb if unit.kind == "memory" else self.cluster.free_cores
            total = int(free[active].sum(dtype=np.int64))
            points += unit.worth * (
                int(active.sum()) if unit.kind == "empty" else total // unit.size
            )
        return points


def state_problem(
    cluster: Cluster,
    objective: Objective,
    migration_limit: int,
    goal: float | None = None,
    hint: Sequence[Migration] = (),
) -> Problem:
    """Return the problem of some arguments, the hint cut to the limit.

    Raises:
        ConfigError: the hint holds an illegal move, or the limit is negative.
    """
    if migration_limit < 0:
        raise ConfigError(f"migration_limit = {migration_limit}; it must be >= 0.")
    plan, replay = tuple(hint)[:migration_limit], Replay(cluster)
    for index, move in enumerate(plan):
        reason = replay.illegality(move.vm, move.pm, move.numa)
        if reason is not None:
            raise ConfigError(
                f"hint[{index}] = {move}: {reason}; give moves that are legal one after another."
            )
        replay.move(move.vm, move.pm, move.numa)
    worst, step, units = _points(cluster, objective)
    return Problem(cluster, objective, migration_limit, goal, plan, worst, step, units)


def _points(cluster: Cluster, objective: Objective) -> tuple[float, float, tuple[Unit, ...]]:
    """Return the rate without any unit, the rate of a point, and the units."""
    active, worst, rates = cluster.pm_active, 0.0, []
    for term in objective.terms:
        free = cluster.free_mem_mb if term.kind == "memory" else cluster.free_cores
        total = int(active.sum()) if term.kind == "empty" else int(free[active].sum(dtype=np.int64))
        if total and term.weight:
            rates.append((term, term.weight * max(term.size, 1) / total))
            worst += term.weight
    if not rates:
        return worst, 1.0, ()
    ratios = np.array([rate for _, rate in rates]) / max(rate for _, rate in rates)
    parts = next((n for n in range(1, MAX_PARTS + 1) if _is_whole(ratios * n)), FINE)
    worths = np.ceil(ratios * parts - ROUNDING).astype(int).tolist()
    units = tuple(Unit(t.kind, t.size, w) for (t, _), w in zip(rates, worths, strict=True))
    return worst, max(rate for _, rate in rates) / parts, units


def _is_whole(numbers: NDArray[np.float64]) -> bool:
    return bool(np.allclose(numbers, np.rint(numbers), rtol=0, atol=ROUNDING))


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a form found: a change of the class counts, and what it proved.

    Attributes:
        classes: the movable VMs by class.
        change: (C, P, 3) int64, VMs of a class that arrive at a place minus those that leave.
        points: proven upper bound on points.
        moves: proven lower bound on moves to the goal.
    """

    classes: VmClasses
    change: NDArray[np.int64]
    points: float = math.inf
    moves: float = 0.0


def import_cp_model() -> ModuleType:
    """Return OR-Tools' CP-SAT module.

    Raises:
        MissingExtra: OR-Tools is not installed.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise MissingExtra("ortools", "exact") from None
    return cp_model


def import_linear_solver() -> ModuleType:
    """Return OR-Tools' linear solver module.

    Raises:
        MissingExtra: OR-Tools is not installed.
    """
    try:
        from ortools.linear_solver import pywraplp
    except ImportError:
        raise MissingExtra("ortools", "exact") from None
    return pywraplp
