"""Exact solver with bounds: OR-Tools CP-SAT for the makespan of one job on its SoC.

Times must be known, and all PEs free at the start. A task that takes no time needs a free place of
its PE too; on PEs of capacity 2 or more the model leaves that out, so there the bound may stay
below the optimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from rlsched.core.errors import ConfigError
from rlsched.envs.soc.dag import Dag
from rlsched.envs.soc.exact_cpsat import Form, import_cp_model, least_paths, num_rules
from rlsched.envs.soc.list_schedulers import STATIC
from rlsched.envs.soc.schedule import Schedule

ROUNDING = 1e-6
"""Slack of the solver's floating bound, where whole numbers are meant."""
BUILD_S_PER_RULE = 2.5e-5
"""Seconds of Python per rule; a model that could not be built in half the time is not begun."""


@dataclass(frozen=True)
class Solution:
    """A schedule and what is proven about it.

    Attributes:
        schedule: no task could start earlier in the same order.
        bound: proven lower bound on the makespan, ticks.
        seconds: wall time used.
    """

    schedule: Schedule
    bound: int
    seconds: float

    @property
    def makespan(self) -> int:
        """Return the ticks until the last task ends."""
        return self.schedule.makespan

    @property
    def is_optimal(self) -> bool:
        """Return whether the makespan meets the bound."""
        return self.makespan == self.bound


def solve(
    dag: Dag,
    time_limit_s: float,
    num_threads: int = 2,
    hint: Schedule | None = None,
    seed: int = 0,
) -> Solution:
    """Return the best schedule found in time and what is proven, never worse than the hint.

    Args:
        dag: the tasks.
        time_limit_s: wall time, seconds.
        num_threads: threads of the search.
        hint: a schedule to start from; None = the best of the list schedulers but lookahead.
        seed: of the search.

    Raises:
        ConfigError: the time limit is not above 0.
        MissingExtra: OR-Tools is not installed.
    """
    if not time_limit_s > 0:
        raise ConfigError(f"time_limit_s = {time_limit_s}; must be > 0.")
    cp_model, begin = import_cp_model(), perf_counter()
    best, bound = hint or _first_answer(dag), lower_bound(dag)
    is_small = num_rules(dag) * BUILD_S_PER_RULE <= time_limit_s / 2
    if best.makespan > bound and is_small:
        form, solver = Form(dag, best, bound), cp_model.CpSolver()
        solver.parameters.catch_sigint_signal = False  # else Ctrl-C ends the solve and no more
        solver.parameters.num_workers = num_threads
        solver.parameters.random_seed = seed
        solver.parameters.max_time_in_seconds = max(time_limit_s - (perf_counter() - begin), 0.01)
        outcome = solver.solve(form.model)
        if outcome in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            best = min(best, form.read(solver), key=lambda schedule: schedule.makespan)
            bound = max(bound, math.ceil(solver.best_objective_bound - ROUNDING))
    assert bound <= best.makespan, "a bound was proven that the schedule beats"
    return Solution(best, bound, perf_counter() - begin)


def lower_bound(dag: Dag) -> int:
    """Return a lower bound on the makespan: the longest path, or all work spread over all PEs."""
    head, tail = least_paths(dag)
    work = int(np.where(dag.supported, dag.time, np.iinfo(np.int64).max).min(1).sum())
    return max(int((head + tail).max()), -(-work // int(dag.capacity.sum())))


def _first_answer(dag: Dag) -> Schedule:
    quick = [fn(dag) for name, fn in STATIC.items() if name != "lookahead"]
    return min(quick, key=lambda schedule: schedule.makespan)
