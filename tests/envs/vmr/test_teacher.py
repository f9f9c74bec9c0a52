"""Facts about the exact solver as a teacher."""

from __future__ import annotations

import numpy as np

from rlsched.envs.vmr import exact
from rlsched.envs.vmr.problem import PROBLEM, VMRConfig, make


def test_any_order_of_the_teachers_choices_reaches_the_exact_rate():
    """Choices are drawn from all that the targets allow, with and without anti-affinity."""
    config = VMRConfig(generator="small+small-constrained", num_instances=4)
    sim = make(config, 4, seed=0)
    sim.reset(seed=0, instances=np.arange(4))
    teacher, rng = PROBLEM.teachers["exact"](config), np.random.default_rng(0)
    while not sim.terminated.all():
        targets = teacher.targets(sim).astype(float)
        assert (targets[~sim.action_mask] == 0).all()
        choice = np.zeros(4, np.int32)
        for lane in np.flatnonzero(~sim.terminated):
            choice[lane] = rng.choice(targets.shape[1], p=targets[lane] / targets[lane].sum())
        teacher.advance(sim, choice)
        sim.step(choice)
    for lane, cluster in enumerate(sim.instances):
        best = exact.solve(cluster, sim.objective, sim.limits[lane], 5.0, num_threads=1)
        assert abs(sim.metrics()["fragment_rate"][lane] - best.objective) < 1e-9
