"""The column form: choose one exchange of VMs per PM, by column generation.

PMs in the same state are one kind. A column is an exchange on a PM of a kind: which VMs leave,
which arrive, and the points gained. The master problem picks columns so that of every class as
many VMs arrive as leave, within the migration limit. Its linear relaxation, with columns priced
exactly (``exact_pricing``), bounds every plan, far more tightly than form A does; and the integer
problem over the columns priced on the way nearly always meets that bound.

Source: Dantzig & Wolfe (1960) decomposition, priced as in Gilmore & Gomory (1961); prices
    smoothed as
in Wentges (1997).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.vmr.cluster import BOTH, Cluster
from rlsched.envs.vmr.exact_model import (
    ROUNDING,
    Problem,
    Proposal,
    VmClasses,
    classify,
    import_cp_model,
    import_linear_solver,
    memory_can_bind,
)
from rlsched.envs.vmr.exact_pricing import PmKinds, best_exchanges
from rlsched.envs.vmr.objectives import Objective

SMOOTHING = 0.5
"""Weight of the best prices so far against the relaxation's latest; damps their swings."""
PRICING_SHARE = 0.6
"""Most of the time limit that the relaxation may take; the integer problem has the rest."""
NUM_ROUNDS, NUM_VARIATIONS = 3, 30
"""Where the integer problem misses the bound: rounds of new columns, random prices in each."""
THRIFT_SHARE = 0.3
"""Most of the time left that is spent on the fewest moves for the points reached."""
UNBOUNDED = 2**40


def columns_gap(cluster: Cluster, objective: Objective) -> str | None:
    """Say why the column form does not apply to a cluster and an objective; None if it does."""
    if any(t.kind in ("memory", "empty") for t in objective.terms):
        return f"objective {objective.name!r} has a mem or empty term"
    if memory_can_bind(cluster):
        return "memory can bind, as a VM asks for more MB per core than a NUMA node has"
    return None


def propose_columns(problem: Problem, time_limit_s: float, num_threads: int) -> Proposal:
    """Solve the column form: most points in the fewest moves; then the fewest moves to the goal."""
    deadline = perf_counter() + time_limit_s
    master, moves = _Master(problem), 0.0
    points = master.price_out(deadline)
    counts = master.choose(np.zeros(0, np.int64), deadline, num_threads)
    for _ in range(NUM_ROUNDS):
        if master.points(counts) < math.floor(points + ROUNDING) and master.vary(deadline):
            counts = master.choose(counts, deadline, num_threads)
    reached = master.points(counts)
    if problem.goal is not None and problem.target <= reached:
        master.aim(problem.target)
        moves = -master.price_out(deadline)
        counts = master.choose(counts, deadline, num_threads, problem.target)
    else:
        left_s = deadline - perf_counter()
        counts = master.choose(counts, perf_counter() + THRIFT_SHARE * left_s, num_threads, reached)
    return Proposal(master.classes, master.change(counts), points, moves)


@dataclass(frozen=True, eq=False)
class _Kinds:
    """The active PMs by state.

    Attributes:
        tables: what pricing needs of each kind.
        pms: rows of the PMs of each kind.
        is_swapped: (P,) bool, a PM whose node 1 is its kind's node 0.
    """

    tables: PmKinds
    pms: list[NDArray[np.int64]]
    is_swapped: NDArray[np.bool_]


