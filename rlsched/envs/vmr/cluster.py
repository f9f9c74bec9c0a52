"""The instance type of VM rescheduling: a cluster of physical machines and the VMs placed on them.

A cluster is P physical machines (PMs) of two NUMA nodes each and V virtual machines (VMs). A VM
sits on one NUMA node or, double, on both nodes of one PM, taking the same cores and memory on each.
Array axes: P, V, 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import InstanceError

BOTH = 2
"""``vm_numa`` of a double-NUMA VM: it occupies node 0 and node 1 of its PM."""

MAX_PMS, MAX_VMS = 100_000, 1_000_000
MAX_CORES, MAX_MEM_MB = 4096, 2**26
"""Per NUMA node; MAX_MEM_MB is 64 TiB. More is taken for a wrong unit."""
MAX_RACK = 100_000


@dataclass(frozen=True)
class AntiAffinitySet:
    """VMs of which no two may share a host (or a rack)."""

    granularity: Literal["host", "rack"]
    vms: tuple[int, ...]
    """Row numbers of the members, ascending, at least two."""


@dataclass(frozen=True)
class Migration:
    """Move one VM: its row, the row of the destination PM, its NUMA node there (0, 1 or BOTH)."""

    vm: int
    pm: int
    numa: int


@dataclass(frozen=True, eq=False)
class Cluster:
    """One snapshot of a data centre. Free capacity is always derived: total minus the VMs placed.

    Attributes:
        name: label in tables.
        pm_ids: P host ids, unique.
        vm_ids: V instance ids, unique.
        pm_cores: (P, 2) int32, cores per NUMA node, > 0.
        pm_mem_mb: (P, 2) int32, memory per NUMA node in MB, >= 0.
        pm_rack: (P,) int32, rack number, >= 0.
        pm_active: (P,) bool; a PM that is not active takes no VM, releases none and counts in no
            metric.
        vm_cores: (V,) int32, cores per NUMA node touched, > 0.
        vm_mem_mb: (V,) int32, memory per NUMA node touched in MB, >= 0.
        vm_pm: (V,) int32, row of the host.
        vm_numa: (V,) int32, 0, 1 or BOTH.
        vm_movable: (V,) bool, False = pinned.
        anti_affinity: host and rack anti-affinity sets over rows of this cluster.
    """

    name: str
    pm_ids: tuple[str, ...]
    vm_ids: tuple[str, ...]
    pm_cores: NDArray[np.int32]
    pm_mem_mb: NDArray[np.int32]
    pm_rack: NDArray[np.int32]
    pm_active: NDArray[np.bool_]
    vm_cores: NDArray[np.int32]
    vm_mem_mb: NDArray[np.int32]
    vm_pm: NDArray[np.int32]
    vm_numa: NDArray[np.int32]
    vm_movable: NDArray[np.bool_]
    anti_affinity: tuple[AntiAffinitySet, ...] = ()

    @property
    def num_pms(self) -> int:
        return len(self.pm_ids)

    @property
    def num_vms(self) -> int:
        return len(self.vm_ids)

    @property
    def free_cores(self) -> NDArray[np.int32]:
        """(P, 2) int32, cores left on each NUMA node."""
        return self.pm_cores - self._used(self.vm_cores)

    @property
    def free_mem_mb(self) -> NDArray[np.int32]:
        """(P, 2) int32, MB left on each NUMA node."""
        return self.pm_mem_mb - self._used(self.vm_mem_mb)

    @property
    def utilization(self) -> float:
        """Share of the active PMs' cores that VMs use, in [0, 1]."""
        total = self.pm_cores[self.pm_active].sum()
        return float(1 - self.free_cores[self.pm_active].sum() / total) if total else 0.0

    def migrate(self, migrations: Iterable[Migration]) -> Cluster:
        """Return a copy with the VMs moved in order; ``validate`` checks where that ends.

        Args:
            migrations: moves over rows of this cluster; a VM may move more than once.
        """
        vm_pm, vm_numa = self.vm_pm.copy(), self.vm_numa.copy()
        for move in migrations:
            vm_pm[move.vm], vm_numa[move.vm] = move.pm, move.numa
        return replace(self, vm_pm=vm_pm, vm_numa=vm_numa)

    def validate(self, source: str = "") -> Cluster:
        """Check every promise of the attributes and return this cluster.

        A broken anti-affinity set is no error: a snapshot may hold one; only moves must respect it.

        Args:
            source: where the cluster came from, named in the error.

        Raises:
            InstanceError: names the record that is wrong, what is allowed, and what to do.
        """
        where = f"{source} {self.name!r}".strip()
        _check_sizes(self, where)
        _check_ids(self, where)
        _check_ranges(self, where)
        _check_room(self, where)
        _check_sets(self, where)
        return self

    def _used(self, amount: NDArray[np.int32]) -> NDArray[np.int32]:
        used = np.zeros((self.num_pms, 2), np.int32)
        for node in (0, 1):
            here = (self.vm_numa == node) | (self.vm_numa == BOTH)
            np.add.at(used[:, node], self.vm_pm[here], amount[here])
        return used


