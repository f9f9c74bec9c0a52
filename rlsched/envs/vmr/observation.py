"""The observation graph of VM rescheduling, kept up to date in place.

A VM node points at the NUMA node or nodes it sits on; the two nodes of a PM are siblings. Features
are raw; those called a cost are changes of the objective in cores: the rate times the cluster's
free cores, so that one 16-core slot gained is -16 under ``fr16``. A step rewrites the rows of the
two PMs it touched and nothing else.
"""

from __future__ import annotations

from rlsched.core.graph import EdgeType, Feature, GraphSpec, NodeType
from rlsched.core.lanes import helper
from rlsched.envs.vmr.objectives import CORES, usable
from rlsched.envs.vmr.state import Clusters, State

GRAIN = 16.0

GRAPH = GraphSpec(
    env="vmr",
    version=1,
    nodes=(
        NodeType(
            "vm",
            (
                Feature("cores", "core", 16, "cores on each NUMA node it touches"),
                Feature("mem_gib", "GiB", 64, "memory on each NUMA node it touches"),
                Feature("is_double", "1", 1, "1 = occupies both nodes of its PM"),
                Feature("is_movable", "1", 1, "0 = pinned"),
                Feature("num_conflicts", "1", 8, "VMs it may not share a host with, at most 64"),
                Feature("removal_cost", "core", 16, "change of the objective if it left"),
                Feature(
                    "fragment_left", "core", 16, "free mod grain of its nodes if it left", GRAIN
                ),
                Feature("free_left", "core", 44, "free cores on its node(s) if it left"),
            ),
            is_choosable=True,
        ),
        NodeType(
            "numa",
            (
                Feature("free_cores", "core", 44, "free cores"),
                Feature("fragment", "core", 16, "free mod grain", GRAIN),
                Feature("free_mem_gib", "GiB", 180, "free memory"),
                Feature("cores", "core", 44, "cores in all"),
                Feature("is_active", "1", 1, "0 = takes no VM"),
                Feature("num_vms", "1", 16, "VMs on its PM"),
                Feature("is_target", "1", 1, "the chosen VM may move here"),
                Feature("insertion_cost", "core", 16, "change of the objective if the VM came"),
                Feature("fragment_after", "core", 16, "free mod grain if the VM came", GRAIN),
            ),
            is_choosable=True,
        ),
    ),
    edges=(EdgeType("vm", "on", "numa"), EdgeType("numa", "sibling", "numa")),
    context=(
        Feature("is_choosing_node", "1", 1, "0 = choose a VM, 1 = choose its node"),
        Feature("moves_left", "migration", 50, "migrations before the limit"),
        Feature("moves_left_per_pm", "1", 0.25, "the same, per active PM"),
        Feature("rate", "1", 1, "objective, lower is better"),
        Feature("free_per_node", "core", 8, "mean free cores of an active PM's NUMA node"),
        Feature("chosen_cores", "core", 16, "cores per node of the chosen VM"),
        Feature("chosen_is_double", "1", 1, "the chosen VM occupies both nodes"),
        Feature("chosen_removal_cost", "core", 16, "removal_cost of the chosen VM"),
    ),
)


@helper
def observe_all(lane: int, c: Clusters, s: State) -> None:
    """Write the whole observation of a lane."""
    i, V, N = s.instance[lane], s.vm.shape[1], s.numa.shape[1]
    for row in range(s.vm_on_numa.shape[1]):
        s.vm_on_numa[lane, row, 0], s.vm_on_numa[lane, row, 1] = V, N
    for node in range(N):
        for f in range(s.numa.shape[2]):
            s.numa[lane, node, f] = 0.0
        real = node < 2 * c.num_pms[i]
        s.numa_sibling_numa[lane, node, 0] = node if real else N
        s.numa_sibling_numa[lane, node, 1] = node ^ 1 if real else N
    for pm in range(c.num_pms[i]):
        observe_pm(lane, c, s, pm)
    for v in range(V):
        for f in range(s.vm.shape[2]):
            s.vm[lane, v, f] = 0.0
        if v < c.num_vms[i]:
            observe_edge(lane, c, s, v)
            observe_size(lane, c, s, v)
            observe_vm(lane, c, s, v)
    if s.chosen[lane] >= 0:
        observe_targets(lane, c, s)
    s.num_nodes[lane, 0], s.num_nodes[lane, 1] = c.num_vms[i], 2 * c.num_pms[i]
    observe_context(lane, c, s)


