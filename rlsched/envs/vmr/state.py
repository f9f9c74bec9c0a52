"""Arrays of a VM-rescheduling batch: what an instance fixes and what a lane changes.

Axes: I instances, B lanes, V VMs, P PMs, N = 2P NUMA nodes (node 2p + k is node k of PM p), C VM
classes, T objective terms, M memberships in anti-affinity sets. A class is a (cores, memory,
double) triple: VMs of one class on one node are interchangeable unless pinned or in an
anti-affinity set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlsched.core.simulator import Array
from rlsched.envs.vmr.cluster import BOTH, Cluster
from rlsched.envs.vmr.objectives import CODES, CORES, CORES_DOUBLE, EMPTY, MEMORY, Objective

RACK_CONFLICTS = 1 << 20
"""``num_conflicts`` of a VM in a rack set: more than any count of nodes, so always checked."""
DEFAULT_GRAIN = 16


class Clusters(NamedTuple):
    """What the instances of a bank fix; (I, ...), padded to the largest."""

    num_vms: Array  # (I,) int32
    num_pms: Array  # (I,) int32
    num_active: Array  # (I,) int32, active PMs
    num_classes: Array  # (I,) int32
    migration_limit: Array  # (I,) int32
    pm_active: Array  # (I, P) bool
    pm_rack: Array  # (I, P) int32
    node_cores: Array  # (I, N) int32
    node_mem_mb: Array  # (I, N) int32
    class_cores: Array  # (I, C) int32, per node touched
    class_mem_mb: Array  # (I, C) int32, per node touched
    class_double: Array  # (I, C) bool
    class_begin: Array  # (I, C + 1) int32, rows of class_vms
    class_vms: Array  # (I, V) int32, movable VMs in no set, by class
    constrained: Array  # (I, K) int32, movable VMs in a set; -1 = padding
    vm_class: Array  # (I, V) int32
    vm_movable: Array  # (I, V) bool
    vm_second_edge: Array  # (I, V) int32, row of a double VM's second edge, -1 = single
    num_conflicts: Array  # (I, V) int32, VMs that may not share its host
    vm_sets_begin: Array  # (I, V + 1) int32, rows of vm_sets
    vm_sets: Array  # (I, M) int32, sets of a VM
    set_begin: Array  # (I, S + 1) int32, rows of set_vms
    set_vms: Array  # (I, M) int32, members of a set
    set_is_rack: Array  # (I, S) bool
    start_pm: Array  # (I, V) int32
    start_numa: Array  # (I, V) int32
    start_rate: Array  # (I,) float64
    free_total: Array  # (I,) float64, free cores of the active PMs
    term_kind: Array  # (T,) int32
    term_size: Array  # (T,) int32, cores or MB
    term_weight: Array  # (T,) float64
    term_total: Array  # (I, T) int64, what the usable amount is a share of
    grain: Array  # (1,) int32, cores in whose multiples the objective thinks
    goal: Array  # (1,) float64, rate at which an episode may end; -1 = none


class State(NamedTuple):
    """What a lane changes; (B, ...). The observation comes last, empty without observing."""

    instance: Array  # (B,) int32, row of the bank
    stream: Array  # (B,) int64, stream of the lane's random numbers
    draws: Array  # (B,) int64, random numbers drawn
    free: Array  # (B, N) int32, cores
    free_mem_mb: Array  # (B, N) int32
    pm_vms: Array  # (B, P) int32, VMs hosted
    pm_first: Array  # (B, P) int32, head of the list of a PM's VMs, -1 = empty
    vm_next: Array  # (B, V) int32, the next VM of that list, -1 = last
    vm_previous: Array  # (B, V) int32, the one before, -1 = first
    vm_pm: Array  # (B, V) int32
    vm_numa: Array  # (B, V) int32, 0, 1 or BOTH
    num_fit: Array  # (B, C) int32, nodes (double class: PMs) with room for one more VM
    fit_level: Array  # (B, C) int32, min(num_fit, 2) when legality was last refreshed
    vm_legal: Array  # (B, V) bool, VMs with a feasible target
    chosen: Array  # (B,) int32, VM whose target is being chosen, -1 = choosing a VM
    moves: Array  # (B,) int32, migrations done
    usable: Array  # (B, T) int64, usable amount per objective term
    rate: Array  # (B,) float64, objective, lower is better
    hash: Array  # (B,) int64, order-free fingerprint of the placement
    touched: Array  # (B, 2) int32, PMs changed by the last step, -1 = none
    moved: Array  # (B,) int32, VM moved by the last step, -1 = none
    reward: Array  # (B,) float32
    terminated: Array  # (B,) bool
    action_mask: Array  # (B, V + N + 1) bool
    vm: Array  # (B, V, F) float32
    numa: Array  # (B, N, F) float32
    vm_on_numa: Array  # (B, V + D, 2) int32
    numa_sibling_numa: Array  # (B, N, 2) int32
    context: Array  # (B, F) float32
    num_nodes: Array  # (B, 2) int32


def pack(
    clusters: Sequence[Cluster], objective: Objective, limits: Sequence[int], goal: float | None
) -> Clusters:
    """Return the arrays of a bank of clusters.

    Args:
        clusters: the instances, at least one.
        objective: what is minimised.
        limits: migration limit of each cluster.
        goal: rate at which an episode ends, None = play to the limit.
    """
    tables = [_classes(c) for c in clusters]
    I, V = len(clusters), max(1, max(c.num_vms for c in clusters))  # noqa: E741
    P, C = max(c.num_pms for c in clusters), max(1, max(len(t[0]) for t in tables))
    S = max(1, max(len(c.anti_affinity) for c in clusters))
    M = max(1, max(sum(len(s.vms) for s in c.anti_affinity) for c in clusters))
    T = len(objective.terms)
    z = lambda *shape, dtype=np.int32: np.zeros(shape, dtype)  # noqa: E731
    out = Clusters(
        num_vms=np.array([c.num_vms for c in clusters], np.int32),
        num_pms=np.array([c.num_pms for c in clusters], np.int32),
        num_active=np.array([c.pm_active.sum() for c in clusters], np.int32),
        num_classes=np.array([len(t[0]) for t in tables], np.int32),
        migration_limit=np.array(limits, np.int32),
        pm_active=z(I, P, dtype=np.bool_),
        pm_rack=z(I, P),
        node_cores=z(I, 2 * P),
        node_mem_mb=z(I, 2 * P),
        class_cores=z(I, C),
        class_mem_mb=z(I, C),
        class_double=z(I, C, dtype=np.bool_),
        class_begin=z(I, C + 1),
        class_vms=z(I, V),
        constrained=np.full((I, max(1, *map(_num_constrained, clusters))), -1, np.int32),
        vm_class=z(I, V),
        vm_movable=z(I, V, dtype=np.bool_),
        vm_second_edge=np.full((I, V), -1, np.int32),
        num_conflicts=z(I, V),
        vm_sets_begin=z(I, V + 1),
        vm_sets=z(I, M),
        set_begin=z(I, S + 1),
        set_vms=z(I, M),
        set_is_rack=z(I, S, dtype=np.bool_),
        start_pm=z(I, V),
        start_numa=z(I, V),
        start_rate=np.array([objective.rate(c) for c in clusters]),
        free_total=np.array([c.free_cores[c.pm_active].sum() for c in clusters], np.float64),
        term_kind=np.array([CODES[t.kind] for t in objective.terms], np.int32),
        term_size=np.array([t.size for t in objective.terms], np.int32),
        term_weight=np.array([t.weight for t in objective.terms]),
        term_total=z(I, T, dtype=np.int64),
        grain=np.array([_grain(objective)], np.int32),
        goal=np.array([-1.0 if goal is None else goal]),
    )
    for i, (cluster, table) in enumerate(zip(clusters, tables, strict=True)):
        _fill(out, i, cluster, *table)
    return out


def _grain(objective: Objective) -> int:
    """Return the cores in whose multiples the first cores term thinks."""
    for term in objective.terms:
        if term.kind == "cores":
            return term.size
        if term.kind == "cores_double":
            return term.size // 2
    return DEFAULT_GRAIN


def _classes(c: Cluster) -> tuple[np.ndarray, np.ndarray]:
    """Return the (C, 3) classes of a cluster and each VM's class."""
    triples = np.stack([c.vm_cores, c.vm_mem_mb, c.vm_numa == BOTH], axis=1)
    classes, index = np.unique(triples, axis=0, return_inverse=True)
    return classes, index.reshape(-1)


