"""Published rescheduling rules by their names in the literature, and the exact solver as one.

Each of ``RULES`` makes a policy that plays any number of lanes. Greedy rules choose as they go;
planners (POP, VBPP, exact) work out a whole plan and then play it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import MissingExtra
from rlsched.core.lanes import helper, lanes
from rlsched.core.plans import Planner
from rlsched.core.policy import Guide, Policy
from rlsched.core.search import rollout
from rlsched.core.simulator import Array, host
from rlsched.envs.vmr import exact
from rlsched.envs.vmr.cluster import AntiAffinitySet, Cluster, Migration
from rlsched.envs.vmr.exact_model import Replay
from rlsched.envs.vmr.exact_order import order_moves
from rlsched.envs.vmr.legality import is_blocked
from rlsched.envs.vmr.objectives import Objective
from rlsched.envs.vmr.placement import lift, place
from rlsched.envs.vmr.potential import (
    NO_GAIN,
    Potential,
    Worth,
    gain,
    pair_gain,
    removal_gain,
    worth_tables,
)
from rlsched.envs.vmr.simulator import VMRSimulator, random_choice
from rlsched.envs.vmr.state import Clusters, State

HA_CORES = 16
"""The published greedy moves no VM larger than this, both nodes together."""
ALPHA = 10
NUM_PARTS = 2
POP_TIME_LIMIT_S, EXACT_TIME_LIMIT_S = 2.0, 10.0


class Random(Guide):
    """Uniform among the legal choices; stops only where nothing else is legal."""

    name, needs_observation = "random", False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def choose(self, sim: VMRSimulator) -> NDArray[np.int32]:  # type: ignore[override]
        choice = np.zeros(sim.num_envs, np.int32)
        random_choice(sim.num_envs, sim.state, self.seed, choice)
        return choice

    def scores(self, sim: VMRSimulator) -> NDArray[np.float32]:  # type: ignore[override]
        mask = np.array(host(sim.action_mask))
        mask[:, -1] &= ~mask[:, :-1].any(axis=1)
        return np.where(mask, 0.0, -np.inf).astype(np.float32)


# --- the published greedy -------------------------------------------------------------------------


class HA(Policy):
    """Heuristic algorithm: the VM whose leaving removes most fragments, then its best new node.

    VMs of up to 16 cores on both nodes together; the own PM is no target; stops when the move gains
    nothing.

    Source: VM2RL (EuroSys 2025); ``baselines/heuristics.py`` of
    github.com/bytedance/DRL-based-VM-Rescheduling.
    """

    name = "ha"

    def choose(self, sim: VMRSimulator) -> NDArray[np.int32]:  # type: ignore[override]
        choice = np.zeros(sim.num_envs, np.int32)
        choose_ha(sim.num_envs, sim.clusters, sim.state, worth_tables(sim, 0.0), choice)
        return choice


@lanes
def choose_ha(lane: int, c: Clusters, s: State, w: Worth, choice: Array) -> None:
    """Choose as :class:`HA` does."""
    i, V, N = s.instance[lane], s.vm_pm.shape[1], s.free.shape[1]
    v, most = s.chosen[lane], -np.inf
    if v < 0:
        for u in range(c.num_vms[i]):
            cores = c.class_cores[i, c.vm_class[i, u]] * (2 if s.vm_numa[lane, u] == 2 else 1)
            if s.action_mask[lane, u] and cores <= HA_CORES:
                fewer = removal_gain(lane, c, s, w, u) - cores / c.grain[0]
                if fewer > most:
                    most, v = fewer, u
    choice[lane] = V + N
    if v >= 0:
        node = best_other_node(lane, c, s, w, v)
        if s.chosen[lane] >= 0:
            choice[lane] = V + node
        elif node >= 0 and pair_gain(lane, c, s, w, v, node) > NO_GAIN:
            choice[lane] = v


@helper
def best_other_node(lane: int, c: Clusters, s: State, w: Worth, v: int) -> int:
    """Return the node of another PM that gains most if a VM came, or -1 if none can take it."""
    best, out = -np.inf, -1
    for node in range(2 * c.num_pms[s.instance[lane]]):
        if node // 2 != s.vm_pm[lane, v] and can_host(lane, c, s, v, node):
            g = insertion_gain(lane, c, s, w, v, node)
            if g > best:
                best, out = g, node
    return out


@helper
def can_host(lane: int, c: Clusters, s: State, v: int, node: int) -> bool:
    """Return whether a node (node 0 for a double VM) has room for a VM and no rival of it."""
    i, pm = s.instance[lane], node // 2
    k, double = c.vm_class[i, v], s.vm_numa[lane, v] == 2
    if not c.pm_active[i, pm] or (double and node % 2 == 1):
        return False
    for n in range(node, node + (2 if double else 1)):
        if s.free[lane, n] < c.class_cores[i, k] or s.free_mem_mb[lane, n] < c.class_mem_mb[i, k]:
            return False
    return c.num_conflicts[i, v] == 0 or not is_blocked(lane, c, s, v, pm)


@helper
def insertion_gain(lane: int, c: Clusters, s: State, w: Worth, v: int, node: int) -> float:
    """Return what a PM gains if a VM came."""
    i, double = s.instance[lane], s.vm_numa[lane, v] == 2
    k = c.vm_class[i, v]
    where = 2 if double else node % 2
    return gain(lane, c, s, w, node // 2, where, c.class_cores[i, k], c.class_mem_mb[i, k])


# --- planners -------------------------------------------------------------------------------------


class MigrationPlanner(Planner):
    """A planner that thinks in migrations."""

    @abstractmethod
    def migrations(self, sim: VMRSimulator, lane: int, limit: int) -> Sequence[Migration]:
        """Return at most ``limit`` migrations for a lane as it stands, in executable order."""

    def plan(self, sim: VMRSimulator, lane: int) -> Sequence[int]:  # type: ignore[override]
        limit = sim.limits[int(sim.state.instance[lane])] - int(sim.state.moves[lane])
        if limit <= 0 or sim.terminated[lane]:
            return ()
        moves = self.migrations(sim, lane, limit)
        return [a for move in moves for a in sim.choices_of(lane, move)]


class AlphaVBPP(MigrationPlanner):
    """Vector bin packing in rounds of alpha VMs; a round may repack VMs of earlier ones.

    A round takes out the alpha VMs whose leaving removes most fragments, one after another, then
    packs them again, largest first, each on the node where it adds least fragments, the fullest of
    equals; it is taken back if the objective did not improve, and the rule ends. Rounds go on while
    migrations are left.

    Source: the baseline of that name in VM2RL (EuroSys 2025), whose code is not published; this is
    our reading.
    """

    name = "alpha_vbpp"

    def __init__(self, alpha: int = ALPHA) -> None:
        self.alpha = alpha

    def migrations(self, sim: VMRSimulator, lane: int, limit: int) -> Sequence[Migration]:
        scratch = sim.like(1, observe=False)
        scratch.adopt(sim, np.array([lane]))
        V = scratch.sizes["vm"]
        is_out, out = np.zeros((1, V), np.bool_), np.zeros((1, min(self.alpha, V), 3), np.int32)
        worth = worth_tables(scratch, 0.0)
        limits = np.array([limit], np.int32)
        repack(1, scratch.clusters, scratch.state, worth, limits, is_out, out)
        cluster, after = sim.cluster(lane), scratch.cluster(0)
        moves, _ = order_moves(cluster, after.vm_pm, after.vm_numa, limit)
        return best_prefix(cluster, sim.objective, moves)


@lanes
def repack(
    lane: int, c: Clusters, s: State, w: Worth, limit: Array, is_out: Array, out: Array
) -> None:
    """Play the rounds of :class:`AlphaVBPP`; ``out`` holds (vm, pm, numa) of those taken out."""
    i, left = s.instance[lane], limit[lane]
    while left > 0:
        num, total = 0, 0.0
        while num < min(out.shape[1], left):
            v, best, leaving = -1, -np.inf, 0.0
            for u in range(c.num_vms[i]):
                if c.vm_movable[i, u] and not is_out[lane, u]:
                    cores = c.class_cores[i, c.vm_class[i, u]] * (
                        2 if s.vm_numa[lane, u] == 2 else 1
                    )
                    g = removal_gain(lane, c, s, w, u)
                    if g - cores / c.grain[0] > best:
                        best, v, leaving = g - cores / c.grain[0], u, g
            if v < 0:
                break
            total += leaving
            out[lane, num, 0], out[lane, num, 1] = v, s.vm_pm[lane, v]
            out[lane, num, 2] = s.vm_numa[lane, v]
            is_out[lane, v] = True
            lift(lane, c, s, v)
            num += 1
        total += pack_again(lane, c, s, w, num, is_out, out)
        if num == 0 or total <= NO_GAIN:
            for j in range(num):
                lift(lane, c, s, out[lane, j, 0])
            for j in range(num):
                place(lane, c, s, out[lane, j, 0], out[lane, j, 1], out[lane, j, 2])
            return
        left -= num


@helper
def pack_again(
    lane: int, c: Clusters, s: State, w: Worth, num: int, is_out: Array, out: Array
) -> float:
    """Put the VMs taken out back, largest first; return the gain, -inf if one had no place."""
    i, total = s.instance[lane], 0.0
    for _ in range(num):
        v, size, row = -1, -1, -1
        for j in range(num):
            u = out[lane, j, 0]
            cores = c.class_cores[i, c.vm_class[i, u]] * (2 if out[lane, j, 2] == 2 else 1)
            if is_out[lane, u] and cores > size:
                v, size, row = u, cores, j
        is_out[lane, v] = False
        best, fullest, where = -np.inf, 0, -1
        for node in range(2 * c.num_pms[i]):
            if can_host(lane, c, s, v, node):
                g = insertion_gain(lane, c, s, w, v, node)
                if g > best or (g == best and s.free[lane, node] < fullest):
                    best, fullest, where = g, s.free[lane, node], node
        if where < 0:
            place(lane, c, s, v, out[lane, row, 1], out[lane, row, 2])
        else:
            place(lane, c, s, v, where // 2, 2 if out[lane, row, 2] == 2 else where % 2)
        total += best
    return total


class POP(MigrationPlanner):
    """Partitioned optimisation: contiguous parts of the PM list, each with its share of the limit.

    A part is solved by :func:`rlsched.envs.vmr.exact.solve` where OR-Tools is installed, else by
    the greedy potential. VMs stay within their part; a move that a rack set with members elsewhere
    forbids is left out.

    Source: POP (Narayanan et al., SOSP 2021) as used by VM2RL (EuroSys 2025): halves of the PM
    list.

    Attributes:
        time_limit_s: seconds for all parts together.
    """

    name = "pop"

    def __init__(self, num_parts: int = NUM_PARTS, time_limit_s: float = POP_TIME_LIMIT_S) -> None:
        self.num_parts, self.time_limit_s = num_parts, time_limit_s

    def migrations(self, sim: VMRSimulator, lane: int, limit: int) -> Sequence[Migration]:
        cluster, start = sim.cluster(lane), perf_counter()
        moves: list[Migration] = []
        bounds = np.linspace(0, cluster.num_pms, min(self.num_parts, cluster.num_pms) + 1).astype(
            int
        )
        for part in range(len(bounds) - 1):
            piece, vms = part_of(cluster, bounds[part], bounds[part + 1])
            if piece is None:
                continue
            parts_left = len(bounds) - 1 - part
            seconds = (self.time_limit_s - (perf_counter() - start)) / parts_left
            share = (limit * (part + 1)) // (len(bounds) - 1) - (limit * part) // (len(bounds) - 1)
            found = solve_part(piece, sim.objective, share, seconds)
            moves += [Migration(int(vms[m.vm]), m.pm + int(bounds[part]), m.numa) for m in found]
        return best_prefix(cluster, sim.objective, legal_moves(cluster, moves))


def part_of(cluster: Cluster, first: int, end: int) -> tuple[Cluster | None, NDArray[np.int_]]:
    """Return the cluster of PMs ``first`` to ``end - 1``, None without VMs, and their rows."""
    vms = np.flatnonzero((cluster.vm_pm >= first) & (cluster.vm_pm < end))
    if not len(vms):
        return None, vms
    row_of = {int(vm): row for row, vm in enumerate(vms)}
    groups = (
        (group, tuple(row_of[vm] for vm in group.vms if vm in row_of))
        for group in cluster.anti_affinity
    )
    pms = slice(first, end)
    piece = replace(
        cluster,
        pm_ids=cluster.pm_ids[pms],
        pm_cores=cluster.pm_cores[pms],
        pm_mem_mb=cluster.pm_mem_mb[pms],
        pm_rack=cluster.pm_rack[pms],
        pm_active=cluster.pm_active[pms],
        vm_ids=tuple(cluster.vm_ids[vm] for vm in vms),
        vm_cores=cluster.vm_cores[vms],
        vm_mem_mb=cluster.vm_mem_mb[vms],
        vm_pm=(cluster.vm_pm[vms] - first).astype(np.int32),
        vm_numa=cluster.vm_numa[vms],
        vm_movable=cluster.vm_movable[vms],
        anti_affinity=tuple(AntiAffinitySet(g.granularity, m) for g, m in groups if len(m) > 1),
    )
    return piece, vms


def solve_part(
    cluster: Cluster, objective: Objective, limit: int, time_limit_s: float
) -> Sequence[Migration]:
    """Return a plan for one part: exact where OR-Tools is installed, else greedy."""
    greedy = potential_plan(cluster, objective, limit)
    if find_spec("ortools") is None:
        return greedy
    return exact.solve(cluster, objective, limit, max(time_limit_s, 0.01), hint=greedy).migrations


class Exact(MigrationPlanner):
    """An exact form as a policy, warm-started with the greedy potential's plan.

    Attributes:
        time_limit_s: seconds per lane.
    """

    def __init__(
        self,
        name: str,
        form: Callable[..., exact.Solution],
        goal: float | None = None,
        time_limit_s: float = EXACT_TIME_LIMIT_S,
    ) -> None:
        if find_spec("ortools") is None:
            raise MissingExtra("ortools", "exact")
        self.name, self.form, self.goal, self.time_limit_s = name, form, goal, time_limit_s
        self._bounds: list[float] = []

    def play(self, sim: VMRSimulator) -> int:  # type: ignore[override]
        self._bounds = []
        return super().play(sim)

    def migrations(self, sim: VMRSimulator, lane: int, limit: int) -> Sequence[Migration]:
        cluster, start = sim.cluster(lane), perf_counter()
        hint = potential_plan(cluster, sim.objective, limit)
        left_s = max(self.time_limit_s - (perf_counter() - start), 0.01)
        found = self.form(cluster, sim.objective, limit, left_s, hint=hint, goal=self.goal)
        self._bounds.append(found.bound if self.goal is None else float(found.moves_bound))
        return found.migrations

    def bound(self) -> float | None:
        """Return the proven bound of the last play, averaged over its lanes."""
        return float(np.mean(self._bounds)) if self._bounds else None


# --- plans ----------------------------------------------------------------------------------------


def potential_plan(cluster: Cluster, objective: Objective, limit: int) -> list[Migration]:
    """Return the greedy potential's plan for a cluster, cut at its best."""
    sim = VMRSimulator([cluster], 1, objective=objective.name, migration_limit=limit, observe=False)
    sim.reset(instances=[0])
    return migrations_of(sim, 0, rollout(sim, 0, Potential()).choices)


