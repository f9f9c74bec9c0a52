"""Small random workloads with one job: gaps in what PEs can run, capacities, links, free tasks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from workloads import static

from rlsched.envs.soc.workload import Workload


def random_workload(seed: int, num_tasks: int, num_pes: int, least_time: int = 0) -> Workload:
    """Return a workload; a third of the pairs of task and PE do not fit, edges go any way."""
    rng = np.random.default_rng(seed)
    times = rng.integers(least_time, 12, (num_tasks, num_pes))
    times[rng.random(times.shape) < 1 / 3] = -1
    for row in times:
        row[rng.integers(num_pes)] = rng.integers(least_time, 12)
    label = rng.permutation(num_tasks).tolist()
    edges = [
        (label[i], label[j], float(rng.choice([0, 0.5, 3, 8, 20])))
        for i in range(num_tasks)
        for j in range(i + 1, num_tasks)
        if rng.random() < 2 / num_tasks
    ]
    capacity = rng.choice([1, 1, 1, 2, 3], num_pes).tolist()
    workload = static(f"random {seed}", times.tolist(), edges, capacity=capacity)
    bandwidth = rng.choice([0.5, 1, 4, math.inf], (num_pes, num_pes))
    startup = rng.choice([0, 0, 3], (num_pes, num_pes))
    soc = replace(
        workload.soc,
        bandwidth=tuple(map(tuple, bandwidth.tolist())),
        startup=tuple(map(tuple, startup.tolist())),
    )
    return replace(workload, soc=soc)
