"""Small clusters for tests: one typed in by hand, and random ones that hold every constraint."""

from __future__ import annotations

import numpy as np

from rlsched.envs.vmr.instances import BOTH, AntiAffinitySet, Cluster

GIB = 1024


def make_cluster(
    pms: list[tuple[int, int]],
    vms: list[tuple[int, int, int, int]],
    *,
    racks: list[int] | None = None,
    inactive: tuple[int, ...] = (),
    pinned: tuple[int, ...] = (),
    sets: tuple[AntiAffinitySet, ...] = (),
    name: str = "by hand",
) -> Cluster:
    """Return a cluster of rows.

    Args:
        pms: cores and GiB of each NUMA node, per PM.
        vms: (pm, numa, cores, GiB) per VM; cores and GiB per node touched.
        racks: rack of each PM, all 0 if omitted.
        inactive: rows of PMs that are not active.
        pinned: rows of VMs that must not move.
        sets: anti-affinity sets.
        name: label.
    """
    pm, vm = np.array(pms, np.int32), np.array(vms, np.int32)
    return Cluster(
        name=name,
        pm_ids=tuple(f"pm{i}" for i in range(len(pm))),
        vm_ids=tuple(f"vm{i}" for i in range(len(vm))),
        pm_cores=np.repeat(pm[:, :1], 2, axis=1),
        pm_mem_mb=np.repeat(pm[:, 1:] * GIB, 2, axis=1),
        pm_rack=np.array(racks or [0] * len(pm), np.int32),
        pm_active=np.array([i not in inactive for i in range(len(pm))]),
        vm_cores=vm[:, 2].copy(),
        vm_mem_mb=vm[:, 3] * np.int32(GIB),
        vm_pm=vm[:, 0].copy(),
        vm_numa=vm[:, 1].copy(),
        vm_movable=np.array([i not in pinned for i in range(len(vm))]),
        anti_affinity=sets,
    ).validate()


def worked_example() -> Cluster:
    """Two PMs of 2 x 24 cores: free cores 20, 16 and 12, 16, so 48 of 64 are in 16-core slots."""
    return make_cluster(
        pms=[(24, 64), (24, 64)],
        vms=[(0, 0, 4, 8), (0, 1, 8, 16), (1, BOTH, 8, 8), (1, 0, 4, 8)],
    )


def random_cluster(
    seed: int,
    num_pms: int = 5,
    fill: float = 0.7,
    *,
    constrained: bool = False,
    binding_memory: bool = False,
) -> Cluster:
    """Return a random cluster of uneven PMs; every second one has little memory if it shall bind.

    Constrained: host and rack anti-affinity sets that overlap and that the placement may already
    violate, pinned VMs, and one PM that is not active.
    """
    rng = np.random.default_rng(seed)
    cores = rng.choice([24, 32, 44], num_pms)
    gib = [int(c) * (1 if binding_memory and p % 2 else 4) for p, c in enumerate(cores)]
    free = [[[int(cores[p]), gib[p]] for _ in range(2)] for p in range(num_pms)]
    wanted, used, vms = fill * 2 * cores.sum(), 0, []
    for _ in range(40 * num_pms):
        size, per_core = int(rng.choice([1, 2, 4, 8, 16])), int(rng.choice([1, 2, 4]))
        pm, numa = int(rng.integers(num_pms)), int(rng.choice([0, 1, BOTH], p=[0.4, 0.4, 0.2]))
        nodes = (0, 1) if numa == BOTH else (numa,)
        need = size, size * per_core
        if used >= wanted or any(
            f < n for k in nodes for f, n in zip(free[pm][k], need, strict=True)
        ):
            continue
        for k in nodes:
            free[pm][k] = [f - n for f, n in zip(free[pm][k], need, strict=True)]
        used += size * len(nodes)
        vms.append((pm, numa, *need))
    sets = []
    for kind in ("host", "host", "rack") if constrained else ():
        members = rng.choice(len(vms), int(rng.integers(2, min(6, len(vms)))), replace=False)
        sets.append(AntiAffinitySet(kind, tuple(sorted(members.tolist()))))
    pinned = rng.choice(len(vms), len(vms) // 8, replace=False).tolist() if constrained else ()
    return make_cluster(
        [(int(c), g) for c, g in zip(cores, gib, strict=True)],
        vms,
        racks=[p // 2 for p in range(num_pms)],
        inactive=(num_pms - 1,) if constrained else (),
        pinned=tuple(pinned),
        sets=tuple(sets),
        name=f"random-{seed}",
    )