def migrations_of(sim: VMRSimulator, lane: int, choices: Sequence[int]) -> list[Migration]:
    """Return the migrations that a lane's choices stand for, STOP left out."""
    V, numa = sim.sizes["vm"], host(sim.state.vm_numa)[lane]
    pairs = zip(choices[::2], choices[1::2], strict=False)
    return [
        Migration(vm, (node - V) // 2, 2 if numa[vm] == 2 else (node - V) % 2) for vm, node in pairs
    ]


def legal_moves(cluster: Cluster, moves: Sequence[Migration]) -> list[Migration]:
    """Return the moves that are legal one after another, leaving out those that are not."""
    state, out = Replay(cluster), []
    for move in moves:
        if state.illegality(move.vm, move.pm, move.numa) is None:
            state.move(move.vm, move.pm, move.numa)
            out.append(move)
    return out


def best_prefix(
    cluster: Cluster, objective: Objective, moves: Sequence[Migration]
) -> list[Migration]:
    """Return the first moves up to where the objective is lowest, the fewest of equals."""
    rates = [objective.rate(cluster)]
    for move in moves:
        cluster = cluster.migrate([move])
        rates.append(objective.rate(cluster))
    return list(moves[: int(np.argmin(rates))])


def _exact(name: str, form: Callable[..., exact.Solution]) -> Callable[[Any], Policy]:
    return lambda config: Exact(name, form, goal=config.goal)


RULES: dict[str, Callable[[Any], Policy]] = {
    "random": lambda config: Random(),
    "ha": lambda config: HA(),
    "best_pair": lambda config: Potential(weight=0.0, name="best_pair"),
    "alpha_vbpp": lambda config: AlphaVBPP(),
    "pop": lambda config: POP(),
    "potential": lambda config: Potential(),
    "exact": _exact("exact", exact.solve),
    "exact_aggregated": _exact("exact_aggregated", exact.solve_aggregated),
    "exact_per_vm": _exact("exact_per_vm", exact.solve_per_vm),
}
"""Name -> policy of a configuration; ``:beam_32`` or, after a solver, ``:10s`` is added by the
evaluation."""
