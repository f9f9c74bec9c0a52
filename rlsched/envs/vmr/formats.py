"""Cluster files: the JSON of ByteDance's public snapshots; ``load_instances`` also reads ``.npz``.

JSON, the field's own format: ``cluster_list[]`` of ``host_info[]``, ``vm_instance[]`` and
``other_requirement.deployment_set[]``. Hosts' ``free_*`` fields are ignored: free capacity is what
the VMs leave, and in published files the fields disagree with it. Nothing here executes or
unpickles what it reads, and sizes are capped while unpacking.

Source: github.com/bytedance/DRL-based-VM-Rescheduling (Apache-2.0), data/ and the environment's
reader.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import InstanceError
from rlsched.envs.vmr.cluster import BOTH, MAX_CORES, MAX_MEM_MB, AntiAffinitySet, Cluster
from rlsched.envs.vmr.npz import read_npz

MAX_JSON_BYTES = 128 * 2**20
"""Unpacked; about 40 times the largest published snapshot (1,176 PMs, 4,546 VMs)."""
ACTIVE = "ACTIVE"
GRANULARITIES: tuple[Literal["host", "rack"], ...] = ("host", "rack")


def load_instances(path: str | Path, merge: bool = True) -> list[Cluster]:
    """Read clusters from a .json, .json.gz or .npz file, or from all of those in a folder, by name.

    Args:
        path: file or folder.
        merge: join the cluster entries of one JSON file into one cluster.

    Raises:
        InstanceError: no such path, another suffix, an empty folder, or a file a reader refuses.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if _kind(f))
        if not files:
            raise InstanceError(
                f"'{path}' holds no .json, .json.gz or .npz file; name a folder that does."
            )
        return [cluster for file in files for cluster in load_instances(file, merge)]
    if not _kind(path):
        raise InstanceError(
            f"'{path}': unknown suffix; allowed: .json, .json.gz, .npz, or a folder of those."
        )
    return read_npz(path) if _kind(path) == "npz" else read_clusters(path, merge)


def _kind(path: Path) -> str:
    """Return ``json``, ``gz``, ``npz``, or nothing for other files."""
    for suffix, kind in ((".json", "json"), (".json.gz", "gz"), (".npz", "npz")):
        if path.name.endswith(suffix):
            return kind
    return ""


def read_clusters(path: str | Path, merge: bool = True) -> list[Cluster]:
    """Read the clusters of a ByteDance JSON file (.json or .json.gz).

    VMs on hosts that are not ACTIVE are not movable. Members of a deployment set that the cluster
    does not hold are dropped, then sets of fewer than two members and repeated sets. Rack ids are
    numbered from 0 over the whole file: integers in their order, names in order of appearance.

    Args:
        path: the file.
        merge: join all cluster entries into one cluster, as the published environment does; its
            name is the file's unless there is only one entry. False: one cluster per entry.

    Raises:
        InstanceError: the file cannot be read, or a record is incomplete or inconsistent.
    """
    path = Path(path)
    document = _read_json(path)
    entries = _field(document, "cluster_list", list, f"'{path.name}'")
    racks = _rack_numbers(entries)
    named = [(f"'{path.name}' cluster_list[{i}]", entry) for i, entry in enumerate(entries)]
    if not named:
        raise InstanceError(f"'{path.name}': cluster_list is empty; give at least one cluster.")
    if not merge or len(named) == 1:
        return [
            _cluster(_field(e, "cluster_name", str, w), path, [(w, e)], racks) for w, e in named
        ]
    return [_cluster(path.name.split(".json")[0], path, named, racks)]


