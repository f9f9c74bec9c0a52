"""Beam search over forked lanes: the best states of each level go on.

Source: beam search as in operations research, one level per decision, duplicates dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.lanes import lanes
from rlsched.core.plans import FOREVER, Plan, copies_of, costs_of
from rlsched.core.policy import Expansion, Guide
from rlsched.core.simulator import Array, Simulator, host

BRANCHING = 32
"""Ways on that a beam looks at per state."""


def beam(sim: Simulator, lane: int, guide: Guide, width: int, deadline: float = FOREVER) -> Plan:
    """Return the best plan a beam of the given width meets, stopping early included.

    Args:
        sim: the simulator.
        lane: where to start from.
        guide: its gains (or log probabilities, summed) rank the states.
        width: W, states kept per level.
        deadline: ``perf_counter`` time after which no further level is begun.
    """
    front = copies_of(sim, lane, guide, width)
    alive = (np.arange(width) == 0) & ~host(front.terminated)
    rank = np.zeros(width)
    best_cost, best_lane, tree = float(costs_of(front)[0]), 0, list[_Level]()
    best_depth = 0
    while alive.any() and perf_counter() < deadline:
        ways = guide.expand(front, BRANCHING) or _expand(guide, front)
        worth = guide.value(front) if guide.is_gain else None
        base = rank if worth is None else worth
        scores = np.where(alive[:, None], base[:, None] + ways.scores, -np.inf)
        picked = _select(scores, ways.keys, width)
        if not len(picked):
            break
        parent, way = _settle(*np.divmod(picked, scores.shape[1]), width)
        front.fork(parent)
        choices = ways.choices[parent, way]
        for depth in range(choices.shape[1]):
            front.step(choices[:, depth])
        rank = scores[parent, way]
        alive = ~_copied(parent, way) & ~host(front.terminated)
        tree.append(_Level(parent, choices))
        cost = costs_of(front)
        if cost.min() < best_cost:
            best_cost, best_depth, best_lane = float(cost.min()), len(tree), int(cost.argmin())
    return Plan(best_cost, _trace(tree[:best_depth], best_lane))


class _Level(NamedTuple):
    parent: NDArray[np.int_]
    choices: NDArray[np.int32]


def _expand(guide: Guide, sim: Simulator) -> Expansion:
    """Return the best single choices of each lane."""
    scores = guide.scores(sim).astype(np.float64)
    if sim.can_stop:
        scores[:, -1] = -np.inf  # a plan may stop anywhere; only going on needs a place in the beam
    if not guide.is_gain:
        high = np.maximum(scores.max(axis=1, keepdims=True), -1e300)
        scores -= high + np.log(np.exp(scores - high).sum(axis=1, keepdims=True) + 1e-300)
    B, K = sim.num_envs, min(4 * BRANCHING, sim.num_choices)
    best, choices = np.empty((B, K)), np.zeros((B, K), np.int32)
    best_choices(B, scores, best, choices)
    return Expansion(choices[:, :, None], best, sim.keys_after(choices))


@lanes
def best_choices(lane: int, scores: Array, best: Array, choices: Array) -> None:
    """Find a lane's best choices, descending; -inf where there are too few."""
    last = best.shape[1] - 1
    for j in range(last + 1):
        best[lane, j] = -np.inf
    for a in range(scores.shape[1]):
        score = scores[lane, a]
        if score > best[lane, last]:
            j = last
            while j > 0 and best[lane, j - 1] < score:
                best[lane, j], choices[lane, j] = best[lane, j - 1], choices[lane, j - 1]
                j -= 1
            best[lane, j], choices[lane, j] = score, a


def _select(
    scores: NDArray[np.float64], keys: NDArray[np.int64] | None, width: int
) -> NDArray[np.int_]:
    """Return the flat indices of the best ways on, no key twice, in the order of their scores."""
    order = np.argsort(-scores, axis=None, kind="stable")
    order = order[: np.count_nonzero(scores > -np.inf)]
    if keys is not None:
        _, first = np.unique(keys.reshape(-1)[order], return_index=True)
        order = order[np.sort(first)]
    return order[:width]


def _settle(
    parent: NDArray[np.int_], way: NDArray[np.int_], width: int
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Give each child a lane: a parent's first child stays in its lane, so that less is copied.

    Lanes left over repeat the best child.
    """
    _, first = np.unique(parent, return_index=True)
    lane = np.full(len(parent), -1)
    lane[first] = parent[first]
    lane[lane < 0] = np.setdiff1d(np.arange(width), parent)[: len(parent) - len(first)]
    parents, ways = np.full(width, parent[0]), np.full(width, way[0])
    parents[lane], ways[lane] = parent, way
    return parents, ways


def _copied(parent: NDArray[np.int_], way: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Return which lanes repeat a child that an earlier lane holds."""
    _, first = np.unique(np.stack([parent, way]), axis=1, return_index=True)
    out = np.ones(len(parent), np.bool_)
    out[first] = False
    return out


def _trace(tree: Sequence[_Level], lane: int) -> tuple[int, ...]:
    """Return the choices that lead to a lane of the last level."""
    plan: list[int] = []
    for level in reversed(tree):
        plan[:0] = level.choices[lane].tolist()
        lane = int(level.parent[lane])
    return tuple(plan)
