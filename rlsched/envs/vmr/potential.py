"""The potential of a placement, and the guide that is greedy on it.

A PM is worth its whole slots plus a little for every slot begun: with one ``fr16`` term, the sum over its NUMA
nodes of ``floor(f / 16) + weight * ((f mod 16) / 16) ** 2``. The square pays for piling fragments together, which
the rate alone only sees when a slot is complete. The other terms of an objective count in the same way.

A move changes two PMs and VMs of one class on one node are interchangeable, so a decision takes the best
insertions of each class (C x N) and then one look at every VM, never V x N.

Source: ours; the quadratic term is that of best-fit potentials in bin packing (sum of squares, Csirik et al. 2006).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.lanes import helper, lanes
from rlsched.core.policy import Expansion, Guide
from rlsched.core.rng import mix32
from rlsched.core.simulator import Array
from rlsched.envs.vmr.objectives import CORES, CORES_DOUBLE, EMPTY
from rlsched.envs.vmr.simulator import (
    VMRSimulator,
    is_blocked,
    is_target,
)
from rlsched.envs.vmr.state import Clusters, State

WEIGHT = 0.9
"""Share of a slot that a full fragment is worth; 0.5 to 0.9 serve alike."""
NUM_INSERTIONS = 8
"""Best insertions kept per class; a VM that may use none of them looks at every node."""
NO_GAIN = 1e-6
"""Score of STOP: a move must gain more than rounding does."""


class Worth(NamedTuple):
    """How placements are valued, and what the lanes write on their way."""

    weight: Array  # (1,) float64
    by_free: Array  # (F,) float64, slots of a NUMA node by free cores; empty unless all terms are ``cores``
    gain: Array  # (B, C, NUM_INSERTIONS) float64, best insertions of a class, descending
    node: Array  # (B, C, NUM_INSERTIONS) int32, where; -1 = none
    seen: Array  # (B, N) int32, class whose VMs of this node were looked at last


# --- worth ---------------------------------------------------------------------------------------------------


@helper
def slots(amount: int, size: int, weight: float) -> float:
    """Return whole slots plus the begun one's worth."""
    whole = amount // size
    begun = (amount - whole * size) / size
    return whole + weight * begun * begun


