"""Banks of clusters as one compact .npz, for training.

Arrays over n clusters, padded with -1 to the largest; only ``vm`` is required:
- ``vm`` (n, V, 4) int32: row of the PM, NUMA node 0 | 1 | 2 = both, cores and MB of the whole VM (a
  double-NUMA VM takes half on each node);
- ``pm`` (n, P, 6) int32: cores on node 0 and 1, MB on node 0 and 1, rack, 1 = active. Without it
  every PM up to the highest row of the file has the published capacity and is in rack 0;
- ``movable`` (n, V) bool; without it every VM is;
- ``anti_affinity`` (M, 4) int32, a row per member: cluster, number of the set, 0 = host | 1 = rack,
  VM;
- ``name`` (n,) str.
Ids are not kept: they read as ``pm_<row>`` and ``vm_<row>``. Other arrays are ignored.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import InstanceError
from rlsched.envs.vmr.cluster import BOTH, AntiAffinitySet, Cluster

MAX_NPZ_BYTES = 2**30
"""Unpacked; about 25,000 clusters of the Medium size."""
PM_CORES, PM_MEM_MB = 44, 184_388
"""Per NUMA node of every PM in the published snapshots."""
GRANULARITIES: tuple[Literal["host", "rack"], ...] = ("host", "rack")
PADDING = -1
Arrays = dict[str, NDArray[Any]]


def read_npz(path: str | Path) -> list[Cluster]:
    """Read a bank of clusters.

    Raises:
        InstanceError: the file cannot be read, holds pickled objects, lacks ``vm``, or an array or
            a cluster is inconsistent.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    if "vm" not in arrays:
        raise InstanceError(f"'{path.name}': array 'vm' is missing; found {sorted(arrays)}.")
    num, num_vms = arrays["vm"].shape[:2] if arrays["vm"].ndim == 3 else (0, 0)
    if "pm" not in arrays and num * num_vms:
        arrays["pm"] = np.tile(
            np.array([PM_CORES, PM_CORES, PM_MEM_MB, PM_MEM_MB, 0, 1], np.int32),
            (num, max(int(arrays["vm"][..., 0].max()), 0) + 1, 1),
        )
    arrays.setdefault("movable", np.ones((num, num_vms), bool))
    arrays.setdefault("anti_affinity", np.zeros((0, 4), np.int32))
    arrays.setdefault("name", np.array([f"{path.stem}-{i}" for i in range(num)], str))
    _check_arrays(path, arrays, num, num_vms)
    return [_cluster(path, arrays, i) for i in range(num)]


