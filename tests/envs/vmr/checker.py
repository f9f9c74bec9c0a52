"""An independent checker of migration plans on plain dicts; it imports nothing of rlsched.

It reads a ``Cluster`` (by its attributes) or a document in ByteDance's JSON format, replays
migrations one by one and refuses the first that breaks a rule of the field:

- the VM may move and its host is active; the destination is active and another place;
- a VM keeps its kind: single NUMA to one node, double NUMA to both nodes of a PM;
- cores and memory of every NUMA node touched suffice;
- no other member of an anti-affinity set is on the destination host (rack set: in its rack);
- the plan keeps to the migration limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class PlanError(AssertionError):
    """A migration breaks a rule; names the migration and the rule."""


@dataclass
class Host:
    cores: list[int]
    """Free cores of node 0 and node 1, as ``mem_mb`` free memory."""
    mem_mb: list[int]
    rack: object
    is_active: bool


@dataclass
class VM:
    host: str
    nodes: tuple[int, ...]
    cores: int
    mem_mb: int
    is_movable: bool


class DataCentre:
    """Hosts, VMs and anti-affinity sets by their ids, and where every VM is now."""

    def __init__(
        self, hosts: dict[str, Host], vms: dict[str, VM], sets: list[tuple[str, set[str]]]
    ):
        self.hosts, self.vms = hosts, vms
        self.sets_of: dict[str, list[tuple[str, set[str]]]] = {vm: [] for vm in vms}
        for granularity, members in sets:
            for vm in members & set(vms):
                self.sets_of[vm].append((granularity, members & set(vms)))
        for vm in vms.values():
            self._occupy(vm, -1)

    def refusal(self, name: str, host: str, nodes: tuple[int, ...]) -> str:
        """Say why a migration is not allowed; empty where it is."""
        vm, target = self.vms[name], self.hosts[host]
        if not vm.is_movable:
            return "the VM is pinned"
        if not self.hosts[vm.host].is_active:
            return "its host is not active"
        if not target.is_active:
            return "the destination is not active"
        if len(nodes) != len(vm.nodes):
            return "single and double NUMA differ"
        if (host, nodes) == (vm.host, vm.nodes):
            return "the VM is there already"
        if any(target.cores[k] < vm.cores for k in nodes):
            return "not enough cores"
        if any(target.mem_mb[k] < vm.mem_mb for k in nodes):
            return "not enough memory"
        for granularity, members in self.sets_of[name]:
            for other in members - {name}:
                neighbour = self.vms[other].host
                if neighbour == host:
                    return f"{other} is on that host"
                if granularity == "rack" and self.hosts[neighbour].rack == target.rack:
                    return f"{other} is in that rack"
        return ""

    def migrate(self, name: str, host: str, nodes: tuple[int, ...]) -> None:
        """Carry out one migration.

        Raises:
            PlanError: it is not allowed.
        """
        reason = self.refusal(name, host, nodes)
        if reason:
            raise PlanError(f"{name} -> {host} nodes {nodes}: {reason}.")
        vm = self.vms[name]
        self._occupy(vm, 1)
        vm.host, vm.nodes = host, nodes
        self._occupy(vm, -1)

    def fragment_rate(self, cores: int = 16) -> float:
        """Return the share of free cores of active hosts outside whole multiples of ``cores``."""
        free = [f for h in self.hosts.values() if h.is_active for f in h.cores]
        return sum(f % cores for f in free) / sum(free) if sum(free) else 0.0

    def _occupy(self, vm: VM, sign: int) -> None:
        for k in vm.nodes:
            self.hosts[vm.host].cores[k] += sign * vm.cores
            self.hosts[vm.host].mem_mb[k] += sign * vm.mem_mb
            assert self.hosts[vm.host].cores[k] >= 0
            assert self.hosts[vm.host].mem_mb[k] >= 0


def check_plan(
    source: Any, migrations: Iterable[Any], limit: int | None = None, cores: int = 16
) -> float:
    """Replay a plan and return the fragment rate it ends at.

    Args:
        source: a ``Cluster`` or a parsed ByteDance document.
        migrations: (vm id, host id, numa), or objects with ``vm``, ``pm`` and ``numa`` that number
            the rows of a ``Cluster``; numa is 0, 1 or 2 = both.
        limit: most migrations allowed.
        cores: the size whose multiples count as usable.

    Raises:
        PlanError: a migration breaks a rule, or there are too many.
    """
    centre = data_centre(source)
    moves = [_named(source, move) for move in migrations]
    if limit is not None and len(moves) > limit:
        raise PlanError(f"{len(moves)} migrations; the limit is {limit}.")
    for name, host, numa in moves:
        centre.migrate(name, host, (0, 1) if numa == 2 else (numa,))
    return centre.fragment_rate(cores)


def data_centre(source: Any) -> DataCentre:
    """Return the plain-dict form of a ``Cluster`` or of a parsed ByteDance document."""
    return _of_document(source) if isinstance(source, dict) else _of_cluster(source)


def _named(source: Any, move: Any) -> tuple[str, str, int]:
    if isinstance(move, tuple | list):
        name, host, numa = move
        return str(name), str(host), int(numa)
    return source.vm_ids[move.vm], source.pm_ids[move.pm], int(move.numa)


def _of_cluster(c: Any) -> DataCentre:
    hosts = {
        name: Host(
            [int(x) for x in c.pm_cores[p]],
            [int(x) for x in c.pm_mem_mb[p]],
            int(c.pm_rack[p]),
            bool(c.pm_active[p]),
        )
        for p, name in enumerate(c.pm_ids)
    }
    vms = {
        name: VM(
            c.pm_ids[int(c.vm_pm[v])],
            (0, 1) if c.vm_numa[v] == 2 else (int(c.vm_numa[v]),),
            int(c.vm_cores[v]),
            int(c.vm_mem_mb[v]),
            bool(c.vm_movable[v]),
        )
        for v, name in enumerate(c.vm_ids)
    }
    return DataCentre(
        hosts, vms, [(s.granularity, {c.vm_ids[v] for v in s.vms}) for s in c.anti_affinity]
    )


def _of_document(document: dict[str, Any]) -> DataCentre:
    hosts, vms, sets = {}, {}, []
    for entry in document["cluster_list"]:
        for h in entry["host_info"]:
            numa = sorted(h["numa"], key=lambda n: n["node"])
            hosts[str(h["node_id"])] = Host(
                [int(n["total_cpu"]) for n in numa],
                [int(n["memory_huge_total_mb"]) for n in numa],
                h["rack_id"],
                h["status"] == "ACTIVE",
            )
        for v in entry["vm_instance"]:
            vms[str(v["instance_id"])] = VM(
                str(v["host_id"]),
                tuple(sorted(int(n["node"]) for n in v["numa"])),
                int(v["numa"][0]["cpu"]),
                int(v["numa"][0]["mem_mb"]),
                bool(v["allow_migration"]),
            )
        for record in (entry.get("other_requirement") or {}).get("deployment_set", []):
            sets.append((record["granularity"], {str(i) for i in record["data"]}))
    return DataCentre(hosts, vms, sets)
