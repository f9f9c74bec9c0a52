"""The potential of a placement, and the guide that is greedy on it.

A PM is worth its whole slots plus a little for every slot begun: with one ``fr16`` term, the sum
over its NUMA nodes of ``floor(f / 16) + weight * ((f mod 16) / 16) ** 2``. The square pays for
piling fragments together, which the rate alone only sees when a slot is complete. The other terms
of an objective count in the same way.

A move changes two PMs and VMs of one class on one node are interchangeable, so a decision takes the
best insertions of each class (C x N) and then one look at every VM, never V x N.

Source: ours; the quadratic term is that of best-fit potentials in bin packing (sum of squares,
Csirik et al. 2006).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from rlsched.core.lanes import helper, lanes
from rlsched.core.policy import Expansion, Guide
from rlsched.core.rng import mix32
from rlsched.core.simulator import Array
from rlsched.envs.vmr.legality import is_blocked, is_target
from rlsched.envs.vmr.objectives import CORES, CORES_DOUBLE, EMPTY
from rlsched.envs.vmr.simulator import VMRSimulator
from rlsched.envs.vmr.state import Clusters, State

function = register_jitable(error_model="numpy", _nrt=False)
"""Like ``helper``, but called and not inlined: for scalar code used in many places, so that it
compiles quickly."""

WEIGHT = 0.5
"""Share of a slot that a full fragment is worth; 0.5 to 0.9 serve alike."""
NUM_INSERTIONS = 8
"""Best insertions kept per class; a VM that may use none of them looks at every node."""
STRIDE = 23
"""PMs between one looked at and the next."""
NO_GAIN = 1e-6
"""Score of STOP: a move must gain more than rounding does."""


class Worth(NamedTuple):
    """How placements are valued, and what the lanes write on their way."""

    weight: Array  # (1,) float64
    scale: Array  # (I, T) float64, slots of ``grain`` cores that a unit of a term is worth
    by_free: (
        Array  # (F,) float64, slots by a node's free cores; empty unless all terms are ``cores``
    )
    gain: Array  # (B, C, NUM_INSERTIONS) float64, best insertions of a class, descending
    node: Array  # (B, C, NUM_INSERTIONS) int32, where; -1 = none
    seen: Array  # (B, N) int32, class whose VMs of this node were looked at last


# --- worth ----------------------------------------------------------------------------------------


@function
def slots(amount: int, size: int, weight: float) -> float:
    """Return whole slots plus the begun one's worth."""
    whole = amount // size
    begun = (amount - whole * size) / size
    return whole + weight * begun * begun


