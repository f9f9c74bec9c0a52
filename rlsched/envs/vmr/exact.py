"""Exact solvers with bounds: the lowest rate within a limit, or a goal in the fewest moves.

Three forms of one model; all relax the order of moves, the columns and form A also anti-affinity:
- columns (``exact_columns``): an exchange of VMs per PM, column generation. The strongest by far;
  needs memory that cannot bind and an objective of slots of cores;
- form A (``exact_cpsat``): classes of equal VMs, CP-SAT; any objective;
- form B (``exact_cpsat``): single VMs, CP-SAT, anti-affinity in the model; small clusters only.

What a form proposes is then carried out move by move under all constraints. Where something stays
undone (a cycle of full nodes, anti-affinity), the form is asked again from there, with the VMs
that could not leave pinned.

Source: VM2RL (EuroSys 2025) for the problem and form B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter

import numpy as np

from rlsched.core.errors import ConfigError
from rlsched.envs.vmr.cluster import Cluster, Migration
from rlsched.envs.vmr.exact_columns import columns_gap, propose_columns
from rlsched.envs.vmr.exact_cpsat import propose_placement
from rlsched.envs.vmr.exact_model import (
    Problem,
    Proposal,
    Solution,
    import_cp_model,
    state_problem,
)
from rlsched.envs.vmr.exact_order import order_exchange, order_moves
from rlsched.envs.vmr.exact_pricing import load_pricing
from rlsched.envs.vmr.objectives import Objective

__all__ = [
    "Solution",
    "order_moves",
    "solve",
    "solve_aggregated",
    "solve_columns",
    "solve_per_vm",
]

RETRY_S = 0.02
"""Seconds that must be left for asking a form again to be worth it."""
Form = Callable[[Problem, float], Proposal]
"""Proposes an answer to a problem within some seconds."""


def solve(
    cluster: Cluster,
    objective: Objective,
    migration_limit: int,
    time_limit_s: float,
    hint: Sequence[Migration] = (),
    num_threads: int = 2,
    goal: float | None = None,
) -> Solution:
    """Return the best plan found in time and what is proven: columns if they apply, then form A.

    The answer is never worse than the hint, nor than no move at all. The first call of a process
    also imports OR-Tools and loads compiled code, which is not counted (seconds, when Numba
    compiles it first).

    Args:
        cluster: the placement now.
        objective: what to lower.
        migration_limit: most moves, >= 0.
        time_limit_s: wall time, seconds.
        hint: a plan to start from, moves legal one after another; cut to the limit.
        num_threads: threads of the integer search.
        goal: look for the fewest moves to a rate this low; if none get there, for the lowest rate.

    Raises:
        ConfigError: the hint holds an illegal move, or the limit is negative.
        MissingExtra: OR-Tools is not installed.
    """
    problem = (cluster, objective, migration_limit)
    if columns_gap(cluster, objective) is not None:
        return solve_aggregated(*problem, time_limit_s, hint, num_threads, goal)
    first = solve_columns(*problem, time_limit_s, hint, num_threads, goal)
    left_s = time_limit_s - first.seconds
    if first.status == "optimal" or left_s < RETRY_S:
        return first
    second = solve_aggregated(*problem, left_s, first.migrations, num_threads, goal)
    asked = state_problem(*problem, goal)
    points = (asked.worst - max(first.bound, second.bound)) / asked.step
    return asked.solution(
        second.migrations,
        points,
        max(first.moves_bound, second.moves_bound),
        first.is_ordered if second.migrations == first.migrations else second.is_ordered,
        first.seconds + second.seconds,
    )


def solve_columns(
    cluster: Cluster,
    objective: Objective,
    migration_limit: int,
    time_limit_s: float,
    hint: Sequence[Migration] = (),
    num_threads: int = 2,
    goal: float | None = None,
) -> Solution:
    """Solve the column form; arguments and result as ``solve``.

    Raises:
        ConfigError: the form does not apply to the cluster or the objective; or as ``solve``.
        MissingExtra: OR-Tools is not installed.
    """
    gap = columns_gap(cluster, objective)
    if gap is not None:
        raise ConfigError(f"The column form does not apply: {gap}; use solve or solve_aggregated.")
    load_pricing()
    problem = state_problem(cluster, objective, migration_limit, goal, hint)
    return _pursue(problem, partial(propose_columns, num_threads=num_threads), time_limit_s)


def solve_aggregated(
    cluster: Cluster,
    objective: Objective,
    migration_limit: int,
    time_limit_s: float,
    hint: Sequence[Migration] = (),
    num_threads: int = 2,
    goal: float | None = None,
) -> Solution:
    """Solve form A; arguments, result and errors as ``solve``."""
    problem = state_problem(cluster, objective, migration_limit, goal, hint)
    form = partial(propose_placement, num_threads=num_threads, per_vm=False)
    return _pursue(problem, form, time_limit_s)


def solve_per_vm(
    cluster: Cluster,
    objective: Objective,
    migration_limit: int,
    time_limit_s: float,
    hint: Sequence[Migration] = (),
    num_threads: int = 2,
    goal: float | None = None,
) -> Solution:
    """Solve form B, if not too large for the time; arguments, result and errors as ``solve``."""
    problem = state_problem(cluster, objective, migration_limit, goal, hint)
    form = partial(propose_placement, num_threads=num_threads, per_vm=True)
    return _pursue(problem, form, time_limit_s)


def _pursue(problem: Problem, form: Form, time_limit_s: float) -> Solution:
    """Ask a form, carry out what it proposes, and ask again while something stays undone.

    First from where the plan got to; once that is through, from the start without the VMs that
    were stuck.
    """
    import_cp_model()
    start = perf_counter()
    proposal = first = form(problem, time_limit_s)
    here, best, plan = problem, problem.hint, list[Migration]()
    stuck, num_stuck, is_ordered = set[int](), 0, True
    while True:
        limit = problem.migration_limit - len(plan)
        moves, undone = order_exchange(here.cluster, proposal.classes, proposal.change, limit)
        plan = plan + moves
        stuck.update(undone)
        new = problem.best_start(plan, best)
        if new != best:
            best, is_ordered = new, here is problem and not undone
        seconds = perf_counter() - start
        answer = problem.solution(best, first.points, first.moves, is_ordered, seconds)
        if answer.status == "optimal" or time_limit_s - seconds < RETRY_S:
            return answer
        if not undone or len(plan) == problem.migration_limit:
            if len(stuck) == num_stuck:
                return answer
            plan, num_stuck = [], len(stuck)
        here = _continue(problem, plan, sorted(stuck))
        proposal = form(here, time_limit_s - seconds)


def _continue(problem: Problem, plan: Sequence[Migration], stuck: Sequence[int]) -> Problem:
    """Return the problem after a plan, with the VMs that could not leave pinned."""
    cluster = problem.cluster.migrate(plan)
    movable = cluster.vm_movable.copy()
    movable[np.array(stuck, int)] = False
    left = problem.migration_limit - len(plan)
    pinned = replace(cluster, vm_movable=movable)
    return replace(problem, cluster=pinned, migration_limit=left, hint=())
