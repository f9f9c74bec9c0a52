"""What the exact methods share: VM classes, the units an objective counts, a replay, and the answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError, MissingExtra
from rlsched.envs.vmr.cluster import BOTH, Cluster, Migration
from rlsched.envs.vmr.objectives import Kind, Objective

ROUNDING = 1e-6
"""Slack when a solver's floating bound on a whole number of units is rounded down."""


@dataclass(frozen=True)
class Solution:
    """An executable plan and what is proven about it.

    Attributes:
        migrations: moves in executable order: every prefix keeps capacity, anti-affinity, pinned VMs and
            inactive hosts.
        objective: rate after the plan, as ``Objective.rate``.
        bound: proven lower bound on the rate that any plan within the migration limit reaches.
        moves_bound: proven lower bound on the number of moves that reach the goal; 0 without a goal.
        status: ``"optimal"`` if the plan meets the bound (with a goal: ``moves_bound``) and is_ordered.
        is_ordered: move-order certificate, True if the whole placement the solver chose is reached.
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
    """What one term counts (slots, or empty PMs), and how much one of them lowers the rate."""

    kind: Kind
    size: int
    worth: float


def objective_units(cluster: Cluster, objective: Objective) -> tuple[float, tuple[Unit, ...]]:
    """Return the rate of a cluster with no unit at all, and the units: rate = that - sum(worth * count)."""
    active = cluster.pm_active
    units, worst = [], 0.0
    for term in objective.terms:
        free = cluster.free_mem_mb if term.kind == "memory" else cluster.free_cores
        total = int(active.sum()) if term.kind == "empty" else int(free[active].sum(dtype=np.int64))
        if total and term.weight:
            units.append(Unit(term.kind, term.size, term.weight * max(term.size, 1) / total))
            worst += term.weight
    return worst, tuple(units)


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
    """The movable VMs of a cluster, interchangeable ones together. Axes: C classes, P PMs, numa 0/1/BOTH.

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
    """Group the movable VMs on active PMs by (cores, memory if ``has_memory``, double), or each by itself."""
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
            return "the destination is where the VM is, or does not match its being single or double NUMA"
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

    Attributes:
        cluster: the placement now.
        objective: what to lower.
        migration_limit: most moves.
        goal: rate at which the fewest moves count instead; None = lower the rate as far as it goes.
        hint: a legal plan within the limit, the first incumbent.
        worst: rate with no unit at all.
        units: what the objective counts; rate = worst - sum(worth * count).
    """

    cluster: Cluster
    objective: Objective
    migration_limit: int
    goal: float | None
    hint: tuple[Migration, ...]
    worst: float
    units: tuple[Unit, ...]

    def rate(self, plan: Iterable[Migration]) -> float:
        """Return the rate after a plan."""
        return self.objective.rate(self.cluster.migrate(plan))

    def rank(self, plan: Sequence[Migration]) -> tuple[float, float]:
        """Return the key by which plans are compared, lower is better."""
        rate = self.rate(plan)
        if self.goal is not None and rate <= self.goal + ROUNDING:
            return -1.0, float(len(plan))
        return rate, float(len(plan))

    def incumbent(
        self, plan: Sequence[Migration], is_ordered: bool
    ) -> tuple[tuple[Migration, ...], bool]:
        """Return the best of a plan, its first moves, the hint and no move; and whether it stands whole.

        Args:
            plan: executable moves.
            is_ordered: whether they reach the placement they were made for.
        """
        first_moves = [plan[:n] for n in range(len(plan) - (not is_ordered), 0, -1)]
        best = min([plan, self.hint, (), *(() if is_ordered else first_moves)], key=self.rank)
        return tuple(best), is_ordered or best is self.hint

    @property
    def dearest(self) -> float:
        """Return the worth of the most valuable unit."""
        return max((u.worth for u in self.units), default=1.0)

    def weak_bound(self) -> float:
        """Return the rate if all free capacity could be gathered: a bound without any search."""
        active, rate = self.cluster.pm_active, self.worst
        for unit in self.units:
            free = self.cluster.free_mem_mb if unit.kind == "memory" else self.cluster.free_cores
            total = int(free[active].sum(dtype=np.int64))
            most = int(active.sum()) if unit.kind == "empty" else total // unit.size
            rate -= unit.worth * most
        return max(rate, 0.0)

    def solution(
        self,
        plan: Sequence[Migration],
        bound: float,
        moves_bound: int,
        is_ordered: bool,
        seconds: float,
    ) -> Solution:
        """Return the answer for an executable plan and its bounds."""
        rate, bound = self.rate(plan), max(bound, self.weak_bound())
        bound = min(bound, rate)
        if self.goal is None or bound > self.goal + ROUNDING:
            proven = rate <= bound + ROUNDING
        else:
            proven = rate <= self.goal + ROUNDING and len(plan) <= moves_bound
        status: Literal["optimal", "feasible"] = "optimal" if proven and is_ordered else "feasible"
        return Solution(tuple(plan), rate, bound, moves_bound, status, is_ordered, seconds)


def state_problem(
    cluster: Cluster,
    objective: Objective,
    migration_limit: int,
    goal: float | None,
    hint: Sequence[Migration],
) -> Problem:
    """Return the problem of some arguments, the hint cut to the limit.

    Raises:
        ConfigError: the hint holds an illegal move, or the limit is negative.
    """
    if migration_limit < 0:
        raise ConfigError(f"migration_limit = {migration_limit}; it must be >= 0.")
    plan = tuple(hint)[:migration_limit]
    replay = Replay(cluster)
    for index, move in enumerate(plan):
        reason = replay.illegality(move.vm, move.pm, move.numa)
        if reason is not None:
            raise ConfigError(
                f"hint[{index}] = {move}: {reason}; give moves that are legal one after another."
            )
        replay.move(move.vm, move.pm, move.numa)
    return Problem(
        cluster, objective, migration_limit, goal, plan, *objective_units(cluster, objective)
    )


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
