"""Seeded random shops: Taillard's own generator, plain and flexible routes, arrivals, due dates.

A shop is drawn in this order: its size, its jobs by the ``kind`` of generator, release times, due
dates, weights, maintenance. Kinds:

- ``taillard``: times and routes as Taillard (1993) draws them, from two seeds of his own generator;
- ``uniform``: uniform times, each job a uniformly random permutation of the machines;
- ``known_optimum``: the best makespan is known by construction, see ``known_optimum.py``;
- ``flexible``: as ``uniform``, and each operation can go to a few machines at different speeds;
- ``unequal``: each job visits a random selection of the machines;
- ``reentrant``: jobs come back to machines, and differ in length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError, UnknownName
from rlsched.core.presets import sized_preset
from rlsched.envs.jobshop.files import Route
from rlsched.envs.jobshop.known_optimum import OPTIMUM, tiled_jobs
from rlsched.envs.jobshop.shop import NO_DUE_DATE, Shop
from rlsched.envs.jobshop.taillard import MODULUS, taillard_jobs

MAX_JOBS, MAX_MACHINES, MAX_OPS, MAX_TIME = 1000, 200, 1000, 10_000
"""Largest sizes, operations of a job, and ticks of an operation."""
HORIZON = 4
"""Maintenance is planned for this many times the busiest machine's work; a blocking shop under a
simple rule takes about three times."""
IntRange = tuple[int, int]


@dataclass(frozen=True)
class GeneratorConfig:
    """What to draw; every range is inclusive.

    Attributes:
        name: beginning of the shops' names.
        kind: how jobs are drawn, see the module.
        jobs: range of J.
        machines: range of M.
        times: range of processing times, ticks.
        ops: range of operations per job; None = M, for ``unequal`` 1 to M. More than M only in
            ``reentrant``; the kinds taillard, uniform and known_optimum have M.
        alternatives: range of machines per operation, at most M, for ``flexible``.
        spread: times on an operation's machines differ by up to this share, for ``flexible``.
        utilization: jobs arrive at random (exponential gaps), so many that the machines would be
            busy for this share of the time; None = all are there at 0.
        due_factor: range of f in due = release + f x work of the job on its fastest machines (TWK,
            total work content); None = no due dates.
        weights: range of the jobs' weights.
        maintenance: (period, length) in ticks of each machine's maintenance, the first at a random
            time within the period; None = no maintenance.

    Raises:
        ConfigError: a value is out of range.
    """

    name: str
    kind: str = "uniform"
    jobs: IntRange = (10, 10)
    machines: IntRange = (10, 10)
    times: IntRange = (5, 99)
    ops: IntRange | None = None
    alternatives: IntRange = (1, 1)
    spread: float = 0.0
    utilization: float | None = None
    due_factor: tuple[float, float] | None = None
    weights: IntRange = (1, 1)
    maintenance: IntRange | None = None

    def __post_init__(self) -> None:
        _check(self)


def _check(c: GeneratorConfig) -> None:
    if c.kind not in KINDS:
        raise UnknownName("kind of generator", c.kind, KINDS)
    _check_range(c, "jobs", 1, MAX_JOBS)
    _check_range(c, "machines", 2 if c.kind == "reentrant" else 1, MAX_MACHINES)
    _check_range(c, "times", 1, MAX_TIME)
    _check_range(c, "ops", 1, MAX_OPS)
    _check_range(c, "alternatives", 1, MAX_MACHINES)
    _check_range(c, "due_factor", 0, 100)
    _check_range(c, "weights", 0, 1000)
    _check_range(c, "maintenance", 1, MAX_TIME * MAX_OPS)
    _check_within(c, "spread", c.spread, 0, 0.9)
    if c.utilization is not None:
        _check_within(c, "utilization", c.utilization, 0.01, 10)
    if c.maintenance and c.maintenance[1] >= c.maintenance[0]:
        raise ConfigError(
            f"{c.name!r}: maintenance = {c.maintenance}; give (period, length < period)."
        )
    for key, kinds in ONLY.items():
        unset = next(f.default for f in fields(c) if f.name == key)
        if getattr(c, key) != unset and c.kind not in kinds:
            raise ConfigError(
                f"{c.name!r}: {key} = {getattr(c, key)} does not go with kind {c.kind!r}; only "
                f"with {', '.join(kinds)}."
            )


def _check_range(c: GeneratorConfig, key: str, low: float, high: float) -> None:
    bounds = getattr(c, key)
    if bounds is None:
        return
    if len(bounds) != 2:
        raise ConfigError(f"{c.name!r}: {key} = {bounds}; give (lowest, highest).")
    _check_within(c, f"{key}[0]", bounds[0], low, high)
    _check_within(c, f"{key}[1]", bounds[1], low if key == "maintenance" else bounds[0], high)


def _check_within(c: GeneratorConfig, key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{c.name!r}: {key} = {value}; allowed: {low} to {high}.")


def generate_shop(config: GeneratorConfig, seed: int) -> Shop:
    """Return the random shop of a seed; the same config and seed give the same shop.

    Args:
        config: what to draw.
        seed: any integer >= 0.
    """
    rng = np.random.default_rng(seed)
    num_jobs, num_machines = _draw(rng, config.jobs), _draw(rng, config.machines)
    jobs = KINDS[config.kind](config, rng, num_jobs, num_machines)
    work = np.array([sum(min(t for _, t in op) for op in job) for job in jobs])
    release = _release(config, rng, work, num_machines)
    name = f"{config.name}-{seed}"
    if config.kind == "known_optimum":
        name += f"{OPTIMUM}{_lower_bound(jobs, num_machines)}"
    return Shop.from_jobs(
        jobs,
        num_machines,
        release=release.tolist(),
        due=_due(config, rng, release, work).tolist(),
        weight=rng.integers(*config.weights, size=num_jobs, endpoint=True).tolist(),
        windows=_windows(config, rng, jobs, num_machines, int(release.max())),
        name=name,
    )


def _draw(rng: np.random.Generator, bounds: IntRange) -> int:
    return int(rng.integers(*bounds, endpoint=True))


def _release(
    config: GeneratorConfig, rng: np.random.Generator, work: NDArray, num_machines: int
) -> NDArray:
    """Return release times; the first job is there at 0.

    Source: the usual rule of dynamic job-shop studies, mean gap = mean work of a job / (M x
    utilization).
    """
    if config.utilization is None:
        return np.zeros(len(work), np.int64)
    gaps = rng.exponential(work.mean() / (num_machines * config.utilization), len(work))
    return np.rint(gaps.cumsum() - gaps[0]).astype(np.int64)


def _due(
    config: GeneratorConfig, rng: np.random.Generator, release: NDArray, work: NDArray
) -> NDArray:
    if config.due_factor is None:
        return np.full(len(work), NO_DUE_DATE)
    factor = rng.uniform(*config.due_factor, len(work))
    return release + np.rint(factor * work).astype(np.int64)


def _windows(
    config: GeneratorConfig,
    rng: np.random.Generator,
    jobs: list[Route],
    num_machines: int,
    last_release: int,
) -> list[tuple[int, int, int]]:
    if config.maintenance is None:
        return []
    period, length = config.maintenance
    horizon = last_release + HORIZON * _lower_bound(jobs, num_machines)
    first = rng.integers(period, size=num_machines).tolist()
    return [
        (m, begin, begin + length)
        for m in range(num_machines)
        for begin in range(first[m], horizon, period)
    ]


def _lower_bound(jobs: list[Route], num_machines: int) -> int:
    """Return the work of the busiest machine or of the longest job, on first machines."""
    load = [0] * num_machines
    for job in jobs:
        for op in job:
            load[op[0][0]] += op[0][1]
    return max(*load, *(sum(op[0][1] for op in job) for job in jobs))


def _taillard_jobs(
    config: GeneratorConfig, rng: np.random.Generator, num_jobs: int, num_machines: int
) -> list[Route]:
    time_seed, machine_seed = rng.integers(1, MODULUS, size=2).tolist()
    return taillard_jobs(num_jobs, num_machines, time_seed, machine_seed, config.times)


def _uniform_jobs(
    config: GeneratorConfig, rng: np.random.Generator, num_jobs: int, num_machines: int
) -> list[Route]:
    return [_job(config, rng, rng.permutation(num_machines).tolist()) for _ in range(num_jobs)]


def _flexible_jobs(
    config: GeneratorConfig, rng: np.random.Generator, num_jobs: int, num_machines: int
) -> list[Route]:
    jobs = []
    for _ in range(num_jobs):
        length = _draw(rng, config.ops or (num_machines, num_machines))
        route = rng.permutation(num_machines).tolist()[:length]
        jobs.append([_alternatives(config, rng, m, num_machines) for m in route])
    return jobs


def _alternatives(
    config: GeneratorConfig, rng: np.random.Generator, first: int, num_machines: int
) -> list[tuple[int, int]]:
    """Return an operation's machines, ``first`` among them, and its times there."""
    others = [m for m in rng.permutation(num_machines).tolist() if m != first]
    machines = [first, *others[: _draw(rng, config.alternatives) - 1]]
    speed = rng.uniform(1 - config.spread, 1 + config.spread, len(machines))
    times = np.maximum(1, np.rint(_draw(rng, config.times) * speed)).astype(int).tolist()
    return list(zip(machines, times, strict=True))


