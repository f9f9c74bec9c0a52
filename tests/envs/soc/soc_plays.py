"""Small generated workloads, options of the simulator, and random legal play over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from stream_checker import Stream

from rlsched.envs.soc.generator import generate_workload, generator_config
from rlsched.envs.soc.rules import Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.workload import Workload
from rlsched.testing import random_legal

POINTS = ((500, 800), (800, 900), (1000, 1000))
"""Operating points of the PEs of even number."""
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "noise": {"noise": "0.3", "reward": "bound"},
    "memory": {"comm": "memory", "order": "oldest_job"},
    "wait": {"defer": True, "admission": "queue", "fill": False, "scale": "10"},
    "points": {"dvfs": "choose", "reward": "bound", "admission": "drop", "scale": "5"},
    "fixed": {"arrivals": "fixed", "scale": "20-60", "noise": "0-0.5", "dvfs": "powersave"},
}
STATIC_VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "noise": {"noise": "0.3"},
    "memory and points": {"comm": "memory", "dvfs": "choose"},
}


def small(preset: str, seed: int, tasks: int = 5, pes: int = 3) -> Workload:
    """Return a generated workload with power; PEs of even number have three operating points.

    Of eight seeds in a row each has another set of: a startup, data that take time within a PE,
    tasks without time.
    """
    workload = generate_workload(generator_config(f"{preset}-{tasks}x{pes}"), seed)
    soc, count = workload.soc, range(workload.num_pes)
    return replace(
        workload,
        jobs=workload.jobs[:3],
        soc=replace(
            soc,
            pes=tuple(
                replace(
                    pe,
                    opps=pe.opps if p % 2 else POINTS,
                    power=tuple(0.5 * (n + 2) for n in range(pe.capacity)),
                )
                for p, pe in enumerate(soc.pes)
            ),
            startup=tuple(tuple(2 * (seed & 1) * (p != q) for q in count) for p in count),
            bandwidth=tuple(
                tuple(8.0 if seed & 2 and p == q else soc.bandwidth[p][q] for q in count)
                for p in count
            ),
            times=_without_time(soc.times) if seed & 4 else soc.times,
        ),
    )


def _without_time(times: Any) -> dict[str, tuple[int, ...]]:
    """Return times in which every third type takes none."""
    return {
        kind: tuple(min(t, 0) for t in row) if n % 3 == 2 else row
        for n, (kind, row) in enumerate(times.items())
    }


BANK = [small(preset, seed) for seed, preset in enumerate(("mix", "top_like", "accelerators") * 4)]
STATIC_BANK = [replace(workload, jobs=workload.jobs[:1]) for workload in BANK]


def started(*workloads: Workload, num_envs: int | None = None, **options: Any) -> SocSimulator:
    """Return lanes over the workloads in turn, at the beginning of an episode."""
    sim = SocSimulator(workloads, num_envs or len(workloads), **options)
    sim.reset(instances=[lane % len(workloads) for lane in range(sim.num_envs)])
    return sim


def streaming(*workloads: Workload, **options: Any) -> SocSimulator:
    """Return streaming lanes that end after ``num_jobs`` jobs; by default after one, queue=1."""
    own = {"length": 0, "num_jobs": 1, "fill": False, "queue": 1}
    return started(*workloads, **(own | options))


def static(*workloads: Workload, **options: Any) -> SocSimulator:
    """Return static lanes."""
    return started(*workloads, mode="static", **options)


def admissions(sim: SocSimulator, lane: int = 0) -> dict[int, int]:
    """Return when each job in the system was admitted."""
    jobs, at = sim.state.slot_job[lane].tolist(), sim.state.slot_admitted[lane].tolist()
    return {job: tick for job, tick in zip(jobs, at, strict=True) if job >= 0}


def play_out(sim: SocSimulator, seed: int = 0) -> tuple[float, Stream]:
    """Play a single lane at random to the end; return the sum of rewards and what ran."""
    total, admitted = 0.0, admissions(sim)
    for event in range(10_000):
        if sim.terminated[0]:
            break
        sim.step(random_legal(sim.action_mask, seed, event))
        total += float(sim.reward[0])
        admitted |= admissions(sim)
    assert sim.terminated[0], "the episode does not end"
    return total, stream_of(sim, admitted)


def stream_of(sim: SocSimulator, admitted: dict[int, int] | None = None, lane: int = 0) -> Stream:
    """Return what ran in a lane."""
    comm = "memory" if sim.host_work.comm[0] else "pe"
    return Stream(sim.workload_of(lane), sim.executions(lane), comm, admitted)


def ruled(sim: SocSimulator, name: str) -> SocSimulator:
    """Play all lanes to the end by a rule."""
    Rule(name).play(sim)
    assert sim.terminated.all()
    return sim


def follow(sim: SocSimulator, choices: Sequence[int]) -> list[float]:
    """Make choices in a single lane; return the rewards."""
    rewards = []
    for choice in choices:
        sim.step(np.array([choice], np.int32))
        rewards.append(float(sim.reward[0]))
    return rewards


def places(sim: SocSimulator, *pairs: tuple[int, int]) -> list[float]:
    """Place tasks on PEs, (row, PE) each, making only choices that are asked for; return rewards.

    Choices without an alternative have been made by the lane itself.
    """
    rewards, tasks = [], sim.sizes["task"]
    for row, pe in pairs:
        if sim.state.row[0] < 0:
            rewards += follow(sim, [row])
        if sim.state.row[0] == row:
            rewards += follow(sim, [tasks + pe])
    return rewards