@helper
def observe_step(lane: int, c: Clusters, s: State) -> None:
    """Rewrite what the last step changed."""
    source, target = s.touched[lane, 0], s.touched[lane, 1]
    if source >= 0:
        observe_edge(lane, c, s, s.moved[lane])
        for j in range(1 if target == source else 2):
            pm = target if j else source
            observe_pm(lane, c, s, pm)
            observe_hosted(lane, c, s, pm)
    elif s.chosen[lane] >= 0:
        observe_targets(lane, c, s)
    observe_context(lane, c, s)


@helper
def observe_edge(lane: int, c: Clusters, s: State, v: int) -> None:
    """Point a VM at the node or nodes it sits on."""
    pm, numa = s.vm_pm[lane, v], s.vm_numa[lane, v]
    s.vm_on_numa[lane, v, 0] = v
    s.vm_on_numa[lane, v, 1] = 2 * pm + (numa if numa < 2 else 0)
    second = c.vm_second_edge[s.instance[lane], v]
    if second >= 0:
        s.vm_on_numa[lane, second, 0], s.vm_on_numa[lane, second, 1] = v, 2 * pm + 1


@helper
def observe_hosted(lane: int, c: Clusters, s: State, pm: int) -> None:
    """Write the features of every VM on a PM."""
    v = s.pm_first[lane, pm]
    while v >= 0:
        observe_vm(lane, c, s, v)
        v = s.vm_next[lane, v]


@helper
def observe_size(lane: int, c: Clusters, s: State, v: int) -> None:
    """Write what a VM keeps for the whole episode."""
    i = s.instance[lane]
    k = c.vm_class[i, v]
    s.vm[lane, v, 0] = c.class_cores[i, k]
    s.vm[lane, v, 1] = c.class_mem_mb[i, k] / 1024.0
    s.vm[lane, v, 2] = c.class_double[i, k]
    s.vm[lane, v, 3] = c.vm_movable[i, v]
    s.vm[lane, v, 4] = min(64, c.num_conflicts[i, v])


@helper
def observe_vm(lane: int, c: Clusters, s: State, v: int) -> None:
    """Write what a VM's place decides; the features of its PM must be up to date."""
    i, pm, numa = s.instance[lane], s.vm_pm[lane, v], s.vm_numa[lane, v]
    k, grain = c.vm_class[i, v], c.grain[0]
    cores, mem = c.class_cores[i, k], c.class_mem_mb[i, k]
    left, fragment, less = 0, 0, 0
    for node in range(2 * pm, 2 * pm + 2):
        if numa == 2 or node == 2 * pm + numa:
            left += s.free[lane, node] + cores
            fragment += (s.free[lane, node] + cores) % grain
            less += cores + int(s.numa[lane, node, 1])
    if is_simple(c) and c.pm_active[i, pm]:
        s.vm[lane, v, 5] = fragment - less
    else:
        s.vm[lane, v, 5] = cost_of_change(lane, c, s, pm, numa, -cores, -mem)
    s.vm[lane, v, 6] = fragment
    s.vm[lane, v, 7] = left


@helper
def is_simple(c: Clusters) -> bool:
    """Return whether the objective is one cores term: then a cost is a change of fragments."""
    return c.term_kind.shape[0] == 1 and c.term_kind[0] == CORES