def _unequal_jobs(
    config: GeneratorConfig, rng: np.random.Generator, num_jobs: int, num_machines: int
) -> list[Route]:
    lengths = [_draw(rng, config.ops or (1, num_machines)) for _ in range(num_jobs)]
    return [_job(config, rng, rng.permutation(num_machines).tolist()[:n]) for n in lengths]


def _reentrant_jobs(
    config: GeneratorConfig, rng: np.random.Generator, num_jobs: int, num_machines: int
) -> list[Route]:
    """Draw each next machine among the others, so that no job goes from a machine to itself."""
    jobs = []
    for _ in range(num_jobs):
        route = [int(rng.integers(num_machines))]
        for _ in range(_draw(rng, config.ops or (num_machines, num_machines)) - 1):
            step = 1 + int(rng.integers(num_machines - 1))
            route.append((route[-1] + step) % num_machines)
        jobs.append(_job(config, rng, route))
    return jobs


def _job(config: GeneratorConfig, rng: np.random.Generator, route: list[int]) -> Route:
    times = rng.integers(*config.times, size=len(route), endpoint=True).tolist()
    return [[(m, t)] for m, t in zip(route, times, strict=True)]


def _known_optimum_jobs(
    config: GeneratorConfig, rng: np.random.Generator, num_jobs: int, num_machines: int
) -> list[Route]:
    return tiled_jobs(rng, num_jobs, num_machines, config.times)


