"""The CP-SAT model of a DAG on a SoC: where each task runs, and when it starts.

A task has an optional interval on each PE that can run it; those of a PE do not overlap, or no
more than its capacity at once. How long an edge's data take depends on both PEs: among PEs at its
target, those that data reach sooner must be ruled out for a longer time to count.

Source: alternatives and optional intervals as in the CP scheduler of DS3 (Arda et al. 2020).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import MissingExtra
from rlsched.envs.soc.dag import Dag
from rlsched.envs.soc.schedule import Schedule, settle


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
    """The model of a DAG, and how to read its answer.

    Attributes:
        model: for the solver.
        chosen: literal of each (task, PE), 1 where there is no choice.
        start: of each task, ticks.
        makespan: the objective.
    """

    def __init__(self, dag: Dag, first: Schedule, bound: int) -> None:
        """Build the model.

        Args:
            dag: the tasks.
            first: a schedule to start from; only schedules no longer than it are looked for.
            bound: a lower bound on the makespan.
        """
        self.dag, self.first = dag, first
        self.model = import_cp_model().CpModel()
        self.makespan = self._number(bound, first.makespan, first.makespan)
        self.chosen = {(t, p): x for t in range(dag.num_tasks) for p, x in self._choose(t)}
        head, tail = least_paths(dag)
        latest = first.makespan - tail
        self.start = [
            self._number(*args) for args in zip(head, latest, first.start.tolist(), strict=True)
        ]
        self._end_in_time()
        for edge, target in enumerate(dag.prev_target.tolist()):
            self._send(edge, int(dag.prev_task[edge]), target)
        for p in range(dag.num_pes):
            self._share(p)
        self.model.minimize(self.makespan)

    def read(self, solver: Any) -> Schedule:
        """Return the schedule that the solver found."""
        pe = np.zeros(self.dag.num_tasks, np.int64)
        for (t, p), x in self.chosen.items():
            if solver.boolean_value(x):
                pe[t] = p
        start = np.array([solver.value(x) for x in self.start], np.int64)
        return settle(self.dag, pe, start, start + self.dag.time[np.arange(len(pe)), pe])

    def _number(self, least: int, most: int, hint: int) -> Any:
        variable = self.model.new_int_var(int(least), int(most), "")
        self.model.add_hint(variable, int(hint))
        return variable

    def _choose(self, t: int) -> list[tuple[int, Any]]:
        pes = np.flatnonzero(self.dag.supported[t]).tolist()
        if len(pes) == 1:
            return [(pes[0], 1)]
        literals = [self.model.new_bool_var("") for _ in pes]
        self.model.add_exactly_one(literals)
        for p, literal in zip(pes, literals, strict=True):
            self.model.add_hint(literal, bool(self.first.pe[t] == p))
        return list(zip(pes, literals, strict=True))

    def _options(self, t: int) -> list[tuple[int, int, Any]]:
        """Return PE, ticks and literal of each PE that can run a task."""
        pes = np.flatnonzero(self.dag.supported[t]).tolist()
        return [(p, int(self.dag.time[t, p]), self.chosen[t, p]) for p in pes]

    def _require(self, inequality: Any, literals: list[Any]) -> None:
        """State that something holds if all literals do."""
        self.model.add(inequality).only_enforce_if(literals)

    def _end_in_time(self) -> None:
        for t in np.flatnonzero(np.diff(self.dag.next_begin) == 0).tolist():
            for _, ticks, here in self._options(t):
                self._require(self.makespan >= self.start[t] + ticks, [here])

    def _send(self, edge: int, source: int, target: int) -> None:
        """Let a task start when the data of an edge are there."""
        comm, ends = self.dag.comm_ticks(edge), self._options(target)
        begin, gone = self.start[target], self.start[source]
        for p, ticks, here in self._options(source):
            sooner = list[Any]()
            by_comm = sorted((int(comm[p, q]), q) for q, _, _ in ends)
            for k, (delay, q) in enumerate(by_comm):
                if k == 0 or delay > by_comm[k - 1][0]:
                    ruled_out = [x.negated() for x in sooner]
                    self._require(begin >= gone + ticks + delay, [here, *ruled_out])
                sooner.append(self.chosen[target, q])

    def _share(self, p: int) -> None:
        """Let no more tasks run at once on a PE than it can."""
        dag, capacity = self.dag, int(self.dag.capacity[p])
        tasks = np.flatnonzero(dag.supported[:, p]).tolist()
        ticks = dag.time[tasks, p].tolist()
        new = self.model.new_optional_fixed_size_interval_var
        literals = [self.chosen[t, p] for t in tasks]
        intervals = [
            new(self.start[t], n, x, "") for t, n, x in zip(tasks, ticks, literals, strict=True)
        ]
        if capacity == 1:
            self.model.add_no_overlap(intervals)
        else:
            self.model.add_cumulative(intervals, [1] * len(tasks), capacity)
        work = sum(n * x for n, x in zip(ticks, literals, strict=True))
        self.model.add(work <= capacity * self.makespan)


def num_rules(dag: Dag) -> int:
    """Return about how many rules the model of a DAG has: one per edge, PE and speed of its links.

    Links from a PE are equally fast if they have the same bandwidth and startup.
    """
    links = np.stack([dag.bandwidth, dag.startup], axis=2)
    num_speeds = sum(len(np.unique(row, axis=0)) for row in links)
    return dag.num_edges * num_speeds + dag.num_tasks * dag.num_pes


def least_paths(dag: Dag) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (T,) least ticks before each task, and from its start to the end, on PEs of its own.

    Each task and each transfer takes the least time that it takes on any PEs that can run it.
    """
    head, tail = np.zeros((2, dag.num_tasks), np.int64)
    time = np.where(dag.supported, dag.time, np.iinfo(np.int64).max).min(1)
    target = dag.prev_target
    comm = np.zeros(dag.num_edges, np.int64)
    for e in range(dag.num_edges):
        pairs = dag.supported[dag.prev_task[e]][:, None] & dag.supported[target[e]]
        comm[e] = dag.comm_ticks(e)[pairs].min()
    for t in dag.order:
        for e in range(dag.prev_begin[t], dag.prev_begin[t + 1]):
            u = dag.prev_task[e]
            head[t] = max(head[t], head[u] + time[u] + comm[e])
    for t in dag.order[::-1]:
        for k in range(dag.next_begin[t], dag.next_begin[t + 1]):
            tail[t] = max(tail[t], comm[dag.next_edge[k]] + tail[dag.next_task[k]])
        tail[t] += time[t]
    return head, tail
