"""Seeded random clusters that look like the public production snapshots: fill, churn, constrain.

1. Fill: VMs drawn from the flavour mix, double-NUMA ones first, up to the target CPU use.
2. Churn: a random share of the VMs leaves, new ones arrive until the target is met again.
3. Constrain: draw anti-affinity sets that the placement satisfies, and pinned VMs.

A VM goes to the fullest NUMA node with room (best fit) or, scattered, to a random one; the share
that is scattered sets how fragmented the cluster is. Filling all-scattered without churn is a
random placement of a random VM set: FR16 0.58 on average at the Medium size, where the authors'
shuffled mapping has 0.598.

Source: VM2RL (EuroSys 2025) for the problem and its sizes; the mixes are counted from the base
snapshots its authors publish (github.com/bytedance/DRL-based-VM-Rescheduling, data/). How the
authors drew their own mappings is not published: these are ours, never to be quoted against their
numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError
from rlsched.envs.vmr.cluster import BOTH, AntiAffinitySet, Cluster
from rlsched.envs.vmr.workloads import GeneratorConfig

CORES, MEM_MB, PM, NUMA = range(4)
"""Columns of a VM table (N, 4) int32: cores and MB per node touched, PM row or -1, NUMA node."""
SET_SIZES = (2, 10)
"""Least and most members of an anti-affinity set, as in the published snapshots."""
SET_WINDOW = 64
"""VMs looked at for one set: enough to find 10 on distinct hosts, and a bound on the cost."""
IDLE_BATCHES = 20
"""Batches of arrivals of which none fits before the target CPU use is called unreachable."""


def generate_cluster(config: GeneratorConfig, seed: int) -> Cluster:
    """Return the random cluster of a seed; the same config and seed give the same cluster.

    Args:
        config: sizes, mix, load and constraints.
        seed: any integer >= 0.

    Raises:
        ConfigError: the mix leaves gaps that no VM of it fits, so the CPU use is out of reach.
    """
    rng = np.random.default_rng(seed)
    room = np.empty((config.num_pms, 2, 2), np.int32)
    room[...] = config.cores_per_node, config.mem_mb_per_node
    target = int(config.utilization * room[..., 0].sum(dtype=np.int64))
    scatter = rng.uniform(*config.scatter)
    vms = _fill(config, rng, room, target, scatter)
    vms = _leave(rng, room, vms, rng.uniform(*config.churn))
    vms = _arrive(config, rng, room, vms, target, scatter)
    pm_rack = np.arange(config.num_pms) * min(config.num_racks, config.num_pms) // config.num_pms
    return Cluster(
        name=f"{config.name}-{seed}",
        pm_ids=tuple(f"pm_{i}" for i in range(config.num_pms)),
        vm_ids=tuple(f"vm_{i}" for i in range(len(vms))),
        pm_cores=np.full((config.num_pms, 2), config.cores_per_node, np.int32),
        pm_mem_mb=np.full((config.num_pms, 2), config.mem_mb_per_node, np.int32),
        pm_rack=pm_rack.astype(np.int32),
        pm_active=np.ones(config.num_pms, bool),
        vm_cores=vms[:, CORES].copy(),
        vm_mem_mb=vms[:, MEM_MB].copy(),
        vm_pm=vms[:, PM].copy(),
        vm_numa=vms[:, NUMA].copy(),
        vm_movable=rng.random(len(vms)) >= config.pinned_share,
        anti_affinity=_anti_affinity(config, rng, vms[:, PM], pm_rack),
    )


def _fill(
    config: GeneratorConfig, rng: np.random.Generator, room: NDArray, target: int, scatter: float
) -> NDArray:
    """Place VMs drawn up to the target; doubles first, as they need room on both nodes at once."""
    vms = _draw(config, rng, target)
    vms = vms[np.cumsum(_total_cores(vms)) <= target]
    vms = vms[np.argsort(vms[:, NUMA] != BOTH, kind="stable")]
    _place(room, vms, rng.random(len(vms)), rng.random(len(vms)) < scatter, target)
    return vms[vms[:, PM] >= 0]


def _leave(rng: np.random.Generator, room: NDArray, vms: NDArray, share: float) -> NDArray:
    """Take a random share of the VMs away and return those that stay."""
    stays = rng.permutation(len(vms)) >= round(share * len(vms))
    gone = vms[~stays]
    for node in (0, 1):
        here = gone[(gone[:, NUMA] == node) | (gone[:, NUMA] == BOTH)]
        np.add.at(room[:, node], here[:, PM], here[:, [CORES, MEM_MB]])
    return vms[stays]


def _arrive(
    config: GeneratorConfig,
    rng: np.random.Generator,
    room: NDArray,
    vms: NDArray,
    target: int,
    scatter: float,
) -> NDArray:
    """Let VMs arrive until the target; who does not fit, or would overshoot, is turned away."""
    budget = target - int(_total_cores(vms).sum())
    smallest = min(f.cores * (1 + f.double) for f in config.flavors)
    idle = 0
    while budget >= smallest and idle < IDLE_BATCHES:
        new = _draw(config, rng, budget)
        luck, scattered = rng.random(len(new)), rng.random(len(new)) < scatter
        budget = _place(room, new, luck, scattered, budget)
        new = new[new[:, PM] >= 0]
        idle = 0 if len(new) else idle + 1
        vms = np.concatenate([vms, new])
    if budget >= smallest:
        raise ConfigError(
            f"{config.name!r}: utilization {config.utilization} is out of reach, no VM of the mix "
            f"fits the last {budget} cores; lower utilization or add smaller flavors."
        )
    return vms


def _draw(config: GeneratorConfig, rng: np.random.Generator, cores: int) -> NDArray:
    """Return random VMs, not yet placed, that together need at least about ``cores``."""
    mix = np.array([(f.cores, f.mem_mb, -1, BOTH * f.double) for f in config.flavors], np.int32)
    weights = np.array([f.weight for f in config.flavors], float)
    weights /= weights.sum()
    count = int(1.2 * cores / (weights @ _total_cores(mix))) + 32
    return mix[rng.choice(len(mix), count, p=weights)]


def _total_cores(vms: NDArray) -> NDArray:
    return vms[:, CORES] * np.where(vms[:, NUMA] == BOTH, 2, 1)


@njit(cache=True, nogil=True)
def _place(room: NDArray, vms: NDArray, luck: NDArray, scattered: NDArray, budget: int) -> int:
    """Place VMs in their order and return the cores left of the budget.

    Args:
        room: (P, 2, 2) int32, free cores and MB of each node; lowered in place.
        vms: (N, 4) VM table; PM and NUMA are written, PM stays -1 where there is no room or budget.
        luck: (N,) in [0, 1), where the search for a node starts.
        scattered: (N,) bool, take the first node with room rather than the fullest.
        budget: cores that may still be given out.
    """
    for vm in range(len(vms)):
        cores, mem_mb, double = int(vms[vm, CORES]), int(vms[vm, MEM_MB]), vms[vm, NUMA] == BOTH
        total = 2 * cores if double else cores
        if total > budget:
            continue
        pm, node = _find_node(room, cores, mem_mb, double, luck[vm], scattered[vm])
        if pm < 0:
            continue
        budget -= total
        vms[vm, PM] = pm
        if not double:
            vms[vm, NUMA] = node
        for k in range(2):
            if double or k == node:
                room[pm, k, 0] -= cores
                room[pm, k, 1] -= mem_mb
    return budget


@njit(cache=True, nogil=True)
def _find_node(
    room: NDArray, cores: int, mem_mb: int, double: bool, luck: float, first: bool
) -> tuple[int, int]:
    """Return (PM, node): the fullest node with room, or the first from a random start; -1: none.

    The random start also breaks the ties of best fit, so low row numbers are not favoured.
    """
    start = int(luck * 2 * len(room))
    best_pm, best_node, least = -1, 0, 2**31
    for k in range(2 * len(room)):
        pm, node = divmod((start + k) % (2 * len(room)), 2)
        other = 1 - node if double else node
        if min(room[pm, node, 0], room[pm, other, 0]) < cores:
            continue
        if min(room[pm, node, 1], room[pm, other, 1]) < mem_mb:
            continue
        free = room[pm, node, 0] + room[pm, other, 0]
        if free < least:
            best_pm, best_node, least = pm, node, free
            if first or free == 2 * cores:
                break
    return best_pm, best_node


def _anti_affinity(
    config: GeneratorConfig, rng: np.random.Generator, vm_pm: NDArray, pm_rack: NDArray
) -> tuple[AntiAffinitySet, ...]:
    """Draw disjoint sets of VMs that already are on distinct hosts, or racks."""
    pool = rng.permutation(len(vm_pm))[: round(config.anti_affinity_share * len(vm_pm))].tolist()
    host, rack = vm_pm.tolist(), pm_rack[vm_pm].tolist()
    sets: list[AntiAffinitySet] = []
    while len(pool) >= SET_SIZES[0]:
        by_rack = rng.random() < config.rack_set_share
        size = rng.integers(*SET_SIZES, endpoint=True)
        place = rack if by_rack else host
        members: dict[int, int] = {}
        for vm in pool[:SET_WINDOW]:
            if len(members) < size:
                members.setdefault(place[vm], vm)
        chosen = set(members.values())
        if len(chosen) >= SET_SIZES[0]:
            sets.append(AntiAffinitySet("rack" if by_rack else "host", tuple(sorted(chosen))))
        pool = [vm for vm in pool[:SET_WINDOW] if vm not in chosen] + pool[SET_WINDOW:]
    return tuple(sets)