def _num_constrained(c: Cluster) -> int:
    return len({v for s in c.anti_affinity for v in s.vms})


def _fill(out: Clusters, i: int, c: Cluster, classes: np.ndarray, vm_class: np.ndarray) -> None:
    V, P, C = c.num_vms, c.num_pms, len(classes)
    out.pm_active[i, :P], out.pm_rack[i, :P] = c.pm_active, c.pm_rack
    out.node_cores[i, : 2 * P] = c.pm_cores.reshape(-1)
    out.node_mem_mb[i, : 2 * P] = c.pm_mem_mb.reshape(-1)
    out.class_cores[i, :C], out.class_mem_mb[i, :C] = classes[:, 0], classes[:, 1]
    out.class_double[i, :C] = classes[:, 2]
    out.vm_class[i, :V] = vm_class
    out.start_pm[i, :V], out.start_numa[i, :V] = c.vm_pm, c.vm_numa
    out.vm_movable[i, :V] = c.vm_movable & c.pm_active[c.vm_pm]
    doubles = np.flatnonzero(c.vm_numa == BOTH)
    out.vm_second_edge[i, doubles] = out.vm_class.shape[1] + np.arange(len(doubles))

    memberships = [(v, s) for s, group in enumerate(c.anti_affinity) for v in group.vms]
    sizes = [len(s.vms) for s in c.anti_affinity]
    out.set_begin[i, 1 : len(sizes) + 1] = np.cumsum(sizes)
    for row, (v, s) in enumerate(memberships):
        group = c.anti_affinity[s]
        is_rack = group.granularity == "rack"
        out.set_vms[i, row], out.set_is_rack[i, s] = v, is_rack
        out.num_conflicts[i, v] += RACK_CONFLICTS if is_rack else len(group.vms) - 1
        out.vm_sets_begin[i, v + 1 :] += 1
    for row, (_, s) in enumerate(sorted(memberships)):
        out.vm_sets[i, row] = s

    in_set = np.zeros(V, bool)
    in_set[[v for v, _ in memberships]] = True
    movable = out.vm_movable[i, :V]
    constrained = np.flatnonzero(in_set & movable)
    out.constrained[i, : len(constrained)] = constrained
    free = np.flatnonzero(movable & ~in_set)
    order = free[np.argsort(vm_class[free], kind="stable")]
    out.class_vms[i, : len(order)] = order
    out.class_begin[i, 1:] = len(order)
    out.class_begin[i, 1 : C + 1] = np.cumsum(np.bincount(vm_class[free], minlength=C))

    active = c.pm_active
    cores, mem = int(out.free_total[i]), int(c.free_mem_mb[active].sum(dtype=np.int64))
    totals = {CORES: cores, CORES_DOUBLE: cores, MEMORY: mem, EMPTY: int(active.sum())}
    out.term_total[i] = [totals[int(kind)] for kind in out.term_kind]


