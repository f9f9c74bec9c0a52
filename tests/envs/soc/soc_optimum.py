"""The best makespan of one job, proven by CP-SAT on a model that knows nothing of the package."""

from __future__ import annotations

import pytest

from rlsched.envs.soc.workload import Job, Workload


def proven_makespan(workload: Workload, job: Job | None = None) -> int:
    """Return the optimal makespan; PEs of capacity 1."""
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    model, job = cp_model.CpModel(), job or workload.jobs[0]
    times, pes = workload.times(job).tolist(), range(workload.num_pes)
    moves = sum(comm(workload, edge, p, q) for edge in job.edges for p in pes for q in pes)
    horizon = sum(map(max, times)) + moves
    start = [model.new_int_var(0, horizon, "") for _ in times]
    end = [model.new_int_var(0, horizon, "") for _ in times]
    on = [[model.new_bool_var("") if ticks >= 0 else None for ticks in row] for row in times]
    for row in on:
        model.add_exactly_one(x for x in row if x is not None)
    for p in pes:
        intervals = []
        for task, row in enumerate(times):
            if on[task][p] is not None:
                part = model.new_optional_interval_var(
                    start[task], row[p], end[task], on[task][p], ""
                )
                intervals.append(part)
        model.add_no_overlap(intervals)
    for edge in job.edges:
        a, b, _ = edge
        for p in pes:
            for q in pes:
                if on[a][p] is not None and on[b][q] is not None:
                    arrival = end[a] + comm(workload, edge, p, q)
                    model.add(start[b] >= arrival).only_enforce_if(on[a][p], on[b][q])
    makespan = model.new_int_var(0, horizon, "")
    model.add_max_equality(makespan, end)
    model.minimize(makespan)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL
    return int(solver.objective_value)


def comm(workload: Workload, edge: tuple[int, int, float], p: int, q: int) -> int:
    """Return the ticks from the end of a task on PE p until its data are at PE q."""
    return workload.soc.startup[p][q] + int(edge[2] / workload.soc.bandwidth[p][q])