@helper
def pm_worth(
    lane: int, c: Clusters, s: State, weight: float, pm: int, f0: int, f1: int, m0: int, m1: int, vms: int
) -> float:
    """Return a PM's worth, in slots of ``grain`` cores, if this were free on it."""
    i, total = s.instance[lane], 0.0
    for t in range(c.term_kind.shape[0]):
        kind, size = c.term_kind[t], c.term_size[t]
        if c.term_total[i, t] <= 0:
            continue
        if kind == CORES:
            count = slots(f0, size, weight) + slots(f1, size, weight)
        elif kind == CORES_DOUBLE:
            half = size // 2
            whole = min(f0 // half, f1 // half)
            begun = min(half, f0 - whole * half) + min(half, f1 - whole * half)
            count = whole + weight * (begun / size) ** 2
        elif kind == EMPTY:
            share = (f0 + f1) / (c.node_cores[i, 2 * pm] + c.node_cores[i, 2 * pm + 1])
            count = 1.0 if vms == 0 else weight * share * share
        else:
            count = slots(m0, size, weight) + slots(m1, size, weight)
        scale = c.term_weight[t] * max(1, size) / c.term_total[i, t]
        total += scale * count
    return total * c.free_total[i] / c.grain[0]


@helper
def present_worth(lane: int, c: Clusters, s: State, weight: float, pm: int) -> float:
    """Return a PM's worth as it is."""
    f, m = s.free[lane], s.free_mem_mb[lane]
    return pm_worth(
        lane, c, s, weight, pm, f[2 * pm], f[2 * pm + 1], m[2 * pm], m[2 * pm + 1], s.pm_vms[lane, pm]
    )


@helper
def gain(
    lane: int, c: Clusters, s: State, w: Worth, pm: int, numa: int, cores: int, mem: int
) -> float:
    """Return what a PM's worth gains if its node(s) took ``cores`` and ``mem`` MB more."""
    f0, f1 = s.free[lane, 2 * pm], s.free[lane, 2 * pm + 1]
    if w.by_free.shape[0] > 0:
        out = 0.0
        if numa != 1:
            out += w.by_free[f0 - cores] - w.by_free[f0]
        if numa != 0:
            out += w.by_free[f1 - cores] - w.by_free[f1]
        return out
    m0, m1 = s.free_mem_mb[lane, 2 * pm], s.free_mem_mb[lane, 2 * pm + 1]
    on0, on1 = int(numa != 1), int(numa != 0)
    after = pm_worth(
        lane, c, s, w.weight[0], pm, f0 - cores * on0, f1 - cores * on1, m0 - mem * on0, m1 - mem * on1,
        s.pm_vms[lane, pm] + (1 if cores > 0 else -1),
    )  # fmt: skip
    return after - present_worth(lane, c, s, w.weight[0], pm)


@helper
def flip_gain(lane: int, c: Clusters, s: State, w: Worth, v: int) -> float:
    """Return the gain of moving a single-NUMA VM to the other node of its PM."""
    i, pm, numa = s.instance[lane], s.vm_pm[lane, v], s.vm_numa[lane, v]
    k = c.vm_class[i, v]
    cores, mem = c.class_cores[i, k], c.class_mem_mb[i, k]
    if w.by_free.shape[0] > 0:
        return gain(lane, c, s, w, pm, numa, -cores, 0) + gain(lane, c, s, w, pm, 1 - numa, cores, 0)
    sign = 1 - 2 * numa
    after = pm_worth(
        lane, c, s, w.weight[0], pm,
        s.free[lane, 2 * pm] + sign * cores, s.free[lane, 2 * pm + 1] - sign * cores,
        s.free_mem_mb[lane, 2 * pm] + sign * mem, s.free_mem_mb[lane, 2 * pm + 1] - sign * mem,
        s.pm_vms[lane, pm],
    )  # fmt: skip
    return after - present_worth(lane, c, s, w.weight[0], pm)


@helper
def removal_gain(lane: int, c: Clusters, s: State, w: Worth, v: int) -> float:
    """Return what its PM gains if a VM left."""
    i, k = s.instance[lane], c.vm_class[s.instance[lane], v]
    cores, mem = c.class_cores[i, k], c.class_mem_mb[i, k]
    return gain(lane, c, s, w, s.vm_pm[lane, v], s.vm_numa[lane, v], -cores, -mem)


@helper
def pair_gain(lane: int, c: Clusters, s: State, w: Worth, v: int, node: int) -> float:
    """Return the gain of moving a VM to a node."""
    i, pm, numa = s.instance[lane], node // 2, s.vm_numa[lane, v]
    if pm == s.vm_pm[lane, v]:
        return flip_gain(lane, c, s, w, v)
    k = c.vm_class[i, v]
    where = 2 if numa == 2 else node % 2
    arrival = gain(lane, c, s, w, pm, where, c.class_cores[i, k], c.class_mem_mb[i, k])
    return removal_gain(lane, c, s, w, v) + arrival


# --- the best moves ------------------------------------------------------------------------------------------


@helper
def best_insertions(lane: int, c: Clusters, s: State, w: Worth, k: int) -> None:
    """Find the nodes (PMs for a double class) that gain most if a VM of a class came."""
    i = s.instance[lane]
    cores, mem, double = c.class_cores[i, k], c.class_mem_mb[i, k], c.class_double[i, k]
    last = w.gain.shape[2] - 1
    for j in range(last + 1):
        w.gain[lane, k, j], w.node[lane, k, j] = -np.inf, -1
    if c.class_begin[i, k] == c.class_begin[i, k + 1] and c.constrained[i, 0] < 0:
        return
    for node in range(0, 2 * c.num_pms[i], 2 if double else 1):
        if s.free[lane, node] < cores or s.free_mem_mb[lane, node] < mem:
            continue
        if double and (s.free[lane, node + 1] < cores or s.free_mem_mb[lane, node + 1] < mem):
            continue
        if not c.pm_active[i, node // 2]:
            continue
        g = gain(lane, c, s, w, node // 2, 2 if double else node % 2, cores, mem)
        if g <= w.gain[lane, k, last]:
            continue
        j = last
        while j > 0 and w.gain[lane, k, j - 1] < g:
            w.gain[lane, k, j], w.node[lane, k, j] = w.gain[lane, k, j - 1], w.node[lane, k, j - 1]
            j -= 1
        w.gain[lane, k, j], w.node[lane, k, j] = g, node


@helper
def best_gain(lane: int, c: Clusters, s: State, w: Worth, v: int) -> float:
    """Return the gain of a VM's best move; -inf if it has none. Its class's insertions must be known."""
    i, k, home = s.instance[lane], c.vm_class[s.instance[lane], v], s.vm_pm[lane, v]
    best, found = -np.inf, False
    free_to_go = c.num_conflicts[i, v] == 0
    for j in range(w.gain.shape[2]):
        node = w.node[lane, k, j]
        if node < 0:
            found = True
            break
        if node // 2 != home and (free_to_go or not is_blocked(lane, c, s, v, node // 2)):
            best = removal_gain(lane, c, s, w, v) + w.gain[lane, k, j]
            found = True
            break
    if not found:
        for node in range(2 * c.num_pms[i]):
            if is_target(lane, c, s, v, node):
                best = max(best, pair_gain(lane, c, s, w, v, node))
    if s.vm_numa[lane, v] < 2 and is_target(lane, c, s, v, 2 * home + 1 - s.vm_numa[lane, v]):
        best = max(best, flip_gain(lane, c, s, w, v))
    return best


@lanes
def score_choices(lane: int, c: Clusters, s: State, w: Worth, scores: Array) -> None:
    """Score a VM by its best move, the node of a chosen VM by that move, STOP by no gain."""
    i, V, N = s.instance[lane], s.vm_pm.shape[1], s.free.shape[1]
    chosen = s.chosen[lane]
    for a in range(V + N):
        scores[lane, a] = -np.inf
    scores[lane, V + N] = NO_GAIN if s.action_mask[lane, V + N] else -np.inf
    if chosen >= 0:
        for node in range(2 * c.num_pms[i]):
            if s.action_mask[lane, V + node]:
                scores[lane, V + node] = pair_gain(lane, c, s, w, chosen, node)
        return
    if s.terminated[lane]:
        return
    for k in range(c.num_classes[i]):
        best_insertions(lane, c, s, w, k)
    for v in range(c.num_vms[i]):
        if s.action_mask[lane, v]:
            scores[lane, v] = best_gain(lane, c, s, w, v)


@lanes
def total_worth(lane: int, c: Clusters, s: State, w: Worth, value: Array) -> None:
    """Sum the worth of the active PMs."""
    i, total = s.instance[lane], 0.0
    for pm in range(c.num_pms[i]):
        if not c.pm_active[i, pm]:
            continue
        if w.by_free.shape[0] > 0:
            total += w.by_free[s.free[lane, 2 * pm]] + w.by_free[s.free[lane, 2 * pm + 1]]
        else:
            total += present_worth(lane, c, s, w.weight[0], pm)
    value[lane] = total


# --- whole migrations, for search ----------------------------------------------------------------------------


@helper
def shape_token(f0: int, f1: int) -> int:
    """Return a number for what is free on a PM, whichever PM and node it is."""
    low, high = min(f0, f1), max(f0, f1)
    key = mix32((int(low) << 13) ^ int(high))
    return (key << 20) ^ mix32(key + 0x51ED270B)


@helper
def shape_after(lane: int, c: Clusters, s: State, v: int, node: int) -> int:
    """Return the change of the lane's shape if a VM moved to a node."""
    i, home, pm, numa = s.instance[lane], s.vm_pm[lane, v], node // 2, s.vm_numa[lane, v]
    cores = c.class_cores[i, c.vm_class[i, v]]
    a0, a1 = int(s.free[lane, 2 * home]), int(s.free[lane, 2 * home + 1])
    before, b0, b1 = shape_token(a0, a1), a0, a1
    a0 += cores if numa != 1 else 0
    a1 += cores if numa != 0 else 0
    if pm == home:
        a0 -= cores if numa != 0 else 0
        a1 -= cores if numa != 1 else 0
        return shape_token(a0, a1) - before
    b0, b1 = int(s.free[lane, 2 * pm]), int(s.free[lane, 2 * pm + 1])
    before += shape_token(b0, b1)
    b0 -= cores if numa == 2 or node % 2 == 0 else 0
    b1 -= cores if numa == 2 or node % 2 == 1 else 0
    return shape_token(a0, a1) + shape_token(b0, b1) - before


@helper
def keep(
    lane: int, gains: Array, choices: Array, v: int, node: int, g: float
) -> None:
    """Insert a move into the lane's best ones, descending."""
    j = gains.shape[1] - 1
    while j > 0 and gains[lane, j - 1] < g:
        gains[lane, j] = gains[lane, j - 1]
        choices[lane, j, 0], choices[lane, j, 1] = choices[lane, j - 1, 0], choices[lane, j - 1, 1]
        j -= 1
    gains[lane, j], choices[lane, j, 0], choices[lane, j, 1] = g, v, node


@helper
def keep_moves_of(
    lane: int, c: Clusters, s: State, w: Worth, v: int, gains: Array, choices: Array
) -> None:
    """Offer a VM's moves to its class's best insertions, and to its sibling node, to the lane's best ones."""
    i, k, home = s.instance[lane], c.vm_class[s.instance[lane], v], s.vm_pm[lane, v]
    last = gains.shape[1] - 1
    leaving = removal_gain(lane, c, s, w, v)
    for j in range(w.gain.shape[2]):
        node, g = w.node[lane, k, j], leaving + w.gain[lane, k, j]
        if node < 0 or g <= gains[lane, last]:
            break
        if node // 2 == home or (
            c.num_conflicts[i, v] > 0 and is_blocked(lane, c, s, v, node // 2)
        ):
            continue
        keep(lane, gains, choices, v, node, g)
    if s.vm_numa[lane, v] < 2:
        sibling = 2 * home + 1 - s.vm_numa[lane, v]
        g = flip_gain(lane, c, s, w, v) if is_target(lane, c, s, v, sibling) else -np.inf
        if g > gains[lane, last]:
            keep(lane, gains, choices, v, sibling, g)


@lanes
def best_moves(
    lane: int, c: Clusters, s: State, w: Worth, gains: Array, choices: Array, keys: Array
) -> None:
    """Find the lane's best migrations, interchangeable VMs of one node once."""
    i, V = s.instance[lane], s.vm_pm.shape[1]
    for j in range(gains.shape[1]):
        gains[lane, j] = -np.inf
    if s.terminated[lane]:
        return
    for node in range(w.seen.shape[1]):
        w.seen[lane, node] = -1
    for k in range(c.num_classes[i]):
        best_insertions(lane, c, s, w, k)
        for row in range(c.class_begin[i, k], c.class_begin[i, k + 1]):
            v = c.class_vms[i, row]
            here = 2 * s.vm_pm[lane, v] + s.vm_numa[lane, v] % 2
            if s.vm_legal[lane, v] and w.seen[lane, here] != k:
                w.seen[lane, here] = k
                keep_moves_of(lane, c, s, w, v, gains, choices)
    for row in range(c.constrained.shape[1]):
        v = c.constrained[i, row]
        if v < 0:
            break
        if s.vm_legal[lane, v]:
            keep_moves_of(lane, c, s, w, v, gains, choices)
    shape = 0
    for pm in range(c.num_pms[i]):
        shape += shape_token(s.free[lane, 2 * pm], s.free[lane, 2 * pm + 1])
    for j in range(gains.shape[1]):
        if gains[lane, j] > -np.inf:
            keys[lane, j] = shape + shape_after(lane, c, s, choices[lane, j, 0], choices[lane, j, 1])
            choices[lane, j, 1] += V


class Potential(Guide):
    """Greedy on the potential; also the guide of beam search and of the portfolio.

    Args:
        weight: worth of a full fragment as a share of a slot.
    """

    is_gain, needs_observation, temperature = True, False, 0.1

    def __init__(self, weight: float = WEIGHT, name: str = "potential") -> None:
        self.name, self.weight = name, weight
        self._sim: VMRSimulator | None = None

    def scores(self, sim: VMRSimulator) -> NDArray[np.float32]:  # type: ignore[override]
        out = np.empty((sim.num_envs, sim.num_choices), np.float32)
        score_choices(sim.num_envs, sim.clusters, sim.state, self._worth(sim), out)
        return out

    def value(self, sim: VMRSimulator) -> NDArray[np.float64]:  # type: ignore[override]
        out = np.empty(sim.num_envs)
        total_worth(sim.num_envs, sim.clusters, sim.state, self._worth(sim), out)
        return out

    def expand(self, sim: VMRSimulator, num: int) -> Expansion:  # type: ignore[override]
        B = sim.num_envs
        gains, choices = np.empty((B, num)), np.zeros((B, num, 2), np.int32)
        keys = np.zeros((B, num), np.int64)
        best_moves(B, sim.clusters, sim.state, self._worth(sim), gains, choices, keys)
        return Expansion(choices, gains, keys)

    def _worth(self, sim: VMRSimulator) -> Worth:
        if sim is not self._sim:
            self._sim, self._tables = sim, worth_tables(sim, self.weight)
        return self._tables


def worth_tables(sim: VMRSimulator, weight: float) -> Worth:
    """Return what the lane functions above need of a simulator and a weight."""
    c, B = sim.clusters, sim.num_envs
    C, N = c.class_cores.shape[1], c.node_cores.shape[1]
    by_free = np.zeros(0)
    if (c.term_kind == CORES).all():
        by_free = np.zeros(int(c.node_cores.max()) + 1)
        for size, share in zip(c.term_size.tolist(), c.term_weight.tolist(), strict=True):
            whole, rest = np.divmod(np.arange(len(by_free)), size)
            by_free += share * size / c.grain[0] * (whole + weight * (rest / size) ** 2)
    return Worth(
        weight=np.array([weight]),
        by_free=by_free,
        gain=np.empty((B, C, NUM_INSERTIONS)),
        node=np.empty((B, C, NUM_INSERTIONS), np.int32),
        seen=np.empty((B, N), np.int32),
    )
