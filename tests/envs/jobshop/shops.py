"""Small shops for tests: some to follow by hand, and random ones that hold every constraint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlsched.envs.jobshop.shop import NO_DUE_DATE, Floor, Shop


def plain(*jobs: Sequence[tuple[int, int]], **rest) -> Shop:
    """Return a shop of jobs, each a list of (machine, ticks)."""
    return Shop.from_jobs([[[op] for op in job] for job in jobs], **rest)


def two_by_two(**rest) -> Shop:
    """Two jobs that cross: both are through at 7 if they may swap at 3, else at 11."""
    return plain([(0, 3), (1, 2)], [(1, 2), (0, 4)], name="2x2", **rest)


def three_by_three(**rest) -> Shop:
    """Three jobs that chase each other around three machines; without swaps they can deadlock."""
    return plain(
        [(0, 4), (1, 2), (2, 3)],
        [(1, 3), (2, 4), (0, 2)],
        [(2, 2), (0, 3), (1, 4)],
        name="3x3",
        **rest,
    )


def two_lines(**rest) -> Shop:
    """A flexible shop: each job goes to machine 0 or 1, then to 2.

    With both on machine 1, which is faster, the first operations end at 3 and 6, and all at 7. With
    job 0 on machine 0 they end at 4 and 3, and all at 5.
    """
    jobs = [[[(0, 4), (1, 3)], [(2, 1)]], [[(0, 9), (1, 3)], [(2, 1)]]]
    return Shop.from_jobs(jobs, name="two lines", **rest)


def one_machine(**rest) -> Shop:
    """Two jobs on one machine, for which each objective has a schedule of its own or both.

    Job 0 first: ends 3 and 5, so makespan 5, flow time 3 + 4, tardiness 0 + 1, weighted 3.
    Job 1 first: ends 6 and 3, so makespan 6, flow time 6 + 2, tardiness 2 + 0, weighted 2.
    """
    parts = {"release": [0, 1], "due": [4, 4], "weight": [1, 3], "name": "one machine"}
    return plain([(0, 3)], [(0, 2)], **(parts | rest))


def maintained(**rest) -> Shop:
    """Work of 5 and of 3 ticks on a machine that is down from 4 to 6.

    If interrupted work goes on: at best 0 to 3, then 3 to 10 (one tick, then four). If it begins
    again: 0 to 3, then 6 to 11.
    """
    return plain([(0, 5)], [(0, 3)], windows=[(0, 4, 6)], name="maintained", **rest)


def crossing_floor() -> Shop:
    """``two_by_two`` at 2: job 0 has a tick left on machine 0, job 1 blocks machine 1."""
    floor = Floor(
        clock=2,
        num_done=np.array([0, 1], np.int32),
        machine=np.array([0, 1], np.int32),
        left=np.array([1, 0], np.int32),
        buffer=np.array([-1, -1], np.int32),
        ready=np.array([0, 2], np.int32),
        down_until=np.zeros(2, np.int32),
    )
    return two_by_two(floor=floor)


def random_shop(
    seed: int,
    num_jobs: int = 4,
    num_machines: int = 3,
    *,
    max_time: int = 9,
    is_flexible: bool = False,
    is_uneven: bool = False,
    has_dates: bool = False,
    num_windows: int = 0,
) -> Shop:
    """Return a random shop.

    Args:
        seed: of everything.
        num_jobs: J.
        num_machines: M.
        max_time: longest processing time, ticks.
        is_flexible: operations have one or two machines to go to.
        is_uneven: jobs have 1 to M + 1 operations on any machines, also the same one twice; else
            every job visits every machine once.
        has_dates: jobs have release times, due dates that are tight, and weights 0 to 3.
        num_windows: maintenance windows of each machine.
    """
    rng = np.random.default_rng(seed)
    jobs = []
    for _ in range(num_jobs):
        way = rng.permutation(num_machines)
        if is_uneven:
            way = rng.integers(num_machines, size=rng.integers(1, num_machines + 2))
        machines = [[int(m)] for m in way]
        if is_flexible:
            extra = rng.integers(-num_machines, num_machines, len(way))
            machines = [
                [m, *({int(x)} - {m, *range(-99, 0)})]
                for [m], x in zip(machines, extra, strict=True)
            ]
        jobs.append([[(m, int(rng.integers(1, max_time + 1))) for m in op] for op in machines])
    work = np.array([sum(min(t for _, t in op) for op in job) for job in jobs])
    dates = {}
    if has_dates:
        release = rng.integers(0, 2 * max_time, num_jobs)
        due = np.where(rng.random(num_jobs) < 0.8, release + work * 3 // 2, NO_DUE_DATE)
        weight = rng.integers(0, 4, num_jobs)
        dates = {"release": release.tolist(), "due": due.tolist(), "weight": weight.tolist()}
    windows = []
    for m in range(num_machines):
        ends = np.cumsum(rng.integers(1, 2 * max_time, 2 * num_windows)).tolist()
        windows += [(m, a, b) for a, b in zip(ends[::2], ends[1::2], strict=True)]
    return Shop.from_jobs(jobs, num_machines, windows=windows, name=f"random {seed}", **dates)