def _read_json(path: Path) -> Any:
    """Return the parsed text, unpacking no more than ``MAX_JSON_BYTES`` of it."""
    try:
        with (gzip.open if _kind(path) == "gz" else open)(path, "rb") as file:
            text = file.read(MAX_JSON_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InstanceError(
            f"'{path}': cannot be read ({error}); give a .json or .json.gz file."
        ) from error
    if len(text) > MAX_JSON_BYTES:
        raise InstanceError(f"'{path}': more than {MAX_JSON_BYTES} bytes unpacked; split the file.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InstanceError(f"'{path}': not valid JSON ({error}).") from error


def _cluster(
    name: str, path: Path, entries: list[tuple[str, Any]], racks: dict[str | int, int]
) -> Cluster:
    """Return one cluster of the given (place in the file, entry) pairs."""
    hosts = [host for where, entry in entries for host in _hosts(entry, where, racks)]
    rows = {host["id"]: row for row, host in enumerate(hosts)}
    vms = [vm for where, entry in entries for vm in _vms(entry, where, rows)]
    active = np.array([host["active"] for host in hosts], bool)
    cluster = Cluster(
        name=name,
        pm_ids=tuple(host["id"] for host in hosts),
        vm_ids=tuple(vm["id"] for vm in vms),
        pm_cores=_int32([host["cores"] for host in hosts], (-1, 2)),
        pm_mem_mb=_int32([host["mem_mb"] for host in hosts], (-1, 2)),
        pm_rack=_int32([host["rack"] for host in hosts]),
        pm_active=active,
        vm_cores=_int32([vm["cores"] for vm in vms]),
        vm_mem_mb=_int32([vm["mem_mb"] for vm in vms]),
        vm_pm=_int32([vm["pm"] for vm in vms]),
        vm_numa=_int32([vm["numa"] for vm in vms]),
        vm_movable=np.array([vm["movable"] and active[vm["pm"]] for vm in vms], bool),
        anti_affinity=_sets(entries, {vm["id"]: row for row, vm in enumerate(vms)}),
    )
    return cluster.validate(f"'{path.name}'")


def _hosts(entry: Any, where: str, racks: dict[str | int, int]) -> Iterable[dict[str, Any]]:
    for i, host in enumerate(_field(entry, "host_info", list, where)):
        at = _at(host, "node_id", f"{where}.host_info[{i}]")
        nodes = _numa(host, at, (2,))
        yield {
            "id": _id(host, "node_id", at),
            "cores": [_whole(n, "total_cpu", at, 1, MAX_CORES) for n in nodes],
            "mem_mb": [_whole(n, "memory_huge_total_mb", at, 0, MAX_MEM_MB) for n in nodes],
            "rack": racks[_field(host, "rack_id", (str, int), at)],
            "active": _field(host, "status", str, at) == ACTIVE,
        }


def _vms(entry: Any, where: str, rows: dict[str, int]) -> Iterable[dict[str, Any]]:
    for i, vm in enumerate(_field(entry, "vm_instance", list, where)):
        at = _at(vm, "instance_id", f"{where}.vm_instance[{i}]")
        nodes = _numa(vm, at, (1, 2))
        halves = {
            (_whole(n, "cpu", at, 1, MAX_CORES), _whole(n, "mem_mb", at, 0, MAX_MEM_MB))
            for n in nodes
        }
        if len(halves) > 1:
            raise InstanceError(f"{at}: its NUMA halves differ {sorted(halves)}; make them equal.")
        host = _id(vm, "host_id", at)
        if host not in rows:
            raise InstanceError(
                f"{at}: host_id {host!r} is not in host_info; add the host, or read with "
                "merge=True if another cluster entry of the file has it."
            )
        ((cores, mem_mb),) = halves
        yield {
            "id": _id(vm, "instance_id", at),
            "cores": cores,
            "mem_mb": mem_mb,
            "pm": rows[host],
            "numa": BOTH if len(nodes) == 2 else int(nodes[0]["node"]),
            "movable": bool(_field(vm, "allow_migration", (bool, int), at, allowed=(0, 1))),
        }


def _sets(entries: list[tuple[str, Any]], rows: dict[str, int]) -> tuple[AntiAffinitySet, ...]:
    """Return the deployment sets over VMs at hand, each once, in order of appearance."""
    sets: dict[AntiAffinitySet, None] = {}
    for where, entry in entries:
        requirement = _field(entry, "other_requirement", dict, where, default={})
        records = _field(requirement, "deployment_set", list, where, default=[])
        for i, record in enumerate(records):
            at = f"{where}.other_requirement.deployment_set[{i}]"
            kind = _field(record, "granularity", str, at, allowed=GRANULARITIES)
            ids = _field(record, "data", list, at)
            if any(not isinstance(vm, str | int) for vm in ids):
                raise InstanceError(f"{at}: data must list instance ids (text or integers).")
            members = tuple(sorted({rows[str(vm)] for vm in ids if str(vm) in rows}))
            if len(members) > 1:
                sets[AntiAffinitySet(kind, members)] = None
    return tuple(sets)


def _rack_numbers(entries: list[Any]) -> dict[str | int, int]:
    """Return a number from 0 for each rack id; unreadable records wait for their own check."""
    hosts = [host for e in entries if isinstance(e, dict) for host in _list(e.get("host_info"))]
    ids = [host.get("rack_id") for host in hosts if isinstance(host, dict)]
    unique = list(dict.fromkeys(i for i in ids if isinstance(i, str | int)))
    if all(isinstance(rack, int) for rack in unique):
        unique.sort()
    return {rack: number for number, rack in enumerate(unique)}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _numa(record: Any, at: str, counts: tuple[int, ...]) -> list[Any]:
    """Return a record's NUMA entries, node 0 before node 1."""
    nodes = _field(record, "numa", list, at)
    numbers = [_whole(node, "node", at, 0, 1) for node in nodes]
    if len(nodes) not in counts or len(set(numbers)) < len(nodes):
        allowed = " or ".join(map(str, counts))
        raise InstanceError(
            f"{at}: numa lists nodes {numbers}; give {allowed} different ones of 0, 1."
        )
    return [node for _, node in sorted(zip(numbers, nodes, strict=True), key=lambda pair: pair[0])]


_REQUIRED: Any = object()


def _field(
    record: Any,
    key: str,
    kind: type | tuple[type, ...],
    at: str,
    default: Any = _REQUIRED,
    allowed: Sequence[Any] | None = None,
) -> Any:
    """Return ``record[key]`` of the right type and value, or say what is wrong with it."""
    if not isinstance(record, dict):
        raise InstanceError(f"{at}: is a {type(record).__name__}; give a JSON object with {key!r}.")
    value = record.get(key, default)
    if value is _REQUIRED:
        raise InstanceError(
            f"{at}: key {key!r} is missing; add it (the record has {sorted(record)})."
        )
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(k.__name__ for k in kinds)
        raise InstanceError(
            f"{at}: {key} = {value!r:.60} is a {type(value).__name__}; give {names}."
        )
    if allowed is not None and value not in allowed:
        raise InstanceError(
            f"{at}: {key} = {value!r:.60}; allowed: {', '.join(map(str, allowed))}."
        )
    return value


def _whole(record: Any, key: str, at: str, low: int, high: int) -> int:
    """Return a number of integer value in a range; the public files write some as 184388.0."""
    value = _field(record, key, (int, float), at)
    if not low <= value <= high or value != int(value):
        raise InstanceError(f"{at}: {key} = {value!r:.60}; allowed: whole numbers {low} to {high}.")
    return int(value)


def _id(record: Any, key: str, at: str) -> str:
    return str(_field(record, key, (str, int), at))


def _at(record: Any, key: str, where: str) -> str:
    """Return a record's place in the file, with its id where it has one."""
    return f"{where} ({record[key]!r:.60})" if isinstance(record, dict) and key in record else where


def _int32(values: list[Any], shape: tuple[int, ...] = (-1,)) -> NDArray[np.int32]:
    return np.array(values, np.int32).reshape(shape)


def write_clusters(path: str | Path, clusters: Sequence[Cluster]) -> None:
    """Write clusters as one ByteDance JSON file, an entry each; .json.gz is compressed.

    What a Cluster does not know (prices, flavor limits, requirements) is left empty. Racks of the
    same number in two clusters read as the same rack.

    Raises:
        InstanceError: another suffix, or a cluster that is not valid.
    """
    path = Path(path)
    if _kind(path) not in ("json", "gz"):
        raise InstanceError(f"'{path}': unknown suffix; allowed: .json, .json.gz.")
    document = {
        "cluster_list": [_entry(cluster.validate()) for cluster in clusters],
        "vm_type_list": [],
        "general_requirement": {},
    }
    text = json.dumps(document).encode()
    # No time stamp: the same clusters give the same bytes.
    path.write_bytes(gzip.compress(text, mtime=0) if _kind(path) == "gz" else text)


def _entry(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster's entry of ``cluster_list``."""
    return {
        "cluster_name": cluster.name,
        "host_info": _host_records(cluster),
        "vm_type_info": [],
        "vm_instance": _vm_records(cluster),
        "other_requirement": {
            "deployment_set": [
                {"granularity": s.granularity, "data": [cluster.vm_ids[vm] for vm in s.vms]}
                for s in cluster.anti_affinity
            ]
        },
    }


def _host_records(cluster: Cluster) -> list[dict[str, Any]]:
    cores, mem = cluster.pm_cores.tolist(), cluster.pm_mem_mb.tolist()
    free_cores, free_mem = cluster.free_cores.tolist(), cluster.free_mem_mb.tolist()
    return [
        {
            "node_id": host,
            "status": ACTIVE if cluster.pm_active[pm] else "OUTAGE",
            "node_cpu": sum(cores[pm]),
            "node_mem_mb": sum(mem[pm]),
            "numa": [
                {
                    "node": k,
                    "total_cpu": cores[pm][k],
                    "free_cpu": free_cores[pm][k],
                    "memory_huge_total_mb": mem[pm][k],
                    "memory_huge_free_mb": free_mem[pm][k],
                }
                for k in (0, 1)
            ],
            "rack_id": int(cluster.pm_rack[pm]),
        }
        for pm, host in enumerate(cluster.pm_ids)
    ]


def _vm_records(cluster: Cluster) -> list[dict[str, Any]]:
    cores, mem = cluster.vm_cores.tolist(), cluster.vm_mem_mb.tolist()
    records = []
    for vm, (pm, numa) in enumerate(zip(cluster.vm_pm, cluster.vm_numa.tolist(), strict=True)):
        nodes = (0, 1) if numa == BOTH else (numa,)
        records.append(
            {
                "instance_id": cluster.vm_ids[vm],
                "instance_type": f"{cores[vm] * len(nodes)}c{mem[vm] * len(nodes)}m",
                "host_id": cluster.pm_ids[pm],
                "numa": [{"node": k, "cpu": cores[vm], "mem_mb": mem[vm]} for k in nodes],
                "allow_migration": bool(cluster.vm_movable[vm]),
            }
        )
    return records
