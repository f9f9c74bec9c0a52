"""VM rescheduling as the rest of the house sees it: options, construction, rules, dispatch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rlsched.core.errors import ConfigError
from rlsched.core.registry import Problem, first_seed
from rlsched.envs.vmr import exact
from rlsched.envs.vmr.dispatch import Portfolio, dispatch
from rlsched.envs.vmr.instances import (
    Cluster,
    Migration,
    generate_cluster,
    generator_config,
    load_instances,
)
from rlsched.envs.vmr.objectives import parse_objective
from rlsched.envs.vmr.render import plot
from rlsched.envs.vmr.rules import RULES
from rlsched.envs.vmr.simulator import VMRSimulator
from rlsched.envs.vmr.teacher import PlanTeacher

TEACHER_TIME_LIMIT_S = 2.0
MEDIUM_PMS = 279


@dataclass
class VMRConfig:
    """Options of ``env=vmr``.

    Attributes:
        name: the environment.
        generator: preset of generated clusters, e.g. ``small``, ``medium``, ``large-constrained``;
            several joined by ``+`` take turns.
        num_pms: PMs of generated clusters, None = the preset's.
        num_instances: clusters in a generated training bank.
        merge_clusters: join the clusters of one file, as the published environment does.
        objective: what is minimised, e.g. ``fr16`` or ``0.7*fr16+0.3*fr64d``.
        migration_limit: moves per episode; below 1 it is a share of the cluster's VMs, rounded up.
        migration_limit_spread: each generated training cluster draws its limit within this share
            around it, so that one policy serves short plans and long ones.
        goal: rate at which an episode ends, None = none; then the metric counts the migrations to
            it.
        reward: ``simple`` or ``vm2rl``.
    """

    name: str = "vmr"
    generator: str = "small"
    num_pms: int | None = None
    num_instances: int = 384
    merge_clusters: bool = True
    objective: str = "fr16"
    migration_limit: float = 0.024
    migration_limit_spread: float = 0.8
    goal: float | None = None
    reward: str = "simple"


def make(
    config: VMRConfig,
    num_envs: int = 1,
    instances: Sequence[Cluster] | None = None,
    seed: int = 0,
    observe: bool = True,
    device: str = "cpu",
) -> VMRSimulator:
    """Return B lanes over the given clusters, or over a bank generated from the seed.

    Raises:
        ConfigError: an option is not allowed.
    """
    limit: float | list[int] = config.migration_limit
    if instances is None:
        instances = generate_instances(config, config.num_instances, seed, "train")
        if config.migration_limit_spread > 0:
            limit = _draw_limits(config, instances, seed)
    return VMRSimulator(
        instances,
        num_envs,
        objective=config.objective,
        migration_limit=limit,
        goal=config.goal,
        reward=config.reward,
        seed=seed,
        observe=observe,
        device=device,
    )


def _draw_limits(config: VMRConfig, instances: Sequence[Cluster], seed: int) -> list[int]:
    spread = config.migration_limit_spread
    if spread >= 1:
        raise ConfigError(f"migration_limit_spread={spread}; must be in [0, 1).")
    around = np.random.default_rng(seed).uniform(1 - spread, 1 + spread, len(instances))
    limit = config.migration_limit
    wanted = [limit * c.num_vms if limit < 1 else limit for c in instances]
    return [max(1, round(x * w)) for x, w in zip(around, wanted, strict=True)]


def generate_instances(
    config: VMRConfig, num: int, seed: int, split: str = "test"
) -> list[Cluster]:
    """Return generated clusters; the first of a seed are the same however many are asked for.

    Args:
        config: which generator.
        num: how many.
        seed: any integer >= 0.
        split: ``train``, ``validation`` or ``test``; no cluster is in two of them.
    """
    generators = [generator_config(name) for name in config.generator.split("+")]
    if config.num_pms is not None:
        generators = [replace(g, num_pms=config.num_pms) for g in generators]
    first = first_seed(seed, split)
    return [generate_cluster(generators[i % len(generators)], first + i) for i in range(num)]


def sizes(config: VMRConfig) -> list[VMRConfig]:
    """Return options of three cluster sizes, for checks that a policy must pass at any size."""
    return [replace(config, num_pms=n) for n in (8, 24, 72)]


def load(config: VMRConfig, path: str | Path) -> list[Cluster]:
    """Return the clusters of a file or folder."""
    return load_instances(path, merge=config.merge_clusters)


def larger(config: VMRConfig) -> VMRConfig:
    """Return the options with clusters of the Medium size, on which a trained policy is shown."""
    return replace(config, num_pms=MEDIUM_PMS)


def _teacher(config: VMRConfig) -> PlanTeacher:
    """Return the exact solver as a teacher."""
    objective = parse_objective(config.objective)

    def plan(cluster: Cluster, limit: int) -> tuple[Migration, ...]:
        return exact.solve(
            cluster, objective, limit, TEACHER_TIME_LIMIT_S, num_threads=1, goal=config.goal
        ).migrations

    return PlanTeacher(plan)


PROBLEM = Problem(
    name="vmr",
    gym_id="rlsched/VMR-v0",
    config=VMRConfig,
    make=make,
    load_instances=load,
    generate_instances=generate_instances,
    rules=RULES,
    teachers={"exact": _teacher},
    sizes=sizes,
    larger=larger,
    default_policies=lambda config: ("random", "ha", "best_pair", "alpha_vbpp", "pop", "potential"),
    dispatch=dispatch,
    portfolio=Portfolio,
    plot=plot,
)
