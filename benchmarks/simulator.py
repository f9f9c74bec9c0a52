"""Speed of the VM-rescheduling simulator against a floor, as ratios in one run.

python benchmarks/simulator.py [repeats]

One thread, a generated cluster of the Medium size, random legal migrations recorded first and then
replayed, so that only the simulator is timed; process CPU time, best of the repeats. The floor is
the least that plain NumPy can do for one migration: mask the nodes, move the VM, compute the
reward from the two PMs touched; no VM mask, no observation, no batch.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from rlsched.core.lanes import set_num_threads
from rlsched.envs.vmr.instances import Cluster, generate_cluster, generator_config
from rlsched.envs.vmr.simulator import VMRSimulator, random_choice

LIMIT = 50
PUBLISHED_STEPS_PER_S = 544
"""VM2RL's environment v2 without its mask, one core, on the real Medium snapshot; measured by us on
another machine (specs/vmr.md, section 5), so its ratio is an order of magnitude."""


class PlainNumpy:
    """One cluster, one migration at a time, single-NUMA and double-NUMA VMs, fr16."""

    def __init__(self, cluster: Cluster) -> None:
        self.free, self.mem = cluster.free_cores.copy(), cluster.free_mem_mb.copy()
        self.pm, self.numa = cluster.vm_pm.copy(), cluster.vm_numa.copy()
        self.cores, self.need = cluster.vm_cores, cluster.vm_mem_mb

    def mask(self, v: int) -> NDArray[np.bool_]:
        fits = (self.free >= self.cores[v]) & (self.mem >= self.need[v])
        if self.numa[v] == 2:
            fits = fits.all(axis=1)
            fits[self.pm[v]] = False
        else:
            fits[self.pm[v], self.numa[v]] = False
        return fits

    def step(self, v: int, pm: int, numa: int) -> float:
        source = self.pm[v]
        pair = [source, pm] if source != pm else [pm]
        before = (self.free[pair] % 16).sum()
        here = slice(None) if self.numa[v] == 2 else self.numa[v]
        there = slice(None) if numa == 2 else numa
        self.free[source, here] += self.cores[v]
        self.mem[source, here] += self.need[v]
        self.free[pm, there] -= self.cores[v]
        self.mem[pm, there] -= self.need[v]
        self.pm[v], self.numa[v] = pm, numa
        return float(before - (self.free[pair] % 16).sum()) / 128


def record(sim: VMRSimulator) -> NDArray[np.int32]:
    """Play random legal choices and return them, (T, B)."""
    sim.reset(seed=0)
    choices = np.zeros((2 * LIMIT, sim.num_envs), np.int32)
    for choice in choices:
        random_choice(sim.num_envs, sim.state, 0, choice)
        sim.step(choice)
    return choices


def lanes_rate(sim: VMRSimulator, choices: NDArray[np.int32]) -> float:
    """Return migrations per CPU second of replaying the choices."""
    sim.reset(seed=0)
    start = time.process_time()
    for choice in choices:
        sim.step(choice)
    return int(sim.state.moves.sum()) / (time.process_time() - start)


def floor_rate(cluster: Cluster, choices: NDArray[np.int32]) -> float:
    """Return migrations per CPU second of plain NumPy on lane 0's choices."""
    V, plain, legal = cluster.num_vms, PlainNumpy(cluster), 0
    start = time.process_time()
    for v, target in choices[:, 0].reshape(-1, 2).tolist():
        pm, node = divmod(target - V, 2)
        numa = 2 if plain.numa[v] == 2 else node
        mask = plain.mask(v)
        legal += int(mask[pm] if numa == 2 else mask[pm, node])
        plain.step(v, pm, numa)
    rate = LIMIT / (time.process_time() - start)
    assert legal == LIMIT
    return rate


def main(repeats: int = 20) -> None:
    """Print the table."""
    set_num_threads(1)
    cluster = generate_cluster(generator_config("medium"), 0)
    cases = [(num, observe) for num in (1, 64, 1024) for observe in (False, True)]
    sims = [VMRSimulator([cluster], num, observe=o, migration_limit=LIMIT) for num, o in cases]
    choices = [record(sim) for sim in sims]
    rates, floors = [0.0] * len(sims), [floor_rate(cluster, choices[0])]
    for repeat in range(repeats):
        for case, sim in enumerate(sims):
            if sim.num_envs < 1024 or repeat < 3:
                rates[case] = max(rates[case], lanes_rate(sim, choices[case]))
        floors.append(floor_rate(cluster, choices[0]))
    floor = max(floors)
    print(f"{cluster.num_pms} PMs, {cluster.num_vms} VMs, one thread, migrations per CPU second")
    print(f"{'':34}{'per second':>12}{'x floor':>9}{'x published':>13}")
    rows = [
        (f"rlsched, B={num}, {'with' if observe else 'no'} observation", rate)
        for (num, observe), rate in zip(cases, rates, strict=True)
    ]
    rows += [("plain NumPy (the floor)", floor)]
    rows += [("published environment (cited)", float(PUBLISHED_STEPS_PER_S))]
    for name, rate in rows:
        published = rate / PUBLISHED_STEPS_PER_S
        print(f"{name:34}{rate:12,.0f}{rate / floor:9.2f}{published:13.0f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
