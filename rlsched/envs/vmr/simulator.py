"""VM rescheduling: migrate VMs between NUMA nodes until free cores stop being fragments.

A cluster is P hosts of two NUMA nodes. One migration is two choices at the same instant: a VM (or
STOP), then the NUMA node it moves to (a double-NUMA VM takes both nodes of a PM and is sent to its
node 0). Placement is the only state, exact and integer; nothing arrives or leaves while the plan is
made. An episode ends at STOP, at the migration limit, or when the goal rate is reached.

Source: VM2RL (Ding et al., EuroSys 2025); fragment rate and reward as in its published environment,
whose two stale-feature defects cannot occur here because a step rewrites every row that depends on
the two PMs it touched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rlsched.core.bank import BankSimulator
from rlsched.core.errors import ConfigError
from rlsched.core.lanes import helper, lanes
from rlsched.core.reward import RewardSpec, progress_reward
from rlsched.core.rng import randint
from rlsched.core.simulator import Array, host
from rlsched.envs.vmr.cluster import Cluster, Migration
from rlsched.envs.vmr.legality import mask_choices, refresh_legal
from rlsched.envs.vmr.objectives import parse_objective, usable
from rlsched.envs.vmr.observation import GRAPH, forget_targets, observe_all, observe_step
from rlsched.envs.vmr.placement import fingerprint, fingerprint_after, lift, place
from rlsched.envs.vmr.state import Clusters, State, allocate, num_vm_edges, pack

REWARDS = {
    "simple": RewardSpec(
        progress="(rate_0 - rate) / (rate_0 - target): each allowed migration turns one unit",
        running_max=False,
        soft=(("haste", "1 - moves / (2 * limit) where a goal rate is set, else 1"),),
    ),
    "vm2rl": RewardSpec(progress="fragment cores removed / 128", running_max=False),
}


# --- the problem, one lane ------------------------------------------------------------------------


@lanes
def start(
    lane: int, c: Clusters, s: State, observe: bool, mask: Array, instance: Array, stream: Array
) -> None:
    """Put the lane's instance in its starting placement and derive everything from it."""
    if not mask[lane]:
        return
    i = instance[lane]
    s.instance[lane], s.stream[lane], s.draws[lane] = i, stream[lane], 0
    s.chosen[lane], s.moved[lane], s.moves[lane] = -1, -1, 0
    s.touched[lane, 0], s.touched[lane, 1] = -1, -1
    s.reward[lane], s.hash[lane] = 0.0, 0
    for n in range(s.free.shape[1]):
        s.free[lane, n] = c.node_cores[i, n]
        s.free_mem_mb[lane, n] = c.node_mem_mb[i, n]
    for p in range(s.pm_vms.shape[1]):
        s.pm_vms[lane, p] = 0
        s.pm_first[lane, p] = -1
    for v in range(s.vm_pm.shape[1]):
        s.vm_legal[lane, v] = False
    for v in range(c.num_vms[i]):
        place(lane, c, s, v, c.start_pm[i, v], c.start_numa[i, v])
    for k in range(s.num_fit.shape[1]):
        s.num_fit[lane, k] = 0
        s.fit_level[lane, k] = -1
    for t in range(s.usable.shape[1]):
        s.usable[lane, t] = 0
    for p in range(c.num_pms[i]):
        count(lane, c, s, p, 1)
    update_rate(lane, c, s)
    s.terminated[lane] = is_over(lane, c, s)
    refresh_legal(lane, c, s)
    mask_choices(lane, c, s)
    if observe:
        observe_all(lane, c, s)


@lanes
def step(
    lane: int, c: Clusters, s: State, observe: bool, choice: Array, published_reward: bool
) -> None:
    """Apply the lane's choice: a VM, a NUMA node for the VM chosen before, or STOP."""
    s.reward[lane] = 0.0
    s.moved[lane], s.touched[lane, 0], s.touched[lane, 1] = -1, -1, -1
    if s.terminated[lane]:
        return
    node, num_vms = choice[lane], s.vm_pm.shape[1]
    if s.chosen[lane] >= 0:
        before = s.rate[lane]
        if observe:
            forget_targets(lane, s)
        migrate(lane, c, s, node - num_vms)
        s.reward[lane] = reward_of(lane, c, s, before, published_reward)
    elif node < num_vms:
        s.chosen[lane] = node
    else:
        s.terminated[lane] = True
    mask_choices(lane, c, s)
    if observe:
        observe_step(lane, c, s)