Draw = Callable[[GeneratorConfig, np.random.Generator, int, int], list[Route]]
KINDS: dict[str, Draw] = {
    "taillard": _taillard_jobs,
    "uniform": _uniform_jobs,
    "known_optimum": _known_optimum_jobs,
    "flexible": _flexible_jobs,
    "unequal": _unequal_jobs,
    "reentrant": _reentrant_jobs,
}
NOT_BUILT_IN = tuple(kind for kind in KINDS if kind != "known_optimum")
ONLY: dict[str, tuple[str, ...]] = {
    "ops": ("flexible", "unequal", "reentrant"),
    "alternatives": ("flexible",),
    "spread": ("flexible",),
    "utilization": NOT_BUILT_IN,
    "maintenance": NOT_BUILT_IN,
}
"""Kinds that a setting goes with; arrivals and maintenance would spoil a known optimum."""
TIGHT = (1.3, 1.6)
"""Due-date factors. Source: Singer & Pinedo (1998)."""
PRESETS = {
    config.name: config
    for config in (
        GeneratorConfig("taillard", "taillard", (15, 15), (15, 15), (1, 99)),
        GeneratorConfig("uniform"),
        GeneratorConfig("known_optimum", "known_optimum"),
        GeneratorConfig("flexible", "flexible", (10, 10), (5, 5), alternatives=(1, 3), spread=0.3),
        GeneratorConfig("unequal", "unequal"),
        GeneratorConfig("reentrant", "reentrant", (10, 10), (5, 5), ops=(5, 10)),
        GeneratorConfig("tiny", jobs=(3, 3), machines=(3, 3)),
        GeneratorConfig("small", jobs=(6, 6), machines=(6, 6)),
        GeneratorConfig("mixed", jobs=(5, 9), machines=(5, 9)),
        GeneratorConfig("due_dates", due_factor=TIGHT, weights=(1, 4)),
        GeneratorConfig("arrivals", jobs=(30, 30), utilization=0.8, due_factor=(2.0, 4.0)),
        GeneratorConfig("maintenance", maintenance=(400, 40)),
    )
}
"""Named settings; the first six are the kinds at a usual size."""


def generator_config(name: str) -> GeneratorConfig:
    """Return a preset, or one of another size, jobs x machines.

    Args:
        name: as ``uniform``, ``taillard-15x15``, or ``uniform-6x6-10x10`` for sizes from - to.

    Raises:
        UnknownName: there is no such preset.
        ConfigError: the size cannot be read or is out of range.
    """
    return sized_preset(name, PRESETS, ("jobs", "machines"))
