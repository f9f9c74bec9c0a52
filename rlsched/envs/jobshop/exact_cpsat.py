"""The CP-SAT model of a job shop: who comes first on a machine, and places in output buffers.

A job holds its machine from the start of an operation until it leaves, and then a place in the
machine's output buffer until the next operation starts. A machine is free for the next job at the
very tick at which one leaves, so jobs may change places; where that is off, a hand-over takes a
part of a tick (``exact_model``).

Source: the disjunctive (alternative) graph of Mascis & Pacciarelli (2002), a literal for each pair.
"""

from __future__ import annotations

from itertools import combinations
from types import ModuleType
from typing import Any

from rlsched.core.errors import MissingExtra
from rlsched.envs.jobshop.exact_model import (
    BUFFERED,
    HELD,
    PLANNED,
    RUNNING,
    Piece,
    Problem,
    sum_up,
)
from rlsched.envs.jobshop.exact_order import Times, settle
from rlsched.envs.jobshop.shop import NO_DUE_DATE


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


class Form:
    """The model of a problem, and how to read its answer.

    Attributes:
        model: for the solver; infeasible if no schedule is as good as the first.
        chosen: literal of each (row, machine), 1 where there is no choice.
        start: of each row, scaled time, a number where it has started.
        ticks: scaled time from start to end where it is always the same, else None.
        end: scaled time at which the work of each row ends.
        free: scaled time from which on its machine is free for the next.
        before: literal of each pair of rows: if on one machine, the first comes before the second.
    """

    def __init__(self, problem: Problem, first: Times | None, least: int) -> None:
        """Build the model.

        Args:
            problem: the rows and the options.
            first: a schedule to start from, None = none is known.
            least: a lower bound on the objective.
        """
        self.cp_model, self.problem, self.first = import_cp_model(), problem, first
        self.model = self.cp_model.CpModel()
        self.most = None if first is None else problem.cost(first.end)
        self.latest = self._latest_ends()
        rows = range(len(problem.op))
        self.chosen = {(r, m): x for r in rows for m, x in self._choose(r)}
        self.start = [self._new_start(r) for r in rows]
        self.ticks: list[int | None] = [None] * len(problem.op)
        self.end = [self._new_end(r) for r in rows]
        self.free: list[Any] = list(self.end)
        self.before: dict[tuple[int, int], Any] = {}
        self.stored: list[list[Any]] = [[] for _ in range(problem.shop.num_machines)]
        for r in rows:
            self._place(r)
        self._part_work()
        if problem.capacity is not None:
            self._order_pairs()
        self._minimise(least)

    def read(self, solver: Any) -> Times:
        """Return the earliest times of the order that the solver found."""
        machine = [-1] * len(self.start)
        for (r, m), x in self.chosen.items():
            if solver.boolean_value(x):
                machine[r] = m
        start, end = ([solver.value(x) for x in times] for times in (self.start, self.end))
        rank = end if self.problem.capacity is None else [0] * len(machine)
        for (u, v), before in self.before.items():
            rank[v] += int(machine[u] == machine[v] and solver.boolean_value(before))
        times = settle(self.problem, machine, start, rank)
        assert times is not None, "the solver's order cannot be carried out"
        return times

    def _latest_ends(self) -> dict[int, int]:
        """Return the tick by which each job ends in a schedule no worse than the first."""
        p, shop, horizon = self.problem, self.problem.shop, self.problem.horizon
        if self.most is None:
            return dict.fromkeys(p.last, horizon)
        if p.objective == "makespan":
            return dict.fromkeys(p.last, self.most)
        ends = {j: p.head[r] + p.least(r) for j, r in p.last.items()}
        slack, latest = self.most - sum_up(shop, p.objective, ends), dict[int, int]()
        for j, end in ends.items():
            weight = 1 if p.objective != "weighted_tardiness" else int(shop.weight[j])
            due = end if p.objective == "flow_time" else max(end, int(shop.due[j]))
            latest[j] = min(horizon, due + slack // weight) if weight else horizon
        return latest

    # --- variables --------------------------------------------------------------------------------

    def _literal(self, hint: bool) -> Any:
        literal = self.model.new_bool_var("")
        if self.first is not None:
            self.model.add_hint(literal, hint)
        return literal

    def _time(self, domain: Any, hints: list[int] | None, r: int) -> Any:
        time = self.model.new_int_var_from_domain(domain, "")
        if hints is not None:
            self.model.add_hint(time, hints[r])
        return time

    def _choose(self, r: int) -> list[tuple[int, Any]]:
        machines = list(self.problem.alternatives[r])
        if len(machines) == 1:
            return [(machines[0], 1)]
        is_hinted = [self.first is not None and self.first.machine[r] == m for m in machines]
        literals = [self._literal(hint) for hint in is_hinted]
        self.model.add_exactly_one(literals)
        return list(zip(machines, literals, strict=True))

    def _new_start(self, r: int) -> Any:
        p = self.problem
        if p.kind[r] != PLANNED:
            return p.head[r] * p.scale
        domain = self._within(p.head[r], self._last_start(r))
        if len(p.alternatives[r]) == 1:
            domain = domain.intersection_with(self._up(p.only_machine(r)))
        return self._time(domain, self.first and self.first.start, r)

    def _new_end(self, r: int) -> Any:
        """Return the end of a row; with downtimes it is a function of the start, in pieces."""
        p, start = self.problem, self.start[r]
        if p.kind[r] != PLANNED:
            end = p.end_of(r, p.only_machine(r), start)
            self.ticks[r] = end - start
            return end
        bounds = p.head[r], self._last_start(r)
        pieces = {
            m: p.calendars[m].pieces(ticks, *bounds) for m, ticks in p.alternatives[r].items()
        }
        delay = max((piece.delay for found in pieces.values() for piece in found), default=0)
        if all(found == [Piece(*bounds, delay)] for found in pieces.values()):
            self.ticks[r] = delay * p.scale
            return start + delay * p.scale
        domain = self._within(bounds[0] + p.least(r), self._last_end(r))
        end = self._time(domain, self.first and self.first.end, r)
        for m, found in pieces.items():
            literals = [self._literal(self._is_hinted(r, m, piece)) for piece in found]
            others = [self.chosen[r, m].negated()] if len(pieces) > 1 else []
            self.model.add_exactly_one(literals + others)
            for literal, piece in zip(literals, found, strict=True):
                self._require(start, self._within(piece.lo, piece.hi), [literal])
                done = start + piece.delay * p.scale if piece.end is None else piece.end * p.scale
                self.model.add(end == done).only_enforce_if(literal)
        return end

    def _is_hinted(self, r: int, m: int, piece: Piece) -> bool:
        if self.first is None or self.first.machine[r] != m:
            return False
        return piece.lo <= self.first.start[r] // self.problem.scale <= piece.hi

    def _last_end(self, r: int) -> int:
        return self.latest[self.problem.job[r]] - self.problem.tail[r]

    def _last_start(self, r: int) -> int:
        return self._last_end(r) - self.problem.least(r)

    def _within(self, first: int, last: int) -> Any:
        """Return the scaled times of the ticks from ``first`` to ``last``."""
        scale = self.problem.scale
        return self.cp_model.Domain(first * scale, last * scale + scale - 1)

    def _up(self, m: int) -> Any:
        """Return the scaled times at which a machine is up."""
        scale, downs = self.problem.scale, self.problem.calendars[m].downs
        down = [[begin * scale, until * scale - 1] for begin, until in downs]
        return self.cp_model.Domain.from_intervals(down).complement()

    def _require(self, time: Any, domain: Any, literals: list[Any]) -> None:
        """State that a time is in a domain if all literals hold."""
        within = self.model.add_linear_expression_in_domain(time, domain)
        within.only_enforce_if(literals)

    # --- places -----------------------------------------------------------------------------------

    def _machines(self, r: int) -> list[tuple[int, Any]]:
        return [(m, self.chosen[r, m]) for m in self.problem.alternatives[r]]

    def _place(self, r: int) -> None:
        """Say when a row leaves its machine, and let it take a place in the machine's buffer."""
        p, n = self.problem, self.problem.next[r]
        if n < 0:
            self.free[r] = self.end[r] + p.epsilon
            return
        if p.kind[r] == BUFFERED:
            self._store(r, p.only_machine(r), self.start[r], [])
            return
        self.model.add(self.start[n] >= self.end[r])
        if p.capacity == 0:
            for m, x in self._machines(r):
                self._keep_while_down(r, m, [x])
            self.free[r] = self._free(r, self.start[n], [])
        elif p.capacity is not None:
            self._leave(r)

    def _leave(self, r: int) -> None:
        """Let a row stay on its machine for a while and then go on, or enter the buffer."""
        p, then = self.problem, self.start[self.problem.next[r]]
        domain = self._within(p.head[r] + p.least(r), self._last_end(r))
        leave = self._time(domain, self.first and self.first.leave, r)
        self.model.add(leave >= self.end[r])
        self.model.add(leave <= then)
        if not p.epsilon and not any(p.calendars[m].downs for m in p.alternatives[r]):
            for m, x in self._machines(r):
                self._store(r, m, leave, [x])
            self.free[r] = leave
            return
        is_stored = self._literal(self.first is not None and not self.first.is_direct[r])
        self.model.add(leave == then).only_enforce_if(is_stored.negated())
        for m, x in self._machines(r):
            self._keep_while_down(r, m, [x, is_stored.negated()])
            self._store(r, m, self._entry(r, m, leave, [x, is_stored]), [x, is_stored])
        self.free[r] = self._free(r, leave, [is_stored.negated()])

    def _keep_while_down(self, r: int, m: int, literals: list[Any]) -> None:
        """State that a job goes from a machine to the next only while the first is up."""
        if self.problem.calendars[m].downs:
            self._require(self.start[self.problem.next[r]], self._up(m), literals)

    def _entry(self, r: int, m: int, leave: Any, literals: list[Any]) -> Any:
        """Return from when on a row takes a place in the buffer, if all literals hold.

        It can leave while its machine is down only at the very end of its work, and only if there
        was a place already: then it takes one from just before.
        """
        p, scale = self.problem, self.problem.scale
        ends = [b for b, _ in p.calendars[m].downs if p.head[r] < b <= self._last_end(r)]
        if not ends or p.kind[r] == HELD:
            self._require(leave, self._up(m), literals)
            return leave
        entry = self._time(self._within(p.head[r], self._last_end(r)), None, r)
        for begin in ends:
            caught = self.model.new_bool_var("")
            self.model.add(leave == self.end[r]).only_enforce_if(caught)
            self._require(leave, self._within(begin, begin), [caught])
            self.model.add(entry == begin * scale + p.epsilon - 1).only_enforce_if(caught)
            literals = [*literals, caught.negated()]
        self._require(leave, self._up(m), literals)
        self.model.add(entry == leave).only_enforce_if(literals)
        return entry

    def _free(self, r: int, leave: Any, literals: list[Any]) -> Any:
        """Return when a row's machine is free: a hand-over later, unless its job works on there.

        It works on there only if all literals hold.
        """
        p, n, first = self.problem, self.problem.next[r], self.first
        if not p.epsilon:
            return leave
        stays = list[Any]()
        for m, x in self._machines(r):
            if m in p.alternatives[n]:
                is_hinted = (
                    first is not None
                    and first.machine[r] == first.machine[n] == m
                    and first.is_direct[r]
                )
                stays.append(self._literal(is_hinted))
                conditions = [x, self.chosen[n, m], *literals]
                self.model.add_bool_and(conditions).only_enforce_if(stays[-1])
        if not stays:
            return leave + p.epsilon
        free = self._time(self._within(p.head[r], self._last_end(r) + 1), None, r)
        self.model.add(free == leave + p.epsilon - sum(stays))
        return free

    def _store(self, r: int, m: int, entry: Any, literals: list[Any]) -> None:
        """Let a job take a place in a buffer until its next operation, if all literals hold."""
        until = self.start[self.problem.next[r]] + self.problem.epsilon
        literals = [x for x in literals if not isinstance(x, int)]
        is_there = literals[0] if literals else 1
        if len(literals) > 1:
            is_there = self.model.new_bool_var("")
            self.model.add_bool_and(literals).only_enforce_if(is_there)
            self.model.add_bool_or([is_there, *(x.negated() for x in literals)])
        interval = self.model.new_optional_interval_var(entry, self._size(r), until, is_there, "")
        self.stored[m].append(interval)

    def _size(self, r: int) -> Any:
        span = self.latest[self.problem.job[r]] - self.problem.head[r] + 2
        return self.model.new_int_var(0, span * self.problem.scale, "")

    # --- machines ---------------------------------------------------------------------------------

    def _part_work(self) -> None:
        """Let each machine work on one row at a time."""
        on: list[list[Any]] = [[] for _ in range(self.problem.shop.num_machines)]
        for r, start in enumerate(self.start):
            if self.problem.kind[r] not in (PLANNED, RUNNING):
                continue
            size = self._size(r) if self.ticks[r] is None else self.ticks[r]
            for m, x in self._machines(r):
                work = self.model.new_optional_interval_var(start, size, self.end[r], x, "")
                on[m].append(work)
        for intervals in on:
            self.model.add_no_overlap(intervals)
        for intervals in self.stored:
            if len(intervals) > (self.problem.capacity or 0):
                demands = [1] * len(intervals)
                self.model.add_cumulative(intervals, demands, self.problem.capacity)

    def _order_pairs(self) -> None:
        """Let each machine hold one job at a time: of any two rows, one leaves before the other.

        Literals for pairs prove blocking shops optimal many times faster than intervals would.
        """
        p, before = self.problem, self.before
        rows = [r for r in range(len(p.op)) if p.kind[r] != BUFFERED]
        for u, v in combinations(rows, 2):
            machines = [m for m in p.alternatives[u] if m in p.alternatives[v]]
            if not machines:
                continue
            is_hinted = self.first is not None and self.first.start[u] < self.first.start[v]
            before[u, v] = self._literal(is_hinted)
            before[v, u] = before[u, v].negated()
            if p.job[u] == p.job[v] or p.kind[u] != PLANNED:
                self.model.add(before[u, v] == 1)
            if p.kind[v] != PLANNED:
                self.model.add(before[v, u] == 1)
            for m in machines:
                both = [self.chosen[u, m], self.chosen[v, m]]
                for a, b in ((u, v), (v, u)):
                    later = self.model.add(self.start[b] >= self.free[a])
                    later.only_enforce_if([before[a, b], *both])
        if p.capacity == 0 and not p.shop.is_flexible:
            for (u, v), is_before in before.items():
                then = before.get((p.next[u], p.next[v]))
                if then is not None:  # without storage no job overtakes on the way
                    self.model.add_implication(is_before, then)

    # --- objective --------------------------------------------------------------------------------

    def _minimise(self, least: int) -> None:
        p, shop = self.problem, self.problem.shop
        ends = {j: self._completion(j, r) for j, r in p.last.items()}
        most = self.most if self.most is not None else sum_up(shop, p.objective, self.latest)
        if p.objective == "makespan":
            makespan = self._time(self.cp_model.Domain(least, most), [most], 0)
            for end in ends.values():
                self.model.add(makespan >= end)
            self.model.minimize(makespan)
            return
        if p.objective == "flow_time":
            cost = sum(ends.values()) - sum(int(shop.release[j]) for j in ends)
        else:
            cost = sum(self._tardiness(j, end) for j, end in ends.items())
        self.model.add(cost >= least)
        self.model.add(cost <= most)
        self.model.minimize(cost)

    def _completion(self, j: int, r: int) -> Any:
        """Return the tick at which a job is finished."""
        p = self.problem
        if p.scale == 1:
            return self.end[r]
        tick = self.model.new_int_var(p.head[r] + p.least(r), self.latest[j], "")
        self.model.add(tick * p.scale + p.scale - 1 >= self.end[r])
        return tick

    def _tardiness(self, j: int, end: Any) -> Any:
        """Return the weighted tardiness of a job."""
        shop, is_weighted = self.problem.shop, self.problem.objective == "weighted_tardiness"
        due, weight = int(shop.due[j]), int(shop.weight[j]) if is_weighted else 1
        if weight == 0 or due >= min(NO_DUE_DATE, self.latest[j]):
            return 0
        late = self.model.new_int_var(0, self.latest[j] - due, "")
        self.model.add(late >= end - due)
        return weight * late
