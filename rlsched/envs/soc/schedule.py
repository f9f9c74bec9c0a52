"""Schedules of one job: which task runs where and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.soc.dag import Dag
from rlsched.envs.soc.timeline import append_in_order


@dataclass(frozen=True)
class Schedule:
    """A schedule in which no task could start earlier behind those that start before it.

    Attributes:
        pe: (T,) int64, PE of each task.
        start: (T,) int64, ticks.
        end: (T,) int64, ticks.
        order: (T,) int64, tasks by start; of equals those first that others need.
    """

    pe: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    order: NDArray[np.int64]

    @property
    def makespan(self) -> int:
        """Return the ticks until the last task ends."""
        return int(self.end.max())

    def in_start_order(self) -> list[tuple[int, int]]:
        """Return (task, PE) by start: placed one behind the other they take these times."""
        return [(int(t), int(self.pe[t])) for t in self.order]


def settle(
    dag: Dag, pe: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> Schedule:
    """Return the schedule that places tasks on these PEs by their start, none later than that.

    Args:
        dag: the tasks.
        pe: (T,) int64, PE of each task.
        start: (T,) int64, ticks, of a schedule that can be carried out.
        end: (T,) int64, ticks.
    """
    while True:
        order = np.lexsort((dag.position, end, start))
        _, earlier, earlier_end = append_in_order(dag, order, pe)
        if np.array_equal(earlier, start):
            return Schedule(pe, start, end, order)
        start, end = earlier, earlier_end