def _check_sizes(cluster: Cluster, where: str) -> None:
    """Refuse empty or absurd counts and arrays of another shape or dtype."""
    counts = {"pm": cluster.num_pms, "vm": cluster.num_vms}
    for kind, most in (("pm", MAX_PMS), ("vm", MAX_VMS)):
        if not 1 <= counts[kind] <= most:
            raise InstanceError(f"{where}: {counts[kind]} {kind.upper()}s; allowed: 1 to {most}.")
    for field in fields(cluster):
        array = getattr(cluster, field.name)
        if not isinstance(array, np.ndarray):
            continue
        rows = counts[field.name[:2]]
        shape = (rows, 2) if field.name in ("pm_cores", "pm_mem_mb") else (rows,)
        dtype = np.dtype(np.bool_ if field.name in ("pm_active", "vm_movable") else np.int32)
        if array.shape != shape or array.dtype != dtype:
            raise InstanceError(
                f"{where}: {field.name} is {array.shape} {array.dtype}; give {shape} {dtype}."
            )


def _check_ids(cluster: Cluster, where: str) -> None:
    for kind, ids in (("host", cluster.pm_ids), ("VM", cluster.vm_ids)):
        if len(set(ids)) < len(ids):
            twice, _ = Counter(ids).most_common(1)[0]
            raise InstanceError(
                f"{where}: {kind} id {twice!r} occurs twice; ids must be unique in a cluster. "
                "Read a file of separate clusters that reuse ids with merge=False."
            )


def _check_ranges(cluster: Cluster, where: str) -> None:
    for field, low, high in (
        ("pm_cores", 1, MAX_CORES),
        ("pm_mem_mb", 0, MAX_MEM_MB),
        ("pm_rack", 0, MAX_RACK),
        ("vm_cores", 1, MAX_CORES),
        ("vm_mem_mb", 0, MAX_MEM_MB),
        ("vm_pm", 0, cluster.num_pms - 1),
        ("vm_numa", 0, BOTH),
    ):
        values = getattr(cluster, field)
        outside = np.argwhere((values < low) | (values > high))
        if len(outside):
            at = tuple(outside[0].tolist())
            ids = cluster.pm_ids if field.startswith("pm") else cluster.vm_ids
            raise InstanceError(
                f"{where}: {field}{list(at)} = {values[at]} ({ids[at[0]]!r}); "
                f"allowed: {low} to {high}."
            )


def _check_room(cluster: Cluster, where: str) -> None:
    """Refuse a NUMA node that gives out more than it has; in int64, so that no sum wraps."""
    for unit, total, amount in (
        ("cores", cluster.pm_cores, cluster.vm_cores),
        ("MB", cluster.pm_mem_mb, cluster.vm_mem_mb),
    ):
        for node in (0, 1):
            here = (cluster.vm_numa == node) | (cluster.vm_numa == BOTH)
            used = np.zeros(cluster.num_pms, np.int64)
            np.add.at(used, cluster.vm_pm[here], amount[here])
            over = np.flatnonzero(used > total[:, node])
            if len(over):
                pm = int(over[0])
                raise InstanceError(
                    f"{where}: host {cluster.pm_ids[pm]!r} NUMA node {node} is over-committed, its "
                    f"VMs use {used[pm]} of {total[pm, node]} {unit}; correct the capacity or the "
                    "VMs' host."
                )


def _check_sets(cluster: Cluster, where: str) -> None:
    for number, group in enumerate(cluster.anti_affinity):
        at = f"{where}: anti_affinity[{number}]"
        if group.granularity not in ("host", "rack"):
            raise InstanceError(f"{at}: granularity {group.granularity!r}; allowed: host, rack.")
        if len(group.vms) < 2 or any(a >= b for a, b in pairwise(group.vms)):
            raise InstanceError(f"{at}: members {group.vms}; give two or more rows, ascending.")
        if group.vms[0] < 0 or group.vms[-1] >= cluster.num_vms:
            raise InstanceError(
                f"{at}: members {group.vms}; VM rows are 0 to {cluster.num_vms - 1}."
            )
