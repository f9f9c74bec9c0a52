"""Exact solver with bounds: OR-Tools CP-SAT on the disjunctive model with blocking and buffers.

A job holds its machine from the start of an operation until it leaves, and then a place in the
machine's output buffer until the next operation starts. Intervals are half-open, so swaps come by
themselves; where they are off, every hand-over takes a part of a tick (``exact_model``). Breakdowns
and maintenance must be known.

Source: disjunctive model with intervals up to the next start, as in ScheduleOpt/optalcp-benchmarks;
alternative graph, Mascis & Pacciarelli (2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from numpy.typing import NDArray

from rlsched.envs.jobshop.exact_cpsat import Form, import_cp_model
from rlsched.envs.jobshop.exact_model import Problem
from rlsched.envs.jobshop.exact_order import schedule_of
from rlsched.envs.jobshop.exact_start import insert_jobs, read_hint
from rlsched.envs.jobshop.shop import Schedule, Shop

NUM_ORDERS = 16
"""Orders of inserting jobs that are tried for a first answer where no hint is given."""
START_SHARE = 0.1
"""Share of the time for that."""
ROUNDING = 1e-6
"""Slack of the solver's floating bound, where whole numbers are meant."""
Status = Literal["optimal", "feasible", "infeasible", "unknown"]


@dataclass(frozen=True)
class Solution:
    """A schedule and what is proven about it.

    Attributes:
        schedule: semi-active: no operation could start earlier in the same order; None = none was
            found. Of what was done before a floor's clock it holds nothing (-1), and the operation
            under way starts at the clock.
        objective: of the jobs not finished before a floor's clock, None without a schedule.
        bound: proven lower bound on the objective.
        is_optimal: whether the objective meets the bound.
        status: ``"infeasible"`` if it is proven that there is no schedule.
        seconds: wall time used.
    """

    schedule: Schedule | None
    objective: int | None
    bound: int
    is_optimal: bool
    status: Status
    seconds: float


def solve(
    shop: Shop,
    *,
    buffer: float = math.inf,
    swap: str = "auto",
    objective: str = "makespan",
    time_limit_s: float,
    num_threads: int = 2,
    hint: Schedule | None = None,
    op_time: NDArray | None = None,
    downs: Sequence[tuple[int, int, int]] = (),
    resume: bool = True,
    seed: int = 0,
) -> Solution:
    """Return the best schedule found in time and what is proven, never worse than the hint.

    Args:
        shop: the instance; its maintenance windows and where its floor stands count.
        buffer: places of each machine's output buffer: 0, 1, ... or inf.
        swap: whether jobs may change places at one instant: "auto" and "choice" yes, "off" no.
        objective: "makespan", "flow_time", "total_tardiness" or "weighted_tardiness".
        time_limit_s: wall time, seconds.
        num_threads: threads of the search.
        hint: a schedule whose order of jobs on machines is the first answer; its times are not
            used.
        op_time: (A,) ticks >= 0, processing times other than the shop's.
        downs: machine, from, until of further downtimes; they may overlap.
        resume: whether an interrupted operation goes on afterwards; else it begins again.
        seed: of the search.

    Raises:
        ConfigError: an option has a value that is not allowed, or the hint cannot be carried out.
        MissingExtra: OR-Tools is not installed.
    """
    cp_model, begin = import_cp_model(), perf_counter()
    problem = Problem(shop, buffer, swap, objective, op_time, downs, resume)
    if hint is None:
        starts = insert_jobs(problem, NUM_ORDERS, START_SHARE * time_limit_s, seed)
    else:
        starts = [read_hint(problem, hint)]
    best = min(starts, key=lambda times: problem.cost(times.end), default=None)
    bound = problem.least_cost()
    form = Form(problem, best, bound)
    solver = cp_model.CpSolver()
    solver.parameters.catch_sigint_signal = False  # else Ctrl-C ends the solve and no more
    solver.parameters.num_workers = num_threads
    solver.parameters.random_seed = seed
    solver.parameters.linearization_level = 0  # the LP costs more than it gives
    solver.parameters.max_time_in_seconds = max(time_limit_s - (perf_counter() - begin), 0.01)
    outcome = solver.solve(form.model)
    if outcome in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        best = form.read(solver)
        bound = max(bound, math.ceil(solver.best_objective_bound - ROUNDING))
    seconds = perf_counter() - begin
    if best is None:
        status: Status = "infeasible" if outcome == cp_model.INFEASIBLE else "unknown"
        return Solution(None, None, bound, False, status, seconds)
    cost = problem.cost(best.end)
    assert bound <= cost, "a bound was proven that the schedule beats"
    status = "optimal" if bound == cost else "feasible"
    return Solution(schedule_of(problem, best), cost, bound, bound == cost, status, seconds)


def lower_bound(shop: Shop, objective: str = "makespan") -> int:
    """Return a lower bound on an objective, for any buffer and any downtimes.

    Each job takes its work from its release on, and each machine the work that only it can do,
    between the shortest way to it and the shortest way from it.

    Raises:
        ConfigError: the objective is not known.
    """
    return Problem(shop, objective=objective).least_cost()
