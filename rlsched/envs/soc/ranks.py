"""Ranks of the tasks of a DAG: how far it is from its start and to its end.

Source: Topcuoglu, Hariri & Wu (2002), upward and downward rank; Arabnejad & Barbosa (2014),
optimistic cost table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rlsched.envs.soc.dag import Dag


DECIMALS = 6
"""Ranks that agree to so many are equal: sums in other orders differ in the last bits."""


def upward_order(dag: Dag) -> NDArray[np.int64]:
    """Return (T,) the tasks by upward rank, highest first; of equals in topological order."""
    return np.lexsort((dag.position, -np.round(upward_rank(dag), DECIMALS)))


@njit(cache=True, nogil=True)
def upward_rank(dag: Dag) -> NDArray:
    """Return (T,) float64 mean ticks of the longest path from each task on, its own time too."""
    rank = np.zeros(len(dag.time))
    for t in dag.order[::-1]:
        for k in range(dag.next_begin[t], dag.next_begin[t + 1]):
            path = dag.mean_comm[dag.next_edge[k]] + rank[dag.next_task[k]]
            rank[t] = max(rank[t], path)
        rank[t] += dag.mean_time[t]
    return rank


@njit(cache=True, nogil=True)
def downward_rank(dag: Dag) -> NDArray:
    """Return (T,) float64 mean ticks of the longest path to each task, without its own."""
    rank = np.zeros(len(dag.time))
    for t in dag.order:
        for e in range(dag.prev_begin[t], dag.prev_begin[t + 1]):
            u = dag.prev_task[e]
            rank[t] = max(rank[t], rank[u] + dag.mean_time[u] + dag.mean_comm[e])
    return rank


@njit(cache=True, nogil=True)
def optimistic_cost(dag: Dag) -> NDArray:
    """Return (T, P) float64 ticks from each task's end to the DAG's, if every PE is always free.

    Data within a PE are there at once, between PEs they take the mean.
    """
    T, P = dag.time.shape
    cost, path = np.zeros((T, P)), np.empty(P)
    for t in dag.order[::-1]:
        for k in range(dag.next_begin[t], dag.next_begin[t + 1]):
            u, comm = dag.next_task[k], dag.mean_comm[dag.next_edge[k]]
            for q in range(P):
                path[q] = cost[u, q] + dag.time[u, q] if dag.time[u, q] >= 0 else np.inf
            moved = path.min() + comm
            for p in range(P):
                cost[t, p] = max(cost[t, p], min(path[p], moved))
    return cost


def optimistic_rank(dag: Dag, cost: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T,) float64 mean of the optimistic cost over the PEs that can run each task."""
    return np.where(dag.supported, cost, 0.0).sum(1) / dag.supported.sum(1)
