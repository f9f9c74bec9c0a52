"""Taillard's generator of job shops, digit for digit.

Source: Taillard (1993), Benchmarks for basic scheduling problems, EJOR 64.
"""

from __future__ import annotations

from collections.abc import Callable

from rlsched.core.errors import ConfigError
from rlsched.envs.jobshop.files import Route
from rlsched.envs.jobshop.shop import Shop

MODULUS, MULTIPLIER = 2**31 - 1, 16807
"""x <- 16807 x mod (2^31 - 1)."""


def taillard_shop(
    num_jobs: int,
    num_machines: int,
    time_seed: int,
    machine_seed: int,
    times: tuple[int, int] = (1, 99),
    name: str = "",
) -> Shop:
    """Return Taillard's instance of two seeds; ta01 is 15, 15, 840612802, 398197754.

    Raises:
        ConfigError: a seed is out of range.
    """
    jobs = taillard_jobs(num_jobs, num_machines, time_seed, machine_seed, times)
    return Shop.from_jobs(jobs, num_machines, name=name)


def taillard_jobs(
    num_jobs: int, num_machines: int, time_seed: int, machine_seed: int, times: tuple[int, int]
) -> list[Route]:
    """Return the jobs of Taillard's instance of two seeds."""
    draw = _lehmer(time_seed)
    ticks = [[draw(*times) for _ in range(num_machines)] for _ in range(num_jobs)]
    draw = _lehmer(machine_seed)
    jobs = []
    for j in range(num_jobs):
        route = list(range(num_machines))
        for k in range(num_machines):
            other = draw(k, num_machines - 1)
            route[k], route[other] = route[other], route[k]
        jobs.append([[(m, t)] for m, t in zip(route, ticks[j], strict=True)])
    return jobs


def _lehmer(seed: int) -> Callable[[int, int], int]:
    """Return Taillard's ``unif(low, high)``, which steps his generator."""
    if not 0 < seed < MODULUS:
        raise ConfigError(f"Taillard seed {seed}; allowed: 1 to {MODULUS - 1}.")
    state = seed

    def draw(low: int, high: int) -> int:
        nonlocal state
        state = MULTIPLIER * state % MODULUS
        return low + state * (high - low + 1) // MODULUS

    return draw