@helper
def observe_pm(lane: int, c: Clusters, s: State, pm: int) -> None:
    """Write the features of a PM's two nodes, as they are before any VM is chosen."""
    i = s.instance[lane]
    for node in range(2 * pm, 2 * pm + 2):
        s.numa[lane, node, 0] = s.free[lane, node]
        s.numa[lane, node, 1] = s.free[lane, node] % c.grain[0]
        s.numa[lane, node, 2] = s.free_mem_mb[lane, node] / 1024.0
        s.numa[lane, node, 3] = c.node_cores[i, node]
        s.numa[lane, node, 4] = c.pm_active[i, pm]
        s.numa[lane, node, 5] = s.pm_vms[lane, pm]


@helper
def observe_targets(lane: int, c: Clusters, s: State) -> None:
    """Write what the chosen VM would do to each of its targets."""
    i, v, V = s.instance[lane], s.chosen[lane], s.vm_pm.shape[1]
    k, grain, numa = c.vm_class[i, v], c.grain[0], s.vm_numa[lane, v]
    cores, mem = c.class_cores[i, k], c.class_mem_mb[i, k]
    simple = is_simple(c) and numa < 2
    part = cores % grain
    for node in range(2 * c.num_pms[i]):
        if not s.action_mask[lane, V + node]:
            continue
        s.numa[lane, node, 6] = 1.0
        fragment = int(s.numa[lane, node, 1]) - part
        if fragment < 0:
            fragment += grain
        if simple:  # one division-free line for the common objective
            s.numa[lane, node, 7] = fragment - s.numa[lane, node, 1] + cores
        else:
            where = 2 if numa == 2 else node % 2
            s.numa[lane, node, 7] = cost_of_change(lane, c, s, node // 2, where, cores, mem)
        s.numa[lane, node, 8] = fragment


@helper
def forget_targets(lane: int, s: State) -> None:
    """Clear what :func:`observe_targets` wrote, while the mask still shows where."""
    V = s.vm_pm.shape[1]
    for node in range(s.numa.shape[1]):
        if s.action_mask[lane, V + node]:
            for f in range(6, 9):
                s.numa[lane, node, f] = 0.0


@helper
def observe_context(lane: int, c: Clusters, s: State) -> None:
    """Write the features of the whole lane."""
    i, v = s.instance[lane], s.chosen[lane]
    left = c.migration_limit[i] - s.moves[lane]
    s.context[lane, 0] = v >= 0
    s.context[lane, 1] = left
    s.context[lane, 2] = left / max(1, c.num_active[i])
    s.context[lane, 3] = s.rate[lane]
    s.context[lane, 4] = c.free_total[i] / max(1, 2 * c.num_active[i])
    s.context[lane, 5] = c.class_cores[i, c.vm_class[i, v]] if v >= 0 else 0.0
    s.context[lane, 6] = v >= 0 and s.vm_numa[lane, v] == 2
    s.context[lane, 7] = s.vm[lane, v, 5] if v >= 0 else 0.0


@helper
def cost_of_change(
    lane: int, c: Clusters, s: State, pm: int, numa: int, cores: int, mem: int
) -> float:
    """Return the objective's change, in cores, if a PM's node(s) gave ``cores`` and ``mem`` MB."""
    i = s.instance[lane]
    if not c.pm_active[i, pm]:
        return 0.0
    on0, on1 = numa != 1, numa != 0
    f0, f1 = s.free[lane, 2 * pm], s.free[lane, 2 * pm + 1]
    m0, m1 = s.free_mem_mb[lane, 2 * pm], s.free_mem_mb[lane, 2 * pm + 1]
    hosted = s.pm_vms[lane, pm]
    more = 1 if cores > 0 else -1
    g0, g1 = f0 - cores * on0, f1 - cores * on1
    n0, n1 = m0 - mem * on0, m1 - mem * on1
    cost = 0.0
    for t in range(c.term_kind.shape[0]):
        kind, size = c.term_kind[t], c.term_size[t]
        before = usable(kind, size, f0, f1, m0, m1, hosted)
        after = usable(kind, size, g0, g1, n0, n1, hosted + more)
        total = c.term_total[i, t]
        if total > 0:
            cost += c.term_weight[t] * (before - after) * c.free_total[i] / total
    return cost
