"""Seeded random workloads: layered DAGs of tasks on PEs that differ task by task.

A workload is drawn in this order: its SoC (number of PEs, types of task, times, support,
bandwidth), then its jobs one by one (number of tasks, levels, edges, types, volumes).

- Edges: a layered DAG, see ``layered.py``.
- Times: with ``heterogeneity`` b a type's times spread evenly over mean x (1 - b/2) to
  mean x (1 + b/2), the mean drawn from ``times``; without, each time is drawn from ``times``.
- Volumes: with ``ccr`` their mean takes that many times as long between two PEs as a task computes,
  each 0 to 2 times the mean; without, each is drawn from ``volumes``.

Source: the parameters of the random graphs of Topcuoglu, Hariri & Wu (2002), section 5.1;
``top_like`` and ``mix`` have the ranges of the Top jobs of gym_ds3; ``clusters`` are
systems of slow and fast clusters and accelerators, as DS3's, with times that differ a hundredfold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError
from rlsched.core.presets import sized_preset
from rlsched.envs.soc.layered import layered_dag
from rlsched.envs.soc.workload import NOT_SUPPORTED, Edge, Job, Pe, Soc, Workload

MAX_TASKS, MAX_PES, MAX_JOBS, MAX_TYPES, MAX_TIME, MAX_VOLUME = 2_000, 64, 100, 2_000, 10_000, 1e6
MEMORY_SPEED = 2.0
"""Bandwidth of shared memory, as a multiple of that between PEs. Source: the Top SoC."""
IntRange = tuple[int, int]
Range = tuple[float, float]


@dataclass(frozen=True)
class GeneratorConfig:
    """What to draw; every range is inclusive.

    Attributes:
        name: beginning of the workloads' names.
        tasks: range of the tasks of a job.
        pes: range of the number of PEs, accelerators included.
        jobs: range of the number of kinds of jobs.
        shape: range of the shape of a job, drawn log-uniformly; above 1 it is broad, below long.
        out_degree: range of edges per task of a job.
        span: levels that an edge may bridge.
        is_closed: whether a job has one entry and one exit task.
        types: range of the number of types of task; None = every task is of its own type.
        times: range of a type's mean time, or of each time, ticks.
        is_skewed: times are drawn by their logarithm, so that few are long.
        heterogeneity: range of b, see the module; None = times are drawn one by one.
        slowness: range of how many times as long a PE takes as drawn for it, drawn log-uniformly;
            accelerators do not.
        support: share of the types that a PE runs; each type has at least one PE.
        accelerators: range of how many of the PEs are accelerators; one PE at least is none.
        accelerated: share of the types that an accelerator runs; with skewed times, of those of the
            middle length, of longer ones more.
        acceleration: range of how many times as fast as the mean it runs them.
        capacity: range of the tasks that a PE runs at once.
        ccr: range of the communication to computation ratio, drawn log-uniformly; None = volumes
            are drawn from ``volumes``.
        volumes: range of the volumes.
        bandwidth: range of the volume per tick between two PEs, both ways the same.
        startup: range of the ticks before the first data arrive, both ways the same.

    Raises:
        ConfigError: a value is out of range.
    """

    name: str
    tasks: IntRange = (20, 20)
    pes: IntRange = (4, 4)
    jobs: IntRange = (1, 1)
    shape: Range = (0.5, 2.0)
    out_degree: Range = (1.0, 3.0)
    span: int = MAX_TASKS
    is_closed: bool = True
    types: IntRange | None = None
    times: IntRange = (10, 100)
    is_skewed: bool = False
    heterogeneity: Range | None = None
    slowness: Range = (1.0, 1.0)
    support: float = 1.0
    accelerators: IntRange = (0, 0)
    accelerated: float = 0.3
    acceleration: Range = (4.0, 20.0)
    capacity: IntRange = (1, 1)
    ccr: Range | None = None
    volumes: IntRange = (9, 27)
    bandwidth: Range = (1.0, 1.0)
    startup: IntRange = (0, 0)

    def __post_init__(self) -> None:
        _check(self)


def _check(c: GeneratorConfig) -> None:
    limits: dict[str, tuple[float, float]] = {
        "tasks": (1, MAX_TASKS),
        "pes": (1, MAX_PES),
        "jobs": (1, MAX_JOBS),
        "shape": (0.05, 20),
        "out_degree": (0, MAX_TASKS),
        "types": (1, MAX_TYPES),
        "times": (1, MAX_TIME),
        "heterogeneity": (0, 2),
        "slowness": (1, 100),
        "accelerators": (0, MAX_PES),
        "acceleration": (1, 1000),
        "capacity": (1, 16),
        "ccr": (0.001, 1000),
        "volumes": (0, MAX_VOLUME),
        "bandwidth": (0.001, MAX_VOLUME),
        "startup": (0, MAX_TIME),
    }
    for key, (low, high) in limits.items():
        _check_range(c, key, low, high)
    _check_within(c, "span", c.span, 1, MAX_TASKS)
    _check_within(c, "support", c.support, 0, 1)
    _check_within(c, "accelerated", c.accelerated, 0, 1)


def _check_range(c: GeneratorConfig, key: str, low: float, high: float) -> None:
    bounds = getattr(c, key)
    if bounds is None:
        return
    if len(bounds) != 2:
        raise ConfigError(f"{c.name!r}: {key} = {bounds}; give (lowest, highest).")
    _check_within(c, f"{key}[0]", bounds[0], low, high)
    _check_within(c, f"{key}[1]", bounds[1], bounds[0], high)


def _check_within(c: GeneratorConfig, key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{c.name!r}: {key} = {value}; allowed: {low:g} to {high:g}.")


def generate_workload(config: GeneratorConfig, seed: int) -> Workload:
    """Return the random workload of a seed; the same config and seed give the same workload.

    Args:
        config: what to draw.
        seed: any integer >= 0.
    """
    rng, name = np.random.default_rng(seed), f"{config.name}-{seed}"
    sizes = [_whole(rng, config.tasks) for _ in range(_whole(rng, config.jobs))]
    num_types = sum(sizes) if config.types is None else _whole(rng, config.types)
    soc = _soc(config, rng, num_types, name)
    mean_volume = _mean_volume(config, rng, soc)
    jobs, first = [], 0
    for j, size in enumerate(sizes):
        own = range(first, first + size)
        first += size
        chosen = own if config.types is None else rng.integers(num_types, size=size).tolist()
        edges = _volumes(config, rng, _pairs(config, rng, size), mean_volume)
        jobs.append(Job(f"job_{j}", tuple(_type(t) for t in chosen), edges))
    return Workload(name, soc, tuple(jobs))


def _type(number: int) -> str:
    return f"task_{number}"


def _whole(rng: np.random.Generator, bounds: IntRange) -> int:
    return int(rng.integers(*bounds, endpoint=True))


def _log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _soc(config: GeneratorConfig, rng: np.random.Generator, num_types: int, name: str) -> Soc:
    num_pes = _whole(rng, config.pes)
    first = num_pes - min(_whole(rng, config.accelerators), num_pes - 1)
    capacity = rng.integers(*config.capacity, size=num_pes, endpoint=True).tolist()
    pes = tuple(_pe(p, p >= first, capacity[p]) for p in range(num_pes))
    heterogeneity = 0.0 if config.heterogeneity is None else rng.uniform(*config.heterogeneity)
    slow = np.ones(num_pes)
    if config.slowness[1] > 1:
        slow[:first] = [_log_uniform(rng, config.slowness) for _ in range(first)]
    times = {_type(t): _times(config, rng, slow, first, heterogeneity) for t in range(num_types)}
    bandwidth = _between(rng.uniform(*config.bandwidth, (num_pes, num_pes)), math.inf)
    startup = _between(rng.integers(*config.startup, (num_pes, num_pes), endpoint=True), 0)
    memory = (MEMORY_SPEED * config.bandwidth[0],) * num_pes
    return Soc(name, pes, times, bandwidth, startup, (memory, memory))


def _pe(number: int, is_accelerator: bool, capacity: int) -> Pe:
    name, kind = ("ACC", "ACC") if is_accelerator else ("P", "CPU")
    power = (0.0,) * capacity
    return Pe(f"{name}{number + 1}", kind, capacity, power=power, leaks=not is_accelerator)


def _between(values: np.ndarray, own: float) -> tuple[tuple[Any, ...], ...]:
    """Return a symmetric matrix of the values above the diagonal, and ``own`` on it."""
    upper = np.triu(values, 1)
    rows = (upper + upper.T).tolist()
    return tuple(
        tuple(own if p == q else value for q, value in enumerate(row)) for p, row in enumerate(rows)
    )


def _times(
    config: GeneratorConfig,
    rng: np.random.Generator,
    slow: NDArray[np.float64],
    first_accelerator: int,
    heterogeneity: float,
) -> tuple[int, ...]:
    """Return a type's times on the PEs; at least one PE that is no accelerator runs it."""
    (low, high), num_pes = config.times, len(slow)
    mean = _log_uniform(rng, (low, high)) if config.is_skewed else rng.uniform(low, high)
    usual = mean * rng.uniform(1 - heterogeneity / 2, 1 + heterogeneity / 2, num_pes)
    if config.heterogeneity is None:
        usual = rng.integers(low, high, size=num_pes, endpoint=True).astype(float)
    fast = mean / rng.uniform(*config.acceleration, num_pes)
    is_accelerator = np.arange(num_pes) >= first_accelerator
    accelerated = config.accelerated * (mean / math.sqrt(low * high) if config.is_skewed else 1)
    share = np.where(is_accelerator, accelerated, config.support)
    is_supported = rng.random(num_pes) < share
    is_supported[rng.integers(first_accelerator)] = True
    ticks = np.maximum(1, np.rint(np.where(is_accelerator, fast, usual * slow))).astype(int)
    return tuple(np.where(is_supported, ticks, NOT_SUPPORTED).tolist())


