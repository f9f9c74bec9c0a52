"""Which VMs and NUMA nodes are legal choices; exact, and refreshed only where a step changed it."""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.vmr.state import Clusters, State


@helper
def refresh_legal(lane: int, c: Clusters, s: State) -> None:
    """Set ``vm_legal``, touching only classes whose number of feasible nodes crossed 0, 1 or 2."""
    i = s.instance[lane]
    for k in range(c.num_classes[i]):
        level = min(s.num_fit[lane, k], 2)
        if level != s.fit_level[lane, k] or level == 1:
            s.fit_level[lane, k] = level
            for row in range(c.class_begin[i, k], c.class_begin[i, k + 1]):
                v = c.class_vms[i, row]
                s.vm_legal[lane, v] = s.num_fit[lane, k] - fits_own(lane, c, s, v) > 0
    for row in range(c.constrained.shape[1]):
        v = c.constrained[i, row]
        if v < 0:
            break
        s.vm_legal[lane, v] = has_target(lane, c, s, v)


@helper
def fits_own(lane: int, c: Clusters, s: State, v: int) -> int:
    """Return 1 if the VM would fit once more where it is: in ``num_fit``, but no target."""
    i, pm, numa = s.instance[lane], s.vm_pm[lane, v], s.vm_numa[lane, v]
    cores, mem = c.class_cores[i, c.vm_class[i, v]], c.class_mem_mb[i, c.vm_class[i, v]]
    for node in range(2 * pm, 2 * pm + 2):
        here = numa == 2 or node == 2 * pm + numa
        if here and (s.free[lane, node] < cores or s.free_mem_mb[lane, node] < mem):
            return 0
    return 1


@helper
def has_target(lane: int, c: Clusters, s: State, v: int) -> bool:
    """Return whether a VM of an anti-affinity set has a feasible target."""
    i = s.instance[lane]
    double = s.vm_numa[lane, v] == 2
    room = s.num_fit[lane, c.vm_class[i, v]] - fits_own(lane, c, s, v)
    if room <= 0:
        return False
    if room > c.num_conflicts[i, v] * (1 if double else 2):
        return True  # more feasible nodes than its rivals can block
    for node in range(0, 2 * c.num_pms[i], 2 if double else 1):
        if is_target(lane, c, s, v, node):
            return True
    return False


@helper
def is_target(lane: int, c: Clusters, s: State, v: int, node: int) -> bool:
    """Return whether a VM may move to a NUMA node; a double VM is sent to node 0 of a PM."""
    i, pm, numa = s.instance[lane], node // 2, s.vm_numa[lane, v]
    if not c.pm_active[i, pm]:
        return False
    cores, mem = c.class_cores[i, c.vm_class[i, v]], c.class_mem_mb[i, c.vm_class[i, v]]
    if s.free[lane, node] < cores or s.free_mem_mb[lane, node] < mem:
        return False
    if numa == 2:
        if node % 2 == 1 or pm == s.vm_pm[lane, v]:
            return False
        if s.free[lane, node + 1] < cores or s.free_mem_mb[lane, node + 1] < mem:
            return False
    elif node == 2 * s.vm_pm[lane, v] + numa:
        return False
    return not is_blocked(lane, c, s, v, pm)


@helper
def is_blocked(lane: int, c: Clusters, s: State, v: int, pm: int) -> bool:
    """Return whether a PM (or its rack) hosts a VM that shares an anti-affinity set with ``v``."""
    i = s.instance[lane]
    for row in range(c.vm_sets_begin[i, v], c.vm_sets_begin[i, v + 1]):
        group = c.vm_sets[i, row]
        for member in range(c.set_begin[i, group], c.set_begin[i, group + 1]):
            other = c.set_vms[i, member]
            host = s.vm_pm[lane, other]
            if other == v:
                continue
            if host == pm or (c.set_is_rack[i, group] and c.pm_rack[i, host] == c.pm_rack[i, pm]):
                return True
    return False


@helper
def mask_choices(lane: int, c: Clusters, s: State) -> None:
    """Set the action mask: VMs and STOP, or the targets of the VM chosen."""
    i, V, N = s.instance[lane], s.vm_pm.shape[1], s.free.shape[1]
    v, mask = s.chosen[lane], s.action_mask
    mask[lane, V + N] = v < 0
    for node in range(V, V + N):
        mask[lane, node] = False
    if v < 0 and not s.terminated[lane]:
        for u in range(V):
            mask[lane, u] = s.vm_legal[lane, u]
        return
    for u in range(V):
        mask[lane, u] = False
    if v < 0:
        return
    if c.num_conflicts[i, v] > 0 or s.vm_numa[lane, v] == 2:
        for node in range(2 * c.num_pms[i]):
            mask[lane, V + node] = is_target(lane, c, s, v, node)
        return
    cores, mem = c.class_cores[i, c.vm_class[i, v]], c.class_mem_mb[i, c.vm_class[i, v]]
    for node in range(2 * c.num_pms[i]):
        fits = s.free[lane, node] >= cores and s.free_mem_mb[lane, node] >= mem
        mask[lane, V + node] = fits and c.pm_active[i, node // 2]
    mask[lane, V + 2 * s.vm_pm[lane, v] + s.vm_numa[lane, v]] = False