def allocate(c: Clusters, num_envs: int, observe: bool, widths: dict[str, int]) -> State:
    """Return zeroed lanes for a bank; ``widths``: feature counts of vm, numa and context."""
    B, V, N, C = num_envs, c.vm_class.shape[1], c.node_cores.shape[1], c.class_cores.shape[1]
    z = lambda *shape, dtype=np.int32: np.zeros((B, *shape), dtype)  # noqa: E731
    on = int(observe)
    return State(
        instance=z(),
        stream=z(dtype=np.int64),
        draws=z(dtype=np.int64),
        free=z(N),
        free_mem_mb=z(N),
        pm_vms=z(N // 2),
        pm_first=z(N // 2),
        vm_next=z(V),
        vm_previous=z(V),
        vm_pm=z(V),
        vm_numa=z(V),
        num_fit=z(C),
        fit_level=z(C),
        vm_legal=z(V, dtype=np.bool_),
        chosen=z(),
        moves=z(),
        usable=z(len(c.term_kind), dtype=np.int64),
        rate=z(dtype=np.float64),
        hash=z(dtype=np.int64),
        touched=z(2),
        moved=z(),
        reward=z(dtype=np.float32),
        terminated=np.ones(B, np.bool_),
        action_mask=z(V + N + 1, dtype=np.bool_),
        vm=z(V * on, widths["vm"], dtype=np.float32),
        numa=z(N * on, widths["numa"], dtype=np.float32),
        vm_on_numa=z(num_vm_edges(c) * on, 2),
        numa_sibling_numa=z(N * on, 2),
        context=z(widths["context"] * on, dtype=np.float32),
        num_nodes=z(2 * on),
    )


def num_vm_edges(c: Clusters) -> int:
    """Return the rows of the vm-on-numa edge list: one per VM, one more per double VM."""
    return int(max(c.vm_class.shape[1], c.vm_second_edge.max() + 1))
