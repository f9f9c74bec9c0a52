"""Random layered DAGs.

A DAG of n tasks with shape a has about sqrt(n) / a levels of about a sqrt(n) tasks. Every task but
those of the first level needs one of the level before; further edges are drawn among all pairs of
tasks on different levels, no more than ``span`` levels apart.

Source: the random graphs of Topcuoglu, Hariri & Wu (2002), section 5.1; levels and spans as in
daggen (github.com/frs69wq/daggen).
"""

from __future__ import annotations

import math

import numpy as np

Pair = tuple[int, int]


def layered_dag(
    rng: np.random.Generator, size: int, shape: float, num_edges: int, span: int, is_closed: bool
) -> list[Pair]:
    """Return the edges of a random DAG, sorted; its tasks are numbered level by level.

    Args:
        rng: what draws.
        size: number of tasks.
        shape: above 1 the DAG is broad, below it is long.
        num_edges: as many as are asked for; there are more where levels and ends need them, and
            fewer where no more are possible.
        span: levels that an edge may bridge, except one to the exit.
        is_closed: whether task 0 is the only one without predecessors, and the last task the only
            one without successors.
    """
    level = _levels(rng, size, shape, is_closed)
    edges = _parents(rng, level)
    if is_closed:
        has_child = {source for source, _ in edges}
        edges |= {(task, size - 1) for task in range(size - 1) if task not in has_child}
    possible = [pair for pair in _pairs(level, span) if pair not in edges]
    missing = max(0, num_edges - len(edges))
    edges.update(possible[i] for i in rng.permutation(len(possible))[:missing])
    return sorted(edges)


def _levels(rng: np.random.Generator, size: int, shape: float, is_closed: bool) -> list[int]:
    """Return each task's level, ascending; closed DAGs have one task on the first and the last."""
    if not is_closed:
        return _inner_levels(rng, size, max(1, round(math.sqrt(size) / shape)))
    if size <= 2:
        return list(range(size))
    middle = _inner_levels(rng, size - 2, max(1, round(math.sqrt(size) / shape) - 2))
    return [0, *(level + 1 for level in middle), middle[-1] + 2]


def _inner_levels(rng: np.random.Generator, size: int, num_levels: int) -> list[int]:
    """Return levels of which each has a task; the others are anywhere."""
    num_levels = min(num_levels, size)
    others = rng.integers(num_levels, size=size - num_levels).tolist()
    return sorted([*range(num_levels), *others])


def _parents(rng: np.random.Generator, level: list[int]) -> set[Pair]:
    """Return for each task an edge from a random one of the level before."""
    begin = [level.index(number) for number in range(level[-1] + 1)] + [len(level)]
    return {
        (int(rng.integers(begin[number - 1], begin[number])), task)
        for task, number in enumerate(level)
        if number > 0
    }


def _pairs(level: list[int], span: int) -> list[Pair]:
    """Return the pairs of tasks that an edge may join."""
    distance = np.array(level)[None, :] - np.array(level)[:, None]
    sources, targets = np.nonzero((distance > 0) & (distance <= span))
    return list(zip(sources.tolist(), targets.tolist(), strict=True))