@function
def units(
    kind: int, size: int, weight: float, cores: int, f0: int, f1: int, m0: int, m1: int, vms: int
) -> float:
    """Return how many units of a term a PM of ``cores`` cores counts, if this were free on it."""
    if kind == CORES:
        return slots(f0, size, weight) + slots(f1, size, weight)
    if kind == CORES_DOUBLE:
        half = size // 2
        whole = min(f0 // half, f1 // half)
        begun = (min(half, f0 - whole * half) + min(half, f1 - whole * half)) / size
        return whole + weight * begun * begun
    if kind == EMPTY:
        share = (f0 + f1) / cores
        return 1.0 if vms == 0 else weight * share * share
    return slots(m0, size, weight) + slots(m1, size, weight)


@function
def worth_change(
    kind: Array, size: Array, scale: Array, weight: float, cores: int,
    f0: int, f1: int, m0: int, m1: int, vms: int, d0: int, d1: int, e0: int, e1: int, more: int,
) -> float:  # fmt: skip
    """Return what a PM's worth gains if ``d`` cores and ``e`` MB less were free on its nodes."""
    total = 0.0
    for t in range(kind.shape[0]):
        before = units(kind[t], size[t], weight, cores, f0, f1, m0, m1, vms)
        after = units(
            kind[t], size[t], weight, cores, f0 - d0, f1 - d1, m0 - e0, m1 - e1, vms + more
        )
        total += scale[t] * (after - before)
    return total


@helper
def change(
    lane: int,
    c: Clusters,
    s: State,
    w: Worth,
    pm: int,
    d0: int,
    d1: int,
    e0: int,
    e1: int,
    more: int,
) -> float:
    """Return what a PM gains if its nodes took ``d`` cores, ``e`` MB, and it ``more`` VMs."""
    i, a = s.instance[lane], 2 * pm
    f0, f1 = s.free[lane, a], s.free[lane, a + 1]
    if w.by_free.shape[0] > 0:
        return w.by_free[f0 - d0] - w.by_free[f0] + w.by_free[f1 - d1] - w.by_free[f1]
    cores = c.node_cores[i, a] + c.node_cores[i, a + 1]
    m0, m1 = s.free_mem_mb[lane, a], s.free_mem_mb[lane, a + 1]
    return worth_change(
        c.term_kind, c.term_size, w.scale[i], w.weight[0], cores,
        f0, f1, m0, m1, s.pm_vms[lane, pm], d0, d1, e0, e1, more,
    )  # fmt: skip


@helper
def gain(
    lane: int, c: Clusters, s: State, w: Worth, pm: int, numa: int, cores: int, mem: int
) -> float:
    """Return what a PM's worth gains if its node(s) took ``cores`` and ``mem`` MB more."""
    on0, on1 = int(numa != 1), int(numa != 0)
    more = 1 if cores > 0 else -1
    return change(lane, c, s, w, pm, cores * on0, cores * on1, mem * on0, mem * on1, more)


@helper
def removal_gain(lane: int, c: Clusters, s: State, w: Worth, v: int) -> float:
    """Return what its PM gains if a VM left."""
    i, k = s.instance[lane], c.vm_class[s.instance[lane], v]
    cores, mem = c.class_cores[i, k], c.class_mem_mb[i, k]
    return gain(lane, c, s, w, s.vm_pm[lane, v], s.vm_numa[lane, v], -cores, -mem)


@helper
def pair_gain(lane: int, c: Clusters, s: State, w: Worth, v: int, node: int) -> float:
    """Return the gain of moving a VM to a node."""
    i, home, numa = s.instance[lane], s.vm_pm[lane, v], s.vm_numa[lane, v]
    k = c.vm_class[i, v]
    cores, mem = c.class_cores[i, k], c.class_mem_mb[i, k]
    if node // 2 == home:
        sign = 1 - 2 * (node % 2)
        d, e = sign * cores, sign * mem
        return change(lane, c, s, w, home, d, -d, e, -e, 0)
    where = 2 if numa == 2 else node % 2
    leaving = gain(lane, c, s, w, home, numa, -cores, -mem)
    return leaving + gain(lane, c, s, w, node // 2, where, cores, mem)


# --- the best moves -------------------------------------------------------------------------------


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
    # In strides, so that equals are not all in one rack, which anti-affinity may bar.
    for first in range(STRIDE):
        for pm in range(first, c.num_pms[i], STRIDE):
            if not c.pm_active[i, pm]:
                continue
            for node in range(2 * pm, 2 * pm + (1 if double else 2)):
                if s.free[lane, node] < cores or s.free_mem_mb[lane, node] < mem:
                    continue
                if double and (
                    s.free[lane, node + 1] < cores or s.free_mem_mb[lane, node + 1] < mem
                ):
                    continue
                g = gain(lane, c, s, w, pm, 2 if double else node % 2, cores, mem)
                if g > w.gain[lane, k, last]:
                    insert(lane, w, k, node, g)


@helper
def insert(lane: int, w: Worth, k: int, node: int, g: float) -> None:
    """Put an insertion among the best of its class."""
    j = w.gain.shape[2] - 1
    while j > 0 and w.gain[lane, k, j - 1] < g:
        w.gain[lane, k, j], w.node[lane, k, j] = w.gain[lane, k, j - 1], w.node[lane, k, j - 1]
        j -= 1
    w.gain[lane, k, j], w.node[lane, k, j] = g, node


@helper
def best_gain(lane: int, c: Clusters, s: State, w: Worth, v: int) -> float:
    """Return the gain of a VM's best move, -inf if none; after its class's insertions."""
    i, k, home = s.instance[lane], c.vm_class[s.instance[lane], v], s.vm_pm[lane, v]
    sibling = 2 * home + 1 - s.vm_numa[lane, v] if s.vm_numa[lane, v] < 2 else -1
    best, found = -np.inf, False
    for j in range(w.gain.shape[2]):
        node = w.node[lane, k, j]
        if node < 0:
            found = True
            break
        if node // 2 == home:
            continue
        if c.num_conflicts[i, v] == 0 or not is_blocked(lane, c, s, v, node // 2):
            best = removal_gain(lane, c, s, w, v) + w.gain[lane, k, j]
            found = True
            break
    for node in range(2 * c.num_pms[i]) if not found else range(sibling, sibling + 1):
        if node >= 0 and is_target(lane, c, s, v, node):
            best = max(best, pair_gain(lane, c, s, w, v, node))
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
            f, m, a = s.free[lane], s.free_mem_mb[lane], 2 * pm
            cores = c.node_cores[i, a] + c.node_cores[i, a + 1]
            for t in range(c.term_kind.shape[0]):
                total += w.scale[i, t] * units(
                    c.term_kind[t], c.term_size[t], w.weight[0], cores,
                    f[a], f[a + 1], m[a], m[a + 1], s.pm_vms[lane, pm],
                )  # fmt: skip
    value[lane] = total


# --- whole migrations, for search -----------------------------------------------------------------


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
def keep(lane: int, gains: Array, choices: Array, v: int, node: int, g: float) -> None:
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
    """Keep a VM's moves to its class's best insertions and to its sibling node, if good."""
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
        g = pair_gain(lane, c, s, w, v, sibling)
        if g > gains[lane, last] and is_target(lane, c, s, v, sibling):
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
    num_free = c.class_begin[i, c.num_classes[i]]
    for row in range(num_free + c.constrained.shape[1]):
        v = c.class_vms[i, row] if row < num_free else c.constrained[i, row - num_free]
        if v < 0:
            break
        if not s.vm_legal[lane, v]:
            continue
        if row < num_free:
            k, here = c.vm_class[i, v], 2 * s.vm_pm[lane, v] + s.vm_numa[lane, v] % 2
            if w.seen[lane, here] == k:
                continue
            w.seen[lane, here] = k
        keep_moves_of(lane, c, s, w, v, gains, choices)
    shape = 0
    for pm in range(c.num_pms[i]):
        shape += shape_token(s.free[lane, 2 * pm], s.free[lane, 2 * pm + 1])
    for j in range(gains.shape[1]):
        if gains[lane, j] > -np.inf:
            keys[lane, j] = shape + shape_after(
                lane, c, s, choices[lane, j, 0], choices[lane, j, 1]
            )
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
    totals = np.where(c.term_total > 0, c.term_total, np.inf)
    unit = c.term_weight * np.maximum(c.term_size, 1) / c.grain[0]
    scale = unit * c.free_total[:, None] / totals
    by_free = np.zeros(0)
    if (c.term_kind == CORES).all():
        by_free = np.zeros(int(c.node_cores.max()) + 1)
        for size, share in zip(c.term_size.tolist(), unit.tolist(), strict=True):
            whole, rest = np.divmod(np.arange(len(by_free)), size)
            by_free += share * (whole + weight * (rest / size) ** 2)
    return Worth(
        weight=np.array([weight]),
        scale=scale,
        by_free=by_free,
        gain=np.empty((B, C, NUM_INSERTIONS)),
        node=np.empty((B, C, NUM_INSERTIONS), np.int32),
        seen=np.empty((B, N), np.int32),
    )