def _kinds(problem: Problem, classes: VmClasses) -> _Kinds:
    cluster, is_double = problem.cluster, classes.is_double
    sizes = [u.size // 2 if u.kind == "cores_double" else u.size for u in problem.units]
    unit = int(np.gcd.reduce([*classes.cores.tolist(), *sizes]))
    count = np.minimum(classes.counts, problem.migration_limit).astype(np.int64)
    free = (cluster.free_cores // unit).astype(np.int64)
    nodes = np.concatenate([free[None], count[~is_double][:, :, :BOTH]]).transpose(2, 1, 0)
    is_swapped = np.array([first > second for first, second in zip(*nodes.tolist(), strict=True)])
    nodes[:, is_swapped] = nodes[::-1, is_swapped]
    state = np.concatenate([*nodes, count[is_double][:, :, BOTH].T], axis=1)
    active = np.flatnonzero(cluster.pm_active)
    rows, kind = np.unique(state[active], axis=0, return_inverse=True)
    width = nodes.shape[2]
    pairs = rows[:, : 2 * width].reshape(len(rows), 2, width)
    node_worth, level_worth = _worth(problem, int(cluster.pm_cores.max()) // unit, unit)
    levels = np.flatnonzero(np.diff(level_worth, prepend=-1.0))
    tables = PmKinds(
        free=np.ascontiguousarray(pairs[:, :, 0]),
        single_count=np.ascontiguousarray(pairs[:, :, 1:]),
        double_count=np.ascontiguousarray(rows[:, 2 * width :]),
        single_size=classes.cores[~is_double] // unit,
        double_size=classes.cores[is_double] // unit,
        node_worth=node_worth,
        levels=levels,
        level_worth=level_worth[levels],
    )
    pms = [active[kind.reshape(-1) == g] for g in range(len(rows))]
    return _Kinds(tables, pms, is_swapped)


def _worth(
    problem: Problem, cap: int, unit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points by free cores of a node, and by free cores of a PM's scarcer node."""
    cores = unit * np.arange(cap + 1)
    node, scarcer = np.zeros(cap + 1), np.zeros(cap + 1)
    for u in problem.units:
        if u.kind == "cores":
            node += u.worth * (cores // u.size)
        else:
            scarcer += u.worth * (cores // (u.size // 2))
    return node, scarcer


class _Column(NamedTuple):
    """An exchange on a PM of a kind.

    Attributes:
        kind: index of the kind.
        nodes: the node rows it takes: one for single-NUMA VMs on one node, else both.
        exchange: (2 S + D,) int64, arrivals minus leavings, as in ``best_exchanges``.
        balance: (S + D,) int64, the same by class.
        points: points gained.
        moves: VMs that leave.
    """

    kind: int
    nodes: tuple[int, ...]
    exchange: NDArray[np.int64]
    balance: NDArray[np.int64]
    points: int
    moves: int


class _Master:
    """The columns priced so far, the linear relaxation and the integer problem over them."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.limit = problem, problem.migration_limit
        self.classes = classify(problem.cluster, has_memory=False)
        self.kinds = _kinds(problem, self.classes)
        self.tables = self.kinds.tables
        self.num_pms = np.array([len(rows) for rows in self.kinds.pms])
        self.num_single = len(self.tables.single_size)
        self.columns: dict[tuple, _Column] = {}
        self.target: int | None = None
        self.now = round(float(self.num_pms @ self._points(self.tables.free)))
        self._open_relaxation()

    def price_out(self, deadline: float) -> float:
        """Add columns until none is missing; return the bound on points, or on minus the moves.

        The bound is Lagrangian: at any prices, the best exchanges of all PMs and the worth of the
        rows.

        Args:
            deadline: when the caller must be done; pricing takes a share of the time until then.
        """
        start, self.bound = perf_counter(), math.inf
        prices = self.prices = np.zeros(len(self.rows))
        while True:
            found, bound = self._price(prices)
            if bound < self.bound:
                self.bound, self.prices = bound, prices
            self.lp.Solve()
            value = self.lp.Objective().Value() + (self.now if self.target is None else 0)
            is_met = math.floor(self.bound + ROUNDING) <= math.floor(value + ROUNDING)
            if is_met or perf_counter() > start + PRICING_SHARE * (deadline - start):
                return self.bound
            latest = np.array([abs(row.dual_value()) for row in self.rows])
            weight = SMOOTHING if found else 0.0
            prices = weight * self.prices + (1 - weight) * latest

    def vary(self, deadline: float) -> bool:
        """Add columns that are best near the best prices; return whether there are new ones.

        Columns that no optimal prices ask for may still be what a better integer choice is made of.
        """
        num_before, rng = len(self.columns), np.random.default_rng(len(self.columns))
        for _ in range(NUM_VARIATIONS):
            if perf_counter() > deadline:
                break
            self._price(self.prices * rng.uniform(0, 2, len(self.prices)))
        self.lp.Solve()
        return len(self.columns) > num_before

    def aim(self, target: int) -> None:
        """Turn the relaxation to the fewest moves that give some points."""
        self.target = target
        self.rows[-1].SetLb(target - self.now)
        for variable, column in zip(self.lp.variables(), self.columns.values(), strict=True):
            self.lp.Objective().SetCoefficient(variable, -column.moves)

    def points(self, counts: NDArray[np.int64]) -> int:
        """Return the points of the cluster with columns taken ``counts`` times."""
        return self.now + sum(c.points * n for c, n in self._taken(counts))

    def change(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the (C, P, 3) change of class counts, each column on PMs of its kind."""
        change = np.zeros(self.classes.counts.shape, np.int64)
        single, double = (
            np.flatnonzero(~self.classes.is_double),
            np.flatnonzero(self.classes.is_double),
        )
        unused = {(g, k): rows.tolist() for g, rows in enumerate(self.kinds.pms) for k in (0, 1)}
        for column, number in sorted(self._taken(counts), key=lambda item: -len(item[0].nodes)):
            for _ in range(number):
                pm = unused[column.kind, column.nodes[0]].pop()
                if len(column.nodes) == 2:
                    unused[column.kind, 1].pop()
                parts = np.split(column.exchange, [self.num_single, 2 * self.num_single])
                for node in (0, 1):
                    change[single, pm, node ^ int(self.kinds.is_swapped[pm])] += parts[node]
                change[double, pm, BOTH] += parts[2]
        _drop_surplus(change)
        return change

    def choose(
        self, start: NDArray[np.int64], deadline: float, num_threads: int, least: int | None = None
    ) -> NDArray[np.int64]:
        """Return how often each column is taken in the best integer choice found by CP-SAT.

        Only columns of low reduced cost enter: the others are in no choice that is better than the
        start; or at first, in none within one unit of the relaxation.

        Args:
            start: a choice to begin from, returned if none better is found; columns it lacks are
                at 0.
            deadline: when to stop, in ``perf_counter`` seconds.
            num_threads: threads of CP-SAT.
            least: look for the fewest moves with at least these points; None = for the most points.
        """
        cp_model, columns = import_cp_model(), list(self.columns.values())
        counts = np.zeros(len(columns), np.int64)
        counts[: len(start)] = start
        cost = -np.array([variable.reduced_cost() for variable in self.lp.variables()])
        gap = self.bound - self.points(counts) if len(start) and self.target is None else 0.0
        kept = np.flatnonzero((cost <= max(gap, self._unit())) | (counts > 0)).tolist()
        if perf_counter() > deadline or not kept:
            return counts
        model, total = cp_model.CpModel(), cp_model.LinearExpr.weighted_sum
        taken, users = [], defaultdict[tuple[int, int], list](list)
        for i in kept:
            most = min(int(self.num_pms[columns[i].kind]), self.limit)
            taken.append(model.new_int_var(0, most, ""))
            model.add_hint(taken[-1], int(counts[i]))
            for node in columns[i].nodes:
                users[columns[i].kind, node].append(taken[-1])
        for (kind, _), variables in users.items():
            model.add_linear_constraint(sum(variables), 0, int(self.num_pms[kind]))
        for of_class in np.stack([columns[i].balance for i in kept], axis=1):
            some = np.flatnonzero(of_class).tolist()
            balance = total([taken[i] for i in some], of_class[some].tolist())
            model.add_linear_constraint(balance, 0, UNBOUNDED)
        moves = total(taken, [columns[i].moves for i in kept])
        points = total(taken, [columns[i].points for i in kept])
        model.add_linear_constraint(moves, 0, self.limit)
        if least is None:
            most = math.floor(self.bound + ROUNDING) - self.now
            model.add_linear_constraint(points, 0, most)
            model.maximize(points)
        else:
            model.add_linear_constraint(points, least - self.now, UNBOUNDED)
            model.minimize(moves)
        solver = cp_model.CpSolver()
        solver.parameters.catch_sigint_signal = False  # else Ctrl-C ends the solve and no more
        solver.parameters.num_workers = num_threads
        solver.parameters.max_time_in_seconds = max(deadline - perf_counter(), 0.01)
        solver.parameters.max_presolve_iterations = 1  # presolve took longer than the search
        solver.parameters.cp_model_probing_level = 0
        if solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            counts[kept] = [solver.value(variable) for variable in taken]
        return counts

    def _open_relaxation(self) -> None:
        """Rows: a balance per class, the limit, the target; per kind and node the number of PMs."""
        lp = self.lp = import_linear_solver().Solver.CreateSolver("GLOP")
        free = lp.infinity()
        classes = [lp.Constraint(0, free) for _ in range(len(self.classes.cores))]
        self.rows = [*classes, lp.Constraint(-free, self.limit), lp.Constraint(-free, free)]
        self.node_rows = [[lp.Constraint(0, float(n)) for _ in (0, 1)] for n in self.num_pms]
        lp.Objective().SetMaximization()

    def _price(self, prices: NDArray[np.float64]) -> tuple[int, float]:
        """Add the best exchanges at some prices; return how many are new, and the bound."""
        num_single, tables = self.num_single, self.tables
        weight, cost = (1.0, prices[-2]) if self.target is None else (prices[-1], 1 + prices[-2])
        scaled = tables._replace(
            node_worth=weight * tables.node_worth, level_worth=weight * tables.level_worth
        )
        single, double = prices[:num_single], prices[num_single:-2]
        value, best, plain = best_exchanges(scaled, single.copy(), double.copy(), float(cost))
        bound = float(self.num_pms @ value) + prices[-2] * self.limit
        if self.target is not None:
            bound -= prices[-1] * self.target
        is_coupled = len(tables.levels) > 1
        whole = np.flatnonzero(best[:, 0 if is_coupled else 2 * num_single :].any(axis=1))
        found = self._add(whole, (0, 1), best[whole])
        for node in (0, 1):
            part = np.zeros_like(plain)
            on_node = slice(node * num_single, (node + 1) * num_single)
            part[:, on_node] = plain[:, on_node]
            used = np.flatnonzero(part.any(axis=1))
            found += self._add(used, (0, 1) if is_coupled else (node,), part[used])
        return found, bound

    def _add(
        self, kinds: NDArray[np.int64], nodes: tuple[int, ...], exchanges: NDArray[np.int64]
    ) -> int:
        """Add exchanges as columns unless they are there; return how many are new."""
        size, num_single = self.tables.single_size, self.num_single
        first, second, double = np.split(exchanges, [num_single, 2 * num_single], axis=1)
        free = self.tables.free[kinds]
        taken = np.stack([first @ size, second @ size], axis=1)
        after = free - taken - (double @ self.tables.double_size)[:, None]
        points = np.rint(self._points(after) - self._points(free)).astype(int).tolist()
        moves = np.maximum(-exchanges, 0).sum(axis=1).tolist()
        balance = np.concatenate([first + second, double], axis=1)
        num_before = len(self.columns)
        for i, kind in enumerate(kinds.tolist()):
            key = (kind, nodes, exchanges[i].tobytes())
            if key not in self.columns:
                column = _Column(kind, nodes, exchanges[i], balance[i], points[i], moves[i])
                self.columns[key] = column
                self._enter(column)
        return len(self.columns) - num_before

    def _enter(self, column: _Column) -> None:
        """Make the relaxation's variable of a column."""
        variable = self.lp.NumVar(0, self.lp.infinity(), "")
        gain = column.points if self.target is None else -column.moves
        self.lp.Objective().SetCoefficient(variable, gain)
        for c in np.flatnonzero(column.balance).tolist():
            self.rows[c].SetCoefficient(variable, float(column.balance[c]))
        self.rows[-2].SetCoefficient(variable, column.moves)
        self.rows[-1].SetCoefficient(variable, column.points)
        for node in column.nodes:
            self.node_rows[column.kind][node].SetCoefficient(variable, 1)

    def _points(self, free: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the points of PMs with (n, 2) free cores."""
        level = np.searchsorted(self.tables.levels, free.min(axis=1), side="right") - 1
        return self.tables.node_worth[free].sum(axis=1) + self.tables.level_worth[level]

    def _unit(self) -> int:
        """Return what one unit changes the objective by: the dearest unit's points, or a move."""
        worths = [u.worth for u in self.problem.units]
        return max(worths, default=1) if self.target is None else 1

    def _taken(self, counts: NDArray[np.int64]) -> list[tuple[_Column, int]]:
        listed = zip(self.columns.values(), counts.tolist(), strict=False)
        return [(column, number) for column, number in listed if number]


def _drop_surplus(change: NDArray[np.int64]) -> None:
    """Take back arrivals of which no VM leaves anywhere: room reserved for nothing."""
    for of_class in change:
        surplus = int(of_class.sum())
        for pm, numa in np.argwhere(of_class > 0).tolist():
            dropped = min(surplus, int(of_class[pm, numa]))
            of_class[pm, numa] -= dropped
            surplus -= dropped
