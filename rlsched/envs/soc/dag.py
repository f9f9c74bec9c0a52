"""One job on its SoC as plain arrays, for schedulers that see the whole DAG.

T tasks, P processing elements (PEs), E edges. A PE of capacity c has c slots, each for one task at
a time. Edges stand in the order of their targets; ``next_edge`` leads from a task to those out of
it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.timeline import mean_comm_ticks
from rlsched.envs.soc.workload import MAX_TICKS, Job, Workload, topological_order

ALL = slice(None)


class Dag(NamedTuple):
    """The tasks of a job and the PEs they can run on.

    Attributes:
        time: (T, P) int64, ticks of each task on each PE, -1 = cannot run there.
        order: (T,) int64, tasks so that each comes after those it needs.
        position: (T,) int64, place of each task in ``order``.
        prev_begin: (T + 1,) int64, first edge into each task.
        prev_task: (E,) int64, task at the source of each edge.
        prev_volume: (E,) float64, volume of data on each edge.
        next_begin: (T + 1,) int64, first place of each task in the two that follow.
        next_task: (E,) int64, task at the target.
        next_edge: (E,) int64, index of the edge.
        bandwidth: (P, P) float64, volume per tick.
        startup: (P, P) int64, ticks before the first data arrive.
        slot_begin: (P + 1,) int64, first slot of each PE.
        mean_time: (T,) float64, ticks, over the PEs that can run the task.
        mean_comm: (E,) float64, ticks, over pairs of different PEs that can run the two tasks.
    """

    time: NDArray[np.int64]
    order: NDArray[np.int64]
    position: NDArray[np.int64]
    prev_begin: NDArray[np.int64]
    prev_task: NDArray[np.int64]
    prev_volume: NDArray[np.float64]
    next_begin: NDArray[np.int64]
    next_task: NDArray[np.int64]
    next_edge: NDArray[np.int64]
    bandwidth: NDArray[np.float64]
    startup: NDArray[np.int64]
    slot_begin: NDArray[np.int64]
    mean_time: NDArray[np.float64]
    mean_comm: NDArray[np.float64]

    @property
    def num_tasks(self) -> int:
        return self.time.shape[0]

    @property
    def num_pes(self) -> int:
        return self.time.shape[1]

    @property
    def num_edges(self) -> int:
        return len(self.prev_task)

    @property
    def capacity(self) -> NDArray[np.int64]:
        """Return (P,) tasks that each PE runs at once."""
        return np.diff(self.slot_begin)

    @property
    def prev_target(self) -> NDArray[np.int64]:
        """Return (E,) the task at the target of each edge."""
        return np.repeat(np.arange(self.num_tasks), np.diff(self.prev_begin))

    @property
    def supported(self) -> NDArray[np.bool_]:
        """Return (T, P) whether each task can run on each PE."""
        return self.time >= 0

    def comm_ticks(self, edge: int, source: int | slice = ALL) -> NDArray[np.int64]:
        """Return (P, P) ticks that the data of an edge take from PE to PE; (P,) from one PE."""
        moved = np.floor(self.prev_volume[edge] / self.bandwidth[source]).astype(np.int64)
        return self.startup[source] + moved


def make_dag(workload: Workload, kind: int = 0) -> Dag:
    """Return one kind of a workload's jobs as arrays.

    Args:
        workload: the instance.
        kind: index of the job in ``workload.jobs``.

    Raises:
        InstanceError: data would take more than ``MAX_TICKS`` ticks.
    """
    job, soc = workload.jobs[kind], workload.soc
    time, order = workload.times(job), np.array(topological_order(job), np.int64)
    source, target, volume = _edges(job)
    bandwidth = np.array(soc.bandwidth, np.float64)
    check_volumes(workload, job, volume, bandwidth)
    startup, prev_begin = np.array(soc.startup, np.int64), _begin(target, job.num_tasks)
    next_edge = np.argsort(source, kind="stable")
    supported = time >= 0
    return Dag(
        time=time,
        order=order,
        position=np.argsort(order),
        prev_begin=prev_begin,
        prev_task=source,
        prev_volume=volume,
        next_begin=_begin(source, job.num_tasks),
        next_task=target[next_edge],
        next_edge=next_edge,
        bandwidth=bandwidth,
        startup=startup,
        slot_begin=np.cumsum([0, *(pe.capacity for pe in soc.pes)], dtype=np.int64),
        mean_time=np.where(supported, time, 0).sum(1) / supported.sum(1),
        mean_comm=mean_comm_ticks(time, prev_begin, source, volume, bandwidth, startup),
    )


def _edges(job: Job) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return sources, targets and volumes in the order of targets, then sources."""
    edges = sorted(job.edges, key=lambda edge: (edge[1], edge[0]))
    table = np.array(edges, np.float64).reshape(-1, 3)
    source, target = (table[:, k].astype(np.int64) for k in (0, 1))
    return source, target, np.ascontiguousarray(table[:, 2])


def _begin(task: NDArray[np.int64], num_tasks: int) -> NDArray[np.int64]:
    """Return (T + 1,) where each task's part begins if edges are sorted by a task of theirs."""
    return np.concatenate(([0], np.cumsum(np.bincount(task, minlength=num_tasks)))).astype(np.int64)


def check_volumes(
    workload: Workload, job: Job, volume: NDArray[np.float64], bandwidth: NDArray[np.float64]
) -> None:
    """Refuse data that would take more than ``MAX_TICKS`` ticks on the slowest way.

    Raises:
        InstanceError: some would.
    """
    most, least = float(volume.max(initial=0.0)), float(bandwidth.min())
    if most > MAX_TICKS * least:
        raise InstanceError(
            f"{workload.name}: job {job.name!r}: a volume of {most:g} at bandwidth {least:g} takes "
            f"more than {MAX_TICKS} ticks; use larger ticks."
        )