def _read_arrays(path: Path) -> Arrays:
    """Return the arrays of an archive whose unpacked size is within the cap; never unpickles."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_NPZ_BYTES:
            raise InstanceError(
                f"'{path}': {size} bytes unpacked; allowed: {MAX_NPZ_BYTES}. Split the bank."
            )
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    # MemoryError: an array header may claim any shape.
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InstanceError(
            f"'{path}': cannot be read ({error}); give an .npz of plain arrays."
        ) from error


def _check_arrays(path: Path, arrays: Arrays, num: int, num_vms: int) -> None:
    num_pms = arrays["pm"].shape[1] if "pm" in arrays and arrays["pm"].ndim == 3 else 0
    for key, shape, kind in (
        ("vm", (num, num_vms, 4), "i"),
        ("pm", (num, num_pms, 6), "i"),
        ("movable", (num, num_vms), "b"),
        ("anti_affinity", (len(arrays["anti_affinity"]), 4), "i"),
        ("name", (num,), "U"),
    ):
        array = arrays.get(key, np.zeros(0))
        if not num or array.shape != shape or array.dtype.kind != kind:
            raise InstanceError(
                f"'{path.name}': {key} is {array.shape} {array.dtype}; give vm (n, V, 4) int32, "
                "pm (n, P, 6) int32, movable (n, V) bool, anti_affinity (M, 4) int32, name (n,) "
                "str, n >= 1."
            )
    clusters = arrays["anti_affinity"][:, 0]
    if ((clusters < 0) | (clusters >= num)).any():
        raise InstanceError(
            f"'{path.name}': anti_affinity names clusters {clusters.min()} to {clusters.max()}; "
            f"allowed: 0 to {num - 1}."
        )


def _cluster(path: Path, arrays: Arrays, index: int) -> Cluster:
    where = f"'{path.name}' cluster {index}"
    held = (arrays["vm"][index] != PADDING).any(axis=1)
    vm, movable = arrays["vm"][index][held], arrays["movable"][index][held]
    pm = arrays["pm"][index]
    pm = pm[(pm != PADDING).any(axis=1)]
    nodes = np.where(vm[:, 1] == BOTH, 2, 1)
    odd = np.flatnonzero((vm[:, 2:] % nodes[:, None]).any(axis=1))
    if len(odd):
        raise InstanceError(
            f"{where}: vm[{odd[0]}] = {vm[odd[0]].tolist()} is on both NUMA nodes and cannot be "
            "halved; give even cores and MB."
        )
    if ((vm < -1) | (vm >= 2**31)).any() or ((pm < -1) | (pm >= 2**31)).any():
        raise InstanceError(f"{where}: a number in vm or pm is outside -1 to 2**31 - 1.")
    return Cluster(
        name=str(arrays["name"][index]),
        pm_ids=tuple(f"pm_{i}" for i in range(len(pm))),
        vm_ids=tuple(f"vm_{i}" for i in range(len(vm))),
        pm_cores=pm[:, 0:2].astype(np.int32),
        pm_mem_mb=pm[:, 2:4].astype(np.int32),
        pm_rack=pm[:, 4].astype(np.int32),
        pm_active=pm[:, 5] == 1,
        vm_cores=(vm[:, 2] // nodes).astype(np.int32),
        vm_mem_mb=(vm[:, 3] // nodes).astype(np.int32),
        vm_pm=vm[:, 0].astype(np.int32),
        vm_numa=vm[:, 1].astype(np.int32),
        vm_movable=movable,
        anti_affinity=_sets(arrays["anti_affinity"], index, where),
    ).validate(where)


def _sets(members: NDArray[Any], index: int, where: str) -> tuple[AntiAffinitySet, ...]:
    """Return the sets of one cluster, in order of their numbers."""
    sets: dict[tuple[int, int], list[int]] = {}
    for _, number, kind, vm in members[members[:, 0] == index].tolist():
        if kind not in (0, 1):
            raise InstanceError(f"{where}: anti_affinity kind {kind}; allowed: 0 = host, 1 = rack.")
        sets.setdefault((number, kind), []).append(vm)
    return tuple(
        AntiAffinitySet(GRANULARITIES[kind], tuple(sorted(vms)))
        for (_, kind), vms in sorted(sets.items())
    )


def write_npz(path: str | Path, clusters: Sequence[Cluster]) -> None:
    """Write a bank of clusters; ids are not kept.

    Raises:
        InstanceError: another suffix, no cluster, or a cluster that is not valid.
    """
    path = Path(path)
    if path.suffix != ".npz" or not clusters:
        raise InstanceError(
            f"'{path}': {len(clusters)} clusters; give a .npz path and at least one."
        )
    vm = [_vm_table(cluster.validate()) for cluster in clusters]
    pm = [_pm_table(cluster) for cluster in clusters]
    members = [
        (index, number, GRANULARITIES.index(group.granularity), row)
        for index, cluster in enumerate(clusters)
        for number, group in enumerate(cluster.anti_affinity)
        for row in group.vms
    ]
    np.savez_compressed(
        path,
        vm=_padded(vm),
        pm=_padded(pm),
        movable=_padded([cluster.vm_movable.astype(np.int32) for cluster in clusters]) == 1,
        anti_affinity=np.array(members, np.int32).reshape(-1, 4),
        name=np.array([cluster.name for cluster in clusters], str),
    )


def _vm_table(cluster: Cluster) -> NDArray[np.int32]:
    nodes = np.where(cluster.vm_numa == BOTH, 2, 1).astype(np.int32)
    columns = (cluster.vm_pm, cluster.vm_numa, cluster.vm_cores * nodes, cluster.vm_mem_mb * nodes)
    return np.stack(columns, axis=1)


def _pm_table(cluster: Cluster) -> NDArray[np.int32]:
    rack, active = cluster.pm_rack[:, None], cluster.pm_active[:, None].astype(np.int32)
    return np.concatenate([cluster.pm_cores, cluster.pm_mem_mb, rack, active], axis=1)


def _padded(tables: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    rows = max(len(table) for table in tables)
    out = np.full((len(tables), rows, *tables[0].shape[1:]), PADDING, np.int32)
    for index, table in enumerate(tables):
        out[index, : len(table)] = table
    return out
