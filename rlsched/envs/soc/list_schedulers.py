"""Static list schedulers: the whole DAG is known, tasks are placed one by one and stay.

All but HBMCT insert tasks into the earliest gap that is long enough. Of PEs that are equally good
the first is taken, of tasks the first in topological order. PEs that cannot run a task do not count
in means.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.soc.dag import Dag
from rlsched.envs.soc.hbmct import hbmct
from rlsched.envs.soc.ranks import (
    DECIMALS,
    downward_rank,
    optimistic_cost,
    optimistic_rank,
    upward_order,
    upward_rank,
)
from rlsched.envs.soc.schedule import Schedule, settle
from rlsched.envs.soc.timeline import (
    insert_best_pair,
    insert_by_priority,
    insert_looking_ahead,
)


def heft(dag: Dag) -> Schedule:
    """Place tasks by upward rank where they finish first.

    Source: Topcuoglu, Hariri & Wu (2002), "Performance-Effective and Low-Complexity Task Scheduling
    for Heterogeneous Computing", heterogeneous earliest finish time.
    """
    return _by_priority(dag, upward_rank(dag))


def cpop(dag: Dag) -> Schedule:
    """Place the critical path on the PE that runs it fastest, other tasks where they finish first.

    Where no PE can run all of the path, it is one that can run most of its tasks.

    Source: Topcuoglu, Hariri & Wu (2002), critical path on a processor.
    """
    priority = np.round(upward_rank(dag) + downward_rank(dag), DECIMALS)
    path = critical_path(dag, priority)
    times = dag.time[path]
    num_missing = (times < 0).sum(0)
    pe = np.lexsort((np.where(times < 0, 0, times).sum(0), num_missing))[0]
    forced = np.full(dag.num_tasks, -1)
    forced[path[times[:, pe] >= 0]] = pe
    return _by_priority(dag, priority, forced=forced)


def critical_path(dag: Dag, priority: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the tasks of a longest path by mean times.

    Args:
        dag: the tasks.
        priority: (T,) float64, mean ticks of the longest path through each task.
    """
    entries = np.flatnonzero(np.diff(dag.prev_begin) == 0)
    path = [int(entries[priority[entries].argmax()])]
    while dag.next_begin[path[-1]] < dag.next_begin[path[-1] + 1]:
        after = dag.next_task[dag.next_begin[path[-1]] : dag.next_begin[path[-1] + 1]]
        path.append(int(after[priority[after].argmax()]))
    return np.array(path, np.int64)


def peft(dag: Dag) -> Schedule:
    """Place tasks by optimistic cost where they and what follows would finish first.

    Source: Arabnejad & Barbosa (2014), "List Scheduling Algorithm for Heterogeneous Systems by an
    Optimistic Cost Table", predict earliest finish time.
    """
    cost = optimistic_cost(dag)
    return _by_priority(dag, optimistic_rank(dag, cost), extra=cost)


def lookahead(dag: Dag) -> Schedule:
    """Place tasks by upward rank where their successors would finish first.

    Source: Bittencourt, Sakellariou & Madeira (2010), "DAG Scheduling Using a Lookahead Variant of
    the Heterogeneous Earliest Finish Time Algorithm". Successors wait for the tasks placed so far
    only.
    """
    order = upward_order(dag)
    place = np.argsort(order)
    source = dag.prev_task[dag.next_edge]
    children = dag.next_task[np.lexsort((place[dag.next_task], source))]
    return settle(dag, *insert_looking_ahead(dag, order, children))


def eft(dag: Dag) -> Schedule:
    """Place tasks in topological order where they finish first."""
    return _by_priority(dag, -dag.position.astype(np.float64))


def min_min(dag: Dag) -> Schedule:
    """Place the ready task that can finish first, where it does.

    Source: Ibarra & Kim (1977), algorithm D; Maheswaran et al. (1999), Min-Min.
    """
    return settle(dag, *insert_best_pair(dag, np.zeros(dag.num_tasks), False, False))


def max_min(dag: Dag) -> Schedule:
    """Place the ready task whose earliest finish is last, where it finishes first.

    Source: Ibarra & Kim (1977), algorithm E; Maheswaran et al. (1999), Max-Min.
    """
    return settle(dag, *insert_best_pair(dag, np.zeros(dag.num_tasks), False, True))


def etf(dag: Dag) -> Schedule:
    """Place the ready task that can start first, where it does; of equals by upward rank.

    Source: Hwang, Chow, Anger & Lee (1989), "Scheduling Precedence Graphs in Systems with
    Interprocessor Communication Times", earliest task first.
    """
    priority = np.round(upward_rank(dag), DECIMALS)
    return settle(dag, *insert_best_pair(dag, priority, True, False))


def in_order(dag: Dag, order: NDArray[np.int64], pe: NDArray[np.int64] | None = None) -> Schedule:
    """Insert tasks in an order that another scheduler found.

    Args:
        dag: the tasks.
        order: (T,) int64, tasks, each behind those it needs.
        pe: (T,) int64, PE of each task; None = where it finishes first.
    """
    priority = np.empty(dag.num_tasks)
    priority[order] = np.arange(dag.num_tasks, 0, -1)
    return _by_priority(dag, priority, forced=pe)


def _by_priority(
    dag: Dag,
    priority: NDArray[np.float64],
    extra: NDArray[np.float64] | None = None,
    forced: NDArray[np.int64] | None = None,
) -> Schedule:
    if extra is None:
        extra = np.zeros(dag.time.shape)
    if forced is None:
        forced = np.full(dag.num_tasks, -1)
    priority = np.round(priority, DECIMALS)
    return settle(dag, *insert_by_priority(dag, priority, extra, forced))


STATIC: dict[str, Callable[[Dag], Schedule]] = {
    fn.__name__: fn for fn in (heft, cpop, peft, lookahead, eft, min_min, max_min, etf, hbmct)
}
"""Schedulers by name."""