@helper
def migrate(lane: int, c: Clusters, s: State, node: int) -> None:
    """Move the chosen VM to a NUMA node (a double VM: to the PM of that node)."""
    v = s.chosen[lane]
    source, target = s.vm_pm[lane, v], node // 2
    numa = 2 if s.vm_numa[lane, v] == 2 else node % 2
    count(lane, c, s, source, -1)
    if target != source:
        count(lane, c, s, target, -1)
    lift(lane, c, s, v)
    place(lane, c, s, v, target, numa)
    count(lane, c, s, source, 1)
    if target != source:
        count(lane, c, s, target, 1)
    update_rate(lane, c, s)
    refresh_legal(lane, c, s)
    s.chosen[lane], s.moved[lane] = -1, v
    s.touched[lane, 0], s.touched[lane, 1] = source, target
    s.moves[lane] += 1
    s.terminated[lane] = is_over(lane, c, s)


@helper
def is_over(lane: int, c: Clusters, s: State) -> bool:
    """Return whether the migrations are used up or the goal is reached."""
    used_up = s.moves[lane] >= c.migration_limit[s.instance[lane]]
    return used_up or s.rate[lane] <= c.goal[0]


@helper
def count(lane: int, c: Clusters, s: State, pm: int, sign: int) -> None:
    """Add (or take away) one PM's part of the usable amounts and of the classes' feasible nodes."""
    i = s.instance[lane]
    if not c.pm_active[i, pm]:
        return
    f0, f1 = s.free[lane, 2 * pm], s.free[lane, 2 * pm + 1]
    m0, m1 = s.free_mem_mb[lane, 2 * pm], s.free_mem_mb[lane, 2 * pm + 1]
    for t in range(s.usable.shape[1]):
        amount = usable(c.term_kind[t], c.term_size[t], f0, f1, m0, m1, s.pm_vms[lane, pm])
        s.usable[lane, t] += sign * amount
    for k in range(c.num_classes[i]):
        cores, mem = c.class_cores[i, k], c.class_mem_mb[i, k]
        fit0, fit1 = f0 >= cores and m0 >= mem, f1 >= cores and m1 >= mem
        if c.class_double[i, k]:
            s.num_fit[lane, k] += sign * int(fit0 and fit1)
        else:
            s.num_fit[lane, k] += sign * (int(fit0) + int(fit1))


@helper
def update_rate(lane: int, c: Clusters, s: State) -> None:
    """Set the objective from the integer sums, so that no error accumulates."""
    i, rate = s.instance[lane], 0.0
    for t in range(s.usable.shape[1]):
        total = c.term_total[i, t]
        if total > 0:
            rate += c.term_weight[t] * (1.0 - s.usable[lane, t] / total)
    s.rate[lane] = rate


@helper
def reward_of(lane: int, c: Clusters, s: State, before: float, published: bool) -> float:
    """Return the reward of a migration that changed the rate from ``before``."""
    i = s.instance[lane]
    if published:
        return (before - s.rate[lane]) * c.free_total[i] / 128.0  # 32 cores on each of four nodes
    limit, goal = c.migration_limit[i], c.goal[0]
    reach, soft = 0.0, 1.0
    for t in range(s.usable.shape[1]):
        unit = max(1, c.term_size[t])
        reach += c.term_weight[t] * limit * unit / max(1, c.term_total[i, t])
    reach = min(reach, c.start_rate[i])
    if goal >= 0.0:
        reach = max(1e-9, c.start_rate[i] - goal)
        soft = 1.0 - 0.5 * s.moves[lane] / limit
    if reach <= 0.0:
        return 0.0
    return progress_reward(1.0, -before / reach, -s.rate[lane] / reach, soft, 0.0)


@lanes
def observe(lane: int, c: Clusters, s: State) -> None:
    """Write a lane's observation from its state alone."""
    observe_all(lane, c, s)


@lanes
def random_choice(lane: int, s: State, seed: int, choice: Array) -> None:
    """Choose uniformly among the legal choices, STOP only where nothing else is."""
    last, legal = s.action_mask.shape[1] - 1, 0
    for a in range(last):
        legal += int(s.action_mask[lane, a])
    choice[lane] = last
    if legal == 0 or s.terminated[lane]:
        return
    left = randint(seed, s.stream[lane], s.draws[lane], legal)
    s.draws[lane] += 1
    for a in range(last):
        if s.action_mask[lane, a]:
            if left == 0:
                choice[lane] = a
                return
            left -= 1


# --- the batch ------------------------------------------------------------------------------------