def _mean_volume(config: GeneratorConfig, rng: np.random.Generator, soc: Soc) -> float:
    """Return the mean volume that the communication to computation ratio asks for."""
    if config.ccr is None:
        return 0.0
    times = [t for row in soc.times.values() for t in row if t != NOT_SUPPORTED]
    bandwidths = [b for row in soc.bandwidth for b in row if b < math.inf] or [config.bandwidth[0]]
    inverse = float(np.mean(1 / np.array(bandwidths)))
    return _log_uniform(rng, config.ccr) * float(np.mean(times)) / inverse


def _pairs(config: GeneratorConfig, rng: np.random.Generator, size: int) -> list[tuple[int, int]]:
    shape = _log_uniform(rng, config.shape)
    num_edges = round(size * rng.uniform(*config.out_degree))
    return layered_dag(rng, size, shape, num_edges, config.span, config.is_closed)


def _volumes(
    config: GeneratorConfig,
    rng: np.random.Generator,
    pairs: Sequence[tuple[int, int]],
    mean: float,
) -> tuple[Edge, ...]:
    if config.ccr is None:
        drawn = rng.integers(*config.volumes, size=len(pairs), endpoint=True)
    else:
        drawn = np.rint(rng.uniform(0, 2 * mean, len(pairs)))
    volumes = drawn.astype(float).tolist()
    return tuple((a, b, v) for (a, b), v in zip(pairs, volumes, strict=True))


