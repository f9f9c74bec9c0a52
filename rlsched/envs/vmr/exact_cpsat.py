"""Forms A and B: whole-placement models for CP-SAT, over classes of VMs or over single VMs.

Integers count how many VMs of a class leave a place and arrive at one; a place is one NUMA node,
or both nodes of a PM. Form A makes one class of all VMs of the same size, so it grows with
classes x PMs. It leaves anti-affinity out: its bound stays valid, and which VM of a class goes
where is chosen afterwards (``order_exchange``). Form B makes every VM its own class and states
anti-affinity.

Source: the MIP of VM2RL (EuroSys 2025) is form B; form A is its symmetric aggregate.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.vmr.cluster import BOTH
from rlsched.envs.vmr.exact_model import (
    Problem,
    Proposal,
    classify,
    import_cp_model,
    memory_can_bind,
)

BUILD_S_PER_VARIABLE = 2e-5
"""Seconds of Python per variable; a model that could not be built in half the time is not begun."""
UNBOUNDED = 2**62


def propose_placement(
    problem: Problem, time_limit_s: float, num_threads: int, per_vm: bool
) -> Proposal:
    """Solve form A, or form B if ``per_vm``."""
    cp_model, start = import_cp_model(), perf_counter()
    cluster = problem.cluster
    has_memory = memory_can_bind(cluster) or any(u.kind == "memory" for u in problem.units)
    classes = classify(cluster, has_memory)
    num_classes = cluster.num_vms if per_vm else len(classes.cores)
    if BUILD_S_PER_VARIABLE * num_classes * 2 * cluster.num_pms > time_limit_s / 2:
        return Proposal(classes, np.zeros(classes.counts.shape, np.int64))
    form = _Form(cp_model, problem, has_memory, per_vm)
    solver = cp_model.CpSolver()
    solver.parameters.catch_sigint_signal = False  # else Ctrl-C ends the solve and no more
    solver.parameters.num_workers = num_threads
    solver.parameters.max_time_in_seconds = max(time_limit_s - (perf_counter() - start), 0.01)
    outcome = solver.solve(form.model)
    if outcome == cp_model.INFEASIBLE:  # the goal is out of reach
        left_s = time_limit_s - (perf_counter() - start)
        return propose_placement(replace(problem, goal=None), left_s, num_threads, per_vm)
    change = np.zeros(form.classes.counts.shape, np.int64)
    if outcome not in (cp_model.OPTIMAL, cp_model.FEASIBLE):  # then CP-SAT's bound may be a mere 0
        return Proposal(form.classes, change)
    for sign, variables in ((-1, form.leave), (1, form.arrive)):
        for place, variable in variables.items():
            change[place] += sign * solver.value(variable)
    bound = solver.best_objective_bound
    if problem.goal is None:
        return Proposal(form.classes, change, points=bound)
    return Proposal(form.classes, change, moves=bound)


@dataclass
class _Linear:
    """A sum of coefficient times variable, kept as two lists because CP-SAT takes those fastest."""

    variables: list[Any] = field(default_factory=list)
    coefficients: list[int] = field(default_factory=list)

    def add(self, variable: Any, coefficient: int = 1) -> None:
        self.variables.append(variable)
        self.coefficients.append(coefficient)


class _Form:
    """The CP-SAT model of a problem, and how to read its answer.

    ``leave`` and ``arrive`` map (class, pm, numa) to a variable; the hint is given to every
    variable.
    """

    def __init__(self, cp_model: Any, problem: Problem, has_memory: bool, per_vm: bool) -> None:
        self.cp_model, self.problem, self.model = cp_model, problem, cp_model.CpModel()
        self.has_memory = has_memory
        self.classes = classify(problem.cluster, has_memory, per_vm)
        self.hinted = problem.cluster.migrate(problem.hint)
        moved = classify(self.hinted, has_memory, per_vm).counts - self.classes.counts
        self.leave, self.arrive = self._exchanges(moved)
        if per_vm:
            self._keep_sets_apart()
        self._limit_moves()

    def _new(self, upper: int, hint: int) -> Any:
        variable = self.model.new_int_var(0, upper, "")
        self.model.add_hint(variable, hint)
        return variable

    def _bound(self, linear: _Linear, lower: int, upper: int) -> None:
        expression = self.cp_model.LinearExpr.weighted_sum(linear.variables, linear.coefficients)
        self.model.add_linear_constraint(expression, lower, upper)

    def _exchanges(self, moved: NDArray[np.int32]) -> tuple[dict, dict]:
        """Make the variables; per class as many VMs arrive as leave."""
        cluster, classes = self.problem.cluster, self.classes
        limit, leave, arrive = self.problem.migration_limit, {}, {}
        room = cluster.pm_cores[:, [0, 1, 0]]
        room[:, BOTH] = cluster.pm_cores.min(axis=1)
        for c, is_double in enumerate(classes.is_double.tolist()):
            balance, total = _Linear(), int(classes.counts[c].sum())
            for numa in (BOTH,) if is_double else (0, 1):
                fits = cluster.pm_active & (room[:, numa] >= classes.cores[c])
                for p in np.flatnonzero(fits).tolist():
                    here, delta = int(classes.counts[c, p, numa]), int(moved[c, p, numa])
                    if here:
                        leave[c, p, numa] = self._new(min(here, limit), max(-delta, 0))
                        balance.add(leave[c, p, numa], -1)
                    if here < total:
                        arrive[c, p, numa] = self._new(min(total - here, limit), max(delta, 0))
                        balance.add(arrive[c, p, numa])
            self._bound(balance, 0, 0)
        return leave, arrive

    def _limit_moves(self) -> None:
        problem, moves, points = self.problem, _Linear(), _Linear()
        for variable in self.leave.values():
            moves.add(variable)
        for variable, worth in self._count_units():
            points.add(variable, worth)
        self._bound(moves, 0, problem.migration_limit)
        weighted = self.cp_model.LinearExpr.weighted_sum
        if problem.goal is None:
            self.model.maximize(weighted(points.variables, points.coefficients))
        else:
            self._bound(points, problem.target, UNBOUNDED)
            self.model.minimize(weighted(moves.variables, moves.coefficients))

    def _count_units(self) -> list[tuple[Any, int]]:
        """Make the units' variables and the capacity rows; return the variables and worths."""
        counted = list[tuple[Any, int]]()
        for u in self.problem.units:
            if u.kind == "empty":
                counted += [(variable, u.worth) for variable in self._empty_pms()]
        cluster, after = self.problem.cluster, self.hinted
        self._add_capacity(
            "cores",
            cluster.pm_cores,
            cluster.free_cores,
            after.free_cores,
            self.classes.cores,
            counted,
        )
        if self.has_memory:
            free, amount = cluster.free_mem_mb, self.classes.mem_mb
            self._add_capacity(
                "memory", cluster.pm_mem_mb, free, after.free_mem_mb, amount, counted
            )
        return counted

    def _add_capacity(
        self,
        resource: str,
        total: NDArray[np.int32],
        free: NDArray[np.int32],
        hinted: NDArray[np.int32],
        amount: NDArray[np.int64],
        counted: list[tuple[Any, int]],
    ) -> None:
        """State that arrivals and slots fit what is free plus what leaves, node by node."""
        released = defaultdict[tuple[int, int], _Linear](_Linear)
        for sign, variables in ((1, self.leave), (-1, self.arrive)):
            for (c, p, numa), variable in variables.items():
                for node in (0, 1) if numa == BOTH else (numa,):
                    released[p, node].add(variable, sign * int(amount[c]))
        for p in np.flatnonzero(self.problem.cluster.pm_active).tolist():
            slots: dict[int, list[tuple[Any, int]]] = {0: [], 1: []}
            for unit in self.problem.units:
                if not unit.kind.startswith(resource):
                    continue
                for nodes in ([0, 1],) if unit.kind == "cores_double" else ([0], [1]):
                    size = unit.size // len(nodes)
                    most, now = int(total[p, nodes].min()), int(hinted[p, nodes].min())
                    counted.append((self._new(most // size, now // size), unit.worth))
                    for node in nodes:
                        slots[node].append((counted[-1][0], size))
            for node, taken in slots.items():
                row = released[p, node]
                for variable, size in taken or [(None, 0)]:
                    used = _Linear([*row.variables], [*row.coefficients])
                    if size:
                        used.add(variable, -size)
                    self._bound(used, -int(free[p, node]), UNBOUNDED)

    def _empty_pms(self) -> list[Any]:
        """Make a variable per PM that can be emptied: all its VMs leave and none arrives."""
        cluster = self.problem.cluster
        num_vms = np.bincount(cluster.vm_pm, minlength=cluster.num_pms)
        num_movable = self.classes.counts.sum(axis=(0, 2))
        still = num_vms == num_movable
        occupied_after = np.bincount(self.hinted.vm_pm, minlength=cluster.num_pms)
        can = cluster.pm_active & still & (num_vms <= self.problem.migration_limit)
        empty_of = {
            p: self._new(1, int(not occupied_after[p])) for p in np.flatnonzero(can).tolist()
        }
        left = {p: _Linear([v], [-int(num_vms[p])]) for p, v in empty_of.items()}
        for (_, p, _), variable in self.leave.items():
            if p in left:
                left[p].add(variable)
        for linear in left.values():
            self._bound(linear, 0, UNBOUNDED)
        limit = self.problem.migration_limit
        for (_, p, _), variable in self.arrive.items():
            if p in empty_of:
                self._bound(_Linear([variable, empty_of[p]], [1, limit]), 0, limit)
        return list(empty_of.values())

    def _keep_sets_apart(self) -> None:
        """Allow a VM into a host or rack only where no other member of its set is in the end."""
        cluster, rack = self.problem.cluster, self.problem.cluster.pm_rack
        class_of = self.classes.vm_class
        entering = defaultdict[int, list[tuple[int, Any]]](list)
        for (c, p, _), variable in self.arrive.items():
            entering[c].append((p, variable))
        left = {c: variable for (c, _, _), variable in self.leave.items()}
        for group in cluster.anti_affinity:
            domain_of = rack if group.granularity == "rack" else np.arange(cluster.num_pms)
            present, arrivals = defaultdict[int, _Linear](_Linear), defaultdict[int, list](list)
            count = Counter(int(domain_of[cluster.vm_pm[vm]]) for vm in group.vms)
            for vm in group.vms:
                c = int(class_of[vm])
                if c in left:
                    present[int(domain_of[cluster.vm_pm[vm]])].add(left[c], -1)
                for p, variable in entering[c]:
                    present[int(domain_of[p])].add(variable)
                    arrivals[int(domain_of[p])].append(variable)
            for domain, linear in present.items():
                self._keep_apart(linear, count[domain], arrivals[domain])

    def _keep_apart(self, change: _Linear, count: int, arrivals: list[Any]) -> None:
        """State that ``count`` members plus ``change`` stay alone wherever one of them arrives."""
        if count <= 1:
            self._bound(change, -count, 1 - count)
            return
        for variable in arrivals:
            alone = _Linear([*change.variables, variable], [*change.coefficients, count - 1])
            self._bound(alone, -count, 0)