class VMRSimulator(BankSimulator):
    """B lanes of VM rescheduling over a bank of clusters.

    Args:
        instances: the bank; lanes draw from it, or are told rows of it.
        num_envs: B.
        objective: name for :func:`~rlsched.envs.vmr.objectives.parse_objective`.
        migration_limit: moves per episode, one for all or one per instance; a float in (0, 1) is a
            share of the cluster's VMs, rounded up.
        goal: rate at which an episode ends, None = play to the limit or STOP.
        reward: ``"simple"`` or ``"vm2rl"``.
        seed: of the instances drawn and of the lanes' random numbers.
        observe: keep the observation up to date; False is for rules and search, which read the
            state.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        ConfigError: an option is not allowed.
        InstanceError: the bank is empty.
    """

    graph = GRAPH
    start_lane, observe_lane, fingerprint_lane = start, observe, fingerprint
    can_stop = True
    unit = "migration"
    choices_per_unit = 2
    state: State
    clusters: Clusters
    host_clusters: Clusters

    def __init__(
        self,
        instances: Sequence[Cluster],
        num_envs: int = 1,
        *,
        objective: str = "fr16",
        migration_limit: float | Sequence[int] = 50,
        goal: float | None = None,
        reward: str = "simple",
        seed: int = 0,
        observe: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(instances, num_envs, seed, observe, device)
        if reward not in REWARDS:
            raise ConfigError(f"reward={reward!r}; allowed: {', '.join(REWARDS)}.")
        if goal is not None and not 0 <= goal <= 1:
            raise ConfigError(f"goal={goal}; give a rate in [0, 1], or None.")
        self.objective, self.reward_name, self.goal = parse_objective(objective), reward, goal
        self.metric = "fragment_rate" if goal is None else "migrations_to_goal"
        self.limits = _limits(migration_limit, self.instances)
        self.host_clusters = pack(self.instances, self.objective, self.limits, goal)
        V, N = self.host_clusters.vm_class.shape[1], self.host_clusters.node_cores.shape[1]
        self.sizes = {"vm": V, "numa": N}
        self.num_edges = {
            "vm__on__numa": num_vm_edges(self.host_clusters),
            "numa__sibling__numa": N,
        }
        self._open(self.host_clusters)
        self.clusters = self.bank

    def _new_state(self) -> State:
        widths = {n.name: len(n.features) for n in GRAPH.nodes} | {"context": len(GRAPH.context)}
        return allocate(self.host_clusters, self.num_envs, self.observe, widths)

    def _step(self, choice: Array) -> None:
        self._run(step, self.observe, choice, self.reward_name == "vm2rl")

    def observation(self) -> dict[str, Array]:
        self._check_observes()
        s = self.state
        return {
            "vm": s.vm,
            "numa": s.numa,
            "vm__on__numa": s.vm_on_numa,
            "numa__sibling__numa": s.numa_sibling_numa,
            "context": s.context,
            "num_nodes": s.num_nodes,
            "action_mask": s.action_mask,
        }

    def metrics(self) -> dict[str, NDArray]:
        """Return rate, starting rate, migrations made and, with a goal, those it took."""
        s, c = self.state, self.host_clusters
        rate, moves, rows = np.array(host(s.rate)), np.array(host(s.moves)), host(s.instance)
        out = {
            "fragment_rate": rate,
            "fragment_rate_before": c.start_rate[rows],
            "num_migrations": moves,
        }
        if self.goal is not None:
            failed = c.migration_limit[rows] + 1
            out["migrations_to_goal"] = np.where(rate <= self.goal, moves, failed)
        return out

    def keys_after(self, choices: NDArray[np.int32]) -> NDArray[np.int64]:
        out = np.zeros(choices.shape, np.int64)
        self._run(fingerprint_after, choices, out)
        return out

    def choices_of(self, lane: int, migration: Migration) -> tuple[int, int]:
        """Return the two choices that make one migration in a lane."""
        node = 2 * migration.pm + (migration.numa if migration.numa < 2 else 0)
        return migration.vm, self.sizes["vm"] + node

    def cluster(self, lane: int = 0) -> Cluster:
        """Return the lane's instance as it is placed now."""
        original = self.instances[int(self.state.instance[lane])]
        V = original.num_vms
        pm, numa = (np.array(host(a[lane])[:V]) for a in (self.state.vm_pm, self.state.vm_numa))
        return replace(original, vm_pm=pm, vm_numa=numa)

    def render(self, lane: int = 0) -> NDArray[np.uint8]:
        from rlsched.envs.vmr.render import rgb_array

        return rgb_array(self, lane)


def _limits(limit: float | Sequence[int], clusters: Sequence[Cluster]) -> list[int]:
    if isinstance(limit, Sequence):
        limits = [int(x) for x in limit]
    else:
        limits = [math.ceil(limit * c.num_vms) if limit < 1 else int(limit) for c in clusters]
    if len(limits) != len(clusters) or min(limits) < 0:
        raise ConfigError(f"migration_limit={limit}; give one number >= 0, or one per instance.")
    return limits