TOP_TIMES, TOP_VOLUMES = (5, 21), (9, 27)
PRESETS = {
    config.name: config
    for config in (
        GeneratorConfig(
            "layered", (10, 30), out_degree=(1.0, 4.0), heterogeneity=(0.1, 1.0), ccr=(0.1, 10.0)
        ),
        GeneratorConfig(
            "mix",
            (8, 16),
            jobs=(3, 6),
            out_degree=(1.1, 1.5),
            types=(12, 20),
            times=TOP_TIMES,
            volumes=TOP_VOLUMES,
        ),
        GeneratorConfig(
            "accelerators",
            (8, 16),
            (5, 8),
            jobs=(3, 6),
            out_degree=(1.1, 1.5),
            types=(12, 20),
            times=(5, 100),
            heterogeneity=(0.2, 1.0),
            accelerators=(1, 3),
            capacity=(1, 4),
            volumes=(0, 30),
        ),
        GeneratorConfig(
            "clusters",
            (6, 20),
            (3, 7),
            jobs=(3, 6),
            shape=(0.3, 2.0),
            out_degree=(1.0, 1.4),
            is_closed=False,
            types=(6, 20),
            times=(3, 400),
            is_skewed=True,
            heterogeneity=(0.0, 0.8),
            slowness=(1.0, 3.0),
            accelerators=(1, 4),
            accelerated=0.3,
            acceleration=(4.0, 60.0),
            capacity=(1, 4),
            volumes=(0, 100),
            bandwidth=(1.0, 10.0),
        ),
        GeneratorConfig(
            "top_like",
            (10, 10),
            (3, 3),
            shape=(0.5, 0.9),
            out_degree=(1.2, 1.5),
            times=TOP_TIMES,
            volumes=TOP_VOLUMES,
        ),
    )
}
"""Named settings."""


def generator_config(name: str) -> GeneratorConfig:
    """Return a preset, or one of another size, tasks x PEs.

    Args:
        name: as ``layered``, ``layered-10x3``, or ``layered-10x3-30x4`` for sizes from - to.

    Raises:
        UnknownName: there is no such preset.
        ConfigError: the size cannot be read or is out of range.
    """
    return sized_preset(name, PRESETS, ("tasks", "pes"))
