"""Variants of the job shop and random legal play, for tests that hold in all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from shops import random_shop

from rlsched.envs.jobshop.shop import Shop
from rlsched.envs.jobshop.simulator import JobShopSimulator
from rlsched.testing import random_legal

INF = math.inf
LAWS = (
    "start:0.4",
    "step:0.05",
    "step:0.04:calendar",
    "exponential:25",
    "exponential:40:calendar",
    "weibull:20:2",
    "weibull:40:0.8:calendar",
)
REPAIRS = ("fixed:7", "uniform:1:12", "exponential:6", "lognormal:8:0.7")
VARIANTS: dict[str, dict[str, Any]] = {
    "blocking": {},
    "blocking without hold": {"hold": "off"},
    "swaps by choice": {"swap": "choice"},
    "no swaps": {"swap": "off"},
    "deadlocks avoided": {"swap": "off", "deadlock": "avoid"},
    "buffers of 1": {"buffer": 1},
    "buffers of 2, swaps by choice": {"buffer": 2, "swap": "choice"},
    "buffers of 1, no swaps": {"buffer": 1, "swap": "off"},
    "buffers of 1, deadlocks avoided": {"buffer": 1, "swap": "off", "deadlock": "avoid"},
    "classic": {"buffer": INF},
    "classic with hold": {"buffer": INF, "hold": "on"},
}
"""Options without interruptions."""


def varied_shop(seed: int, jobs: int = 5, machines: int = 4) -> Shop:
    """Return a random shop; the bits of the seed say whether it is flexible, uneven, and so on.

    Of 32 in a row each has another set of: flexible, uneven (and re-entrant), release and due
    dates, maintenance, maintenance from the very start.
    """
    shop = random_shop(
        seed,
        jobs,
        machines,
        is_flexible=bool(seed & 1),
        is_uneven=bool(seed & 2),
        has_dates=bool(seed & 4),
        num_windows=2 * bool(seed & 8),
    )
    if not seed & 16 or not len(shop.windows):
        return shop
    first = shop.windows[:, 1].min()
    return replace(shop, windows=(shop.windows - [0, first, first]).astype(np.int32))


def started(*shops: Shop, num_envs: int | None = None, **options: Any) -> JobShopSimulator:
    """Return lanes over the shops in turn, at the beginning of an episode."""
    sim = JobShopSimulator(shops, num_envs or len(shops), **options)
    sim.reset(instances=[lane % len(shops) for lane in range(sim.num_envs)])
    return sim


def play(
    sim: JobShopSimulator, seed: int = 0, rounds: int = 10_000, hold: bool = True
) -> Iterator[list[int]]:
    """Make random legal choices in all lanes to the end or for some rounds; yield each once made.

    Args:
        sim: the lanes.
        seed: of the choices.
        rounds: most choices to make.
        hold: whether machines are held too; else only where there is no other choice.
    """
    for event in range(rounds):
        if sim.terminated.all():
            return
        mask = sim.action_mask.copy()
        if not hold:
            mask[:, -1] &= ~mask[:, :-1].any(axis=1)
        choice = random_legal(mask, seed, event)
        sim.step(choice)
        yield choice.tolist()


def play_out(sim: JobShopSimulator, seed: int = 0, hold: bool = True) -> list[list[int]]:
    """Play at random to the end and return the choices."""
    return list(play(sim, seed, hold=hold))


def follow(sim: JobShopSimulator, orders: Sequence[Sequence[int]]) -> None:
    """Play a single lane so that each machine takes jobs in the order given, holding for them."""
    while not sim.terminated[0]:
        m = int(sim.state.deciding[0])
        job = orders[m][int((sim.state.op_machine[0] == m).sum())]
        sim.step([job if sim.action_mask[0, job] else sim.num_choices - 1])
