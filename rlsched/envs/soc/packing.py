"""Packing: a bank of workloads and the options of the environment as arrays for lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.rng import uniform
from rlsched.envs.soc.dag import check_volumes
from rlsched.envs.soc.power import power_table
from rlsched.envs.soc.state import BOUND, DONE, PENDING, RUNNING, STATIC, TRACE, Workloads
from rlsched.envs.soc.workload import NOT_SUPPORTED, Job, Live, Workload, topological_order

RANGE_SEED = 0x50C
"""Of what is drawn per instance from a range of the options."""
LIVE_STATUS = {"waiting": PENDING, "placed": BOUND, "running": RUNNING, "done": DONE}
PERFORMANCE, POWERSAVE = "performance", "powersave"


def pack(
    bank: Sequence[Workload],
    *,
    gap: tuple[float, float],
    noise: tuple[float, float],
    queue: tuple[float, float],
    governor: str,
    **options: Any,
) -> Workloads:
    """Return the arrays of a bank.

    Args:
        bank: the workloads.
        gap: mean ticks between arrivals, from - to; each instance draws its own.
        noise: standard deviation of times as a share, likewise.
        queue: most jobs in the system, likewise; a system at work has room for its own.
        governor: operating point that PEs run at.
        options: the others, by the names of :class:`~rlsched.envs.soc.state.Workloads`.
    """
    I, K = len(bank), max(len(w.jobs) for w in bank)  # noqa: E741
    if options["mode"] == STATIC:
        K = 1
    T = max(job.num_tasks for w in bank for job in w.jobs[:K])
    E = max(1, *(len(job.edges) for w in bank for job in w.jobs[:K]))
    P, C = max(w.num_pes for w in bank), max(pe.capacity for w in bank for pe in w.soc.pes)
    J = max(1, *(len(w.trace) for w in bank))
    room = np.rint(_drawn(queue, I, 2)).astype(np.int32)
    room = np.maximum(room, [len(w.live.jobs) if w.live else 1 for w in bank])
    F, Q = max(len(pe.opps) for w in bank for pe in w.soc.pes), int(room.max())
    z = lambda *shape, dtype=np.int32: np.zeros((I, *shape), dtype)  # noqa: E731
    out = Workloads(
        num_pes=z(),
        num_kinds=z(),
        share=np.ones((I, K)),
        num_tasks=z(K),
        time=np.full((I, K, T, P), NOT_SUPPORTED, np.int32),
        num_ways=z(K, T),
        order=z(K, T),
        next_begin=z(K, T + 1),
        next_task=z(K, E),
        next_mean=z(K, E, dtype=np.float32),
        prev_begin=z(K, T + 1),
        prev_task=z(K, E),
        prev_volume=z(K, E, dtype=np.float64),
        rank=z(K, T, dtype=np.float32),
        tail=z(K, T),
        rest=z(K, T, P, dtype=np.float32),
        fastest=z(K, T),
        mean=z(K, T, dtype=np.float32),
        critical_path=z(K),
        mean_time=z(dtype=np.float64),
        unit=z(dtype=np.float64),
        capacity=z(P),
        bandwidth=np.ones((I, P, P)),
        startup=z(P, P),
        memory_bandwidth=np.ones((I, 2, P)),
        num_opps=z(P),
        opp=z(P),
        slowdown=np.ones((I, P, F)),
        mhz=z(P, F),
        power=z(P, C + 1, F, dtype=np.float64),
        full_power=z(dtype=np.float64),
        gap=_drawn(gap, I, 0),
        noise=_drawn(noise, I, 1),
        queue=room,
        num_live=np.full(I, -1, np.int32),
        live_clock=z(),
        live_kind=z(Q),
        live_arrival=z(Q),
        live_status=z(Q * T, dtype=np.int8),
        live_on=np.full((I, Q * T), -1, np.int32),
        live_begin=z(Q * T),
        live_end=z(Q * T),
        live_bound=np.full((I, Q * T), -1, np.int32),
        num_traced=z(),
        trace_at=z(J),
        trace_kind=z(J),
        **{key: np.array([value]) for key, value in options.items()},
    )
    for i, workload in enumerate(bank):
        _fill_soc(out, i, workload, governor)
        _fill_jobs(out, i, workload, K)
        out.num_traced[i] = len(workload.trace)
        if options["arrivals"] == TRACE and workload.trace:
            out.gap[i] = max(1.0, workload.trace[-1][0] / len(workload.trace))
        out.trace_at[i, : len(workload.trace)] = [at for at, _ in workload.trace]
        out.trace_kind[i, : len(workload.trace)] = [kind for _, kind in workload.trace]
        if workload.live is not None:
            _fill_live(out, i, workload.live, T)
    return out


def _drawn(span: tuple[float, float], count: int, event: int) -> NDArray[np.float64]:
    """Return a number from the range for each instance, by its logarithm where that exists."""
    low, high = span
    share = np.array([uniform(RANGE_SEED, i, event) for i in range(count)])
    return low * (high / low) ** share if low > 0 else low + share * (high - low)


def _fill_soc(out: Workloads, i: int, workload: Workload, governor: str) -> None:
    soc, P = workload.soc, workload.num_pes
    out.num_pes[i] = P
    out.bandwidth[i, :P, :P], out.startup[i, :P, :P] = soc.bandwidth, soc.startup
    out.memory_bandwidth[i, :, :P] = soc.memory_bandwidth
    for p, pe in enumerate(soc.pes):
        points, table = len(pe.opps), power_table(pe)
        out.capacity[i, p], out.num_opps[i, p] = pe.capacity, points
        out.opp[i, p] = point_of(pe.opps, governor)
        out.mhz[i, p, :points] = [mhz for mhz, _ in pe.opps]
        out.slowdown[i, p, :points] = [pe.opps[-1][0] / mhz for mhz, _ in pe.opps]
        out.power[i, p, : pe.capacity + 1, :points] = table
        out.full_power[i] += table[-1, -1]


def point_of(opps: tuple[tuple[int, int], ...], governor: str) -> int:
    """Return the operating point of a governor: the highest, the lowest, or the nearest below."""
    if governor in (PERFORMANCE, POWERSAVE):
        return 0 if governor == POWERSAVE else len(opps) - 1
    return max([0, *(f for f, (mhz, _) in enumerate(opps) if mhz <= int(governor))])


def _fill_jobs(out: Workloads, i: int, workload: Workload, K: int) -> None:
    jobs = workload.jobs[:K]
    weights = np.array(workload.weights[:K] or [1.0] * len(jobs))
    out.num_kinds[i] = len(jobs)
    out.share[i, : len(jobs)] = weights.cumsum() / weights.sum()
    for k, job in enumerate(jobs):
        _fill_job(out, i, k, job, workload)
    known = [out.fastest[i, k, : job.num_tasks] for k, job in enumerate(jobs)]
    out.mean_time[i] = max(1.0, float(np.concatenate(known).mean()))
    out.unit[i] = max(1.0, float(weights @ out.critical_path[i, : len(jobs)] / weights.sum()))


def _fill_job(out: Workloads, i: int, k: int, job: Job, workload: Workload) -> None:
    T, P, times = job.num_tasks, workload.num_pes, workload.times(job)
    can = times >= 0
    out.num_tasks[i, k], out.time[i, k, :T, :P] = T, times
    out.num_ways[i, k, :T] = can.sum(axis=1)
    out.mean[i, k, :T] = np.where(can, times, 0).sum(axis=1) / can.sum(axis=1)
    out.fastest[i, k, :T] = np.where(can, times, np.iinfo(np.int64).max).min(axis=1)
    order = topological_order(job)
    out.order[i, k, :T] = order
    _fill_edges(out, i, k, job, workload)
    for task in reversed(order):
        rows = slice(out.next_begin[i, k, task], out.next_begin[i, k, task + 1])
        after = out.next_task[i, k, rows]
        ranks, tails = out.rank[i, k, after] + out.next_mean[i, k, rows], out.tail[i, k, after]
        out.rank[i, k, task] = out.mean[i, k, task] + ranks.max(initial=0.0)
        out.tail[i, k, task] = out.fastest[i, k, task] + tails.max(initial=0)
        stay = np.where(can[after], out.rest[i, k, after, :P] + times[after], np.inf)
        move = stay.min(axis=1, keepdims=True) + out.next_mean[i, k, rows, None]
        out.rest[i, k, task, :P] = np.minimum(stay, move).max(axis=0, initial=0.0)
    out.critical_path[i, k] = max(1, int(out.tail[i, k, :T].max()))


def _fill_live(out: Workloads, i: int, live: Live, T: int) -> None:
    """Fill in a system at work; tasks are placed in the order of their placing."""
    out.num_live[i], out.live_clock[i] = len(live.jobs), live.clock
    placed = list[tuple[int, int]]()
    for q, job in enumerate(live.jobs):
        out.live_kind[i, q], out.live_arrival[i, q] = job.kind, job.arrival
        for t, task in enumerate(job.tasks):
            row = q * T + t
            out.live_status[i, row], out.live_on[i, row] = LIVE_STATUS[task.status], task.pe
            out.live_begin[i, row], out.live_end[i, row] = task.begin, task.end
            if task.status == "placed":
                placed.append((task.begin, row))
    out.live_bound[i, : len(placed)] = [row for _, row in sorted(placed)]


def _fill_edges(out: Workloads, i: int, k: int, job: Job, workload: Workload) -> None:
    """Fill in the edges by the task they leave and by the task they enter."""
    startup, inverse = mean_comm(workload)
    E, soc = len(job.edges), workload.soc
    ways = np.concatenate((np.ravel(soc.bandwidth), np.ravel(soc.memory_bandwidth)))
    check_volumes(workload, job, np.array([edge[2] for edge in job.edges]), ways)
    for begin, other, here, there in (
        (out.next_begin, out.next_task, 0, 1),
        (out.prev_begin, out.prev_task, 1, 0),
    ):
        edges = sorted(job.edges, key=lambda edge: (edge[here], edge[there]))
        counts = np.bincount([edge[here] for edge in edges], minlength=job.num_tasks)
        begin[i, k, 1 : job.num_tasks + 1] = counts.cumsum()
        begin[i, k, job.num_tasks + 1 :] = E
        other[i, k, :E] = [edge[there] for edge in edges]
        volumes = np.array([edge[2] for edge in edges])
        if here == 0:
            out.next_mean[i, k, :E] = startup + volumes * inverse
        else:
            out.prev_volume[i, k, :E] = volumes


def mean_comm(workload: Workload) -> tuple[float, float]:
    """Return the mean ticks before data arrive between PEs, and those per volume."""
    soc, P = workload.soc, workload.num_pes
    apart = ~np.eye(P, dtype=bool)
    if P == 1:
        return 0.0, 0.0
    inverse = 1.0 / np.array(soc.bandwidth)[apart]
    return float(np.array(soc.startup)[apart].mean()), float(inverse.mean())
