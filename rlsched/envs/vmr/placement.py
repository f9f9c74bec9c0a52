"""Putting VMs on NUMA nodes and taking them off, and the fingerprint of a placement."""

from __future__ import annotations

from rlsched.core.lanes import helper, lanes
from rlsched.core.rng import mix32
from rlsched.core.simulator import Array
from rlsched.envs.vmr.state import Clusters, State

HASH_BITS = (1 << 60) - 1


@helper
def lift(lane: int, c: Clusters, s: State, v: int) -> None:
    """Take a VM off its nodes."""
    before, after = s.vm_previous[lane, v], s.vm_next[lane, v]
    if before >= 0:
        s.vm_next[lane, before] = after
    else:
        s.pm_first[lane, s.vm_pm[lane, v]] = after
    if after >= 0:
        s.vm_previous[lane, after] = before
    _occupy(lane, c, s, v, -1)


@helper
def place(lane: int, c: Clusters, s: State, v: int, pm: int, numa: int) -> None:
    """Put a VM on a PM's node 0 or 1, or on both."""
    s.vm_pm[lane, v], s.vm_numa[lane, v] = pm, numa
    after = s.pm_first[lane, pm]
    s.pm_first[lane, pm], s.vm_next[lane, v], s.vm_previous[lane, v] = v, after, -1
    if after >= 0:
        s.vm_previous[lane, after] = v
    _occupy(lane, c, s, v, 1)


@helper
def _occupy(lane: int, c: Clusters, s: State, v: int, sign: int) -> None:
    i, pm, numa = s.instance[lane], s.vm_pm[lane, v], s.vm_numa[lane, v]
    k = c.vm_class[i, v]
    for node in range(2 * pm, 2 * pm + 2):
        if numa == 2 or node == 2 * pm + numa:
            s.free[lane, node] -= sign * c.class_cores[i, k]
            s.free_mem_mb[lane, node] -= sign * c.class_mem_mb[i, k]
    s.pm_vms[lane, pm] += sign
    s.hash[lane] = (s.hash[lane] + sign * token(key_of(lane, c, s, v))) & HASH_BITS


@helper
def key_of(lane: int, c: Clusters, s: State, v: int) -> int:
    """Return 32 bits of a VM and its place; interchangeable VMs on one node are equal."""
    return key_at(lane, c, s, v, s.vm_pm[lane, v], s.vm_numa[lane, v])


@helper
def key_at(lane: int, c: Clusters, s: State, v: int, pm: int, numa: int) -> int:
    """Return :func:`key_of` a VM as if it were on another node."""
    i = s.instance[lane]
    who = c.vm_class[i, v] if is_interchangeable(c, i, v) else c.class_cores.shape[1] + v
    return mix32((int(who) << 16) ^ (3 * pm + numa))


@helper
def token(key: int) -> int:
    """Return what a VM at its place adds to the hash of the placement."""
    return (key << 20) ^ mix32(key + 0x51ED270B)


@helper
def is_interchangeable(c: Clusters, i: int, v: int) -> bool:
    """Return whether a VM is movable and in no anti-affinity set."""
    return c.vm_movable[i, v] and c.vm_sets_begin[i, v] == c.vm_sets_begin[i, v + 1]


@lanes
def fingerprint(lane: int, c: Clusters, s: State, out: Array) -> None:
    """Hash what a lane's future depends on; twins and the order of past moves do not show."""
    v = s.chosen[lane]
    key = mix32(mix32(s.instance[lane]) + 2 * int(s.moves[lane]) + int(s.terminated[lane]))
    if v >= 0:
        key = mix32(key + key_of(lane, c, s, v))
    out[lane] = (s.hash[lane] + (key << 20) + key) & HASH_BITS


@lanes
def fingerprint_after(lane: int, c: Clusters, s: State, choices: Array, out: Array) -> None:
    """Hash the states that some choices of a lane would lead to; twins do not show."""
    v, V = s.chosen[lane], s.vm_pm.shape[1]
    for j in range(choices.shape[1]):
        a = choices[lane, j]
        if v < 0:
            key = key_of(lane, c, s, a) if a < V else -1
            out[lane, j] = (s.hash[lane] + (mix32(key + 1) << 20) + key) & HASH_BITS
        else:
            node = a - V
            numa = 2 if s.vm_numa[lane, v] == 2 else node % 2
            there = token(key_at(lane, c, s, v, node // 2, numa))
            out[lane, j] = (s.hash[lane] - token(key_of(lane, c, s, v)) + there) & HASH_BITS
