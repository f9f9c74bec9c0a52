"""The observation and objective of a cluster, written again from their definitions."""

from __future__ import annotations

from types import SimpleNamespace

from checker import data_centre

from rlsched.envs.vmr.instances import BOTH, Cluster
from rlsched.envs.vmr.objectives import Objective


def usable(term, free, mem, num_vms):
    """Return what a term counts as usable on one PM."""
    if term.kind == "cores":
        return sum(f - f % term.size for f in free)
    if term.kind == "cores_double":
        return term.size * min(f // (term.size // 2) for f in free)
    if term.kind == "memory":
        return sum(m - m % term.size for m in mem)
    return int(num_vms == 0)


class Reference:
    """Every figure of a placement, from the cluster alone."""

    def __init__(self, cluster: Cluster, objective: Objective, limit: int) -> None:
        self.c, self.terms, self.limit = cluster, objective.terms, limit
        self.free, self.mem = cluster.free_cores.tolist(), cluster.free_mem_mb.tolist()
        self.hosted = [(cluster.vm_pm == p).sum() for p in range(cluster.num_pms)]
        self.active = [p for p in range(cluster.num_pms) if cluster.pm_active[p]]
        self.free_total = sum(sum(self.free[p]) for p in self.active)
        cores = [t for t in self.terms if t.kind.startswith("cores")]
        self.grain = 16
        if cores:
            self.grain = cores[0].size // (2 if cores[0].kind == "cores_double" else 1)

    def total(self, term):
        if term.kind == "empty":
            return len(self.active)
        amount = self.mem if term.kind == "memory" else self.free
        return sum(sum(amount[p]) for p in self.active)

    def rate(self):
        rates = []
        for t in self.terms:
            good = sum(usable(t, self.free[p], self.mem[p], self.hosted[p]) for p in self.active)
            rates.append(t.weight * (1 - good / self.total(t)) if self.total(t) else 0.0)
        return sum(rates)

    def cost(self, pm, numa, cores, mem):
        """Return the change of the objective, in cores, of placing a VM (cores < 0: lifting it)."""
        if pm not in self.active:
            return 0.0
        nodes = (0, 1) if numa == BOTH else (numa,)
        free = [f - cores * (k in nodes) for k, f in enumerate(self.free[pm])]
        left = [m - mem * (k in nodes) for k, m in enumerate(self.mem[pm])]
        hosted = self.hosted[pm] + (1 if cores > 0 else -1)
        cost = 0.0
        for t in self.terms:
            if self.total(t):
                change = usable(t, self.free[pm], self.mem[pm], self.hosted[pm])
                change -= usable(t, free, left, hosted)
                cost += t.weight * change * self.free_total / self.total(t)
        return cost

    def vm(self, v):
        c, pm, numa = self.c, int(self.c.vm_pm[v]), int(self.c.vm_numa[v])
        cores, mem = int(c.vm_cores[v]), int(c.vm_mem_mb[v])
        left = [self.free[pm][k] + cores for k in ((0, 1) if numa == BOTH else (numa,))]
        conflicts = 0
        for s in c.anti_affinity:
            if v in s.vms:
                conflicts += 64 if s.granularity == "rack" else len(s.vms) - 1
        movable = c.vm_movable[v] and c.pm_active[pm]
        removal = self.cost(pm, numa, -cores, -mem)
        fragment = sum(f % self.grain for f in left)
        conflicts = min(64, conflicts)
        return [cores, mem / 1024, numa == BOTH, movable, conflicts, removal, fragment, sum(left)]

    def numa(self, node, chosen, is_target):
        c, (pm, k) = self.c, divmod(node, 2)
        free = self.free[pm][k]
        row = [free, free % self.grain, self.mem[pm][k] / 1024, c.pm_cores[pm, k]]
        row += [c.pm_active[pm], self.hosted[pm], is_target]
        if not is_target:
            return [*row, 0, 0]
        cores, mem = int(c.vm_cores[chosen]), int(c.vm_mem_mb[chosen])
        where = BOTH if c.vm_numa[chosen] == BOTH else k
        return [*row, self.cost(pm, where, cores, mem), (free - cores) % self.grain]

    def context(self, chosen, moves):
        left, active = self.limit - moves, len(self.active)
        row = [chosen >= 0, left, left / active, self.rate(), self.free_total / (2 * active)]
        if chosen < 0:
            return [*row, 0, 0, 0]
        return [*row, self.c.vm_cores[chosen], self.c.vm_numa[chosen] == BOTH, self.vm(chosen)[5]]

    def edges(self):
        rows = set()
        for v, (pm, numa) in enumerate(zip(self.c.vm_pm, self.c.vm_numa, strict=True)):
            rows |= {(v, 2 * int(pm) + k) for k in ((0, 1) if numa == BOTH else (int(numa),))}
        return rows

    def legal(self):
        """Return {VM row: its targets' node rows}; a double VM is sent to node 0 of a PM."""
        centre, legal = data_centre(self.c), {}
        for v, name in enumerate(self.c.vm_ids):
            double = self.c.vm_numa[v] == BOTH
            targets = [
                node
                for node in range(0, 2 * self.c.num_pms, 2 if double else 1)
                if not centre.refusal(
                    name, self.c.pm_ids[node // 2], (0, 1) if double else (node % 2,)
                )
            ]
            if targets:
                legal[v] = targets
        return legal


def of_lane(sim, lane):
    """Return the reference of a lane as it is placed now, with its chosen VM and moves."""
    limit = int(sim.host_clusters.migration_limit[sim.state.instance[lane]])
    reference = Reference(sim.cluster(lane), sim.objective, limit)
    return SimpleNamespace(
        reference=reference,
        chosen=int(sim.state.chosen[lane]),
        moves=int(sim.state.moves[lane]),
    )
